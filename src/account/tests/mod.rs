//! Tests of accounts, by what they are about; here what they share. Where a store must fail or hold odd rows, it is the fake
//! one; where simultaneous calls meet, it is SQLite.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod administration;
mod audit;
mod login;
mod own;
mod refresh;
mod registration;
mod stateless;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::keyring::{RingKey, SigningKey};
use crate::password::{self, Cost, Scheme};
use crate::principal::{Person, UserId};
use crate::store::Location;
use crate::throttle::fake::Fake;
use crate::token::{Algorithm, Verifier};

const NOW: i64 = 1_800_000_000_000;
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ADMIN: &str = "doorward-admin";
pub(crate) const PASSWORD: &str = "gulls over a grey harbour";

/// A service with everything around it that a test wants to look at.
pub(crate) struct Bench {
    pub(crate) accounts: Arc<Accounts>,
    store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) keys: KeyRing,
    pub(crate) revocations: Revocations,
    pub(crate) metrics: Arc<Metrics>,
    hashes: Arc<AtomicUsize>,
    pub(crate) verifier: Arc<Verifier>,
    _folder: Option<tempfile::TempDir>,
}

/// What a test sets differently.
pub(crate) struct Wish {
    pub(crate) registration: Registration,
    pub(crate) throttle: throttle::Settings,
    pub(crate) cost: u32,
    pub(crate) queue: usize,
    pub(crate) with_keys: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            registration: Registration::Open,
            throttle: throttle::Settings::default(),
            cost: 8,
            queue: 1000,
            with_keys: true,
        }
    }
}

fn tokens() -> token::Settings {
    token::Settings {
        issuer: "https://gate.example.com".into(),
        audience: vec!["https://gate.example.com".into()],
        algorithm: Algorithm::EdDsa,
        access_ttl: Duration::from_secs(900),
        refresh_idle: Duration::from_secs(7 * 86_400),
        refresh_ttl: Duration::from_secs(30 * 86_400),
        leeway: Duration::ZERO,
        key_files: Vec::new(),
        key_encryption: None,
        rotate_every: None,
        secret: None,
        max_length: 8192,
        cache: 100,
        trusted_issuers: Vec::new(),
        praetorian: None,
    }
}

fn settings(registration: Registration) -> Settings {
    Settings {
        registration,
        default_roles: vec!["user".into()],
        admin_role: ADMIN.into(),
    }
}

fn pool(cost: u32, queue: usize, hashes: &Arc<AtomicUsize>) -> Pool {
    let settings = password::Settings {
        cost: Cost::new(cost, 1, 1).unwrap(),
        max_concurrent: NonZeroUsize::new(2).unwrap(),
        queue: NonZeroUsize::new(queue).unwrap(),
        ..password::Settings::default()
    };
    let counted = Arc::clone(hashes);
    let observer = move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    Pool::start(settings, Box::new(observer)).unwrap()
}

fn bench_over(store: Arc<dyn Store>, wish: Wish) -> Bench {
    let (clock, keys, revocations) = (Clock::manual(NOW), KeyRing::new(), Revocations::new());
    let (metrics, hashes) = (Arc::new(Metrics::new(1)), Arc::new(AtomicUsize::new(0)));
    if wish.with_keys {
        let (key, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        keys.publish(vec![RingKey::new(key, 0, 0, None).unwrap()], Algorithm::EdDsa);
    }
    revocations.loaded(NOW);
    let accounts = Accounts::new(Tools {
        store: Arc::clone(&store),
        pool: pool(wish.cost, wish.queue, &hashes),
        keys: keys.clone(),
        revocations: revocations.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
        settings: settings(wish.registration),
        throttle: wish.throttle,
        tokens: tokens(),
        mailing: None,
    });
    let (verifier, _) = Verifier::new(&tokens(), keys.clone(), ADMIN).unwrap();
    Bench {
        accounts: Arc::new(accounts.unwrap()),
        store,
        clock,
        keys,
        revocations,
        metrics,
        hashes,
        verifier: Arc::new(verifier),
        _folder: None,
    }
}

/// Over the fake store.
pub(crate) fn bench(wish: Wish) -> (Bench, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let store: Arc<dyn Store> = Arc::<Fake>::clone(&fake);
    (bench_over(store, wish), fake)
}

/// Over SQLite in a folder of its own.
async fn sqlite(wish: Wish) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let settings = crate::store::Settings {
        location: Location::Sqlite(folder.path().join("doorward.db")),
        pool_size: 4,
        connect_timeout: Duration::from_secs(2),
        migrate: true,
        max_staleness: None,
    };
    let store = crate::store::open(&settings).await.unwrap();
    store.migrate(&|_| {}).await.unwrap();
    Bench {
        _folder: Some(folder),
        ..bench_over(store, wish)
    }
}

fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(test)
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// A hash of [`PASSWORD`] at this cost.
pub(crate) async fn hashed(cost: u32) -> String {
    let pool = pool(cost, 10, &Arc::default());
    pool.hash(secret(PASSWORD), Scheme::Argon2id).await.unwrap()
}

impl Bench {
    async fn login(&self, name: &str, password: &str) -> Result<Tokens, Error> {
        self.accounts.login(name, secret(password), HOME).await
    }

    async fn refresh(&self, token: &Secret<String>) -> Result<Tokens, Error> {
        self.accounts.refresh(token, HOME).await
    }

    async fn register(&self, name: &str, password: &str) -> Result<Tokens, Error> {
        let registrant = Registrant {
            username: name.to_owned(),
            password: secret(password),
            email: None,
        };
        self.accounts.register(registrant, HOME).await
    }

    /// The person that an access token proves, as a worker would see it.
    fn person(&self, tokens: &Tokens) -> Result<Arc<Person>, &'static str> {
        let now = self.clock.unix_millis();
        let verified = self.verifier.verify(tokens.access_token.expose().as_bytes(), now);
        let person = verified.map_err(|error| error.label())?.person;
        match self.revocations.verdict(&person) {
            crate::revocation::Standing::Good => Ok(person),
            crate::revocation::Standing::Changed(person) => Ok(person),
            crate::revocation::Standing::Ended => Err("revoked"),
        }
    }

    fn hashes(&self) -> usize {
        self.hashes.load(Ordering::SeqCst)
    }

    fn counted(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|have| have == line)
    }
}

/// So many calls at once; what each gave.
async fn at_once<T, F>(times: usize, call: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..times).map(|index| tokio::spawn(call(index))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}
