//! Which server a request goes to, and which after it.
//!
//! Servers that are not fit are passed over while there is another one. Where none is fit, one is tried anyway: what is
//! known about servers is always a little old, and an attempt that fails costs no more than a refusal would.

use std::sync::Arc;
use std::time::Duration;

use super::health::Fitness;
use super::{Balance, Peer};

/// The servers for one request, one after the other, each at most once.
pub(super) struct Order<'a> {
    balance: Balance,
    peers: &'a [Arc<Peer>],
    /// Whose turn it is, as a running number.
    turn: usize,
    client_key: u64,
    tried: Tried,
}

/// The places that were tried. The first one, which nearly always is the only one, costs no allocation.
#[derive(Default)]
struct Tried {
    first: Option<usize>,
    others: Vec<usize>,
}

impl Tried {
    fn contains(&self, place: usize) -> bool {
        self.first == Some(place) || self.others.contains(&place)
    }

    fn push(&mut self, place: usize) {
        match self.first {
            None => self.first = Some(place),
            Some(_) => self.others.push(place),
        }
    }
}

/// A server that a request is to go to.
#[derive(Clone, Copy)]
pub(super) struct Chosen<'a> {
    pub(super) peer: &'a Arc<Peer>,
    /// Whether this is the one request that finds out if the server is back.
    pub(super) probing: bool,
}

impl<'a> Order<'a> {
    pub(super) fn new(balance: Balance, peers: &'a [Arc<Peer>], turn: usize, client_key: u64) -> Self {
        Self {
            balance,
            peers,
            turn,
            client_key,
            tried: Tried::default(),
        }
    }

    /// The next one. `lease`: how long it may take to find out about a doubtful server.
    pub(super) fn next(&mut self, lease: Duration) -> Option<Chosen<'a>> {
        if let ([peer], true) = (self.peers, self.tried.first.is_none()) {
            self.tried.push(0);
            let probing = peer.health().fitness() == Fitness::Doubtful && peer.health().claim(lease);
            return Some(Chosen { peer, probing });
        }
        // Who failed already is not sent to find out about another server as long as there is a fit one.
        let with_doubtful = self.tried.first.is_none().then_some(Fitness::Doubtful);
        for also in [with_doubtful, None, Some(Fitness::Doubtful)] {
            let wanted = |fitness| fitness == Fitness::Fit || Some(fitness) == also;
            let Some((place, fitness)) = self.best(wanted) else {
                continue;
            };
            let Some(peer) = self.peers.get(place) else { continue };
            let probing = fitness == Fitness::Doubtful;
            // Somebody may have claimed it in this moment.
            if !probing || peer.health().claim(lease) {
                return self.choose(place, probing);
            }
        }
        let (place, _) = self.best(|_| true)?;
        self.choose(place, false)
    }

    fn choose(&mut self, place: usize, probing: bool) -> Option<Chosen<'a>> {
        let peer = self.peers.get(place)?;
        self.tried.push(place);
        Some(Chosen { peer, probing })
    }

    /// The best of those that are wanted and were not tried. Turns go round among these alone: if they went round among
    /// all, whoever stands behind an unfit server would get its share as well.
    fn best(&self, wanted: impl Fn(Fitness) -> bool) -> Option<(usize, Fitness)> {
        let candidates = || {
            let untried = self
                .peers
                .iter()
                .enumerate()
                .filter(|(place, _)| !self.tried.contains(*place));
            untried
                .map(|(place, peer)| (place, peer, peer.health().fitness()))
                .filter(|(_, _, fitness)| wanted(*fitness))
        };
        let count = candidates().count();
        let first = self.turn.checked_rem(count)?;
        candidates()
            .enumerate()
            .min_by_key(|(number, (_, peer, _))| {
                let distance = (number + count - first) % count;
                let rank = match self.balance {
                    Balance::RoundRobin => 0,
                    Balance::LeastRequests => u64::try_from(peer.in_flight()).unwrap_or(u64::MAX),
                    Balance::ClientHash => !peer.weight_for(self.client_key),
                };
                // Of equals the one whose turn it is, else the first would get all requests of a quiet time.
                (rank, distance)
            })
            .map(|(_, (place, _, fitness))| (place, fitness))
    }
}
