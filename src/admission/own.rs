//! Our own URLs as admission sees them: a place with a rule, and with what must be shown there beside that.

use super::Credentials;
use crate::codes::Code;
use crate::principal::{CredentialKind, Issuer, Person};
use crate::problem::{Challenge, Problem};

/// One of our own URLs.
#[derive(Debug)]
pub(super) struct OwnPlace {
    pub(super) index: usize,
    pub(super) credentials: Credentials,
    pub(super) path: String,
    pub(super) takes: Takes,
}

/// What one of our own URLs takes of all that is good: here a principal is an account, and not everything that proves who
/// somebody is may do everything with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takes {
    /// Whatever counts.
    #[default]
    Anything,
    /// Whatever is our own users': another issuer's people have no account here.
    OwnUsers,
    /// What belongs to a session of our own users, or is a token without one. A ticket stood in a URL: whoever saw that must
    /// not be able to end the session.
    Sessions,
    /// What only a login gives: a machine's key or a ticket must not be enough to change who may come in.
    Logins,
    /// What is our own users' and no ticket: a ticket for a ticket would be one that never ends.
    ButTickets,
    /// API keys.
    ApiKeys,
}

/// Why a good credential, or none, is not taken at one of our own URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is another issuer's.
    Stranger,
    /// It is of a kind that may not do this.
    Kind,
    /// It belongs to no session.
    NoSession,
    /// An API key is wanted.
    NoApiKey,
}

impl Takes {
    /// Whether it takes what this person shows; none: nobody in particular.
    pub(super) fn check(self, person: Option<&Person>) -> Result<(), Unfit> {
        let kind = person.map(|person| person.credential);
        let is_own = person.is_none_or(|person| match (&person.issuer, person.credential) {
            (Issuer::External(_), _) | (_, CredentialKind::ExternalBearer) => false,
            (Issuer::Local, _) => true,
        });
        match self {
            Self::Anything => Ok(()),
            Self::OwnUsers if is_own => Ok(()),
            Self::OwnUsers => Err(Unfit::Stranger),
            Self::Sessions => match kind {
                _ if !is_own => Err(Unfit::Stranger),
                Some(CredentialKind::Ticket) => Err(Unfit::Kind),
                Some(CredentialKind::ApiKey) => Err(Unfit::NoSession),
                None | Some(CredentialKind::Bearer | CredentialKind::ExternalBearer | CredentialKind::Session) => {
                    Ok(())
                }
            },
            Self::Logins => match kind {
                None | Some(CredentialKind::Bearer | CredentialKind::Session) if is_own => Ok(()),
                None | Some(_) => Err(Unfit::Kind),
            },
            Self::ButTickets => match kind {
                Some(CredentialKind::Ticket) => Err(Unfit::Kind),
                None | Some(_) if is_own => Ok(()),
                None | Some(_) => Err(Unfit::Kind),
            },
            Self::ApiKeys => match kind {
                Some(CredentialKind::ApiKey) => Ok(()),
                None | Some(_) => Err(Unfit::NoApiKey),
            },
        }
    }

    /// In words; none: there is nothing to say.
    pub fn told(self) -> Option<&'static str> {
        match self {
            Self::Anything => None,
            Self::OwnUsers => Some("only of this gateway's own users"),
            Self::Sessions => Some("only of this gateway's own users, with a session that can end"),
            Self::Logins => {
                Some("only a login of this gateway's own users: no API key, no ticket, no other issuer's token")
            }
            Self::ButTickets => Some("only of this gateway's own users, and no ticket"),
            Self::ApiKeys => Some("only an API key"),
        }
    }
}

impl Unfit {
    /// The stable code.
    pub fn code(self) -> Code {
        match self {
            Self::Stranger | Self::NoSession => Code::InvalidToken,
            Self::Kind => Code::CredentialNotAllowed,
            Self::NoApiKey => Code::CredentialsRequired,
        }
    }
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        let problem = |text: &'static str| Self::new(unfit.code(), text);
        match unfit {
            Unfit::Stranger => {
                problem("Only this gateway's own users have an account here; this token is another issuer's.")
                    .challenged(Challenge::InvalidToken)
            }
            Unfit::Kind => problem(
                "Log in with a name and a password of this gateway: API keys, tickets and tokens of others may not do this.",
            ),
            Unfit::NoSession => problem("The token belongs to no session.").challenged(Challenge::InvalidToken),
            Unfit::NoApiKey => {
                problem("Show an API key, as a bearer token or as the password of Basic.").challenged(Challenge::ApiKey)
            }
        }
    }
}
