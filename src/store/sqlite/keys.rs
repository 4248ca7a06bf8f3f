//! Signing keys, in SQLite.

use rusqlite::{Connection, Row, params};

use super::{Sqlite, UNTIL};
use crate::store::{Answer, Error, Keys, StoredKey};

impl Keys for Sqlite {
    fn keys(&self) -> Answer<'_, Vec<StoredKey>> {
        Box::pin(async move { self.readers.read(|connection| all(connection)).await })
    }

    fn ensure_key(&self, first: StoredKey, now: i64) -> Answer<'_, Vec<StoredKey>> {
        Box::pin(async move {
            let stored = self.writer.write(move |connection| {
                let sql = "SELECT EXISTS (SELECT 1 FROM gateway_keys \
                    WHERE algorithm = ?1 AND (verify_until IS NULL OR verify_until > ?2))";
                let found: bool = connection.query_row(sql, params![first.algorithm, now], |row| row.get(0))?;
                if !found {
                    insert(connection, &first, now)?;
                }
                all(connection)
            });
            stored.await
        })
    }
}

fn insert(connection: &Connection, key: &StoredKey, now: i64) -> Result<(), Error> {
    let sql = "INSERT INTO gateway_keys (id, algorithm, material, sealed, publish_at, sign_from, verify_until) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.execute(
        sql,
        params![
            key.id,
            key.algorithm,
            key.material,
            key.sealed,
            key.publish_at,
            key.sign_from,
            key.verify_until
        ],
    )?;
    let sql = format!("INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('keys', ?1, ?2, ?2 + {UNTIL})");
    connection.execute(&sql, params![key.id, now])?;
    Ok(())
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
