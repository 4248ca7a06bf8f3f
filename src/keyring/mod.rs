//! The keys that sign our tokens and all that verify: active, next, retired.
//!
//! A [`KeyRing`] is a handle that every worker holds; one writer, the [`Keeper`], publishes a [`KeySet`] into it whenever
//! the stored keys change. The plan of what becomes of the stored keys is a pure function, and every change of them is one
//! transaction under one lock. What a key may do follows from its three times and from `now`, so the set needs no touching as time goes by:
//!
//! ```text
//! publish_at ............ sign_from ............ (the next one's sign_from) ............ verify_until
//!     | next: in the JWKS,   | active: signs        | retired: verifies what it signed        | gone
//! ```
//!
//! A key has exactly one algorithm, fixed when it is read; a token never chooses (RFC 8725 section 3.1).

mod algorithm;
mod encryption;
mod jwk;
mod keeper;
mod list;
mod load;
mod pem;
mod plan;
mod ring;
mod sealing;
mod signing;
mod verifying;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use algorithm::Algorithm;
pub use encryption::EncryptionKeys;
pub use jwk::{Imported, from_jwk_set};
pub use keeper::{Brought, Keeper, Rotated, Settings, Source};
pub use list::{KeyState, Listed, Serves, list};
pub use load::{from_pem_files, from_secret, from_store};
pub use pem::{public_keys_from_pem, signing_key_from_pem};
pub use plan::{OVERLAP, Rules, Wish};
pub use ring::{JWKS_MAX_AGE, KeyRing, KeySet, RingKey};
pub use sealing::{SealingKeys, new_sealing_key};
pub use signing::SigningKey;
pub use verifying::VerifyingKey;

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no PEM, DER, JSON or base64url where it should be, or lacks what is needed.
    #[error("{0}")]
    Malformed(String),
    /// A kind of key, curve or algorithm that is not supported here.
    #[error(
        "{0} is not supported: a key for EdDSA (Ed25519), ES256 (P-256) or RS256 (RSA, 2048 to 8192 bits) is needed"
    )]
    Unsupported(String),
    /// Too weak to be trusted.
    #[error("{0}")]
    Weak(&'static str),
    /// The key in the store is sealed, and there is nothing to open it with.
    #[error("the stored key {0} is sealed, and tokens.key_encryption_file is not set")]
    Sealed(String),
    /// The key in the store was sealed with another key than those that are configured.
    #[error("the stored key {0} was sealed with another key than those in tokens.key_encryption_file")]
    SealedByAnother(String),
    /// A set without a single usable key; the notes say why each was passed over.
    #[error("no usable key: {}", .0.join("; "))]
    NoneUsable(Vec<String>),
    /// No randomness, or the library failed.
    #[error("the cryptographic library failed to {0}")]
    Library(&'static str),
    /// The store did not answer.
    #[error("{0}")]
    Store(String),
}
