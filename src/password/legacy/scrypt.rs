//! scrypt (RFC 7914) as passlib writes it: `$scrypt$ln=16,r=8,p=1$salt$digest`.

use scrypt::{Params, scrypt};
use subtle::ConstantTimeEq;

use crate::password::Error;
use crate::password::encoding::{from_base64, parameter, parts};

const MAX_MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes written over all lanes: memory times `p`.
const MAX_WORK_BYTES: u64 = 1024 * 1024 * 1024;
const DIGEST_BYTES: usize = 32;
const MAX_SALT_BYTES: usize = 1024;

/// A stored scrypt hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::password) struct Scrypt {
    log_n: u8,
    r: u32,
    p: u32,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl Scrypt {
    /// Reads what follows `$scrypt$`.
    pub(in crate::password) fn parse(text: &str) -> Result<Self, Error> {
        let [costs, salt, digest] = parts(text, '$')?;
        let [log_n, r, p] = parts(costs, ',')?;
        let (log_n, r, p) = (parameter(log_n, "ln")?, parameter(r, "r")?, parameter(p, "p")?);
        if log_n == 0 || r == 0 || p == 0 {
            return Err(Error::Malformed);
        }
        let memory = 1u64
            .checked_shl(log_n)
            .unwrap_or(u64::MAX)
            .saturating_mul(128)
            .saturating_mul(u64::from(r));
        if log_n >= 32 || memory > MAX_MEMORY_BYTES || memory.saturating_mul(u64::from(p)) > MAX_WORK_BYTES {
            return Err(Error::TooCostly);
        }
        let log_n = u8::try_from(log_n).map_err(|_| Error::TooCostly)?;
        let (salt, digest) = (from_base64(salt)?, from_base64(digest)?);
        if digest.len() != DIGEST_BYTES || salt.len() > MAX_SALT_BYTES {
            return Err(Error::Malformed);
        }
        Ok(Self {
            log_n,
            r,
            p,
            salt,
            digest,
        })
    }

    /// Whether this is the hash of the password.
    pub(in crate::password) fn verify(&self, password: &[u8]) -> Result<bool, Error> {
        let params = Params::new(self.log_n, self.r, self.p).map_err(|_| Error::Malformed)?;
        let mut derived = [0; DIGEST_BYTES];
        scrypt(password, &self.salt, &params, &mut derived).map_err(|_| Error::Malformed)?;
        Ok(derived.ct_eq(&self.digest).into())
    }

    /// The string up to the salt.
    pub(in crate::password) fn prefix(&self) -> String {
        format!("$scrypt$ln={},r={},p={}$", self.log_n, self.r, self.p)
    }
}
