//! Questions under way, each asked once, however many wait for its answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::OnceCell;

/// Questions under way. Who leads and goes away hands over to one who waits.
pub(super) struct Flights<K, T>(Mutex<HashMap<K, Arc<OnceCell<T>>, RandomState>>);

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, T> {
    /// The answer to this question: asked now, or by whoever asked first.
    pub(super) async fn share(&self, key: K, ask: impl Future<Output = T>) -> T {
        let cell = {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(flights.entry(key.clone()).or_default())
        };
        let landing = Landing(self, key, &cell);
        let answer = cell.get_or_init(|| ask).await.clone();
        drop(landing);
        answer
    }
}

/// Takes the question off the board when its answer is there, or nobody waits any more.
struct Landing<'f, K: Eq + Hash, T>(&'f Flights<K, T>, K, &'f Arc<OnceCell<T>>);

impl<K: Eq + Hash, T> Drop for Landing<'_, K, T> {
    fn drop(&mut self) {
        let mut flights = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = flights.get(&self.1).is_some_and(|cell| Arc::ptr_eq(cell, self.2));
        // Two hold it at the least: the board and this caller. Others who wait take it off themselves.
        if ours && (self.2.initialized() || Arc::strong_count(self.2) <= 2) {
            flights.remove(&self.1);
        }
    }
}
