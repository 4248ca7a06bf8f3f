//! Tests of this part.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod sources;
mod turning;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::store::StoredKey;

const ALL: [Algorithm; 4] = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256, Algorithm::Hs256];

fn generate(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm).unwrap().0
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

fn jwks_of(key: SigningKey) -> Value {
    let ring = KeyRing::new();
    let algorithm = key.algorithm();
    ring.publish(vec![RingKey::new(key, 0, 0, None).unwrap()], algorithm);
    serde_json::from_str(&ring.load().jwks(1)).unwrap()
}

#[test]
fn what_a_key_signs_it_verifies_and_nothing_else() {
    for algorithm in ALL {
        let (key, material) = SigningKey::generate(algorithm).unwrap();
        let again = SigningKey::from_material(algorithm, &material).unwrap();
        assert_eq!(again.id().unwrap(), key.id().unwrap());
        let verifying = again.verifying_key().unwrap();
        let signature = key.sign(b"message").unwrap();
        assert!(verifying.verify(b"message", &signature), "{algorithm:?}");
        assert!(!verifying.verify(b"massage", &signature));
        assert!(!verifying.verify(b"message", &signature[1..]));
        assert!(!verifying.verify(b"message", &[&signature[..], &[0]].concat()));
        assert!(!verifying.verify(b"message", &vec![0; signature.len()]));
        assert!(!verifying.verify(b"message", &[]));
        assert!(
            !generate(algorithm)
                .verifying_key()
                .unwrap()
                .verify(b"message", &signature)
        );
    }
}

#[test]
fn the_example_of_rfc_8037() {
    let document = json!({"keys": [{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
    let key = from_jwk_set(document.to_string().as_bytes()).unwrap().keys.remove(0);
    let signature = URL_SAFE_NO_PAD
        .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
        .unwrap();
    let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert!(key.verify(signed, &signature));
    // Appendix A.1 as PKCS#8, and the thumbprint of A.3.
    let seed = URL_SAFE_NO_PAD
        .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
        .unwrap();
    let pkcs8 = [
        &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..],
        &seed,
    ]
    .concat();
    let pair = signing_key_from_pem(pem("PRIVATE KEY", &pkcs8).as_bytes()).unwrap();
    assert_eq!(pair.id().unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(pair.sign(signed).unwrap(), signature);
}

#[test]
fn our_jwks_is_public_and_others_can_use_it() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let key = generate(algorithm);
        let (id, signature) = (key.id().unwrap(), key.sign(b"message").unwrap());
        let document = jwks_of(key);
        let jwk = &document["keys"][0];
        assert_eq!(
            (&jwk["kid"], &jwk["alg"], &jwk["use"]),
            (&json!(id), &json!(algorithm.as_str()), &json!("sig"))
        );
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert_eq!(jwk.get(private), None);
        }
        let read = from_jwk_set(document.to_string().as_bytes()).unwrap();
        assert_eq!(read.notes, Vec::<String>::new());
        assert_eq!(read.keys[0].id(), Some(id.as_str()));
        assert!(read.keys[0].verify(b"message", &signature));
    }
    assert_eq!(jwks_of(generate(Algorithm::Hs256)), json!({"keys": []}));
}

#[test]
fn unusable_keys_of_a_set_are_passed_over_with_a_note() {
    let ec = jwks_of(generate(Algorithm::Es256))["keys"][0].clone();
    let rsa = jwks_of(generate(Algorithm::Rs256))["keys"][0].clone();
    let ed = jwks_of(generate(Algorithm::EdDsa))["keys"][0].clone();
    let with = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    let unusable = [
        ("no object", json!("key")),
        ("no kty", json!({"x": "AA"})),
        ("another kty", with(&ec, "kty", json!("XX"))),
        ("another curve", with(&ec, "crv", json!("P-384"))),
        ("a kty that is not the members'", with(&ec, "kty", json!("RSA"))),
        ("an OKP on an EC curve", with(&ed, "crv", json!("P-256"))),
        ("for encryption", with(&ec, "use", json!("enc"))),
        ("not for verifying", with(&ec, "key_ops", json!(["sign"]))),
        ("another algorithm", with(&ec, "alg", json!("ES384"))),
        ("of another family", with(&ec, "alg", json!("RS256"))),
        ("an encryption algorithm", with(&rsa, "alg", json!("RSA-OAEP"))),
        ("PS256", with(&rsa, "alg", json!("PS256"))),
        (
            "not on the curve",
            with(&ec, "x", json!(URL_SAFE_NO_PAD.encode([1; 32]))),
        ),
        (
            "the origin",
            with(&with(&ec, "x", json!("A".repeat(43))), "y", json!("A".repeat(43))),
        ),
        ("a short coordinate", with(&ec, "x", json!("AQ"))),
        ("a long coordinate", with(&ed, "x", json!("A".repeat(44)))),
        (
            "padding",
            with(&ed, "x", json!(format!("{}=", ed["x"].as_str().unwrap()))),
        ),
        ("x is a number", with(&ed, "x", json!(1))),
        ("1024 bits", with(&rsa, "n", json!(URL_SAFE_NO_PAD.encode([0xff; 128])))),
        ("2047 bits", with(&rsa, "n", json!(URL_SAFE_NO_PAD.encode([0x7f; 256])))),
        (
            "zeros in front",
            with(
                &rsa,
                "n",
                json!(URL_SAFE_NO_PAD.encode([&[0; 200][..], &[0xff; 128]].concat())),
            ),
        ),
        ("exponent 1", with(&rsa, "e", json!("AQ"))),
        ("an even exponent", with(&rsa, "e", json!("Ag"))),
        ("no exponent", with(&rsa, "e", json!(""))),
        ("symmetric", json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32])})),
    ];
    for (what, key) in unusable {
        let document = json!({"keys": [key.clone(), ed.clone()]}).to_string();
        let read = from_jwk_set(document.as_bytes()).unwrap();
        assert_eq!((read.keys.len(), read.notes.len()), (1, 1), "{what}: {:?}", read.notes);
        let alone = from_jwk_set(json!({"keys": [key]}).to_string().as_bytes());
        assert!(
            matches!(alone, Err(Error::NoneUsable(notes)) if notes.len() == 1),
            "{what}"
        );
    }
    for usable in [
        with(&ec, "alg", Value::Null),
        with(&ec, "key_ops", json!(["verify"])),
        with(&rsa, "x5c", json!(["AA"])),
        with(&ed, "d", json!("secret")),
    ] {
        assert_eq!(
            from_jwk_set(json!({"keys": [usable]}).to_string().as_bytes())
                .unwrap()
                .keys
                .len(),
            1,
            "{usable}"
        );
    }
    for no_set in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"keys":{}}"#,
        "{\"keys\":[",
        "\u{feff}{\"keys\":[]}",
    ] {
        assert!(
            matches!(from_jwk_set(no_set.as_bytes()), Err(Error::Malformed(_))),
            "{no_set}"
        );
    }
    assert!(matches!(from_jwk_set(br#"{"keys":[]}"#), Err(Error::NoneUsable(_))));
}

#[test]
fn public_keys_and_certificates_are_read_from_pem() {
    let algorithms = [
        (Algorithm::EdDsa, &rcgen::PKCS_ED25519),
        (Algorithm::Es256, &rcgen::PKCS_ECDSA_P256_SHA256),
    ];
    for (algorithm, kind) in algorithms {
        let pair = rcgen::KeyPair::generate_for(kind).unwrap();
        let signing = signing_key_from_pem(pair.serialize_pem().as_bytes()).unwrap();
        assert_eq!(signing.algorithm(), algorithm);
        let signature = signing.sign(b"message").unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["idp.example.com".into()])
            .unwrap()
            .self_signed(&pair)
            .unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["ca.example.com".into()]).unwrap();
        for text in [
            pair.public_key_pem(),
            certificate.pem(),
            certificate.pem() + &other.cert.pem(),
        ] {
            let read = public_keys_from_pem(text.as_bytes()).unwrap();
            assert_eq!(read.keys.len(), 1, "of a chain only the first");
            assert_eq!((read.keys[0].algorithm(), read.keys[0].id()), (algorithm, None));
            assert!(read.keys[0].verify(b"message", &signature));
        }
        assert!(matches!(
            public_keys_from_pem(pair.serialize_pem().as_bytes()),
            Err(Error::Malformed(_))
        ));
    }
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    assert!(matches!(
        public_keys_from_pem(p384.public_key_pem().as_bytes()),
        Err(Error::Unsupported(_))
    ));
    assert!(matches!(
        signing_key_from_pem(p384.serialize_pem().as_bytes()),
        Err(Error::Unsupported(_))
    ));
    for rubbish in [
        "",
        "no PEM at all",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        assert!(public_keys_from_pem(rubbish.as_bytes()).is_err());
        assert!(signing_key_from_pem(rubbish.as_bytes()).is_err());
    }
}

#[test]
fn rsa_pairs_are_read_in_both_forms() {
    let (key, pkcs8) = SigningKey::generate(Algorithm::Rs256).unwrap();
    let signature = key.sign(b"message").unwrap();
    let ring = from_pem_files([pem("PRIVATE KEY", &pkcs8).as_bytes()]).unwrap();
    assert!(ring[0].verifying().verify(b"message", &signature));
    // PKCS#1 is what PKCS#8 wraps: 26 bytes of envelope for a 2048-bit key.
    let older = signing_key_from_pem(pem("RSA PRIVATE KEY", &pkcs8[26..]).as_bytes()).unwrap();
    assert_eq!(older.id().unwrap(), key.id().unwrap());
}

#[test]
fn a_symmetric_key_has_a_floor_and_one_name_everywhere() {
    assert!(matches!(from_secret(&[1; 31]), Err(Error::Weak(_))));
    let (one, other) = (from_secret(&[1; 32]).unwrap(), from_secret(&[1; 32]).unwrap());
    assert_eq!(one[0].id(), other[0].id());
    assert_ne!(one[0].id(), from_secret(&[2; 32]).unwrap()[0].id());
}

#[test]
fn a_ring_is_not_ready_before_its_first_keys_and_counts_its_changes() {
    let ring = KeyRing::new();
    assert!(!ring.load().ready());
    assert!(ring.load().signing(0).is_none());
    let other = ring.clone();
    let (_, material) = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let key = |publish_at, sign_from, until| {
        let pair = SigningKey::from_material(Algorithm::EdDsa, &material).unwrap();
        RingKey::new(pair, publish_at, sign_from, until).unwrap()
    };
    assert!(ring.publish(vec![key(0, 0, None), key(5, 5, None)], Algorithm::EdDsa));
    assert!(other.load().ready());
    let jwks: Value = serde_json::from_str(&other.load().jwks(9)).unwrap();
    assert_eq!(
        jwks["keys"].as_array().unwrap().len(),
        1,
        "one name, one key: the first"
    );
    let before = other.generation();
    assert!(!ring.publish(vec![key(0, 0, None)], Algorithm::EdDsa), "nothing new");
    assert_eq!(other.generation(), before);
    assert!(ring.publish(vec![key(0, 0, Some(9))], Algorithm::EdDsa));
    assert!(ring.publish(vec![key(0, 0, Some(9))], Algorithm::Es256));
    assert!(other.generation() == before + 2);
    let signer = ring.load().signing(0).map(|key| key.id().to_owned());
    assert_eq!(
        signer.as_deref(),
        Some(key(0, 0, None).id()),
        "another algorithm signs until one of the configured begins"
    );
    let one = RingKey::new(generate(Algorithm::Es256), 0, 1, None).unwrap();
    let name = one.id().to_owned();
    assert!(ring.publish(vec![key(0, 0, Some(9)), one], Algorithm::Es256));
    assert_ne!(ring.load().signing(0).unwrap().id(), name);
    assert_eq!(ring.load().signing(1).unwrap().id(), name);
    assert!(ring.load().verifying(key(0, 0, None).id(), 0).is_some());
}

#[test]
fn keys_are_next_then_active_then_retired_then_gone() {
    let ring = KeyRing::new();
    let old = RingKey::named("old".into(), generate(Algorithm::EdDsa), 0, 0, Some(300)).unwrap();
    let new = RingKey::named("new".into(), generate(Algorithm::EdDsa), 100, 200, None).unwrap();
    let keys = [&old, &new].map(|key| StoredKey {
        id: key.id().to_owned(),
        algorithm: "EdDSA".into(),
        material: Vec::new(),
        sealed: true,
        publish_at: key.publish_at(),
        sign_from: key.sign_from(),
        verify_until: key.verify_until(),
    });
    ring.publish(vec![old, new], Algorithm::EdDsa);
    let set = ring.load();
    use KeyState::{Active, Next, Retired, Unpublished};
    for (now, states, signer, published) in [
        (-1, [Unpublished, Unpublished], None, 0),
        (0, [Active, Unpublished], Some("old"), 1),
        (99, [Active, Unpublished], Some("old"), 1),
        (100, [Active, Next], Some("old"), 2),
        (199, [Active, Next], Some("old"), 2),
        (200, [Retired, Active], Some("new"), 2),
        (299, [Retired, Active], Some("new"), 2),
        (300, [Unpublished, Active], Some("new"), 1),
    ] {
        assert_eq!(
            list(&[], &keys, Algorithm::EdDsa, now)
                .iter()
                .map(|key| key.state)
                .collect::<Vec<_>>(),
            states,
            "{now}"
        );
        assert_eq!(set.signing(now).map(RingKey::id), signer, "{now}");
        let document: Value = serde_json::from_str(&set.jwks(now)).unwrap();
        assert_eq!(document["keys"].as_array().unwrap().len(), published, "{now}");
        assert_eq!(set.verifying("old", now).is_some(), (0..300).contains(&now), "{now}");
    }
}

#[test]
fn a_stored_key_that_cannot_be_read_is_an_error() {
    let (key, material) = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let good = StoredKey {
        id: key.id().unwrap(),
        algorithm: "EdDSA".into(),
        material: material.to_vec(),
        sealed: false,
        publish_at: 0,
        sign_from: 0,
        verify_until: None,
    };
    assert_eq!(from_store(std::slice::from_ref(&good)).unwrap()[0].id(), good.id);
    let sealed = StoredKey {
        sealed: true,
        ..good.clone()
    };
    assert_eq!(from_store(&[sealed]).err(), Some(Error::Sealed(good.id.clone())));
    let odd = StoredKey {
        algorithm: "ES512".into(),
        ..good.clone()
    };
    assert!(matches!(from_store(&[odd]), Err(Error::Unsupported(_))));
    let broken = StoredKey {
        material: vec![1, 2, 3],
        ..good
    };
    assert!(matches!(from_store(&[broken]), Err(Error::Malformed(_))));
}

#[test]
fn nothing_secret_is_printed() {
    let (key, material) = SigningKey::generate(Algorithm::Hs256).unwrap();
    let text = format!(
        "{key:?} {:?}",
        RingKey::new(
            SigningKey::from_material(Algorithm::Hs256, &material).unwrap(),
            0,
            0,
            None
        )
    );
    assert!(text.contains("SigningKey(HS256)"), "{text}");
    for byte_list in [format!("{:?}", &material[..4]), STANDARD.encode(&material[..])] {
        assert!(!text.contains(byte_list.trim_matches(['[', ']'])));
    }
}
