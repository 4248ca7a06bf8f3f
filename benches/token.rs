//! What a token costs: verified anew by algorithm, remembered, and refused. `cargo bench --bench token`.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark stops where it cannot go on"
)]

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use divan::{Bencher, black_box};
use doorward::keyring::{KeyRing, RingKey, SigningKey};
use doorward::principal::{Roles, SessionId, UserId};
use doorward::revocation::Revocations;
use doorward::token::{Algorithm, Cache, Mint, Settings, Source, Subject, Verifier};

const NOW: i64 = 1_800_000_000_000;
const ALGORITHMS: [&str; 4] = ["EdDSA", "ES256", "RS256", "HS256"];

fn main() {
    divan::main();
}

struct World {
    verifier: Arc<Verifier>,
    revocations: Revocations,
    mint: Mint,
}

impl World {
    fn of(algorithm: &str) -> Self {
        let algorithm = Algorithm::from_name(algorithm).unwrap();
        let settings = Settings {
            issuer: "https://gate.example.com".into(),
            audience: vec!["https://gate.example.com".into()],
            algorithm,
            access_ttl: Duration::from_secs(900),
            refresh_idle: Duration::from_secs(900),
            refresh_ttl: Duration::from_secs(900),
            leeway: Duration::ZERO,
            key_files: Vec::new(),
            key_encryption: None,
            rotate_every: None,
            secret: None,
            max_length: 8192,
            cache: 10_000,
            trusted_issuers: Vec::new(),
            praetorian: None,
        };
        let ring = KeyRing::new();
        let (key, _) = SigningKey::generate(algorithm).unwrap();
        ring.publish(vec![RingKey::new(key, 0, 0, None).unwrap()], algorithm);
        let (verifier, _) = Verifier::new(&settings, ring.clone(), "doorward-admin").unwrap();
        Self {
            verifier: Arc::new(verifier),
            revocations: Revocations::new(),
            mint: Mint::new(&settings, ring),
        }
    }

    fn token(&self) -> Vec<u8> {
        let roles = Roles::from_column("user,ops");
        let subject = Subject {
            user: UserId(7),
            username: "alice",
            roles: &roles,
            email: None,
            session: SessionId([7; 16]),
            session_ends: i64::MAX,
        };
        let access = self.mint.access(&subject, &SystemRandom::new(), NOW).unwrap();
        access.token.expose().clone().into_bytes()
    }
}

#[divan::bench(args = ALGORITHMS)]
fn sign(bencher: Bencher<'_, '_>, algorithm: &str) {
    let world = World::of(algorithm);
    bencher.bench_local(|| world.token());
}

#[divan::bench(args = ALGORITHMS)]
fn verify_cold(bencher: Bencher<'_, '_>, algorithm: &str) {
    let world = World::of(algorithm);
    let token = world.token();
    bencher.bench_local(|| world.verifier.verify(black_box(&token), NOW).unwrap());
}

/// The same token again: what it was signed with no longer matters.
#[divan::bench(args = ALGORITHMS)]
fn verify_warm(bencher: Bencher<'_, '_>, algorithm: &str) {
    let world = World::of(algorithm);
    let token = world.token();
    let mut cache = Cache::new(10_000);
    let mut show = || {
        let answer = cache.verify(&world.verifier, &world.revocations, black_box(&token), NOW, |_| ());
        (answer.0, answer.1.unwrap())
    };
    show();
    assert_eq!(show().0, Source::Hit);
    bencher.bench_local(show);
}

#[divan::bench(args = ALGORITHMS)]
fn refuse_forged(bencher: Bencher<'_, '_>, algorithm: &str) {
    let world = World::of(algorithm);
    let mut token = world.token();
    let at = token.len() - 20;
    *token.get_mut(at).unwrap() ^= 1;
    bencher.bench_local(|| world.verifier.verify(black_box(&token), NOW).unwrap_err());
}

#[divan::bench]
fn refuse_rubbish(bencher: Bencher<'_, '_>) {
    let world = World::of("EdDSA");
    let rubbish = [b'x'; 700];
    bencher.bench_local(|| world.verifier.verify(black_box(&rubbish), NOW).unwrap_err());
}

/// With so many tokens remembered, shown in turn.
#[divan::bench(args = [1, 1000, 10_000])]
fn hit(bencher: Bencher<'_, '_>, tokens: usize) {
    let world = World::of("HS256");
    let tokens: Vec<Vec<u8>> = (0..tokens).map(|_| world.token()).collect();
    let mut cache = Cache::new(10_000);
    let mut turn = tokens.iter().cycle();
    let mut show = || {
        let token = turn.next().unwrap();
        cache
            .verify(&world.verifier, &world.revocations, black_box(token), NOW, |_| ())
            .1
            .unwrap()
    };
    (0..tokens.len()).for_each(|_| drop(show()));
    bencher.bench_local(show);
}

/// A hit right after a change somewhere: the standing is asked anew.
#[divan::bench]
fn hit_after_a_change(bencher: Bencher<'_, '_>) {
    let world = World::of("HS256");
    let token = world.token();
    let mut cache = Cache::new(10_000);
    bencher.bench_local(|| {
        world.revocations.end_session_now(SessionId([1; 16]), NOW);
        cache
            .verify(&world.verifier, &world.revocations, black_box(&token), NOW, |_| ())
            .1
            .unwrap()
    });
}
