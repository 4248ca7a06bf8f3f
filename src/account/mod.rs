//! What a person does with an account: log in, stay logged in, register, log out, see to their sessions, keys and password;
//! and what an administrator does with it. No HTTP here: names, passwords and tokens in, [`Tokens`] or an [`Error`] out.
//!
//! Everything here waits for the store or for a hash, so it runs in the office, as the job of one call: a caller who goes
//! away does not end what has begun.
//!
//! ```text
//! login:    throttle -> row of the name -> password (a stand-in's, if there is none) -> active? -> session -> tokens
//! refresh:  session of the token -> judged -> user read anew -> rotated, or the same successor again -> tokens
//! register: rules of names and passwords -> hash -> exactly one row -> session -> tokens
//! by mail:  rules, hash, one row and a mail in one transaction -> the sender mints a code -> the code opens the account
//! ```

mod administration;
mod audit;
mod books;
mod browser;
mod caller;
mod email;
mod error;
mod flask;
mod imports;
mod introspection;
mod issue;
mod keys;
mod login;
mod logout;
mod mailing;
mod new_password;
mod oversight;
mod profile;
mod recovery;
mod refresh;
mod registration;
mod roles;
mod sessions;
mod settings;
mod stand_ins;
mod stateless;
mod tickets;
mod username;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::keyring::KeyRing;
use crate::password::Pool;
use crate::revocation::Revocations;
use crate::secret::Secret;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::throttle::{self, LoginThrottle};
use crate::token::praetorian::Praetorian;
use crate::token::{self, Mint};

use books::Books;
use issue::Lives;
use stand_ins::StandIns;

pub use administration::{Account, AccountChange, Administration, NewAccount, Which};
pub use browser::{Browser, BrowserSession};
pub use caller::Caller;
pub use email::InvalidEmail;
pub use error::Error;
pub use flask::MailTokens;
pub use imports::{ForeignAccount, Taken};
pub use introspection::{Active, TokenKind};
pub use issue::Tokens;
pub use keys::{MadeKey, WantedKey};
pub use mailing::{CONFIRMATION_LIFE, CodeKind, Mailing, MintsMailTokens, RESET_LIFE};
pub use profile::Profile;
pub use recovery::{Enrolment, MAILS_PER_ADDRESS, MAILS_PER_CLIENT, ResetRequest, Shown};
pub use registration::Registrant;
pub use roles::InvalidRole;
pub use settings::*;
pub use username::Fault as UsernameFault;

/// Stored hashes that are replaced by better ones at once, behind the logins that asked for it. More would make the logins
/// after them wait; who is passed over is asked again at the next login.
const UPGRADES: usize = 2;

/// What the service works with.
pub struct Tools {
    /// Users, sessions, failures.
    pub store: Arc<dyn Store>,
    /// Hashes passwords.
    pub pool: Pool,
    /// Signs access tokens.
    pub keys: KeyRing,
    /// Hears of ended sessions before anybody is told.
    pub revocations: Revocations,
    /// The time.
    pub clock: Clock,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// `[accounts]`.
    pub settings: Settings,
    /// `[throttle]`.
    pub throttle: throttle::Settings,
    /// `[tokens]`.
    pub tokens: token::Settings,
    /// What mail is sent with; `None`: there is none.
    pub mailing: Option<Mailing>,
}

/// The service.
pub struct Accounts {
    books: Books,
    pool: Arc<Pool>,
    throttle: LoginThrottle,
    stand_ins: Arc<StandIns>,
    mint: Mint,
    praetorian: Option<Praetorian>,
    lives: Lives,
    revocations: Revocations,
    clock: Clock,
    metrics: Arc<Metrics>,
    settings: Settings,
    mailing: Option<Arc<Mailing>>,
    random: SystemRandom,
    upgrades: Arc<Semaphore>,
}

impl Accounts {
    /// The service over these tools. It fails only if the system gives no randomness.
    pub fn new(tools: Tools) -> io::Result<Self> {
        let books = Books::new(Arc::clone(&tools.store), Arc::clone(&tools.metrics));
        let mut fallback = [0; 32];
        aws_lc_rs::rand::fill(&mut fallback).map_err(|_| io::Error::other("the system gives no randomness"))?;
        let stand_ins = StandIns::new(
            books.clone(),
            Secret::new(fallback),
            tools.pool.settings().cost,
            tools.clock.clone(),
        );
        Ok(Self {
            books,
            throttle: LoginThrottle::new(tools.store, tools.throttle, tools.clock.clone()),
            stand_ins: Arc::new(stand_ins),
            mint: Mint::new(&tools.tokens, tools.keys),
            praetorian: Praetorian::new(&tools.tokens),
            lives: Lives::new(&tools.tokens),
            pool: Arc::new(tools.pool),
            revocations: tools.revocations,
            clock: tools.clock,
            metrics: tools.metrics,
            settings: tools.settings,
            mailing: tools.mailing.map(Arc::new),
            random: SystemRandom::new(),
            upgrades: Arc::new(Semaphore::new(UPGRADES)),
        })
    }

    /// Tokens of the praetorian format, where there are any: their mail tokens are made and judged by it.
    pub fn praetorian(&self) -> Option<&Praetorian> {
        self.praetorian.as_ref()
    }

    /// The roles of a new account.
    pub fn default_roles(&self) -> &[String] {
        &self.settings.default_roles
    }

    /// What is due now and then (every minute is often enough): failures that have left the window are forgotten, the
    /// stand-ins for unknown names follow the table, mails and codes that are done with go, and so do accounts that were not
    /// confirmed in time.
    pub async fn upkeep(&self) -> Result<(), Error> {
        self.stand_ins.current().await?;
        self.books.count("forget_failures", self.throttle.forget().await)?;
        let now = self.clock.unix_millis();
        let forgotten = self.books.store().forget_mail(recovery::counts_since(now), now);
        self.books.ask("forget_mail", forgotten).await?;
        Ok(())
    }

    /// Sets the gauges that only this service knows: to be called before they are read.
    pub fn tell_figures(&self) {
        self.metrics.password_queue(self.pool.waiting());
        if let Some((used, idle)) = self.books.store().pool_state() {
            self.metrics.store_pool(used, idle);
        }
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Accounts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
