//! The compact form of a signed token (RFC 7515 section 7.1), taken apart strictly: one token has one spelling.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::json::{Json, Object};
use super::{Error, Kind};

/// A token in its parts, decoded, none of them believed.
pub(super) struct Compact<'a> {
    /// What the signature is over: header and payload as they came.
    pub(super) signed: &'a [u8],
    pub(super) header: String,
    pub(super) payload: String,
    pub(super) signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    pub(super) fn parse(token: &'a [u8], max_length: usize) -> Result<Self, Error> {
        if token.len() > max_length {
            return Err(Error::TooLong);
        }
        // Exactly two dots: one more is a JWE or rubbish, and none of the parts holds one.
        let mut dots = token
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'.')
            .map(|(index, _)| index);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Error::Malformed("not three parts"));
        };
        let part = |from: usize, to: usize| token.get(from..to).unwrap_or_default();
        Ok(Self {
            signed: part(0, second),
            header: text(part(0, first), "header")?,
            payload: text(part(first + 1, second), "payload")?,
            signature: decode(part(second + 1, token.len())).ok_or(Error::Malformed("signature"))?,
        })
    }

    /// The one spelling of this token: what was parsed, if parsing keeps its promise.
    pub(super) fn rebuilt(&self) -> Vec<u8> {
        let parts = [self.header.as_bytes(), self.payload.as_bytes(), &self.signature];
        parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".").into_bytes()
    }
}

/// RFC 7515 section 2: base64url without padding, blanks or line breaks; this engine also refuses trailing bits that
/// are not zero, so that nobody can spell a token in two ways.
fn decode(part: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn text(part: &[u8], name: &'static str) -> Result<String, Error> {
    let bytes = decode(part)
        .filter(|bytes| !bytes.is_empty())
        .ok_or(Error::Malformed(name))?;
    String::from_utf8(bytes).map_err(|_| Error::Malformed(name))
}

/// What counts of a header. `jwk`, `jku`, `x5u` and `x5c` are not even read: a token does not bring its key along.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) typ: Option<String>,
    pub(super) key: Option<String>,
}

impl Header {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let header = Object::parse(text).map_err(|_| Error::Malformed("header"))?;
        // RFC 7515 section 4.1.11: no extension is understood here, so none may be critical. `b64` (RFC 7797) would have
        // to be; `zip` and `enc` belong to encryption (RFC 7516).
        for (name, refused) in [
            ("crit", "crit"),
            ("b64", "b64"),
            ("zip", "zip"),
            ("enc", "enc: the token is encrypted"),
        ] {
            if header.get(name).is_some() {
                return Err(Error::UnsupportedHeader(refused));
            }
        }
        let string = |name: &str, wrong: &'static str| match header.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.clone().into_owned())),
            Some(_) => Err(Error::UnsupportedHeader(wrong)),
        };
        Ok(Self {
            algorithm: string("alg", "alg is not a string")?.ok_or(Error::UnsupportedHeader("alg is missing"))?,
            typ: string("typ", "typ is not a string")?,
            key: string("kid", "kid is not a string")?,
        })
    }

    /// RFC 9068 section 4: ours says what it is.
    pub(super) fn must_be(&self, kind: Kind) -> Result<(), Error> {
        match self.media_type() {
            Some(typ) if typ.eq_ignore_ascii_case(kind.typ()) => Ok(()),
            Some(_) | None => Err(Error::WrongKind),
        }
    }

    /// Other issuers' access tokens come without a type, as `JWT`, or as RFC 9068 has it; any other type is said by who
    /// wants it not to be taken for an access token (RFC 8725 section 3.11).
    pub(super) fn may_be_access(&self) -> Result<(), Error> {
        match self.media_type() {
            None => Ok(()),
            Some(typ) if typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case(Kind::Access.typ()) => Ok(()),
            Some(_) => Err(Error::WrongKind),
        }
    }

    /// RFC 7515 section 4.1.9: a media type, whose `application/` may be left out.
    fn media_type(&self) -> Option<&str> {
        let typ = self.typ.as_deref()?;
        let prefix = "application/";
        match typ.split_at_checked(prefix.len()) {
            Some((start, rest)) if start.eq_ignore_ascii_case(prefix) => Some(rest),
            _ => Some(typ),
        }
    }
}
