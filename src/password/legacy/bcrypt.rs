//! bcrypt (`$2b$12$` + salt + digest) and passlib's bcrypt_sha256 around it (`$bcrypt-sha256$v=2,t=2b,r=12$salt$digest`).

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::password::Error;
use crate::password::encoding::{decimal, from_bcrypt64, parts};

/// 2^16 rounds, about 5 seconds.
const MAX_COST: u32 = 16;
const MIN_COST: u32 = 4;
/// bcrypt takes this many bytes of a password and forgets the rest, as the software did that stored the hash.
const CUT: usize = 72;
const SALT_CHARACTERS: usize = 22;

/// A stored bcrypt hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::password) struct Bcrypt {
    form: Form,
    cost: u32,
    salt: [u8; 16],
    digest: [u8; 23],
}

/// What the string looks like and what is done to the password before bcrypt sees it. The variants 2a, 2b and 2y are the same
/// computation for passwords of up to 255 bytes, and nobody's longer ones differ after the cut.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Plain {
        variant: &'static str,
    },
    /// bcrypt over base64(SHA-256(password)).
    Sha256V1 {
        variant: &'static str,
    },
    /// bcrypt over base64(HMAC-SHA-256(key = the salt as it is written, password)).
    Sha256V2 {
        salt_text: String,
    },
}

impl Bcrypt {
    /// Reads what follows `$2a$`, `$2b$` or `$2y$`.
    pub(in crate::password) fn parse(variant: &'static str, text: &str) -> Result<Self, Error> {
        let [cost, rest] = parts(text, '$')?;
        // Always two digits here, so the leading zero is the canonical form.
        let cost = match cost.as_bytes() {
            [b'0', _] => cost.get(1..).ok_or(Error::Malformed)?,
            [_, _] => cost,
            _ => return Err(Error::Malformed),
        };
        let (salt, digest) = rest.split_at_checked(SALT_CHARACTERS).ok_or(Error::Malformed)?;
        Self::assemble(Form::Plain { variant }, cost, salt, digest)
    }

    /// Reads what follows `$bcrypt-sha256$`.
    pub(in crate::password) fn parse_sha256(text: &str) -> Result<Self, Error> {
        let [settings, salt, digest] = parts(text, '$')?;
        if let Some(cost) = settings.strip_prefix("v=2,t=2b,r=") {
            return Self::assemble(
                Form::Sha256V2 {
                    salt_text: String::from(salt),
                },
                cost,
                salt,
                digest,
            );
        }
        let (variant, cost) = settings.split_once(',').ok_or(Error::Malformed)?;
        let variant = match variant {
            "2a" => "2a",
            "2b" => "2b",
            _ => return Err(Error::Malformed),
        };
        Self::assemble(Form::Sha256V1 { variant }, cost, salt, digest)
    }

    fn assemble(form: Form, cost: &str, salt: &str, digest: &str) -> Result<Self, Error> {
        let cost = decimal(cost)?;
        if cost > MAX_COST {
            return Err(Error::TooCostly);
        }
        if cost < MIN_COST {
            return Err(Error::Malformed);
        }
        Ok(Self {
            form,
            cost,
            salt: from_bcrypt64(salt)?,
            digest: from_bcrypt64(digest)?,
        })
    }

    /// Whether this is the hash of the password.
    ///
    /// C implementations end a password at its first NUL byte, so passlib never stored a hash of one that has any: such a
    /// password never matches, after the same work. The SHA-256 forms take NUL like any other byte.
    pub(in crate::password) fn verify(&self, password: &[u8]) -> bool {
        match &self.form {
            Form::Plain { .. } => self.matches(password) && !password.contains(&0),
            Form::Sha256V1 { .. } => {
                let hashed = digest::digest(&digest::SHA256, password);
                self.matches(STANDARD.encode(hashed).as_bytes())
            }
            Form::Sha256V2 { salt_text } => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, salt_text.as_bytes());
                self.matches(STANDARD.encode(hmac::sign(&key, password)).as_bytes())
            }
        }
    }

    fn matches(&self, password: &[u8]) -> bool {
        // The key ends with a NUL byte unless the password fills it.
        let mut key = zeroize::Zeroizing::new(Vec::with_capacity(CUT));
        key.extend(password.iter().copied().chain([0]).take(CUT));
        let derived = bcrypt::bcrypt(self.cost, self.salt, &key);
        derived
            .iter()
            .take(self.digest.len())
            .copied()
            .collect::<Vec<u8>>()
            .ct_eq(&self.digest)
            .into()
    }

    /// The string up to the salt.
    pub(in crate::password) fn prefix(&self) -> String {
        let cost = self.cost;
        match &self.form {
            Form::Plain { variant } => format!("${variant}${cost:02}$"),
            Form::Sha256V1 { variant } => format!("$bcrypt-sha256${variant},{cost}$"),
            Form::Sha256V2 { .. } => format!("$bcrypt-sha256$v=2,t=2b,r={cost}$"),
        }
    }
}
