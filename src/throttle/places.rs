//! The places that attempts under way take, per key: what the store cannot know yet.
//!
//! A count read from the store is a moment old. To decide by it, an attempt adds what has failed on the key since
//! before the reading, and what is under way now; both are known here. The sum is never too low, and where it is too
//! high (a failure that the reading already held), somebody has just left, which wakes those who wait.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::keys::Key;

/// Attempts that may wait on one key. With the hashing threads' own queue as long, more of them would not be served in time.
const WAITING: usize = 64;

/// All keys on which something is under way.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<Key, Slot>>>);

/// One key. It exists while somebody is present: the table is as large as the number of logins under way.
#[derive(Default)]
struct Slot {
    present: usize,
    under_way: u64,
    waiting: usize,
    failed: u64,
    left: Arc<Notify>,
}

/// One attempt's presence on its two keys: counted while it lives.
pub(super) struct Place {
    places: Places,
    keys: [Key; 2],
    entered: bool,
    waiting_on: Option<Key>,
}

/// The state before the store was read.
pub(super) struct Glance([(u64, OwnedNotified); 2]);

/// What came of trying to enter.
pub(super) enum Entry {
    /// The attempt is under way.
    Entered,
    /// Others must leave first; done when one has. Then look again.
    Wait(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Too many wait already.
    Crowded,
}

impl Places {
    /// Appears on these keys.
    pub(super) fn take(&self, keys: [Key; 2]) -> Place {
        let mut slots = self.lock();
        for key in keys {
            slots.entry(key).or_default().present += 1;
        }
        drop(slots);
        Place {
            places: self.clone(),
            keys,
            entered: false,
            waiting_on: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        // Nothing panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl Place {
    pub(super) fn keys(&self) -> &[Key; 2] {
        &self.keys
    }

    /// To be taken before the store is read.
    pub(super) fn glance(&mut self) -> Glance {
        let mut slots = self.places.lock();
        Glance(self.keys.map(|key| {
            let slot = slots.entry(key).or_default();
            // It hears of everybody who leaves from here on, polled or not.
            (slot.failed, Arc::clone(&slot.left).notified_owned())
        }))
    }

    /// Enters if that keeps what is counted and what is under way within the limits.
    pub(super) fn enter(&mut self, before: Glance, counted: [u64; 2], limits: [u64; 2]) -> Entry {
        self.stop_waiting();
        let mut slots = self.places.lock();
        let Glance(before) = before;
        for ((key, (failed, left)), (counted, limit)) in
            self.keys.into_iter().zip(before).zip(counted.into_iter().zip(limits))
        {
            let slot = slots.entry(key).or_default();
            let since = slot.failed.saturating_sub(failed);
            if counted.saturating_add(since).saturating_add(slot.under_way) < limit {
                continue;
            }
            if slot.waiting >= WAITING {
                return Entry::Crowded;
            }
            slot.waiting += 1;
            self.waiting_on = Some(key);
            return Entry::Wait(Box::pin(left));
        }
        for key in self.keys {
            slots.entry(key).or_default().under_way += 1;
        }
        self.entered = true;
        Entry::Entered
    }

    /// The store has counted this attempt as failed.
    pub(super) fn failed(&mut self) {
        let mut slots = self.places.lock();
        for key in self.keys {
            slots.entry(key).or_default().failed += 1;
        }
    }

    fn stop_waiting(&mut self) {
        if let Some(key) = self.waiting_on.take()
            && let Some(slot) = self.places.lock().get_mut(&key)
        {
            slot.waiting = slot.waiting.saturating_sub(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop_waiting();
        let mut slots = self.places.lock();
        for key in self.keys {
            let Some(slot) = slots.get_mut(&key) else { continue };
            if self.entered {
                slot.under_way = slot.under_way.saturating_sub(1);
                slot.left.notify_waiters();
            }
            slot.present = slot.present.saturating_sub(1);
            if slot.present == 0 {
                slots.remove(&key);
            }
        }
    }
}
