//! Sessions and tokens: what a login and a refresh end in.

use std::time::Duration;

use crate::principal::SessionId;
use crate::revocation::roles_in_force;
use crate::secret::Secret;
use crate::store::{NewSession, SessionKind, User};
use crate::token::{self, AccessToken, IssueError, Subject};

use super::{Accounts, Caller, Error};

/// What a login or a refresh gives.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access_token: Secret<String>,
    /// For how many seconds it is good.
    pub expires_in: i64,
    /// The refresh token; a token of the praetorian format is refreshed by itself.
    pub refresh_token: Option<Secret<String>>,
    /// For how many seconds that is good, if it is not used.
    pub refresh_expires_in: Option<i64>,
}

/// How long things live, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lives {
    access: i64,
    idle: i64,
    session: i64,
    leeway: i64,
}

/// How long an ended session is remembered beyond the last token it can have: clocks of replicas differ a little.
pub(super) const MARGIN: i64 = 60_000;

impl Lives {
    pub(super) fn new(settings: &token::Settings) -> Self {
        Self {
            access: millis(settings.access_ttl),
            idle: millis(settings.refresh_idle),
            session: millis(settings.refresh_ttl),
            leeway: millis(settings.leeway),
        }
    }

    /// How long a session lives at most.
    pub(super) fn session(self) -> i64 {
        self.session
    }

    /// When a session that lives until `end` ends if it is not used after `now`.
    pub(super) fn idle_until(self, now: i64, end: i64) -> i64 {
        now.saturating_add(self.idle).min(end)
    }

    /// Until when it must be remembered that a session was ended at `now`: no access token of it lives longer.
    pub(super) fn remember_until(self, now: i64) -> i64 {
        now.saturating_add(self.access)
            .saturating_add(self.leeway)
            .saturating_add(MARGIN)
    }
}

impl Accounts {
    /// Opens a session for a user whose password was just verified; `None`: the row holds another password by now, or is
    /// not active any more.
    pub(super) async fn open_session(&self, user: &User, caller: &Caller) -> Result<Option<Tokens>, Error> {
        match self.stateless() {
            Some(praetorian) => self.issue_stateless(praetorian, user).await,
            None => self.open_session_until(user, caller, i64::MAX).await,
        }
    }

    /// A session that ends at this time (Unix milliseconds) at the latest.
    pub(super) async fn open_session_until(
        &self,
        user: &User,
        caller: &Caller,
        until: i64,
    ) -> Result<Option<Tokens>, Error> {
        let now = self.clock.unix_millis();
        let minted = token::mint(&self.random).ok_or_else(no_randomness)?;
        let expires_at = now.saturating_add(self.lives.session).min(until);
        let idle_until = self.lives.idle_until(now, expires_at);
        // Signed first: where no key signs, no session is opened for nothing.
        let access = self.access_token(user, minted.id, expires_at, now)?;
        let session = NewSession {
            id: minted.id,
            user: user.id,
            family_hash: minted.family_hash,
            current_hash: minted.current_hash,
            salt: minted.salt,
            expires_at,
            idle_until,
            password_was: user.password.clone(),
            kind: SessionKind::Token,
            client: caller.agent.clone(),
            address: Some(caller.address.to_string()),
        };
        let store = self.books.store();
        let opened = self.books.ask("open_session", store.open_session(session, now)).await?;
        Ok(opened.then(|| Tokens::new(access, minted.token, idle_until, now)))
    }

    /// An access token for a user, with the roles in force.
    pub(super) fn access_token(
        &self,
        user: &User,
        session: SessionId,
        session_ends: i64,
        now: i64,
    ) -> Result<AccessToken, Error> {
        let roles = roles_in_force(user, &self.settings.admin_role);
        let subject = Subject {
            user: user.id,
            username: &user.username,
            roles: &roles,
            email: user.email.as_deref().filter(|_| user.email_verified),
            session,
            session_ends,
        };
        let token = self.mint.access(&subject, &self.random, now);
        token.map_err(|error| unissued(user, error))
    }
}

impl Tokens {
    pub(super) fn new(access: AccessToken, refresh: Secret<String>, idle_until: i64, now: i64) -> Self {
        Self {
            access_token: access.token,
            expires_in: access.expires_in,
            refresh_token: Some(refresh),
            refresh_expires_in: Some(idle_until.saturating_sub(now).div_euclid(1000)),
        }
    }

    /// A token that stands for itself.
    pub(super) fn stateless(access: AccessToken) -> Self {
        Self {
            access_token: access.token,
            expires_in: access.expires_in,
            refresh_token: None,
            refresh_expires_in: None,
        }
    }
}

/// Why a user got no token. What only the administrator of this server can mend is told to them.
pub(super) fn unissued(user: &User, error: IssueError) -> Error {
    if matches!(error, IssueError::TooLong) {
        tracing::error!(
            user.id = user.id.0,
            roles.bytes = user.roles.len(),
            name.bytes = user.username.len(),
            "no token was issued: with this user's name and roles it would be longer than tokens.max_length"
        );
    }
    error.into()
}

pub(super) fn no_randomness() -> Error {
    Error::Internal("the system gives no randomness".to_owned())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
