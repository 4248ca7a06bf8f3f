//! Tokens of the praetorian format: refreshed by themselves, by what the row of their user says.

use crate::token::praetorian::{self, Fault};

use super::*;

/// A bench whose tokens are of this format and live for a minute, for an hour with refreshes.
fn flask() -> (Bench, Arc<Fake>) {
    let (bench, fake) = bench(Wish::default());
    let secret = Secret::new(b"hunter2".to_vec());
    let settings = token::Settings {
        access_ttl: Duration::from_secs(60),
        refresh_ttl: Duration::from_secs(3600),
        praetorian: Some(praetorian::Settings {
            signing: Some(secret.clone()),
            verifying: vec![(secret, None)],
            flask: true,
        }),
        ..tokens()
    };
    let accounts = Accounts::new(Tools {
        store: Arc::<Fake>::clone(&fake),
        pool: pool(8, 10, &Arc::default()),
        keys: bench.keys.clone(),
        revocations: bench.revocations.clone(),
        clock: bench.clock.clone(),
        metrics: Arc::clone(&bench.metrics),
        settings: super::settings(Registration::Open),
        throttle: Wish::default().throttle,
        tokens: settings,
        mailing: None,
    });
    let bench = Bench {
        accounts: Arc::new(accounts.unwrap()),
        ..bench
    };
    (bench, fake)
}

#[test]
fn an_expired_token_is_refreshed_again_and_again_while_its_user_may_come_in() {
    run(async {
        let (bench, fake) = flask();
        let user = fake.row("alice", &hashed(8).await, true);
        let first = bench.login("alice", PASSWORD).await.unwrap();
        assert!(first.refresh_token.is_none() && fake.lock().sessions.is_empty());
        let refresh = async || {
            let token = first.access_token.expose().as_bytes();
            match bench.accounts.refresh_praetorian(token, HOME).await {
                Ok(tokens) => Ok(tokens.expires_in),
                Err(Error::Praetorian(fault)) => Err(fault),
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(refresh().await, Err(Fault::EarlyRefresh));
        bench.clock.advance(Duration::from_secs(60));
        assert_eq!(refresh().await, Ok(60));
        assert_eq!(refresh().await, Ok(60), "two tabs ask");
        fake.change(user, |row| row.active = false);
        assert_eq!(refresh().await, Err(Fault::Inactive));
        fake.change(user, |row| row.active = true);
        fake.change(user, |row| row.cut_at = Some(NOW));
        assert_eq!(refresh().await, Err(Fault::Inactive), "issued before the cut");
        fake.change(user, |row| row.cut_at = None);
        bench.clock.advance(Duration::from_secs(3600 - 60 - 20));
        assert_eq!(refresh().await, Ok(20), "not past its end");
        fake.lock().users.clear();
        assert_eq!(refresh().await, Err(Fault::MissingUser));
        bench.clock.advance(Duration::from_secs(21));
        assert_eq!(refresh().await, Err(Fault::ExpiredRefresh));
        bench.revocations.revoke_token_now("x", i64::MAX);
        let rubbish = bench.accounts.refresh_praetorian(b"undefined", HOME).await;
        assert!(matches!(rubbish, Err(Error::Praetorian(Fault::Undecodable(_)))));
    });
}

#[test]
fn nothing_is_issued_in_the_second_of_a_cut() {
    run(async {
        let (bench, fake) = flask();
        let user = fake.row("alice", &hashed(8).await, true);
        fake.change(user, |row| row.cut_at = Some(NOW + 300));
        bench.clock.advance(Duration::from_millis(400));
        // It asks again as the time goes by; the clock moves when it has looked.
        let clock = bench.clock.clone();
        *fake.after_settled.lock().unwrap() = Some(Box::new(move |_| clock.advance(Duration::from_secs(1))));
        let tokens = bench.login("alice", PASSWORD).await.unwrap();
        let token = tokens.access_token.expose().as_bytes().to_vec();
        bench.clock.advance(Duration::from_secs(60));
        let old = bench.accounts.praetorian().unwrap();
        let old = old.read_refreshable(&token, bench.clock.unix_millis(), &|_| false);
        assert_eq!(old.unwrap().issued_at, NOW / 1000 + 1);
    });
}
