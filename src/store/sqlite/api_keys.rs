//! API keys, in SQLite.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Sqlite, select_user};
use crate::principal::UserId;
use crate::store::{Answer, ApiKey, ApiKeys, NewApiKey, User};

const SELECT: &str = "SELECT id, user_id, name, hash, roles, created_at, expires_at, revoked_at FROM gateway_api_keys";

impl ApiKeys for Sqlite {
    fn create_api_key(&self, key: NewApiKey, at_most: u32, now: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let made = self.writer.write(move |connection| {
                let sql = "INSERT INTO gateway_api_keys (id, user_id, name, hash, roles, created_at, expires_at) \
                    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 FROM users WHERE id = ?2 AND is_active \
                    AND (SELECT count(*) FROM gateway_api_keys WHERE user_id = ?2 AND revoked_at IS NULL \
                    AND (expires_at IS NULL OR expires_at > ?6)) < ?8";
                Ok(connection.prepare_cached(sql)?.execute(params![
                    key.id,
                    key.user.0,
                    key.name,
                    key.hash,
                    key.roles,
                    now,
                    key.expires_at,
                    at_most
                ])?)
            });
            Ok(made.await? > 0)
        })
    }

    fn api_key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<(ApiKey, Option<User>)>> {
        let id = id.to_owned();
        Box::pin(async move {
            let found = self.readers.read(move |connection| {
                let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
                let Some(key) = statement.query_row([id], api_key).optional()? else {
                    return Ok(None);
                };
                let owner = select_user(connection, key.user)?;
                Ok(Some((key, owner)))
            });
            found.await
        })
    }

    fn api_keys_of(&self, user: UserId) -> Answer<'_, Vec<ApiKey>> {
        Box::pin(async move {
            let keys = self.readers.read(move |connection| {
                let mut statement = connection.prepare_cached(&format!(
                    "{SELECT} WHERE user_id = ?1 AND revoked_at IS NULL ORDER BY created_at DESC, id"
                ))?;
                Ok(statement.query_map([user.0], api_key)?.collect::<Result<_, _>>()?)
            });
            keys.await
        })
    }

    fn revoke_api_key<'a>(&'a self, id: &'a str, owner: Option<UserId>, now: i64) -> Answer<'a, bool> {
        let id = id.to_owned();
        Box::pin(async move {
            let revoked = self.writer.write(move |connection| {
                let sql = "UPDATE gateway_api_keys SET revoked_at = ?3 \
                    WHERE id = ?1 AND revoked_at IS NULL AND user_id = coalesce(?2, user_id)";
                let owner = owner.map(|owner| owner.0);
                Ok(connection.prepare_cached(sql)?.execute(params![id, owner, now])?)
            });
            Ok(revoked.await? > 0)
        })
    }
}

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: row.get(0)?,
        user: UserId(row.get(1)?),
        name: row.get(2)?,
        hash: row.get(3)?,
        roles: row.get(4)?,
        created_at: row.get(5)?,
        expires_at: row.get(6)?,
        revoked_at: row.get(7)?,
    })
}
