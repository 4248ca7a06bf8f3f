//! The connections that one worker keeps to its peers.
//!
//! Thread-local: a worker is one thread with one current_thread runtime, so nothing here is shared and nothing is locked.
//! The cell is never borrowed over an await, and nothing that is done while it is borrowed comes back here.
//! HTTP/1.1 connections lie on a stack per peer, the latest used on top; of HTTP/2 there is one connection, shared.
//!
//! A connection at rest has no task: whether it died meanwhile is asked when it is wanted, and at each sweep.
//!
//! A pool exists for each type of request body, for hyper's connections have it in their type; there is one in practice.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hyper::client::conn::http2;
use tokio::sync::watch;

use super::body::Outgoing;
use super::connection::Connection;
use super::error::Error;
use super::http1;
use super::{Peer, RequestBody};

/// Idle connections that one worker keeps to one peer.
const IDLE_AT_MOST: usize = 128;
/// How long an idle connection is kept. Servers that close earlier do no harm: a dead connection is seen and dropped.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// Drops the connections of this thread that were idle for too long, died, or belong to peers that are gone. Each worker
/// calls it about once a second; the time since the last call is the precision of the idle time.
pub fn sweep(now: Instant) {
    let _ = POOLS.try_with(|pools| {
        for pool in pools.borrow_mut().iter_mut() {
            pool.sweep(now);
        }
    });
}

/// Idle connections of this thread to the peer, HTTP/2 connections included.
pub fn idle(peer: &Arc<Peer>) -> usize {
    POOLS
        .try_with(|pools| pools.borrow_mut().iter_mut().map(|pool| pool.idle(key(peer))).sum())
        .unwrap_or_default()
}

thread_local! {
    static POOLS: RefCell<Vec<Box<dyn AnyPool>>> = const { RefCell::new(Vec::new()) };
}

/// A connection that lives, if the pool has one.
pub(super) fn checkout<B: RequestBody>(peer: &Arc<Peer>) -> Option<Connection<B>> {
    with(|pool: &mut Pool<B>| pool.slots.get_mut(&key(peer))?.checkout(pool.now)).flatten()
}

/// Keeps an HTTP/1.1 connection for the next request.
pub(super) fn give_back<B: RequestBody>(peer: &Arc<Peer>, connection: http1::Connection) {
    // What does not fit is dropped after the borrow has ended.
    let _surplus = with(|pool: &mut Pool<B>| {
        let now = pool.now;
        let idle = &mut pool.slot(peer).idle;
        if idle.len() >= IDLE_AT_MOST {
            return Some(connection);
        }
        idle.push(Idle { connection, since: now });
        None
    });
}

/// Makes an HTTP/2 connection the one that everybody uses, and takes a share of it.
pub(super) fn share<B: RequestBody>(
    peer: &Arc<Peer>,
    sender: http2::SendRequest<Outgoing<B>>,
    address: Option<SocketAddr>,
) -> Connection<B> {
    let lease = Arc::new(());
    let share = Connection::Http2 {
        sender: sender.clone(),
        _lease: lease.clone(),
    };
    with(|pool: &mut Pool<B>| {
        let used = pool.now;
        pool.slot(peer).shared = Some(Shared {
            sender,
            lease,
            used,
            address,
        });
    });
    share
}

/// How many peers the pool of this thread knows.
#[cfg(test)]
pub(super) fn peers<B: RequestBody>() -> usize {
    with(|pool: &mut Pool<B>| pool.slots.len()).unwrap_or_default()
}

/// What to do for a connection that only one should make.
pub(super) enum Attempt {
    /// Make it; what comes of it is told to the others by the sender: an error by sending it, anything else by dropping.
    Lead(watch::Sender<Option<Error>>),
    /// Somebody is making it.
    Follow(watch::Receiver<Option<Error>>),
}

/// Joins the attempt under way to connect to a peer, or begins one.
pub(super) fn attempt<B: RequestBody>(peer: &Arc<Peer>) -> Attempt {
    with(|pool: &mut Pool<B>| {
        let slot = pool.slot(peer);
        match &slot.attempt {
            // Closed: whoever led it is done, or has gone away.
            Some(attempt) if attempt.has_changed().is_ok() => Attempt::Follow(attempt.clone()),
            Some(_) | None => {
                let (lead, follow) = watch::channel(None);
                slot.attempt = Some(follow);
                Attempt::Lead(lead)
            }
        }
    })
    .unwrap_or_else(|| Attempt::Lead(watch::channel(None).0))
}

/// The pool of this thread for this type of body. None while the thread ends.
fn with<B: RequestBody, R>(act: impl FnOnce(&mut Pool<B>) -> R) -> Option<R> {
    POOLS
        .try_with(|pools| {
            let mut pools = pools.borrow_mut();
            let place = pools.iter().position(|pool| pool.as_any().is::<Pool<B>>());
            let place = place.unwrap_or_else(|| {
                pools.push(Box::new(Pool::<B>::new()));
                pools.len() - 1
            });
            let pool = pools.get_mut(place)?.as_any_mut().downcast_mut::<Pool<B>>()?;
            Some(act(pool))
        })
        .ok()
        .flatten()
}

/// A peer's address in memory: unique for as long as a slot's `Weak` keeps the allocation.
fn key(peer: &Arc<Peer>) -> usize {
    Arc::as_ptr(peer).addr()
}

trait AnyPool: Any {
    fn sweep(&mut self, now: Instant);
    fn idle(&mut self, key: usize) -> usize;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

struct Pool<B: RequestBody> {
    slots: HashMap<usize, Slot<B>, foldhash::fast::RandomState>,
    /// The time of the last sweep: no clock is read per request.
    now: Instant,
}

/// The connections to one peer.
struct Slot<B: RequestBody> {
    peer: Weak<Peer>,
    idle: Vec<Idle>,
    shared: Option<Shared<B>>,
    attempt: Option<watch::Receiver<Option<Error>>>,
}

struct Idle {
    connection: http1::Connection,
    since: Instant,
}

struct Shared<B: RequestBody> {
    sender: http2::SendRequest<Outgoing<B>>,
    /// Each exchange holds a clone.
    lease: Arc<()>,
    used: Instant,
    /// Where it leads to.
    address: Option<SocketAddr>,
}

impl<B: RequestBody> Pool<B> {
    fn new() -> Self {
        Self {
            slots: HashMap::default(),
            now: Instant::now(),
        }
    }

    fn slot(&mut self, peer: &Arc<Peer>) -> &mut Slot<B> {
        self.slots.entry(key(peer)).or_insert_with(|| Slot {
            peer: Arc::downgrade(peer),
            idle: Vec::new(),
            shared: None,
            attempt: None,
        })
    }
}

impl<B: RequestBody> AnyPool for Pool<B> {
    fn sweep(&mut self, now: Instant) {
        self.now = now;
        self.slots.retain(|_, slot| {
            let Some(peer) = slot.peer.upgrade() else {
                return false;
            };
            slot.sweep(now, &peer);
            true
        });
    }

    fn idle(&mut self, key: usize) -> usize {
        self.slots.get_mut(&key).map_or(0, |slot| {
            slot.idle.retain_mut(|idle| idle.connection.is_quiet());
            let shared = slot.shared.as_ref().is_some_and(|shared| !shared.sender.is_closed());
            slot.idle.len() + usize::from(shared)
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl<B: RequestBody> Slot<B> {
    fn checkout(&mut self, now: Instant) -> Option<Connection<B>> {
        if let Some(shared) = &mut self.shared {
            if !shared.sender.is_closed() {
                shared.used = now;
                return Some(Connection::Http2 {
                    sender: shared.sender.clone(),
                    _lease: shared.lease.clone(),
                });
            }
            self.shared = None;
        }
        while let Some(Idle { mut connection, .. }) = self.idle.pop() {
            if connection.is_quiet() {
                return Some(Connection::Http1(connection));
            }
        }
        None
    }

    /// What was idle for too long, died, or leads to where the server is no more.
    fn sweep(&mut self, now: Instant, peer: &Peer) {
        let expired = |since: Instant| now.saturating_duration_since(since) >= IDLE_FOR;
        self.idle.retain_mut(|idle| {
            !expired(idle.since) && peer.is_at(idle.connection.address()) && idle.connection.is_quiet()
        });
        if self.idle.is_empty() {
            self.idle = Vec::new();
        }
        let in_use = |shared: &Shared<B>| Arc::strong_count(&shared.lease) > 1;
        if let Some(shared) = &mut self.shared
            && in_use(shared)
        {
            shared.used = now;
        }
        self.shared
            .take_if(|shared| shared.sender.is_closed() || expired(shared.used) || !peer.is_at(shared.address));
    }
}
