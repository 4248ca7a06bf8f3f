//! What an operator may say about passwords.

use std::num::NonZeroUsize;
use std::thread;

use super::{Scheme, argon};

/// How new hashes are made and how much of it happens at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What one argon2id hash costs.
    pub cost: Cost,
    /// Hashes computed at once, each on a thread and with memory of its own.
    pub max_concurrent: NonZeroUsize,
    /// Hashes that may wait for a thread; one more is refused as [`Busy`](super::Error::Busy).
    pub queue: NonZeroUsize,
    /// Characters a new password must have.
    pub min_length: MinLength,
    /// Whether a login replaces a hash that is weaker than `cost`.
    pub upgrade: bool,
    /// The kind of new hashes.
    pub scheme: Scheme,
    /// Whether only hashes verify that flask-praetorian's passlib accepts by default: in its place, others let nobody in.
    pub only_praetorian: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cost: Cost::default(),
            max_concurrent: half_the_cores(),
            queue: NonZeroUsize::MIN.saturating_add(63),
            min_length: MinLength::default(),
            upgrade: true,
            scheme: Scheme::default(),
            only_praetorian: false,
        }
    }
}

/// Half the machine's cores, at least one: what hashing may take while the other half carries traffic.
fn half_the_cores() -> NonZeroUsize {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN)
}

/// The parameters of argon2id (RFC 9106 section 3.1): accepted by the algorithm, and by our own caps on stored hashes, so that
/// what is written today verifies tomorrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
}

impl Cost {
    /// Checks the parameters: memory in KiB, passes over it, lanes.
    pub fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Self, InvalidSetting> {
        argon::params(memory_kib, iterations, parallelism).map_err(|_| InvalidSetting::Cost)?;
        Ok(Self {
            memory_kib,
            iterations,
            parallelism,
        })
    }

    /// KiB of memory one hash fills.
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub fn iterations(self) -> u32 {
        self.iterations
    }

    /// Lanes the memory is divided into.
    pub fn parallelism(self) -> u32 {
        self.parallelism
    }
}

impl Default for Cost {
    /// 19 MiB, 2 passes, 1 lane: the floor of the OWASP Password Storage Cheat Sheet.
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            iterations: 2,
            parallelism: 1,
        }
    }
}

/// The least number of characters of a new password: 1 to 64. A floor above 64 would refuse pass phrases that
/// NIST SP 800-63B section 3.1.1.2 wants to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinLength(usize);

impl MinLength {
    /// Checks the number.
    pub fn new(characters: usize) -> Result<Self, InvalidSetting> {
        match characters {
            1..=64 => Ok(Self(characters)),
            _ => Err(InvalidSetting::MinLength),
        }
    }

    /// The number of characters.
    pub fn characters(self) -> usize {
        self.0
    }
}

impl Default for MinLength {
    fn default() -> Self {
        Self(8)
    }
}

/// A value that cannot be a setting, told in words for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    /// The argon2id parameters contradict each other or ask for too much.
    #[error(
        "argon2id takes 8 KiB of memory per lane to 256 MiB, 1 to 20 iterations, a parallelism of 1 to 16, \
         and memory times iterations of at most 2 GiB"
    )]
    Cost,
    /// The least length is out of its bounds.
    #[error("the least length of a password is 1 to 64 characters")]
    MinLength,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_those_of_the_contract() {
        let settings = Settings::default();
        let cost = settings.cost;
        assert_eq!(
            (cost.memory_kib(), cost.iterations(), cost.parallelism()),
            (19456, 2, 1)
        );
        assert_eq!(Cost::new(19456, 2, 1), Ok(cost));
        assert_eq!(
            (settings.queue.get(), settings.min_length.characters(), settings.upgrade),
            (64, 8, true)
        );
        assert_eq!(MinLength::new(8), Ok(settings.min_length));
    }

    #[test]
    fn what_could_not_be_verified_later_is_no_setting() {
        for (memory, iterations, parallelism) in [
            (0, 1, 1),
            (7, 1, 1),
            (15, 1, 2),
            (8, 0, 1),
            (8, 1, 0),
            (256 * 1024 + 1, 1, 1),
            (8, 21, 1),
            (8 * 17, 1, 17),
            (256 * 1024, 9, 1),
            (u32::MAX, u32::MAX, u32::MAX),
        ] {
            assert_eq!(
                Cost::new(memory, iterations, parallelism),
                Err(InvalidSetting::Cost),
                "{memory} {iterations} {parallelism}"
            );
        }
        assert!(Cost::new(8, 1, 1).is_ok());
        assert!(Cost::new(256 * 1024, 8, 16).is_ok());
        assert_eq!(MinLength::new(0), Err(InvalidSetting::MinLength));
        assert_eq!(MinLength::new(65), Err(InvalidSetting::MinLength));
    }
}
