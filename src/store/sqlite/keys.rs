//! Keys, in SQLite.

use rusqlite::{Connection, Row, params};

use super::{Sqlite, UNTIL};
use crate::store::{Answer, Error, KeyPlan, Keys, StoredKey};

impl Keys for Sqlite {
    fn keys(&self) -> Answer<'_, Vec<StoredKey>> {
        Box::pin(async move { self.readers.read(|connection| all(connection)).await })
    }

    fn change_keys(&self, plan: KeyPlan, now: i64) -> Answer<'_, Vec<StoredKey>> {
        Box::pin(async move {
            let changed = self.writer.write(move |connection| {
                let stored = all(connection)?;
                let edit = plan(&stored, lifetime(connection)?);
                if edit.is_empty() {
                    return Ok(stored);
                }
                for id in &edit.remove {
                    connection.execute("DELETE FROM gateway_keys WHERE id = ?1", [id])?;
                }
                for key in &edit.put {
                    put(connection, key)?;
                }
                let sql = format!(
                    "INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('keys', '', ?1, ?1 + {UNTIL})"
                );
                connection.execute(&sql, [now])?;
                all(connection)
            });
            changed.await
        })
    }
}

fn put(connection: &Connection, key: &StoredKey) -> Result<(), Error> {
    let sql = "INSERT INTO gateway_keys (id, algorithm, material, sealed, publish_at, sign_from, verify_until) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE \
        SET material = excluded.material, sealed = excluded.sealed, verify_until = excluded.verify_until";
    let key = params![
        key.id,
        key.algorithm,
        key.material,
        key.sealed,
        key.publish_at,
        key.sign_from,
        key.verify_until
    ];
    connection.execute(sql, key)?;
    Ok(())
}

fn lifetime(connection: &Connection) -> Result<i64, Error> {
    let sql = "SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms'";
    let recorded: Option<i64> = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(recorded.unwrap_or(0))
}

fn all(connection: &Connection) -> Result<Vec<StoredKey>, Error> {
    let sql = "SELECT id, algorithm, material, sealed, publish_at, sign_from, verify_until \
        FROM gateway_keys ORDER BY publish_at, id";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map([], key)?.collect::<Result<_, _>>()?)
}

fn key(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    Ok(StoredKey {
        id: row.get(0)?,
        algorithm: row.get(1)?,
        material: row.get(2)?,
        sealed: row.get(3)?,
        publish_at: row.get(4)?,
        sign_from: row.get(5)?,
        verify_until: row.get(6)?,
    })
}
