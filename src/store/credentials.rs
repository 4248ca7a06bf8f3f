//! Credentials beside passwords and refresh tokens: API keys, tickets, and the bans of other issuers' tokens.

use super::{Answer, User};
use crate::principal::{CredentialKind, SessionId, UserId};

/// An API key to be stored.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Its public name, part of the key itself.
    pub id: String,
    /// Its owner.
    pub user: UserId,
    /// What the owner calls it.
    pub name: String,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// The only roles of its owner it has, comma-separated; `None`: all of them.
    pub roles: Option<String>,
    /// When it ends (Unix milliseconds).
    pub expires_at: Option<i64>,
}

/// A row of `gateway_api_keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public name.
    pub id: String,
    /// Its owner.
    pub user: UserId,
    /// What the owner calls it.
    pub name: String,
    /// SHA-256 of its secret.
    pub hash: [u8; 32],
    /// The only roles of its owner it has; `None`: all of them.
    pub roles: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

/// API keys. Every change of a row is told in the change feed by the store itself.
pub trait ApiKeys: Send + Sync {
    /// Stores a key; false: its owner is gone or inactive, or has `at_most` living keys already.
    fn create_api_key(&self, key: NewApiKey, at_most: u32, now: i64) -> Answer<'_, bool>;
    /// The key of this name, living or not, and its owner as the row is now.
    fn api_key<'a>(&'a self, id: &'a str) -> Answer<'a, Option<(ApiKey, Option<User>)>>;
    /// The keys of a user that were not revoked, newest first.
    fn api_keys_of(&self, user: UserId) -> Answer<'_, Vec<ApiKey>>;
    /// Revokes a key, of this owner if one is named; false: there is no such key that lives.
    fn revoke_api_key<'a>(&'a self, id: &'a str, owner: Option<UserId>, now: i64) -> Answer<'a, bool>;
}

/// A ticket: good once, for a few seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// SHA-256 of what the client shows.
    pub hash: [u8; 32],
    /// Whose it is.
    pub user: UserId,
    /// What fetched it: it counts where that does.
    pub credential: CredentialKind,
    /// The session of that credential.
    pub session: Option<SessionId>,
    /// The API key that it was fetched with.
    pub api_key: Option<String>,
    /// The only roles it has; `None`: all of the user's.
    pub roles: Option<String>,
    /// When the credential that fetched it ends (Unix milliseconds): what is opened with the ticket ends then too.
    pub not_after: i64,
    /// When the ticket itself ends.
    pub expires_at: i64,
}

/// Tickets.
pub trait Tickets: Send + Sync {
    /// Stores a ticket.
    fn add_ticket(&self, ticket: Ticket) -> Answer<'_, ()>;
    /// Takes a ticket out, whoever asks first, with its user as the row is now; `None`: used, expired, never made, or its
    /// user, session or API key is gone, inactive or ended.
    fn take_ticket(&self, hash: [u8; 32], now: i64) -> Answer<'_, Option<(Ticket, User)>>;
    /// Deletes expired tickets, a bounded number at a time; how many.
    fn forget_tickets(&self, now: i64) -> Answer<'_, u64>;
}

/// Whose tokens are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ban {
    /// The issuer (`iss`); empty: we ourselves.
    pub issuer: String,
    /// What of it.
    pub banned: Banned,
}

/// What is refused of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Banned {
    /// All tokens of a subject (`sub`) that were issued before the ban.
    Subject(String),
    /// One token (`jti`).
    Token(String),
}

impl Ban {
    /// The ban of one of our own tokens, by its name (`jti`).
    pub fn of_ours(id: &str) -> Self {
        Self {
            issuer: String::new(),
            banned: Banned::Token(id.to_owned()),
        }
    }

    /// The word for its kind in the change feed.
    pub(super) fn kind(&self) -> &'static str {
        match self.banned {
            Banned::Subject(_) => "external_subject",
            Banned::Token(_) if self.issuer.is_empty() => "token",
            Banned::Token(_) => "external_token",
        }
    }

    /// How the feed writes it: the name of one of our own tokens; else a JSON array of the issuer and the name.
    pub(super) fn subject(&self) -> String {
        let (Banned::Subject(name) | Banned::Token(name)) = &self.banned;
        match self.kind() {
            "token" => name.clone(),
            _ => serde_json::json!([self.issuer, name]).to_string(),
        }
    }

    /// Reads what [`Ban::kind`] and [`Ban::subject`] wrote, or plain SQL.
    pub(super) fn read(kind: &str, subject: &str) -> Option<Self> {
        let [issuer, name]: [String; 2] = serde_json::from_str(subject).ok()?;
        let banned = match kind {
            "external_subject" => Banned::Subject(name),
            "external_token" => Banned::Token(name),
            _ => return None,
        };
        Some(Self { issuer, banned })
    }
}

/// The word for what fetched a ticket, and back.
pub(super) fn credential_of(word: &str) -> Option<CredentialKind> {
    [CredentialKind::Bearer, CredentialKind::Session, CredentialKind::ApiKey]
        .into_iter()
        .find(|kind| kind.as_str() == word)
}
