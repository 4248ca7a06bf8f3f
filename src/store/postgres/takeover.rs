//! A table `users` that another server made: whether it can be taken over, what it wants of every row, and who holds it.

use tokio_postgres::Client;

use super::column;
use super::error::Failure;
use crate::store::Error;
use crate::store::migration;

/// The columns with the category of their type (`pg_type.typcategory`), and as people call it.
const SELECT_COLUMNS: &str = "SELECT a.attname::text, t.typcategory::text, format_type(a.atttypid, a.atttypmod) \
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
    WHERE a.attrelid = to_regclass('users') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// What our statements need, by category: others may be named alike and be something else.
const NEEDED: [(&str, &str, &str); 8] = [
    ("id", "N", "a whole number"),
    ("username", "S", "text"),
    ("password", "S", "text"),
    ("roles", "S", "text"),
    ("is_active", "B", "boolean"),
    ("email", "S", "text"),
    ("email_verified", "B", "boolean"),
    ("name_key", "S", "text"),
];

/// Columns that no row of ours has a value for, and that give none themselves. (A trigger of the table's may.)
pub(super) const UNFILLED: &str = "SELECT attname::text FROM pg_attribute \
    WHERE attrelid = to_regclass('users') AND attnum > 0 AND NOT attisdropped \
    AND NOT atthasdef AND attidentity = '' AND attgenerated = '' \
    AND (attname = 'id' OR attnotnull AND attname NOT IN \
    ('username', 'password', 'roles', 'is_active', 'email', 'email_verified', 'name_key')) ORDER BY attnum";

/// Where a table without a schema to its name is made.
const HERE: &str = "SELECT format('the schema %s of the database %s', current_schema(), current_database())";

const HOLDER: &str = "SELECT format('process %s (%s%s), for %s s', a.pid, \
    COALESCE(NULLIF(a.application_name, ''), a.backend_type, 'unknown'), COALESCE(', ' || a.state, ''), \
    COALESCE(extract(epoch FROM now() - a.xact_start)::bigint, 0)) \
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
    WHERE l.relation = to_regclass('users') AND l.granted AND a.pid <> pg_backend_pid() \
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    ORDER BY a.xact_start LIMIT 1";

/// What is found where `users` ought to be.
pub(super) enum Found {
    /// A table that can be taken over.
    Table,
    /// None; one is about to be made here.
    Nothing(String),
}

/// Looks at it, before anything is changed.
pub(super) async fn look(client: &Client) -> Result<Found, Failure> {
    let rows = client.query_typed(SELECT_COLUMNS, &[]).await?;
    let mut columns = Vec::with_capacity(rows.len());
    for row in &rows {
        columns.push((
            column::<String>(row, 0)?,
            column::<String>(row, 1)?,
            column::<String>(row, 2)?,
        ));
    }
    let names: Vec<String> = columns.iter().map(|(name, ..)| name.clone()).collect();
    if !migration::takes_over(&names)? {
        let rows = client.query_typed(HERE, &[]).await?;
        let here = rows.first().map(|row| column(row, 0)).transpose()?;
        return Ok(Found::Nothing(here.unwrap_or_default()));
    }
    for (name, category, kind) in &columns {
        let needed = NEEDED.iter().find(|(needed, ..)| needed == name);
        if let Some((_, _, wanted)) = needed.filter(|(_, needed, _)| needed != category) {
            return Err(Error::Schema(format!(
                "a table `users` exists that is not one to take over: its column {name} is {kind}, and has to be {wanted}"
            ))
            .into());
        }
    }
    Ok(Found::Table)
}

/// Whose transaction has to end before the table can be changed.
pub(super) async fn holder(client: &Client) -> Option<String> {
    let rows = client.query_typed(HOLDER, &[]).await.ok()?;
    column(rows.first()?, 0).ok()
}
