//! argon2 (RFC 9106) in the PHC string form: `$argon2id$v=19$m=19456,t=2,p=1$salt$digest`, and the memory it fills.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;

use super::encoding::{base64, from_base64, parameter, parts};
use super::{Cost, Error};

const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ITERATIONS: u32 = 20;
const MAX_PARALLELISM: u32 = 16;
/// Memory times iterations, 2 GiB: about 2 seconds, whichever way the cost is divided.
const MAX_WORK_KIB: u64 = 2 * 1024 * 1024;
/// A digest shorter than 128 bits is too easily met by chance; nothing makes them longer than 64 bytes.
const DIGEST_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
const SALT_BYTES: std::ops::RangeInclusive<usize> = argon2::MIN_SALT_LEN..=1024;
const NEW_DIGEST_BYTES: usize = 32;

/// A stored argon2 hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Argon {
    algorithm: Algorithm,
    version: Version,
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl Argon {
    /// Reads what follows `$argon2`: the kind and the rest.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let (kind, rest) = text.split_once('$').ok_or(Error::Malformed)?;
        let algorithm = match kind {
            "i" => Algorithm::Argon2i,
            "d" => Algorithm::Argon2d,
            "id" => Algorithm::Argon2id,
            _ => return Err(Error::UnknownScheme),
        };
        // Strings from before the version was written down are of version 1.0.
        let (version, rest) = match rest.strip_prefix("v=") {
            None => (Version::V0x10, rest),
            Some(rest) => match rest.split_once('$').ok_or(Error::Malformed)? {
                ("16", rest) => (Version::V0x10, rest),
                ("19", rest) => (Version::V0x13, rest),
                _ => return Err(Error::Malformed),
            },
        };
        let [costs, salt, digest] = parts(rest, '$')?;
        let [memory, iterations, parallelism] = parts(costs, ',')?;
        let hash = Self {
            algorithm,
            version,
            memory_kib: parameter(memory, "m")?,
            iterations: parameter(iterations, "t")?,
            parallelism: parameter(parallelism, "p")?,
            salt: from_base64(salt)?,
            digest: from_base64(digest)?,
        };
        params(hash.memory_kib, hash.iterations, hash.parallelism)?;
        if !DIGEST_BYTES.contains(&hash.digest.len()) || !SALT_BYTES.contains(&hash.salt.len()) {
            return Err(Error::Malformed);
        }
        Ok(hash)
    }

    /// A new argon2id hash of the password.
    pub(super) fn create(password: &[u8], cost: Cost, salt: &[u8; 16], memory: &mut Memory) -> Result<Self, Error> {
        let mut hash = Self {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            memory_kib: cost.memory_kib(),
            iterations: cost.iterations(),
            parallelism: cost.parallelism(),
            salt: salt.to_vec(),
            digest: vec![0; NEW_DIGEST_BYTES],
        };
        hash.digest = hash.derive(password, memory)?;
        Ok(hash)
    }

    /// Whether this is the hash of the password.
    pub(super) fn verify(&self, password: &[u8], memory: &mut Memory) -> Result<bool, Error> {
        let derived = self.derive(password, memory)?;
        Ok(derived.ct_eq(&self.digest).into())
    }

    /// Whether a new hash of this cost would be stronger. Memory is what makes argon2 hard to attack, so less memory is weaker
    /// however many passes there are; with as much memory or more, the product counts (47104 KiB in one pass is as good as 19456
    /// in two). Lanes do not count: fewer of them are no weaker.
    pub(super) fn is_weaker_than(&self, cost: Cost) -> bool {
        let work = |memory: u32, iterations: u32| u64::from(memory) * u64::from(iterations);
        self.algorithm != Algorithm::Argon2id
            || self.version != Version::V0x13
            || self.memory_kib < cost.memory_kib()
            || work(self.memory_kib, self.iterations) < work(cost.memory_kib(), cost.iterations())
    }

    /// The string up to the salt: everything that decides what a verification costs.
    pub(super) fn prefix(&self) -> String {
        let Self {
            memory_kib,
            iterations,
            parallelism,
            ..
        } = self;
        let version = match self.version {
            Version::V0x10 => "v=16",
            Version::V0x13 => "v=19",
        };
        format!(
            "${}${version}$m={memory_kib},t={iterations},p={parallelism}$",
            self.algorithm.as_str()
        )
    }

    /// The PHC string.
    pub(super) fn to_text(&self) -> String {
        format!("{}{}${}", self.prefix(), base64(&self.salt), base64(&self.digest))
    }

    fn derive(&self, password: &[u8], memory: &mut Memory) -> Result<Vec<u8>, Error> {
        let params = params(self.memory_kib, self.iterations, self.parallelism)?;
        let blocks = params.block_count();
        let mut derived = vec![0; self.digest.len()];
        let outcome = Argon2::new(self.algorithm, self.version, params).hash_password_into_with_memory(
            password,
            &self.salt,
            &mut derived,
            memory.blocks(blocks)?,
        );
        memory.trim();
        outcome.map_err(|_| Error::Malformed)?;
        Ok(derived)
    }
}

/// The parameters, within the limits of the algorithm and our caps. A hash beyond a cap is refused without computing it: a
/// stored string must not be able to take the machine's memory or a thread for minutes.
pub(super) fn params(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Params, Error> {
    let too_costly = memory_kib > MAX_MEMORY_KIB
        || iterations > MAX_ITERATIONS
        || parallelism > MAX_PARALLELISM
        || u64::from(memory_kib) * u64::from(iterations) > MAX_WORK_KIB;
    if too_costly {
        return Err(Error::TooCostly);
    }
    Params::new(memory_kib, iterations, parallelism, None).map_err(|_| Error::Malformed)
}

/// The memory of one hashing thread, kept from hash to hash: fresh pages cost a third of the time of a default hash.
#[derive(Debug)]
pub(super) struct Memory {
    blocks: Vec<Block>,
    /// Blocks worth keeping; what an imported, dearer hash needed beyond it is given back.
    keep: usize,
}

impl Memory {
    /// Memory for hashes of this cost; nothing is taken before the first one.
    pub(super) fn for_cost(cost: Cost) -> Self {
        let keep = usize::try_from(cost.memory_kib()).unwrap_or(usize::MAX);
        Self {
            blocks: Vec::new(),
            keep,
        }
    }

    fn blocks(&mut self, count: usize) -> Result<&mut [Block], Error> {
        let missing = count.saturating_sub(self.blocks.len());
        self.blocks.try_reserve_exact(missing).map_err(|_| Error::Unavailable)?;
        if missing > 0 {
            self.blocks.resize(count, Block::new());
        }
        self.blocks.get_mut(..count).ok_or(Error::Unavailable)
    }

    fn trim(&mut self) {
        if self.blocks.len() > self.keep {
            self.blocks.truncate(self.keep);
            self.blocks.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn memory_is_kept_between_hashes_and_what_a_dearer_one_needed_is_given_back() {
        let mut memory = Memory::for_cost(Cost::new(64, 1, 1).unwrap());
        assert_eq!(memory.blocks.capacity(), 0);
        let hash = |kib, memory: &mut Memory| {
            Argon::create(b"secret", Cost::new(kib, 1, 1).unwrap(), b"0123456789abcdef", memory).unwrap()
        };
        let fresh = hash(64, &mut memory);
        let place = memory.blocks.as_ptr();
        let smaller = hash(32, &mut memory);
        assert_eq!(
            hash(64, &mut memory),
            fresh,
            "what other hashes left in the memory must not matter"
        );
        assert_eq!((memory.blocks.as_ptr(), memory.blocks.len()), (place, 64));
        assert_ne!(smaller.digest, fresh.digest);
        let dearer = hash(1024, &mut memory);
        assert_eq!(memory.blocks.len(), 64);
        assert!(memory.blocks.capacity() < 1024);
        assert_eq!(dearer.verify(b"secret", &mut memory), Ok(true));
        assert_eq!(dearer.verify(b"secret ", &mut memory), Ok(false));
        assert_eq!(memory.blocks.len(), 64);
    }
}
