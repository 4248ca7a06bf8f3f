//! Tests of how keys turn, with clocks that tests move.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use serde_json::Value;

use super::super::*;
use crate::clock::Clock;
use crate::store::{Answer, KeyPlan, Keys, StoredKey};

pub(super) const START: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;
const TTL: i64 = 15 * MINUTE;
const IDLE: i64 = 7 * DAY;
pub(super) const FILE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A store that holds keys and nothing else.
#[derive(Clone, Default)]
pub(super) struct Memory {
    rows: Arc<Mutex<Vec<StoredKey>>>,
    lifetime: Arc<Mutex<i64>>,
}

impl Memory {
    pub(super) fn rows(&self) -> Vec<StoredKey> {
        self.rows.lock().unwrap().clone()
    }

    fn of(&self, algorithm: &str) -> Vec<StoredKey> {
        let is = |key: &StoredKey| key.algorithm == algorithm;
        self.rows().into_iter().filter(is).collect()
    }
}

impl Keys for Memory {
    fn keys(&self) -> Answer<'_, Vec<StoredKey>> {
        Box::pin(async {
            let rows = self.rows();
            // Others read the same before anybody writes.
            tokio::task::yield_now().await;
            Ok(rows)
        })
    }

    fn change_keys(&self, plan: KeyPlan, _: i64) -> Answer<'_, Vec<StoredKey>> {
        Box::pin(async move {
            let mut rows = self.rows.lock().unwrap();
            let edit = plan(&rows, *self.lifetime.lock().unwrap());
            rows.retain(|row| !edit.remove.contains(&row.id));
            for key in edit.put {
                match rows.iter_mut().find(|row| row.id == key.id) {
                    Some(row) => *row = key,
                    None => rows.push(key),
                }
            }
            rows.sort_by_key(|row| (row.publish_at, row.id.clone()));
            Ok(rows.clone())
        })
    }
}

pub(super) fn settings(algorithm: Algorithm) -> Settings {
    Settings {
        algorithm,
        source: Source::Store,
        encryption: None,
        rules: Rules {
            algorithm: Some(algorithm),
            rotate_every: Some(90 * DAY),
            access_ttl: TTL,
            leeway: 0,
            refresh_idle: IDLE,
        },
    }
}

fn every(rotate_every: Option<i64>) -> Settings {
    let mut settings = settings(Algorithm::EdDsa);
    settings.rules.rotate_every = rotate_every;
    settings
}

pub(super) fn sealed(file: &str) -> Settings {
    let mut settings = settings(Algorithm::EdDsa);
    settings.encryption = Some(EncryptionKeys::parse(file.as_bytes()).unwrap());
    settings
}

pub(super) struct Replica {
    pub(super) store: Memory,
    pub(super) keeper: Keeper,
    pub(super) ring: KeyRing,
    pub(super) sealing: SealingKeys,
    pub(super) clock: Clock,
}

impl Replica {
    pub(super) fn new(store: &Memory, settings: Settings, clock: &Clock) -> Self {
        let (ring, sealing) = (KeyRing::new(), SealingKeys::default());
        let keeper = Keeper::new(settings, ring.clone(), sealing.clone(), clock.clone()).unwrap();
        Self {
            store: store.clone(),
            keeper,
            ring,
            sealing,
            clock: clock.clone(),
        }
    }

    pub(super) async fn started(store: &Memory, settings: Settings, clock: &Clock) -> Self {
        let replica = Self::new(store, settings, clock);
        replica.load().await;
        replica
    }

    pub(super) async fn load(&self) -> Vec<String> {
        self.keeper.load(&self.store).await.unwrap().made
    }

    pub(super) async fn rotate(&self, wish: Wish) -> Vec<String> {
        self.keeper.rotate(&self.store, wish).await.unwrap().made
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.unix_millis()
    }

    pub(super) fn signer(&self) -> String {
        self.ring.load().signing(self.now()).unwrap().id().to_owned()
    }

    pub(super) fn verifies(&self, kid: &str) -> bool {
        self.ring.load().verifying(kid, self.now()).is_some()
    }

    pub(super) fn published(&self) -> Vec<String> {
        let set: Value = serde_json::from_str(&self.ring.load().jwks(self.now())).unwrap();
        let keys = set["keys"].as_array().unwrap();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }
}

/// Replicas whose clocks are a minute apart each way turn keys hour by hour for half a day; what each signs, each of the
/// others takes, to the end of the token's life, and so does everybody who asked for the keys up to five minutes ago.
#[tokio::test]
async fn no_token_is_lost_by_any_turn_whatever_the_clocks_say() {
    let store = Memory::default();
    let true_time = Clock::manual(START);
    let clocks: Vec<(i64, Clock)> = [-MINUTE, 0, MINUTE]
        .into_iter()
        .map(|off| (off, Clock::manual(START + off)))
        .collect();
    let mut replicas = Vec::new();
    for (_, clock) in &clocks {
        replicas.push(Replica::started(&store, every(Some(HOUR)), clock).await);
    }
    for replica in &replicas {
        replica.load().await; // the feed tells the first ones of what the last one did
    }
    // When each key last signed, by the signer's clock, and what was published when.
    let mut signed: HashMap<String, i64> = HashMap::new();
    let mut published: Vec<(i64, Vec<String>)> = Vec::new();
    const STEP: i64 = 10_000;
    for step in 0..(12 * HOUR / STEP) {
        let now = START + step * STEP;
        true_time.set(now);
        for (off, clock) in &clocks {
            clock.set(now + off);
        }
        for replica in &replicas {
            replica.load().await;
        }
        for (index, replica) in replicas.iter().enumerate() {
            let kid = replica.signer();
            let old = published.iter().filter(|(at, _)| *at + 300_000 >= now);
            for (at, kids) in old {
                assert!(
                    kids.contains(&kid),
                    "replica {index} signs with a key not in the JWKS of {at}"
                );
            }
            signed.insert(kid, replica.now());
        }
        for replica in &replicas {
            for (kid, _) in signed.iter().filter(|(_, at)| replica.now() < **at + TTL) {
                assert!(replica.verifies(kid), "a token of {kid} is lost at step {step}");
            }
            // The key set of a replica one step behind the rest is what somebody may have kept.
            published.push((now, replica.published()));
        }
        published.retain(|(at, _)| *at + 300_000 >= now);
        assert!(store.rows().len() <= 24, "old keys go");
    }
    assert!(signed.len() >= 10, "they turned every hour: {}", signed.len());
    let living = store.of("EdDSA");
    assert!(
        living.len() <= 3,
        "what verifies nothing any more goes: {}",
        living.len()
    );
}

#[tokio::test]
async fn the_times_of_a_rotation_are_those_that_are_promised() {
    let (store, clock) = (Memory::default(), Clock::manual(START));
    let replica = Replica::started(&store, settings(Algorithm::EdDsa), &clock).await;
    *store.lifetime.lock().unwrap() = HOUR;
    let old = replica.signer();
    assert_eq!(store.rows().len(), 2, "one for tokens, one for cookies");
    let made = replica.rotate(Wish::Rotate).await;
    assert_eq!(made.len(), 2);
    replica.load().await;
    assert!(OVERLAP >= 300_000 + 2 * 60_000 && OVERLAP >= i64::try_from(JWKS_MAX_AGE.as_millis()).unwrap());
    let keys = store.of("EdDSA");
    let new = keys.iter().find(|key| made.contains(&key.id)).unwrap();
    assert_eq!(
        (new.publish_at, new.sign_from, new.verify_until),
        (START, START + OVERLAP, None)
    );
    // The largest life that any replica recorded, and what clocks may be wrong by.
    let end = START + OVERLAP + HOUR + 2 * MINUTE;
    assert_eq!(keys.iter().find(|key| key.id == old).unwrap().verify_until, Some(end));
    assert_eq!((replica.signer(), replica.published().len()), (old.clone(), 2));
    clock.set(START + OVERLAP - 1);
    assert_eq!(replica.signer(), old);
    clock.set(START + OVERLAP);
    assert_eq!(replica.signer(), new.id);
    clock.set(end - 1);
    assert!(replica.verifies(&old) && replica.published().contains(&old));
    clock.set(end);
    assert!(!replica.verifies(&old) && !replica.published().contains(&old));
    replica.load().await;
    assert_eq!(store.of("EdDSA").len(), 2);
    clock.set(end + 5 * MINUTE);
    replica.load().await;
    assert_eq!(store.of("EdDSA").len(), 1, "a key that is of no use is not kept");
}

#[tokio::test]
async fn ten_at_once_make_one_key_whatever_they_wish() {
    let (store, clock) = (Memory::default(), Clock::manual(START));
    let replicas: Vec<Arc<Replica>> = (0..10)
        .map(|_| Arc::new(Replica::new(&store, settings(Algorithm::EdDsa), &clock)))
        .collect();
    let all = |wish: Option<Wish>| {
        let mut running = tokio::task::JoinSet::new();
        for replica in &replicas {
            let replica = Arc::clone(replica);
            running.spawn(async move {
                match wish {
                    None => replica.load().await,
                    Some(wish) => replica.rotate(wish).await,
                }
            });
        }
        running.join_all()
    };
    let count = |made: Vec<Vec<String>>| {
        made.into_iter()
            .flatten()
            .collect::<std::collections::HashSet<_>>()
            .len()
    };
    assert_eq!(count(all(None).await), 2, "the first ones");
    assert_eq!(store.rows().len(), 2);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(count(all(Some(Wish::Rotate)).await), 2);
    assert_eq!(store.rows().len(), 4);
    assert_eq!(count(all(Some(Wish::Rotate)).await), 0, "one is under way");
    clock.advance(Duration::from_secs(91 * 86_400));
    assert_eq!(count(all(None).await), 2, "due");
    let since = clock.unix_millis();
    assert_eq!(count(all(Some(Wish::Now { since })).await), 2);
    assert_eq!(store.rows().len(), 2, "all others are gone");
    let ids: Vec<_> = store.rows().into_iter().map(|key| key.id).collect();
    // Asked for anew, it is done anew.
    clock.advance(Duration::from_secs(61));
    let since = clock.unix_millis();
    assert_eq!(count(all(Some(Wish::Now { since })).await), 2);
    assert!(store.rows().iter().all(|key| !ids.contains(&key.id)));
}

#[tokio::test]
async fn at_once_drops_the_old_keys_and_those_under_way_on_every_replica() {
    let (store, clock) = (Memory::default(), Clock::manual(START));
    let one = Replica::started(&store, settings(Algorithm::EdDsa), &clock).await;
    let late = Clock::manual(START - MINUTE);
    let other = Replica::started(&store, settings(Algorithm::EdDsa), &late).await;
    let old = one.signer();
    one.rotate(Wish::Rotate).await;
    one.load().await;
    let random = SystemRandom::new();
    let cookie = one.sealing.seal("cookie", b"alice", &random, START).unwrap();
    // Not even a rotation of a moment ago stands in for it.
    let generation = other.ring.generation();
    one.rotate(Wish::Now { since: START }).await;
    for replica in [&one, &other] {
        replica.load().await;
        assert!(!replica.verifies(&old) && replica.published() == [replica.signer()]);
        assert_eq!(replica.sealing.open("cookie", &cookie, replica.now()), None);
        assert!(replica.sealing.ready(replica.now()));
    }
    assert_eq!(one.signer(), other.signer());
    assert!(
        other.ring.generation() > generation,
        "what was remembered counts no more"
    );
}

#[tokio::test]
async fn keys_turn_when_they_are_due_and_never_where_that_is_asked_for() {
    let (store, clock) = (Memory::default(), Clock::manual(START));
    let replica = Replica::started(&store, settings(Algorithm::EdDsa), &clock).await;
    clock.set(START + 90 * DAY - MINUTE - 1);
    assert!(replica.load().await.is_empty());
    clock.set(START + 90 * DAY);
    assert_eq!(replica.load().await.len(), 2);
    assert!(replica.load().await.is_empty(), "once");
    let never = Replica::started(&store, every(None), &clock).await;
    clock.set(START + 1000 * DAY);
    assert!(never.load().await.is_empty());
    assert_eq!(never.rotate(Wish::Rotate).await.len(), 2);
}

#[tokio::test]
async fn a_cookie_of_an_old_key_opens_for_as_long_as_its_session_may_sleep() {
    let (store, clock) = (Memory::default(), Clock::manual(START));
    let replica = Replica::started(&store, settings(Algorithm::EdDsa), &clock).await;
    let random = SystemRandom::new();
    replica.rotate(Wish::Rotate).await;
    replica.load().await;
    clock.set(START + OVERLAP - 1);
    let last = replica
        .sealing
        .seal("cookie", b"alice", &random, replica.now())
        .unwrap();
    let opens = |now: i64| replica.sealing.open("cookie", &last, now).is_some();
    clock.set(START + OVERLAP - 1 + IDLE);
    replica.load().await;
    assert!(opens(replica.now()));
    clock.set(START + OVERLAP + IDLE + TTL + 2 * MINUTE);
    assert!(!opens(replica.now()));
    let new = replica
        .sealing
        .seal("cookie", b"alice", &random, replica.now())
        .unwrap();
    assert!(replica.sealing.open("cookie", &new, replica.now()).is_some());
}

#[tokio::test]
async fn a_change_of_the_algorithm_loses_no_token_beside_the_old_version_or_alone() {
    let (store, clock) = (Memory::default(), Clock::manual(START));
    let old = Replica::started(&store, settings(Algorithm::EdDsa), &clock).await;
    let first = old.signer();
    clock.advance(Duration::from_secs(3600));
    let new = Replica::started(&store, settings(Algorithm::Es256), &clock).await;
    old.load().await;
    // Published on both, signing on neither.
    assert_eq!((old.signer(), new.signer()), (first.clone(), first.clone()));
    assert_eq!((old.published().len(), new.published().len()), (2, 2));
    clock.advance(Duration::from_millis(u64::try_from(OVERLAP).unwrap()));
    let second = new.signer();
    assert_ne!(second, first);
    assert_eq!(old.signer(), first);
    assert!(old.verifies(&second) && new.verifies(&first));
    // As long as one turns it, it is nobody's business to end it.
    clock.set(START + 91 * DAY);
    old.load().await;
    new.load().await;
    old.load().await;
    assert_eq!(
        store
            .of("EdDSA")
            .iter()
            .filter(|key| key.verify_until.is_none())
            .count(),
        1
    );
    // Then the old version is gone, and nobody turns its key.
    clock.set(START + 183 * DAY);
    new.load().await;
    assert!(store.of("EdDSA").iter().all(|key| key.verify_until.is_some()));
    clock.advance(Duration::from_secs(3600));
    new.load().await;
    assert!(store.of("EdDSA").is_empty());
    // A rotation by hand ends what other algorithms have at once; who still signs with one makes itself a new key.
    let old = Replica::started(&store, settings(Algorithm::EdDsa), &clock).await;
    let begun = clock.unix_millis();
    clock.advance(Duration::from_secs(3600));
    assert_eq!(old.signer(), store.of("EdDSA")[0].id);
    new.rotate(Wish::Rotate).await;
    let end = store.of("EdDSA")[0].verify_until.unwrap();
    assert_eq!(end, begun + HOUR + OVERLAP + TTL + 2 * MINUTE);
    assert_eq!(old.load().await.len(), 1);
    clock.advance(Duration::from_millis(u64::try_from(OVERLAP).unwrap()));
    old.load().await;
    new.load().await;
    let both = store.of("EdDSA");
    assert_eq!(both.len(), 2);
    assert_eq!(old.signer(), both[1].id);
    assert!(new.verifies(&both[0].id) && new.verifies(&both[1].id));
}

#[tokio::test]
async fn longer_tokens_lengthen_what_an_ended_key_verifies_while_it_still_signs() {
    let (store, clock) = (Memory::default(), Clock::manual(START));
    let replica = Replica::started(&store, settings(Algorithm::EdDsa), &clock).await;
    let old = replica.signer();
    replica.rotate(Wish::Rotate).await;
    let mut longer = settings(Algorithm::EdDsa);
    longer.rules.access_ttl = 4 * HOUR;
    let longer = Replica::started(&store, longer, &clock).await;
    assert_eq!(longer.signer(), old);
    let end = store.of("EdDSA").iter().find(|key| key.id == old).unwrap().verify_until;
    assert_eq!(end, Some(START + OVERLAP + 4 * HOUR + 2 * MINUTE));
}
