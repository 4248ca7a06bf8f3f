//! The outbox and the codes in mails, on both stores.

use doorward::store::{
    Enrolled, Enrolment, MailKind, MailLimits, NewCode, NewCodeKind, NewMail, NewPassword, Proof, Purpose, Redeemed,
    Settled, UserChange,
};

use super::{Bench, HOUR, NOW, new_user};

fn new_mail(id: &str, to: &str) -> NewMail {
    NewMail {
        id: id.to_owned(),
        user: None,
        kind: MailKind::NameTaken,
        to: to.to_owned(),
        name: "alice".to_owned(),
        client: [7; 32],
    }
}

fn limits(per_address: u32, per_client: u32) -> MailLimits {
    MailLimits {
        per_address,
        per_client,
        since: NOW - HOUR,
    }
}

fn enrolment(name: &str, email: &str) -> Enrolment {
    let mut user = new_user(name);
    user.active = false;
    user.email = Some(email.to_owned());
    Enrolment {
        user,
        until: NOW + HOUR,
        mail: new_mail(&format!("mail-{name}-{email}"), ""),
        limits: limits(100, 100),
        tell: true,
    }
}

pub async fn a_mail_is_taken_up_by_one_and_by_another_after_the_lease(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let store = &bench.store;
    assert!(
        store
            .add_mail(new_mail("m", "a@b.example"), limits(5, 5), NOW)
            .await
            .unwrap()
    );
    assert_eq!(store.claim_mail(NOW - 1, NOW).await.unwrap(), None);
    let other = bench.another().await;
    let (one, two) = tokio::join!(store.claim_mail(NOW, NOW + 60_000), other.claim_mail(NOW, NOW + 60_000));
    let taken: Vec<_> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    let [first] = taken.as_slice() else { panic!("{taken:?}") };
    assert_eq!(
        (first.to.as_str(), first.name.as_str(), first.attempt),
        ("a@b.example", "alice", 1)
    );
    assert_eq!(other.claim_mail(NOW + 59_999, NOW + 120_000).await.unwrap(), None);
    let second = other.claim_mail(NOW + 60_000, NOW + 120_000).await.unwrap().unwrap();
    assert_eq!((second.id.as_str(), second.attempt), ("m", 2));
    // Who was late has nothing to say any more.
    assert!(!store.settle_mail(first, Settled::Done, NOW).await.unwrap());
    assert!(
        other
            .settle_mail(&second, Settled::Again(NOW + 200_000), NOW)
            .await
            .unwrap()
    );
    assert_eq!(store.claim_mail(NOW + 199_999, NOW).await.unwrap(), None);
    let third = store.claim_mail(NOW + 200_000, NOW + 260_000).await.unwrap().unwrap();
    assert_eq!(store.waiting_mails().await.unwrap(), 1);
    assert!(store.settle_mail(&third, Settled::Done, NOW).await.unwrap());
    assert_eq!(store.waiting_mails().await.unwrap(), 0);
    assert_eq!(store.claim_mail(NOW + 10 * HOUR, NOW).await.unwrap(), None);
    assert!(!bench.sql("SELECT data FROM gateway_outbox").contains("a@b"));
    assert_eq!(store.forget_mail(NOW, NOW).await.unwrap(), 0);
    assert_eq!(store.forget_mail(NOW + 1, NOW).await.unwrap(), 1);
}

pub async fn mails_are_limited_by_address_and_by_client(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let add = async |id: &str, to: &str, limits| bench.store.add_mail(new_mail(id, to), limits, NOW).await.unwrap();
    assert!(add("1", "a@b.example", limits(2, 3)).await);
    assert!(add("2", "A@b.example", limits(2, 3)).await);
    assert!(!add("3", "a@B.example", limits(2, 3)).await);
    assert!(add("4", "c@b.example", limits(2, 3)).await);
    assert!(!add("5", "d@b.example", limits(2, 3)).await);
    // What is too long ago does not count.
    let later = MailLimits {
        since: NOW,
        ..limits(2, 3)
    };
    assert!(add("6", "a@b.example", later).await);
}

pub async fn an_account_waits_for_its_code(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let store = &bench.store;
    let Enrolled::New(alice) = store.enrol(enrolment("alice", "a@b.example"), NOW).await.unwrap() else {
        panic!("alice is new");
    };
    assert!(!alice.active && store.is_unconfirmed(alice.id).await.unwrap());
    let taken = store.enrol(enrolment("ALICE", "c@b.example"), NOW).await.unwrap();
    assert_eq!(taken, Enrolled::NameTaken(alice.id));
    let taken = store.enrol(enrolment("bob", "A@b.example"), NOW).await.unwrap();
    assert_eq!(taken, Enrolled::EmailTaken(alice.id));
    let mut mails = Vec::new();
    while let Some(mail) = store.claim_mail(NOW, NOW + 60_000).await.unwrap() {
        mails.push(mail);
    }
    let mut kinds: Vec<_> = mails.iter().map(|mail| (mail.kind, mail.to.as_str())).collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [
            (MailKind::Confirmation, "a@b.example"),
            (MailKind::AddressKnown, "a@b.example"),
            (MailKind::NameTaken, "c@b.example"),
        ]
    );
    let mail = mails.iter().find(|mail| mail.kind == MailKind::Confirmation).unwrap();
    let code = |hash: u8, purpose, expires_at| NewCode {
        hash: [hash; 32],
        purpose,
        kind: NewCodeKind::Opaque,
        expires_at,
    };
    for hash in [1, 2] {
        assert!(
            store
                .add_code(mail, code(hash, Purpose::Confirmation, NOW + 100))
                .await
                .unwrap()
        );
    }
    let whose = store.code([1; 32], Purpose::Confirmation, NOW + 99).await.unwrap();
    assert_eq!(whose.map(|user| user.id), Some(alice.id));
    for (hash, purpose, at) in [
        (1, Purpose::Confirmation, NOW + 100),
        (1, Purpose::Reset, NOW),
        (9, Purpose::Confirmation, NOW),
    ] {
        assert_eq!(store.code([hash; 32], purpose, at).await.unwrap(), None);
    }
    // Of simultaneous uses one counts.
    let other = bench.another().await;
    let (one, two) = tokio::join!(
        store.confirm(Proof::Code([1; 32]), NOW),
        other.confirm(Proof::Code([2; 32]), NOW)
    );
    let done = [one.unwrap(), two.unwrap()];
    assert_eq!(
        done.iter().filter(|one| matches!(one, Redeemed::Done(_))).count(),
        1,
        "{done:?}"
    );
    assert!(!store.is_unconfirmed(alice.id).await.unwrap());
    let alice = store.user(alice.id).await.unwrap().unwrap();
    assert!(alice.active && alice.email_verified);
}

pub async fn a_new_password_by_code_or_token(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let store = &bench.store;
    let alice = bench.user("alice").await;
    let session = bench.session(alice, 3).await;
    let once = Some(([5; 32], NOW + HOUR));
    let proof = || Proof::Token {
        user: alice,
        issued_at: NOW / 1000,
        mailed: [6; 32],
        once,
    };
    let Redeemed::Done(user) = store.reset_password(proof(), "new", NOW).await.unwrap() else {
        panic!("the first use counts");
    };
    assert_eq!(user.password, "new");
    assert!(store.session(session).await.unwrap().unwrap().revoked_at.is_some());
    assert_eq!(
        store.reset_password(proof(), "newer", NOW).await.unwrap(),
        Redeemed::Unknown
    );
    // A registration's token counts until it ends, unless an administrator closed the account.
    let proof = || Proof::Token {
        user: alice,
        issued_at: i64::MAX / 1000,
        mailed: [6; 32],
        once: None,
    };
    assert!(matches!(store.confirm(proof(), NOW).await.unwrap(), Redeemed::Done(_)));
    assert!(matches!(store.confirm(proof(), NOW).await.unwrap(), Redeemed::Done(_)));
    let closed = UserChange {
        active: Some(false),
        password: Some(NewPassword {
            hash: "x".to_owned(),
            keep: None,
        }),
        ..UserChange::default()
    };
    store.change_user(alice, closed, NOW).await.unwrap();
    assert_eq!(store.confirm(proof(), NOW).await.unwrap(), Redeemed::Closed);
}

pub async fn who_never_confirms_is_forgotten_and_leaves_nothing(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let store = &bench.store;
    for name in ["alice", "bob", "carol"] {
        let email = format!("{name}@b.example");
        assert!(matches!(
            store.enrol(enrolment(name, &email), NOW).await.unwrap(),
            Enrolled::New(_)
        ));
    }
    // Another server, or an administrator, made one active, and one was closed.
    bench.sql("UPDATE users SET is_active = TRUE WHERE username = 'bob'");
    let carol = store.users_named("carol").await.unwrap()[0].id;
    let closed = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    store.change_user(carol, closed, NOW).await.unwrap();
    assert_eq!(store.forget_mail(NOW - HOUR, NOW + HOUR - 1).await.unwrap(), 0);
    assert_eq!(store.forget_mail(NOW - HOUR, NOW + HOUR).await.unwrap(), 1);
    assert_eq!(bench.sql("SELECT username FROM users ORDER BY id"), "bob\ncarol");
    assert_eq!(bench.sql("SELECT count(*) FROM gateway_unconfirmed"), "1");
    // The mail to who is gone is none any more.
    assert_eq!(
        bench.sql("SELECT count(*) FROM gateway_outbox WHERE kind = 'nobody'"),
        "1"
    );
}

pub async fn an_account_closed_by_any_hand_is_opened_by_nothing_mailed(postgres: bool) {
    let bench = Bench::new(postgres).await;
    let store = &bench.store;
    let Enrolled::New(alice) = store.enrol(enrolment("alice", "a@b.example"), NOW).await.unwrap() else {
        panic!("alice is new");
    };
    // A clock ahead made it: no cut of tokens reaches it.
    let late = |user| Proof::Token {
        user,
        issued_at: i64::MAX / 1000,
        mailed: [6; 32],
        once: None,
    };
    bench.sql("UPDATE users SET is_active = TRUE");
    assert!(!store.is_unconfirmed(alice.id).await.unwrap());
    bench.sql("UPDATE users SET is_active = FALSE");
    assert!(!store.is_unconfirmed(alice.id).await.unwrap());
    assert_eq!(store.confirm(late(alice.id), NOW).await.unwrap(), Redeemed::Closed);
    // Another statement about a closed account changes nothing of that.
    bench.sql("UPDATE users SET roles = 'user'");
    assert_eq!(store.confirm(late(alice.id), NOW).await.unwrap(), Redeemed::Closed);
    assert_eq!(store.forget_mail(NOW, NOW + 100 * HOUR).await.unwrap(), 0);
    bench.sql("UPDATE users SET is_active = TRUE");
    assert!(matches!(
        store.confirm(late(alice.id), NOW).await.unwrap(),
        Redeemed::Done(_)
    ));
    // NULL is not active either.
    bench.sql("UPDATE users SET is_active = NULL");
    assert_eq!(store.confirm(late(alice.id), NOW).await.unwrap(), Redeemed::Closed);
    // Who waits at another server was never active here.
    let bob = bench.user("bob").await;
    bench.sql("DELETE FROM users WHERE username = 'bob'");
    bench.sql(&format!(
        "INSERT INTO users (id, username, password, roles, is_active, email) \
         VALUES ({}, 'bob', 'x', 'user', FALSE, 'c@b.example')",
        bob.0
    ));
    assert!(matches!(
        store.confirm(late(bob), NOW).await.unwrap(),
        Redeemed::Done(_)
    ));
}
