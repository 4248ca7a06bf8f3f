//! Which server a request goes to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Balance, Peer};

/// The peers in the order in which they are to be tried.
pub(super) fn order<'a>(
    balance: Balance,
    peers: &'a [Arc<Peer>],
    turn: &AtomicUsize,
    client_key: u64,
) -> impl Iterator<Item = &'a Arc<Peer>> {
    let count = peers.len().max(1);
    let first = match balance {
        Balance::RoundRobin => turn.fetch_add(1, Ordering::Relaxed) % count,
        Balance::LeastRequests => {
            // Of equals the one whose turn it is, else the first one would get all requests of a quiet time.
            let next = turn.fetch_add(1, Ordering::Relaxed) % count;
            (next..count)
                .chain(0..next)
                .min_by_key(|place| peers.get(*place).map(|peer| peer.in_flight()))
                .unwrap_or_default()
        }
        Balance::ClientHash => {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            usize::try_from(client_key % count).unwrap_or_default()
        }
    };
    let (before, after) = peers.split_at(first.min(peers.len()));
    after.iter().chain(before)
}
