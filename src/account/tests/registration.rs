//! Tests of registration.
use super::*;
use crate::account::UsernameFault;
use crate::password::policy::Reason;

fn with_email(name: &str, email: &str) -> Registrant {
    Registrant {
        username: name.to_owned(),
        password: secret(PASSWORD),
        email: Some(email.to_owned()),
    }
}

#[test]
fn a_registration_makes_a_row_and_logs_in() {
    run(async {
        let bench = sqlite(Wish::default()).await;
        let tokens = bench
            .accounts
            .register(with_email("Alice", "alice@example.org"), HOME)
            .await
            .unwrap();
        let person = bench.person(&tokens).unwrap();
        assert_eq!(
            (person.name.as_str(), person.roles.to_column().as_str()),
            ("Alice", "user")
        );
        assert_eq!(person.email, None, "nobody has confirmed it");
        let user = &bench.store.users_named("Alice").await.unwrap()[0];
        assert!(user.password.starts_with("$argon2id$") && user.active && !user.email_verified);
        assert_eq!(
            (user.email.as_deref(), user.grants.len()),
            (Some("alice@example.org"), 0)
        );
        bench.login("Alice", PASSWORD).await.unwrap();
        bench.refresh(tokens.refresh_token.as_ref().unwrap()).await.unwrap();
    });
}

#[test]
fn of_fifty_simultaneous_registrations_of_one_name_one_makes_the_row() {
    run(async {
        let bench = sqlite(Wish::default()).await;
        let accounts = Arc::clone(&bench.accounts);
        let outcomes = at_once(50, |index| {
            let accounts = Arc::clone(&accounts);
            let username = ["alice", "Alice", "ALICE", "ａlice"][index % 4].to_owned();
            async move {
                let registrant = Registrant {
                    username,
                    password: secret(PASSWORD),
                    email: None,
                };
                accounts.register(registrant, HOME).await
            }
        });
        let outcomes = outcomes.await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Ok(_) | Err(Error::NameTaken)))
        );
        assert_eq!(bench.store.users_after(None, 100).await.unwrap().len(), 1);
    });
}

#[test]
fn names_addresses_and_passwords_have_rules() {
    run(async {
        let bench = sqlite(Wish::default()).await;
        bench
            .accounts
            .register(with_email("alice", "alice@example.org"), HOME)
            .await
            .unwrap();
        let before = bench.hashes();
        match bench.register(" a,b", PASSWORD).await {
            Err(Error::InvalidUsername(faults)) => {
                assert_eq!(faults, [UsernameFault::OuterBlanks, UsernameFault::Separator]);
            }
            other => panic!("{other:?}"),
        }
        match bench.register("dragon", "dragon").await {
            Err(Error::WeakPassword(reasons)) => assert_eq!(reasons.len(), 3),
            other => panic!("{other:?}"),
        }
        match bench.register("bob", &"x".repeat(4097)).await {
            Err(Error::WeakPassword(reasons)) => assert_eq!(reasons, [Reason::TooLong]),
            other => panic!("{other:?}"),
        }
        assert!(matches!(bench.register("alice", PASSWORD).await, Err(Error::NameTaken)));
        let odd = bench
            .accounts
            .register(with_email("bob", "admin@corp@evil"), HOME)
            .await;
        assert!(matches!(odd, Err(Error::InvalidEmail(_))));
        assert_eq!(bench.hashes(), before, "none of that cost a hash");
        let taken = bench
            .accounts
            .register(with_email("bob", "alice@example.org"), HOME)
            .await;
        assert!(matches!(taken, Err(Error::EmailTaken)));
        assert!(matches!(bench.register("ALICE", PASSWORD).await, Err(Error::NameTaken)));
        assert_eq!(bench.store.users_after(None, 100).await.unwrap().len(), 1);
    });
}

#[test]
fn a_closed_house_lets_nobody_register_and_asks_nothing() {
    run(async {
        let (bench, fake) = bench(Wish {
            registration: Registration::Closed,
            ..Wish::default()
        });
        for (name, password) in [("bob", PASSWORD), ("", "")] {
            assert!(matches!(
                bench.register(name, password).await,
                Err(Error::RegistrationClosed)
            ));
        }
        assert_eq!((bench.hashes(), fake.calls.load(Ordering::SeqCst)), (0, 0));
    });
}
