//! What is let pass, what is refused, and in which words: those of flask-praetorian and PyJWT.

use super::*;

#[test]
fn a_token_that_names_this_gateway_is_refused_in_the_librarys_words_too() {
    let named = |header: &str, claims: Value| {
        let mut claims = claims;
        claims["iss"] = json!(flask_settings().issuer);
        let key = SigningKey::from_material(Algorithm::Hs256, &[7; 32]).unwrap();
        let verifier = verifier(&flask_settings(), &ring(key));
        let token = signed_by(b"nobody's", header, &claims.to_string());
        match verifier.verify(token.as_bytes(), NOW) {
            Err(Error::Praetorian(fault)) => Some(fault),
            other => panic!("{other:?}"),
        }
    };
    let is = |why| Some(Fault::Undecodable(why));
    let claims = json!({"sub": "7", "exp": NOON + 100, "jti": ID});
    assert_eq!(
        named(r#"{"typ":"at+jwt","alg":"EdDSA","kid":"x"}"#, claims.clone()),
        is(Undecodable::Algorithm)
    );
    assert_eq!(
        named(r#"{"typ":"at+jwt","alg":"HS256","kid":"x"}"#, claims),
        is(Undecodable::Signature)
    );
}

#[test]
fn what_the_table_lets_pass_passes() {
    for changes in [
        vec![("iat", None)],
        vec![("rls", None)],
        vec![("rls", Some(json!(5)))],
        vec![("iat", Some(json!(NOON + 9_999)))],
        vec![("more", Some(json!({"a": [1]})))],
        vec![("exp", Some(json!(1_800_000_000.5)))],
        vec![("id", Some(json!("7")))],
        vec![("nbf", Some(json!(NOON)))],
    ] {
        assert_eq!(fault(&with(&changes)), None, "{changes:?}");
    }
    let claims = payload(&with(&[]));
    for header in [
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"HS256","kid":"x","crit":["y"]}"#,
    ] {
        assert_eq!(fault(&signed_by(SECRET, header, &claims)), None, "{header}");
    }
    for secret in [&b"older"[..], b"oldest"] {
        assert_eq!(fault(&signed_by(secret, r#"{"alg":"HS256"}"#, &claims)), None);
    }
}

#[test]
fn what_is_wrong_is_said_as_flask_praetorian_says_it() {
    let is = |why| Some(Fault::Undecodable(why));
    for (token, expected) in [
        ("abc", is(Undecodable::Segments)),
        ("a.b", is(Undecodable::Segments)),
        ("undefined", is(Undecodable::Segments)),
        ("a.b.c", is(Undecodable::HeaderPadding)),
        (&format!("{ACCESS}.x"), is(Undecodable::CryptoPadding)),
        (&ACCESS[..ACCESS.len() - 2], is(Undecodable::CryptoPadding)),
        // Python passes over trailing bits, and over what is no base64url.
        (&ACCESS[..ACCESS.len() - 1], is(Undecodable::Signature)),
        (&format!("{}1", &ACCESS[..ACCESS.len() - 1]), is(Undecodable::Signature)),
        (&format!("{ACCESS}="), is(Undecodable::Signature)),
        (&format!("{ACCESS}AA"), is(Undecodable::CryptoPadding)),
        (&format!("{}A", &ACCESS[..ACCESS.len() - 1]), is(Undecodable::Signature)),
        (&"x".repeat(8193), is(Undecodable::TooLong)),
        (&token("[]"), is(Undecodable::PayloadString)),
        (&token("{"), is(Undecodable::PayloadString)),
        (
            &token(&payload(ACCESS).replacen('{', "{\"id\":1,", 1)),
            is(Undecodable::PayloadString),
        ),
        (&token(&"[".repeat(5000)), is(Undecodable::PayloadString)),
    ] {
        assert_eq!(fault(token), expected, "{token}");
    }
    for (header, expected) in [
        (r#"{"alg":"none"}"#, Undecodable::Algorithm),
        (r#"{"alg":"None"}"#, Undecodable::Algorithm),
        (r#"{"alg":"HS384"}"#, Undecodable::Algorithm),
        (r#"{"alg":"RS256"}"#, Undecodable::Algorithm),
        (r#"{"alg":["HS256"]}"#, Undecodable::Algorithm),
        (r#"{}"#, Undecodable::Algorithm),
        (r#"{"alg":"none","alg":"HS256"}"#, Undecodable::HeaderString),
        ("[]", Undecodable::HeaderString),
    ] {
        assert_eq!(
            fault(&signed_by(SECRET, header, &payload(ACCESS))),
            is(expected),
            "{header}"
        );
    }
    assert_eq!(
        fault(&signed_by(b"other", r#"{"alg":"HS256"}"#, &payload(ACCESS))),
        is(Undecodable::Signature)
    );
    for (changes, expected) in [
        (("nbf", Some(json!(NOON + 1))), is(Undecodable::Immature)),
        (("nbf", Some(json!("99999999999"))), is(Undecodable::Immature)),
        (("nbf", Some(json!([]))), is(Undecodable::NotBefore)),
        (("iat", Some(json!("x"))), is(Undecodable::IssuedAt)),
        (("aud", Some(Value::Null)), is(Undecodable::Audience)),
        (("jti", None), Some(Fault::MissingClaim(Claim::Jti))),
        (("id", None), Some(Fault::MissingClaim(Claim::Id))),
        (("exp", None), Some(Fault::MissingClaim(Claim::Exp))),
        (("rf_exp", None), Some(Fault::MissingClaim(Claim::RfExp))),
        (("exp", Some(json!("never"))), is(Undecodable::Expiry)),
        (("exp", Some(json!(NOON))), Some(Fault::Expired(Purpose::Access))),
        (
            ("is_ert", Some(json!(false))),
            Some(Fault::MisusedRegistration(Purpose::Access)),
        ),
        (
            ("is_prt", Some(json!(null))),
            Some(Fault::MisusedReset(Purpose::Access)),
        ),
        (("id", Some(Value::Null)), Some(Fault::NoId)),
        (("id", Some(json!("x"))), Some(Fault::UnknownId)),
        (("id", Some(json!("07"))), Some(Fault::UnknownId)),
        (("id", Some(json!(true))), Some(Fault::UnknownId)),
        (("id", Some(json!([7]))), Some(Fault::UnknownId)),
    ] {
        assert_eq!(fault(&with(std::slice::from_ref(&changes))), expected, "{changes:?}");
    }
    assert_eq!(
        fault(&token(&payload(ACCESS).replace("1800086400", "1e400"))),
        is(Undecodable::PayloadString)
    );
}

#[test]
fn the_texts_and_statuses_are_those_of_the_library() {
    for (fault, class, text, status) in [
        (
            Fault::MissingToken,
            "MissingToken",
            "JWT token not found in headers under 'Authorization'",
            401,
        ),
        (
            Fault::HeaderStructure,
            "InvalidTokenHeader",
            "JWT header structure is invalid",
            401,
        ),
        (
            Fault::Undecodable(Undecodable::Algorithm),
            "InvalidTokenHeader",
            "failed to decode JWT token -- InvalidAlgorithmError: The specified alg value is not allowed",
            401,
        ),
        (
            Fault::MissingClaim(Claim::Id),
            "MissingClaimError",
            "Token is missing id field",
            401,
        ),
        (
            Fault::Blacklisted,
            "BlacklistedError",
            "Token has a blacklisted jti",
            403,
        ),
        (
            Fault::EarlyRefresh,
            "EarlyRefreshError",
            "access permission for token has not expired. may not refresh",
            425,
        ),
        (
            Fault::Inactive,
            "InvalidUserError",
            "The user is not valid or has had access revoked",
            403,
        ),
        (
            Fault::Revoked,
            "InvalidUserError",
            "The user is not valid or has had access revoked",
            401,
        ),
        (
            Fault::MissingUser,
            "MissingUserError",
            "Could not find the requested user",
            401,
        ),
    ] {
        assert_eq!((fault.class(), &*fault.text(), fault.status()), (class, text, status));
    }
}
