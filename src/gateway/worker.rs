//! What a worker keeps for itself: its memory of verified tokens, its registry, its part of the access log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::authn::Remembered;
use crate::registry::Registry;
use crate::telemetry::{Access, AccessLog};

/// One worker's own things. The locks are never contended: only the worker's thread takes them, they are there because a
/// task may not say so.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    registry: Arc<Registry>,
    remembered: Mutex<Remembered>,
    access: Mutex<AccessLog>,
    ids: AtomicU64,
    id_prefix: u64,
}

impl Worker {
    /// The worker of this index; `seed` makes its request ids differ from everybody else's.
    pub fn new(
        index: usize,
        registry: Arc<Registry>,
        remembered: Remembered,
        access: AccessLog,
        seed: [u64; 2],
    ) -> Self {
        let [id_prefix, first] = seed;
        Self {
            index,
            registry,
            remembered: Mutex::new(remembered),
            access: Mutex::new(access),
            ids: AtomicU64::new(first),
            id_prefix,
        }
    }

    /// Which one it is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its live connections and exchanges.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Works with the memory of verified tokens.
    pub fn remembered<T>(&self, work: impl FnOnce(&mut Remembered) -> T) -> T {
        work(&mut self.remembered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request id: 128 bits as hexadecimal digits, unique, not secret.
    pub fn next_id(&self) -> String {
        // A weak mixing step spreads the counter over all bits, so that ids can be sampled by any of them.
        let count = self
            .ids
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            | 1;
        format!("{:016x}{count:016x}", self.id_prefix)
    }

    /// Adds a line to the access log.
    pub fn log(&self, line: &Access<'_>) {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).write(line);
    }

    /// Hands the access log's lines over.
    pub fn flush_log(&self) {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).flush();
    }
}
