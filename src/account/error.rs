//! Why something with an account did not come to be.

use crate::password::{self, policy};
use crate::principal::UserId;
use crate::token::praetorian;
use crate::{store, token};

use super::{InvalidEmail, InvalidRole, UsernameFault};

/// Why something with an account did not come to be. The texts are for the command line and the log; what a client reads
/// is made of the variant.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown name or wrong password; nobody learns which.
    #[error("unknown name or wrong password")]
    InvalidCredentials,
    /// The password is right, the account is deactivated.
    #[error("the account is deactivated")]
    Inactive,
    /// Too many failed logins.
    #[error("too many failed logins; try again in {retry_after} seconds")]
    TooManyAttempts {
        /// In so many seconds there is a new chance.
        retry_after: u32,
    },
    /// The refresh token is of no use.
    #[error("the refresh token is unknown, spent, expired or of a session that has ended")]
    InvalidGrant,
    /// Nobody may register.
    #[error("registration is closed")]
    RegistrationClosed,
    /// The name, or one that folds to the same, is taken.
    #[error("an account of this name exists already, or one whose name differs only in case, width or outer blanks")]
    NameTaken,
    /// The e-mail address is another account's.
    #[error("another account has this e-mail address")]
    EmailTaken,
    /// The table of another server wants an e-mail address for every account.
    #[error("the table of users wants an e-mail address for every account")]
    EmailRequired,
    /// The table of users has rules of its own, and does not take the account.
    #[error("the table of users refuses the account: {0}")]
    RowRefused(String),
    /// The name is not allowed, for these reasons.
    #[error("the name {}", list(.0))]
    InvalidUsername(Vec<UsernameFault>),
    /// This is no e-mail address.
    #[error(transparent)]
    InvalidEmail(#[from] InvalidEmail),
    /// This is no role.
    #[error(transparent)]
    InvalidRole(#[from] InvalidRole),
    /// The password is not good enough, for these reasons.
    #[error("the password {}", list(.0))]
    WeakPassword(Vec<policy::Reason>),
    /// The credential belongs to no session.
    #[error("the credential belongs to no session")]
    NoSession,
    /// This kind of credential may not do this, however good it is.
    #[error("this needs a login of one of the gateway's own users")]
    CredentialNotAllowed,
    /// There is no such session that lives.
    #[error("there is no such session")]
    NoSuchSession,
    /// There is no such API key that lives.
    #[error("there is no such API key")]
    NoSuchKey,
    /// The user has as many API keys as they may have.
    #[error("the account has as many API keys as it may have")]
    TooManyKeys,
    /// The name is none for an API key.
    #[error("an API key needs a name of 1 to 100 characters without control characters and outer blanks")]
    InvalidKeyName,
    /// An API key cannot live so long, or so short.
    #[error("an API key lives for 1 second to 10 years, or without an end")]
    InvalidKeyLife,
    /// The key would have a role that its owner has not, or that no key may have.
    #[error("{0:?} is not among the roles that the owner can give to a key")]
    RoleNotOwned(String),
    /// The gateway's own role is given by command only.
    #[error("the administrators' role is granted by the command `doorward user roles` only")]
    AdminRole,
    /// The code from a mail is of no use.
    #[error("the code is unknown, used or expired")]
    InvalidCode,
    /// No mail is sent here.
    #[error("no mail is sent here")]
    NoMail,
    /// There is no such account.
    #[error("there is no such account")]
    NoSuchUser,
    /// Several rows have this name: one of them must be named by its id.
    #[error("several accounts have this name; use one of the ids {}", list(.0))]
    SeveralUsers(Vec<UserId>),
    /// A token of the praetorian format is no good.
    #[error("{}", .0.as_str())]
    Praetorian(praetorian::Fault),
    /// More passwords wait than can be hashed in time.
    #[error("too many logins at once")]
    Busy,
    /// Nobody would take a token that holds so many roles, or so long a name.
    #[error("the token would be longer than tokens.max_length")]
    TokenTooLong,
    /// The store does not answer.
    #[error("{0}")]
    StoreUnavailable(String),
    /// There is no key to sign with yet.
    #[error("no signing key is active")]
    NotReady,
    /// A fault of ours, or a table that is not what it should be.
    #[error("{0}")]
    Internal(String),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(_) | store::Error::Schema(_) => Self::StoreUnavailable(error.to_string()),
            store::Error::Refused(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<password::Error> for Error {
    fn from(error: password::Error) -> Self {
        match error {
            password::Error::Busy => Self::Busy,
            password::Error::TooLong => Self::WeakPassword(vec![policy::Reason::TooLong]),
            // Of a stored hash: whoever verifies one tells these apart before.
            password::Error::UnknownScheme
            | password::Error::Malformed
            | password::Error::TooCostly
            | password::Error::Unavailable => Self::Internal(error.to_string()),
        }
    }
}

impl From<token::IssueError> for Error {
    fn from(error: token::IssueError) -> Self {
        match error {
            token::IssueError::NoKey => Self::NotReady,
            token::IssueError::TooLong => Self::TokenTooLong,
            token::IssueError::Failed => Self::Internal(error.to_string()),
        }
    }
}

fn list(items: &[impl ToString]) -> String {
    let texts: Vec<_> = items.iter().map(ToString::to_string).collect();
    texts.join(", ")
}
