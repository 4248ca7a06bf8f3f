//! Tokens of the praetorian format against what PyJWT 2.1.0 made with the key "hunter2", and against what flask-praetorian says.

mod words;

use aws_lc_rs::hmac;

use super::*;
use crate::revocation::Revocations;
use crate::store::{Change, User};
use crate::token::praetorian::{self, Claim, Fault, MailPurpose, Praetorian, Purpose, Undecodable};

const SECRET: &[u8] = b"hunter2";
const ID: &str = "7f1d6ea5-43ab-4b1d-8c2e-5a8f9b6d1c20";
const ACCESS: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpYXQiOjE4MDAwMDAwMDAsImV4cCI6MTgwMDA4NjQwMCwianRpIjoiN2YxZDZlYTUtNDNhYi00YjFkLThjMmUtNWE4ZjliNmQxYzIwIiwiaWQiOjcsInJscyI6InVzZXIsYWRtaW4iLCJyZl9leHAiOjE4MDI1OTIwMDB9.-Ue7X_z0COgKCeEfoXGvF3xQgkjwXcToi9ca3jBrKY0";
const UNICODE: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpYXQiOjE4MDAwMDAwMDAsImV4cCI6MTgwMDA4NjQwMCwianRpIjoiN2YxZDZlYTUtNDNhYi00YjFkLThjMmUtNWE4ZjliNmQxYzIwIiwiaWQiOjcsInJscyI6IkdyXHUwMGY2XHUwMGRmZSxcImFcXGJcIi9cdWQ4M2RcdWRkMTFcdTAwN2ZcdCIsInJmX2V4cCI6MTgwMjU5MjAwMH0.9WlkSPf5teGnFTiWNyEcZtiEiMg_zTvkERtCbiEj37Y";
const REGISTRATION: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpYXQiOjE4MDAwMDAwMDAsImV4cCI6MTgwMDA4NjQwMCwianRpIjoiN2YxZDZlYTUtNDNhYi00YjFkLThjMmUtNWE4ZjliNmQxYzIwIiwiaWQiOjcsInJscyI6InVzZXIsYWRtaW4iLCJyZl9leHAiOjE4MDI1OTIwMDAsImlzX2VydCI6dHJ1ZX0.jzUjZzDz8qCIcbMTK6OWdK7Zz4aL79FRhWH_wv91obk";
const RESET: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpYXQiOjE4MDAwMDAwMDAsImV4cCI6MTgwMDA4NjQwMCwianRpIjoiN2YxZDZlYTUtNDNhYi00YjFkLThjMmUtNWE4ZjliNmQxYzIwIiwiaWQiOjcsInJscyI6InVzZXIsYWRtaW4iLCJyZl9leHAiOjE4MDI1OTIwMDAsImlzX3BydCI6dHJ1ZX0.wlGiaxjJV-Xouu67D3YaamZHh2mqsc1K1vsy1oD8osE";
/// With claims that an application added, expired at [`NOON`].
const CUSTOM: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpYXQiOjE3OTk5MTM2MDAsImV4cCI6MTgwMDAwMDAwMCwianRpIjoiN2YxZDZlYTUtNDNhYi00YjFkLThjMmUtNWE4ZjliNmQxYzIwIiwiaWQiOjcsInJscyI6InVzZXIsYWRtaW4iLCJyZl9leHAiOjE4MDI1OTIwMDAsInNob3AiOiJiJlx1MDBlNCIsImRlZXAiOnsieCI6WzEsMi41LG51bGwsdHJ1ZSwiXHUyMGFjIl0sImlkIjo5fSwibiI6MWUrMjJ9.pFUUq75eN-wtGZ0J5r1chqU8yg08ayTAoCvcGKJxqnk";
/// What flask-praetorian makes of it five seconds later, when the user has the role `user` alone.
const REFRESHED: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpYXQiOjE4MDAwMDAwMDUsImV4cCI6MTgwMDA4NjQwNSwianRpIjoiN2YxZDZlYTUtNDNhYi00YjFkLThjMmUtNWE4ZjliNmQxYzIwIiwiaWQiOjcsInJscyI6InVzZXIiLCJyZl9leHAiOjE4MDI1OTIwMDAsInNob3AiOiJiJlx1MDBlNCIsImRlZXAiOnsieCI6WzEsMi41LG51bGwsdHJ1ZSwiXHUyMGFjIl0sImlkIjo5fSwibiI6MWUrMjJ9.jmrWfryC1YF8p4WK2ASYPrLc9kNlu64zhtN4kSE2akY";

fn flask_settings() -> Settings {
    let secret = Secret::new(SECRET.to_vec());
    Settings {
        algorithm: Algorithm::Hs256,
        access_ttl: Duration::from_secs(86_400),
        praetorian: Some(praetorian::Settings {
            signing: Some(secret.clone()),
            verifying: vec![
                (secret, None),
                (Secret::new(b"older".to_vec()), None),
                (Secret::new(b"oldest".to_vec()), Some(NOW + 1000)),
            ],
            flask: true,
        }),
        ..settings()
    }
}

fn flask() -> Praetorian {
    Praetorian::new(&flask_settings()).unwrap()
}

fn verifier_of(settings: &Settings) -> Verifier {
    Verifier::new(settings, KeyRing::new(), ADMIN).unwrap().0
}

fn signed_by(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn token(claims: &str) -> String {
    signed_by(SECRET, r#"{"typ":"JWT","alg":"HS256"}"#, claims)
}

/// Usual claims, with some members changed; `null` in Rust's sense takes one away.
fn with(changes: &[(&str, Option<Value>)]) -> String {
    let mut claims = json!({
        "iat": NOON - 10, "exp": NOON + 100, "jti": ID, "id": 7, "rls": "user", "rf_exp": NOON + 1000,
    });
    for (name, value) in changes {
        match value {
            Some(value) => claims[name] = value.clone(),
            None => drop(claims.as_object_mut().unwrap().remove(*name)),
        }
    }
    token(&claims.to_string())
}

fn fault(token: &str) -> Option<Fault> {
    match verifier_of(&flask_settings()).verify(token.as_bytes(), NOW) {
        Ok(verified) => {
            assert_eq!(verified.named, Named::ById);
            None
        }
        Err(Error::Praetorian(fault)) => Some(fault),
        Err(other) => panic!("{other}"),
    }
}

fn user(active: bool, cut_at: Option<i64>) -> User {
    User {
        id: UserId(7),
        username: "alice".into(),
        password: String::new(),
        roles: "user,ops".into(),
        active,
        email: None,
        email_verified: false,
        grants: Vec::new(),
        cut_at,
    }
}

/// All bytes that are not random are as PyJWT writes them.
#[test]
fn tokens_are_made_as_pyjwt_makes_them() {
    let random = SystemRandom::new();
    let renamed = |token: &str| {
        let claims = payload(token);
        let made = serde_json::from_str::<Value>(&claims).unwrap()["jti"]
            .as_str()
            .unwrap()
            .to_owned();
        let uuid = uuid::Uuid::parse_str(&made).unwrap();
        assert_eq!((uuid.get_version_num(), uuid.to_string()), (4, made.clone()));
        super::praetorian::token(&claims.replace(&made, ID))
    };
    let access = |roles: &str| {
        let made = flask().access(UserId(7), roles, &random, NOW + 999).unwrap();
        assert_eq!(made.expires_in, 86_400);
        renamed(made.token.expose())
    };
    assert_eq!(access("user,admin"), ACCESS);
    assert_eq!(access("Größe,\"a\\b\"/🔑\u{7f}\t"), UNICODE);
    for (purpose, expected) in [(MailPurpose::Registration, REGISTRATION), (MailPurpose::Reset, RESET)] {
        let made = flask()
            .mail_token(purpose, UserId(7), "user,admin", &random, NOW)
            .unwrap();
        assert_eq!(renamed(made.token.expose()), expected);
    }
    let mut short = flask_settings();
    short.refresh_ttl = Duration::from_secs(60);
    let made = Praetorian::new(&short)
        .unwrap()
        .access(UserId(7), "", &random, NOW)
        .unwrap();
    assert_eq!(made.expires_in, 60, "an access token does not outlive its refresh");
}

fn payload(token: &str) -> String {
    let part = token.split('.').nth(1).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn tokens_of_pyjwt_are_taken() {
    for good in [ACCESS, UNICODE] {
        let verified = verifier_of(&flask_settings()).verify(good.as_bytes(), NOW).unwrap();
        assert_eq!(verified.person.user, Some(UserId(7)));
        assert_eq!(verified.person.token_id.as_deref(), Some(ID));
        assert_eq!(
            (verified.person.issued_at, verified.person.expires_at),
            (NOON, NOON + 86_400)
        );
        assert_eq!(verified.window.until, (NOON + 86_400) * 1000);
    }
}

#[test]
fn a_refresh_keeps_what_flask_praetorian_keeps() {
    let none = |_: &str| false;
    let old = flask().read_refreshable(CUSTOM.as_bytes(), NOW, &none).unwrap();
    assert_eq!(
        (old.user, old.token_id.as_str(), old.issued_at),
        (Some(UserId(7)), ID, NOON - 86_400)
    );
    let fresh = flask().refreshed(&old, "user", NOW + 5999).unwrap();
    assert_eq!(fresh.token.expose(), REFRESHED);
    assert_eq!(fresh.expires_in, 86_400);
    // Not past the end; and a claim in another spelling stays what it means.
    let late = flask().refreshed(&old, "user", (NOON + 2_592_000 - 7) * 1000).unwrap();
    assert_eq!(late.expires_in, 7);
    let spelled = token(
        "{ \"jti\": 5, \"id\": \"7\", \"exp\" : 1.5, \"rf_exp\":1800000100.5, \"iat\":1, \"x\\u0079\": [ \"ä, {\", {} ] ,\"z\":\"\\\\\" }",
    );
    let old = flask().read_refreshable(spelled.as_bytes(), NOW, &none).unwrap();
    let fresh = flask().refreshed(&old, "", NOW).unwrap();
    assert_eq!(
        payload(fresh.token.expose()),
        r#"{"iat":1800000000,"exp":1800000100.5,"jti":5,"id":"7","rls":"","rf_exp":1800000100.5,"x\u0079":["\u00e4, {",{}],"z":"\\"}"#
    );
}

#[test]
fn refresh_has_its_time() {
    let judged = |exp: i64, rf_exp: i64, now: i64| {
        let token = with(&[("exp", Some(json!(exp))), ("rf_exp", Some(json!(rf_exp)))]);
        let judged = flask().read_refreshable(token.as_bytes(), now, &|_| false);
        judged.map(|_| ()).map_err(Fault::class)
    };
    assert_eq!(judged(NOON, NOON + 9, NOW - 1), Err("EarlyRefreshError"));
    assert_eq!(judged(NOON, NOON + 9, NOW), Ok(()), "in the second of exp");
    assert_eq!(judged(NOON, NOON + 9, NOW + 9_999), Ok(()));
    assert_eq!(judged(NOON, NOON + 9, NOW + 10_000), Err("ExpiredRefreshError"));
    let expired = [("exp", Some(json!(NOON)))];
    for (more, class) in [
        (("is_ert", Some(json!(true))), "MisusedRegistrationToken"),
        (("is_prt", Some(json!(true))), "MisusedResetToken"),
        (("jti", None), "MissingClaimError"),
        (("rf_exp", Some(json!("x"))), "InvalidTokenHeader"),
    ] {
        let token = with(&[expired[0].clone(), more]);
        let judged = flask().read_refreshable(token.as_bytes(), NOW, &|_| false);
        assert_eq!(judged.unwrap_err().class(), class);
    }
    let judged = flask().read_refreshable(with(&expired).as_bytes(), NOW, &|id| id == ID);
    assert_eq!(judged.unwrap_err(), Fault::Blacklisted);
    for body in [
        "",
        "undefined",
        &format!("\"{CUSTOM}\""),
        &format!("{CUSTOM}\n"),
        &format!("Bearer {CUSTOM}"),
        "{}",
    ] {
        let judged = flask().read_refreshable(body.as_bytes(), NOW, &|_| false);
        assert_eq!(judged.unwrap_err().class(), "InvalidTokenHeader", "{body:?}");
    }
}

#[test]
fn mail_tokens_count_for_what_they_are_for() {
    let judged = |purpose, token: &str, now| flask().read_mail_token(purpose, token.as_bytes(), now, &|_| false);
    let (registration, reset) = (MailPurpose::Registration, MailPurpose::Reset);
    let good = judged(registration, REGISTRATION, NOW).unwrap();
    assert_eq!(
        (good.user, good.token_id.as_str(), good.expires_at),
        (UserId(7), ID, NOON + 86_400)
    );
    assert_eq!(judged(reset, RESET, NOW).unwrap().user, UserId(7));
    let after = NOW + 86_400_000;
    for (purpose, token, now, expected) in [
        (registration, ACCESS, NOW, Fault::InvalidRegistration),
        (registration, RESET, NOW, Fault::InvalidRegistration),
        (registration, REGISTRATION, after, Fault::Expired(Purpose::Registration)),
        (reset, ACCESS, NOW, Fault::InvalidReset),
        (reset, REGISTRATION, NOW, Fault::MisusedRegistration(Purpose::Reset)),
        (reset, RESET, after, Fault::Expired(Purpose::Reset)),
    ] {
        assert_eq!(judged(purpose, token, now), Err(expected));
    }
    assert_eq!(fault(REGISTRATION), Some(Fault::MisusedRegistration(Purpose::Access)));
    assert_eq!(fault(RESET), Some(Fault::MisusedReset(Purpose::Access)));
}

#[test]
fn an_end_is_remembered_as_long_as_anything_can_come_of_the_token() {
    let ends = |token: &str, now| flask().revocable(token.as_bytes(), now);
    let of = |seconds: i64| Some((ID.to_owned(), NOON + seconds + 1));
    assert_eq!(ends(ACCESS, NOW), of(2_592_000));
    assert_eq!(
        ends(ACCESS, NOW + 100_000_000),
        of(2_592_000),
        "expired, good for a refresh"
    );
    assert_eq!(ends(ACCESS, NOW + 2_592_000_000), None);
    for mailed in [REGISTRATION, RESET] {
        assert_eq!(ends(mailed, NOW), of(86_400));
        assert_eq!(ends(mailed, NOW + 86_400_000), None);
    }
    let long = with(&[("rf_exp", Some(json!(NOON + 99_999_999)))]);
    assert_eq!(ends(&long, NOW), of(99_999_999), "another server gave it");
    assert_eq!(ends(&long.replace('.', "A."), NOW), None);
}

/// Nobody knows when it was issued, so whatever ended tokens of the user ends it.
#[test]
fn a_time_of_issue_far_ahead_is_not_believed() {
    let issued_at = |ahead: i64| {
        let token = with(&[("iat", Some(json!(NOON + ahead)))]);
        let verified = verifier_of(&flask_settings()).verify(token.as_bytes(), NOW).unwrap();
        verified.person.issued_at
    };
    assert_eq!(issued_at(60), NOON + 60);
    assert_eq!(issued_at(61), 0);
    assert_eq!(issued_at(3600), 0);
    assert!(user(true, Some(1)).cuts(issued_at(3600)));
    assert!(!user(true, None).cuts(issued_at(3600)));
    assert!(!user(true, Some(NOW - 1)).cuts(issued_at(0)));
}

#[test]
fn after_a_change_of_the_format_old_tokens_count_for_a_while() {
    let mut settings = settings();
    let old = |until| (Secret::new(SECRET.to_vec()), until);
    settings.praetorian = Some(praetorian::Settings {
        signing: None,
        verifying: vec![old(Some(NOW + 1000))],
        flask: false,
    });
    let verifier = verifier_of(&settings);
    assert_eq!(
        verifier.verify(ACCESS.as_bytes(), NOW).unwrap().window.until,
        NOW + 1000
    );
    assert!(matches!(
        verifier.verify(ACCESS.as_bytes(), NOW + 1000),
        Err(Error::Praetorian(Fault::Undecodable(Undecodable::Signature)))
    ));
    // What does not look like one is told as ever.
    assert_eq!(verifier.verify(b"a.b.c", NOW).unwrap_err(), Error::Malformed("header"));
    assert_eq!(
        verifier.verify(token("{}").as_bytes(), NOW).unwrap_err(),
        Error::UnknownIssuer
    );
    let random = SystemRandom::new();
    let praetorian = Praetorian::new(&settings).unwrap();
    assert!(praetorian.access(UserId(7), "", &random, NOW).is_err());
    assert!(Praetorian::new(&super::settings()).is_none());
}

#[test]
fn who_it_is_the_revocations_know() {
    let (verifier, known) = (Arc::new(verifier_of(&flask_settings())), Revocations::new());
    known.loaded(NOW);
    let mut cache = Cache::new(10);
    let mut shown = |now| {
        let anew = person_in_force(&verifier, &known, ACCESS.as_bytes(), now);
        let (_, cached) = cache.verify(&verifier, &known, ACCESS.as_bytes(), now, |_| ());
        assert_eq!(anew, cached.map(|accepted| Arc::clone(&accepted.person)));
        anew.map(|person| (person.name.clone(), person.roles.to_column()))
    };
    let told = |user: User| Change::User {
        user: user.id,
        state: Some(Box::new(user)),
        until: i64::MAX,
    };
    assert_eq!(shown(NOW), Err(Error::NotIdentified(UserId(7))));
    known.learn(&user(true, None), ADMIN, NOW);
    assert_eq!(shown(NOW), Ok(("alice".into(), "user,ops".into())));
    known.sweep(i64::MAX - 1);
    assert_eq!(
        shown(NOW),
        Ok(("alice".into(), "user,ops".into())),
        "kept, as somebody asked"
    );
    let _ = known.apply(
        &[told(User {
            roles: "x".into(),
            ..user(true, Some(NOW - 1))
        })],
        ADMIN,
    );
    assert_eq!(
        shown(NOW),
        Ok(("alice".into(), "x".into())),
        "issued in a later second than the cut"
    );
    let _ = known.apply(&[told(user(false, None))], ADMIN);
    assert_eq!(shown(NOW), Err(Error::Praetorian(Fault::Revoked)));
    let _ = known.apply(&[told(user(true, Some(NOW)))], ADMIN);
    assert_eq!(
        shown(NOW),
        Err(Error::Praetorian(Fault::Revoked)),
        "issued before the cut"
    );
    let _ = known.apply(&[told(user(true, None))], ADMIN);
    assert!(shown(NOW).is_ok());
    known.revoke_token_now(ID, i64::MAX);
    assert_eq!(shown(NOW), Err(Error::Praetorian(Fault::Blacklisted)));
    assert_eq!(
        shown(NOW + 99_000_000),
        Err(Error::Praetorian(Fault::Blacklisted)),
        "before its age"
    );
    let gone = Change::User {
        user: UserId(7),
        state: None,
        until: i64::MAX,
    };
    let other = Revocations::new();
    let _ = other.apply(&[gone], ADMIN);
    assert_eq!(
        person_in_force(&verifier, &other, ACCESS.as_bytes(), NOW),
        Err(Error::Praetorian(Fault::UnknownId))
    );
}
