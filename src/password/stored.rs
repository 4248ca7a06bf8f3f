//! A hash as a table holds it: recognised by its scheme, checked for its form and cost, verified.

use super::argon::{Argon, Memory};
use super::legacy::{Bcrypt, Pbkdf2, Scrypt, ShaCrypt, Writer};
use super::{Cost, Error, MAX_PASSWORD_BYTES, Settings};

/// Longer text is no hash of any known scheme: the longest allowed salt twice over.
const MAX_TEXT_BYTES: usize = 4096;

/// A stored hash of a known scheme and an acceptable cost. Reading it costs nothing; verifying it costs what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash(Format);

#[derive(Clone, PartialEq, Eq)]
enum Format {
    Argon(Argon),
    Pbkdf2(Pbkdf2),
    Bcrypt(Bcrypt),
    ShaCrypt(ShaCrypt),
    Scrypt(Scrypt),
}

impl StoredHash {
    /// Reads a hash. An unknown scheme, a damaged string and a cost above our caps are refused here, before any work.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::Malformed);
        }
        if let Some((writer, rest)) = Writer::ALL
            .iter()
            .find_map(|writer| Some((*writer, text.strip_prefix(writer.prefix())?)))
        {
            return Ok(Self(Format::Pbkdf2(Pbkdf2::parse(writer, rest)?)));
        }
        let format = if let Some(rest) = text.strip_prefix("$argon2") {
            Format::Argon(Argon::parse(rest)?)
        } else if let Some(rest) = text.strip_prefix("$2a$") {
            Format::Bcrypt(Bcrypt::parse("2a", rest)?)
        } else if let Some(rest) = text.strip_prefix("$2b$") {
            Format::Bcrypt(Bcrypt::parse("2b", rest)?)
        } else if let Some(rest) = text.strip_prefix("$2y$") {
            Format::Bcrypt(Bcrypt::parse("2y", rest)?)
        } else if let Some(rest) = text.strip_prefix("$bcrypt-sha256$") {
            Format::Bcrypt(Bcrypt::parse_sha256(rest)?)
        } else if let Some(rest) = text.strip_prefix("$5$") {
            Format::ShaCrypt(ShaCrypt::parse(false, rest)?)
        } else if let Some(rest) = text.strip_prefix("$6$") {
            Format::ShaCrypt(ShaCrypt::parse(true, rest)?)
        } else if let Some(rest) = text.strip_prefix("$scrypt$") {
            Format::Scrypt(Scrypt::parse(rest)?)
        } else {
            return Err(Error::UnknownScheme);
        };
        Ok(Self(format))
    }

    /// Whether flask-praetorian's passlib accepts this scheme by default.
    pub(super) fn is_praetorian(&self) -> bool {
        match &self.0 {
            Format::Argon(_) | Format::Bcrypt(_) | Format::ShaCrypt(_) => true,
            Format::Pbkdf2(hash) => hash.is_praetorian(),
            Format::Scrypt(_) => false,
        }
    }

    /// Whether a login with the right password should replace this hash: upgrades are on, and it is not argon2id or weaker than
    /// a new one would be.
    pub fn needs_upgrade(&self, settings: &Settings) -> bool {
        settings.upgrade && self.is_weaker_than(settings.cost)
    }

    fn is_weaker_than(&self, cost: Cost) -> bool {
        match &self.0 {
            Format::Argon(hash) => hash.is_weaker_than(cost),
            Format::Pbkdf2(_) | Format::Bcrypt(_) | Format::ShaCrypt(_) | Format::Scrypt(_) => true,
        }
    }

    /// Whether this is the hash of the password. Takes as long as the hash costs; the comparison itself takes constant time.
    pub(super) fn verify(&self, password: &[u8], memory: &mut Memory) -> Result<bool, Error> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(Error::TooLong);
        }
        match &self.0 {
            Format::Argon(hash) => hash.verify(password, memory),
            Format::Pbkdf2(hash) => Ok(hash.verify(password)),
            Format::Bcrypt(hash) => Ok(hash.verify(password)),
            Format::ShaCrypt(hash) => hash.verify(password),
            Format::Scrypt(hash) => hash.verify(password),
        }
    }

    /// The canonical string up to the salt: scheme and cost, nothing of the hash.
    pub(super) fn prefix(&self) -> String {
        match &self.0 {
            Format::Argon(hash) => hash.prefix(),
            Format::Pbkdf2(hash) => hash.prefix(),
            Format::Bcrypt(hash) => hash.prefix(),
            Format::ShaCrypt(hash) => hash.prefix(),
            Format::Scrypt(hash) => hash.prefix(),
        }
    }
}

/// Shows scheme and cost, never salt or digest.
impl std::fmt::Debug for StoredHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "StoredHash({}…)", self.prefix())
    }
}
