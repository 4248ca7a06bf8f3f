//! The change feed, in SQLite: one writer at a time, so the order of the rows is the order of the commits.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Sqlite, select_user};
use crate::principal::UserId;
use crate::store::feed::{self, Told};
use crate::store::{Answer, Ban, Change, Changes, Error, Horizon};

/// How often the file is looked at for another's commit.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Changes for Sqlite {
    fn all_changes(&self, now: i64) -> Answer<'_, (Vec<Change>, Horizon)> {
        Box::pin(async move { self.feed.read(move |connection| read(connection, None, now)).await })
    }

    fn changes_since(&self, horizon: Horizon, now: i64) -> Answer<'_, (Vec<Change>, Horizon)> {
        Box::pin(async move {
            self.feed
                .read(move |connection| read(connection, Some(horizon), now))
                .await
        })
    }

    fn notified(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            loop {
                // The number changes with every commit of another connection, in this process or in any other. The feed
                // has one connection, so there is one number.
                let version = self.feed.read(|connection| {
                    Ok(connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0))?)
                });
                if let Ok(version) = version.await
                    && self.seen.swap(version, Ordering::Relaxed) != version
                {
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
    }

    fn ban<'a>(&'a self, ban: &'a Ban, now: i64, until: i64) -> Answer<'a, ()> {
        let (kind, subject) = (ban.kind(), ban.subject());
        Box::pin(async move {
            let written = self.writer.write(move |connection| {
                let sql = "INSERT INTO gateway_changes (kind, subject, at, until) VALUES (?1, ?2, ?3, ?4)";
                Ok(connection
                    .prepare_cached(sql)?
                    .execute(params![kind, subject, now, until])?)
            });
            written.await.map(|_| ())
        })
    }

    fn forget_changes(&self, now: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let forgotten = self.writer.write(move |connection| {
                let sql = "DELETE FROM gateway_changes WHERE seq IN \
                    (SELECT seq FROM gateway_changes WHERE until <= ?1 LIMIT 1000)";
                Ok(connection.prepare_cached(sql)?.execute([now])?)
            });
            Ok(u64::try_from(forgotten.await?).unwrap_or(u64::MAX))
        })
    }
}

fn read(connection: &Connection, since: Option<Horizon>, now: i64) -> Result<(Vec<Change>, Horizon), Error> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'gateway_changes'";
    let newest = connection
        .prepare_cached(sql)?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    // A horizon ahead of the file: a backup was put in its place.
    let since = since.filter(|since| since.0 <= newest);
    let (after, alive) = since.map_or((-1, now), |horizon| (horizon.0, i64::MIN));
    let sql = "SELECT kind, subject, until, at FROM gateway_changes WHERE seq > ?1 AND until > ?2 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![after, alive])?;
    let mut told = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, subject): (String, String) = (row.get(0)?, row.get(1)?);
        told.extend(Told::new(&kind, &subject, row.get(3)?, row.get(2)?));
    }
    let gathered = feed::gather(told);
    let mut states = Vec::new();
    for id in gathered.user_ids() {
        states.extend(select_user(connection, UserId(id))?);
    }
    Ok((gathered.with_states(states), Horizon(newest)))
}
