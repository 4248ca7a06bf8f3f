//! The forms of other software. They are verified as they are and never made anew, but for pbkdf2_sha512, which a Flask server
//! beside us on the same table must be able to read.

mod bcrypt;
mod pbkdf2;
mod scrypt;
mod sha_crypt;

pub(super) use bcrypt::Bcrypt;
pub(super) use pbkdf2::{Pbkdf2, Writer};
pub(super) use scrypt::Scrypt;
pub(super) use sha_crypt::ShaCrypt;
