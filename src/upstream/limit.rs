//! How many exchanges are under way, and how long the others wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError};

use super::Peer;
use super::error::{Error, Kind};

/// The limit of exchanges under way to one upstream, all workers together.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    free: Arc<Semaphore>,
    size: usize,
}

/// The right to one exchange, given back when dropped.
pub(super) struct Turn(Arc<Semaphore>);

/// An exchange under way to a peer, counted until dropped.
pub(super) struct Visit(Arc<Peer>);

impl Limit {
    pub(super) fn new(size: usize) -> Self {
        let size = size.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(size)),
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
                match tokio::time::timeout(patience, self.free.acquire()).await {
                    Ok(Ok(permit)) => permit.forget(),
                    Ok(Err(_)) | Err(_) => return Err(busy()),
                }
            }
        }
        Ok(Turn(self.free.clone()))
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
