//! Tokens made to get past: RFC 8725 and what other verifiers let pass.

use super::*;

/// A world with a token of ours that is good, to be bent.
struct World {
    key: SigningKey,
    verifier: Verifier,
    jwk: Value,
}

impl World {
    fn of(algorithm: Algorithm) -> Self {
        let (key, material) = SigningKey::generate(algorithm).unwrap();
        let ring = ring(SigningKey::from_material(algorithm, &material).unwrap());
        let document: Value = serde_json::from_str(&ring.load().jwks(NOW)).unwrap();
        Self {
            key,
            verifier: verifier(&settings(), &ring),
            jwk: document["keys"][0].clone(),
        }
    }

    fn verdict(&self, token: impl AsRef<[u8]>) -> Result<(), Error> {
        self.verifier.verify(token.as_ref(), NOW).map(|_| ())
    }

    fn with_header(&self, header: &str) -> Result<(), Error> {
        self.verdict(forge(&self.key, header, &our_claims().to_string()))
    }

    fn with_claims(&self, claims: &str) -> Result<(), Error> {
        self.verdict(forge(&self.key, &our_header(&self.key).to_string(), claims))
    }

    fn good(&self) -> String {
        forge(&self.key, &our_header(&self.key).to_string(), &our_claims().to_string())
    }
}

#[test]
fn the_algorithm_is_the_keys_whatever_the_token_says() {
    for algorithm in ALL {
        let world = World::of(algorithm);
        assert_eq!(world.verdict(world.good()), Ok(()));
        let header = our_header(&world.key);
        for alg in [
            "none", "None", "NONE", "nOnE", "", "HS256", "HS384", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA",
            "eddsa", "Ed25519", " ES256",
        ] {
            if alg == algorithm.as_str() {
                continue;
            }
            let header = with(&header, "alg", json!(alg)).to_string();
            assert_eq!(
                world.with_header(&header),
                Err(Error::WrongAlgorithm),
                "{algorithm:?} as {alg}"
            );
            let unsigned = format!("{}.{}.", part(&header), part(&our_claims().to_string()));
            assert_eq!(world.verdict(unsigned), Err(Error::WrongAlgorithm));
        }
        for alg in [json!(null), json!(["EdDSA"]), json!({}), json!(1), json!(true)] {
            let header = with(&header, "alg", alg).to_string();
            assert!(matches!(world.with_header(&header), Err(Error::UnsupportedHeader(_))));
        }
        let header = without(&header, "alg").to_string();
        assert!(matches!(world.with_header(&header), Err(Error::UnsupportedHeader(_))));
    }
}

#[test]
fn no_public_key_serves_as_a_secret() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let world = World::of(algorithm);
        let header = with(&our_header(&world.key), "alg", json!("HS256")).to_string();
        let jwk = world.jwk.to_string();
        let raw = world.jwk["x"].as_str().or(world.jwk["n"].as_str()).unwrap().to_owned();
        let spelled = [pem("PUBLIC KEY", raw.as_bytes()), jwk, raw.clone(), "0".repeat(32)];
        for secret in spelled {
            let key = SigningKey::from_material(Algorithm::Hs256, secret.as_bytes()).unwrap();
            let token = forge(&key, &header, &our_claims().to_string());
            assert_eq!(world.verdict(token), Err(Error::WrongAlgorithm));
            let token = forge(&key, &our_header(&world.key).to_string(), &our_claims().to_string());
            assert_eq!(world.verdict(token), Err(Error::BadSignature));
        }
    }
}

#[test]
fn a_key_file_is_no_secret_either() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("idp.pem");
    let text = pair.public_key_pem();
    std::fs::write(&path, &text).unwrap();
    // Even where the operator allows both algorithms.
    let issuer = trusted(KeySource::KeyFile(path), &[Algorithm::Es256, Algorithm::Hs256]);
    let verifier = trusting(issuer);
    for secret in [
        text.as_bytes(),
        text.trim_end().as_bytes(),
        &STANDARD
            .decode(text.lines().filter(|line| !line.starts_with("--")).collect::<String>())
            .unwrap(),
    ] {
        let key = SigningKey::from_material(Algorithm::Hs256, secret).unwrap();
        let token = forge(&key, r#"{"alg":"HS256"}"#, &their_claims().to_string());
        assert_eq!(verifier.verify(token.as_bytes(), NOW), Err(Error::WrongAlgorithm));
    }
}

#[test]
fn a_token_does_not_bring_its_key() {
    let world = World::of(Algorithm::Es256);
    let thief = generate(Algorithm::Es256);
    let theirs: Value = serde_json::from_str(&ring(generate(Algorithm::Es256)).load().jwks(NOW)).unwrap();
    let header = our_header(&world.key);
    for (name, value) in [
        ("jwk", theirs["keys"][0].clone()),
        ("jku", json!("https://evil.example.com/jwks.json")),
        ("x5u", json!("https://evil.example.com/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
    ] {
        let header = with(&header, name, value).to_string();
        let token = forge(&thief, &header, &our_claims().to_string());
        assert_eq!(world.verdict(token), Err(Error::BadSignature), "{name}");
        assert_eq!(
            world.with_header(&header),
            Ok(()),
            "{name} says nothing in a good token"
        );
    }
}

#[test]
fn the_key_must_be_one_of_ours() {
    let world = World::of(Algorithm::EdDsa);
    let header = our_header(&world.key);
    for kid in [
        "",
        "../../dev/null",
        "' OR 1=1 --",
        "/proc/self/environ",
        &"k".repeat(5000),
    ] {
        assert_eq!(
            world.with_header(&with(&header, "kid", json!(kid)).to_string()),
            Err(Error::UnknownKey),
            "{kid}"
        );
    }
    assert_eq!(
        world.with_header(&without(&header, "kid").to_string()),
        Err(Error::UnknownKey)
    );
    for kid in [json!(1), json!(null), json!(["a"]), json!({})] {
        let verdict = world.with_header(&with(&header, "kid", kid).to_string());
        assert!(matches!(verdict, Err(Error::UnsupportedHeader(_))));
    }
}

#[test]
fn no_extension_is_understood_so_none_may_be_critical() {
    let world = World::of(Algorithm::EdDsa);
    let header = our_header(&world.key);
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(null)),
        ("crit", json!("b64")),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
    ] {
        let verdict = world.with_header(&with(&header, name, value).to_string());
        assert_eq!(
            verdict,
            Err(Error::UnsupportedHeader(if name == "enc" {
                "enc: the token is encrypted"
            } else {
                name
            }))
        );
    }
    assert_eq!(
        world.with_header(&with(&header, "cty", json!("json")).to_string()),
        Ok(())
    );
}

#[test]
fn a_token_of_another_kind_is_no_access_token() {
    let world = World::of(Algorithm::EdDsa);
    let header = our_header(&world.key);
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert_eq!(
            world.with_header(&with(&header, "typ", json!(typ)).to_string()),
            Ok(()),
            "{typ}"
        );
    }
    for typ in [
        "",
        "JWT",
        "jwt",
        "refresh+jwt",
        "id_token",
        "assertion+jwt",
        "secevent+jwt",
        "application/",
        "at+jwt ",
        "text/at+jwt",
        "application/application/at+jwt",
    ] {
        assert_eq!(
            world.with_header(&with(&header, "typ", json!(typ)).to_string()),
            Err(Error::WrongKind),
            "{typ}"
        );
    }
    assert_eq!(
        world.with_header(&without(&header, "typ").to_string()),
        Err(Error::WrongKind)
    );
    let verdict = world.with_header(&with(&header, "typ", json!(1)).to_string());
    assert!(matches!(verdict, Err(Error::UnsupportedHeader(_))));
}

#[test]
fn one_token_has_one_spelling() {
    let world = World::of(Algorithm::EdDsa);
    let good = world.good();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!()
    };
    // 64 bytes end in a character of which four bits are unused: its neighbours decode to the same in a lenient decoder.
    let last = signature.chars().last().unwrap();
    let alphabet: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['-', '_'])
        .collect();
    let at = alphabet.iter().position(|c| *c == last).unwrap();
    let twin = format!("{}{}", &signature[..signature.len() - 1], alphabet[at + 1]);
    let bent = [
        format!("{header}.{payload}.{twin}"),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}\n"),
        format!(" {header}.{payload}.{signature}"),
        format!("{header}.{payload}. {signature}"),
        format!("{header}.{payload}\r\n.{signature}"),
        format!("{header}.{payload}.{signature}\0"),
        format!("{header}.{payload}.{signature}."),
        format!(".{header}.{payload}.{signature}"),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")),
        format!("{header}.{payload}.{}", &signature[..signature.len() - 1]),
        format!("{header}.{payload}.{signature}A"),
        format!("{header}.{payload}.{signature}AA"),
        format!("{header}.{payload}.{signature}é"),
        format!("{header}..{payload}.{signature}"),
        "..".into(),
        "".into(),
        ".".repeat(8192),
    ];
    for token in bent {
        let verdict = world.verdict(&token);
        let changed_signature = token.contains('+') || !signature.contains(['-', '_']);
        assert!(
            matches!(verdict, Err(Error::Malformed(_) | Error::BadSignature))
                || (verdict.is_ok() && token == good && changed_signature),
            "{token:?}: {verdict:?}"
        );
    }
    assert_eq!(
        world.verdict([good.as_bytes(), &[0xff]].concat()),
        Err(Error::Malformed("signature"))
    );
}

#[test]
fn what_is_too_long_is_not_looked_at() {
    let world = World::of(Algorithm::EdDsa);
    assert_eq!(world.verdict(".".repeat(8193)), Err(Error::TooLong));
    assert_eq!(world.verdict("a".repeat(10_000_000)), Err(Error::TooLong));
    let long = with(&our_claims(), "pad", json!("x".repeat(8000)));
    assert_eq!(world.with_claims(&long.to_string()), Err(Error::TooLong));
}

#[test]
fn no_member_stands_twice() {
    let world = World::of(Algorithm::EdDsa);
    let (header, claims) = (our_header(&world.key).to_string(), our_claims().to_string());
    let doubled = |object: &str, member: &str| format!("{},{member}}}", &object[..object.len() - 1]);
    for member in [
        r#""alg":"EdDSA""#,
        r#""typ":"at+jwt""#,
        r#""kid":"x""#,
        r#""\u0061lg":"none""#,
        r#""x":1,"x":2"#,
    ] {
        assert_eq!(
            world.with_header(&doubled(&header, member)),
            Err(Error::Malformed("header")),
            "{member}"
        );
    }
    for member in [
        r#""exp":9999999999"#,
        r#""aud":"x""#,
        r#""sub":"7""#,
        r#""role\u0073":["admin"]"#,
        r#""x":1,"x":2"#,
        r#""x":{"y":1,"y":2}"#,
    ] {
        assert_eq!(
            world.with_claims(&doubled(&claims, member)),
            Err(Error::Malformed("claims")),
            "{member}"
        );
    }
    assert_eq!(
        world.with_claims(&doubled(&claims, &format!(r#""iss":"{OURS}""#))),
        Err(Error::UnknownIssuer)
    );
    // Many members are compared another way.
    let many = |last: &str| {
        (0..40)
            .map(|n| format!(r#""m{n}":1"#))
            .chain([last.to_owned()])
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(world.with_claims(&doubled(&claims, &many(r#""m40":1"#))), Ok(()));
    assert_eq!(
        world.with_claims(&doubled(&claims, &many(r#""m3":1"#))),
        Err(Error::Malformed("claims"))
    );
    assert_eq!(
        world.with_claims(&doubled(&claims, &many(r#""exp":1"#))),
        Err(Error::Malformed("claims"))
    );
}

#[test]
fn header_and_claims_are_json_objects_and_nothing_else() {
    let world = World::of(Algorithm::EdDsa);
    let claims = our_claims().to_string();
    for text in [
        "[]",
        "null",
        "1",
        "\"x\"",
        "{",
        "{}}",
        "{} {}",
        "{\"a\":NaN}",
        "{'a':1}",
        "{\"a\":1,}",
        "\u{feff}{}",
        "{\"a\":\"\n\"}",
    ] {
        assert!(world.with_header(text).is_err(), "{text}");
        assert!(world.with_claims(text).is_err(), "{text}");
    }
    for tail in ["x", "{}", "\0", ","] {
        assert_eq!(
            world.with_claims(&format!("{claims}{tail}")),
            Err(Error::Malformed("claims")),
            "{tail}"
        );
    }
    for member in [
        r#""x":1e400"#,
        r#""x":"\ud800""#,
        r#""x":01"#,
        r#""x":+1"#,
        r#""x":"\x""#,
    ] {
        let claims = format!("{{{member},{}", &claims[1..]);
        assert_eq!(world.with_claims(&claims), Err(Error::Malformed("claims")), "{member}");
    }
    let invalid = [&b"{\"x\":\""[..], &[0xff], b"\"}"].concat();
    let token = format!(
        "{}.{}.AAAA",
        part(&our_header(&world.key).to_string()),
        URL_SAFE_NO_PAD.encode(invalid)
    );
    assert_eq!(world.verdict(token), Err(Error::Malformed("payload")));
}

#[test]
fn deep_nesting_ends_early() {
    let world = World::of(Algorithm::EdDsa);
    let nested = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!("{{\"x\":{value},{}", &our_claims().to_string()[1..])
    };
    assert_eq!(world.with_claims(&nested(15)), Ok(()));
    for depth in [16, 17, 127, 128, 1000, 2500] {
        assert_eq!(
            world.with_claims(&nested(depth)),
            Err(Error::Malformed("claims")),
            "{depth}"
        );
    }
    let header = format!(
        "{{\"x\":{}{},{}",
        "[".repeat(2000),
        "]".repeat(2000),
        &our_header(&world.key).to_string()[1..]
    );
    assert_eq!(world.with_header(&header), Err(Error::Malformed("header")));
}

#[test]
fn claims_are_of_their_type_or_the_token_is_refused() {
    let world = World::of(Algorithm::EdDsa);
    let claims = our_claims();
    let wrong = [
        (
            "exp",
            vec![
                json!("never"),
                json!("1900000000"),
                json!(1.9e9),
                json!(NOON as f64 + 900.5),
                json!(null),
                json!([NOON + 900]),
                json!(true),
                json!(u64::MAX),
                json!(-1),
                json!(i64::MIN),
            ],
            Error::BadClaim("exp"),
        ),
        (
            "exp",
            vec![json!(0), json!(1), json!(NOON - 1), json!(NOON)],
            Error::Expired,
        ),
        (
            "nbf",
            vec![json!("99999999999"), json!("0"), json!(1.5), json!(null), json!([])],
            Error::BadClaim("nbf"),
        ),
        ("nbf", vec![json!(NOON + 1), json!(i64::MAX)], Error::NotYetValid),
        (
            "iat",
            vec![json!("0"), json!(1.5), json!(null), json!({})],
            Error::BadClaim("iat"),
        ),
        ("iat", vec![json!(NOON + 61), json!(i64::MAX)], Error::NotYetValid),
        (
            "aud",
            vec![json!(1), json!(null), json!({}), json!([OURS, 1]), json!([[OURS]])],
            Error::BadClaim("aud"),
        ),
        (
            "aud",
            vec![
                json!(""),
                json!("other"),
                json!([]),
                json!(["other"]),
                json!(format!("{OURS}/")),
                json!(OURS.to_uppercase()),
            ],
            Error::WrongAudience,
        ),
        (
            "iss",
            vec![
                json!(1),
                json!(null),
                json!([OURS]),
                json!(""),
                json!("https://evil.example.com"),
                json!(format!("{OURS}/")),
            ],
            Error::UnknownIssuer,
        ),
        (
            "sub",
            vec![
                json!(7),
                json!(null),
                json!(""),
                json!("x"),
                json!("07"),
                json!("+7"),
                json!(" 7"),
                json!("9223372036854775808"),
            ],
            Error::BadClaim("sub"),
        ),
        (
            "sid",
            vec![json!(7), json!(null), json!(""), json!("short"), json!("A".repeat(23))],
            Error::BadClaim("sid"),
        ),
        ("jti", vec![json!(7), json!(null), json!("")], Error::BadClaim("jti")),
        (
            "username",
            vec![json!(7), json!(null), json!(""), json!(["alice"])],
            Error::BadClaim("username"),
        ),
        (
            "roles",
            vec![
                json!("admin"),
                json!(null),
                json!([1]),
                json!(["user", null]),
                json!({"admin": true}),
            ],
            Error::BadClaim("roles"),
        ),
        ("email", vec![json!(7), json!(null)], Error::BadClaim("email")),
    ];
    for (name, values, expected) in wrong {
        for value in values {
            let verdict = world.with_claims(&with(&claims, name, value.clone()).to_string());
            assert_eq!(verdict, Err(expected.clone()), "{name}: {value}");
        }
    }
    for name in ["exp", "iat", "aud", "sub", "sid", "jti", "username", "roles"] {
        let verdict = world.with_claims(&without(&claims, name).to_string());
        assert_eq!(verdict, Err(Error::BadClaim(name)), "without {name}");
    }
    assert_eq!(
        world.with_claims(&without(&claims, "iss").to_string()),
        Err(Error::UnknownIssuer)
    );
    for (name, value) in [
        ("aud", json!(["other", OURS])),
        ("roles", json!([])),
        ("exp", json!(i64::MAX)),
        ("nbf", json!(0)),
        ("iat", json!(NOON + 60)),
    ] {
        assert_eq!(
            world.with_claims(&with(&claims, name, value).to_string()),
            Ok(()),
            "{name}"
        );
    }
}

#[test]
fn signatures_have_one_form() {
    let world = World::of(Algorithm::Es256);
    let signed = format!(
        "{}.{}",
        part(&our_header(&world.key).to_string()),
        part(&our_claims().to_string())
    );
    let raw = world.key.sign(signed.as_bytes()).unwrap();
    let token = |signature: &[u8]| format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(world.verdict(token(&raw)), Ok(()));
    let (r, s) = raw.split_at(32);
    let integer = |number: &[u8]| {
        let pad: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
        [&[2, (number.len() + pad.len()) as u8], pad, number].concat()
    };
    let body = [integer(r), integer(s)].concat();
    let der = [&[0x30, body.len() as u8][..], &body].concat();
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    for bad in [
        der,
        vec![0; 64],
        [&order[..], &order[..]].concat(),
        [r, &[0; 32]].concat(),
        [&[0; 32], s].concat(),
        [r, &order[..]].concat(),
        [s, r].concat(),
        [&raw[..], &[0]].concat(),
        [&[0], &raw[..]].concat(),
        raw[..63].to_vec(),
        Vec::new(),
        vec![0; 1],
        vec![0xff; 64],
    ] {
        assert_eq!(world.verdict(token(&bad)), Err(Error::BadSignature), "{bad:?}");
    }
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    for algorithm in ALL {
        let world = World::of(algorithm);
        let good = world.good().into_bytes();
        for at in 0..good.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut bent = good.clone();
                bent[at] ^= flip;
                assert!(world.verdict(&bent).is_err(), "{algorithm:?} byte {at}");
            }
        }
        for length in 0..good.len() {
            assert!(world.verdict(&good[..length]).is_err());
        }
    }
}

#[test]
fn the_fuzz_entry_holds_its_promise_for_what_is_here() {
    let world = World::of(Algorithm::EdDsa);
    let refresh = mint(&SystemRandom::new()).unwrap().token;
    for data in [
        world.good().as_bytes(),
        refresh.expose().as_bytes(),
        b"",
        b"..",
        b"e30.e30.",
        b"\xff",
    ] {
        assert_eq!(fuzz_token(data), Ok(()));
    }
}
