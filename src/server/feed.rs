//! The change feed's reader: what other replicas, the command line and plain SQL did to users, sessions and keys is known
//! to every worker within a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::keys::KeyDesk;
use crate::account::Registration;
use crate::authn::ApiKeys;
use crate::clock::Clock;
use crate::principal::UserId;
use crate::revocation::{Census, Revocations};
use crate::store::{self, Banned, Change, Horizon, Store};
use crate::telemetry::{Metrics, StoreResult};

/// Between two looks, where nothing tells of a change.
const POLL: Duration = Duration::from_millis(250);
/// Users that are read at once when so many changed that they are not named.
const PAGE: u32 = 1_000;
/// Sessions and keys of open streams that are asked about at once: a bounded statement. After an outage, a hundred thousand
/// streams are looked through in some seconds.
const STREAMS: usize = 5_000;
/// Between two rounds of deleting what is no longer needed.
const TIDY: Duration = Duration::from_secs(60);

/// The reader and what it keeps up to date.
pub struct Feed {
    /// Where changes come from.
    pub store: Arc<dyn Store>,
    /// Who is in, who is out.
    pub revocations: Revocations,
    /// The keys of tokens and cookies.
    pub keys: KeyDesk,
    /// What is known of API keys.
    pub api_keys: ApiKeys,
    /// The gateway's own admin role.
    pub admin_role: String,
    /// Our own `iss`.
    pub issuer: String,
    /// The life of a token, in milliseconds: what the store remembers changes for.
    pub access_ttl: i64,
    /// Whether the schema is brought up to date when the store is first reached.
    pub migrate: bool,
    /// Whether an operator is to hear of a table that was made anew: another server's was meant.
    pub expects_users: bool,
    /// Who may register, until an operator has heard what of the table is in the way.
    pub registration: Option<Registration>,
    /// The time.
    pub clock: Clock,
    /// The figures.
    pub metrics: Arc<Metrics>,
}

/// How far the reading of all users has come.
#[derive(Default)]
struct Reading {
    census: Option<Census>,
    after: Option<UserId>,
    /// Another one is to begin when this one has ended, and until when that is to be remembered: beginning again at once would
    /// never come to an end where such changes come one after the other.
    wanted: Option<i64>,
}

impl Reading {
    fn goes_on(&self) -> bool {
        self.census.is_some() || self.wanted.is_some()
    }
}

/// Whether changes are news, or everything that has not expired.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Now,
    Again,
}

/// What of the table of users is in the way of those who register.
pub async fn warnings(store: &dyn Store, registration: Registration) -> Result<Vec<String>, store::Error> {
    let mut warnings = Vec::new();
    // Clients need not give an address.
    if registration == Registration::Open && store.email_required().await? {
        warnings.push(store::ADDRESS_WANTED.to_owned());
    }
    if registration != Registration::Closed {
        warnings.extend(store::unfilled_told(&store.unfilled_columns().await?));
    }
    Ok(warnings)
}

impl Feed {
    /// Reads for ever. A store that is down is asked again and again; what is known stays known.
    pub async fn run(mut self) {
        let mut failing = false;
        loop {
            match self.follow().await {
                Ok(never) => match never {},
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "the store cannot be read; what is known goes on counting");
                    }
                    failing = true;
                    self.tell();
                    tokio::time::sleep(POLL).await;
                }
            }
            if self
                .revocations
                .age(self.clock.unix_millis())
                .is_some_and(|age| age < Duration::from_secs(1))
            {
                failing = false;
            }
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, store::Error> {
        if self.migrate {
            let migrated = self.store.migrate(&|step| tracing::info!(step, "schema")).await?;
            if migrated.from != migrated.to {
                tracing::info!(
                    from = migrated.from,
                    to = migrated.to,
                    "the schema was brought up to date"
                );
            }
            if let Some(warning) = migrated.nobody_found().filter(|_| self.expects_users) {
                tracing::warn!("{warning}");
            }
        }
        if let Some(registration) = self.registration {
            for warning in warnings(&*self.store, registration).await? {
                tracing::warn!("{warning}");
            }
            // Only now: where the store does not answer, nobody has heard anything.
            self.registration = None;
        }
        self.store.record_lifetime(self.access_ttl).await?;
        self.keys.load(&*self.store).await?;
        // While nobody listened, keys may have changed of which nothing is told any more.
        self.api_keys.doubt();
        self.revocations.watch().doubt();
        let (changes, mut horizon) = self.store.all_changes(self.clock.unix_millis()).await?;
        let mut reading = Reading::default();
        self.apply(&changes, &mut reading, Told::Again).await?;
        while !self.revocations.ready() && reading.goes_on() {
            self.look_through(&mut reading).await?;
        }
        self.revocations.loaded(self.clock.unix_millis());
        tracing::info!(changes = changes.len(), "the store is read; its changes are followed");
        let (mut tidied, mut looked) = (Instant::now(), Instant::now());
        loop {
            if !reading.goes_on() {
                tokio::time::timeout(POLL, self.store.notified()).await.ok();
            }
            horizon = self.read(horizon, &mut reading).await?;
            self.look_through(&mut reading).await?;
            if looked.elapsed() >= POLL {
                looked = Instant::now();
                self.look_after_streams().await?;
            }
            self.tell();
            if tidied.elapsed() >= TIDY {
                tidied = Instant::now();
                self.tidy().await;
                // Keys that are due turn here: whichever replica looks first does it.
                self.keys.load(&*self.store).await?;
            }
        }
    }

    async fn read(&self, horizon: Horizon, reading: &mut Reading) -> Result<Horizon, store::Error> {
        let result = self.store.changes_since(horizon, self.clock.unix_millis()).await;
        self.count("changes_since", &result);
        let (changes, horizon) = result?;
        self.apply(&changes, reading, Told::Now).await?;
        self.revocations.polled(self.clock.unix_millis());
        Ok(horizon)
    }

    fn count<T>(&self, operation: &'static str, result: &Result<T, store::Error>) {
        let label = match result {
            Ok(_) => StoreResult::Ok,
            Err(store::Error::Unavailable(_)) => StoreResult::Unavailable,
            Err(store::Error::Schema(_) | store::Error::Refused(_)) => StoreResult::Error,
        };
        self.metrics.store_request(operation, label);
    }

    async fn apply(&self, changes: &[Change], reading: &mut Reading, told: Told) -> Result<(), store::Error> {
        let applied = self.revocations.apply(changes, &self.admin_role);
        for change in changes {
            // Whoever writes the feed by hand may name us as everybody else does.
            if let Change::Banned { ban, until, .. } = change
                && let Banned::Token(id) = &ban.banned
                && ban.issuer == self.issuer
            {
                self.revocations.revoke_token_now(id, *until);
            }
        }
        for change in changes {
            match change {
                Change::ApiKey { id } => {
                    self.api_keys.forget(id);
                    self.revocations.watch().doubt_key(id);
                }
                // What is told again may be long known: the keys are in doubt anyway, and what their owners may do now is known
                // without them. Forgotten, they would be of no use in the next outage.
                Change::User { .. } if told == Told::Again => {}
                Change::User { user, .. } => self.api_keys.forget_keys_of(*user),
                Change::AllUsers { .. } => self.api_keys.doubt(),
                Change::SessionEnded { .. } | Change::Keys | Change::Banned { .. } => {}
            }
        }
        if applied.keys {
            self.keys.load(&*self.store).await?;
        }
        reading.wanted = reading.wanted.max(applied.census);
        Ok(())
    }

    /// Asks about what open streams stand on, where that is due.
    async fn look_after_streams(&self) -> Result<(), store::Error> {
        let now = self.clock.unix_millis();
        let asked = self.revocations.watch().due(now, STREAMS);
        if !asked.is_empty() {
            let result = self.store.lives(&asked, now).await;
            self.count("lives", &result);
            self.revocations.watch().learn(&asked, &result?, now);
        }
        Ok(())
    }

    /// So many users changed that they are not named: all of them are looked at, page by page, for as long as it takes until
    /// the next look at the feed. However many they are, they hold up no other news.
    async fn look_through(&self, reading: &mut Reading) -> Result<(), store::Error> {
        let begun = Instant::now();
        while begun.elapsed() < POLL {
            if reading.census.is_none() {
                let Some(until) = reading.wanted.take() else {
                    return Ok(());
                };
                reading.after = None;
                reading.census = Some(self.revocations.census(until, &self.admin_role));
            }
            let page = self.store.users_after(reading.after, PAGE).await?;
            if let Some(last) = page.last() {
                reading.after = Some(last.id);
                if let Some(census) = &mut reading.census {
                    census.meet(&page);
                }
            } else if let Some(census) = reading.census.take() {
                census.finish(self.clock.unix_millis());
            }
        }
        Ok(())
    }

    async fn tidy(&self) {
        let now = self.clock.unix_millis();
        self.revocations.sweep(now);
        let day = 86_400_000;
        let work = [
            self.store.forget_changes(now).await,
            self.store.forget_sessions(now - day).await,
            self.store.forget_tickets(now).await,
        ];
        for error in work.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "expired rows could not be deleted yet");
        }
    }

    fn tell(&self) {
        if let Some(age) = self.revocations.age(self.clock.unix_millis()) {
            self.metrics.revocation_age(age);
        }
        if let Some((used, idle)) = self.store.pool_state() {
            self.metrics.store_pool(used, idle);
        }
    }
}
