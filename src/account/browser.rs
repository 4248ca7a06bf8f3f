//! A browser's login: the same as any other, but what it opens is carried by a cookie and not by tokens.

use crate::principal::SessionId;
use crate::secret::Secret;
use crate::store::{NewSession, SessionKind, User};
use crate::token;

use super::issue::no_randomness;
use super::login::Opens;
use super::{Accounts, Caller, Error};

/// What a browser shows beside a name and a password.
#[derive(Clone, Debug)]
pub struct Browser {
    /// Where it calls from.
    pub caller: Caller,
    /// The session whose cookie came with the login: it ends with it.
    pub before: Option<SessionId>,
}

/// A session that a browser has now.
#[derive(Debug)]
pub struct BrowserSession {
    /// Its name. It is always a new one: nobody can plant it beforehand.
    pub id: SessionId,
    /// When it ends if it is not seen before (Unix milliseconds).
    pub ends: i64,
    /// Whose it is, as the row was at the login.
    pub user: User,
}

impl Accounts {
    /// Logs somebody in with a browser: throttle, password and audit as at every login.
    pub async fn login_browser(
        &self,
        name: &str,
        password: Secret<String>,
        browser: Browser,
    ) -> Result<BrowserSession, Error> {
        let opened = self
            .login_opening(&browser, name, password, browser.caller.address)
            .await?;
        if let Some(before) = browser.before.filter(|before| *before != opened.id)
            && let Err(error) = self.end_session(before, self.clock.unix_millis()).await
        {
            // The browser forgets its cookie in any case.
            tracing::warn!(%error, session = %before, "the session before a login could not be ended");
        }
        Ok(opened)
    }

    /// Ends a session that no browser would hold: its cookie is longer than they keep. What is to be told.
    pub async fn end_unheld(&self, session: BrowserSession) -> Error {
        let user = &session.user;
        tracing::error!(
            user.id = user.id.0,
            roles.bytes = user.roles.len(),
            name.bytes = user.username.len(),
            "no cookie was set: with this user's name and roles it would be longer than browsers keep"
        );
        match self.end_session(session.id, self.clock.unix_millis()).await {
            Ok(()) => Error::TokenTooLong,
            Err(error) => error,
        }
    }
}

impl Opens for Browser {
    type Gives = BrowserSession;

    async fn open(&self, accounts: &Accounts, user: &User) -> Result<Option<BrowserSession>, Error> {
        let now = accounts.clock.unix_millis();
        // The row has room for refresh tokens; of a browser's session nobody ever gets one.
        let minted = token::mint(&accounts.random).ok_or_else(no_randomness)?;
        let expires_at = now.saturating_add(accounts.lives.session());
        let idle_until = accounts.lives.idle_until(now, expires_at);
        let session = NewSession {
            id: minted.id,
            user: user.id,
            family_hash: minted.family_hash,
            current_hash: minted.current_hash,
            salt: minted.salt,
            expires_at,
            idle_until,
            password_was: user.password.clone(),
            kind: SessionKind::Browser,
            client: self.caller.agent.clone(),
            address: Some(self.caller.address.to_string()),
        };
        let opened = accounts.books.store().open_session(session, now);
        let opened = accounts.books.ask("open_session", opened).await?;
        Ok(opened.then(|| BrowserSession {
            id: minted.id,
            ends: idle_until,
            user: user.clone(),
        }))
    }
}
