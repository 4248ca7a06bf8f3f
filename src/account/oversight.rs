//! Sessions and keys of other people, for administrators.

use crate::principal::{SessionId, UserId};
use crate::store::{ApiKey, Session};

use super::audit::{self, Action};
use super::sessions::lives;
use super::{Accounts, Administration, Error, MadeKey, WantedKey, Which};

impl Administration {
    /// Living sessions of everybody in the order of their ids, those after `after`, at most so many.
    pub async fn sessions(&self, after: Option<SessionId>, limit: u32) -> Result<Vec<Session>, Error> {
        let now = self.clock.unix_millis();
        Ok(self.store.sessions_after(after, limit, now).await?)
    }

    /// The living sessions of one user, newest first.
    pub async fn sessions_of(&self, which: Which<'_>) -> Result<Vec<Session>, Error> {
        let user = self.find(which).await?;
        Ok(self.store.sessions_of(user.id, self.clock.unix_millis()).await?)
    }

    /// Ends a session, whosever it is; what it was.
    pub async fn end_session(&self, id: SessionId) -> Result<Session, Error> {
        let now = self.clock.unix_millis();
        let session = self.store.session(id).await?;
        let session = session
            .filter(|session| lives(session, now))
            .ok_or(Error::NoSuchSession)?;
        let until = self.lives.remember_until(now);
        self.store.end_session(id, now, until).await?;
        if let Some(revocations) = &self.revocations {
            revocations.end_session_now(id, until);
        }
        audit::session_ended_for(self.by.actor(), session.user, id);
        Ok(session)
    }

    /// Ends all sessions of a user; how many.
    pub async fn end_sessions(&self, which: Which<'_>) -> Result<u64, Error> {
        let user = self.find(which).await?;
        let now = self.clock.unix_millis();
        let until = self.lives.remember_until(now);
        let living = self.store.sessions_of(user.id, now).await?;
        let ended = self.store.end_sessions_of(user.id, None, now, until).await?;
        if let Some(revocations) = &self.revocations {
            for session in living {
                revocations.end_session_now(session.id, until);
            }
        }
        self.tell(Action::SessionsEnded, &user);
        Ok(ended)
    }
}

/// What an administrator does with the keys of others. The desk says who does it.
impl Accounts {
    /// The keys of a user, newest first.
    pub async fn keys_for(&self, user: UserId) -> Result<Vec<ApiKey>, Error> {
        self.key_owner(user).await?;
        self.keys_of(user).await
    }

    /// Makes a key for a user; it is no wider than if they had made it themselves.
    pub async fn hand_out_key(&self, desk: &Administration, user: UserId, wanted: WantedKey) -> Result<MadeKey, Error> {
        let owner = self.key_owner(user).await?;
        self.make_key_for(&owner, wanted, desk.by.actor()).await
    }

    /// Revokes a key of a user.
    pub async fn take_key(&self, desk: &Administration, user: UserId, id: &str) -> Result<(), Error> {
        self.revoke_key_of(user, id, desk.by.actor()).await
    }
}
