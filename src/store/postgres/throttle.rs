//! The login throttle's counters, in PostgreSQL.

use tokio_postgres::types::Type;

use super::link::Params;
use super::{Postgres, column, count};
use crate::store::{Answer, Failures, Throttle};

impl Throttle for Postgres {
    fn failures<'a>(&'a self, keys: &'a [[u8; 32]], since: i64) -> Answer<'a, Vec<Failures>> {
        Box::pin(async move {
            let sql = "SELECT count(f.at), min(f.at) FROM unnest($1) WITH ORDINALITY AS k(key, place) \
                LEFT JOIN gateway_failures f ON f.key = k.key AND f.at > $2 GROUP BY k.place ORDER BY k.place";
            let keys: Vec<&[u8]> = keys.iter().map(<[u8; 32]>::as_slice).collect();
            let params: Params<'_> = &[(&keys, Type::BYTEA_ARRAY), (&since, Type::INT8)];
            let rows = self.link.query(sql, params).await?;
            rows.iter()
                .map(|row| {
                    Ok(Failures {
                        count: count(row, 0)?,
                        oldest: column(row, 1)?,
                    })
                })
                .collect()
        })
    }

    fn add_failure<'a>(&'a self, keys: &'a [[u8; 32]], now: i64) -> Answer<'a, ()> {
        Box::pin(async move {
            let keys: Vec<&[u8]> = keys.iter().map(<[u8; 32]>::as_slice).collect();
            let work = self.link.begin().await?;
            let sql = "INSERT INTO gateway_failures (key, at) SELECT key, $2 FROM unnest($1) AS key";
            work.execute(sql, &[(&keys, Type::BYTEA_ARRAY), (&now, Type::INT8)])
                .await?;
            Ok(work.commit().await?)
        })
    }

    fn clear_failures(&self, key: [u8; 32]) -> Answer<'_, ()> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            work.execute(
                "DELETE FROM gateway_failures WHERE key = $1",
                &[(&key.as_slice(), Type::BYTEA)],
            )
            .await?;
            Ok(work.commit().await?)
        })
    }

    fn forget_failures(&self, before: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            let sql = "DELETE FROM gateway_failures WHERE ctid = ANY (ARRAY(SELECT ctid FROM gateway_failures \
                WHERE at < $1 LIMIT 1000))";
            let forgotten = work.execute(sql, &[(&before, Type::INT8)]).await?;
            work.commit().await?;
            Ok(forgotten)
        })
    }
}
