//! Stub: dropped at the merge.

use std::num::NonZeroUsize;

/// Stub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Stub.
    pub cost: Cost,
    /// Stub.
    pub max_concurrent: NonZeroUsize,
    /// Stub.
    pub queue: NonZeroUsize,
    /// Stub.
    pub min_length: MinLength,
    /// Stub.
    pub upgrade: bool,
}

/// Stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
}

impl Cost {
    /// Stub.
    pub fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Self, InvalidSetting> {
        let good = (1..=16).contains(&parallelism)
            && (1..=20).contains(&iterations)
            && memory_kib >= 8 * parallelism
            && memory_kib <= 256 * 1024
            && u64::from(memory_kib) * u64::from(iterations) <= 2 * 1024 * 1024;
        match good {
            true => Ok(Self {
                memory_kib,
                iterations,
                parallelism,
            }),
            false => Err(InvalidSetting::Cost),
        }
    }

    /// Stub.
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Stub.
    pub fn iterations(self) -> u32 {
        self.iterations
    }

    /// Stub.
    pub fn parallelism(self) -> u32 {
        self.parallelism
    }
}

/// Stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinLength(usize);

impl MinLength {
    /// Stub.
    pub fn new(characters: usize) -> Result<Self, InvalidSetting> {
        match characters {
            1..=64 => Ok(Self(characters)),
            _ => Err(InvalidSetting::MinLength),
        }
    }

    /// Stub.
    pub fn characters(self) -> usize {
        self.0
    }
}

/// Stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    /// Stub.
    #[error(
        "argon2id takes 8 KiB of memory per lane to 256 MiB, 1 to 20 iterations, a parallelism of 1 to 16, \
         and memory times iterations of at most 2 GiB"
    )]
    Cost,
    /// Stub.
    #[error("the least length of a password is 1 to 64 characters")]
    MinLength,
}
