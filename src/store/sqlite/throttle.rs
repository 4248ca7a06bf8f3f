//! The login throttle's counters, in SQLite.

use rusqlite::params;

use super::Sqlite;
use crate::store::{Answer, Failures, Throttle};

impl Throttle for Sqlite {
    fn failures<'a>(&'a self, keys: &'a [[u8; 32]], since: i64) -> Answer<'a, Vec<Failures>> {
        Box::pin(async move {
            let keys = keys.to_owned();
            let counted = self.readers.read(move |connection| {
                let sql = "SELECT count(*), min(at) FROM gateway_failures WHERE key = ?1 AND at > ?2";
                let mut statement = connection.prepare_cached(sql)?;
                let mut count = |key: &[u8; 32]| {
                    let row =
                        statement.query_row(params![key, since], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
                    Ok(Failures {
                        count: u64::try_from(row.0).unwrap_or(0),
                        oldest: row.1,
                    })
                };
                keys.iter().map(&mut count).collect()
            });
            counted.await
        })
    }

    fn add_failure<'a>(&'a self, keys: &'a [[u8; 32]], now: i64) -> Answer<'a, ()> {
        Box::pin(async move {
            let keys = keys.to_owned();
            let added = self.writer.write(move |connection| {
                let mut statement =
                    connection.prepare_cached("INSERT INTO gateway_failures (key, at) VALUES (?1, ?2)")?;
                for key in keys {
                    statement.execute(params![key, now])?;
                }
                Ok(())
            });
            added.await
        })
    }

    fn clear_failures(&self, key: [u8; 32]) -> Answer<'_, ()> {
        Box::pin(async move {
            let cleared = self.writer.write(move |connection| {
                connection
                    .prepare_cached("DELETE FROM gateway_failures WHERE key = ?1")?
                    .execute([key])?;
                Ok(())
            });
            cleared.await
        })
    }

    fn forget_failures(&self, before: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let forgotten = self.writer.write(move |connection| {
                let sql = "DELETE FROM gateway_failures WHERE rowid IN \
                    (SELECT rowid FROM gateway_failures WHERE at < ?1 LIMIT 1000)";
                Ok(connection.prepare_cached(sql)?.execute([before])?)
            });
            Ok(u64::try_from(forgotten.await?).unwrap_or(u64::MAX))
        })
    }
}
