//! One part of a limiter's memory: when the bucket of each who asked of late is full again.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// How many one part remembers: with 16 parts 65,536 who ask, about 3 MiB a route.
pub(super) const AT_MOST: usize = 4096;
/// How many are compared to find one that can be forgotten early.
const SAMPLE: usize = 8;
/// Idle ones are looked for no more often than this, in nanoseconds, where memory is full: each search looks at all.
const BETWEEN_SEARCHES: u64 = 1_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Until when each bucket is not full.
    full_at: HashMap<u128, u64, RandomState>,
    /// Before this time no idle ones are looked for.
    next_search: u64,
}

impl Shard {
    /// Counts a request; how long to wait instead if it is one too many, else 0.
    pub(super) fn count(&mut self, key: u128, now: u64, cost: u64, slack: u64) -> u64 {
        if let Some(full_at) = self.full_at.get_mut(&key) {
            let begin = (*full_at).max(now);
            let wait = begin.saturating_sub(now).saturating_sub(slack);
            if wait == 0 {
                *full_at = begin.saturating_add(cost);
            }
            return wait;
        }
        if self.full_at.len() >= AT_MOST {
            self.make_room(now);
        }
        self.full_at.insert(key, now.saturating_add(cost));
        0
    }

    /// Forgets those whose bucket is full: a new one is the same. If all are in use, one of those that are the least ahead:
    /// it may ask a little more often than it should, and those who ask the most stay limited.
    fn make_room(&mut self, now: u64) {
        if now >= self.next_search {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.next_search = now.saturating_add(BETWEEN_SEARCHES);
        }
        if self.full_at.len() >= AT_MOST {
            let sample = self.full_at.iter().take(SAMPLE);
            if let Some(least) = sample.min_by_key(|(_, full_at)| **full_at).map(|(key, _)| *key) {
                self.full_at.remove(&least);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.full_at.len()
    }
}
