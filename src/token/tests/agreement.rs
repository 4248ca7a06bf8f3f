//! jsonwebtoken as the reference: whatever is accepted here, it accepts under its strictest settings.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::clock::Clock;

fn strict(algorithm: jsonwebtoken::Algorithm, issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

fn reference(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
    }
}

#[test]
fn what_is_issued_here_is_accepted_there() {
    let now = Clock::system().unix_millis();
    for algorithm in ALL {
        let (key, material) = SigningKey::generate(algorithm).unwrap();
        let ring = ring(key);
        let token = issue(&Mint::new(&settings(), ring.clone()), now);
        let document: JwkSet = serde_json::from_str(&ring.load().jwks(now)).unwrap();
        let key = match document.keys.first() {
            Some(jwk) => DecodingKey::from_jwk(jwk).unwrap(),
            None => DecodingKey::from_secret(&material),
        };
        let read = decode::<Value>(&token, &key, &strict(reference(algorithm), OURS, OURS)).unwrap();
        assert_eq!(read.header.typ.as_deref(), Some("at+jwt"));
        assert_eq!(read.claims["username"], "alice");
    }
}

/// Values that a claim may have, of which few are right. Times are far enough from now for two clocks to agree.
fn date() -> impl Strategy<Value = Option<Value>> {
    let now = Clock::system().unix_seconds();
    select(vec![
        None,
        Some(json!(now + 1000)),
        Some(json!(now - 1000)),
        Some(json!(now as f64 + 1000.5)),
        Some(json!(now as f64 - 1000.5)),
        Some(json!(0)),
        Some(json!(-1)),
        Some(json!(1e18)),
        Some(json!(u64::MAX)),
        Some(json!((now + 1000).to_string())),
        Some(json!(null)),
        Some(json!([now + 1000])),
        Some(json!(true)),
    ])
}

fn text(right: &'static str) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        4 => Just(Some(json!(right))),
        2 => select(vec![
            None,
            Some(json!([right])),
            Some(json!(["x", right])),
            Some(json!([right, 1])),
            Some(json!("x")),
            Some(json!("")),
            Some(json!(1)),
            Some(json!(null)),
            Some(json!({})),
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn what_is_accepted_here_is_accepted_there(
        (exp, nbf, iat) in (date(), date(), date()),
        (iss, aud, sub) in (text(THEIRS), text("orders"), text("u-1")),
        typ in select(vec![None, Some("JWT"), Some("at+jwt"), Some("refresh")]),
        bend in select(vec![None, None, None, Some(0), Some(40), Some(-1)]),
    ) {
        let (key, issuer) = symmetric();
        let mut claims = serde_json::Map::new();
        for (name, value) in [("exp", exp), ("nbf", nbf), ("iat", iat), ("iss", iss), ("aud", aud), ("sub", sub)] {
            claims.extend(value.map(|value| (name.to_owned(), value)));
        }
        claims.insert("preferred_username".into(), json!("alice"));
        let header = typ.map_or(json!({"alg": "HS256"}), |typ| json!({"alg": "HS256", "typ": typ}));
        let mut token = forge(&key, &header.to_string(), &Value::Object(claims).to_string()).into_bytes();
        if let Some(at) = bend {
            let at = if at < 0 { token.len() - 2 } else { at as usize };
            token[at] = if token[at] == b'A' { b'B' } else { b'A' };
        }
        let now = Clock::system().unix_millis();
        if trusting(issuer).verify(&token, now).is_ok() {
            let validation = strict(jsonwebtoken::Algorithm::HS256, THEIRS, "orders");
            let there = decode::<Value>(&token, &DecodingKey::from_secret(&[9; 32]), &validation);
            prop_assert!(there.is_ok(), "{:?}: {}", there.err(), String::from_utf8_lossy(&token));
        }
    }
}
