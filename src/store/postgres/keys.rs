//! Signing keys, in PostgreSQL.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::link::Params;
use super::{LOCK_KEYS, Postgres, TAKE_LOCK, column};
use crate::store::{Answer, Error, Keys, StoredKey};

const SELECT: &str = "SELECT id, algorithm, material, sealed, publish_at, sign_from, verify_until \
    FROM gateway_keys ORDER BY publish_at, id";

impl Keys for Postgres {
    fn keys(&self) -> Answer<'_, Vec<StoredKey>> {
        Box::pin(async move { self.link.query(SELECT, &[]).await?.iter().map(key).collect() })
    }

    fn ensure_key(&self, first: StoredKey, now: i64) -> Answer<'_, Vec<StoredKey>> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            work.query(TAKE_LOCK, &[(&LOCK_KEYS, Type::INT8)]).await?;
            let sql = "WITH made AS (INSERT INTO gateway_keys \
                (id, algorithm, material, sealed, publish_at, sign_from, verify_until) \
                SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT FROM gateway_keys \
                WHERE algorithm = $2 AND (verify_until IS NULL OR verify_until > $8)) RETURNING id) \
                INSERT INTO gateway_changes (kind, subject, at, until) \
                SELECT 'keys', id, $8, $8 + 60000 + \
                (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms') FROM made \
                RETURNING pg_notify('gateway_changes', '')::text";
            let params: Params<'_> = &[
                (&first.id, Type::TEXT),
                (&first.algorithm, Type::TEXT),
                (&first.material, Type::BYTEA),
                (&first.sealed, Type::BOOL),
                (&first.publish_at, Type::INT8),
                (&first.sign_from, Type::INT8),
                (&first.verify_until, Type::INT8),
                (&now, Type::INT8),
            ];
            work.execute(sql, params).await?;
            let stored = work.query(SELECT, &[]).await?;
            work.commit().await?;
            stored.iter().map(key).collect()
        })
    }
}

fn key(row: &Row) -> Result<StoredKey, Error> {
    Ok(StoredKey {
        id: column(row, 0)?,
        algorithm: column(row, 1)?,
        material: column(row, 2)?,
        sealed: column(row, 3)?,
        publish_at: column(row, 4)?,
        sign_from: column(row, 5)?,
        verify_until: column(row, 6)?,
    })
}
