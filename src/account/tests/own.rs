//! Tests of what people see to themselves. There is no change feed here: what acts, acts at once.
use super::*;
use crate::principal::SessionId;

fn caller() -> Caller {
    Caller::new(HOME, Some(b"curl/8"))
}

fn wanted(name: &str) -> WantedKey {
    WantedKey {
        name: name.to_owned(),
        roles: None,
        expires_in: None,
    }
}

#[test]
fn a_session_ends_here_before_its_owner_is_told() {
    run(async {
        let bench = sqlite(Wish::default()).await;
        let first = bench.register("alice", PASSWORD).await.unwrap();
        let login = bench.accounts.login("alice", secret(PASSWORD), caller()).await;
        let second = login.unwrap();
        let bob = bench.register("bob", PASSWORD).await.unwrap();
        let (alice, bob) = (bench.person(&second).unwrap(), bench.person(&bob).unwrap());
        let listed = bench.accounts.sessions(&alice).await.unwrap();
        let own = listed.iter().find(|session| Some(session.id) == alice.session).unwrap();
        assert_eq!(
            (own.client.as_deref(), own.address.as_deref()),
            (Some("curl/8"), Some("192.0.2.1"))
        );
        assert_eq!(listed.len(), 2);
        let other = listed.iter().find(|session| session.id != own.id).unwrap().id;
        for (person, id) in [(&bob, other), (&alice, SessionId([0; 16]))] {
            let refused = bench.accounts.end_own_session(person, id, &caller()).await;
            assert!(matches!(refused, Err(Error::NoSuchSession)));
        }
        assert!(bench.person(&first).is_ok());
        bench.accounts.end_own_session(&alice, other, &caller()).await.unwrap();
        assert_eq!(bench.person(&first), Err("revoked"));
        assert!(bench.person(&second).is_ok());
        let again = bench.accounts.end_own_session(&alice, other, &caller()).await;
        assert!(matches!(again, Err(Error::NoSuchSession)));
    });
}

#[test]
fn a_new_password_ends_the_other_sessions_at_once() {
    run(async {
        let bench = sqlite(Wish::default()).await;
        let mine = bench.register("alice", PASSWORD).await.unwrap();
        let theirs = bench.login("alice", PASSWORD).await.unwrap();
        let alice = bench.person(&mine).unwrap();
        let change = |current: &str, new: &str| {
            let (current, new) = (secret(current), secret(new));
            let (accounts, alice) = (Arc::clone(&bench.accounts), Arc::clone(&alice));
            async move { accounts.change_password(&alice, current, new, &caller()).await }
        };
        assert!(matches!(
            change("wrong", "terns over a lagoon").await,
            Err(Error::InvalidCredentials)
        ));
        assert!(matches!(change(PASSWORD, "alice").await, Err(Error::WeakPassword(_))));
        assert!(bench.person(&theirs).is_ok());
        change(PASSWORD, "terns over a lagoon").await.unwrap();
        assert_eq!(bench.person(&theirs), Err("revoked"));
        assert!(bench.person(&mine).is_ok());
        assert!(bench.refresh(theirs.refresh_token.as_ref().unwrap()).await.is_err());
        assert!(bench.refresh(mine.refresh_token.as_ref().unwrap()).await.is_ok());
        assert!(bench.login("alice", PASSWORD).await.is_err());
        assert!(bench.login("alice", "terns over a lagoon").await.is_ok());
    });
}

#[test]
fn who_holds_a_token_may_end_it_and_who_guesses_may_not() {
    run(async {
        let bench = sqlite(Wish::default()).await;
        let first = bench.register("alice", PASSWORD).await.unwrap();
        let alice = bench.person(&first).unwrap();
        let key = bench.accounts.make_key(&alice, wanted("ci"), &caller()).await.unwrap();
        let ask = |token: &str| {
            let (accounts, verifier, token) = (Arc::clone(&bench.accounts), &bench.verifier, token.to_owned());
            async move {
                accounts
                    .introspect(verifier, &token)
                    .await
                    .unwrap()
                    .map(|active| active.kind)
            }
        };
        let revoke = |token: &str| {
            let (accounts, verifier, token) = (Arc::clone(&bench.accounts), &bench.verifier, token.to_owned());
            async move { accounts.revoke_token(verifier, &token, &caller()).await.unwrap() }
        };
        let (access, refresh, text) = (
            first.access_token.expose(),
            first.refresh_token.as_ref().unwrap().expose(),
            key.text.expose(),
        );
        assert_eq!(ask(access).await, Some(TokenKind::Access));
        assert_eq!(ask(refresh).await, Some(TokenKind::Refresh));
        assert_eq!(ask(text).await, Some(TokenKind::ApiKey));
        let guess = format!("{}{}", &text[..16], "A".repeat(43));
        let forged = format!("{}{}", &refresh[..26], "A".repeat(refresh.len() - 26));
        for unknown in [&guess, &forged, "", "a.b.c"] {
            assert_eq!((ask(unknown).await, revoke(unknown).await), (None, None), "{unknown}");
        }
        assert_eq!(revoke(text).await.as_deref(), Some(key.key.id.as_str()));
        assert_eq!(ask(text).await, None);
        assert_eq!(ask(access).await, Some(TokenKind::Access));
        revoke(refresh).await;
        assert_eq!((ask(access).await, ask(refresh).await), (None, None));
        // A deactivated user's tokens are worth nothing, even where nobody ended them.
        let second = bench.login("alice", PASSWORD).await.unwrap();
        let key = bench.accounts.make_key(&alice, wanted("ci"), &caller()).await.unwrap();
        let change = crate::store::UserChange {
            active: Some(false),
            ..Default::default()
        };
        bench.store.change_user(UserId(1), change, NOW).await.unwrap();
        assert_eq!(ask(second.refresh_token.as_ref().unwrap().expose()).await, None);
        assert_eq!(ask(key.text.expose()).await, None);
    });
}
