//! Tickets, in SQLite.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Sqlite, select_user};
use crate::principal::{SessionId, UserId};
use crate::store::credentials::credential_of;
use crate::store::{Answer, Error, Ticket, Tickets, User};

impl Tickets for Sqlite {
    fn add_ticket(&self, ticket: Ticket) -> Answer<'_, ()> {
        Box::pin(async move {
            let added = self.writer.write(move |connection| {
                let sql = "INSERT INTO gateway_tickets \
                    (hash, user_id, credential, session_id, api_key, roles, not_after, expires_at) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
                Ok(connection.prepare_cached(sql)?.execute(params![
                    ticket.hash,
                    ticket.user.0,
                    ticket.credential.as_str(),
                    ticket.session.map(|session| session.0),
                    ticket.api_key,
                    ticket.roles,
                    ticket.not_after,
                    ticket.expires_at
                ])?)
            });
            added.await.map(|_| ())
        })
    }

    fn take_ticket(&self, hash: [u8; 32], now: i64) -> Answer<'_, Option<(Ticket, User)>> {
        Box::pin(async move {
            let taken = self.writer.write(move |connection| {
                let sql = "DELETE FROM gateway_tickets WHERE hash = ?1 \
                    RETURNING hash, user_id, credential, session_id, api_key, roles, not_after, expires_at";
                let taken = connection.prepare_cached(sql)?.query_row([hash], row).optional()?;
                let Some((word, mut ticket)) = taken else {
                    return Ok(None);
                };
                ticket.credential =
                    credential_of(&word).ok_or_else(|| Error::Refused(format!("no credential is called {word:?}")))?;
                if ticket.expires_at <= now || ticket.not_after <= now || !lives(connection, &ticket, now)? {
                    return Ok(None);
                }
                let owner = select_user(connection, ticket.user)?.filter(|owner| owner.active);
                Ok(owner.map(|owner| (ticket, owner)))
            });
            taken.await
        })
    }

    fn forget_tickets(&self, now: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let forgotten = self.writer.write(move |connection| {
                let sql = "DELETE FROM gateway_tickets WHERE hash IN \
                    (SELECT hash FROM gateway_tickets WHERE expires_at <= ?1 LIMIT 1000)";
                Ok(connection.prepare_cached(sql)?.execute([now])?)
            });
            Ok(u64::try_from(forgotten.await?).unwrap_or(u64::MAX))
        })
    }
}

/// Whether what the ticket was fetched with still holds.
fn lives(connection: &Connection, ticket: &Ticket, now: i64) -> Result<bool, Error> {
    let sql = "SELECT (?1 IS NULL OR EXISTS (SELECT 1 FROM gateway_sessions WHERE id = ?1 AND revoked_at IS NULL \
        AND expires_at > ?3 AND idle_until > ?3)) \
        AND (?2 IS NULL OR EXISTS (SELECT 1 FROM gateway_api_keys WHERE id = ?2 AND revoked_at IS NULL \
        AND (expires_at IS NULL OR expires_at > ?3)))";
    let session = ticket.session.map(|session| session.0);
    Ok(connection
        .prepare_cached(sql)?
        .query_row(params![session, ticket.api_key, now], |row| row.get(0))?)
}

fn row(row: &Row<'_>) -> rusqlite::Result<(String, Ticket)> {
    let ticket = Ticket {
        hash: row.get(0)?,
        user: UserId(row.get(1)?),
        // Read by the caller, who can say what is wrong with it.
        credential: crate::principal::CredentialKind::Ticket,
        session: row.get::<_, Option<[u8; 16]>>(3)?.map(SessionId),
        api_key: row.get(4)?,
        roles: row.get(5)?,
        not_after: row.get(6)?,
        expires_at: row.get(7)?,
    };
    Ok((row.get(2)?, ticket))
}
