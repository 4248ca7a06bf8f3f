//! Sessions, in SQLite.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Sqlite, select_user};
use crate::principal::{SessionId, UserId};
use crate::store::{Answer, NewSession, Rotation, Session, SessionKind, Sessions, User};

const SELECT: &str = "SELECT id, user_id, generation, family_hash, current_hash, previous_hash, salt, previous_salt, \
    rotated_at, created_at, expires_at, idle_until, revoked_at, kind, client, address, seen_at FROM gateway_sessions";

impl Sessions for Sqlite {
    fn open_session(&self, session: NewSession, now: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let opened = self.writer.write(move |connection| {
                let sql = "INSERT INTO gateway_sessions \
                    (id, user_id, family_hash, current_hash, salt, created_at, expires_at, idle_until, \
                    kind, client, address, seen_at) \
                    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?10, ?11, ?12, ?6 FROM users \
                    WHERE id = ?2 AND password = ?9 AND is_active";
                Ok(connection.prepare_cached(sql)?.execute(params![
                    session.id.0,
                    session.user.0,
                    session.family_hash,
                    session.current_hash,
                    session.salt,
                    now,
                    session.expires_at,
                    session.idle_until,
                    session.password_was,
                    session.kind.as_str(),
                    session.client,
                    session.address
                ])?)
            });
            Ok(opened.await? > 0)
        })
    }

    fn session(&self, id: SessionId) -> Answer<'_, Option<Session>> {
        Box::pin(async move {
            let found = self.readers.read(move |connection| {
                let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
                Ok(statement.query_row([id.0], session).optional()?)
            });
            found.await
        })
    }

    fn rotate_session(&self, rotation: Rotation, now: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let rotated = self.writer.write(move |connection| {
                let sql = "UPDATE gateway_sessions SET generation = generation + 1, \
                    previous_hash = current_hash, current_hash = ?4, previous_salt = salt, salt = ?5, \
                    rotated_at = ?6, seen_at = ?6, idle_until = ?7 \
                    WHERE id = ?1 AND current_hash = ?2 AND generation = ?3 AND revoked_at IS NULL \
                    AND expires_at > ?6 AND idle_until > ?6";
                Ok(connection.prepare_cached(sql)?.execute(params![
                    rotation.id.0,
                    rotation.presented_hash,
                    rotation.generation,
                    rotation.next_hash,
                    rotation.next_salt,
                    now,
                    rotation.idle_until
                ])?)
            });
            Ok(rotated.await? > 0)
        })
    }

    fn end_session(&self, id: SessionId, now: i64, until: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let ended = self.writer.write(move |connection| {
                let sql = "UPDATE gateway_sessions SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
                let ended = connection.prepare_cached(sql)?.execute(params![id.0, now])?;
                if ended > 0 {
                    let sql = "INSERT INTO gateway_changes (kind, subject, at, until) \
                        VALUES ('session', lower(hex(?1)), ?2, ?3)";
                    connection.prepare_cached(sql)?.execute(params![id.0, now, until])?;
                }
                Ok(ended)
            });
            Ok(ended.await? > 0)
        })
    }

    fn renew_session<'a>(
        &'a self,
        id: SessionId,
        now: i64,
        idle_until: i64,
        address: Option<&'a str>,
    ) -> Answer<'a, Option<(Session, User)>> {
        let address = address.map(str::to_owned);
        Box::pin(async move {
            let renewed = self.writer.write(move |connection| {
                let sql = "UPDATE gateway_sessions SET seen_at = ?2, idle_until = max(idle_until, ?3), \
                    address = coalesce(?4, address) WHERE id = ?1 AND revoked_at IS NULL \
                    AND expires_at > ?2 AND idle_until > ?2 \
                    AND EXISTS (SELECT 1 FROM users u WHERE u.id = user_id AND u.is_active)";
                let params = params![id.0, now, idle_until, address];
                if connection.prepare_cached(sql)?.execute(params)? == 0 {
                    return Ok(None);
                }
                let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
                let Some(session) = statement.query_row([id.0], session).optional()? else {
                    return Ok(None);
                };
                let user = select_user(connection, session.user)?;
                Ok(user.map(|user| (session, user)))
            });
            renewed.await
        })
    }

    fn end_sessions_of(&self, user: UserId, keep: Option<SessionId>, now: i64, until: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let keep = keep.map(|keep| keep.0);
            let ended = self.writer.write(move |connection| {
                let sql = "INSERT INTO gateway_changes (kind, subject, at, until) \
                    SELECT 'session', lower(hex(id)), ?3, ?4 FROM gateway_sessions \
                    WHERE user_id = ?1 AND id IS NOT ?2 AND revoked_at IS NULL";
                connection
                    .prepare_cached(sql)?
                    .execute(params![user.0, keep, now, until])?;
                let sql = "UPDATE gateway_sessions SET revoked_at = ?3 \
                    WHERE user_id = ?1 AND id IS NOT ?2 AND revoked_at IS NULL";
                Ok(connection.prepare_cached(sql)?.execute(params![user.0, keep, now])?)
            });
            Ok(u64::try_from(ended.await?).unwrap_or(u64::MAX))
        })
    }

    fn sessions_after(&self, after: Option<SessionId>, limit: u32, now: i64) -> Answer<'_, Vec<Session>> {
        Box::pin(async move {
            let after = after.map_or(Vec::new(), |after| after.0.to_vec());
            let sessions = self.readers.read(move |connection| {
                let mut statement = connection.prepare_cached(&format!(
                    "{SELECT} WHERE id > ?1 AND revoked_at IS NULL AND expires_at > ?2 AND idle_until > ?2 \
                    ORDER BY id LIMIT ?3"
                ))?;
                let rows = statement.query_map(params![after, now, limit], session)?;
                Ok(rows.collect::<Result<_, _>>()?)
            });
            sessions.await
        })
    }

    fn sessions_of(&self, user: UserId, now: i64) -> Answer<'_, Vec<Session>> {
        Box::pin(async move {
            let sessions = self.readers.read(move |connection| {
                let mut statement = connection.prepare_cached(&format!(
                    "{SELECT} WHERE user_id = ?1 AND revoked_at IS NULL AND expires_at > ?2 AND idle_until > ?2 \
                    ORDER BY created_at DESC, id"
                ))?;
                Ok(statement
                    .query_map(params![user.0, now], session)?
                    .collect::<Result<_, _>>()?)
            });
            sessions.await
        })
    }

    fn forget_sessions(&self, before: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let forgotten = self.writer.write(move |connection| {
                let sql = "DELETE FROM gateway_sessions WHERE id IN (SELECT id FROM gateway_sessions \
                    WHERE min(expires_at, idle_until, coalesce(revoked_at, expires_at)) < ?1 LIMIT 1000)";
                Ok(connection.prepare_cached(sql)?.execute([before])?)
            });
            Ok(u64::try_from(forgotten.await?).unwrap_or(u64::MAX))
        })
    }
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: SessionId(row.get(0)?),
        user: UserId(row.get(1)?),
        generation: row.get(2)?,
        family_hash: row.get(3)?,
        current_hash: row.get(4)?,
        previous_hash: row.get(5)?,
        salt: row.get(6)?,
        previous_salt: row.get(7)?,
        rotated_at: row.get(8)?,
        created_at: row.get(9)?,
        expires_at: row.get(10)?,
        idle_until: row.get(11)?,
        revoked_at: row.get(12)?,
        kind: SessionKind::of(&row.get::<_, String>(13)?),
        client: row.get(14)?,
        address: row.get(15)?,
        seen_at: row.get::<_, Option<i64>>(16)?.unwrap_or(row.get(9)?),
    })
}
