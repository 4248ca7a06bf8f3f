//! The login throttle: when failed logins pile up on one account or from one address, the next attempts are refused before
//! anybody looks at their password.
//!
//! Failures are counted durably, in the store, over a sliding window and for all replicas together. Between the look at
//! the count and the failure that will raise it lies a hash of some tens of milliseconds, in which fifty parallel guesses
//! would all find the count low. So every attempt also takes a place in memory: no more of them are under way than
//! failures are left before the limit. The others wait for the outcome of those before them, which makes a difference
//! to whoever guesses and none to an honest program that logs in fifty times at once. Several replicas each let that
//! many through, so `r` replicas may try `r` times what is left of the limit, once.
//!
//! It must not become a weapon either. Nothing is remembered in memory but what is under way, the store's rows are forgotten
//! after the window, an account's count ends with a right password, and known and unknown names are treated alike, so a
//! 429 betrays no name.

mod keys;
mod places;
mod settings;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::store::{self, Failures, Store};

use keys::Key;
use places::{Entry, Place, Places};

pub use settings::*;

/// How long an attempt waits for the outcome of those before it. Some turns of the hashing threads; who waits longer is
/// told to come again.
const PATIENCE: Duration = Duration::from_secs(3);

/// Counts failed logins and says who may try.
#[derive(Clone)]
pub struct LoginThrottle(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    settings: Settings,
    clock: Clock,
    places: Places,
}

/// Why nobody looks at the password.
#[derive(Debug)]
pub enum Refused {
    /// The limit is reached.
    TooMany {
        /// What was counted.
        scope: Scope,
        /// When the oldest failure leaves the window: in so many seconds.
        retry_after: u32,
    },
    /// Too many attempts on this account, or from this address, are under way.
    Busy,
    /// The store did not say.
    Store(store::Error),
}

/// What failures are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The account, by its canonical name, whether it exists or not.
    Account,
    /// The client's address; IPv6: its /64.
    Address,
}

impl Scope {
    /// The stable word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Address => "address",
        }
    }
}

impl LoginThrottle {
    /// A throttle over the store's counters. One for each process: what is under way is known to it alone.
    pub fn new(store: Arc<dyn Store>, settings: Settings, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            store,
            settings,
            clock,
            places: Places::default(),
        }))
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Asks for leave to try a password. The attempt that is handed out counts as under way until it is told how it
    /// ended, or dropped.
    pub async fn admit(&self, name: &str, client: IpAddr) -> Result<Attempt, Refused> {
        let keys = [keys::account(name), keys::address(client)];
        tokio::time::timeout(PATIENCE, self.enter(keys))
            .await
            .unwrap_or(Err(Refused::Busy))
    }

    /// Forgets failures that have left the window, a bounded number at a time; how many. To be called now and then.
    pub async fn forget(&self) -> Result<u64, store::Error> {
        self.0
            .store
            .forget_failures(self.0.since(self.0.clock.unix_millis()))
            .await
    }

    async fn enter(&self, keys: [Key; 2]) -> Result<Attempt, Refused> {
        let mut place = self.0.places.take(keys);
        loop {
            let before = place.glance();
            let now = self.0.clock.unix_millis();
            let found = self
                .0
                .store
                .failures(&keys, self.0.since(now))
                .await
                .map_err(Refused::Store)?;
            let [account, address] = [0, 1].map(|index| found.get(index).copied().unwrap_or_default());
            if let Some(refused) = self.0.refuse([account, address], now) {
                return Err(refused);
            }
            match place.enter(before, [account.count, address.count], self.0.settings.limits()) {
                Entry::Entered => {
                    return Ok(Attempt {
                        throttle: Arc::clone(&self.0),
                        place,
                        had_failures: account.count > 0,
                    });
                }
                Entry::Crowded => return Err(Refused::Busy),
                Entry::Wait(turn) => turn.await,
            }
        }
    }
}

impl Inner {
    fn since(&self, now: i64) -> i64 {
        now.saturating_sub(self.window())
    }

    fn window(&self) -> i64 {
        i64::try_from(self.settings.window.as_millis()).unwrap_or(i64::MAX)
    }

    fn refuse(&self, found: [Failures; 2], now: i64) -> Option<Refused> {
        let scopes = [Scope::Account, Scope::Address].into_iter();
        let full = scopes
            .zip(found.into_iter().zip(self.settings.limits()))
            .filter(|(_, (failures, limit))| failures.count >= *limit)
            .map(|(scope, (failures, _))| (self.wait_for(failures, now), scope));
        full.max_by_key(|(seconds, _)| *seconds)
            .map(|(retry_after, scope)| Refused::TooMany { scope, retry_after })
    }

    /// Whole seconds until the oldest failure has left the window, at least one.
    fn wait_for(&self, failures: Failures, now: i64) -> u32 {
        let oldest = failures.oldest.unwrap_or(now);
        let millis = oldest.saturating_add(self.window()).saturating_sub(now);
        let seconds = millis.saturating_add(999).div_euclid(1000).max(1);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

/// Leave to try one password.
#[must_use = "an attempt that is dropped was never made"]
pub struct Attempt {
    throttle: Arc<Inner>,
    place: Place,
    had_failures: bool,
}

impl Attempt {
    /// The password was wrong, or there is no such name: counted, durably, before anybody else enters in its place. Do
    /// not tell the client before this has answered; if it fails, do not tell at all.
    pub async fn failed(mut self) -> Result<(), store::Error> {
        let now = self.throttle.clock.unix_millis();
        self.throttle.store.add_failure(self.place.keys(), now).await?;
        self.place.failed();
        Ok(())
    }

    /// The password was right: the account's failures are forgotten. Those of the address stay, or somebody with one
    /// account could guess at all others.
    pub async fn succeeded(self) -> Result<(), store::Error> {
        let [account, _] = *self.place.keys();
        if self.had_failures {
            self.throttle.store.clear_failures(account).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for LoginThrottle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoginThrottle")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Attempt").finish_non_exhaustive()
    }
}
