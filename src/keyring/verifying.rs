//! A key that verifies, parsed once.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};

use super::{Algorithm, Error};

/// The shortest symmetric key: as long as the hash (RFC 7518 section 3.2).
const MIN_SECRET: usize = 32;

/// A key that verifies signatures of exactly one algorithm.
pub struct VerifyingKey {
    algorithm: Algorithm,
    id: Option<Box<str>>,
    inner: Inner,
}

enum Inner {
    Public {
        key: ParsedPublicKey,
        signature_length: usize,
    },
    Secret(Box<hmac::Key>),
}

impl VerifyingKey {
    /// A public key from its SubjectPublicKeyInfo (or, for Ed25519 and P-256, its raw or uncompressed form).
    pub(super) fn public(algorithm: Algorithm, bytes: &[u8], signature_length: usize) -> Result<Self, Error> {
        let parsed = match algorithm {
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, bytes),
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes),
            Algorithm::Rs256 => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bytes),
            Algorithm::Hs256 => return Err(Error::Malformed("a symmetric key is not public".into())),
        };
        let key = parsed.map_err(|why| Error::Malformed(format!("not a usable {} key: {why}", algorithm.as_str())))?;
        Ok(Self::parsed(algorithm, key, signature_length))
    }

    pub(super) fn parsed(algorithm: Algorithm, key: ParsedPublicKey, signature_length: usize) -> Self {
        let inner = Inner::Public { key, signature_length };
        Self {
            algorithm,
            id: None,
            inner,
        }
    }

    /// A symmetric key for HS256, of at least 32 bytes.
    pub fn from_secret(secret: &[u8]) -> Result<Self, Error> {
        if secret.len() < MIN_SECRET {
            return Err(Error::Weak(
                "a symmetric key needs at least 32 bytes (RFC 7518 section 3.2)",
            ));
        }
        let inner = Inner::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
        Ok(Self {
            algorithm: Algorithm::Hs256,
            id: None,
            inner,
        })
    }

    /// The same key under a name.
    pub fn named(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The one algorithm it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its `kid`, where its issuer gave it one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether `signature` is this key's over `message`.
    ///
    /// The length is fixed by the key: 64 bytes for EdDSA (RFC 8032) and for ES256, whose form is r‖s and never DER
    /// (RFC 7518 section 3.4), the modulus for RS256, 32 for HS256. ES256 takes s in either half of its range, as the
    /// RFC has it: such a twin of a good token says the same, is verified and remembered apart, and nothing here counts a
    /// token as one use.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.inner {
            Inner::Public { key, signature_length } => {
                signature.len() == *signature_length && key.verify_sig(message, signature).is_ok()
            }
            Inner::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VerifyingKey({}, {:?})", self.algorithm.as_str(), self.id)
    }
}
