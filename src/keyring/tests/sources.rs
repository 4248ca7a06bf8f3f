//! Tests of where keys are kept: sealed in the store, or in files.

use std::time::Duration;

use super::super::*;
use super::turning::{DAY, FILE, Memory, Replica, START, sealed, settings};
use crate::clock::Clock;
use crate::secret::Secret;

#[tokio::test]
async fn keys_are_sealed_when_the_setting_comes_and_opened_by_nobody_else() {
    let (store, clock) = (Memory::default(), Clock::manual(START));
    let plain = Replica::started(&store, settings(Algorithm::EdDsa), &clock).await;
    let (signer, open_rows) = (plain.signer(), store.rows());
    let with_key = Replica::started(&store, sealed(FILE), &clock).await;
    assert_eq!(with_key.signer(), signer, "the same key");
    for (row, before) in store.rows().iter().zip(&open_rows) {
        assert!(row.sealed && row.id == before.id);
        let secret = before.material.get(before.material.len() - 16..).unwrap();
        assert!(!row.material.windows(16).any(|window| window == secret));
    }
    // Who has no file, or another one, is told, makes nothing, and goes on with what it knew.
    let rows = store.rows();
    let other_file = "07".repeat(32);
    assert!(matches!(plain.keeper.load(&store).await, Err(Error::Sealed(_))));
    assert_eq!(plain.signer(), signer);
    let mut with_another_algorithm = sealed(&other_file);
    (with_another_algorithm.algorithm, with_another_algorithm.rules.algorithm) =
        (Algorithm::Es256, Some(Algorithm::Es256));
    for settings in [sealed(&other_file), with_another_algorithm] {
        let wrong = Replica::new(&store, settings, &clock);
        assert!(matches!(
            wrong.keeper.load(&store).await,
            Err(Error::SealedByAnother(_))
        ));
        assert!(!wrong.ring.load().ready() && !wrong.sealing.ready(START));
        let rotated = wrong.keeper.rotate(&store, Wish::Rotate).await;
        assert!(matches!(rotated, Err(Error::SealedByAnother(_))));
    }
    assert_eq!(store.rows(), rows);
    // What turns is sealed as well.
    with_key.rotate(Wish::Rotate).await;
    assert!(store.rows().len() == 4 && store.rows().iter().all(|row| row.sealed));
    // A new key for the file: first a further line, then the first.
    let both = Replica::started(&store, sealed(&format!("{other_file}\n{FILE}")), &clock).await;
    assert_eq!(both.signer(), signer);
    let new_only = Replica::started(&store, sealed(&other_file), &clock).await;
    assert_eq!(new_only.signer(), signer);
    assert!(matches!(
        with_key.keeper.load(&store).await,
        Err(Error::SealedByAnother(_))
    ));
    // Who lost it begins anew.
    clock.advance(Duration::from_secs(3600));
    let since = clock.unix_millis();
    assert_eq!(plain.rotate(Wish::Now { since }).await.len(), 2);
    plain.load().await;
    assert_ne!(plain.signer(), signer);
    assert!(store.rows().iter().all(|row| !row.sealed));
}

#[tokio::test]
async fn keys_from_files_sign_alone_and_stored_ones_verify_until_they_end() {
    let (store, clock) = (Memory::default(), Clock::manual(START));
    let before = Replica::started(&store, settings(Algorithm::EdDsa), &clock)
        .await
        .signer();
    let file = |algorithm| {
        let (key, der) = SigningKey::generate(algorithm).unwrap();
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(&der[..]);
        let text = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        (key.id().unwrap(), Secret::new(text.into_bytes()))
    };
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let ((first, one), (second, two)) = (file(algorithm), file(Algorithm::EdDsa));
        let mut settings = settings(algorithm);
        settings.source = Source::Files(vec![one, two]);
        settings.rules.algorithm = None;
        let replica = Replica::new(&store, settings.clone(), &clock);
        assert!(!replica.ring.load().ready(), "before the store is read");
        assert!(replica.load().await.is_empty(), "nothing is made");
        assert_eq!(replica.signer(), first);
        assert!([&first, &second, &before].iter().all(|kid| replica.verifies(kid)));
        assert_eq!(replica.published(), [first.clone(), second.clone(), before.clone()]);
        let states = list(&replica.keeper.own().unwrap(), &store.rows(), algorithm, START);
        let of = |id: &str| states.iter().find(|key| key.id == id).unwrap();
        assert_eq!(
            (of(&first).state, of(&second).state),
            (KeyState::Active, KeyState::Retired)
        );
        assert!(of(&before).state == KeyState::Retired && of(&before).stored && !of(&first).stored);
    }
    let mut secret = settings(Algorithm::Hs256);
    secret.source = Source::Secret(Secret::new(vec![7; 32]));
    secret.rules.algorithm = None;
    let replica = Replica::started(&store, secret, &clock).await;
    assert_eq!(
        replica.published(),
        std::slice::from_ref(&before),
        "never a symmetric key"
    );
    assert_ne!(replica.signer(), before);
    // Nobody turns the stored one any more.
    clock.set(START + 92 * DAY);
    replica.load().await;
    clock.advance(Duration::from_secs(3600));
    assert!(!replica.verifies(&before));
}
