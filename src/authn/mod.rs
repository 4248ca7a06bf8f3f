//! Who is it? Finds the credential a request shows and verifies it.
//!
//! A new kind of credential is one file here and one variant of [`Shown`].

mod bearer;

use std::sync::Arc;

use http::HeaderValue;

use crate::headers::Authorization;
use crate::identity;
use crate::principal::Person;

pub use bearer::{Authenticator, Remembered};

/// A verified credential: the person, and what a backend is told about them.
#[derive(Debug)]
pub struct Proof {
    /// Who it is, with the roles in force.
    pub person: Arc<Person>,
    /// Their identity headers, if headers can carry them.
    pub values: Result<identity::Values, identity::NotRepresentable>,
}

impl Proof {
    /// The proof for a verified person.
    pub fn of(person: Arc<Person>) -> Self {
        let values = identity::Values::of(&person);
        Self { person, values }
    }
}

/// What a request shows, as far as it could be read without verifying anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Nothing that could count here.
    Nothing,
    /// `Authorization: Bearer` and the token.
    Bearer(&'a str),
    /// `Authorization: Bearer` and something that cannot be a token.
    BrokenBearer,
    /// Several Authorization fields.
    Several,
    /// Another authentication scheme: none of our business.
    OtherScheme,
}

/// What came of looking at a credential.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Nothing was shown that counts here.
    Anonymous,
    /// A good credential.
    Known(Arc<Proof>),
    /// A credential that is no good.
    Bad(Fault),
}

/// Why a credential is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// More than one was sent: which one counts is anybody's guess.
    Several,
    /// It is not a token at all.
    Malformed,
    /// It is a token, and does not hold; the text is for the log.
    Invalid(&'static str),
    /// It belongs to a session that has ended, or to a user who may not come in any more.
    Ended,
    /// Nothing is wrong with it that we could tell: keys and revocations are not loaded yet.
    NotReady,
}

impl Fault {
    /// The stable word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Several => "several",
            Self::Malformed => "malformed",
            Self::Invalid(why) => why,
            Self::Ended => "ended",
            Self::NotReady => "not_ready",
        }
    }
}

/// Reads the Authorization field (RFC 9110 section 11.6.2, RFC 6750 section 2.1).
pub fn shown(authorization: &Authorization) -> Shown<'_> {
    match authorization {
        Authorization::None => Shown::Nothing,
        Authorization::Several => Shown::Several,
        Authorization::One(value) => read(value),
    }
}

fn read(value: &HeaderValue) -> Shown<'_> {
    let bytes = value.as_bytes();
    let (scheme, rest) = bytes.split_at_checked(6).unwrap_or((bytes, &[]));
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Shown::OtherScheme;
    }
    match rest.first() {
        None => return Shown::BrokenBearer,
        Some(b' ') => {}
        // "BearerX …" is the name of another scheme.
        Some(_) => return Shown::OtherScheme,
    }
    match std::str::from_utf8(rest.trim_ascii()) {
        Ok(token) if is_token68(token) => Shown::Bearer(token),
        Ok(_) | Err(_) => Shown::BrokenBearer,
    }
}

/// `b64token` of RFC 6750 section 2.1.
fn is_token68(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/'))
}

#[cfg(test)]
mod tests;
