//! What of a stored hash decides the cost of verifying it, and nothing else of it.

use std::fmt;
use std::str::FromStr;

use super::stored::StoredHash;
use super::{Cost, Error};

/// Scheme and cost of a stored hash, without salt and digest. Its text is the beginning of every hash of this shape
/// (`$argon2id$v=19$m=19456,t=2,p=1$`), so that a store can count hashes by prefix, the longest that fits (`$6$`, with implicit
/// rounds, is the beginning of `$6$rounds=656000$` too).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape(String);

/// The text is not the beginning of a hash that could be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the scheme and cost of a known password hash")]
pub struct UnknownShape;

impl Shape {
    /// The shape of a stored hash; none for one that would be refused.
    pub fn of(stored: &str) -> Option<Self> {
        StoredHash::parse(stored).ok().map(|hash| Self(hash.prefix()))
    }

    /// The shape of new argon2id hashes.
    pub fn of_new(cost: Cost) -> Self {
        Self(format!(
            "$argon2id$v=19$m={},t={},p={}$",
            cost.memory_kib(),
            cost.iterations(),
            cost.parallelism()
        ))
    }

    /// The text: what hashes of this shape begin with.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A hash of this shape with characters from `next` for salt and digest. Letters and digits mean something in every
    /// alphabet that hashes are written in.
    pub(super) fn fill(&self, mut next: impl FnMut() -> char) -> Result<String, Error> {
        let layout = Layout::of(&self.0).ok_or(Error::UnknownScheme)?;
        let mut text = self.0.clone();
        text.extend((0..layout.salt).map(|_| next()));
        text.push_str(layout.separator);
        text.extend((0..layout.digest).map(|_| next()));
        Ok(text)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Shape {
    type Err = UnknownShape;

    fn from_str(text: &str) -> Result<Self, UnknownShape> {
        let sample = Self(String::from(text)).fill(|| 'A').map_err(|_| UnknownShape)?;
        match Self::of(&sample) {
            Some(shape) if shape.0 == text => Ok(shape),
            Some(_) | None => Err(UnknownShape),
        }
    }
}

/// How many characters of salt and digest the scheme's software writes, and what stands between them.
struct Layout {
    salt: usize,
    separator: &'static str,
    digest: usize,
}

impl Layout {
    const TABLE: [(&'static str, Self); 11] = [
        ("$argon2", Self::new(22, "$", 43)),
        ("$pbkdf2-sha512$", Self::new(22, "$", 86)),
        ("$pbkdf2-sha256$", Self::new(22, "$", 43)),
        ("$pbkdf2$", Self::new(22, "$", 27)),
        ("pbkdf2_sha256$", Self::new(22, "$", 43)),
        ("pbkdf2_sha1$", Self::new(22, "$", 27)),
        ("$2", Self::new(22, "", 31)),
        ("$bcrypt-sha256$", Self::new(22, "$", 31)),
        ("$5$", Self::new(16, "$", 43)),
        ("$6$", Self::new(16, "$", 86)),
        ("$scrypt$", Self::new(22, "$", 43)),
    ];

    const fn new(salt: usize, separator: &'static str, digest: usize) -> Self {
        Self {
            salt,
            separator,
            digest,
        }
    }

    fn of(text: &str) -> Option<&'static Self> {
        let found = Self::TABLE.iter().find(|(prefix, _)| text.starts_with(prefix));
        found.map(|(_, layout)| layout)
    }
}
