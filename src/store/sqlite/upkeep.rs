//! The schema and the health of the store, in SQLite.

use rusqlite::{Connection, params};

use super::Sqlite;
use crate::store::migration::{self, Applied, Migration};
use crate::store::{Answer, Error, Migrated, Upkeep};

/// The steps of the schema.
const MIGRATIONS: [Migration; 7] = [
    Migration {
        version: 1,
        name: "users, sessions, changes",
        sql: include_str!("../../../migrations/sqlite/0001_users_sessions_changes.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 2,
        name: "browser sessions, API keys, tickets",
        sql: include_str!("../../../migrations/sqlite/0002_browser_sessions_api_keys_tickets.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 3,
        name: "mail, codes",
        sql: include_str!("../../../migrations/sqlite/0003_mail.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 4,
        name: "cuts of tokens without a session",
        sql: include_str!("../../../migrations/sqlite/0004_cuts.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 5,
        name: "one row for a name",
        sql: include_str!("../../../migrations/sqlite/0005_one_row_for_a_name.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 6,
        name: "closed accounts",
        sql: include_str!("../../../migrations/sqlite/0006_closed_accounts.sql"),
        min_compatible: 1,
    },
    Migration {
        version: 7,
        name: "passwords that others change",
        sql: include_str!("../../../migrations/sqlite/0007_changes_by_others.sql"),
        min_compatible: 1,
    },
];

impl Upkeep for Sqlite {
    fn migrate<'a>(&'a self, progress: &'a (dyn Fn(&str) + Send + Sync)) -> Answer<'a, Migrated> {
        Box::pin(async move {
            let (mut from, mut took_over, mut made_users) = (None, false, false);
            let to = loop {
                match self.writer.migrate(|connection| step(connection)).await? {
                    Step::Taken {
                        before,
                        found_users,
                        what,
                    } => {
                        progress(&what);
                        from.get_or_insert(before);
                        took_over |= found_users;
                        made_users |= before == 0 && !found_users;
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
                made_users: made_users.then(|| "the SQLite database".to_owned()),
            })
        })
    }

    fn schema_version(&self) -> Answer<'_, u32> {
        Box::pin(async move {
            let version = self.readers.read(|connection| {
                let sql =
                    "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'gateway_schema')";
                if !connection.query_row(sql, [], |row| row.get(0))? {
                    return Ok(0);
                }
                migration::judge(&applied(connection)?, &MIGRATIONS)
            });
            version.await
        })
    }

    fn record_lifetime(&self, access_ttl_millis: i64) -> Answer<'_, ()> {
        Box::pin(async move {
            let recorded = self.writer.write(move |connection| {
                let sql = "INSERT INTO gateway_settings (name, value) VALUES ('token_lifetime_ms', ?1) \
                    ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)";
                connection.execute(sql, [access_ttl_millis])?;
                Ok(())
            });
            recorded.await
        })
    }

    fn email_required(&self) -> Answer<'_, bool> {
        Box::pin(async move {
            self.readers
                .read(|connection| super::users::email_required(connection))
                .await
        })
    }

    fn unfilled_columns(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let columns = self.readers.read(|connection| {
                let mut statement = connection.prepare(UNFILLED)?;
                let names = statement.query_map([], |row| row.get(0))?;
                Ok(names.collect::<Result<_, _>>()?)
            });
            columns.await
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            // Reads the file, not only the connection.
            let sql = "SELECT count(*) FROM sqlite_master";
            self.readers
                .read(move |connection| Ok(connection.query_row(sql, [], |_| Ok(()))?))
                .await
        })
    }

    fn pool_state(&self) -> Option<(usize, usize)> {
        None
    }
}

/// Columns that no row of ours has a value for, and that give none themselves.
const UNFILLED: &str = "SELECT name FROM pragma_table_info('users') WHERE \"notnull\" AND dflt_value IS NULL AND pk = 0 \
    AND name NOT IN ('username', 'password', 'roles', 'is_active', 'email', 'email_verified', 'name_key')";

enum Step {
    Taken {
        before: u32,
        found_users: bool,
        what: String,
    },
    None {
        version: u32,
    },
}

/// Takes the next step in the transaction of its caller, who is the only one that writes.
fn step(connection: &Connection) -> Result<Step, Error> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS gateway_schema (version INTEGER PRIMARY KEY, name TEXT NOT NULL, \
        checksum TEXT NOT NULL, min_compatible INTEGER NOT NULL, applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    )?;
    let applied = applied(connection)?;
    let version = migration::judge(&applied, &MIGRATIONS)?;
    let Some(next) = migration::next(&applied, &MIGRATIONS) else {
        return Ok(Step::None { version });
    };
    let found_users = version == 0 && take_over(connection)?;
    connection.execute_batch(next.sql)?;
    connection.execute(
        "INSERT INTO gateway_schema (version, name, checksum, min_compatible) VALUES (?1, ?2, ?3, ?4)",
        params![next.version, next.name, next.checksum(), next.min_compatible],
    )?;
    let what = format!("migration {}: {}", next.version, next.name);
    Ok(Step::Taken {
        before: version,
        found_users,
        what,
    })
}

/// Adds to a table of another server the columns it lacks; false: there is none.
fn take_over(connection: &Connection) -> Result<bool, Error> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info('users')")?;
    let columns: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if !migration::takes_over(&columns)? {
        return Ok(false);
    }
    for (name, kind) in [
        ("email", "TEXT"),
        ("email_verified", "BOOLEAN NOT NULL DEFAULT 0"),
        ("name_key", "TEXT"),
    ] {
        if !columns.iter().any(|found| found == name) {
            connection.execute_batch(&format!("ALTER TABLE users ADD COLUMN {name} {kind}"))?;
        }
    }
    Ok(true)
}

fn applied(connection: &Connection) -> Result<Vec<Applied>, Error> {
    let mut statement =
        connection.prepare("SELECT version, checksum, min_compatible FROM gateway_schema ORDER BY version")?;
    let rows = statement.query_map([], |row| {
        Ok(Applied {
            version: row.get(0)?,
            checksum: row.get(1)?,
            min_compatible: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
