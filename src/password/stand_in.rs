//! Hashes for names that do not exist, so that the time of an answer does not tell them from those that do.

use aws_lc_rs::hmac;

use super::{Cost, Shape};

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// One hash per shape that the table holds. An unknown name is given one of them by a keyed hash of the name: always the same, and
/// as often as real names have that shape, so that a mixed table does not betray names either. The hashes match no password:
/// salt and digest are random, derived from the key.
pub struct StandIn {
    key: hmac::Key,
    total: u64,
    /// Each with the number of accounts up to and including it.
    choices: Vec<(u64, String)>,
    configured: String,
}

impl StandIn {
    /// Stand-ins for a table with so many hashes of each shape; for an empty one, hashes of the configured cost. Replicas that
    /// share the key agree about every name.
    pub fn new(key: &[u8; 32], distribution: &[(Shape, u64)], configured: Cost) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let mut sorted: Vec<&(Shape, u64)> = distribution.iter().filter(|(_, count)| *count > 0).collect();
        sorted.sort();
        let mut total = 0u64;
        let mut choices = Vec::with_capacity(sorted.len());
        for (shape, count) in sorted {
            total = total.saturating_add(*count);
            choices.push((total, random_hash(&key, shape)));
        }
        let configured = random_hash(&key, &Shape::of_new(configured));
        Self {
            key,
            total,
            choices,
            configured,
        }
    }

    /// The hash to verify a password against when the name is unknown (or its stored hash cannot be verified): give it to
    /// [`Pool::spend`](super::Pool::spend).
    pub fn hash_for(&self, name: &str) -> &str {
        // The name's place in 0..total keeps its proportion when the table grows, so that few names change their shape.
        let place = self.place(name);
        let point = (u128::from(place) * u128::from(self.total)) >> 64;
        let choice = self.choices.iter().find(|(end, _)| point < u128::from(*end));
        choice.map_or(&self.configured, |(_, hash)| hash)
    }

    fn place(&self, name: &str) -> u64 {
        let tag = tag(&self.key, "name", name, 0);
        tag.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

impl std::fmt::Debug for StandIn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StandIn")
            .field("shapes", &self.choices.len())
            .finish_non_exhaustive()
    }
}

fn random_hash(key: &hmac::Key, shape: &Shape) -> String {
    let mut block = 0u32;
    let mut pending: Vec<u8> = Vec::new();
    let next = || {
        if pending.is_empty() {
            pending = tag(key, "hash", shape.as_str(), block).as_ref().to_vec();
            block = block.wrapping_add(1);
        }
        let byte = usize::from(pending.pop().unwrap_or_default());
        char::from(LETTERS.get(byte % LETTERS.len()).copied().unwrap_or(b'A'))
    };
    // A shape is made only of text that has a layout, so this cannot fail; an empty hash would be refused, not matched.
    shape.fill(next).unwrap_or_default()
}

/// The same key serves two purposes, told apart by a label of fixed length.
fn tag(key: &hmac::Key, purpose: &str, text: &str, block: u32) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(purpose.as_bytes());
    context.update(&block.to_be_bytes());
    context.update(text.as_bytes());
    context.sign()
}
