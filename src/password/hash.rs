//! Hashes of new passwords.

use super::argon::{Argon, Memory};
use super::legacy::Pbkdf2;
use super::{Cost, Error, MAX_PASSWORD_BYTES};

/// The form in which a new password is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// argon2id of the configured cost.
    #[default]
    Argon2id,
    /// pbkdf2_sha512 with 25000 rounds as passlib writes it: for a table that a Flask server with flask-praetorian reads too.
    PraetorianPbkdf2,
}

/// Hashes a password with a fresh random salt of 16 bytes.
pub(super) fn create(password: &[u8], scheme: Scheme, cost: Cost, memory: &mut Memory) -> Result<String, Error> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(Error::TooLong);
    }
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| Error::Unavailable)?;
    match scheme {
        Scheme::Argon2id => Argon::create(password, cost, &salt, memory).map(|hash| hash.to_text()),
        Scheme::PraetorianPbkdf2 => Ok(Pbkdf2::create_praetorian(password, &salt)),
    }
}
