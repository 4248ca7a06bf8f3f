//! crypt(3)'s SHA-256 and SHA-512 schemes (Drepper, "Unix crypt using SHA-256 and SHA-512"): `$6$rounds=656000$salt$digest`.

use sha_crypt::{Params, sha256_crypt, sha512_crypt};
use subtle::ConstantTimeEq;

use crate::password::Error;
use crate::password::encoding::{crypt64, parameter, parts};

const MAX_ROUNDS: u32 = 5_000_000;
/// Every round hashes the password again, so its length counts too: rounds times bytes, about 3 seconds.
const MAX_WORK_BYTES: u64 = 1_000_000_000;
const IMPLICIT_ROUNDS: u32 = 5_000;
const MAX_SALT_BYTES: usize = 16;

/// A stored hash of crypt(3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::password) struct ShaCrypt {
    wide: bool,
    rounds: u32,
    /// Whether the rounds stand in the string, which they need not if they are 5000.
    explicit: bool,
    salt: String,
    digest: String,
}

impl ShaCrypt {
    /// Reads what follows `$5$` (SHA-256) or, if `wide`, `$6$` (SHA-512).
    pub(in crate::password) fn parse(wide: bool, text: &str) -> Result<Self, Error> {
        let (rounds, explicit, rest) = match text.split_once('$') {
            Some((rounds, rest)) if rounds.starts_with("rounds=") => (parameter(rounds, "rounds")?, true, rest),
            Some(_) | None => (IMPLICIT_ROUNDS, false, text),
        };
        if rounds > MAX_ROUNDS {
            return Err(Error::TooCostly);
        }
        let [salt, digest] = parts(rest, '$')?;
        let digest_characters = if wide { 86 } else { 43 };
        let well_formed = rounds >= Params::ROUNDS_MIN
            && salt.len() <= MAX_SALT_BYTES
            && salt.bytes().all(|byte| byte.is_ascii_graphic())
            && digest.len() == digest_characters
            && digest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/');
        if !well_formed {
            return Err(Error::Malformed);
        }
        Ok(Self {
            wide,
            rounds,
            explicit,
            salt: String::from(salt),
            digest: String::from(digest),
        })
    }

    /// Whether this is the hash of the password. One with a NUL byte, which crypt(3) cannot take, never matches, after the same
    /// work.
    pub(in crate::password) fn verify(&self, password: &[u8]) -> Result<bool, Error> {
        let length = u64::try_from(password.len()).unwrap_or(u64::MAX);
        if length.saturating_mul(u64::from(self.rounds)) > MAX_WORK_BYTES {
            return Err(Error::TooCostly);
        }
        let params = Params::new(self.rounds).map_err(|_| Error::Malformed)?;
        let derived = if self.wide {
            encode_wide(&sha512_crypt(password, self.salt.as_bytes(), params))
        } else {
            encode_narrow(&sha256_crypt(password, self.salt.as_bytes(), params))
        };
        let equal: bool = derived.as_bytes().ct_eq(self.digest.as_bytes()).into();
        Ok(equal && !password.contains(&0))
    }

    /// The string up to the salt.
    pub(in crate::password) fn prefix(&self) -> String {
        let scheme = if self.wide { "$6$" } else { "$5$" };
        if self.explicit {
            format!("{scheme}rounds={}$", self.rounds)
        } else {
            String::from(scheme)
        }
    }
}

/// Bytes k, k+21 and k+42 make a group of four digits, in an order that turns with each group; the last byte stands alone.
fn encode_wide(digest: &[u8; 64]) -> String {
    let mut text = String::with_capacity(86);
    let (first, rest) = digest.split_at(21);
    let (second, rest) = rest.split_at(21);
    let (third, last) = rest.split_at(21);
    for (index, ((&a, &b), &c)) in first.iter().zip(second).zip(third).enumerate() {
        let (high, middle, low) = match index % 3 {
            0 => (a, b, c),
            1 => (b, c, a),
            _ => (c, a, b),
        };
        crypt64(high, middle, low, 4, &mut text);
    }
    last.iter().for_each(|&byte| crypt64(0, 0, byte, 2, &mut text));
    text
}

/// The same with bytes k, k+10 and k+20, turning the other way; the last two bytes make three digits, the later one first.
fn encode_narrow(digest: &[u8; 32]) -> String {
    let mut text = String::with_capacity(43);
    let (first, rest) = digest.split_at(10);
    let (second, rest) = rest.split_at(10);
    let (third, last) = rest.split_at(10);
    for (index, ((&a, &b), &c)) in first.iter().zip(second).zip(third).enumerate() {
        let (high, middle, low) = match index % 3 {
            0 => (a, b, c),
            1 => (c, a, b),
            _ => (b, c, a),
        };
        crypt64(high, middle, low, 4, &mut text);
    }
    if let [before, after] = last {
        crypt64(0, *after, *before, 3, &mut text);
    }
    text
}
