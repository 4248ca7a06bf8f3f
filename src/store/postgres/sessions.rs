//! Sessions, in PostgreSQL.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::error::Failure;
use super::link::{Params, Work};
use super::{Postgres, SELECT_USER, bytes, column, some_bytes, user};
use crate::principal::{SessionId, UserId};
use crate::store::{Answer, Error, NewSession, Rotation, Session, SessionKind, Sessions, User};

const SELECT: &str = "SELECT id, user_id, generation, family_hash, current_hash, previous_hash, salt, previous_salt, \
    rotated_at, created_at, expires_at, idle_until, revoked_at, kind, client, address, seen_at FROM gateway_sessions";

impl Sessions for Postgres {
    fn open_session(&self, session: NewSession, now: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            // The row is locked: a change of the password or a deactivation comes before this, and no session is made,
            // or after it, and ends the session.
            let sql = "WITH allowed AS (SELECT id FROM users WHERE id = $2 AND password = $9 AND is_active FOR SHARE) \
                INSERT INTO gateway_sessions \
                (id, user_id, family_hash, current_hash, salt, created_at, expires_at, idle_until, \
                kind, client, address, seen_at) \
                SELECT $1, $2, $3, $4, $5, $6, $7, $8, $10, $11, $12, $6 FROM allowed";
            let params: Params<'_> = &[
                (&session.id.0.as_slice(), Type::BYTEA),
                (&session.user.0, Type::INT8),
                (&session.family_hash.as_slice(), Type::BYTEA),
                (&session.current_hash.as_slice(), Type::BYTEA),
                (&session.salt.as_slice(), Type::BYTEA),
                (&now, Type::INT8),
                (&session.expires_at, Type::INT8),
                (&session.idle_until, Type::INT8),
                (&session.password_was, Type::TEXT),
                (&session.kind.as_str(), Type::TEXT),
                (&session.client, Type::TEXT),
                (&session.address, Type::TEXT),
            ];
            let work = self.link.begin().await?;
            let opened = work.execute(sql, params).await?;
            work.commit().await?;
            Ok(opened > 0)
        })
    }

    fn session(&self, id: SessionId) -> Answer<'_, Option<Session>> {
        Box::pin(async move {
            let sql = format!("{SELECT} WHERE id = $1");
            self.link
                .query(&sql, &[(&id.0.as_slice(), Type::BYTEA)])
                .await?
                .first()
                .map(session)
                .transpose()
        })
    }

    fn rotate_session(&self, rotation: Rotation, now: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let sql = "UPDATE gateway_sessions SET generation = generation + 1, \
                previous_hash = current_hash, current_hash = $4, previous_salt = salt, salt = $5, \
                rotated_at = $6, seen_at = $6, idle_until = $7 \
                WHERE id = $1 AND current_hash = $2 AND generation = $3 AND revoked_at IS NULL \
                AND expires_at > $6 AND idle_until > $6";
            let params: Params<'_> = &[
                (&rotation.id.0.as_slice(), Type::BYTEA),
                (&rotation.presented_hash.as_slice(), Type::BYTEA),
                (&i64::from(rotation.generation), Type::INT8),
                (&rotation.next_hash.as_slice(), Type::BYTEA),
                (&rotation.next_salt.as_slice(), Type::BYTEA),
                (&now, Type::INT8),
                (&rotation.idle_until, Type::INT8),
            ];
            let work = self.link.begin().await?;
            let rotated = work.execute(sql, params).await?;
            work.commit().await?;
            Ok(rotated > 0)
        })
    }

    fn end_session(&self, id: SessionId, now: i64, until: i64) -> Answer<'_, bool> {
        Box::pin(async move {
            let sql = "WITH ended AS (UPDATE gateway_sessions SET revoked_at = $2 \
                WHERE id = $1 AND revoked_at IS NULL RETURNING id) \
                INSERT INTO gateway_changes (kind, subject, at, until) \
                SELECT 'session', encode(id, 'hex'), $2, $3 FROM ended \
                RETURNING pg_notify('gateway_changes', '')::text";
            let params: Params<'_> = &[
                (&id.0.as_slice(), Type::BYTEA),
                (&now, Type::INT8),
                (&until, Type::INT8),
            ];
            let work = self.link.begin().await?;
            let ended = work.execute(sql, params).await?;
            work.commit().await?;
            Ok(ended > 0)
        })
    }

    fn renew_session<'a>(
        &'a self,
        id: SessionId,
        now: i64,
        idle_until: i64,
        address: Option<&'a str>,
    ) -> Answer<'a, Option<(Session, User)>> {
        Box::pin(async move {
            let sql = "UPDATE gateway_sessions s SET seen_at = $2, idle_until = GREATEST(s.idle_until, $3), \
                address = COALESCE($4, s.address) FROM users u WHERE s.id = $1 AND s.revoked_at IS NULL \
                AND s.expires_at > $2 AND s.idle_until > $2 AND u.id = s.user_id AND u.is_active";
            let params: Params<'_> = &[
                (&id.0.as_slice(), Type::BYTEA),
                (&now, Type::INT8),
                (&idle_until, Type::INT8),
                (&address, Type::TEXT),
            ];
            let work = self.link.begin().await?;
            if work.execute(sql, params).await? == 0 {
                work.rollback().await?;
                return Ok(None);
            }
            let id = id.0.as_slice();
            let row = work
                .query(&format!("{SELECT} WHERE id = $1"), &[(&id, Type::BYTEA)])
                .await?;
            let owner = format!("{SELECT_USER} WHERE u.id = (SELECT user_id FROM gateway_sessions WHERE id = $1)");
            let owner = work.query(&owner, &[(&id, Type::BYTEA)]).await?;
            work.commit().await?;
            match (row.first(), owner.first()) {
                (Some(row), Some(owner)) => Ok(Some((session(row)?, user(owner)?))),
                (None, _) | (_, None) => Ok(None),
            }
        })
    }

    fn end_sessions_of(&self, user: UserId, keep: Option<SessionId>, now: i64, until: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let sql = "WITH ended AS (UPDATE gateway_sessions SET revoked_at = $3 \
                WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL RETURNING id) \
                INSERT INTO gateway_changes (kind, subject, at, until) \
                SELECT 'session', encode(id, 'hex'), $3, $4 FROM ended \
                RETURNING pg_notify('gateway_changes', '')::text";
            let params: Params<'_> = &[
                (&user.0, Type::INT8),
                (&keep.as_ref().map(|keep| keep.0.as_slice()), Type::BYTEA),
                (&now, Type::INT8),
                (&until, Type::INT8),
            ];
            let work = self.link.begin().await?;
            let ended = work.execute(sql, params).await?;
            work.commit().await?;
            Ok(ended)
        })
    }

    fn sessions_after(&self, after: Option<SessionId>, limit: u32, now: i64) -> Answer<'_, Vec<Session>> {
        Box::pin(async move {
            let sql = format!(
                "{SELECT} WHERE id > $1 AND revoked_at IS NULL AND expires_at > $2 AND idle_until > $2 \
                ORDER BY id LIMIT $3"
            );
            let after = after.map_or(Vec::new(), |after| after.0.to_vec());
            let params: Params<'_> = &[
                (&after, Type::BYTEA),
                (&now, Type::INT8),
                (&i64::from(limit), Type::INT8),
            ];
            self.link.query(&sql, params).await?.iter().map(session).collect()
        })
    }

    fn sessions_of(&self, user: UserId, now: i64) -> Answer<'_, Vec<Session>> {
        Box::pin(async move {
            let sql = format!(
                "{SELECT} WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND idle_until > $2 \
                ORDER BY created_at DESC, id"
            );
            let params: Params<'_> = &[(&user.0, Type::INT8), (&now, Type::INT8)];
            self.link.query(&sql, params).await?.iter().map(session).collect()
        })
    }

    fn forget_sessions(&self, before: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let sql = "DELETE FROM gateway_sessions WHERE id IN (SELECT id FROM gateway_sessions \
                WHERE LEAST(expires_at, idle_until, revoked_at) < $1 LIMIT 1000 FOR UPDATE SKIP LOCKED)";
            let work = self.link.begin().await?;
            let forgotten = work.execute(sql, &[(&before, Type::INT8)]).await?;
            work.commit().await?;
            Ok(forgotten)
        })
    }
}

/// Ends the living sessions of a user but for one, and tells the feed.
pub(super) async fn end_others(work: &Work<'_>, user: UserId, keep: SessionId, now: i64) -> Result<(), Failure> {
    let sql = "WITH ended AS (UPDATE gateway_sessions SET revoked_at = $3 \
        WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL RETURNING id) \
        INSERT INTO gateway_changes (kind, subject, at, until) SELECT 'session', encode(id, 'hex'), $3, \
        $3 + 60000 + (SELECT max(value) FROM gateway_settings WHERE name = 'token_lifetime_ms') FROM ended \
        RETURNING pg_notify('gateway_changes', '')::text";
    work.execute(
        sql,
        &[
            (&user.0, Type::INT8),
            (&keep.0.as_slice(), Type::BYTEA),
            (&now, Type::INT8),
        ],
    )
    .await?;
    Ok(())
}

fn session(row: &Row) -> Result<Session, Error> {
    Ok(Session {
        id: SessionId(bytes(row, 0)?),
        user: UserId(column(row, 1)?),
        generation: u32::try_from(column::<i64>(row, 2)?).map_err(|error| Error::Refused(error.to_string()))?,
        family_hash: bytes(row, 3)?,
        current_hash: bytes(row, 4)?,
        previous_hash: some_bytes(row, 5)?,
        salt: bytes(row, 6)?,
        previous_salt: some_bytes(row, 7)?,
        rotated_at: column(row, 8)?,
        created_at: column(row, 9)?,
        expires_at: column(row, 10)?,
        idle_until: column(row, 11)?,
        revoked_at: column(row, 12)?,
        kind: SessionKind::of(column(row, 13)?),
        client: column(row, 14)?,
        address: column(row, 15)?,
        seen_at: column::<Option<i64>>(row, 16)?.unwrap_or(column(row, 9)?),
    })
}
