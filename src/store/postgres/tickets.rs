//! Tickets, in PostgreSQL.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::link::Params;
use super::{Postgres, SELECT_USER, bytes, column, some_bytes, user};
use crate::principal::{SessionId, UserId};
use crate::store::credentials::credential_of;
use crate::store::{Answer, Error, Ticket, Tickets, User};

impl Tickets for Postgres {
    fn add_ticket(&self, ticket: Ticket) -> Answer<'_, ()> {
        Box::pin(async move {
            let sql = "INSERT INTO gateway_tickets \
                (hash, user_id, credential, session_id, api_key, roles, not_after, expires_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
            let params: Params<'_> = &[
                (&ticket.hash.as_slice(), Type::BYTEA),
                (&ticket.user.0, Type::INT8),
                (&ticket.credential.as_str(), Type::TEXT),
                (
                    &ticket.session.as_ref().map(|session| session.0.as_slice()),
                    Type::BYTEA,
                ),
                (&ticket.api_key, Type::TEXT),
                (&ticket.roles, Type::TEXT),
                (&ticket.not_after, Type::INT8),
                (&ticket.expires_at, Type::INT8),
            ];
            let work = self.link.begin().await?;
            work.execute(sql, params).await?;
            work.commit().await?;
            Ok(())
        })
    }

    fn take_ticket(&self, hash: [u8; 32], now: i64) -> Answer<'_, Option<(Ticket, User)>> {
        Box::pin(async move {
            let work = self.link.begin().await?;
            let sql = "DELETE FROM gateway_tickets WHERE hash = $1 \
                RETURNING hash, user_id, credential, session_id, api_key, roles, not_after, expires_at";
            let taken = work.query(sql, &[(&hash.as_slice(), Type::BYTEA)]).await?;
            let Some(ticket) = taken.first().map(ticket).transpose()? else {
                work.rollback().await?;
                return Ok(None);
            };
            let sql = format!(
                "{SELECT_USER} WHERE u.id = $1 AND u.is_active \
                AND ($2::bytea IS NULL OR EXISTS (SELECT FROM gateway_sessions WHERE id = $2 AND revoked_at IS NULL \
                AND expires_at > $4 AND idle_until > $4)) \
                AND ($3::text IS NULL OR EXISTS (SELECT FROM gateway_api_keys WHERE id = $3 AND revoked_at IS NULL \
                AND (expires_at IS NULL OR expires_at > $4)))"
            );
            let params: Params<'_> = &[
                (&ticket.user.0, Type::INT8),
                (
                    &ticket.session.as_ref().map(|session| session.0.as_slice()),
                    Type::BYTEA,
                ),
                (&ticket.api_key, Type::TEXT),
                (&now, Type::INT8),
            ];
            let owner = work.query(&sql, params).await?;
            work.commit().await?;
            let alive = ticket.expires_at > now && ticket.not_after > now;
            let owner = owner.first().filter(|_| alive).map(user).transpose()?;
            Ok(owner.map(|owner| (ticket, owner)))
        })
    }

    fn forget_tickets(&self, now: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let sql = "DELETE FROM gateway_tickets WHERE hash IN (SELECT hash FROM gateway_tickets \
                WHERE expires_at <= $1 LIMIT 1000 FOR UPDATE SKIP LOCKED)";
            let work = self.link.begin().await?;
            let forgotten = work.execute(sql, &[(&now, Type::INT8)]).await?;
            work.commit().await?;
            Ok(forgotten)
        })
    }
}

fn ticket(row: &Row) -> Result<Ticket, Error> {
    let word: &str = column(row, 2)?;
    Ok(Ticket {
        hash: bytes(row, 0)?,
        user: UserId(column(row, 1)?),
        credential: credential_of(word).ok_or_else(|| Error::Refused(format!("no credential is called {word:?}")))?,
        session: some_bytes(row, 3)?.map(SessionId),
        api_key: column(row, 4)?,
        roles: column(row, 5)?,
        not_after: column(row, 6)?,
        expires_at: column(row, 7)?,
    })
}
