//! Users from elsewhere, in PostgreSQL; and tables elsewhere.

use std::pin::Pin;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, RowStream};

use super::connector::{Connector, Line};
use super::error::{Failure, Harm};
use super::link::{Params, Work};
use super::upkeep::EMAIL_REQUIRED;
use super::users::find_email;
use super::{LOCK_REGISTRATION, Postgres, TAKE_LOCK, column};
use crate::principal::UserId;
use crate::store::imports::{ForeignRow, Imported, ImportedUser, Imports, differences};
use crate::store::{Answer, Error};

/// How often a batch is begun again because another hand wrote the same name meanwhile.
const ROUNDS: u32 = 5;

impl Imports for Postgres {
    fn import_users<'a>(&'a self, users: &'a [ImportedUser]) -> Answer<'a, Vec<Imported>> {
        Box::pin(async move {
            while self.fill_some_keys().await? {}
            let failure = match self.import_in_rounds(users).await {
                Ok(imported) => return Ok(imported),
                Err(failure) => failure,
            };
            if failure.refused_row().is_none() {
                return Err(failure.error);
            }
            // Nobody knows which one it was; each gets a transaction of its own.
            let mut imported = Vec::with_capacity(users.len());
            for user in users {
                match self.import_in_rounds(std::slice::from_ref(user)).await {
                    Ok(one) => imported.extend(one),
                    Err(failure) => match failure.refused_row() {
                        Some(why) => imported.push(Imported::Refused(why)),
                        None => return Err(failure.error),
                    },
                }
            }
            Ok(imported)
        })
    }
}

impl Postgres {
    async fn import_in_rounds(&self, users: &[ImportedUser]) -> Result<Vec<Imported>, Failure> {
        let mut round = 0;
        loop {
            round += 1;
            match self.try_import(users).await {
                Err(failure) if failure.state == Some(SqlState::UNIQUE_VIOLATION) && round < ROUNDS => {}
                outcome => return outcome,
            }
        }
    }

    async fn try_import(&self, users: &[ImportedUser]) -> Result<Vec<Imported>, Failure> {
        let work = self.link.begin().await.map_err(Failure::from)?;
        match import_all(&work, users).await {
            Ok(imported) => {
                work.commit().await?;
                Ok(imported)
            }
            Err(failure) => {
                if failure.harm == Harm::None {
                    work.rollback().await?;
                }
                Err(failure)
            }
        }
    }
}

async fn import_all(work: &Work<'_>, users: &[ImportedUser]) -> Result<Vec<Imported>, Failure> {
    work.query(TAKE_LOCK, &[(&LOCK_REGISTRATION, Type::INT8)]).await?;
    let email_required = email_required(work).await?;
    let mut imported = Vec::with_capacity(users.len());
    let mut brought = false;
    for user in users {
        let outcome = match find(work, user).await? {
            Some(found) => found,
            None if user.email.is_none() && email_required => Imported::EmailRequired,
            None => {
                brought |= user.id.is_some();
                Imported::New(insert(work, user).await?)
            }
        };
        imported.push(outcome);
    }
    if brought {
        follow_sequence(work).await?;
    }
    Ok(imported)
}

async fn email_required(work: &Work<'_>) -> Result<bool, Failure> {
    let rows = work.query(EMAIL_REQUIRED, &[]).await?;
    Ok(rows.first().map(|row| column(row, 0)).transpose()?.unwrap_or(false))
}

/// What stands in the way of a new row.
async fn find(work: &Work<'_>, user: &ImportedUser) -> Result<Option<Imported>, Failure> {
    let sql = "SELECT id::bigint, username::text, password::text, roles::text, is_active, email::text FROM users \
        WHERE username = $1 ORDER BY id";
    let named = work.query(sql, &[(&user.username, Type::TEXT)]).await?;
    let mut first = None;
    for row in &named {
        let is = read(row)?;
        let Some(id) = is.id else { continue };
        let differences = differences(&is, user);
        if differences.is_empty() {
            return Ok(Some(Imported::Same(id)));
        }
        first = first.or(Some(Imported::Differs(id, differences)));
    }
    if first.is_some() {
        return Ok(first);
    }
    let sql = "SELECT id::bigint FROM users WHERE name_key = $1 ORDER BY id LIMIT 1";
    if let Some(row) = work.query(sql, &[(&user.name_key, Type::TEXT)]).await?.first() {
        return Ok(Some(Imported::NameTaken(UserId(column(row, 0)?))));
    }
    if let Some(id) = user.id {
        let taken = work
            .query("SELECT 1 FROM users WHERE id = $1", &[(&id.0, Type::INT8)])
            .await?;
        if !taken.is_empty() {
            return Ok(Some(Imported::IdTaken));
        }
    }
    if let Some(email) = &user.email
        && let Some(owner) = find_email(work, email).await?
    {
        return Ok(Some(Imported::EmailTaken(owner)));
    }
    Ok(None)
}

fn read(row: &Row) -> Result<ImportedUser, Failure> {
    Ok(ImportedUser {
        id: Some(UserId(column(row, 0)?)),
        username: column(row, 1)?,
        name_key: String::new(),
        password: column(row, 2)?,
        roles: column(row, 3)?,
        active: column(row, 4)?,
        email: column(row, 5)?,
    })
}

async fn insert(work: &Work<'_>, user: &ImportedUser) -> Result<UserId, Failure> {
    let id = user.id.map(|id| id.0);
    let (names, place) = match id {
        Some(_) => ("id, ", "$1, "),
        None => ("", ""),
    };
    let sql = format!(
        "INSERT INTO users ({names}username, name_key, password, roles, is_active, email) \
         VALUES ({place}$2, $3, $4, $5, $6, $7) RETURNING id::bigint"
    );
    let params: Params<'_> = &[
        (&id, Type::INT8),
        (&user.username, Type::TEXT),
        (&user.name_key, Type::TEXT),
        (&user.password, Type::TEXT),
        (&user.roles, Type::TEXT),
        (&user.active, Type::BOOL),
        (&user.email, Type::TEXT),
    ];
    let rows = work.query(&sql, params).await?;
    let nothing = || Failure::from(Error::Refused("INSERT returned no row".to_owned()));
    Ok(UserId(column(rows.first().ok_or_else(nothing)?, 0)?))
}

/// The next id that the table gives is none that was brought along.
async fn follow_sequence(work: &Work<'_>) -> Result<(), Failure> {
    let sql = "SELECT setval(name, GREATEST(nextval(name), (SELECT max(id)::bigint + 1 FROM users)), false) \
        FROM (SELECT pg_get_serial_sequence('users', 'id')::regclass AS name) AS sequence WHERE name IS NOT NULL";
    work.query(sql, &[]).await?;
    Ok(())
}

/// The columns that are asked for, in the order of [`ForeignRow`].
const COLUMNS: [&str; 6] = ["id", "username", "password", "roles", "is_active", "email"];

/// The rows of a table of somebody else's.
pub(in super::super) struct ForeignRows {
    /// `None`: all were given.
    rows: Option<Pin<Box<RowStream>>>,
    there: [bool; 6],
    silence: Duration,
    _line: Line,
}

impl ForeignRows {
    pub(in super::super) async fn open(connector: &Connector, table: &str, silence: Duration) -> Result<Self, Error> {
        let line = connector.connect().await.map_err(|failure| failure.error)?;
        let refused = |error: tokio_postgres::Error| Failure::from(error).error;
        let sql = "SELECT attname::text FROM pg_attribute \
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
        let names = line
            .client
            .query_typed(sql, &[(&table, Type::TEXT)])
            .await
            .map_err(refused)?;
        if names.is_empty() {
            return Err(Error::Schema(format!("there is no table {table}")));
        }
        let names: Vec<String> = names.iter().map(|row| column(row, 0)).collect::<Result<_, _>>()?;
        let there = COLUMNS.map(|column| names.iter().any(|name| name == column));
        let [_, username, password, ..] = there;
        if !(username && password) {
            let text = format!("the table {table} has no columns username and password");
            return Err(Error::Schema(text));
        }
        let sql = statement(table, there);
        let no_params = std::iter::empty::<(&str, Type)>();
        let rows = line.client.query_typed_raw(&sql, no_params).await.map_err(refused)?;
        Ok(Self {
            rows: Some(Box::pin(rows)),
            there,
            silence,
            _line: line,
        })
    }

    pub(in super::super) fn knows_activity(&self) -> bool {
        let [.., activity, _] = self.there;
        activity
    }

    pub(in super::super) async fn next(&mut self) -> Result<Option<ForeignRow>, Error> {
        let Some(rows) = &mut self.rows else { return Ok(None) };
        let next = std::future::poll_fn(|context| futures_core::Stream::poll_next(rows.as_mut(), context));
        let Ok(next) = tokio::time::timeout(self.silence, next).await else {
            self.rows = None;
            let silence = humantime::format_duration(self.silence);
            return Err(Error::Unavailable(format!("it said nothing for {silence}")));
        };
        let Some(row) = next else {
            self.rows = None;
            return Ok(None);
        };
        let row = row.map_err(|error| Failure::from(error).error)?;
        let mut texts = ForeignRow::default();
        for (index, text) in texts.iter_mut().enumerate() {
            *text = column(&row, index)?;
        }
        Ok(Some(texts))
    }
}

/// Everything as text: the types are somebody else's. `table` names a table that there is, in SQL's own spelling.
fn statement(table: &str, there: [bool; 6]) -> String {
    let columns = COLUMNS.iter().zip(there).map(|(column, there)| match there {
        true => format!("t.\"{column}\"::text"),
        false => "NULL::text".to_owned(),
    });
    let columns: Vec<String> = columns.collect();
    let [has_id, ..] = there;
    let order = if has_id { " ORDER BY t.\"id\"" } else { "" };
    format!("SELECT {} FROM {table} AS t{order}", columns.join(", "))
}
