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
    let token = rest.trim_ascii();
    match std::str::from_utf8(token) {
        Ok(text) if is_token68(token) => Shown::Bearer(text),
        Ok(_) | Err(_) => Shown::BrokenBearer,
    }
}

/// `b64token` of RFC 6750 section 2.1. Every request with a token pays for this.
fn is_token68(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = token.get(..token.len() - padding).unwrap_or_default();
    let (chunks, rest) = body.as_chunks::<16>();
    let whole = |chunk: &[u8; 16]| chunk.iter().fold(true, |good, byte| good & is_token_byte(*byte));
    !body.is_empty() && chunks.iter().all(whole) && rest.iter().all(|byte| is_token_byte(*byte))
}

/// Without a branch, so that the compiler decides about sixteen bytes at once.
#[inline]
fn is_token_byte(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // `-`, `.`, `/` and the digits stand in one row.
    let row = byte.wrapping_sub(b'-') <= b'9' - b'-';
    letter | row | (byte == b'_') | (byte == b'~') | (byte == b'+')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_of_the_characters_that_the_rfc_names() {
        for length in [1, 2, 15, 16, 17, 33] {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut token = vec![b'a'; length];
                    token[place] = byte;
                    let good = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
                    // The equals sign may stand at the end, behind something.
                    let padding = byte == b'=' && place + 1 == length && length > 1;
                    assert_eq!(is_token68(&token), good || padding, "{token:?}");
                }
            }
        }
        assert!(!is_token68(b"") && !is_token68(b"==") && is_token68(b"a=="));
    }

    #[test]
    fn the_scheme_is_read_as_the_rfc_has_it() {
        for (field, expected) in [
            ("Bearer a.b.c", Shown::Bearer("a.b.c")),
            ("bEARER  a.b.c ", Shown::Bearer("a.b.c")),
            ("Bearer", Shown::BrokenBearer),
            ("Bearer ", Shown::BrokenBearer),
            ("Bearer a b", Shown::BrokenBearer),
            ("Bearer a,b", Shown::BrokenBearer),
            ("Bearera.b.c", Shown::OtherScheme),
            ("Basic YTpi", Shown::OtherScheme),
            ("", Shown::OtherScheme),
        ] {
            assert_eq!(read(&HeaderValue::from_static(field)), expected, "{field:?}");
        }
        assert_eq!(shown(&Authorization::Several), Shown::Several);
        assert_eq!(shown(&Authorization::None), Shown::Nothing);
    }
}
