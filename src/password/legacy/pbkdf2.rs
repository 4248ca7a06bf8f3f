//! PBKDF2 (RFC 8018 section 5.2) as passlib and Django write it: `$pbkdf2-sha512$25000$salt$digest`, `pbkdf2_sha256$1000000$salt$digest`.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;

use crate::password::Error;
use crate::password::encoding::{ab64, decimal, from_ab64, from_base64, parts};

const MAX_ROUNDS: u32 = 10_000_000;
/// passlib's own bound.
const MAX_SALT_BYTES: usize = 1024;
/// The rounds of a new hash: the default of passlib 1.7.4, which is what the Flask server writes.
const NEW_ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(24_999);

/// Who wrote the string, and with which hash function: its first part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::password) enum Writer {
    /// `$pbkdf2$`
    PasslibSha1,
    /// `$pbkdf2-sha256$`
    PasslibSha256,
    /// `$pbkdf2-sha512$`
    PasslibSha512,
    /// `pbkdf2_sha1$`
    DjangoSha1,
    /// `pbkdf2_sha256$`
    DjangoSha256,
}

impl Writer {
    /// Every writer, for those who look for one by its prefix.
    pub(in crate::password) const ALL: [Self; 5] = [
        Self::PasslibSha1,
        Self::PasslibSha256,
        Self::PasslibSha512,
        Self::DjangoSha1,
        Self::DjangoSha256,
    ];

    /// What its strings begin with.
    pub(in crate::password) fn prefix(self) -> &'static str {
        match self {
            Self::PasslibSha1 => "$pbkdf2$",
            Self::PasslibSha256 => "$pbkdf2-sha256$",
            Self::PasslibSha512 => "$pbkdf2-sha512$",
            Self::DjangoSha1 => "pbkdf2_sha1$",
            Self::DjangoSha256 => "pbkdf2_sha256$",
        }
    }

    /// Bytes of a digest: one whole output of the hash function.
    pub(in crate::password) fn digest_bytes(self) -> usize {
        match self {
            Self::PasslibSha1 | Self::DjangoSha1 => 20,
            Self::PasslibSha256 | Self::DjangoSha256 => 32,
            Self::PasslibSha512 => 64,
        }
    }

    fn algorithm(self) -> pbkdf2::Algorithm {
        match self {
            Self::PasslibSha1 | Self::DjangoSha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::PasslibSha256 | Self::DjangoSha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::PasslibSha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    /// passlib encodes both; Django's salt is the text itself and its digest plain base64.
    fn decode(self, salt: &str, digest: &str) -> Result<(Vec<u8>, Vec<u8>), Error> {
        match self {
            Self::PasslibSha1 | Self::PasslibSha256 | Self::PasslibSha512 => Ok((from_ab64(salt)?, from_ab64(digest)?)),
            Self::DjangoSha1 | Self::DjangoSha256 => Ok((salt.as_bytes().to_vec(), from_base64(digest)?)),
        }
    }
}

/// A stored PBKDF2 hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::password) struct Pbkdf2 {
    writer: Writer,
    rounds: NonZeroU32,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl Pbkdf2 {
    /// Whether this is pbkdf2_sha512 as passlib writes it.
    pub(in crate::password) fn is_praetorian(&self) -> bool {
        self.writer == Writer::PasslibSha512
    }

    /// Reads what follows the writer's prefix.
    pub(in crate::password) fn parse(writer: Writer, text: &str) -> Result<Self, Error> {
        let [rounds, salt, digest] = parts(text, '$')?;
        let rounds = NonZeroU32::new(decimal(rounds)?).ok_or(Error::Malformed)?;
        if rounds.get() > MAX_ROUNDS {
            return Err(Error::TooCostly);
        }
        let (salt, digest) = writer.decode(salt, digest)?;
        if digest.len() != writer.digest_bytes() || salt.len() > MAX_SALT_BYTES {
            return Err(Error::Malformed);
        }
        Ok(Self {
            writer,
            rounds,
            salt,
            digest,
        })
    }

    /// A new hash in the default form of flask-praetorian, as text.
    pub(in crate::password) fn create_praetorian(password: &[u8], salt: &[u8; 16]) -> String {
        let writer = Writer::PasslibSha512;
        let mut digest = [0; 64];
        pbkdf2::derive(writer.algorithm(), NEW_ROUNDS, salt, password, &mut digest);
        format!("{}{NEW_ROUNDS}${}${}", writer.prefix(), ab64(salt), ab64(&digest))
    }

    /// Whether this is the hash of the password.
    pub(in crate::password) fn verify(&self, password: &[u8]) -> bool {
        pbkdf2::verify(self.writer.algorithm(), self.rounds, &self.salt, password, &self.digest).is_ok()
    }

    /// The string up to the salt.
    pub(in crate::password) fn prefix(&self) -> String {
        format!("{}{}$", self.writer.prefix(), self.rounds)
    }
}
