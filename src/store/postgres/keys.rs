//! Keys, in PostgreSQL.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::link::Params;
use super::{LOCK_KEYS, Postgres, TAKE_LOCK, column};
use crate::store::{Answer, Error, KeyPlan, Keys, StoredKey};

const SELECT: &str = "SELECT id, algorithm, material, sealed, publish_at, sign_from, verify_until \
    FROM gateway_keys ORDER BY publish_at, id";

impl Keys for Postgres {
    fn keys(&self) -> Answer<'_, Vec<StoredKey>> {
        Box::pin(async move { self.link.query(SELECT, &[]).await?.iter().map(key).collect() })
    }

    fn change_keys(&self, plan: KeyPlan, now: i64) -> Answer<'_, Vec<StoredKey>> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            work.query(TAKE_LOCK, &[(&LOCK_KEYS, Type::INT8)]).await?;
            let stored = work.query(SELECT, &[]).await?;
            let stored: Vec<StoredKey> = stored.iter().map(key).collect::<Result<_, _>>()?;
            let edit = plan(&stored, lifetime(&work.query(LIFETIME, &[]).await?)?);
            if edit.is_empty() {
                work.commit().await?;
                return Ok(stored);
            }
            for id in &edit.remove {
                work.execute("DELETE FROM gateway_keys WHERE id = $1", &[(id, Type::TEXT)])
                    .await?;
            }
            for key in &edit.put {
                let params: Params<'_> = &[
                    (&key.id, Type::TEXT),
                    (&key.algorithm, Type::TEXT),
                    (&key.material, Type::BYTEA),
                    (&key.sealed, Type::BOOL),
                    (&key.publish_at, Type::INT8),
                    (&key.sign_from, Type::INT8),
                    (&key.verify_until, Type::INT8),
                ];
                work.execute(PUT, params).await?;
            }
            work.execute(TELL, &[(&now, Type::INT8)]).await?;
            let stored = work.query(SELECT, &[]).await?;
            work.commit().await?;
            stored.iter().map(self::key).collect()
        })
    }
}

const PUT: &str = "INSERT INTO gateway_keys (id, algorithm, material, sealed, publish_at, sign_from, verify_until) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE \
    SET material = EXCLUDED.material, sealed = EXCLUDED.sealed, verify_until = EXCLUDED.verify_until";

const LIFETIME: &str = "SELECT max(value)::bigint FROM gateway_settings WHERE name = 'token_lifetime_ms'";

/// Tells everybody that keys changed.
const TELL: &str = "WITH told AS (INSERT INTO gateway_changes (kind, subject, at, until) \
    SELECT 'keys', '', $1, $1 + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms') \
    RETURNING seq) SELECT pg_notify('gateway_changes', '')::text FROM told";

fn lifetime(rows: &[Row]) -> Result<i64, Error> {
    let recorded = rows.first().map(|row| column::<Option<i64>>(row, 0)).transpose()?;
    Ok(recorded.flatten().unwrap_or(0))
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
