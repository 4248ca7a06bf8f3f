//! The store: users, sessions, signing keys, mail that waits, the change feed and the login throttle's counters.
//!
//! One set of traits, two complete implementations (PostgreSQL, SQLite); nobody outside asks which one it is.
//! Every operation takes `now` from the caller (Unix milliseconds): one clock decides. Operations that must not come
//! apart are one call here, and one transaction there. All of them are called on the office's runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::principal::{SessionId, UserId};

mod credentials;
mod feed;
mod imports;
mod lives;
mod mail;
mod migration;
mod name;
mod postgres;
mod sessions;
mod settings;
mod sqlite;

pub use credentials::{ApiKey, ApiKeys, Ban, Banned, NewApiKey, Ticket, Tickets};
pub use imports::{ForeignRow, ForeignTable, Imported, ImportedUser, Imports};
pub use lives::{Lasting, Life, Lives};
pub use mail::{
    Enrolled, Enrolment, Mail, MailKind, MailLimits, NewCode, NewCodeKind, NewMail, Outbox, Proof, Purpose, Redeemed,
    Settled,
};
pub use name::name_key;
pub use sessions::{NewSession, Rotation, Session, SessionKind, Sessions};
pub use settings::{Location, Settings};

/// Opens the store that the settings name. It fails only where the settings can never work (a URL that is none, a
/// certificate file that cannot be read); a store that is down is found out by the first operation, and heals.
///
/// Must be called on the runtime that is to carry the connections: the office's.
pub async fn open(settings: &Settings) -> Result<Arc<dyn Store>, Error> {
    Ok(match &settings.location {
        Location::Sqlite(path) => Arc::new(sqlite::Sqlite::open(path.clone())?),
        Location::Postgres {
            url,
            password,
            listen_url,
        } => {
            let password = password.as_ref();
            let main = postgres::Connector::new(url, password, settings.connect_timeout)?;
            let direct = match listen_url {
                Some(listen_url) => postgres::Connector::new(listen_url, password, settings.connect_timeout)?,
                None => main.clone(),
            };
            Arc::new(postgres::Postgres::open(main, direct, settings.pool_size)?)
        }
    })
}

/// What [`open`] would say about these settings, without opening anything.
pub fn check(settings: &Settings) -> Result<(), Error> {
    if let Location::Postgres {
        url,
        password,
        listen_url,
    } = &settings.location
    {
        for url in std::iter::once(url).chain(listen_url) {
            postgres::Connector::new(url, password.as_ref(), settings.connect_timeout)?;
        }
    }
    Ok(())
}

/// What an operation returns: a boxed future, so that a store can be held as `Arc<dyn Store>`.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Why an operation failed. What is a *result* (no such user, name taken) is not an error but part of the answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be reached, does not answer in time, or is failing over: come again.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The schema is missing, older or newer than this program understands; the text says what to do.
    #[error("the schema does not fit: {0}")]
    Schema(String),
    /// The store refused the statement: a bug of ours, or a table that is not what it should be.
    #[error("the store refused: {0}")]
    Refused(String),
}

/// A row of `users`, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Primary key.
    pub id: UserId,
    /// The name, byte for byte.
    pub username: String,
    /// The stored hash; NULL is "".
    pub password: String,
    /// The roles column as it is; NULL is "".
    pub roles: String,
    /// `is_active`; NULL counts as inactive.
    pub active: bool,
    /// The e-mail address, where the table has one.
    pub email: Option<String>,
    /// Whether that address was confirmed through this gateway or set by an administrator.
    pub email_verified: bool,
    /// Gateway roles granted by command (`admin.role`), kept apart from the roles column.
    pub grants: Vec<String>,
    /// Tokens without a session that were issued up to then (Unix milliseconds) are dead: the password was changed, or the
    /// account closed for a while.
    pub cut_at: Option<i64>,
}

impl User {
    /// Whether a token without a session that was issued then (Unix seconds) is dead.
    pub fn cuts(&self, issued_at: i64) -> bool {
        self.cut_at.is_some_and(|cut| issued_at.saturating_mul(1000) <= cut)
    }
}

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name, already checked.
    pub username: String,
    /// The name's key: trimmed, NFKC, case-folded; no two users made by us share one.
    pub name_key: String,
    /// The hash to store.
    pub password: String,
    /// The roles column.
    pub roles: String,
    /// Whether the account may log in at once.
    pub active: bool,
    /// The e-mail address.
    pub email: Option<String>,
    /// Whether the address counts as confirmed.
    pub email_verified: bool,
    /// Gateway roles to grant.
    pub grants: Vec<String>,
}

/// What came of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// The row was made.
    New(User),
    /// A user with this name, or one that folds to the same key, exists; nothing was changed.
    NameTaken(UserId),
    /// Another user has this e-mail address; nothing was changed.
    EmailTaken(UserId),
    /// The table was made by another server and wants an e-mail address for every user; nothing was changed. A made-up
    /// address would be a lie that the other server might send mail to.
    EmailRequired,
    /// The table does not take the row, for this reason, which quotes no value: a column is too short, a constraint forbids
    /// it; nothing was changed.
    RowRefused(String),
}

/// What an administrator changes; `None` leaves the value alone.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The roles column.
    pub roles: Option<String>,
    /// Gateway roles, all of them.
    pub grants: Option<Vec<String>>,
    /// Whether the account may be used. Deactivation ends the user's sessions.
    pub active: Option<bool>,
    /// The e-mail address (counts as verified).
    pub email: Option<Option<String>>,
    /// A new hash.
    pub password: Option<NewPassword>,
}

/// A new hash and what it means for the user's sessions.
#[derive(Clone, Debug)]
pub struct NewPassword {
    /// The hash.
    pub hash: String,
    /// The session that stays; all others end.
    pub keep: Option<SessionId>,
}

/// Users and their rows.
pub trait Users: Send + Sync {
    /// All rows whose name is exactly this one (two at most are looked for: the table may lack UNIQUE).
    fn users_named<'a>(&'a self, username: &'a str) -> Answer<'a, Vec<User>>;
    /// The user with this key.
    fn user(&self, id: UserId) -> Answer<'_, Option<User>>;
    /// The same, after every change of the row that is under way: what is not in the answer comes after it.
    fn user_settled(&self, id: UserId) -> Answer<'_, Option<User>>;
    /// Users in the order of their ids, after `after`, at most `limit`.
    fn users_after(&self, after: Option<UserId>, limit: u32) -> Answer<'_, Vec<User>>;
    /// Makes a user. Of several simultaneous calls with one name key exactly one makes a row.
    fn create_user(&self, user: NewUser, now: i64) -> Answer<'_, Created>;
    /// Changes a user and writes what follows into the change feed; `None`: no such user. An e-mail address that another
    /// user has is [`Error::Refused`].
    fn change_user(&self, id: UserId, change: UserChange, now: i64) -> Answer<'_, Option<User>>;
    /// Deletes a user, ends their sessions; false: no such user.
    fn delete_user(&self, id: UserId, now: i64) -> Answer<'_, bool>;
    /// Replaces `old` by `new` where the row still holds `old`: the same password under a better scheme. It ends no
    /// session and is no change anybody hears of.
    fn upgrade_hash<'a>(&'a self, id: UserId, old: &'a str, new: &'a str) -> Answer<'a, bool>;
    /// Up to `limit` stored hashes from all over the table, for the distribution of schemes and costs.
    fn sample_hashes(&self, limit: u32) -> Answer<'_, Vec<String>>;
}

/// A key as it is stored. The key ring gives it its meaning.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// `kid`.
    pub id: String,
    /// `alg`, for example `EdDSA`.
    pub algorithm: String,
    /// PKCS#8 DER of the pair, or the bytes of a symmetric key; sealed where the configuration has a key for that.
    pub material: Vec<u8>,
    /// Whether `material` is sealed.
    pub sealed: bool,
    /// From when it is published, verifies, signs; until when it verifies (Unix milliseconds).
    pub publish_at: i64,
    /// See above.
    pub sign_from: i64,
    /// See above; `None`: for as long as it is the newest.
    pub verify_until: Option<i64>,
}

impl std::fmt::Debug for StoredKey {
    /// Without the material.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StoredKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .field("sealed", &self.sealed)
            .field("times", &(self.publish_at, self.sign_from, self.verify_until))
            .finish_non_exhaustive()
    }
}

/// Keys: those that sign tokens, and those that seal cookies.
pub trait Keys: Send + Sync {
    /// All keys that are stored, oldest first.
    fn keys(&self) -> Answer<'_, Vec<StoredKey>>;
    /// Changes the keys under a lock that every change of them takes, in one transaction: `plan` is shown what is stored and
    /// says what becomes of it. Ten replicas that find the same to do at once do it once, since nine are shown it done. What
    /// is stored then, oldest first.
    fn change_keys(&self, plan: KeyPlan, now: i64) -> Answer<'_, Vec<StoredKey>>;
}

/// Says what becomes of the keys: from all that are stored, oldest first, and the longest life of an access token (in
/// milliseconds) that any replica has recorded.
pub type KeyPlan = Box<dyn FnOnce(&[StoredKey], i64) -> KeyEdit + Send>;

/// What becomes of the keys; nothing: they stay as they are, and nobody hears of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyEdit {
    /// New keys, and those that are stored under the same id with another material or end.
    pub put: Vec<StoredKey>,
    /// The ids of those that go.
    pub remove: Vec<String>,
}

impl KeyEdit {
    /// Whether everything stays as it is.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.remove.is_empty()
    }
}

/// What the feed tells. Applying one twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This session has ended.
    SessionEnded {
        /// Which.
        session: SessionId,
        /// Until when this must be remembered (Unix milliseconds).
        until: i64,
    },
    /// This user's name, roles, grants or activity changed, or the user is gone: `state` is what the row holds now.
    User {
        /// Which.
        user: UserId,
        /// The row as of the read; `None`: deleted.
        state: Option<Box<User>>,
        /// Until when this must be remembered.
        until: i64,
    },
    /// So many users changed in one statement that they are not named: all that is known about users must be read anew.
    AllUsers {
        /// Until when this must be remembered.
        until: i64,
    },
    /// The signing keys changed.
    Keys,
    /// Something about this API key changed, or it is gone: what is known of it must be read anew.
    ApiKey {
        /// Which.
        id: String,
    },
    /// Tokens of another issuer are refused.
    Banned {
        /// Which.
        ban: Ban,
        /// Tokens issued up to then are meant (Unix milliseconds); of one token, it is without meaning.
        at: i64,
        /// Until when this must be remembered.
        until: i64,
    },
}

/// How far a reader of the feed has come. Opaque; each store has its own kind of position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Horizon(pub i64);

/// The change feed. Truth is a table that is polled; a notification only shortens the wait.
pub trait Changes: Send + Sync {
    /// Everything that has not expired, and where to go on from. Asked on each (re)connect; merged, never replacing.
    fn all_changes(&self, now: i64) -> Answer<'_, (Vec<Change>, Horizon)>;
    /// What came since, each transaction's changes at least once however late it committed, and where to go on from.
    /// Where the store cannot tell what came since (a new connection, a fail-over, a restored backup) it answers with
    /// everything that has not expired, so calling this again and again is enough.
    fn changes_since(&self, horizon: Horizon, now: i64) -> Answer<'_, (Vec<Change>, Horizon)>;
    /// Waits until something may have changed, or for ever: a hint, never needed for correctness. Cancel-safe.
    fn notified(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Writes a ban of another issuer's tokens into the feed; durable before it answers.
    fn ban<'a>(&'a self, ban: &'a Ban, now: i64, until: i64) -> Answer<'a, ()>;
    /// Deletes expired changes, a bounded number at a time; how many.
    fn forget_changes(&self, now: i64) -> Answer<'_, u64>;
}

/// The login throttle's counters: failures within a sliding window, per key (an account's or an address's digest).
pub trait Throttle: Send + Sync {
    /// The failures of each key after `since`, in the order of the keys, and the time of the oldest of them.
    fn failures<'a>(&'a self, keys: &'a [[u8; 32]], since: i64) -> Answer<'a, Vec<Failures>>;
    /// Counts one failure for each key; a durable write.
    fn add_failure<'a>(&'a self, keys: &'a [[u8; 32]], now: i64) -> Answer<'a, ()>;
    /// Forgets the failures of a key, after a success.
    fn clear_failures(&self, key: [u8; 32]) -> Answer<'_, ()>;
    /// Deletes failures older than `before`, a bounded number at a time; how many.
    fn forget_failures(&self, before: i64) -> Answer<'_, u64>;
}

/// Failures within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// When the oldest of them happened (Unix milliseconds).
    pub oldest: Option<i64>,
}

/// What came of bringing the schema up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version before.
    pub from: u32,
    /// The version now.
    pub to: u32,
    /// Whether a `users` table of another server was found and taken over.
    pub took_over: bool,
    /// Where a table `users` was made, because there was none.
    pub made_users: Option<String>,
}

impl Migrated {
    /// What to tell an operator who meant to take over a table, and has a new one.
    pub fn nobody_found(&self) -> Option<String> {
        self.made_users.as_ref().map(|place| {
            format!(
                "there was no table `users` in {place}: an empty one was made there, and nobody of the old server's can log in. \
                See whether store.url names the old server's database, and its search_path the schema \
                (`?options=-csearch_path%3DNAME`)"
            )
        })
    }
}

/// The schema and the health of the store.
pub trait Upkeep: Send + Sync {
    /// Brings the schema up to date; safe when ten replicas do it at once. `progress` is told of each step.
    fn migrate<'a>(&'a self, progress: &'a (dyn Fn(&str) + Send + Sync)) -> Answer<'a, Migrated>;
    /// The version of the schema; 0: none.
    fn schema_version(&self) -> Answer<'_, u32>;
    /// Records the life of this replica's access tokens. The largest that was ever recorded decides how long a change
    /// made with plain SQL is kept in the feed.
    fn record_lifetime(&self, access_ttl_millis: i64) -> Answer<'_, ()>;
    /// Whether the table of users wants an e-mail address for every user: another server made it.
    fn email_required(&self) -> Answer<'_, bool>;
    /// The columns of the table of users that want a value and get none from us: another server made it.
    fn unfilled_columns(&self) -> Answer<'_, Vec<String>>;
    /// Whether the store answers at all, within its deadline.
    fn ping(&self) -> Answer<'_, ()>;
    /// Connections in use and idle, for the gauges; `None` where there is no pool.
    fn pool_state(&self) -> Option<(usize, usize)>;
}

/// What to tell an operator who lets everybody register in a table where each user needs an address.
pub const ADDRESS_WANTED: &str = "accounts.registration is \"open\", and the column users.email wants an address of every \
    account: registrations without one are refused. Say \"verify_email\" if clients send it, or let the column be NULL";

/// What to tell an operator in whose table nobody can register: these columns want a value that the gateway does not give.
pub fn unfilled_told(columns: &[String]) -> Option<String> {
    (!columns.is_empty()).then(|| {
        format!(
            "the table `users` wants a value in {} that only another program gives: unless a trigger does, nobody can register here. Give them a \
            default (ALTER TABLE users ALTER COLUMN … SET DEFAULT …), or let them be NULL",
            columns.join(", ")
        )
    })
}

/// A complete store.
pub trait Store:
    Users + Imports + Sessions + ApiKeys + Tickets + Lives + Keys + Changes + Throttle + Outbox + Upkeep
{
}

impl<S: Users + Imports + Sessions + ApiKeys + Tickets + Lives + Keys + Changes + Throttle + Outbox + Upkeep> Store
    for S
{
}
