//! The schema and the health of the store, in PostgreSQL.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::Failure;
use super::{LOCK_MIGRATION, Postgres, TAKE_LOCK, column};
use crate::store::migration::{self, Applied, Migration};
use crate::store::{Answer, Error, Migrated, Upkeep};

/// The steps of the schema.
const MIGRATIONS: [Migration; 7] = [
    Migration {
        version: 1,
        name: "users, sessions, changes",
        sql: include_str!("../../../migrations/postgres/0001_users_sessions_changes.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 2,
        name: "browser sessions, API keys, tickets",
        sql: include_str!("../../../migrations/postgres/0002_browser_sessions_api_keys_tickets.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 3,
        name: "mail, codes",
        sql: include_str!("../../../migrations/postgres/0003_mail.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 4,
        name: "cuts of tokens without a session",
        sql: include_str!("../../../migrations/postgres/0004_cuts.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 5,
        name: "one row for a name",
        sql: include_str!("../../../migrations/postgres/0005_one_row_for_a_name.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 6,
        name: "closed accounts",
        sql: include_str!("../../../migrations/postgres/0006_closed_accounts.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 7,
        name: "passwords that others change",
        sql: include_str!("../../../migrations/postgres/0007_changes_by_others.sql"),
        min_compatible: 1,
    },
];

/// Whether a row needs an e-mail address.
pub(super) const EMAIL_REQUIRED: &str = "SELECT attnotnull FROM pg_attribute \
    WHERE attrelid = to_regclass('users') AND attname = 'email' AND NOT attisdropped";

/// The oldest server that knows `pg_current_xact_id`.
const OLDEST_SERVER: i32 = 130_000;

impl Upkeep for Postgres {
    fn migrate<'a>(&'a self, progress: &'a (dyn Fn(&str) + Send + Sync)) -> Answer<'a, Migrated> {
        Box::pin(async move {
            // A connection without deadlines: building an index may take minutes.
            let line = self.connector.connect().await?;
            let server = line
                .client
                .query_typed("SELECT current_setting('server_version_num')::int", &[])
                .await;
            let server: i32 = first(&server.map_err(Failure::from)?)?;
            if server < OLDEST_SERVER {
                return Err(Error::Schema(format!(
                    "PostgreSQL 13 or later is needed, this is {}",
                    server / 10_000
                )));
            }
            let (mut from, mut took_over) = (None, false);
            let to = loop {
                match step(&line.client, progress).await? {
                    Step::Taken { before, found_users } => {
                        from.get_or_insert(before);
                        took_over |= found_users;
                    }
                    Step::None { version } => break version,
                }
            };
            let mut filled: u64 = 0;
            while self.fill_some_keys().await? {
                filled += 1;
                progress(&format!("computing the keys of names: batch {filled}"));
            }
            Ok(Migrated {
                from: from.unwrap_or(to),
                to,
                took_over,
            })
        })
    }

    fn schema_version(&self) -> Answer<'_, u32> {
        Box::pin(async move {
            let found = self.link.query(HAS_VERSIONS, &[]).await?;
            if !first::<bool>(&found)? {
                return Ok(0);
            }
            let rows = self.link.query(SELECT_APPLIED, &[]).await?;
            migration::judge(&applied(&rows)?, &MIGRATIONS)
        })
    }

    fn record_lifetime(&self, access_ttl_millis: i64) -> Answer<'_, ()> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            let sql = "INSERT INTO gateway_settings AS s (name, value) VALUES ('token_lifetime_ms', $1) \
                ON CONFLICT (name) DO UPDATE SET value = GREATEST(s.value, EXCLUDED.value)";
            work.execute(sql, &[(&access_ttl_millis, Type::INT8)]).await?;
            Ok(work.commit().await?)
        })
    }

    fn email_required(&self) -> Answer<'_, bool> {
        Box::pin(async move {
            let rows = self.link.query(EMAIL_REQUIRED, &[]).await?;
            Ok(rows.first().map(|row| column(row, 0)).transpose()?.unwrap_or(false))
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.link.query("SELECT 1", &[]).await.map(drop) })
    }

    fn pool_state(&self) -> Option<(usize, usize)> {
        Some(self.link.state())
    }
}

enum Step {
    Taken { before: u32, found_users: bool },
    None { version: u32 },
}

/// Takes the next step in one transaction. Of many that do this at once one works and the others wait, then find it done.
async fn step(client: &Client, progress: &(dyn Fn(&str) + Send + Sync)) -> Result<Step, Error> {
    client.batch_execute("BEGIN").await.map_err(Failure::from)?;
    let outcome = step_within(client, progress).await;
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = client.batch_execute(end).await.map_err(Failure::from);
    let outcome = outcome?;
    ended?;
    Ok(outcome)
}

async fn step_within(client: &Client, progress: &(dyn Fn(&str) + Send + Sync)) -> Result<Step, Failure> {
    client.query_typed(TAKE_LOCK, &[(&LOCK_MIGRATION, Type::INT8)]).await?;
    // From here on a table that is in use by a long transaction makes us give up, rather than hold up in our queue
    // everybody who wants to log in to the other server.
    client.batch_execute("SET LOCAL lock_timeout = '5s'").await?;
    client.batch_execute(SET_SCHEMA).await?;
    // Looked for first: a role that may use the tables, but make none, finds that there is nothing to do.
    if !first::<bool>(&client.query_typed(HAS_VERSIONS, &[]).await?)? {
        client.batch_execute(CREATE_VERSIONS).await?;
    }
    let applied = applied(&client.query_typed(SELECT_APPLIED, &[]).await?)?;
    let version = migration::judge(&applied, &MIGRATIONS)?;
    let Some(next) = migration::next(&applied, &MIGRATIONS) else {
        return Ok(Step::None { version });
    };
    let columns = client.query_typed(SELECT_COLUMNS, &[]).await?;
    let columns = columns
        .iter()
        .map(|row| column(row, 0))
        .collect::<Result<Vec<String>, _>>()?;
    let found_users = version == 0 && migration::takes_over(&columns)?;
    progress(&format!("migration {}: {}", next.version, next.name));
    client.batch_execute(next.sql).await?;
    let sql = "INSERT INTO gateway_schema (version, name, checksum, min_compatible) VALUES ($1, $2, $3, $4)";
    let params: super::link::Params<'_> = &[
        (&i64::from(next.version), Type::INT8),
        (&next.name, Type::TEXT),
        (&next.checksum(), Type::TEXT),
        (&i64::from(next.min_compatible), Type::INT8),
    ];
    client.execute_typed(sql, params).await?;
    Ok(Step::Taken {
        before: version,
        found_users,
    })
}

/// Everything goes where `users` is, or would be made. The functions of the schema keep this path.
const SET_SCHEMA: &str = "SELECT set_config('search_path', quote_ident(COALESCE( \
    (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('users')), \
    current_schema())) || ', pg_temp', true)";

const HAS_VERSIONS: &str = "SELECT to_regclass('gateway_schema') IS NOT NULL";

const CREATE_VERSIONS: &str = "CREATE TABLE gateway_schema (\
    version bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, min_compatible bigint NOT NULL, \
    applied_at timestamptz NOT NULL DEFAULT now())";

const SELECT_APPLIED: &str = "SELECT version, checksum, min_compatible FROM gateway_schema ORDER BY version";

const SELECT_COLUMNS: &str = "SELECT attname::text FROM pg_attribute \
    WHERE attrelid = to_regclass('users') AND attnum > 0 AND NOT attisdropped ORDER BY attnum";

fn applied(rows: &[Row]) -> Result<Vec<Applied>, Error> {
    let number = |row: &Row, index| {
        u32::try_from(column::<i64>(row, index)?).map_err(|error| Error::Schema(format!("gateway_schema: {error}")))
    };
    rows.iter()
        .map(|row| {
            Ok(Applied {
                version: number(row, 0)?,
                checksum: column(row, 1)?,
                min_compatible: number(row, 2)?,
            })
        })
        .collect()
}

fn first<'r, T: tokio_postgres::types::FromSql<'r>>(rows: &'r [Row]) -> Result<T, Error> {
    column(
        rows.first()
            .ok_or_else(|| Error::Refused("a row was expected".to_owned()))?,
        0,
    )
}
