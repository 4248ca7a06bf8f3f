//! Users from elsewhere, in SQLite.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Sqlite, text, truth};
use crate::principal::UserId;
use crate::store::imports::{Imported, ImportedUser, Imports, differences};
use crate::store::{Answer, Error};

impl Imports for Sqlite {
    fn import_users<'a>(&'a self, users: &'a [ImportedUser]) -> Answer<'a, Vec<Imported>> {
        Box::pin(async move {
            while self.fill_some_keys().await? {}
            let users = users.to_vec();
            let import = move |connection: &rusqlite::Transaction<'_>| {
                let email_required = super::users::email_required(connection)?;
                users
                    .iter()
                    .map(|user| import(connection, user, email_required).or_else(refused))
                    .collect()
            };
            self.writer.write(import).await
        })
    }
}

/// A row that the table does not take leaves the transaction as it was before it.
fn refused(error: Failure) -> Result<Imported, Error> {
    match error {
        Failure::Row(error) => match super::users::refused_row(&error) {
            Some(why) => Ok(Imported::Refused(why)),
            None => Err(error.into()),
        },
        Failure::Other(error) => Err(error),
    }
}

enum Failure {
    /// Of the new row itself.
    Row(rusqlite::Error),
    Other(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

fn import(connection: &Connection, user: &ImportedUser, email_required: bool) -> Result<Imported, Failure> {
    if let Some(found) = find(connection, user)? {
        return Ok(found);
    }
    if user.email.is_none() && email_required {
        return Ok(Imported::EmailRequired);
    }
    let sql = "INSERT INTO users (id, username, name_key, password, roles, is_active, email) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let inserted = connection.prepare_cached(sql)?.execute(params![
        user.id.map(|id| id.0),
        user.username,
        user.name_key,
        user.password,
        user.roles,
        user.active,
        user.email
    ]);
    if let Err(error) = inserted {
        return Err(Failure::Row(error));
    }
    Ok(Imported::New(UserId(connection.last_insert_rowid())))
}

/// What stands in the way of a new row.
fn find(connection: &Connection, user: &ImportedUser) -> Result<Option<Imported>, Error> {
    let sql = "SELECT id, username, password, roles, is_active, email FROM users WHERE username = ?1 ORDER BY id";
    let mut named = connection.prepare_cached(sql)?;
    let named = named
        .query_map([&user.username], read)?
        .collect::<Result<Vec<_>, _>>()?;
    let mut first = None;
    for is in &named {
        let Some(id) = is.id else { continue };
        let differences = differences(is, user);
        if differences.is_empty() {
            return Ok(Some(Imported::Same(id)));
        }
        first = first.or(Some(Imported::Differs(id, differences)));
    }
    if first.is_some() {
        return Ok(first);
    }
    let sql = "SELECT id FROM users WHERE name_key = ?1 ORDER BY id LIMIT 1";
    let mut alike = connection.prepare_cached(sql)?;
    if let Some(id) = alike.query_row([&user.name_key], |row| row.get(0)).optional()? {
        return Ok(Some(Imported::NameTaken(UserId(id))));
    }
    if let Some(id) = user.id
        && connection
            .prepare_cached("SELECT 1 FROM users WHERE id = ?1")?
            .exists([id.0])?
    {
        return Ok(Some(Imported::IdTaken));
    }
    let taken = user
        .email
        .as_ref()
        .map(|email| super::users::find_email(connection, email));
    Ok(taken.transpose()?.flatten().map(Imported::EmailTaken))
}

fn read(row: &Row<'_>) -> rusqlite::Result<ImportedUser> {
    Ok(ImportedUser {
        id: Some(UserId(row.get(0)?)),
        username: text(row.get_ref(1)?).unwrap_or_default(),
        name_key: String::new(),
        password: text(row.get_ref(2)?),
        roles: text(row.get_ref(3)?),
        active: match row.get_ref(4)? {
            ValueRef::Null => None,
            value @ (ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_)) => {
                Some(truth(value))
            }
        },
        email: text(row.get_ref(5)?),
    })
}
