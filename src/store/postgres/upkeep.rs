//! The schema and the health of the store, in PostgreSQL.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::Failure;
use super::takeover::{self, Found, UNFILLED};
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

/// How long a step waits in the table's queue, at first and at last: beyond PostgreSQL's `deadlock_timeout` of a second, so that
/// a vacuum makes room.
const FIRST_IN_QUEUE: Duration = Duration::from_millis(100);
const LONGEST_IN_QUEUE: Duration = Duration::from_millis(1200);
/// The pause after it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// When it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

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
            let (mut from, mut took_over, mut made_users) = (None, false, None);
            let to = loop {
                match step(&line.client, progress).await? {
                    Step::Taken { before, found } => {
                        from.get_or_insert(before);
                        match found {
                            Some(Found::Table) => took_over = true,
                            Some(Found::Nothing(here)) => made_users = Some(here),
                            None => {}
                        }
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
                made_users,
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

    fn unfilled_columns(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let rows = self.link.query(UNFILLED, &[]).await?;
            rows.iter().map(|row| column(row, 0)).collect()
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
    /// `found`: what was there before the first.
    Taken {
        before: u32,
        found: Option<Found>,
    },
    None {
        version: u32,
    },
}

/// Takes the next step. A table that somebody's transaction holds is asked for again and again, each time for a moment only
/// and after a longer pause: while we wait in its queue, so does everybody behind us who wants to log in to the other server.
async fn step(client: &Client, progress: &(dyn Fn(&str) + Send + Sync)) -> Result<Step, Error> {
    let began = Instant::now();
    let (mut in_queue, mut pause) = (FIRST_IN_QUEUE, FIRST_PAUSE);
    loop {
        let failure = match try_step(client, progress, in_queue).await {
            Ok(step) => return Ok(step),
            Err(failure) => failure,
        };
        if failure.state != Some(SqlState::LOCK_NOT_AVAILABLE) {
            return Err(failure.error);
        }
        let holder = takeover::holder(client).await;
        let holder = holder.unwrap_or_else(|| "a transaction that has ended meanwhile".to_owned());
        if began.elapsed().saturating_add(pause) > PATIENCE {
            return Err(Error::Unavailable(format!(
                "the table `users` cannot be changed while it is in use by {holder}; end that, or try again later"
            )));
        }
        progress(&format!("the table `users` is in use by {holder}; waiting"));
        tokio::time::sleep(pause).await;
        (in_queue, pause) = (LONGEST_IN_QUEUE.min(in_queue * 2), LONGEST_PAUSE.min(pause * 2));
    }
}

/// In one transaction. Of many that do this at once one works and the others wait, then find it done.
async fn try_step(
    client: &Client,
    progress: &(dyn Fn(&str) + Send + Sync),
    in_queue: Duration,
) -> Result<Step, Failure> {
    client.batch_execute("BEGIN").await?;
    let outcome = step_within(client, progress, in_queue).await;
    let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = client.batch_execute(end).await;
    let outcome = outcome?;
    ended?;
    Ok(outcome)
}

async fn step_within(
    client: &Client,
    progress: &(dyn Fn(&str) + Send + Sync),
    in_queue: Duration,
) -> Result<Step, Failure> {
    client.query_typed(TAKE_LOCK, &[(&LOCK_MIGRATION, Type::INT8)]).await?;
    client
        .batch_execute(&format!("SET LOCAL lock_timeout = {}", in_queue.as_millis()))
        .await?;
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
    let found = match version {
        0 => Some(takeover::look(client).await?),
        _ => None,
    };
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
    Ok(Step::Taken { before: version, found })
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
