//! API keys, in PostgreSQL.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::link::Params;
use super::{Postgres, SELECT_USER, bytes, column, user};
use crate::principal::UserId;
use crate::store::{Answer, ApiKey, ApiKeys, Error, NewApiKey, User};

const SELECT: &str = "SELECT id, user_id, name, hash, roles, created_at, expires_at, revoked_at FROM gateway_api_keys";

impl ApiKeys for Postgres {
    fn create_api_key(&self, key: NewApiKey, at_most: u32, now: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            // The owner's row is locked: of several simultaneous calls each counts what the others made.
            let owner = "SELECT FROM users WHERE id = $1 AND is_active FOR UPDATE";
            if work.query(owner, &[(&key.user.0, Type::INT8)]).await?.is_empty() {
                work.rollback().await?;
                return Ok(false);
            }
            let sql = "INSERT INTO gateway_api_keys (id, user_id, name, hash, roles, created_at, expires_at) \
                SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT count(*) FROM gateway_api_keys WHERE user_id = $2 \
                AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $6)) < $8";
            let params: Params<'_> = &[
                (&key.id, Type::TEXT),
                (&key.user.0, Type::INT8),
                (&key.name, Type::TEXT),
                (&key.hash.as_slice(), Type::BYTEA),
                (&key.roles, Type::TEXT),
                (&now, Type::INT8),
                (&key.expires_at, Type::INT8),
                (&i64::from(at_most), Type::INT8),
            ];
            let made = work.execute(sql, params).await?;
            work.commit().await?;
            Ok(made > 0)
        })
    }

    fn api_key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<(ApiKey, Option<User>)>> {
        Box::pin(async move {
            // One snapshot of both rows: a key and an owner of two moments could be a pair that never was.
            let work = self.link.begin().await?;
            let found = work
                .query(&format!("{SELECT} WHERE id = $1"), &[(&id, Type::TEXT)])
                .await?;
            let Some(key) = found.first().map(api_key).transpose()? else {
                work.rollback().await?;
                return Ok(None);
            };
            let owner = work
                .query(&format!("{SELECT_USER} WHERE u.id = $1"), &[(&key.user.0, Type::INT8)])
                .await?;
            work.commit().await?;
            Ok(Some((key, owner.first().map(user).transpose()?)))
        })
    }

    fn api_keys_of(&self, user: UserId) -> Answer<'_, Vec<ApiKey>> {
        Box::pin(async move {
            let sql = format!("{SELECT} WHERE user_id = $1 AND revoked_at IS NULL ORDER BY created_at DESC, id");
            let rows = self.link.query(&sql, &[(&user.0, Type::INT8)]).await?;
            rows.iter().map(api_key).collect()
        })
    }

    fn revoke_api_key<'a>(&'a self, id: &'a str, owner: Option<UserId>, now: i64) -> Answer<'a, bool> {
        Box::pin(async move {
            let sql = "UPDATE gateway_api_keys SET revoked_at = $3 \
                WHERE id = $1 AND revoked_at IS NULL AND user_id = COALESCE($2, user_id)";
            let params: Params<'_> = &[
                (&id, Type::TEXT),
                (&owner.map(|owner| owner.0), Type::INT8),
                (&now, Type::INT8),
            ];
            let work = self.link.begin().await?;
            let revoked = work.execute(sql, params).await?;
            work.commit().await?;
            Ok(revoked > 0)
        })
    }
}

fn api_key(row: &Row) -> Result<ApiKey, Error> {
    Ok(ApiKey {
        id: column(row, 0)?,
        user: UserId(column(row, 1)?),
        name: column(row, 2)?,
        hash: bytes(row, 3)?,
        roles: column(row, 4)?,
        created_at: column(row, 5)?,
        expires_at: column(row, 6)?,
        revoked_at: column(row, 7)?,
    })
}
