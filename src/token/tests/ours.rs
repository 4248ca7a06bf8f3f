//! Tokens of our own: what is issued is what is read.

use super::*;
use crate::principal::{CredentialKind, Issuer};

#[test]
fn what_is_issued_is_verified_with_every_algorithm() {
    for algorithm in ALL {
        let (settings, ring) = (settings(), ring(generate(algorithm)));
        let mint = Mint::new(&settings, ring.clone());
        let roles = roles("user,ops");
        let subject = Subject {
            email: Some("a@example.com"),
            ..subject(&roles)
        };
        let access = mint.access(&subject, &SystemRandom::new(), NOW + 999).unwrap();
        assert_eq!(access.expires_in, 900);
        let verified = verifier(&settings, &ring)
            .verify(access.token.expose().as_bytes(), NOW)
            .unwrap();
        let person = &verified.person;
        assert_eq!(
            (&person.issuer, person.user, person.subject.as_str()),
            (&Issuer::Local, Some(UserId(7)), "7")
        );
        assert_eq!(
            (person.name.as_str(), person.roles.to_column().as_str()),
            ("alice", "user,ops")
        );
        assert_eq!(
            (person.session, person.email.as_deref()),
            (Some(SessionId([7; 16])), Some("a@example.com"))
        );
        assert_eq!((person.issued_at, person.expires_at), (NOON, NOON + 900));
        assert_eq!(
            (person.credential, verified.kind),
            (CredentialKind::Bearer, Kind::Access)
        );
        assert_eq!(person.token_id.as_ref().unwrap().len(), 22);
    }
}

#[test]
fn two_tokens_of_one_moment_differ_and_none_outlives_its_session() {
    let (settings, ring) = (settings(), ring(generate(Algorithm::EdDsa)));
    let mint = Mint::new(&settings, ring.clone());
    assert_ne!(issue(&mint, NOW), issue(&mint, NOW));
    let roles = roles("");
    let short = Subject {
        session_ends: NOW + 60_500,
        ..subject(&roles)
    };
    let access = mint.access(&short, &SystemRandom::new(), NOW).unwrap();
    assert_eq!(access.expires_in, 60);
    assert_eq!(
        verifier(&settings, &ring)
            .verify(access.token.expose().as_bytes(), NOW)
            .unwrap()
            .person
            .expires_at,
        NOON + 60
    );
}

#[test]
fn several_audiences_are_issued_as_a_list_and_one_suffices() {
    let settings = Settings {
        audience: vec!["a".into(), "b".into()],
        ..settings()
    };
    let ring = ring(generate(Algorithm::EdDsa));
    let token = issue(&Mint::new(&settings, ring.clone()), NOW);
    let narrower = Settings {
        audience: vec!["b".into()],
        ..settings
    };
    assert!(verifier(&narrower, &ring).verify(token.as_bytes(), NOW).is_ok());
    let other = Settings {
        audience: vec!["c".into()],
        ..narrower
    };
    assert_eq!(
        verifier(&other, &ring).verify(token.as_bytes(), NOW),
        Err(Error::WrongAudience)
    );
}

#[test]
fn without_keys_nothing_is_issued_and_nothing_of_ours_is_judged() {
    let (settings, ring) = (settings(), KeyRing::new());
    let roles = roles("");
    let failed = Mint::new(&settings, ring.clone()).access(&subject(&roles), &SystemRandom::new(), NOW);
    assert!(matches!(failed, Err(IssueError::NoKey)));
    let key = generate(Algorithm::EdDsa);
    let token = forge(&key, &our_header(&key).to_string(), &our_claims().to_string());
    assert_eq!(
        verifier(&settings, &ring).verify(token.as_bytes(), NOW),
        Err(Error::NotReady)
    );
}

#[test]
fn a_token_lives_exactly_as_long_as_it_says() {
    let key = generate(Algorithm::EdDsa);
    let (header, claims) = (our_header(&key).to_string(), our_claims());
    let token = forge(&key, &header, &claims.to_string());
    let ahead = forge(&key, &header, &with(&claims, "iat", json!(NOON + 61)).to_string());
    let waiting = forge(&key, &header, &with(&claims, "nbf", json!(NOON + 10)).to_string());
    let ring = ring(key);
    let strict = verifier(&settings(), &ring);
    let lenient = verifier(
        &Settings {
            leeway: Duration::from_secs(5),
            ..settings()
        },
        &ring,
    );
    let end = NOW + 900_000;
    for (verifier, token, now, expected) in [
        (&strict, &token, end - 1, None),
        (&strict, &token, end, Some(Error::Expired)),
        (&lenient, &token, end + 4_999, None),
        (&lenient, &token, end + 5_000, Some(Error::Expired)),
        (&strict, &token, NOW - 60_000, None),
        (&strict, &token, NOW - 60_001, Some(Error::NotYetValid)),
        (&strict, &ahead, NOW, Some(Error::NotYetValid)),
        (&strict, &ahead, NOW + 1_000, None),
        (&strict, &waiting, NOW + 9_999, Some(Error::NotYetValid)),
        (&strict, &waiting, NOW + 10_000, None),
        (&lenient, &waiting, NOW + 5_000, None),
        (&lenient, &waiting, NOW + 4_999, Some(Error::NotYetValid)),
    ] {
        assert_eq!(verifier.verify(token.as_bytes(), now).err(), expected, "{now}");
    }
}

#[test]
fn a_retired_key_verifies_until_its_end_and_bounds_what_may_be_remembered() {
    let key = generate(Algorithm::EdDsa);
    let token = forge(&key, &our_header(&key).to_string(), &our_claims().to_string());
    let ring = KeyRing::new();
    let (from, until) = (NOW - 1_000, NOW + 2_000);
    ring.publish(
        vec![RingKey::new(key, from, from, Some(until)).unwrap()],
        Algorithm::EdDsa,
    );
    let verifier = verifier(&settings(), &ring);
    assert_eq!(
        verifier.verify(token.as_bytes(), from).unwrap().window,
        Window { from, until }
    );
    assert_eq!(verifier.verify(token.as_bytes(), from - 1), Err(Error::UnknownKey));
    assert_eq!(verifier.verify(token.as_bytes(), until), Err(Error::UnknownKey));
}

#[test]
fn an_inspection_shows_what_is_there_and_what_is_wrong() {
    let key = generate(Algorithm::EdDsa);
    let token = forge(&key, &our_header(&key).to_string(), &our_claims().to_string());
    let verifier = verifier(&settings(), &ring(key));
    let good = inspect(&verifier, &token, NOW);
    assert_eq!(good.claims, Some(our_claims()));
    assert!(good.verdict.is_ok());
    let tail = if token.ends_with("AAAA") { "BBBA" } else { "AAAA" };
    let bad = inspect(
        &verifier,
        &format!("{}{tail}", &token[..token.len() - 4]),
        NOW + 900_000,
    );
    assert_eq!(bad.header.unwrap()["alg"], "EdDSA");
    assert_eq!(bad.verdict, Err(Error::BadSignature));
    let rubbish = inspect(&verifier, "rubbish", NOW);
    assert_eq!((rubbish.header, rubbish.claims), (None, None));
    assert_eq!(
        rubbish.verdict.unwrap_err().to_string(),
        "the token is malformed: not three parts"
    );
}
