//! Refresh: a refresh token for its successor and a fresh access token (RFC 6749 section 6, with the rotation of RFC 9700
//! section 4.14).

use std::net::IpAddr;

use crate::secret::Secret;
use crate::store::{Session, User};
use crate::telemetry::RefreshResult;
use crate::token::{self, AccessToken, Judgement, Presented};

use super::issue::no_randomness;
use super::{Accounts, Error, Tokens, audit};

/// How often a refresh looks again because somebody else rotated the session in between. The second look finds that,
/// and the same successor.
const LOOKS: usize = 3;

impl Accounts {
    /// Whether this has the form of a refresh token of ours.
    pub fn is_refresh_token(text: &Secret<String>) -> bool {
        Presented::parse(text.expose()).is_some()
    }

    /// Rotates a refresh token. The one before gives the same successor for a short time; an older one ends its session.
    pub async fn refresh(&self, token: &Secret<String>, client: IpAddr) -> Result<Tokens, Error> {
        let outcome = self.try_refresh(token, client).await;
        self.metrics.refresh(match &outcome {
            Ok((_, result)) => *result,
            Err((result, _)) => *result,
        });
        outcome.map(|(tokens, _)| tokens).map_err(|(_, error)| error)
    }

    async fn try_refresh(
        &self,
        token: &Secret<String>,
        client: IpAddr,
    ) -> Result<(Tokens, RefreshResult), (RefreshResult, Error)> {
        let failed = |error| (RefreshResult::Failure, error);
        let invalid = || failed(Error::InvalidGrant);
        let presented = Presented::parse(token.expose()).ok_or_else(invalid)?;
        for _ in 0..LOOKS {
            let session = self.books.store().session(presented.session);
            let session = self.books.ask("session", session).await.map_err(failed)?;
            let session = session.ok_or_else(invalid)?;
            let now = self.clock.unix_millis();
            match token::judge(&session, &presented, now) {
                Judgement::Rotate => {
                    if let Some(tokens) = self.rotate(&session, &presented, now).await.map_err(failed)? {
                        return Ok((tokens, RefreshResult::Success));
                    }
                }
                Judgement::Repeat => {
                    let tokens = self.repeat(&session, &presented, now).await.map_err(failed)?;
                    return Ok((tokens, RefreshResult::Repeat));
                }
                Judgement::Reused => {
                    self.end_reused(&session, now, client).await.map_err(failed)?;
                    return Err((RefreshResult::Reuse, Error::InvalidGrant));
                }
                Judgement::TooOld | Judgement::Forged | Judgement::Ended | Judgement::Expired => return Err(invalid()),
            }
        }
        Err(invalid())
    }

    /// `None`: somebody was first, or the session has just ended.
    async fn rotate(&self, session: &Session, presented: &Presented, now: i64) -> Result<Option<Tokens>, Error> {
        let (_, access) = self.access_of(session, now).await?;
        let salt = token::new_salt(&self.random).ok_or_else(no_randomness)?;
        let idle_until = self.lives.idle_until(now, session.expires_at);
        let (rotation, next) = token::rotate(session, presented, salt, idle_until);
        let rotated = self.books.store().rotate_session(rotation, now);
        let rotated = self.books.ask("rotate_session", rotated).await?;
        Ok(rotated.then(|| Tokens::new(access, next, idle_until, now)))
    }

    async fn repeat(&self, session: &Session, presented: &Presented, now: i64) -> Result<Tokens, Error> {
        let (_, access) = self.access_of(session, now).await?;
        let next = token::repeat(session, presented).ok_or(Error::InvalidGrant)?;
        Ok(Tokens::new(access, next, session.idle_until, now))
    }

    /// A fresh access token by what the user's row says now.
    async fn access_of(&self, session: &Session, now: i64) -> Result<(User, AccessToken), Error> {
        let user = self.books.ask("user", self.books.store().user(session.user)).await?;
        let user = user.filter(|user| user.active).ok_or(Error::InvalidGrant)?;
        let access = self.access_token(&user, session.id, session.expires_at, now)?;
        Ok((user, access))
    }

    /// A token that was spent long ago comes again: two parties have it, and nobody can tell which is the thief.
    async fn end_reused(&self, session: &Session, now: i64, client: IpAddr) -> Result<(), Error> {
        self.end_session(session.id, now).await?;
        audit::reused(session.user, session.id, client);
        Ok(())
    }
}
