//! Tokens of other issuers: their keys, their claims, how their people become people here.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::principal::{CredentialKind, Issuer};

fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn jwks(keys: &[(&SigningKey, Option<&str>)]) -> String {
    let keys = keys.iter().map(|(key, kid)| {
        let material: Value = serde_json::from_str(&public(key)).unwrap();
        let key = material["keys"][0].clone();
        match kid {
            Some(kid) => with(&key, "kid", json!(kid)),
            None => without(&key, "kid"),
        }
    });
    json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
}

/// The JWK Set of a key, by way of a ring that holds a copy of it.
fn public(key: &SigningKey) -> String {
    KEYS.with(|keys| {
        keys.borrow()
            .iter()
            .find(|(id, _)| *id == key.id().unwrap())
            .unwrap()
            .1
            .clone()
    })
}

thread_local! {
    static KEYS: std::cell::RefCell<Vec<(String, String)>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn known(algorithm: Algorithm) -> SigningKey {
    let (key, material) = SigningKey::generate(algorithm).unwrap();
    let document = ring(SigningKey::from_material(algorithm, &material).unwrap())
        .load()
        .jwks(NOW);
    KEYS.with(|keys| keys.borrow_mut().push((key.id().unwrap(), document)));
    key
}

fn header(algorithm: Algorithm, kid: Option<&str>) -> String {
    match kid {
        Some(kid) => json!({"alg": algorithm.as_str(), "kid": kid}).to_string(),
        None => json!({"alg": algorithm.as_str()}).to_string(),
    }
}

#[test]
fn keys_come_from_a_set_a_file_or_a_secret() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let key = known(algorithm);
        let (_folder, path) = file(&jwks(&[(&key, Some("a"))]));
        let verifier = trusting(trusted(KeySource::JwksFile(path), &[algorithm]));
        let token = forge(&key, &header(algorithm, Some("a")), &their_claims().to_string());
        let person = verifier.verify(token.as_bytes(), NOW).unwrap().person;
        assert_eq!(
            (person.name.as_str(), person.subject.as_str()),
            ("idp:alice", "idp:u-1")
        );
        assert_eq!(person.issuer, Issuer::External(THEIRS.into()));
        assert_eq!((person.user, person.session, person.email.as_ref()), (None, None, None));
        assert_eq!(
            (person.issued_at, person.credential),
            (0, CredentialKind::ExternalBearer)
        );
        assert_eq!(person.roles.to_column(), "staff,shop-admins");
    }
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = crate::keyring::signing_key_from_pem(pair.serialize_pem().as_bytes()).unwrap();
    let (_folder, path) = file(&pair.public_key_pem());
    let verifier = trusting(trusted(KeySource::KeyFile(path), &[Algorithm::Es256]));
    for kid in [None, Some("whatever")] {
        let token = forge(&key, &header(Algorithm::Es256, kid), &their_claims().to_string());
        assert!(
            verifier.verify(token.as_bytes(), NOW).is_ok(),
            "a file gives its key no name"
        );
    }
    let (key, issuer) = symmetric();
    let token = forge(&key, &header(Algorithm::Hs256, None), &their_claims().to_string());
    assert!(trusting(issuer).verify(token.as_bytes(), NOW).is_ok());
}

#[test]
fn what_cannot_be_used_is_said_when_it_is_loaded() {
    let key = known(Algorithm::Es256);
    let load = |issuer| {
        Verifier::new(
            &Settings {
                trusted_issuers: vec![issuer],
                ..settings()
            },
            KeyRing::new(),
            ADMIN,
        )
    };
    let missing = load(trusted(KeySource::JwksFile("no/such/file".into()), &[Algorithm::Es256]));
    assert!(matches!(missing, Err(LoadError::Unreadable { .. })));
    let (_folder, path) = file(&jwks(&[(&key, Some("a"))]));
    let useless = load(trusted(KeySource::JwksFile(path), &[Algorithm::Rs256]))
        .unwrap_err()
        .to_string();
    assert!(
        useless.contains(THEIRS) && useless.contains("ES256 key \"a\""),
        "{useless}"
    );
    let short = load(trusted(
        KeySource::Secret(Secret::new(vec![1; 31])),
        &[Algorithm::Hs256],
    ));
    assert!(matches!(short, Err(LoadError::Unusable { .. })));
    let (_folder, path) = file(&jwks(&[(&key, Some("a")), (&known(Algorithm::EdDsa), Some("b"))]));
    let (_, notes) = load(trusted(KeySource::JwksFile(path), &[Algorithm::Es256])).unwrap();
    assert_eq!(notes.len(), 1);
    let ours = TrustedIssuer {
        issuer: OURS.into(),
        ..symmetric().1
    };
    assert!(matches!(load(ours), Err(LoadError::Duplicate(name)) if name == OURS));
    let twice = Settings {
        trusted_issuers: vec![symmetric().1, symmetric().1],
        ..settings()
    };
    assert!(matches!(
        Verifier::new(&twice, KeyRing::new(), ADMIN),
        Err(LoadError::Duplicate(_))
    ));
}

#[test]
fn the_key_is_the_one_that_is_named_and_without_a_name_each_is_tried() {
    let (one, two, third) = (
        known(Algorithm::Es256),
        known(Algorithm::Es256),
        known(Algorithm::Es256),
    );
    let claims = their_claims().to_string();
    let set = |keys: &[(&SigningKey, Option<&str>)]| {
        let (_folder, path) = file(&jwks(keys));
        trusting(trusted(KeySource::JwksFile(path), &[Algorithm::Es256]))
    };
    let named = set(&[(&one, Some("1")), (&two, Some("2"))]);
    let verdict = |verifier: &Verifier, key: &SigningKey, kid: Option<&str>| {
        let token = forge(key, &header(Algorithm::Es256, kid), &claims);
        verifier.verify(token.as_bytes(), NOW).err()
    };
    for (key, kid, expected) in [
        (&one, Some("1"), None),
        (&two, Some("2"), None),
        (&one, Some("2"), Some(Error::BadSignature)),
        (&one, Some("3"), Some(Error::UnknownKey)),
        (&one, None, None),
        (&two, None, None),
        (&third, None, Some(Error::BadSignature)),
    ] {
        assert_eq!(verdict(&named, key, kid), expected, "{kid:?}");
    }
    let mixed = set(&[(&one, Some("1")), (&two, None)]);
    assert_eq!(
        verdict(&mixed, &two, Some("x")),
        None,
        "a key without a name answers to any"
    );
    assert_eq!(
        verdict(&mixed, &two, Some("1")),
        Some(Error::BadSignature),
        "but not to another's"
    );
    // How many are tried is bounded.
    let crowd: Vec<SigningKey> = (0..9).map(|_| known(Algorithm::Es256)).collect();
    let many = set(&crowd.iter().map(|key| (key, None)).collect::<Vec<_>>());
    assert_eq!(verdict(&many, &crowd[7], None), None);
    assert_eq!(verdict(&many, &crowd[8], None), Some(Error::BadSignature));
}

#[test]
fn one_issuers_key_does_not_speak_for_another() {
    let (key, issuer) = symmetric();
    let other = TrustedIssuer {
        issuer: "https://other.example.com".into(),
        keys: KeySource::Secret(Secret::new(vec![3; 32])),
        ..issuer.clone()
    };
    let ours = generate(Algorithm::EdDsa);
    let our_kid = ours.id().unwrap();
    let forged_ours = forge(&key, &our_header(&ours).to_string(), &our_claims().to_string());
    let as_theirs = forge(
        &ours,
        &header(Algorithm::EdDsa, Some(&our_kid)),
        &their_claims().to_string(),
    );
    let settings = Settings {
        trusted_issuers: vec![issuer, other],
        ..settings()
    };
    let verifier = verifier(&settings, &ring(ours));
    let claims = their_claims();
    let token = |claims: &Value| forge(&key, &header(Algorithm::Hs256, None), &claims.to_string());
    assert!(verifier.verify(token(&claims).as_bytes(), NOW).is_ok());
    let stolen = token(&with(&claims, "iss", json!("https://other.example.com")));
    assert_eq!(verifier.verify(stolen.as_bytes(), NOW), Err(Error::BadSignature));
    let unknown = token(&with(&claims, "iss", json!("https://nobody.example.com")));
    assert_eq!(verifier.verify(unknown.as_bytes(), NOW), Err(Error::UnknownIssuer));
    assert_eq!(verifier.verify(forged_ours.as_bytes(), NOW), Err(Error::BadSignature));
    assert_eq!(verifier.verify(as_theirs.as_bytes(), NOW), Err(Error::WrongAlgorithm));
}

#[test]
fn a_typ_of_another_kind_is_refused_and_none_is_fine() {
    let (key, issuer) = symmetric();
    let verifier = trusting(issuer);
    let verdict = |typ: Option<Value>| {
        let header = typ.map_or(json!({"alg": "HS256"}), |typ| json!({"alg": "HS256", "typ": typ}));
        verifier
            .verify(
                forge(&key, &header.to_string(), &their_claims().to_string()).as_bytes(),
                NOW,
            )
            .err()
    };
    assert_eq!(verdict(None), None);
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "application/jwt"] {
        assert_eq!(verdict(Some(json!(typ))), None, "{typ}");
    }
    for typ in [
        "",
        "Refresh",
        "refresh+jwt",
        "id_token",
        "ID",
        "logout+jwt",
        "dpop+jwt",
        "JOSE",
        "at+jwtx",
    ] {
        assert_eq!(verdict(Some(json!(typ))), Some(Error::WrongKind), "{typ}");
    }
    assert!(verdict(Some(json!(null))).is_some());
}

#[test]
fn their_claims_are_read_strictly_too() {
    let (key, issuer) = symmetric();
    let unchecked = trusting(TrustedIssuer {
        audience: Vec::new(),
        ..issuer.clone()
    });
    let verifier = trusting(issuer);
    let at = |verifier: &Verifier, claims: &Value, now: i64| {
        let token = forge(&key, r#"{"alg":"HS256"}"#, &claims.to_string());
        verifier.verify(token.as_bytes(), now).err()
    };
    let claims = their_claims();
    for (name, value, expected) in [
        ("exp", json!(NOON + 10), None),
        ("exp", json!(NOON as f64 + 10.0), None),
        ("exp", json!(NOON as f64 + 0.9), Some(Error::Expired)),
        ("exp", json!(1e300), None),
        ("exp", json!(-1e300), Some(Error::BadClaim("exp"))),
        ("exp", json!("never"), Some(Error::BadClaim("exp"))),
        ("nbf", json!(NOON as f64 + 0.1), Some(Error::NotYetValid)),
        ("nbf", json!(NOON as f64 - 0.1), None),
        ("nbf", json!("99999999999"), Some(Error::BadClaim("nbf"))),
        ("iat", json!(NOON + 3600), None),
        ("iat", json!("yesterday"), Some(Error::BadClaim("iat"))),
        ("aud", json!(["a", "orders"]), None),
        ("aud", json!("Orders"), Some(Error::WrongAudience)),
        ("aud", json!(null), Some(Error::BadClaim("aud"))),
        ("sub", json!(""), Some(Error::BadClaim("sub"))),
        ("sub", json!(5), Some(Error::BadClaim("sub"))),
        ("jti", json!(5), Some(Error::BadClaim("jti"))),
        (
            "preferred_username",
            json!(""),
            Some(Error::BadClaim("named by user_claim")),
        ),
        (
            "preferred_username",
            json!(["a"]),
            Some(Error::BadClaim("named by user_claim")),
        ),
        (
            "realm_access",
            json!({"roles": 5}),
            Some(Error::BadClaim("named by roles_claim")),
        ),
        (
            "realm_access",
            json!({"roles": ["a", 5]}),
            Some(Error::BadClaim("named by roles_claim")),
        ),
        ("realm_access", json!("a"), None),
    ] {
        assert_eq!(
            at(&verifier, &with(&claims, name, value.clone()), NOW),
            expected,
            "{name}: {value}"
        );
    }
    for name in ["exp", "aud", "sub"] {
        assert_eq!(at(&verifier, &without(&claims, name), NOW), Some(Error::BadClaim(name)));
    }
    assert_eq!(
        at(&verifier, &without(&claims, "preferred_username"), NOW),
        Some(Error::BadClaim("named by user_claim"))
    );
    assert_eq!(at(&verifier, &claims, NOW + 300_000), Some(Error::Expired));
    assert_eq!(at(&unchecked, &without(&claims, "aud"), NOW), None);
    assert_eq!(
        at(&unchecked, &with(&claims, "aud", json!(5)), NOW),
        Some(Error::BadClaim("aud"))
    );
}

#[test]
fn their_people_and_roles_become_ours_as_the_settings_say() {
    let (key, issuer) = symmetric();
    let person = |issuer: TrustedIssuer, claims: &Value| {
        let token = forge(&key, r#"{"alg":"HS256"}"#, &claims.to_string());
        trusting(issuer).verify(token.as_bytes(), NOW).unwrap().person
    };
    let claims = their_claims();
    let table: BTreeMap<String, String> = [("shop-admins", "admin"), ("boss", ADMIN), ("CN=A,OU=B", "staff")]
        .map(|(a, b)| (a.into(), b.into()))
        .into();
    let with_roles = |roles: Value| with(&claims, "realm_access", json!({"roles": roles}));
    for (mapping, roles, expected) in [
        (RoleMapping::None, json!(["a"]), ""),
        (RoleMapping::AsIs, json!(["a", "b", "a"]), "a,b"),
        (RoleMapping::AsIs, json!("a b,c  d"), "a,b,c,d"),
        (RoleMapping::AsIs, json!(["x,admin", " a", "", "b\n", "ok"]), "ok"),
        (RoleMapping::AsIs, json!([ADMIN, "a"]), "a"),
        (
            RoleMapping::Table(table.clone()),
            json!(["shop-admins", "staff", "boss"]),
            "admin",
        ),
        (RoleMapping::Table(table), json!(["CN=A,OU=B"]), "staff"),
    ] {
        let issuer = TrustedIssuer {
            roles: mapping.clone(),
            ..issuer.clone()
        };
        assert_eq!(
            person(issuer, &with_roles(roles)).roles.to_column(),
            expected,
            "{mapping:?}"
        );
    }
    let flat = TrustedIssuer {
        users: UserMapping::AsIs,
        user_claim: vec!["ext".into(), "name".into()],
        roles_claim: None,
        ..issuer
    };
    let nested = with(&claims, "ext", json!({"name": "bob"}));
    let person = person(flat, &nested);
    assert_eq!(
        (person.name.as_str(), person.roles.is_empty(), person.user),
        ("bob", true, None)
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(fuzz_token(&data), Ok(()));
    }

    #[test]
    fn no_text_of_the_alphabet_makes_it_panic(text in "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,90}") {
        prop_assert_eq!(fuzz_token(text.as_bytes()), Ok(()));
    }

    #[test]
    fn no_json_like_text_makes_it_panic(text in "[\\[\\]{}\":,0-9eE.\\\\a-z -]{0,200}") {
        prop_assert_eq!(fuzz_token(text.as_bytes()), Ok(()));
    }
}
