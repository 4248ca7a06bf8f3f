//! How many exchanges are under way, and how long the others wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError};

use super::Peer;
use super::error::{Error, Kind};

/// As many requests may wait as may be under way, within these bounds: at the end of a longer queue the wait for a turn would
/// be longer than a request itself takes, and each one that waits holds its head in memory.
const WAITING_AT_LEAST: usize = 64;
const WAITING_AT_MOST: usize = 4096;

/// The limit of exchanges under way to one upstream, all workers together.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    free: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    size: usize,
}

/// One that waits, counted until dropped.
struct Waiting<'a>(&'a AtomicUsize);

/// The right to one exchange, given back when dropped.
pub(super) struct Turn(Arc<Semaphore>);

/// An exchange under way to a peer, counted until dropped.
pub(super) struct Visit(Arc<Peer>);

impl Limit {
    pub(super) fn new(size: usize) -> Self {
        let size = size.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(size)),
            waiting: Arc::default(),
            size,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// A turn; waits for at most `patience`, in the order of arrival.
    pub(super) async fn turn(&self, patience: Duration, upstream: &str) -> Result<Turn, Error> {
        let busy = || {
            let size = self.size;
            let context = format!("{upstream}: {size} requests are under way (max_requests), none ended in time");
            Error::new(Kind::Busy, false, context)
        };
        match self.free.try_acquire() {
            Ok(permit) => permit.forget(),
            // It is never closed.
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                let most = self.size.clamp(WAITING_AT_LEAST, WAITING_AT_MOST);
                let _waiting = Waiting::enter(&self.waiting, most).ok_or_else(|| {
                    let context = format!("{upstream}: {most} requests wait already (max_requests)");
                    Error::new(Kind::Busy, false, context)
                })?;
                match tokio::time::timeout(patience, self.free.acquire()).await {
                    Ok(Ok(permit)) => permit.forget(),
                    Ok(Err(_)) | Err(_) => return Err(busy()),
                }
            }
        }
        Ok(Turn(self.free.clone()))
    }
}

impl<'a> Waiting<'a> {
    /// None where too many wait already.
    fn enter(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let entered = Self(count);
        (before < most).then_some(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl Visit {
    pub(super) fn new(peer: Arc<Peer>) -> Self {
        peer.enter();
        Self(peer)
    }

    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.leave();
    }
}
