//! Which sessions and API keys live, in PostgreSQL.

use tokio_postgres::types::Type;

use super::link::Params;
use super::{Postgres, bytes, column};
use crate::principal::SessionId;
use crate::store::lives::apart;
use crate::store::{Answer, Lasting, Life, Lives};

impl Lives for Postgres {
    fn lives<'a>(&'a self, asked: &'a [Lasting], now: i64) -> Answer<'a, Vec<(Lasting, Life)>> {
        Box::pin(async move {
            let (sessions, keys) = apart(asked);
            let mut lives = Vec::with_capacity(asked.len());
            if !sessions.is_empty() {
                let ids: Vec<&[u8]> = sessions.iter().map(|id| id.0.as_slice()).collect();
                let sql = "SELECT s.id, s.expires_at, LEAST(s.expires_at, s.idle_until) FROM gateway_sessions s \
                    JOIN users u ON u.id = s.user_id WHERE s.id = ANY ($1) AND s.revoked_at IS NULL \
                    AND s.expires_at > $2 AND s.idle_until > $2 AND u.is_active";
                let params: Params<'_> = &[(&ids, Type::BYTEA_ARRAY), (&now, Type::INT8)];
                for row in self.link.query(sql, params).await? {
                    let life = Life {
                        ends: column(&row, 1)?,
                        ask_at: column(&row, 2)?,
                    };
                    lives.push((Lasting::Session(SessionId(bytes(&row, 0)?)), life));
                }
            }
            if !keys.is_empty() {
                let sql = "SELECT k.id, COALESCE(k.expires_at, 9223372036854775807) FROM gateway_api_keys k \
                    JOIN users u ON u.id = k.user_id WHERE k.id = ANY ($1) AND k.revoked_at IS NULL \
                    AND (k.expires_at IS NULL OR k.expires_at > $2) AND u.is_active";
                let params: Params<'_> = &[(&keys, Type::TEXT_ARRAY), (&now, Type::INT8)];
                for row in self.link.query(sql, params).await? {
                    let ends = column(&row, 1)?;
                    lives.push((Lasting::ApiKey(column(&row, 0)?), Life { ends, ask_at: ends }));
                }
            }
            Ok(lives)
        })
    }
}
