//! Why a token is not good.

use super::praetorian;
use crate::principal::UserId;

/// Why a token was refused. The texts are for logs and `doorward token inspect`; a client only learns `invalid_token`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than `tokens.max_length`; nothing of it was looked at.
    #[error("the token is longer than tokens.max_length")]
    TooLong,
    /// Not three parts of canonical base64url with JSON objects in the first two (RFC 7515 section 7.1).
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// The header asks for something that is not done here.
    #[error("the token's header is not acceptable: {0}")]
    UnsupportedHeader(&'static str),
    /// `typ` is another kind of token's.
    #[error("the token is of another kind (typ)")]
    WrongKind,
    /// `iss` is neither ours nor a trusted issuer's.
    #[error("the token's issuer (iss) is not trusted")]
    UnknownIssuer,
    /// The issuer has no key of this name and algorithm.
    #[error("the token's key (kid) is not known")]
    UnknownKey,
    /// `alg` is not the key's algorithm.
    #[error("the token's algorithm (alg) is not its key's")]
    WrongAlgorithm,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// `exp` has come.
    #[error("the token has expired")]
    Expired,
    /// `nbf` has not come, or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `aud` names none of the audiences.
    #[error("the token is for another audience (aud)")]
    WrongAudience,
    /// A claim is missing or of the wrong type.
    #[error("the token's claim {0} is missing or not what it should be")]
    BadClaim(&'static str),
    /// The session has ended, or the user is gone or deactivated.
    #[error("the token's session has ended or its user is no longer active")]
    Revoked,
    /// The keys are not loaded yet.
    #[error("the signing keys are not loaded yet")]
    NotReady,
    /// Nobody can tell yet: the issuer's keys were never fetched, or may hold this one by now and cannot be fetched.
    #[error("the token's key (kid) is not among those that could be fetched from its issuer")]
    KeyNotFetched,
    /// The token names its user by a key alone, and who that is is not known yet: the store must be asked.
    #[error("the user of the token is not known yet")]
    NotIdentified(UserId),
    /// A token of the praetorian format, and what that library says about it.
    #[error("{}: {}", .0.class(), .0.as_str())]
    Praetorian(praetorian::Fault),
}

impl Error {
    /// The `result` label of `doorward_token_verifications_total`; a good token's is `ok`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLong | Self::Malformed(_) | Self::UnsupportedHeader(_) => "malformed",
            Self::WrongKind => "kind",
            Self::UnknownIssuer => "issuer",
            Self::UnknownKey | Self::WrongAlgorithm => "key",
            Self::BadSignature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongAudience => "audience",
            Self::BadClaim(_) => "claim",
            Self::Revoked => "revoked",
            Self::NotReady => "not_ready",
            Self::KeyNotFetched => "not_fetched",
            Self::NotIdentified(_) => "not_identified",
            Self::Praetorian(fault) => fault.label(),
        }
    }
}

/// Why the keys of a trusted issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("the keys of issuer {issuer}: cannot read {path}: {why}")]
    Unreadable {
        /// `iss`.
        issuer: String,
        /// The file.
        path: String,
        /// What the system said.
        why: std::io::Error,
    },
    /// The file or secret holds no usable key.
    #[error("the keys of issuer {issuer}: {why}")]
    Unusable {
        /// `iss`.
        issuer: String,
        /// What is wrong with them.
        why: crate::keyring::Error,
    },
    /// Two tables name one issuer, or one names our own.
    #[error("issuer {0} is named twice")]
    Duplicate(String),
}
