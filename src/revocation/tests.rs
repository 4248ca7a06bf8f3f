//! Tests of this part.
#![allow(clippy::panic, reason = "tests")]

use super::*;
use crate::principal::CredentialKind;

fn person(user: i64, session: u8) -> Person {
    Person {
        issuer: Issuer::Local,
        subject: user.to_string(),
        user: Some(UserId(user)),
        name: format!("user{user}"),
        roles: Roles::from_column("user"),
        email: None,
        session: Some(SessionId([session; 16])),
        token_id: None,
        issued_at: 1_000,
        expires_at: 1_900,
        credential: CredentialKind::Bearer,
        limit: None,
        subject_prefix: 0,
    }
}

fn row(id: i64) -> User {
    User {
        id: UserId(id),
        username: format!("user{id}"),
        password: String::new(),
        roles: "user".into(),
        active: true,
        email: None,
        email_verified: false,
        grants: Vec::new(),
        cut_at: None,
    }
}

fn change(user: User) -> Change {
    Change::User {
        user: user.id,
        state: Some(Box::new(user)),
        until: 2_000_000,
    }
}

#[test]
fn an_ended_session_ends_its_tokens_and_no_others_until_it_is_swept() {
    let known = Revocations::new();
    let before = known.generation();
    known.end_session_now(SessionId([1; 16]), 5_000);
    assert!(known.generation() > before);
    assert_eq!(known.verdict(&person(1, 1)), Standing::Ended);
    assert_eq!(known.verdict(&person(1, 2)), Standing::Good);
    let later = [Change::SessionEnded {
        session: SessionId([1; 16]),
        until: 4_000,
    }];
    assert_eq!(known.apply(&later, "admin"), Applied::default());
    assert_eq!(known.sweep(4_999), 0, "the longer memory counts");
    assert_eq!(known.sweep(5_000), 1);
    assert_eq!(known.verdict(&person(1, 1)), Standing::Good);
}

#[test]
fn roles_in_force_replace_the_tokens_and_the_gateways_own_role_comes_from_grants_only() {
    let known = Revocations::new();
    let changed = User {
        roles: "user, doorward-admin,ops".into(),
        email: Some("u@example.com".into()),
        email_verified: true,
        ..row(1)
    };
    let _ = known.apply(&[change(changed.clone())], "doorward-admin");
    let Standing::Changed(now) = known.verdict(&person(1, 1)) else {
        panic!("unchanged")
    };
    assert_eq!(now.roles.to_column(), "user,ops");
    assert_eq!(now.email.as_deref(), Some("u@example.com"));
    assert_eq!(now.session, person(1, 1).session);

    let granted = User {
        grants: vec!["doorward-admin".into()],
        email_verified: false,
        ..changed
    };
    let _ = known.apply(&[change(granted)], "doorward-admin");
    let Standing::Changed(now) = known.verdict(&person(1, 1)) else {
        panic!("unchanged")
    };
    assert_eq!(now.roles.to_column(), "user,ops,doorward-admin");
    assert_eq!(now.email, None, "only a verified address");

    let _ = known.apply(&[change(row(1))], "doorward-admin");
    assert_eq!(
        known.verdict(&person(1, 1)),
        Standing::Good,
        "back to what the token says"
    );
}

#[test]
fn a_deleted_or_deactivated_user_is_out_and_a_reactivated_one_is_back() {
    let known = Revocations::new();
    let _ = known.apply(
        &[change(User {
            active: false,
            ..row(1)
        })],
        "admin",
    );
    assert_eq!(known.verdict(&person(1, 1)), Standing::Ended);
    let _ = known.apply(&[change(row(1))], "admin");
    assert_eq!(known.verdict(&person(1, 1)), Standing::Good);
    let _ = known.apply(
        &[Change::User {
            user: UserId(1),
            state: None,
            until: 1,
        }],
        "admin",
    );
    assert_eq!(known.verdict(&person(1, 1)), Standing::Ended);
    assert_eq!(
        known.sweep(1_999_999),
        0,
        "a shorter `until` does not shorten what is known"
    );
}

#[test]
fn other_issuers_people_are_not_ours() {
    let known = Revocations::new();
    let _ = known.apply(
        &[Change::User {
            user: UserId(1),
            state: None,
            until: 9_000,
        }],
        "admin",
    );
    known.end_session_now(SessionId([1; 16]), 9_000);
    let external = Person {
        issuer: Issuer::External("https://idp".into()),
        ..person(1, 1)
    };
    assert_eq!(known.verdict(&external), Standing::Good);
}

#[test]
fn a_census_ends_who_it_did_not_meet_and_spares_who_came_later() {
    let known = Revocations::new();
    let applied = known.apply(&[Change::AllUsers { until: 2_000_000 }, Change::Keys], "admin");
    assert_eq!(
        applied,
        Applied {
            keys: true,
            census: Some(2_000_000)
        }
    );
    let mut census = known.census(2_000_000, "admin");
    census.meet(&[
        row(1),
        User {
            roles: "ops".into(),
            ..row(3)
        },
    ]);
    assert_eq!(
        known.verdict(&person(2, 2)),
        Standing::Good,
        "not finished: not known to be gone"
    );
    census.finish(1_500_000);
    assert_eq!(known.verdict(&person(1, 1)), Standing::Good);
    assert_eq!(known.verdict(&person(2, 2)), Standing::Ended);
    assert!(matches!(known.verdict(&person(3, 3)), Standing::Changed(_)));
    assert_eq!(known.verdict(&person(4, 4)), Standing::Good);
    let newcomer = Person {
        issued_at: 1_511,
        ..person(2, 9)
    };
    assert_eq!(
        known.verdict(&newcomer),
        Standing::Good,
        "issued after the census, whatever the id"
    );
    known.sweep(2_000_000);
    assert_eq!(known.verdict(&person(2, 2)), Standing::Good, "its tokens have expired");
}

#[test]
fn a_census_overrules_what_was_known_before_it_and_yields_to_what_the_feed_told_since() {
    let known = Revocations::new();
    let _ = known.apply(
        &[
            change(User {
                roles: "ops".into(),
                ..row(1)
            }),
            change(row(2)),
        ],
        "admin",
    );
    let mut census = known.census(2_000_000, "admin");
    let _ = known.apply(
        &[change(User {
            active: false,
            ..row(2)
        })],
        "admin",
    );
    census.meet(&[row(2), row(3)]);
    census.finish(1_500_000);
    assert_eq!(
        known.verdict(&person(1, 1)),
        Standing::Ended,
        "deleted by the statement that nobody could list"
    );
    assert_eq!(
        known.verdict(&person(2, 2)),
        Standing::Ended,
        "the feed is younger than the page"
    );
}

#[test]
fn ready_and_age_come_from_the_reader_of_the_feed() {
    let known = Revocations::new();
    assert!(!known.ready());
    assert_eq!(known.age(10_000), None);
    known.loaded(10_000);
    known.polled(12_000);
    known.polled(11_000);
    assert!(known.ready());
    assert_eq!(known.age(12_500), Some(Duration::from_millis(500)));
    assert_eq!(known.age(0), Some(Duration::ZERO), "a clock that went back is no age");
}

#[test]
fn a_banned_subject_is_out_with_what_was_issued_before_and_a_banned_token_for_good() {
    let revocations = Revocations::new();
    let external = |subject: &str, issued_at: i64, token: &str| Person {
        issuer: Issuer::External("https://idp.example".into()),
        subject: format!("idp:{subject}"),
        subject_prefix: 4,
        user: None,
        issued_at,
        token_id: Some(token.to_owned()),
        ..person(1, 1)
    };
    let ban = |issuer: &str, banned| Change::Banned {
        ban: Ban {
            issuer: issuer.to_owned(),
            banned,
        },
        at: 5_000,
        until: 1_000_000,
    };
    assert_eq!(revocations.verdict(&external("m", 5, "a")), Standing::Good);
    let before = revocations.generation();
    let changes = [
        ban("https://idp.example", Banned::Subject("m".to_owned())),
        ban("https://other.example", Banned::Subject("n".to_owned())),
        ban("https://idp.example", Banned::Token("t".to_owned())),
    ];
    let _ = revocations.apply(&changes, "admin");
    assert!(revocations.generation() > before);
    assert_eq!(revocations.verdict(&external("m", 5, "a")), Standing::Ended);
    assert_eq!(revocations.verdict(&external("m", 6, "a")), Standing::Good);
    assert_eq!(
        revocations.verdict(&external("n", 5, "a")),
        Standing::Good,
        "another issuer's"
    );
    assert_eq!(revocations.verdict(&external("n", 9, "t")), Standing::Ended);
    revocations.sweep(1_000_000);
    assert_eq!(revocations.verdict(&external("m", 5, "a")), Standing::Good);
}

#[test]
fn a_limited_credential_never_gets_more_roles_than_its_limit() {
    let revocations = Revocations::new();
    let limited = Person {
        roles: Roles::from_column("user"),
        limit: Some(Roles::from_column("user,ops")),
        ..person(1, 1)
    };
    let with = |roles: &str| User {
        roles: roles.to_owned(),
        ..row(1)
    };
    let apply = |roles| {
        let change = change(with(roles));
        let _ = revocations.apply(&[change], "admin");
        match revocations.verdict(&limited) {
            Standing::Good => "as it was".to_owned(),
            Standing::Changed(person) => person.roles.to_column(),
            Standing::Ended => "ended".to_owned(),
        }
    };
    assert_eq!(apply("user,boss"), "as it was");
    assert_eq!(apply("boss,ops"), "ops");
    assert_eq!(apply("boss"), "");
}
