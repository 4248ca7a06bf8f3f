//! What a request shows, as far as it can be read without verifying anything.

use http::HeaderValue;

use super::{api_key, basic};
use crate::headers::Authorization;

/// The Authorization field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Nothing that could count here.
    Nothing,
    /// `Authorization: Bearer` and the token.
    Bearer(&'a str),
    /// `Authorization: Bearer` and something that cannot be a token.
    BrokenBearer,
    /// `Authorization: Basic` and what follows.
    Basic(&'a str),
    /// Several Authorization fields.
    Several,
    /// Another authentication scheme: none of our business.
    OtherScheme,
}

/// Which kinds of credentials count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// A bearer token, or an API key as one.
    pub bearer: bool,
    /// The browser's cookie.
    pub session: bool,
    /// An API key as the password of Basic.
    pub basic: bool,
}

/// Reads the Authorization field (RFC 9110 section 11.6.2, RFC 6750 section 2.1, RFC 7617 section 2).
pub fn shown(authorization: &Authorization) -> Shown<'_> {
    match authorization {
        Authorization::None => Shown::Nothing,
        Authorization::Several => Shown::Several,
        Authorization::One(value) => read(value),
    }
}

/// The same, as flask-praetorian reads it: `^Bearer\s*([\w.-]+)`, with a capital letter, blanks or none, and whatever follows
/// ignored. What only looks like it is broken.
pub fn shown_to_flask(authorization: &Authorization) -> Shown<'_> {
    let plain = shown(authorization);
    let Authorization::One(value) = authorization else {
        return plain;
    };
    let Some(rest) = value.as_bytes().strip_prefix(b"Bearer") else {
        return match plain {
            Shown::Bearer(_) | Shown::BrokenBearer => Shown::BrokenBearer,
            Shown::Nothing | Shown::Basic(_) | Shown::Several | Shown::OtherScheme => plain,
        };
    };
    let rest = rest.trim_ascii_start();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let length = rest.iter().take_while(|byte| is_word(byte)).count();
    match rest.get(..length).map(std::str::from_utf8) {
        Some(Ok(token)) if length > 0 => Shown::Bearer(token),
        Some(_) | None => Shown::BrokenBearer,
    }
}

/// Whether this is an API key of ours, however it is shown: no backend gets to see one.
pub fn holds_api_key(shown: &Shown<'_>) -> bool {
    match shown {
        Shown::Bearer(token) => api_key::looks_like_api_key(token),
        Shown::Basic(credentials) => basic::holds_api_key(credentials),
        Shown::Nothing | Shown::BrokenBearer | Shown::Several | Shown::OtherScheme => false,
    }
}

fn read(value: &HeaderValue) -> Shown<'_> {
    let bytes = value.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
    let (scheme, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let rest = std::str::from_utf8(rest.trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        match rest {
            Ok(token) if is_token68(token.as_bytes()) => Shown::Bearer(token),
            Ok(_) | Err(_) => Shown::BrokenBearer,
        }
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        rest.map_or(Shown::OtherScheme, Shown::Basic)
    } else {
        Shown::OtherScheme
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
    fn the_field_is_read_as_flask_praetorian_does_where_that_is_asked_for() {
        for (field, expected) in [
            ("Bearer a.b-c_d", Shown::Bearer("a.b-c_d")),
            ("Bearera.b.c", Shown::Bearer("a.b.c")),
            ("Bearer    a.b.c", Shown::Bearer("a.b.c")),
            ("Bearer\ta.b.c", Shown::Bearer("a.b.c")),
            ("Bearer a.b.c junk", Shown::Bearer("a.b.c")),
            ("Bearer a.b.c,x", Shown::Bearer("a.b.c")),
            ("Bearer a.b.c==", Shown::Bearer("a.b.c")),
            ("Bearer", Shown::BrokenBearer),
            ("Bearer  ", Shown::BrokenBearer),
            ("Bearer ,a", Shown::BrokenBearer),
            ("bearer a.b.c", Shown::BrokenBearer),
            ("BEARER a.b.c", Shown::BrokenBearer),
            ("JWT a.b.c", Shown::OtherScheme),
            ("", Shown::OtherScheme),
            ("Basic YTpi", Shown::Basic("YTpi")),
        ] {
            let value = Authorization::One(HeaderValue::from_static(field));
            assert_eq!(shown_to_flask(&value), expected, "{field:?}");
        }
        assert_eq!(shown_to_flask(&Authorization::Several), Shown::Several);
        assert_eq!(shown_to_flask(&Authorization::None), Shown::Nothing);
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
            ("Bearer\ta.b.c", Shown::OtherScheme),
            ("Bearera.b.c", Shown::OtherScheme),
            ("Basic YTpi", Shown::Basic("YTpi")),
            ("bASIC  YTpi ", Shown::Basic("YTpi")),
            ("Basic", Shown::Basic("")),
            ("Basics YTpi", Shown::OtherScheme),
            ("", Shown::OtherScheme),
        ] {
            assert_eq!(read(&HeaderValue::from_static(field)), expected, "{field:?}");
        }
        assert_eq!(shown(&Authorization::Several), Shown::Several);
        assert_eq!(shown(&Authorization::None), Shown::Nothing);
    }
}
