//! How sessions, API keys and accounts look in answers. Every member stands here; none is a hash.

use serde::Serialize;

use crate::account::{Account, MadeKey};
use crate::clock::rfc3339;
use crate::principal::{Roles, SessionId};
use crate::store::{ApiKey, Session};

/// A session. The times are RFC 3339.
#[derive(Serialize)]
pub(super) struct SessionView<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<i64>,
    kind: &'static str,
    client: Option<&'a str>,
    address: Option<&'a str>,
    created_at: Option<String>,
    seen_at: Option<String>,
    idle_until: Option<String>,
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<bool>,
}

impl<'a> SessionView<'a> {
    /// For its owner, who asks by the session `current`.
    pub(super) fn own(session: &'a Session, current: Option<SessionId>) -> Self {
        Self {
            user: None,
            current: Some(Some(session.id) == current),
            ..Self::of(session)
        }
    }

    /// For an administrator.
    pub(super) fn of(session: &'a Session) -> Self {
        Self {
            id: session.id.to_string(),
            user: Some(session.user.0),
            kind: session.kind.as_str(),
            client: session.client.as_deref(),
            address: session.address.as_deref(),
            created_at: rfc3339(session.created_at),
            seen_at: rfc3339(session.seen_at),
            idle_until: rfc3339(session.idle_until.min(session.expires_at)),
            expires_at: rfc3339(session.expires_at),
            current: None,
        }
    }
}

/// An API key, without its secret.
#[derive(Serialize)]
pub(super) struct KeyView<'a> {
    id: &'a str,
    name: &'a str,
    /// `null`: all that its owner has.
    roles: Option<Vec<String>>,
    created_at: Option<String>,
    expires_at: Option<String>,
}

impl<'a> KeyView<'a> {
    pub(super) fn of(key: &'a ApiKey) -> Self {
        let roles = key.roles.as_deref().map(Roles::from_column);
        Self {
            id: &key.id,
            name: &key.name,
            roles: roles.map(|roles| roles.iter().map(str::to_owned).collect()),
            created_at: rfc3339(key.created_at),
            expires_at: key.expires_at.and_then(rfc3339),
        }
    }
}

/// An API key that was just made: the only time that anybody sees it.
#[derive(Serialize)]
pub(super) struct MadeKeyView<'a> {
    key: &'a str,
    #[serde(flatten)]
    rest: KeyView<'a>,
}

impl<'a> MadeKeyView<'a> {
    pub(super) fn of(made: &'a MadeKey) -> Self {
        Self {
            key: made.text.expose(),
            rest: KeyView::of(&made.key),
        }
    }
}

/// An account, for an administrator. What stands under `roles` is what can be set there.
#[derive(Serialize)]
pub(super) struct AccountView<'a> {
    id: i64,
    username: &'a str,
    roles: Vec<&'a str>,
    grants: &'a [String],
    active: bool,
    email: Option<&'a str>,
    email_verified: bool,
}

impl<'a> AccountView<'a> {
    pub(super) fn of(account: &'a Account) -> Self {
        let granted = |role: &&str| account.grants.iter().any(|grant| grant == role);
        Self {
            id: account.id,
            username: &account.username,
            roles: account
                .roles
                .iter()
                .map(String::as_str)
                .filter(|role| !granted(role))
                .collect(),
            grants: &account.grants,
            active: account.active,
            email: account.email.as_deref(),
            email_verified: account.email_verified,
        }
    }
}
