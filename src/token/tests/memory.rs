//! The memory of verified tokens gives the answers that verification gives, and stays within its bounds.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::principal::Person;
use crate::revocation::Revocations;
use crate::store::{Change, User};

fn minting() -> (Arc<Verifier>, Mint, KeyRing) {
    let (settings, ring) = (settings(), ring(generate(Algorithm::Hs256)));
    (
        shared(verifier(&settings, &ring)),
        Mint::new(&settings, ring.clone()),
        ring,
    )
}

fn name(person: &Person) -> String {
    person.name.clone()
}

#[test]
fn a_token_is_verified_once_and_remembered_with_what_was_prepared() {
    let (verifier, mint, _) = minting();
    let revocations = Revocations::new();
    let mut cache = Cache::new(10);
    let prepared = Cell::new(0);
    let token = issue(&mint, NOW);
    let mut ask = |now| {
        cache.verify(&verifier, &revocations, token.as_bytes(), now, |person| {
            prepared.set(prepared.get() + 1);
            person.name.clone()
        })
    };
    let (source, first) = ask(NOW);
    assert_eq!(
        (source, first.as_ref().unwrap().prepared.as_str()),
        (Source::Miss, "alice")
    );
    let (source, second) = ask(NOW + 1);
    assert_eq!(source, Source::Hit);
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    let _ = revocations.apply(&[Change::Keys], ADMIN);
    assert_eq!(ask(NOW + 2).0, Source::Hit, "asked again, and the same");
    assert_eq!(prepared.get(), 1);
    assert_eq!(ask(NOW + 900_000), (Source::Miss, Err(Error::Expired)));
    assert!(cache.is_empty());
}

#[test]
fn bad_tokens_do_not_enter() {
    let (verifier, mint, _) = minting();
    let revocations = Revocations::new();
    let mut cache = Cache::new(10);
    let good = issue(&mint, NOW);
    for n in 0..1000 {
        let bad = format!("{}{}", &good[..good.len() - 4], ["AAAA", "BBBB", "CCCC"][n % 3]);
        let (source, answer) = cache.verify(&verifier, &revocations, bad.as_bytes(), NOW, name);
        assert_eq!((source, answer.is_err()), (Source::Miss, true));
    }
    assert!(cache.is_empty());
}

#[test]
fn it_is_bounded_and_a_stream_of_strangers_does_not_push_out_who_is_here() {
    let (verifier, mint, _) = minting();
    let revocations = Revocations::new();
    let mut cache = Cache::new(20);
    let regulars: Vec<String> = (0..10).map(|_| issue(&mint, NOW)).collect();
    let mut ask = |token: &str| cache.verify(&verifier, &revocations, token.as_bytes(), NOW, name).0;
    assert!(regulars.iter().all(|token| ask(token) == Source::Miss));
    let mut missed = 0;
    for _ in 0..50 {
        assert!((0..5).all(|_| ask(&issue(&mint, NOW)) == Source::Miss));
        missed += regulars.iter().filter(|token| ask(token) == Source::Miss).count();
    }
    assert_eq!(missed, 0);
    assert_eq!(cache.len(), 20);
}

#[test]
fn it_is_bounded_in_bytes_too() {
    let key = generate(Algorithm::Hs256);
    let claims = |n: usize| {
        with(
            &with(&our_claims(), "jti", json!(n.to_string())),
            "pad",
            json!("x".repeat(5000)),
        )
    };
    let tokens: Vec<String> = (0..40)
        .map(|n| forge(&key, &our_header(&key).to_string(), &claims(n).to_string()))
        .collect();
    let verifier = shared(verifier(&settings(), &ring(key)));
    let mut cache = Cache::new(20);
    for token in &tokens {
        let (_, answer) = cache.verify(&verifier, &Revocations::new(), token.as_bytes(), NOW, name);
        assert!(answer.is_ok());
        assert!(cache.bytes() <= 20 * 2048 && cache.len() <= 20);
    }
    assert!(cache.len() >= 4, "{}", cache.len());
    let small = Cache::verify(
        &mut Cache::new(1),
        &verifier,
        &Revocations::new(),
        tokens[0].as_bytes(),
        NOW,
        name,
    );
    assert!(
        small.1.is_ok(),
        "what is too large to be remembered is verified all the same"
    );
}

#[test]
fn without_capacity_nothing_is_remembered() {
    let (verifier, mint, _) = minting();
    let mut cache = Cache::new(0);
    let token = issue(&mint, NOW);
    for _ in 0..3 {
        let (source, answer) = cache.verify(&verifier, &Revocations::new(), token.as_bytes(), NOW, name);
        assert_eq!((source, answer.is_ok()), (Source::Miss, true));
    }
    assert!(cache.is_empty());
}

#[test]
fn a_key_that_is_dropped_takes_what_is_remembered_of_it_along() {
    let (verifier, mint, ring) = minting();
    let (revocations, mut cache) = (Revocations::new(), Cache::new(10));
    let token = issue(&mint, NOW);
    let mut ask = |token: &str| cache.verify(&verifier, &revocations, token.as_bytes(), NOW, name);
    assert_eq!(ask(&token).0, Source::Miss);
    assert_eq!(ask(&token).0, Source::Hit);
    // As `key rotate --now` does: another key in its place.
    let new = RingKey::new(generate(Algorithm::EdDsa), NOW - 60_000, NOW - 60_000, None).unwrap();
    assert!(ring.publish(vec![new], Algorithm::EdDsa));
    for _ in 0..2 {
        let (_, answer) = ask(&token);
        assert_eq!(answer.err(), Some(Error::UnknownKey));
    }
    assert!(ask(&issue(&mint, NOW)).1.is_ok());
}

#[test]
fn another_verifier_makes_it_forget() {
    let (verifier_then, mint, ring) = minting();
    let revocations = Revocations::new();
    let mut cache = Cache::new(10);
    let token = issue(&mint, NOW);
    assert!(
        cache
            .verify(&verifier_then, &revocations, token.as_bytes(), NOW, name)
            .1
            .is_ok()
    );
    let reloaded = shared(verifier(
        &Settings {
            audience: vec!["other".into()],
            ..settings()
        },
        &ring,
    ));
    let (_, answer) = cache.verify(&reloaded, &revocations, token.as_bytes(), NOW, name);
    assert_eq!(answer, Err(Error::WrongAudience));
}

/// What may happen between two requests.
#[derive(Clone, Debug)]
enum Step {
    Show(usize),
    Clock(i64),
    Rotate,
    DropOldKeys,
    EndSession(u8),
    User(i64, &'static str, bool),
    Delete(i64),
    Census,
    Sweep,
    Reload(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..16_usize).prop_map(Step::Show),
        3 => (-400_000..700_000_i64).prop_map(Step::Clock),
        1 => Just(Step::Rotate),
        1 => Just(Step::DropOldKeys),
        2 => (0..4_u8).prop_map(Step::EndSession),
        3 => (0..3_i64, prop_oneof![Just("user"), Just("user,ops"), Just("doorward-admin")], any::<bool>())
            .prop_map(|(user, roles, active)| Step::User(user, roles, active)),
        1 => (0..3_i64).prop_map(Step::Delete),
        1 => Just(Step::Census),
        1 => Just(Step::Sweep),
        1 => (0..3_u64).prop_map(Step::Reload),
    ]
}

/// A gateway whose clock, keys, users and configuration move.
struct Gateway {
    settings: Settings,
    ring: KeyRing,
    materials: Vec<(Vec<u8>, i64, Option<i64>)>,
    verifier: Arc<Verifier>,
    revocations: Revocations,
    tokens: Vec<String>,
    now: i64,
}

impl Gateway {
    fn new() -> Self {
        let (key, issuer) = symmetric();
        let settings = Settings {
            trusted_issuers: vec![issuer],
            ..settings()
        };
        let ring = KeyRing::new();
        let verifier = shared(verifier(&settings, &ring));
        let mut gateway = Self {
            settings,
            ring,
            materials: Vec::new(),
            verifier,
            revocations: Revocations::new(),
            tokens: Vec::new(),
            now: NOW,
        };
        gateway.rotate();
        let their = |name: &str, value| {
            forge(
                &key,
                r#"{"alg":"HS256"}"#,
                &with(&their_claims(), name, value).to_string(),
            )
        };
        gateway.tokens.push(their("jti", json!("a")));
        gateway.tokens.push(their("nbf", json!(NOON + 100)));
        gateway.tokens.push(their("aud", json!("else")));
        gateway.tokens.push("rubbish".into());
        gateway
    }

    /// A new key signs; the one before verifies for a while yet. Each key makes some tokens.
    fn rotate(&mut self) {
        if let Some(last) = self.materials.last_mut() {
            last.2 = Some(self.now + 300_000);
        }
        let material = SigningKey::generate(Algorithm::Hs256).unwrap().1.to_vec();
        self.materials.push((material, self.now, None));
        self.publish();
        let mint = Mint::new(&self.settings, self.ring.clone());
        for n in 0..4_u8 {
            let roles = roles("user");
            let subject = Subject {
                user: UserId(i64::from(n % 3)),
                session: SessionId([n; 16]),
                ..subject(&roles)
            };
            if let Ok(access) = mint.access(&subject, &SystemRandom::new(), self.now) {
                self.tokens.push(access.token.expose().clone());
            }
        }
    }

    fn publish(&self) {
        let keys = self.materials.iter().map(|(material, from, until)| {
            let key = SigningKey::from_material(Algorithm::Hs256, material).unwrap();
            RingKey::new(key, *from, *from, *until).unwrap()
        });
        self.ring.publish(keys.collect(), Algorithm::Hs256);
    }

    fn user(&self, id: i64, roles: &str, active: bool) -> User {
        User {
            id: UserId(id),
            username: "alice".into(),
            password: String::new(),
            roles: roles.into(),
            active,
            email: None,
            email_verified: false,
            grants: if active && roles == "user,ops" {
                vec![ADMIN.into()]
            } else {
                Vec::new()
            },
            cut_at: None,
        }
    }

    fn apply(&mut self, step: &Step) {
        let until = self.now + 900_000;
        match step {
            Step::Show(_) => {}
            Step::Clock(by) => self.now += by,
            Step::Rotate => self.rotate(),
            Step::DropOldKeys => {
                self.materials.drain(..self.materials.len() - 1);
                self.publish();
            }
            Step::EndSession(n) => self.revocations.end_session_now(SessionId([*n; 16]), until),
            Step::User(id, roles, active) => {
                let state = Some(Box::new(self.user(*id, roles, *active)));
                let _ = self.revocations.apply(
                    &[Change::User {
                        user: UserId(*id),
                        state,
                        until,
                    }],
                    ADMIN,
                );
            }
            Step::Delete(id) => {
                let _ = self.revocations.apply(
                    &[Change::User {
                        user: UserId(*id),
                        state: None,
                        until,
                    }],
                    ADMIN,
                );
            }
            Step::Census => {
                let mut census = self.revocations.census(until, ADMIN);
                census.meet(&[self.user(0, "user", true), self.user(2, "user,ops", true)]);
                census.finish(self.now);
            }
            Step::Sweep => {
                self.revocations.sweep(self.now);
            }
            Step::Reload(leeway) => {
                self.settings.leeway = Duration::from_secs(*leeway * 100);
                self.verifier = shared(verifier(&self.settings, &self.ring));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn remembered_or_not_the_answers_are_the_same(
        capacity in 0..8_usize,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut gateway = Gateway::new();
        let mut cache = Cache::new(capacity);
        for step in &steps {
            gateway.apply(step);
            let Step::Show(n) = step else { continue };
            let token = &gateway.tokens[n % gateway.tokens.len()];
            let (verifier, revocations) = (&gateway.verifier, &gateway.revocations);
            let (_, answer) = cache.verify(verifier, revocations, token.as_bytes(), gateway.now, |p| p.roles.to_column());
            let anew = person_in_force(verifier, revocations, token.as_bytes(), gateway.now);
            match (answer, anew) {
                (Ok(accepted), Ok(person)) => {
                    prop_assert_eq!(&accepted.person, &person);
                    prop_assert_eq!(&accepted.prepared, &person.roles.to_column());
                }
                (answer, anew) => prop_assert_eq!(answer.err(), anew.err()),
            }
            prop_assert!(cache.len() <= capacity);
        }
    }
}
