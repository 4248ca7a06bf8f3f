//! Sessions as rows: families of refresh tokens, and browsers' sessions beside them.

use super::{Answer, User};
use crate::principal::{SessionId, UserId};

/// A session to be opened, by a login.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its name.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// SHA-256 of the family secret of its refresh tokens.
    pub family_hash: [u8; 32],
    /// SHA-256 of the first refresh token's secret.
    pub current_hash: [u8; 32],
    /// The salt from which the first successor will be derived.
    pub salt: [u8; 16],
    /// When it ends whatever happens (Unix milliseconds).
    pub expires_at: i64,
    /// When it ends unless it is refreshed before.
    pub idle_until: i64,
    /// The hash that was verified at login: the session is opened only while the row still holds it and is active.
    pub password_was: String,
    /// What carries it.
    pub kind: SessionKind,
    /// The program it was opened with (User-Agent, shortened), for its owner's list.
    pub client: Option<String>,
    /// The address it was opened from.
    pub address: Option<String>,
}

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// A family of refresh tokens.
    Token,
    /// A browser's cookie.
    Browser,
}

impl SessionKind {
    /// The word in the store and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Browser => "browser",
        }
    }

    /// What a row says; a word of a later release counts as the kind that gives least.
    pub(super) fn of(word: &str) -> Self {
        if word == "browser" { Self::Browser } else { Self::Token }
    }
}

/// A row of `sessions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// How many times its refresh token was rotated.
    pub generation: u32,
    /// SHA-256 of the family secret.
    pub family_hash: [u8; 32],
    /// SHA-256 of the current refresh token's secret.
    pub current_hash: [u8; 32],
    /// SHA-256 of the one before.
    pub previous_hash: Option<[u8; 32]>,
    /// The salt of the next derivation.
    pub salt: [u8; 16],
    /// The salt that the current secret was derived with.
    pub previous_salt: Option<[u8; 16]>,
    /// When the current secret took the previous one's place.
    pub rotated_at: Option<i64>,
    /// When the session was opened.
    pub created_at: i64,
    /// When it ends whatever happens.
    pub expires_at: i64,
    /// When it ends unless refreshed before.
    pub idle_until: i64,
    /// When it was ended.
    pub revoked_at: Option<i64>,
    /// What carries it.
    pub kind: SessionKind,
    /// The program it was opened with.
    pub client: Option<String>,
    /// The address it was last used from, as far as the store was told.
    pub address: Option<String>,
    /// When the store was last told that it is in use: at its opening, a rotation, a renewal.
    pub seen_at: i64,
}

/// A rotation of a refresh token, prepared by the caller from what [`Sessions::session`] said.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The session.
    pub id: SessionId,
    /// The hash that must still be current; the update happens only where it is.
    pub presented_hash: [u8; 32],
    /// The generation that must still be current.
    pub generation: u32,
    /// SHA-256 of the successor's secret.
    pub next_hash: [u8; 32],
    /// The salt for the derivation after this one.
    pub next_salt: [u8; 16],
    /// The new idle limit.
    pub idle_until: i64,
}

/// Sessions: the families of refresh tokens, and later the browser's.
pub trait Sessions: Send + Sync {
    /// Opens a session; false: the user is gone, inactive, or has another password by now.
    fn open_session(&self, session: NewSession, now: i64) -> Answer<'_, bool>;
    /// The session of this name, ended or not.
    fn session(&self, id: SessionId) -> Answer<'_, Option<Session>>;
    /// Rotates; false: somebody else was first, or the session has ended. Durable before it answers.
    fn rotate_session(&self, rotation: Rotation, now: i64) -> Answer<'_, bool>;
    /// Ends a session and tells the change feed; `until`: when its last access token will have expired. Idempotent;
    /// false: there was none that lived.
    fn end_session(&self, id: SessionId, now: i64, until: i64) -> Answer<'_, bool>;
    /// Renews a browser's session: it was seen at `now`, from this address, and lives on. The session and its user as they
    /// are now; `None`: it has ended, or its user is gone or inactive. Durable before it answers.
    fn renew_session<'a>(
        &'a self,
        id: SessionId,
        now: i64,
        idle_until: i64,
        address: Option<&'a str>,
    ) -> Answer<'a, Option<(Session, User)>>;
    /// Ends the living sessions of a user, but for one, and tells the change feed; how many.
    fn end_sessions_of(&self, user: UserId, keep: Option<SessionId>, now: i64, until: i64) -> Answer<'_, u64>;
    /// Living sessions of all users in the order of their ids, after `after`, at most `limit`.
    fn sessions_after(&self, after: Option<SessionId>, limit: u32, now: i64) -> Answer<'_, Vec<Session>>;
    /// The living sessions of a user, newest first.
    fn sessions_of(&self, user: UserId, now: i64) -> Answer<'_, Vec<Session>>;
    /// Deletes sessions that ended before `before`, a bounded number at a time; how many.
    fn forget_sessions(&self, before: i64) -> Answer<'_, u64>;
}
