//! The identity headers: how a backend learns who a request is from.

use http::HeaderName;

/// `[identity_headers]`: the names; one that is not set is not sent (and still no client's copy gets through).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the principal.
    pub user: Option<HeaderName>,
    /// The issuer's key for it.
    pub id: Option<HeaderName>,
    /// The roles in force, comma-separated.
    pub roles: Option<HeaderName>,
    /// A verified e-mail address.
    pub email: Option<HeaderName>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user: Some(HeaderName::from_static("x-user")),
            id: Some(HeaderName::from_static("x-user-id")),
            roles: Some(HeaderName::from_static("x-user-roles")),
            email: Some(HeaderName::from_static("x-user-email")),
        }
    }
}
