//! Users of another table: rows taken over as they are, and the table they come from.

use std::time::Duration;

use super::postgres::{Connector, ForeignRows};
use super::{Answer, Error};
use crate::principal::UserId;
use crate::secret::Secret;

/// A user to be taken over, with what its row holds. `None` is NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedUser {
    /// The id to keep; `None`: the table gives one.
    pub id: Option<UserId>,
    /// The name, byte for byte.
    pub username: String,
    /// The name's key.
    pub name_key: String,
    /// The hash.
    pub password: Option<String>,
    /// The roles column.
    pub roles: Option<String>,
    /// `is_active`.
    pub active: Option<bool>,
    /// The e-mail address.
    pub email: Option<String>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// The row was made.
    New(UserId),
    /// The very same row is there.
    Same(UserId),
    /// A user of this name is there, and differs in these columns; nothing was changed.
    Differs(UserId, Vec<&'static str>),
    /// A user whose name folds to the same key is there.
    NameTaken(UserId),
    /// Another user has this id.
    IdTaken,
    /// Another user has this e-mail address.
    EmailTaken(UserId),
    /// The table wants an e-mail address for every user.
    EmailRequired,
    /// The table does not take the row, for this reason, which quotes no value.
    Refused(String),
}

/// The columns in which a row that is there differs from one to be taken over. What is not said of an id or an address is no
/// difference.
pub(super) fn differences(is: &ImportedUser, wanted: &ImportedUser) -> Vec<&'static str> {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        ("id", wanted.id.is_some() && is.id != wanted.id),
        ("password", or_empty(&is.password) != or_empty(&wanted.password)),
        ("roles", or_empty(&is.roles) != or_empty(&wanted.roles)),
        (
            "is_active",
            is.active.unwrap_or_default() != wanted.active.unwrap_or_default(),
        ),
        ("email", wanted.email.is_some() && is.email != wanted.email),
    ]
    .into_iter()
    .filter_map(|(column, differs)| differs.then_some(column))
    .collect()
}

/// Users from elsewhere.
pub trait Imports: Send + Sync {
    /// Takes over some users; what became of each, in their order. Nothing that is there is changed. They are of one
    /// transaction, unless the table refuses one: the others then go their own ways.
    fn import_users<'a>(&'a self, users: &'a [ImportedUser]) -> Answer<'a, Vec<Imported>>;
}

/// A `users` table of another database, read row by row in the order of its ids, as of one moment.
pub struct ForeignTable(ForeignRows);

/// A row of it: the texts of the columns `id`, `username`, `password`, `roles`, `is_active`, `email`; `None`: NULL, or no
/// such column.
pub type ForeignRow = [Option<String>; 6];

impl ForeignTable {
    /// Opens the table of this URL. A server that says nothing for as long as `silence` is taken for dead. Only reading, and only one statement, is done there.
    ///
    /// # Errors
    /// The server cannot be reached within `timeout`, or the table is missing or has no names and passwords.
    pub async fn open(
        url: &Secret<String>,
        password: Option<&Secret<String>>,
        table: &str,
        timeout: Duration,
        silence: Duration,
    ) -> Result<Self, Error> {
        let connector = Connector::new(url, password, timeout)?;
        ForeignRows::open(&connector, table, silence).await.map(Self)
    }

    /// Whether a row without a say about activity is active: the table has no such column.
    pub fn knows_activity(&self) -> bool {
        self.0.knows_activity()
    }

    /// The next row.
    pub async fn next(&mut self) -> Result<Option<ForeignRow>, Error> {
        self.0.next().await
    }
}
