//! From a configuration to what requests see.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::StartError;
use super::feed::Feed;
use super::keys::KeyDesk;
use crate::account::{Accounts, CodeKind, MailTokens, Mailing, Registration};
use crate::admission::{EndpointRule, Policy, RouteEntry};
use crate::authn::{self, ApiKeys, Authenticator, Resolver};
use crate::authz::Rule;
use crate::clock::Clock;
use crate::config::Config;
use crate::endpoint::forward_auth::Pass;
use crate::endpoint::{self, Endpoints, Places, Served, Services};
use crate::gateway::Snapshot;
use crate::headers::Reserved;
use crate::keyring::{Keeper, KeyRing, SealingKeys};
use crate::mail::Post;
use crate::office::Office;
use crate::password;
use crate::revocation::Revocations;
use crate::route::PathPattern;
use crate::session::{CookieName, Sealer};
use crate::store::{self, Store};
use crate::telemetry::Metrics;
use crate::token::{FetchedKeys, Verifier};
use crate::upstream::{self, Names, SystemNames, Upstreams};

/// Between two rounds of what accounts have to do now and then.
const UPKEEP: Duration = Duration::from_secs(60);

/// What is made once, at start.
pub struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) keys: KeyRing,
    keeper: Keeper,
    pub(super) fetched: FetchedKeys,
    pub(super) revocations: Revocations,
    pub(super) authenticator: Authenticator,
    pub(super) services: Services,
    office: Office,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What stands while configurations come and go.
pub struct Standing<'a> {
    /// The figures.
    pub metrics: &'a Arc<Metrics>,
    /// The keys of our own tokens.
    pub keys: &'a KeyRing,
    /// The keys of other issuers that are fetched.
    pub fetched: &'a FetchedKeys,
    /// Who knows the addresses of upstream servers.
    pub names: Arc<dyn Names>,
}

/// The name service that upstreams use.
pub(super) fn names(office: &Office) -> Arc<dyn Names> {
    Arc::new(SystemNames::new(office.clone()))
}

/// Opens the store of a configuration, the way every command does.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>, StartError> {
    store::open(&config.store)
        .await
        .map_err(|error| StartError::new("the store cannot be opened", error, "check [store]"))
}

impl Parts {
    /// Opens the store, starts the password workers, makes the handles.
    pub async fn new(
        config: &Config,
        office: Office,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let store = open_store(config).await?;
        let keys = KeyRing::new();
        let (sealing, api_keys) = (SealingKeys::default(), ApiKeys::default());
        let keeper = Keeper::new(config.tokens.keys(), keys.clone(), sealing.clone(), clock.clone());
        let keeper = keeper.map_err(|error| {
            let hint = "see the cause; `doorward check` names the file";
            StartError::new("a signing key from a file cannot be used", error, hint)
        })?;
        let revocations = Revocations::new();
        let figures = Arc::clone(metrics);
        let pool = password::Pool::start(
            config.passwords.clone(),
            Box::new(move |took| figures.password_hashed(took)),
        )
        .map_err(|error| {
            StartError::new(
                "the password workers cannot be started",
                error,
                "raise the limit of processes",
            )
        })?;
        let accounts = Accounts::new(crate::account::Tools {
            store: Arc::clone(&store),
            pool,
            keys: keys.clone(),
            revocations: revocations.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            settings: config.accounts.clone(),
            throttle: config.throttle.clone(),
            tokens: config.tokens.clone(),
            mailing: mailing(config)?,
        })
        .map_err(|error| StartError::new("accounts cannot be served", error, "the system must give randomness"))?;
        let sealer = Sealer::new(sealing);
        let resolver = Resolver::new(authn::Tools {
            store: Arc::clone(&store),
            office: office.clone(),
            api_keys: api_keys.clone(),
            revocations: revocations.clone(),
            sealer: sealer.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            settings: resolving(config),
        });
        let services = Services {
            accounts: Arc::new(accounts),
            resolver,
            office: office.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
        };
        let staleness = config.store.max_staleness;
        let authenticator = Authenticator::new(keys.clone(), revocations.clone(), api_keys, sealer, staleness);
        Ok(Self {
            store,
            keys,
            keeper,
            fetched: FetchedKeys::default(),
            revocations,
            authenticator,
            services,
            office,
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
        })
    }

    /// Starts to follow the store's changes, and those of other issuers' keys.
    ///
    /// What comes back is the sender of mails: it ends with the mail under way when `stopped` says so.
    pub fn follow(self, config: &Config, stopped: watch::Receiver<bool>) -> JoinHandle<()> {
        self.fetched
            .follow(&config.tokens.trusted_issuers, &self.office, &self.metrics);
        let feed = Feed {
            store: self.store,
            revocations: self.revocations,
            keys: KeyDesk::new(self.keeper),
            api_keys: self.authenticator.api_keys().clone(),
            admin_role: config.admin.role.clone(),
            issuer: config.tokens.issuer.clone(),
            access_ttl: i64::try_from(config.tokens.longest_token().as_millis()).unwrap_or(i64::MAX),
            migrate: config.store.migrate,
            expects_users: config.compat.flask,
            registration: Some(config.accounts.registration),
            clock: self.clock,
            metrics: self.metrics,
        };
        self.office.spawn(feed.run());
        self.office.spawn(upkeep(Arc::clone(&self.services.accounts)));
        self.office.spawn(self.services.accounts.send_mails(stopped))
    }
}

/// How long a browser's cookie counts without a renewal, where access tokens live longer.
const LONGEST_COOKIE: Duration = Duration::from_secs(15 * 60);

fn mailing(config: &Config) -> Result<Option<Mailing>, StartError> {
    let Some(settings) = config.mail.clone() else {
        return Ok(None);
    };
    let post = Post::over_smtp(settings).map_err(|error| {
        StartError::new(
            "mail cannot be sent",
            error,
            "check mail.url, and the system's authorities",
        )
    })?;
    // Clients that came from a Flask server show what its library would have sent them.
    let codes = match MailTokens::new(&config.tokens).filter(|_| config.compat.flask) {
        Some(tokens) => CodeKind::Praetorian(Arc::new(tokens)),
        None => CodeKind::Opaque,
    };
    Ok(Some(Mailing::new(post, codes)))
}

fn resolving(config: &Config) -> authn::Settings {
    authn::Settings {
        admin_role: config.admin.role.clone(),
        cookie: CookieName::new(config.cookies.domain.clone()),
        // Tokens of the other format live for a day or more; a cookie is short-lived by its nature.
        cookie_life: match config.tokens.praetorian {
            Some(_) => config.tokens.access_ttl.min(LONGEST_COOKIE),
            None => config.tokens.access_ttl,
        },
        idle: config.tokens.refresh_idle,
    }
}

/// What accounts have to do now and then. A store that is down is asked again the next time.
async fn upkeep(accounts: Arc<Accounts>) {
    let mut due = tokio::time::interval(UPKEEP);
    loop {
        due.tick().await;
        if let Err(error) = accounts.upkeep().await {
            tracing::debug!(%error, "the upkeep of accounts has to wait");
        }
    }
}

/// The snapshot of a configuration, at start.
pub fn snapshot(config: &Config, parts: &Parts, old: Option<&Snapshot>) -> Result<Snapshot, StartError> {
    let standing = Standing {
        metrics: &parts.metrics,
        keys: &parts.keys,
        fetched: &parts.fetched,
        names: names(&parts.office),
    };
    snapshot_from(config, &standing, old)
}

/// The snapshot of a configuration that serves nothing: without keys, without figures, and nobody is asked for anything.
pub fn trial_snapshot(config: &Config, office: Office) -> Result<Snapshot, StartError> {
    let standing = Standing {
        metrics: &Arc::new(Metrics::new(1)),
        keys: &KeyRing::new(),
        fetched: &FetchedKeys::default(),
        names: names(&office),
    };
    snapshot_from(config, &standing, None)
}

/// The snapshot of a configuration; upstream servers that `old` knows keep their state.
pub fn snapshot_from(config: &Config, standing: &Standing<'_>, old: Option<&Snapshot>) -> Result<Snapshot, StartError> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| StartError::new(what, error, "`doorward check` says more");
    let hosts = config.routes.iter().flat_map(|route| &route.hosts);
    let places = Places::new(&config.endpoints, &config.cookies, hosts)
        .with_forward_auth(&config.forward_auth, &config.tokens.issuer);
    let endpoints = Endpoints::new(&config.endpoints, config.admin.rule()).leading(places);
    let policy = policy(config, &endpoints, standing.metrics, old.map(|old| &old.policy))?;
    let (verifier, notes) = Verifier::with_fetched(
        &config.tokens,
        standing.keys.clone(),
        standing.fetched,
        &config.admin.role,
    )
    .map_err(|error| wrong("the keys of a trusted issuer cannot be used", &error))?;
    for note in notes {
        tracing::warn!(note, "a key of a trusted issuer was passed over");
    }
    let none = Upstreams::default();
    let tools = upstream::Tools {
        names: &standing.names,
        metrics: standing.metrics,
    };
    let upstreams = Upstreams::rebuild(old.map_or(&none, |old| &old.upstreams), &config.upstreams, tools)
        .map_err(|error| wrong("an upstream cannot be used", &error))?;
    let identity = &config.identity;
    let names = [&identity.user, &identity.id, &identity.roles, &identity.email];
    Ok(Snapshot {
        trusted_proxies: config.trusted_proxies.clone(),
        reserved: Arc::new(Reserved::new(names.into_iter().flatten())),
        identity: identity.clone(),
        pass: Pass::new(identity),
        cors: config.cors.clone(),
        dialect: config.endpoints.dialect,
        policy,
        endpoints,
        upstreams,
        verifier: Arc::new(verifier),
        body_within: config.timeouts.body_progress,
        access_log: config.log.access,
        endpoint_series: standing.metrics.route("(gateway)"),
        unrouted_series: standing.metrics.route("(none)"),
    })
}

/// The routes and endpoints of a configuration as one policy; limits of routes go on with what they have counted.
pub(super) fn policy(
    config: &Config,
    endpoints: &Endpoints,
    metrics: &Metrics,
    old: Option<&Policy>,
) -> Result<Policy, StartError> {
    let contradict = |error| StartError::new("the routes contradict each other", error, "`doorward check` says more");
    let mut entries = Vec::new();
    for route in &config.routes {
        let entry = RouteEntry::new(route.clone(), metrics.route(&route.name)).map_err(contradict)?;
        entries.push(Arc::new(match old {
            Some(old) => entry.keeping(old),
            None => entry,
        }));
    }
    let served = Served {
        only_hosts: !config.endpoints.hosts.is_empty(),
        registers: config.accounts.registration != Registration::Closed,
        sends_mail: config.mail.is_some(),
    };
    let mut rules = Vec::new();
    for row in endpoints.rules() {
        rules.push(EndpointRule {
            index: row.index,
            path: pattern(row)?,
            methods: row.methods.to_vec(),
            credentials: row.credentials,
            takes: row.takes,
            in_questions: row.is_in_questions(served),
            rule: Rule {
                client_auth: config.tls.client_auth,
                ..row.rule.clone()
            },
        });
    }
    let policy = Policy::new(entries, rules, &config.endpoints.hosts).map_err(contradict)?;
    Ok(policy.asking(config.tls.client_auth))
}

fn pattern(row: &endpoint::Row) -> Result<PathPattern, StartError> {
    let made = if row.exact {
        PathPattern::exact(&row.path)
    } else {
        PathPattern::prefix(&row.path)
    };
    made.map_err(|error| {
        StartError::new(
            format!("the endpoint {} cannot be served", row.path),
            error,
            "change [endpoints]",
        )
    })
}
