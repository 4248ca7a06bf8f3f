//! The store in an SQLite file: one thread that writes, a few that read, one for the change feed.

use std::path::PathBuf;
use std::sync::atomic::AtomicI64;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::{Error, User};
use crate::principal::UserId;

mod api_keys;
mod changes;
mod engine;
mod imports;
mod keys;
mod lives;
mod outbox;
mod redeem;
mod sessions;
mod throttle;
mod tickets;
mod upkeep;
mod users;

use engine::Engine;

/// The store.
pub(super) struct Sqlite {
    writer: Engine,
    readers: Engine,
    feed: Engine,
    /// The `data_version` that [`super::Changes::notified`] saw last.
    seen: AtomicI64,
}

impl Sqlite {
    /// Opens nothing yet: the file is made by the first operation.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let (writer, readers, feed) = engine::start(path)?;
        Ok(Self {
            writer,
            readers,
            feed,
            seen: AtomicI64::new(i64::MIN),
        })
    }
}

/// A row of `users` as [`user`] reads it.
const SELECT_USER: &str = "SELECT u.id, u.username, u.password, u.roles, u.is_active, u.email, u.email_verified, \
    (SELECT c.at FROM gateway_cuts AS c WHERE c.user_id = u.id) FROM users AS u";

/// All users that a statement selects, with their grants.
fn select_users(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<User>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut users: Vec<User> = statement.query_map(params, user)?.collect::<Result<_, _>>()?;
    let mut grants = connection.prepare_cached("SELECT role FROM gateway_grants WHERE user_id = ?1 ORDER BY role")?;
    for user in &mut users {
        user.grants = grants
            .query_map([user.id.0], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
    }
    Ok(users)
}

fn select_user(connection: &Connection, id: UserId) -> Result<Option<User>, Error> {
    Ok(select_users(connection, &format!("{SELECT_USER} WHERE u.id = ?1"), [id.0])?.pop())
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: UserId(row.get(0)?),
        username: text(row.get_ref(1)?).unwrap_or_default(),
        password: text(row.get_ref(2)?).unwrap_or_default(),
        roles: text(row.get_ref(3)?).unwrap_or_default(),
        active: truth(row.get_ref(4)?),
        email: text(row.get_ref(5)?),
        email_verified: truth(row.get_ref(6)?),
        grants: Vec::new(),
        cut_at: row.get(7)?,
    })
}

/// SQLite keeps in a column what it was given; what is no text counts as its bytes.
fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// NULL, and what is no number, counts as false, as it does in a condition.
fn truth(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Integer(number) => number != 0,
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => false,
    }
}

/// When what is written now has lost its meaning.
const UNTIL: &str = "60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms')";
