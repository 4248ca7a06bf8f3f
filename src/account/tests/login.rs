//! Tests of login.
use super::*;

#[test]
fn a_login_gives_tokens_that_prove_the_user_with_roles_and_session() {
    run(async {
        let (bench, fake) = bench(Wish::default());
        let id = fake.row("alice", &hashed(8).await, true);
        fake.change(id, |user| {
            user.roles = format!("user,ops,{ADMIN}");
            user.email = Some("alice@example.org".into());
        });
        let tokens = bench.login("alice", PASSWORD).await.unwrap();
        assert_eq!((tokens.expires_in, tokens.refresh_expires_in), (900, Some(7 * 86_400)));
        let person = bench.person(&tokens).unwrap();
        assert_eq!((person.user, person.name.as_str()), (Some(id), "alice"));
        assert_eq!(person.roles.to_column(), "user,ops", "the column gives no admin role");
        assert_eq!(person.email, None, "nobody has confirmed it");
        assert!(fake.lock().sessions.contains_key(&person.session.unwrap()));
        assert!(bench.counted(r#"doorward_logins_total{result="success"} 1"#));
        fake.change(id, |user| {
            user.grants = vec![ADMIN.into()];
            user.email_verified = true;
        });
        let person = bench.person(&bench.login("alice", PASSWORD).await.unwrap()).unwrap();
        assert_eq!(person.roles.to_column(), format!("user,ops,{ADMIN}"));
        assert_eq!(person.email.as_deref(), Some("alice@example.org"));
    });
}

#[test]
fn whatever_is_wrong_costs_one_hash_and_gives_one_answer() {
    run(async {
        let (bench, fake) = bench(Wish::default());
        fake.row("alice", &hashed(8).await, true);
        fake.row("inactive", &hashed(8).await, false);
        fake.row("twin", &hashed(8).await, true);
        fake.row("twin", &hashed(8).await, true);
        fake.row("plain", PASSWORD, true);
        fake.row("broken", "$argon2id$v=19$m=8,t=1,p=1$broken", true);
        fake.row(
            "dear",
            "$argon2id$v=19$m=4194304,t=1000,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
            true,
        );
        fake.row("null", "", true);
        let cases = [
            ("alice", "wrong"),
            ("alice", ""),
            ("alice", &format!("{PASSWORD} ")),
            ("inactive", "wrong"),
            ("twin", PASSWORD),
            ("plain", PASSWORD),
            ("broken", PASSWORD),
            ("dear", PASSWORD),
            ("null", ""),
            ("Alice", PASSWORD),
            ("nobody", PASSWORD),
            ("", ""),
            ("ali\0ce", PASSWORD),
        ];
        for (count, (name, password)) in cases.into_iter().enumerate() {
            match bench.login(name, password).await {
                Err(Error::InvalidCredentials) => {}
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!(bench.hashes(), count + 1, "{name}");
        }
        assert!(bench.counted(r#"doorward_logins_total{result="failure"} 13"#));
        assert!(fake.lock().sessions.is_empty());
    });
}

#[test]
fn unknown_names_cost_what_the_table_holds() {
    run(async {
        let (bench, fake) = bench(Wish {
            cost: 16,
            ..Wish::default()
        });
        for index in 0..50 {
            fake.row(&format!("old{index}"), &hashed(8).await, true);
        }
        let stand_ins = bench.accounts.stand_ins.current().await.unwrap();
        assert!(stand_ins.hash_for("nobody").starts_with("$argon2id$v=19$m=8,"));
        // The table changes: the next ones are made behind the caller's back, after five minutes.
        for index in 0..50 {
            fake.change(UserId(index + 1), |user| {
                user.password = user.password.replace("m=8,", "m=16,")
            });
        }
        bench.clock.advance(Duration::from_secs(299));
        bench.accounts.stand_ins.current().await.unwrap();
        bench.clock.advance(Duration::from_secs(2));
        loop {
            let stand_ins = bench.accounts.stand_ins.current().await.unwrap();
            if stand_ins.hash_for("nobody").starts_with("$argon2id$v=19$m=16,") {
                break;
            }
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_deactivated_account_is_told_only_to_who_has_its_password() {
    run(async {
        let (bench, fake) = bench(Wish::default());
        fake.row("alice", &hashed(8).await, false);
        assert!(matches!(
            bench.login("alice", "wrong").await,
            Err(Error::InvalidCredentials)
        ));
        assert!(matches!(bench.login("alice", PASSWORD).await, Err(Error::Inactive)));
        assert!(fake.lock().sessions.is_empty());
        assert!(bench.counted(r#"doorward_logins_total{result="inactive"} 1"#));
    });
}

#[test]
fn after_ten_failures_no_password_is_looked_at_known_name_or_not() {
    run(async {
        for name in ["alice", "nobody"] {
            let (bench, fake) = bench(Wish::default());
            fake.row("alice", &hashed(8).await, true);
            for _ in 0..10 {
                assert!(matches!(
                    bench.login(name, "wrong").await,
                    Err(Error::InvalidCredentials)
                ));
            }
            for spelling in [name, &name.to_uppercase(), &format!(" {name}")] {
                match bench.login(spelling, PASSWORD).await {
                    Err(Error::TooManyAttempts { retry_after: 900 }) => {}
                    other => panic!("{spelling}: {other:?}"),
                }
            }
            assert_eq!(bench.hashes(), 10);
            assert!(bench.counted(r#"doorward_logins_total{result="throttled"} 3"#));
            bench.clock.advance(Duration::from_secs(900));
            assert_eq!(bench.login(name, PASSWORD).await.is_ok(), name == "alice");
        }
    });
}

#[test]
fn a_silent_throttle_looks_and_costs_like_a_wrong_password() {
    run(async {
        let throttle = throttle::Settings {
            login_failures: 1,
            silent: true,
            ..throttle::Settings::default()
        };
        let (bench, fake) = bench(Wish {
            throttle,
            ..Wish::default()
        });
        fake.row("alice", &hashed(8).await, true);
        for count in 1..=3 {
            let password = if count == 1 { "wrong" } else { PASSWORD };
            assert!(matches!(
                bench.login("alice", password).await,
                Err(Error::InvalidCredentials)
            ));
            assert_eq!(bench.hashes(), count);
        }
        assert!(bench.counted(r#"doorward_logins_total{result="throttled"} 2"#));
    });
}

#[test]
fn fifty_parallel_guesses_hash_no_more_than_the_limit_and_fifty_right_passwords_all_come_in() {
    run(async {
        let bench = sqlite(Wish::default()).await;
        bench.register("alice", PASSWORD).await.unwrap();
        let before = bench.hashes();
        let accounts = Arc::clone(&bench.accounts);
        let right = at_once(50, |_| {
            let accounts = Arc::clone(&accounts);
            async move { accounts.login("alice", secret(PASSWORD), HOME).await.is_ok() }
        });
        assert_eq!(right.await.into_iter().filter(|ok| *ok).count(), 50);
        assert_eq!(bench.hashes() - before, 50);
        let wrong = at_once(50, |index| {
            let accounts = Arc::clone(&accounts);
            async move { accounts.login("alice", secret(&format!("guess {index}")), HOME).await }
        });
        let outcomes = wrong.await;
        let tried = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(Error::InvalidCredentials)))
            .count();
        let throttled = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(Error::TooManyAttempts { .. })))
            .count();
        assert_eq!((tried, throttled), (10, 40));
        assert_eq!(bench.hashes() - before, 60);
    });
}

#[test]
fn a_full_queue_is_said_to_be_full_and_counts_against_nobody() {
    run(async {
        let throttle = throttle::Settings {
            login_failures: 1000,
            ..throttle::Settings::default()
        };
        let (bench, fake) = bench(Wish {
            queue: 1,
            throttle,
            ..Wish::default()
        });
        fake.row("alice", &hashed(8).await, true);
        let accounts = Arc::clone(&bench.accounts);
        let outcomes = at_once(200, |_| {
            let accounts = Arc::clone(&accounts);
            async move { accounts.login("alice", secret("wrong"), HOME).await }
        });
        let outcomes = outcomes.await;
        let busy = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(Error::Busy)))
            .count();
        let wrong = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(Error::InvalidCredentials)))
            .count();
        assert_eq!(busy + wrong, 200);
        assert!(busy > 0);
        assert_eq!(fake.lock().failures.len(), 2 * wrong);
    });
}

#[test]
fn a_weaker_hash_is_replaced_after_the_login_which_goes_on() {
    run(async {
        let bench = sqlite(Wish {
            cost: 16,
            ..Wish::default()
        })
        .await;
        bench.register("alice", PASSWORD).await.unwrap();
        let id = bench.store.users_named("alice").await.unwrap()[0].id;
        let password = crate::store::NewPassword {
            hash: hashed(8).await,
            keep: None,
        };
        let change = crate::store::UserChange {
            password: Some(password),
            ..Default::default()
        };
        bench.store.change_user(id, change, NOW).await.unwrap();
        // All at once: those whose hash is replaced under their feet come in too.
        let accounts = Arc::clone(&bench.accounts);
        let tokens = at_once(20, |_| {
            let accounts = Arc::clone(&accounts);
            async move { accounts.login("alice", secret(PASSWORD), HOME).await.unwrap() }
        });
        let tokens = tokens.await;
        while !bench.store.user(id).await.unwrap().unwrap().password.contains("m=16,") {
            tokio::task::yield_now().await;
        }
        // The password is the same: no session ended.
        for tokens in &tokens {
            bench.person(tokens).unwrap();
            bench.refresh(tokens.refresh_token.as_ref().unwrap()).await.unwrap();
        }
        bench.login("alice", PASSWORD).await.unwrap();
    });
}

#[test]
fn a_row_that_changes_while_its_password_is_verified_opens_no_session() {
    run(async {
        let (bench, fake) = bench(Wish::default());
        let id = fake.row("alice", &hashed(8).await, true);
        // Deactivated in between: the second look finds that.
        *fake.before_opening.lock().unwrap() = Some(Box::new(move |state| {
            state.users.get_mut(&id).unwrap().0.active = false;
        }));
        assert!(matches!(bench.login("alice", PASSWORD).await, Err(Error::Inactive)));
        fake.change(id, |user| user.active = true);
        // Another password in between.
        let other = bench
            .accounts
            .pool
            .hash(secret("another password"), Scheme::Argon2id)
            .await
            .unwrap();
        *fake.before_opening.lock().unwrap() = Some(Box::new(move |state| {
            state.users.get_mut(&id).unwrap().0.password = other;
        }));
        assert!(matches!(
            bench.login("alice", PASSWORD).await,
            Err(Error::InvalidCredentials)
        ));
        // Deleted in between.
        *fake.before_opening.lock().unwrap() = Some(Box::new(move |state| drop(state.users.remove(&id))));
        assert!(matches!(
            bench.login("alice", "another password").await,
            Err(Error::InvalidCredentials)
        ));
        assert!(fake.lock().sessions.is_empty());
    });
}

#[test]
fn without_a_store_or_a_key_nobody_comes_in_and_nothing_is_told() {
    run(async {
        let (bench, fake) = bench(Wish {
            with_keys: false,
            ..Wish::default()
        });
        fake.row("alice", &hashed(8).await, true);
        assert!(matches!(bench.login("alice", PASSWORD).await, Err(Error::NotReady)));
        assert!(fake.lock().sessions.is_empty());
        let (key, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        bench
            .keys
            .publish(vec![RingKey::new(key, 0, 0, None).unwrap()], Algorithm::EdDsa);
        let tokens = bench.login("alice", PASSWORD).await.unwrap();
        let person = bench.person(&tokens).unwrap();
        fake.down.store(true, Ordering::SeqCst);
        for error in [
            bench.login("alice", PASSWORD).await.unwrap_err(),
            bench.login("alice", "wrong").await.unwrap_err(),
            bench.refresh(tokens.refresh_token.as_ref().unwrap()).await.unwrap_err(),
            bench.register("bob", PASSWORD).await.unwrap_err(),
            bench.accounts.logout(&person, HOME).await.unwrap_err(),
            bench.accounts.upkeep().await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::StoreUnavailable(_)), "{error:?}");
        }
        assert!(bench.person(&tokens).is_ok(), "a logout that failed did not happen");
        assert!(bench.counted(r#"doorward_logins_total{result="unavailable"} 3"#));
        assert!(bench.counted(r#"doorward_store_requests_total{operation="end_session",result="unavailable"} 1"#));
        fake.down.store(false, Ordering::SeqCst);
        assert!(bench.login("alice", PASSWORD).await.is_ok());
    });
}
