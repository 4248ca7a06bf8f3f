//! Where users, sessions, keys and changes are kept.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// `[store]`, with only valid values.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which store, and where.
    pub location: Location,
    /// Connections to PostgreSQL at most.
    pub pool_size: usize,
    /// How long a connection to PostgreSQL may take to be made.
    pub connect_timeout: Duration,
    /// Whether `serve` brings the schema up to date at start.
    pub migrate: bool,
    /// How long a replica that cannot reach the store goes on with what it knows; `None`: without limit.
    pub max_staleness: Option<Duration>,
}

/// Which store.
#[derive(Clone, Debug)]
pub enum Location {
    /// The embedded one: a file.
    Sqlite(PathBuf),
    /// A PostgreSQL server (13 or later), perhaps several hosts of one cluster.
    Postgres {
        /// `postgres://user@host:5432/db?sslmode=…`, perhaps with the password in it.
        url: Secret<String>,
        /// The password, where it is given apart from the URL.
        password: Option<Secret<String>>,
        /// A direct connection for notifications, where `url` goes through a pooler in transaction mode.
        listen_url: Option<Secret<String>>,
    },
}
