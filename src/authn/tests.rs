//! What a worker remembers never shows: the same answers as a worker without a memory gives, whatever happened between.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::keyring::{KeyRing, RingKey, SealingKeys, SigningKey};
use crate::principal::{Roles, SessionId, UserId};
use crate::revocation::Revocations;
use crate::secret::Secret;
use crate::session::{Found, Sealer};
use crate::store::{Change, User};
use crate::telemetry::Metrics;
use crate::token::{self, praetorian};
use crate::token::{
    Algorithm, KeySource, Mint, RoleMapping, Settings, Subject, TrustedIssuer, UserMapping, Verifier, person_in_force,
};

const NOW: i64 = 1_800_000_000_000;
const OURS: &str = "https://gate.example.com";
const THEIRS: &str = "https://idp.example.com";
const ADMIN: &str = "doorward-admin";
const TTL: i64 = 900_000;
const FLASK_SECRET: &[u8] = b"hunter2";
/// The place of the praetorian token among the house's.
const FLASK: usize = 4;
const THEIR_SECRET: [u8; 32] = [9; 32];

/// What may happen between two requests.
#[derive(Clone, Debug)]
enum Step {
    /// This token is shown to this worker.
    Show(usize, usize),
    /// Something that is no single token is shown.
    Odd(usize, usize),
    Clock(i64),
    Rotate,
    DropOldKeys,
    EndSession(u8),
    User(i64, &'static str, bool),
    Delete(i64),
    Census,
    Sweep,
    Reload(&'static str, u64),
    Loaded,
    /// Somebody asked who user 1 is.
    Learn,
    /// The tokens of user 1 without a session end, by so many seconds after the start.
    Cut(i64),
    RevokeTokens,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => (0..2_usize, 0..20_usize).prop_map(|(worker, token)| Step::Show(worker, token)),
        1 => (0..2_usize, 0..4_usize).prop_map(|(worker, odd)| Step::Odd(worker, odd)),
        3 => (-400_000..700_000_i64).prop_map(Step::Clock),
        1 => Just(Step::Rotate),
        1 => Just(Step::DropOldKeys),
        2 => (0..4_u8).prop_map(Step::EndSession),
        3 => (0..3_i64, prop_oneof![Just("user"), Just("user,ops"), Just("")], any::<bool>())
            .prop_map(|(user, roles, active)| Step::User(user, roles, active)),
        1 => (0..3_i64).prop_map(Step::Delete),
        1 => Just(Step::Census),
        1 => Just(Step::Sweep),
        1 => (prop_oneof![3 => Just(OURS), 1 => Just("else")], 0..3_u64)
            .prop_map(|(audience, leeway)| Step::Reload(audience, leeway)),
        2 => Just(Step::Loaded),
        2 => Just(Step::Learn),
        1 => (-2..3_i64).prop_map(Step::Cut),
        1 => Just(Step::RevokeTokens),
    ]
}

/// A gateway whose clock, keys, users and configuration move; two workers remember, one forgets.
struct House {
    settings: Settings,
    ring: KeyRing,
    materials: Vec<(Vec<u8>, i64, Option<i64>)>,
    verifier: Arc<Verifier>,
    revocations: Revocations,
    authenticator: Authenticator,
    metrics: Metrics,
    workers: [Remembered; 2],
    tokens: Vec<String>,
    now: i64,
}

fn settings() -> Settings {
    Settings {
        issuer: OURS.into(),
        audience: vec![OURS.into()],
        algorithm: Algorithm::Hs256,
        access_ttl: Duration::from_millis(900_000),
        refresh_idle: Duration::from_secs(86_400),
        refresh_ttl: Duration::from_secs(86_400),
        leeway: Duration::ZERO,
        key_files: Vec::new(),
        key_encryption: None,
        rotate_every: None,
        secret: None,
        max_length: 8192,
        cache: 100,
        trusted_issuers: vec![TrustedIssuer {
            issuer: THEIRS.into(),
            keys: KeySource::Secret(Secret::new(THEIR_SECRET.to_vec())),
            algorithms: vec![Algorithm::Hs256],
            audience: vec!["orders".into()],
            user_claim: vec!["sub".into()],
            users: UserMapping::Prefixed("idp:".into()),
            roles_claim: Some(vec!["roles".into()]),
            roles: RoleMapping::AsIs,
            leeway: Duration::ZERO,
        }],
        praetorian: Some(praetorian::Settings {
            signing: Some(Secret::new(FLASK_SECRET.to_vec())),
            verifying: vec![(Secret::new(FLASK_SECRET.to_vec()), None)],
            flask: false,
        }),
    }
}

/// A token of the praetorian format for user 1.
fn flask_token(settings: &Settings, now: i64) -> String {
    let praetorian = praetorian::Praetorian::new(settings).unwrap();
    let token = praetorian.access(UserId(1), "user", &SystemRandom::new(), now);
    token.unwrap().token.expose().clone()
}

fn their_token(subject: &str, not_before: i64, audience: &str) -> String {
    let claims = json!({
        "iss": THEIRS, "sub": subject, "aud": audience, "nbf": not_before, "exp": NOW / 1000 + 300, "roles": ["staff"],
    });
    let parts = [r#"{"alg":"HS256"}"#.to_owned(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = parts.join(".");
    let key = SigningKey::from_material(Algorithm::Hs256, &THEIR_SECRET).unwrap();
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

impl House {
    /// With its first key and a token of each of four sessions and three users, and nothing read from the store yet.
    fn new(capacity: usize) -> Self {
        let (settings, ring, revocations) = (settings(), KeyRing::new(), Revocations::new());
        let (verifier, _) = Verifier::new(&settings, ring.clone(), ADMIN).unwrap();
        let flask = flask_token(&settings, NOW);
        let mut house = Self {
            authenticator: Authenticator::new(
                ring.clone(),
                revocations.clone(),
                ApiKeys::default(),
                Sealer::new(SealingKeys::default()),
                None,
            ),
            settings,
            ring,
            materials: Vec::new(),
            verifier: Arc::new(verifier),
            revocations,
            metrics: Metrics::new(3),
            workers: [Remembered::new(capacity), Remembered::new(capacity)],
            tokens: vec![
                their_token("u-1", NOW / 1000, "orders"),
                their_token("u-2", NOW / 1000 + 100, "orders"),
                their_token("u-3", NOW / 1000, "else"),
                "not.a.token".into(),
                flask,
            ],
            now: NOW,
        };
        house.rotate();
        house
    }

    fn rotate(&mut self) {
        if let Some(last) = self.materials.last_mut() {
            last.2 = Some(self.now + 300_000);
        }
        let material = SigningKey::generate(Algorithm::Hs256).unwrap().1.to_vec();
        self.materials.push((material, self.now, None));
        self.publish();
        let mint = Mint::new(&self.settings, self.ring.clone());
        let roles = Roles::from_column("user");
        for number in 0..4_u8 {
            let subject = Subject {
                user: UserId(i64::from(number % 3)),
                username: "alice",
                roles: &roles,
                email: None,
                session: SessionId([number; 16]),
                session_ends: i64::MAX,
            };
            // A clock that went back has no key that signs yet.
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

    fn change(&self, user: i64, state: Option<User>) {
        let change = Change::User {
            user: UserId(user),
            state: state.map(Box::new),
            until: self.now + TTL,
        };
        let _ = self.revocations.apply(&[change], ADMIN);
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Show(..) | Step::Odd(..) => {}
            Step::Clock(by) => self.now += by,
            Step::Rotate => self.rotate(),
            Step::DropOldKeys => {
                self.materials.drain(..self.materials.len() - 1);
                self.publish();
            }
            Step::EndSession(number) => self
                .revocations
                .end_session_now(SessionId([*number; 16]), self.now + TTL),
            Step::User(id, roles, active) => self.change(*id, Some(user(*id, roles, *active))),
            Step::Delete(id) => self.change(*id, None),
            Step::Census => {
                let mut census = self.revocations.census(self.now + TTL, ADMIN);
                census.meet(&[user(0, "user", true), user(2, "user,ops", true)]);
                census.finish(self.now);
            }
            Step::Sweep => drop(self.revocations.sweep(self.now)),
            Step::Reload(audience, leeway) => {
                self.settings.audience = vec![(*audience).into()];
                self.settings.leeway = Duration::from_secs(*leeway * 100);
                let (verifier, _) = Verifier::new(&self.settings, self.ring.clone(), ADMIN).unwrap();
                self.verifier = Arc::new(verifier);
            }
            Step::Loaded => self.revocations.loaded(self.now),
            Step::Learn => self.revocations.learn(&user(1, "user", true), ADMIN, self.now),
            Step::Cut(at) => self.change(
                1,
                Some(User {
                    cut_at: Some(NOW + at * 1000),
                    ..user(1, "user", true)
                }),
            ),
            Step::RevokeTokens => {
                let flask = self.tokens[FLASK].clone();
                let verified = self.verifier.verify(flask.as_bytes(), NOW).unwrap();
                let id = verified.person.token_id.clone().unwrap();
                self.revocations.revoke_token_now(&id, self.now + TTL);
            }
        }
    }

    /// What the worker says, and what one without a memory says.
    fn check(&mut self, worker: usize, shown: &Shown<'_>) -> (Outcome, Outcome) {
        let presented = Presented {
            authorization: shown,
            ticket: None,
            cookie: Found::Nothing,
            resolved: None,
        };
        let counts = Counts {
            bearer: true,
            session: false,
            basic: false,
        };
        let ask = |remembered: &mut Remembered, worker| {
            let mut look = Look {
                verifier: &self.verifier,
                remembered,
                now: self.now,
                metrics: &self.metrics,
                worker,
            };
            self.authenticator.check(&presented, counts, &mut look)
        };
        let with = ask(&mut self.workers[worker], worker);
        (with, ask(&mut Remembered::new(0), 2))
    }

    fn show(&mut self, worker: usize, token: usize) -> Outcome {
        let token = self.tokens[token].clone();
        self.check(worker, &Shown::Bearer(&token)).0
    }
}

fn user(id: i64, roles: &str, active: bool) -> User {
    User {
        id: UserId(id),
        username: "alice".into(),
        password: String::new(),
        roles: roles.into(),
        active,
        email: None,
        email_verified: false,
        grants: if roles == "user,ops" {
            vec![ADMIN.into()]
        } else {
            Vec::new()
        },
        cut_at: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn with_a_memory_or_without_the_outcome_is_the_same(
        capacity in 0..8_usize,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut house = House::new(capacity);
        for step in &steps {
            house.apply(step);
            if let Step::Odd(worker, odd) = step {
                let shown = [Shown::Nothing, Shown::Several, Shown::BrokenBearer, Shown::OtherScheme][*odd].clone();
                let (with, without) = house.check(*worker, &shown);
                prop_assert_eq!(format!("{with:?}"), format!("{without:?}"));
            }
            if let Step::Show(worker, number) = step {
                    let token = house.tokens[number % house.tokens.len()].clone();
                    let (with, without) = house.check(*worker, &Shown::Bearer(&token));
                    // The person, the roles in force, and what a backend is told: all of it.
                    prop_assert_eq!(format!("{with:?}"), format!("{without:?}"));
                    let anew = person_in_force(&house.verifier, &house.revocations, token.as_bytes(), house.now);
                    match (&with, anew) {
                        (Outcome::Known(proof), Ok(person)) => {
                            prop_assert!(house.revocations.ready());
                            prop_assert_eq!(&proof.person, &person);
                        }
                        (Outcome::Bad(Fault::NotReady), _) => prop_assert!(!house.revocations.ready()),
                        (Outcome::Bad(_), Err(_)) | (Outcome::Ask(_), Err(token::Error::NotIdentified(_))) => {}
                        (outcome, anew) => prop_assert!(false, "{:?} and {:?}", outcome, anew),
                    }
            }
        }
    }
}

fn roles(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Known(proof) => proof.person.roles.to_column(),
        Outcome::Bad(fault) => fault.as_str().to_owned(),
        Outcome::Anonymous => "nobody".to_owned(),
        Outcome::Ask(_) => "ask".to_owned(),
    }
}

/// The same by hand, so that two answers that agree are also the right ones. The first five tokens are no tokens of ours with a session.
#[test]
fn what_changed_counts_at_the_next_request() {
    let mut house = House::new(8);
    let (alice, their) = (5, 0);
    assert_eq!(roles(&house.show(0, alice)), "not_ready");
    house.apply(&Step::Loaded);
    for worker in [0, 1, 0, 1] {
        assert_eq!(roles(&house.show(worker, alice)), "user");
        assert_eq!(roles(&house.show(worker, their)), "staff");
    }
    house.apply(&Step::User(0, "user,ops", true));
    assert!(roles(&house.show(0, alice)).contains("ops"));
    house.apply(&Step::User(0, "user", false));
    assert_eq!(roles(&house.show(0, alice)), "ended");
    house.apply(&Step::User(0, "user", true));
    assert_eq!(roles(&house.show(0, alice)), "user");
    house.apply(&Step::EndSession(0));
    assert_eq!(roles(&house.show(0, alice)), "ended");
    assert_eq!(roles(&house.show(1, alice)), "ended", "on every worker");
    let other = alice + 1;
    assert_eq!(roles(&house.show(0, other)), "user", "another session");
    house.apply(&Step::Rotate);
    assert_eq!(roles(&house.show(0, other)), "user", "the key before still verifies");
    house.apply(&Step::DropOldKeys);
    assert_eq!(roles(&house.show(0, other)), "key");
    let new = other + 4;
    assert_eq!(roles(&house.show(0, new)), "user", "of the new key");
    house.apply(&Step::Clock(TTL));
    assert_eq!(roles(&house.show(0, new)), "expired");
    house.apply(&Step::Clock(-TTL));
    assert_eq!(roles(&house.show(0, new)), "user", "the clock was set back");
    house.apply(&Step::Reload("else", 0));
    assert_eq!(roles(&house.show(0, new)), "audience");
}

#[test]
fn a_token_that_names_its_user_by_id_is_looked_up_once_and_judged_at_every_request() {
    let mut house = House::new(8);
    house.apply(&Step::Loaded);
    assert_eq!(roles(&house.show(0, FLASK)), "ask");
    assert_eq!(roles(&house.show(1, FLASK)), "ask");
    house.apply(&Step::Learn);
    for worker in [0, 1, 0, 1] {
        assert_eq!(roles(&house.show(worker, FLASK)), "user");
    }
    house.apply(&Step::User(1, "user,ops", true));
    assert!(roles(&house.show(0, FLASK)).contains("ops"));
    for (step, outcome) in [
        (Step::User(1, "user", false), "revoked"),
        (Step::User(1, "user", true), "user"),
        (Step::Cut(0), "revoked"),
        (Step::Cut(-1), "user"),
        (Step::Delete(1), "revoked"),
        (Step::User(1, "user", true), "user"),
        (Step::RevokeTokens, "revoked"),
    ] {
        house.apply(&step);
        for worker in [0, 1] {
            assert_eq!(roles(&house.show(worker, FLASK)), outcome, "{step:?}");
        }
    }
}

/// Whom a census missed and the store now has: created at the same moment, and the feed has not told of it yet.
#[test]
fn a_user_learned_after_a_census_counts_at_the_next_request() {
    let mut house = House::new(8);
    let tokens_of_user_1 = [FLASK, FLASK + 2];
    for step in [Step::Census, Step::Loaded] {
        house.apply(&step);
    }
    for (token, outcome) in tokens_of_user_1.into_iter().zip(["revoked", "ended"]) {
        assert_eq!(roles(&house.show(0, token)), outcome);
    }
    house.apply(&Step::Learn);
    for token in tokens_of_user_1 {
        assert_eq!(roles(&house.show(0, token)), "user");
    }
}
