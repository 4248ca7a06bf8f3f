//! The store in PostgreSQL 13 or later.

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::{Error, User};
use crate::principal::UserId;

mod api_keys;
mod changes;
mod connector;
mod error;
mod imports;
mod keys;
mod link;
mod lives;
mod outbox;
mod redeem;
mod sessions;
mod takeover;
mod throttle;
mod tickets;
mod tls;
mod upkeep;
mod users;

pub(super) use connector::Connector;
pub(super) use imports::ForeignRows;

use changes::Feed;
use link::Link;

/// The store: a pool for what people ask, a connection of its own for the change feed.
pub(super) struct Postgres {
    link: Link,
    feed: Feed,
    connector: Connector,
}

impl Postgres {
    /// Connects nothing yet. `direct`: the way around a pooler, for notifications.
    pub(super) fn open(connector: Connector, direct: Connector, pool_size: usize) -> Result<Self, Error> {
        let link = Link::new(connector.clone(), pool_size)?;
        Ok(Self {
            link,
            feed: Feed::new(connector.clone(), Arc::new(direct)),
            connector,
        })
    }
}

/// Keys of advisory locks: "doorward" in ASCII, and the two that follow. One database, one set.
const LOCK_MIGRATION: i64 = 0x646f_6f72_7761_7264;
/// Held while a name is looked for and taken.
const LOCK_REGISTRATION: i64 = LOCK_MIGRATION + 1;
/// Held while a first signing key is looked for and made.
const LOCK_KEYS: i64 = LOCK_MIGRATION + 2;

/// Takes one of the locks above until the transaction ends.
const TAKE_LOCK: &str = "SELECT pg_advisory_xact_lock($1)";

/// A row of `users` as [`user`] reads it. Types are cast: the table may have been made by others.
const SELECT_USER: &str = "SELECT u.id::bigint, u.username::text, u.password::text, u.roles::text, u.is_active, \
    u.email::text, COALESCE(u.email_verified, FALSE), \
    ARRAY(SELECT g.role FROM gateway_grants g WHERE g.user_id = u.id ORDER BY g.role), \
    GREATEST((SELECT c.at FROM gateway_cuts c WHERE c.user_id = u.id), \
    (SELECT s.value FROM gateway_settings s WHERE s.name = 'all_cut_at')) FROM users u";

fn user(row: &Row) -> Result<User, Error> {
    Ok(User {
        id: UserId(column(row, 0)?),
        username: column::<Option<String>>(row, 1)?.unwrap_or_default(),
        password: column::<Option<String>>(row, 2)?.unwrap_or_default(),
        roles: column::<Option<String>>(row, 3)?.unwrap_or_default(),
        active: column::<Option<bool>>(row, 4)?.unwrap_or(false),
        email: column(row, 5)?,
        email_verified: column(row, 6)?,
        grants: column(row, 7)?,
        cut_at: column(row, 8)?,
    })
}

/// A value of a row; one that is not what the schema promises is the store's fault.
fn column<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Result<T, Error> {
    row.try_get(index).map_err(|error| Error::Refused(error.to_string()))
}

/// Bytes of a fixed length.
fn bytes<const N: usize>(row: &Row, index: usize) -> Result<[u8; N], Error> {
    column::<&[u8]>(row, index)?
        .try_into()
        .map_err(|_| Error::Refused(format!("column {index} has another length")))
}

/// Bytes of a fixed length, or none.
fn some_bytes<const N: usize>(row: &Row, index: usize) -> Result<Option<[u8; N]>, Error> {
    let bytes: Option<&[u8]> = column(row, index)?;
    bytes
        .map(|bytes| {
            bytes
                .try_into()
                .map_err(|_| Error::Refused(format!("column {index} has another length")))
        })
        .transpose()
}

/// A count that cannot be negative.
fn count(row: &Row, index: usize) -> Result<u64, Error> {
    u64::try_from(column::<i64>(row, index)?).map_err(|error| Error::Refused(error.to_string()))
}
