//! Which sessions and API keys live, in SQLite.

use rusqlite::{OptionalExtension as _, params};

use super::Sqlite;
use crate::store::{Answer, Lasting, Life, Lives};

const SESSION: &str = "SELECT s.expires_at, min(s.expires_at, s.idle_until) FROM gateway_sessions s \
    JOIN users u ON u.id = s.user_id WHERE s.id = ?1 AND s.revoked_at IS NULL AND s.expires_at > ?2 \
    AND s.idle_until > ?2 AND u.is_active";
const API_KEY: &str = "SELECT coalesce(k.expires_at, 9223372036854775807), coalesce(k.expires_at, 9223372036854775807) \
    FROM gateway_api_keys k JOIN users u ON u.id = k.user_id WHERE k.id = ?1 AND k.revoked_at IS NULL \
    AND (k.expires_at IS NULL OR k.expires_at > ?2) AND u.is_active";

impl Lives for Sqlite {
    fn lives<'a>(&'a self, asked: &'a [Lasting], now: i64) -> Answer<'a, Vec<(Lasting, Life)>> {
        let asked = asked.to_vec();
        Box::pin(async move {
            let found = self.readers.read(move |connection| {
                let mut lives = Vec::with_capacity(asked.len());
                let life = |row: &rusqlite::Row<'_>| {
                    Ok(Life {
                        ends: row.get(0)?,
                        ask_at: row.get(1)?,
                    })
                };
                let mut sessions = connection.prepare_cached(SESSION)?;
                let mut keys = connection.prepare_cached(API_KEY)?;
                for lasting in asked {
                    let life = match &lasting {
                        Lasting::Session(id) => sessions.query_row(params![id.0, now], life).optional()?,
                        Lasting::ApiKey(id) => keys.query_row(params![id, now], life).optional()?,
                    };
                    lives.extend(life.map(|life| (lasting, life)));
                }
                Ok(lives)
            });
            found.await
        })
    }
}
