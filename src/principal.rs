//! Who a request is from, once a credential has been verified.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The primary key of a local user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub i64);

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The name of a session: 128 random bits, written as 22 characters of base64url. It stands in access tokens (`sid`)
/// and is no secret: knowing it gives nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SessionId({self})")
    }
}

/// The text is not the name of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a session id: 22 characters of base64url are expected")]
pub struct InvalidSessionId;

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidSessionId)?;
        bytes.try_into().map(Self).map_err(|_| InvalidSessionId)
    }
}

/// The roles of a principal: no duplicates, in the order they were given. Roles are compared byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(Vec<String>);

impl Roles {
    /// The roles in a stored, comma-separated column: each trimmed, empty ones dropped.
    pub fn from_column(column: &str) -> Self {
        column
            .split(',')
            .map(str::trim)
            .filter(|role| !role.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The form a column holds, and the value of `X-User-Roles`: comma-separated, without blanks.
    pub fn to_column(&self) -> String {
        self.0.join(",")
    }

    /// Whether this role is among them.
    pub fn contains(&self, role: &str) -> bool {
        self.0.iter().any(|have| have == role)
    }

    /// Adds a role that is not there yet.
    pub fn insert(&mut self, role: &str) {
        if !self.contains(role) {
            self.0.push(role.to_owned());
        }
    }

    /// Takes a role away.
    pub fn remove(&mut self, role: &str) {
        self.0.retain(|have| have != role);
    }

    /// The roles, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of them that `limit` allows; without a limit, all.
    #[must_use]
    pub fn within(&self, limit: Option<&Self>) -> Self {
        match limit {
            Some(limit) => Self(self.0.iter().filter(|role| limit.contains(role)).cloned().collect()),
            None => self.clone(),
        }
    }
}

impl<S: Into<String>> FromIterator<S> for Roles {
    fn from_iter<I: IntoIterator<Item = S>>(roles: I) -> Self {
        let mut unique = Self::default();
        for role in roles {
            let role = role.into();
            if !unique.contains(&role) {
                unique.0.push(role);
            }
        }
        unique
    }
}

/// Who vouches for a principal. The same subject of two issuers is two people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Issuer {
    /// This gateway: its own users.
    Local,
    /// One of `[[tokens.trusted_issuers]]`, by its `iss`.
    External(Arc<str>),
}

/// The kind of credential that proved a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// `Authorization: Bearer` with a JWT of ours.
    Bearer,
    /// `Authorization: Bearer` with a JWT of a trusted issuer.
    ExternalBearer,
    /// The browser's cookie.
    Session,
    /// An API key, as a bearer token or as the password of Basic.
    ApiKey,
    /// A ticket in the query.
    Ticket,
}

impl CredentialKind {
    /// The stable name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::ExternalBearer => "external_bearer",
            Self::Session => "session",
            Self::ApiKey => "api_key",
            Self::Ticket => "ticket",
        }
    }
}

/// A person or machine whose credential was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who vouches for them.
    pub issuer: Issuer,
    /// The issuer's name for them (`sub`), with the issuer's prefix where it has one: `X-User-Id`.
    pub subject: String,
    /// The local user, where there is one.
    pub user: Option<UserId>,
    /// The name a backend sees in `X-User`.
    pub name: String,
    /// The roles in force.
    pub roles: Roles,
    /// A verified e-mail address.
    pub email: Option<String>,
    /// The session the credential belongs to.
    pub session: Option<SessionId>,
    /// The token's own name (`jti`).
    pub token_id: Option<String>,
    /// When the credential was issued (`iat`), in Unix seconds.
    pub issued_at: i64,
    /// When the credential ends (`exp`), in Unix seconds.
    pub expires_at: i64,
    /// What was shown.
    pub credential: CredentialKind,
    /// The only roles this credential gives, whatever its owner has (an API key's); `None`: all of them.
    pub limit: Option<Roles>,
    /// How many bytes of `subject` are the prefix that an issuer's people carry here.
    pub subject_prefix: usize,
}

impl Person {
    /// The subject as the issuer itself wrote it.
    pub fn bare_subject(&self) -> &str {
        self.subject.get(self.subject_prefix..).unwrap_or(&self.subject)
    }
}

/// Who a request is from. "Nobody in particular" is a principal too: public is a decision, not a bypass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// No credential counted.
    Anonymous,
    /// A verified one.
    Known(Arc<Person>),
}

impl Principal {
    /// The person, unless anonymous.
    pub fn person(&self) -> Option<&Person> {
        match self {
            Self::Anonymous => None,
            Self::Known(person) => Some(person),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_come_from_a_column_as_the_flask_library_reads_it() {
        let roles = Roles::from_column(" user, admin ,,user");
        assert_eq!(roles.to_column(), "user,admin");
        assert!(roles.contains("admin") && !roles.contains("Admin"));
        assert!(Roles::from_column("").is_empty());
    }

    #[test]
    fn a_session_id_reads_what_it_writes() {
        let id = SessionId([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("short".parse::<SessionId>(), Err(InvalidSessionId));
    }
}
