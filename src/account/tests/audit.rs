//! Tests of audit.
use std::io::Write;
use std::sync::Mutex;

use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// What was logged by one thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn everything_that_happens_to_an_account_is_told_without_a_secret() {
    // With one dispatcher alone, tracing asks whichever thread meets an event first, whether anybody wants it: with two it
    // asks them.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let log = Log::default();
    let layer = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let secrets = tracing::subscriber::with_default(layer.finish(), || {
        runtime.block_on(async {
            let (bench, fake) = bench(Wish::default());
            let first = bench.register("alice", PASSWORD).await.unwrap();
            bench.login("alice", "a wrong password").await.unwrap_err();
            bench.login("a password in the wrong field", "alice").await.unwrap_err();
            fake.row("odd", "an unusable hash", true);
            bench.login("odd", PASSWORD).await.unwrap_err();
            let second = bench.login("alice", PASSWORD).await.unwrap();
            bench
                .accounts
                .logout(&bench.person(&second).unwrap(), HOME)
                .await
                .unwrap();
            let third = bench.refresh(first.refresh_token.as_ref().unwrap()).await.unwrap();
            let person = bench.person(&third).unwrap();
            let caller = Caller::from(HOME);
            let wanted = WantedKey {
                name: "build server".into(),
                roles: None,
                expires_in: None,
            };
            let key = bench.accounts.make_key(&person, wanted, &caller).await.unwrap();
            bench.accounts.revoke_key(&person, &key.key.id, &caller).await.unwrap();
            let ticket = bench.accounts.ticket(&person).await.unwrap();
            let change =
                bench
                    .accounts
                    .change_password(&person, secret(PASSWORD), secret("a password of her own"), &caller);
            change.await.unwrap();
            bench.clock.advance(Duration::from_secs(11));
            bench.refresh(first.refresh_token.as_ref().unwrap()).await.unwrap_err();
            for _ in 0..11 {
                bench.login("carol", "a wrong password").await.unwrap_err();
            }
            let desk = Administration::new(
                Arc::clone(&bench.store),
                pool(8, 10, &bench.hashes),
                settings(Registration::Closed),
                &tokens(),
                bench.clock.clone(),
            );
            desk.set_password(Which::Name("alice"), secret("the next password"))
                .await
                .unwrap();
            desk.set_active(Which::Name("alice"), false).await.unwrap();
            bench.login("alice", "the next password").await.unwrap_err();
            let hash = bench.store.users_named("alice").await.unwrap().remove(0).password;
            let mut secrets = vec![hash, PASSWORD.to_owned(), "password in the wrong field".to_owned()];
            secrets.extend([key.text.expose()[16..].to_owned(), ticket.expose().clone()]);
            secrets.push("a password of her own".to_owned());
            secrets.extend(["a wrong password", "the next password", "an unusable hash"].map(str::to_owned));
            for tokens in [first, second, third] {
                secrets
                    .extend([tokens.access_token, tokens.refresh_token.unwrap()].map(|token| token.expose().clone()));
            }
            secrets
        })
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} in\n{text}");
    }
    for words in [
        r#"event.action="registration" event.outcome="success" user.id=1 user.name="alice" client.ip=192.0.2.1"#,
        r#"event.action="login" event.outcome="success" user.id=1"#,
        r#"doorward.reason="wrong_password" user.id=1 user.name="alice""#,
        r#"doorward.reason="unknown_name" client.ip"#,
        r#"doorward.reason="unusable_hash" user.id=2"#,
        r#"doorward.reason="too_many_attempts" scope="account""#,
        r#"doorward.reason="account_inactive""#,
        r#"event.action="logout""#,
        r#"event.action="refresh_reuse" event.outcome="failure" user.id=1"#,
        r#"event.action="api_key_created" event.outcome="success" user.id=1"#,
        r#"event.action="api_key_revoked""#,
        r#"by.name="alice" client.ip=192.0.2.1"#,
        r#"event.action="password_changed" event.outcome="success" user.id=1 user.name="alice" client.ip=192.0.2.1"#,
        r#"event.action="password_set""#,
        r#"by.name="command line""#,
        r#"event.action="user_deactivated""#,
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    assert!(
        text.lines()
            .filter(|line| line.contains("event.action"))
            .all(|line| line.contains("doorward::audit"))
    );
}
