//! Passwords: how they are hashed, verified as other software stored them, judged when new, and kept from eating the machine.
//!
//! New passwords become argon2id ([`Scheme::Argon2id`]). What a table already holds verifies as it is ([`StoredHash`]: the forms of
//! passlib, Django and crypt(3)) and is reported as worth an upgrade. All of it runs on the few threads of a [`Pool`], never on a
//! thread that carries traffic. [`StandIn`] makes an unknown name cost what a known one does, [`policy`] judges new passwords.
//!
//! A password is its UTF-8 bytes, never normalised or trimmed: what the original software hashed is what must match.

mod argon;
mod encoding;
mod hash;
mod legacy;
pub mod policy;
mod pool;
mod settings;
mod shape;
mod stand_in;
mod stored;

#[cfg(test)]
mod tests;

pub use hash::Scheme;
pub use pool::{Observer, Pool};
pub use settings::{Cost, InvalidSetting, MinLength, Settings};
pub use shape::{Shape, UnknownShape};
pub use stand_in::StandIn;
pub use stored::StoredHash;

/// Passwords of more characters are refused before any work is done on them: passlib has the same bound, so nobody who comes from
/// there has a longer one.
pub const MAX_PASSWORD_CHARACTERS: usize = 4096;
/// The same in bytes, for work that is counted in them: UTF-8 takes at most four for each.
pub const MAX_PASSWORD_BYTES: usize = 4 * MAX_PASSWORD_CHARACTERS;

/// Whether anybody will look at this password: a longer one is nobody's, and work.
pub fn is_bounded(password: &str) -> bool {
    // Bytes first: they are known without counting.
    password.len() <= MAX_PASSWORD_BYTES && password.chars().count() <= MAX_PASSWORD_CHARACTERS
}

/// What became of a password that was compared with a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is the one that was hashed.
    Right {
        /// The settings ask for the stored hash to be replaced by a new one of this password.
        upgrade: bool,
    },
    /// The password is another one.
    Wrong,
}

impl Verdict {
    /// Whether the password was the right one.
    pub fn is_right(self) -> bool {
        match self {
            Self::Right { .. } => true,
            Self::Wrong => false,
        }
    }
}

/// Why a password was neither verified nor hashed. None of these texts shows anything of the password or the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// As many hashes wait as the queue takes; the caller may come again later.
    #[error("the password queue is full")]
    Busy,
    /// The password has more than [`MAX_PASSWORD_CHARACTERS`] characters, or is new and has more than [`MAX_PASSWORD_BYTES`] bytes.
    #[error("the password is too long")]
    TooLong,
    /// The stored text is of no scheme that is known here. It is never compared as text.
    #[error("the stored password hash is of an unknown scheme")]
    UnknownScheme,
    /// The stored text names a known scheme but does not have its form.
    #[error("the stored password hash is malformed")]
    Malformed,
    /// The stored hash asks for more work or memory than one login may cost.
    #[error("the stored password hash asks for more work than one login may cost")]
    TooCostly,
    /// The machine gave no memory or no random bytes, the hash crashed, or the pool is shutting down.
    #[error("the password could not be processed")]
    Unavailable,
}
