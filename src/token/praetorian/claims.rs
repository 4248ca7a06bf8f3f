//! The claims as they stand in a token: read strictly, kept as they were written where a refresh hands them on.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use crate::principal::UserId;

use super::{Claim, Fault, Undecodable};
use crate::token::json::{Json, Object};

/// The claims that flask-praetorian makes itself.
const RESERVED: [&str; 8] = ["iat", "exp", "jti", "id", "rls", "rf_exp", "is_ert", "is_prt"];

/// The longest `jti` that is its own name.
const LONGEST_NAME: usize = 255;

/// The claims of a token whose signature is right.
pub(super) struct Claims<'a> {
    object: Object<'a>,
    text: &'a str,
}

/// A point in time of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Date {
    Whole(i64),
    /// Python takes any number.
    Fraction(f64),
}

/// What a refresh keeps, as JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) jti: String,
    pub(super) id: String,
    pub(super) rf_exp: String,
    /// `rf_exp` in whole seconds, rounded down.
    pub(super) refresh_until: i64,
    /// Each with a comma before it.
    pub(super) custom: String,
}

/// Whom a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// This user.
    User(UserId),
    /// Nobody: `null`.
    Null,
    /// What is no key of a row.
    Nonsense,
}

/// Whether claims that nobody has vouched for look like a token of this format.
pub(in crate::token) fn is_one(payload: &str) -> bool {
    let object = Object::parse(payload);
    object.is_ok_and(|object| {
        ["jti", "id", "exp", "rf_exp"]
            .iter()
            .all(|name| object.get(name).is_some())
    })
}

/// The name under which a token of this `jti` is revoked: itself, or a digest of what is too long or too odd for a store.
pub fn name_of(jti: &str) -> String {
    if jti.len() <= LONGEST_NAME && !jti.contains('\0') {
        return jti.to_owned();
    }
    let digest = digest(&SHA256, jti.as_bytes());
    let mut name = String::from("sha256:");
    for byte in digest.as_ref() {
        write!(name, "{byte:02x}").ok();
    }
    name
}

impl<'a> Claims<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Fault> {
        let wrong = Fault::Undecodable(Undecodable::PayloadString);
        let text = std::str::from_utf8(payload).map_err(|_| wrong)?;
        let object = Object::parse(text).map_err(|_| wrong)?;
        Ok(Self { object, text })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some()
    }

    pub(super) fn require(&self, name: &str, claim: Claim) -> Result<(), Fault> {
        match self.has(name) {
            true => Ok(()),
            false => Err(Fault::MissingClaim(claim)),
        }
    }

    /// A number that must be there.
    pub(super) fn date(&self, name: &str) -> Result<Date, Fault> {
        match self.object.get(name) {
            Some(Json::Integer(whole)) => Ok(Date::Whole(*whole)),
            Some(Json::Number(number)) => Ok(Date::Fraction(*number)),
            _ => Err(Fault::Undecodable(Undecodable::Expiry)),
        }
    }

    /// What Python's `int()` makes of a claim, if it is there.
    pub(super) fn integer(&self, name: &str, wrong: Undecodable) -> Result<Option<i64>, Fault> {
        match self.object.get(name) {
            None => Ok(None),
            Some(Json::Integer(whole)) => Ok(Some(*whole)),
            Some(Json::Number(number)) => Ok(Some(Date::Fraction(number.trunc()).floor())),
            Some(Json::Text(text)) => text.trim().parse().map(Some).map_err(|_| Fault::Undecodable(wrong)),
            Some(_) => Err(Fault::Undecodable(wrong)),
        }
    }

    /// `jti`, whatever it is.
    pub(super) fn token_id(&self) -> String {
        match self.object.get("jti") {
            Some(Json::Text(text)) => name_of(text),
            _ => name_of(self.raw("jti")),
        }
    }

    /// `id`: a number, or digits as text, in its one spelling.
    pub(super) fn user(&self) -> Named {
        match self.object.get("id") {
            Some(Json::Integer(id)) => Named::User(UserId(*id)),
            Some(Json::Text(text)) => {
                let id = text.parse::<i64>().ok().filter(|id| id.to_string() == **text);
                id.map_or(Named::Nonsense, |id| Named::User(UserId(id)))
            }
            Some(Json::Null) => Named::Null,
            Some(_) | None => Named::Nonsense,
        }
    }

    pub(super) fn kept(&self, refresh_until: Date) -> Kept {
        let mut custom = String::new();
        for (name, value) in members(self.text) {
            let plain: Option<String> = serde_json::from_str(name).ok();
            if plain.is_none_or(|plain| !RESERVED.contains(&plain.as_str())) {
                custom.push(',');
                rewrite(name, &mut custom);
                custom.push(':');
                rewrite(value, &mut custom);
            }
        }
        Kept {
            jti: self.rewritten("jti"),
            id: self.rewritten("id"),
            rf_exp: self.rewritten("rf_exp"),
            refresh_until: refresh_until.floor(),
            custom,
        }
    }

    fn rewritten(&self, name: &str) -> String {
        let mut text = String::new();
        rewrite(self.raw(name), &mut text);
        text
    }

    fn raw(&self, name: &str) -> &'a str {
        let is_it = |raw: &str| serde_json::from_str::<String>(raw).is_ok_and(|plain| plain == name);
        let found = members(self.text).into_iter().find(|(raw, _)| is_it(raw));
        found.map_or("null", |(_, value)| value)
    }
}

impl Date {
    /// In whole seconds, rounded down.
    #[expect(
        clippy::as_conversions,
        reason = "a float saturates, and none that was read is no number"
    )]
    pub(super) fn floor(self) -> i64 {
        match self {
            Self::Whole(whole) => whole,
            Self::Fraction(number) => number.floor() as i64,
        }
    }

    /// In milliseconds.
    #[expect(
        clippy::as_conversions,
        reason = "a float saturates, and none that was read is no number"
    )]
    pub(super) fn millis(self) -> i64 {
        match self {
            Self::Whole(whole) => whole.saturating_mul(1000),
            Self::Fraction(number) => (number * 1000.0).ceil() as i64,
        }
    }
}

/// The members of a JSON object that was read without a fault before: each name and value as it is written.
fn members(object: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let (mut depth, mut in_text, mut escaped) = (0_u32, false, false);
    let (mut begin, mut name) = (0, None);
    for (at, byte) in object.bytes().enumerate() {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        let piece = || object.get(begin..at).unwrap_or_default().trim();
        match (byte, depth) {
            (b'"', _) => in_text = true,
            (b'{' | b'[', _) => {
                depth += 1;
                if depth == 1 {
                    begin = at + 1;
                }
            }
            (b':', 1) => {
                name = Some(piece());
                begin = at + 1;
            }
            (b',' | b'}', 1) => {
                found.extend(name.take().map(|name| (name, piece())));
                begin = at + 1;
                depth -= u32::from(byte == b'}');
            }
            (b'}' | b']', _) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}

/// The same JSON as Python's `json.dumps` writes it: no white space, nothing but ASCII.
fn rewrite(json: &str, into: &mut String) {
    let (mut in_text, mut escaped) = (false, false);
    for character in json.chars() {
        if in_text {
            in_text = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else {
            in_text = character == '"';
            if character.is_ascii_whitespace() {
                continue;
            }
        }
        ascii(character, into);
    }
}

/// A text as Python's `json.dumps` writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut into = String::with_capacity(text.len() + 2);
    into.push('"');
    for character in text.chars() {
        match character {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            '\u{8}' => into.push_str("\\b"),
            '\u{c}' => into.push_str("\\f"),
            other => ascii(other, &mut into),
        }
    }
    into.push('"');
    into
}

/// A character as it is, or escaped where it is not a printable one of ASCII.
fn ascii(character: char, into: &mut String) {
    if matches!(character, ' '..='~') {
        into.push(character);
        return;
    }
    for unit in character.encode_utf16(&mut [0; 2]) {
        write!(into, "\\u{unit:04x}").ok();
    }
}
