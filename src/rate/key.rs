//! Who is counted apart, as a number.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;

use foldhash::quality::RandomState;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// A client address. All whose address nothing trustworthy tells are one.
    Client(Option<IpAddr>),
    /// A user.
    User {
        /// Whose: `None`: ours, else the other issuer's name.
        issuer: Option<&'a str>,
        /// The subject.
        subject: &'a str,
    },
}

/// Makes numbers of 128 bits of keys. Two seeds that nobody knows: nobody can look for a name that shares another's number,
/// and none does by chance.
#[derive(Debug, Default)]
pub(super) struct Keys {
    high: RandomState,
    low: RandomState,
}

impl Keys {
    /// The number of a key, and in which of so many shards it is.
    pub(super) fn place(&self, key: Key<'_>, shards: usize) -> (usize, u128) {
        let (high, low) = (number(&self.high, key), number(&self.low, key));
        let shard = high.checked_rem(u64::try_from(shards).unwrap_or(1)).unwrap_or(0);
        (
            usize::try_from(shard).unwrap_or(0),
            u128::from(high) << 64 | u128::from(low),
        )
    }
}

fn number(state: &RandomState, key: Key<'_>) -> u64 {
    let mut hasher = state.build_hasher();
    match key {
        Key::Client(None) => 0_u8.hash(&mut hasher),
        Key::Client(Some(address)) => match address.to_canonical() {
            IpAddr::V4(address) => (1_u8, address.to_bits()).hash(&mut hasher),
            IpAddr::V6(address) => (2_u8, address.to_bits() >> 64).hash(&mut hasher),
        },
        Key::User { issuer, subject } => (3_u8, issuer, subject).hash(&mut hasher),
    }
    hasher.finish()
}
