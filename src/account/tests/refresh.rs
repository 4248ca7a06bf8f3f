//! Tests of refresh.
use super::*;
use crate::principal::{CredentialKind, Issuer, Roles, SessionId};

async fn logged_in() -> (Bench, Tokens) {
    let bench = sqlite(Wish::default()).await;
    let tokens = bench.register("alice", PASSWORD).await.unwrap();
    (bench, tokens)
}

fn invalid(outcome: Result<Tokens, Error>) -> bool {
    matches!(outcome, Err(Error::InvalidGrant))
}

#[test]
fn fifty_parallel_refreshes_with_one_token_get_one_successor() {
    run(async {
        let (bench, first) = logged_in().await;
        let (accounts, token) = (
            Arc::clone(&bench.accounts),
            first.refresh_token.as_ref().unwrap().clone(),
        );
        let outcomes = at_once(50, |_| {
            let (accounts, token) = (Arc::clone(&accounts), token.clone());
            async move { accounts.refresh(&token, HOME).await.unwrap() }
        });
        let outcomes = outcomes.await;
        let next = outcomes[0].refresh_token.as_ref().unwrap().expose();
        assert_ne!(next, first.refresh_token.as_ref().unwrap().expose());
        let mut access = std::collections::HashSet::new();
        for tokens in &outcomes {
            assert_eq!(tokens.refresh_token.as_ref().unwrap().expose(), next);
            assert_eq!((tokens.expires_in, tokens.refresh_expires_in), (900, Some(7 * 86_400)));
            bench.person(tokens).unwrap();
            access.insert(tokens.access_token.expose().clone());
        }
        assert_eq!(access.len(), 50, "each access token is its own");
        assert!(bench.counted(r#"doorward_refreshes_total{result="success"} 1"#));
        assert!(bench.counted(r#"doorward_refreshes_total{result="repeat"} 49"#));
    });
}

#[test]
fn a_spent_token_repeats_for_ten_seconds_and_then_ends_its_session() {
    run(async {
        let (bench, first) = logged_in().await;
        let second = bench.refresh(first.refresh_token.as_ref().unwrap()).await.unwrap();
        bench.clock.advance(Duration::from_millis(9_999));
        let again = bench.refresh(first.refresh_token.as_ref().unwrap()).await.unwrap();
        assert_eq!(
            again.refresh_token.as_ref().unwrap(),
            second.refresh_token.as_ref().unwrap()
        );
        bench.clock.advance(Duration::from_millis(1));
        assert!(bench.person(&second).is_ok());
        assert!(invalid(bench.refresh(first.refresh_token.as_ref().unwrap()).await));
        // Both parties are out, here at once.
        assert!(invalid(bench.refresh(second.refresh_token.as_ref().unwrap()).await));
        assert_eq!(bench.person(&second), Err("revoked"));
        assert!(bench.counted("doorward_refresh_reuse_total 1"));
        let (changes, _) = bench.store.all_changes(bench.clock.unix_millis()).await.unwrap();
        let ended = changes
            .iter()
            .any(|change| matches!(change, crate::store::Change::SessionEnded { .. }));
        assert!(ended, "the other replicas hear of it");
        assert!(bench.login("alice", PASSWORD).await.is_ok(), "the account is as it was");
    });
}

#[test]
fn two_turns_back_within_the_moment_ends_nothing() {
    run(async {
        let (bench, first) = logged_in().await;
        let second = bench.refresh(first.refresh_token.as_ref().unwrap()).await.unwrap();
        let third = bench.refresh(second.refresh_token.as_ref().unwrap()).await.unwrap();
        assert!(invalid(bench.refresh(first.refresh_token.as_ref().unwrap()).await));
        assert!(bench.refresh(third.refresh_token.as_ref().unwrap()).await.is_ok());
    });
}

#[test]
fn forged_tokens_end_nothing() {
    run(async {
        let (bench, first) = logged_in().await;
        let text = first.refresh_token.as_ref().unwrap().expose().clone();
        bench.clock.advance(Duration::from_secs(60));
        // Every byte in turn is another: the session's name, the generation, the family, the secret.
        for place in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let forged = secret(std::str::from_utf8(&bytes).unwrap());
            assert!(invalid(bench.refresh(&forged).await), "{place}");
        }
        for garbage in [
            "",
            "x",
            &text[..text.len() - 1],
            &format!("{text}A"),
            first.access_token.expose(),
        ] {
            assert!(invalid(bench.refresh(&secret(garbage)).await), "{garbage}");
        }
        assert!(bench.person(&first).is_ok());
        bench.refresh(first.refresh_token.as_ref().unwrap()).await.unwrap();
        assert!(bench.counted("doorward_refresh_reuse_total 0"));
    });
}

#[test]
fn the_user_is_read_anew() {
    run(async {
        let (bench, first) = logged_in().await;
        let id = bench.person(&first).unwrap().user.unwrap();
        let change = crate::store::UserChange {
            roles: Some("ops".into()),
            ..Default::default()
        };
        bench.store.change_user(id, change, NOW).await.unwrap();
        let second = bench.refresh(first.refresh_token.as_ref().unwrap()).await.unwrap();
        assert_eq!(bench.person(&second).unwrap().roles, Roles::from_column("ops"));
        bench.store.delete_user(id, NOW).await.unwrap();
        assert!(invalid(bench.refresh(second.refresh_token.as_ref().unwrap()).await));
    });
}

#[test]
fn a_user_who_was_deactivated_by_plain_sql_refreshes_nothing() {
    run(async {
        let (bench, fake) = bench(Wish::default());
        let id = fake.row("alice", &hashed(8).await, true);
        let tokens = bench.login("alice", PASSWORD).await.unwrap();
        fake.change(id, |user| user.active = false);
        assert!(invalid(bench.refresh(tokens.refresh_token.as_ref().unwrap()).await));
        // The session itself was not touched, and the token is not spent.
        fake.change(id, |user| user.active = true);
        assert!(bench.refresh(tokens.refresh_token.as_ref().unwrap()).await.is_ok());
    });
}

#[test]
fn a_session_ends_when_it_is_idle_and_when_its_time_is_over() {
    run(async {
        let (bench, mut tokens) = logged_in().await;
        let idle = bench.login("alice", PASSWORD).await.unwrap();
        for _ in 0..4 {
            bench.clock.advance(Duration::from_secs(7 * 86_400 - 1));
            tokens = bench.refresh(tokens.refresh_token.as_ref().unwrap()).await.unwrap();
        }
        assert!(invalid(bench.refresh(idle.refresh_token.as_ref().unwrap()).await));
        // 28 days less 4 s are over, of 30.
        assert_eq!(tokens.refresh_expires_in, Some(2 * 86_400 + 4));
        bench.clock.advance(Duration::from_secs(2 * 86_400 + 4 - 60));
        tokens = bench.refresh(tokens.refresh_token.as_ref().unwrap()).await.unwrap();
        assert_eq!(
            (tokens.expires_in, tokens.refresh_expires_in),
            (60, Some(60)),
            "no access token outlives its session"
        );
        bench.clock.advance(Duration::from_secs(60));
        assert!(invalid(bench.refresh(tokens.refresh_token.as_ref().unwrap()).await));
    });
}

#[test]
fn a_logout_is_durable_and_known_here_when_it_answers() {
    run(async {
        let (bench, tokens) = logged_in().await;
        let other = bench.login("alice", PASSWORD).await.unwrap();
        let person = bench.person(&tokens).unwrap();
        bench.accounts.logout(&person, HOME).await.unwrap();
        assert_eq!(bench.person(&tokens), Err("revoked"));
        assert!(
            bench
                .store
                .session(person.session.unwrap())
                .await
                .unwrap()
                .unwrap()
                .revoked_at
                .is_some()
        );
        assert!(invalid(bench.refresh(tokens.refresh_token.as_ref().unwrap()).await));
        // Once more is no error, and nobody else is concerned.
        bench.accounts.logout(&person, HOME).await.unwrap();
        assert!(bench.person(&other).is_ok());
        assert!(bench.refresh(other.refresh_token.as_ref().unwrap()).await.is_ok());
    });
}

#[test]
fn only_sessions_of_our_own_end() {
    run(async {
        let (bench, tokens) = logged_in().await;
        let ours = bench.person(&tokens).unwrap();
        let strangers = Person {
            issuer: Issuer::External("https://idp.example.com".into()),
            credential: CredentialKind::ExternalBearer,
            ..(*ours).clone()
        };
        assert!(matches!(
            bench.accounts.logout(&strangers, HOME).await,
            Err(Error::NoSession)
        ));
        assert!(bench.person(&tokens).is_ok());
        let nobodys = Person {
            session: Some(SessionId([9; 16])),
            ..(*ours).clone()
        };
        bench.accounts.logout(&nobodys, HOME).await.unwrap();
    });
}
