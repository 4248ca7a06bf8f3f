//! The claims of a token (RFC 7519 section 4), typed and checked; what is of the wrong type is not there, it is refused.

use std::fmt;

use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Error;
use super::json::{Json, Object};

/// How far ahead an `iat` of ours may lie: another replica's clock made it.
const MAX_AHEAD: i64 = 60;

/// How strictly a NumericDate is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Integers only: ours.
    Integers,
    /// Fractions too, as RFC 7519 section 2 allows; rounded so that the token lives shorter, never longer.
    Fractions,
}

/// The claims of a token whose signature is right.
#[derive(Debug)]
pub(super) struct Claims<'a>(Object<'a>);

impl<'a> Claims<'a> {
    pub(super) fn parse<B: AsRef<[u8]> + ?Sized>(payload: &'a B) -> Result<Self, Error> {
        let text = std::str::from_utf8(payload.as_ref()).map_err(|_| Error::Malformed("claims"))?;
        Object::parse(text).map(Self).map_err(|_| Error::Malformed("claims"))
    }

    /// A claim that must be a string that is not empty.
    pub(super) fn text(&self, name: &'static str) -> Result<&str, Error> {
        self.optional_text(name)?
            .filter(|text| !text.is_empty())
            .ok_or(Error::BadClaim(name))
    }

    /// A claim that is a string if it is there.
    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<&str>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Error::BadClaim(name)),
        }
    }

    /// A claim at a path, whatever it is.
    pub(super) fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Json<'a>> {
        self.0.at(path)
    }

    /// RFC 7519 section 4.1.3: one of ours must be among the token's; an empty list asks for nothing.
    pub(super) fn check_audience(&self, wanted: &[String]) -> Result<(), Error> {
        let audience = self.0.get("aud");
        let matches = match audience {
            None => false,
            Some(Json::Text(one)) => wanted.iter().any(|name| name == one),
            Some(Json::Array(many)) => {
                let mut found = false;
                for item in many {
                    let Json::Text(one) = item else {
                        return Err(Error::BadClaim("aud"));
                    };
                    found |= wanted.iter().any(|name| name == one);
                }
                found
            }
            Some(_) => return Err(Error::BadClaim("aud")),
        };
        match (matches || wanted.is_empty(), audience) {
            (true, _) => Ok(()),
            (false, None) => Err(Error::BadClaim("aud")),
            (false, Some(_)) => Err(Error::WrongAudience),
        }
    }

    /// The times of a token, of which `exp` is required.
    pub(super) fn times(&self, numbers: Numbers) -> Result<Times, Error> {
        Ok(Times {
            expires_at: self.date("exp", numbers, f64::floor)?.ok_or(Error::BadClaim("exp"))?,
            not_before: self.date("nbf", numbers, f64::ceil)?,
            issued_at: self.date("iat", numbers, f64::floor)?,
        })
    }

    fn date(&self, name: &'static str, numbers: Numbers, round: fn(f64) -> f64) -> Result<Option<i64>, Error> {
        let date = match (self.0.get(name), numbers) {
            (None, _) => return Ok(None),
            (Some(Json::Integer(date)), _) => *date,
            (Some(Json::Number(date)), Numbers::Fractions) => saturating(round(*date)),
            (Some(_), _) => return Err(Error::BadClaim(name)),
        };
        // Before 1970 no token was issued: not a date that anybody means.
        if date < 0 {
            Err(Error::BadClaim(name))
        } else {
            Ok(Some(date))
        }
    }

    /// An array of strings.
    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<&str>, Error> {
        match self.0.get(name) {
            Some(Json::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Json::Text(text) => Ok(text.as_ref()),
                    _ => Err(Error::BadClaim(name)),
                })
                .collect(),
            _ => Err(Error::BadClaim(name)),
        }
    }
}

/// `exp`, `nbf`, `iat`, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) expires_at: i64,
    pub(super) not_before: Option<i64>,
    pub(super) issued_at: Option<i64>,
}

impl Times {
    /// The seconds in which the token counts: from the first, before the second. A token is dead *at* its `exp` (RFC 7519
    /// section 4.1.4). `judge_issue`: an `iat` too far ahead makes it wait.
    pub(super) fn window(&self, leeway: i64, judge_issue: bool) -> (i64, i64) {
        let from_nbf = self.not_before.map(|date| date.saturating_sub(leeway));
        let from_iat = self
            .issued_at
            .filter(|_| judge_issue)
            .map(|date| date.saturating_sub(MAX_AHEAD));
        let from = from_nbf.max(from_iat).unwrap_or(i64::MIN);
        (from, self.expires_at.saturating_add(leeway))
    }
}

#[expect(
    clippy::as_conversions,
    reason = "a float saturates, and serde_json yields finite ones only"
)]
fn saturating(number: f64) -> i64 {
    number as i64
}

/// The `iss` of claims that nobody has vouched for yet: it chooses whose keys are tried, and nothing else. One pass, no
/// values kept.
pub(super) fn peek_issuer(payload: &str) -> Result<String, Error> {
    match serde_json::from_str::<Peeked>(payload) {
        Ok(peeked) => Ok(peeked.0),
        // JSON, but without an `iss` that is one string.
        Err(why) if why.is_data() => Err(Error::UnknownIssuer),
        Err(_) => Err(Error::Malformed("claims")),
    }
}

struct Peeked(String);

impl<'de> Deserialize<'de> for Peeked {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(Peek)
    }
}

struct Peek;

impl<'de> Visitor<'de> for Peek {
    type Value = Peeked;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("claims with one iss")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Peeked, A::Error> {
        let mut issuer = None;
        while let Some(IsIssuer(is_issuer)) = members.next_key()? {
            if !is_issuer {
                members.next_value::<IgnoredAny>()?;
            } else if issuer.replace(members.next_value()?).is_some() {
                return Err(de::Error::duplicate_field("iss"));
            }
        }
        issuer.map(Peeked).ok_or_else(|| de::Error::missing_field("iss"))
    }
}

struct IsIssuer(bool);

impl<'de> Deserialize<'de> for IsIssuer {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_str(IsIssuerVisitor)
    }
}

struct IsIssuerVisitor;

impl Visitor<'_> for IsIssuerVisitor {
    type Value = IsIssuer;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<IsIssuer, E> {
        Ok(IsIssuer(name == "iss"))
    }
}
