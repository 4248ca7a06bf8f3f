//! The acceptor: one thread owns every listener and hands each connection to the worker with the least work. That settles
//! the balance between workers and the limits on connections, and on the way out nobody who is in a queue is forgotten.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use crate::gateway::Protocol;

/// A listener as the workers see it.
#[derive(Debug)]
pub struct Port {
    /// Its name in logs and metrics.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// The port that a redirect leads to.
    pub redirect_port: u16,
    /// Whether connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Connections that are open.
    pub open: AtomicUsize,
}

/// A connection that was accepted, on its way to a worker.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, registered with no runtime; it does not block.
    pub stream: TcpStream,
    /// The other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Where it came in.
    pub port: Arc<Port>,
    /// Its place; given back when dropped.
    pub seat: Seat,
}

/// How many connections there may be.
#[derive(Debug)]
pub struct Seats {
    total: AtomicUsize,
    per_address: Mutex<HashMap<IpAddr, usize>>,
    limits: Limits,
    workers: Vec<AtomicUsize>,
    freed: Notify,
}

/// `[limits]`, as far as they are about connections.
#[derive(Debug)]
pub struct Limits {
    /// In all.
    pub connections: AtomicUsize,
    /// Of one address.
    pub per_address: AtomicUsize,
}

/// A connection's place.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    /// Whose it is; not known yet of a connection that a proxy passes on.
    address: Option<IpAddr>,
    worker: usize,
    port: Arc<Port>,
}

impl Seats {
    /// Places for connections on this many workers.
    pub fn new(workers: usize, connections: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            total: AtomicUsize::new(0),
            per_address: Mutex::default(),
            limits: Limits {
                connections: AtomicUsize::new(connections),
                per_address: AtomicUsize::new(per_address),
            },
            workers: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            freed: Notify::new(),
        })
    }

    /// Changes the limits; who has a place keeps it.
    pub fn set_limits(&self, connections: usize, per_address: usize) {
        self.limits.connections.store(connections, Ordering::Relaxed);
        self.limits.per_address.store(per_address, Ordering::Relaxed);
    }

    /// Connections that are open.
    pub fn taken(&self) -> usize {
        self.total.load(Ordering::Acquire)
    }

    /// Connections that are open, worker by worker.
    pub fn by_worker(&self) -> impl Iterator<Item = usize> {
        self.workers.iter().map(|load| load.load(Ordering::Relaxed))
    }

    /// Waits until no connection is left.
    pub async fn all_free(&self) {
        loop {
            let freed = self.freed.notified();
            if self.taken() == 0 {
                return;
            }
            freed.await;
        }
    }

    /// A place on the worker with the least work, unless there is none left.
    fn take(self: &Arc<Self>, address: Option<IpAddr>, port: &Arc<Port>) -> Option<Seat> {
        let address = address.map(|address| address.to_canonical());
        if self.taken() >= self.limits.connections.load(Ordering::Relaxed) {
            return None;
        }
        if address.is_some_and(|address| !self.count(address)) {
            return None;
        }
        let load = |(_, load): &(usize, &AtomicUsize)| load.load(Ordering::Relaxed);
        let worker = self
            .workers
            .iter()
            .enumerate()
            .min_by_key(load)
            .map_or(0, |(index, _)| index);
        if let Some(load) = self.workers.get(worker) {
            load.fetch_add(1, Ordering::Relaxed);
        }
        self.total.fetch_add(1, Ordering::AcqRel);
        port.open.fetch_add(1, Ordering::Relaxed);
        Some(Seat {
            seats: Arc::clone(self),
            address,
            worker,
            port: Arc::clone(port),
        })
    }

    /// Counts one more connection of an address, unless it has as many as it may.
    fn count(&self, address: IpAddr) -> bool {
        let limit = self.limits.per_address.load(Ordering::Relaxed);
        let mut counts = self.per_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&address).copied().unwrap_or(0);
        if count < limit {
            counts.insert(address, count + 1);
        }
        count < limit
    }
}

impl Seat {
    /// Says whose place this is, now that it is known; `false`: that address has as many as it may.
    pub fn is_for(&mut self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let counted = self.address.is_some() || self.seats.count(address);
        if counted {
            self.address.get_or_insert(address);
        }
        counted
    }

    /// The worker that carries the connection.
    pub fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            let mut counts = self.seats.per_address.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get_mut(address) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(address);
                }
            }
        }
        if let Some(load) = self.seats.workers.get(self.worker) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
        self.port.open.fetch_sub(1, Ordering::Relaxed);
        self.seats.total.fetch_sub(1, Ordering::AcqRel);
        self.seats.freed.notify_waiters();
    }
}

/// After the signal to stop, so many more are taken from a queue at most: who goes on knocking must not keep it open for ever.
/// No queue is longer by default (net.core.somaxconn).
const LAST: usize = 4096;

/// Where accepted connections go.
#[derive(Clone)]
pub struct Desk {
    /// The places.
    pub seats: Arc<Seats>,
    /// The queues of the workers.
    pub workers: Vec<mpsc::UnboundedSender<Accepted>>,
}

/// Accepts on all listeners until `stop` says so; then takes what is still queued and closes them.
pub fn run(listeners: Vec<(TcpListener, Arc<Port>)>, desk: Desk, stop: watch::Receiver<bool>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let mut tasks = tokio::task::JoinSet::new();
        for (listener, port) in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tasks.spawn(accept(listener, port, desk.clone(), stop.clone()));
        }
        drop(desk);
        while tasks.join_next().await.is_some() {}
        Ok(())
    })
}

async fn accept(listener: tokio::net::TcpListener, port: Arc<Port>, desk: Desk, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        let accepted = accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer)));
        desk.take(accepted, &port).await;
    }
    // Who waits in the queue comes first: only an empty queue is closed. The system is asked itself, for what the runtime knows
    // of the queue is as old as its last look.
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..LAST {
        match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            accepted => {
                let quiet = accepted.and_then(|(stream, peer)| {
                    stream.set_nonblocking(true)?;
                    Ok((stream, peer))
                });
                desk.take(quiet, &port).await;
            }
        }
    }
}

impl Desk {
    async fn take(&self, accepted: io::Result<(TcpStream, SocketAddr)>, port: &Arc<Port>) {
        match accepted {
            Ok((stream, peer)) => self.hand_over(stream, peer, port),
            Err(error) => {
                // Out of descriptors, most likely: they come back when connections end, nothing tells when.
                tracing::warn!(listener = %port.name, %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    fn hand_over(&self, stream: TcpStream, peer: SocketAddr, port: &Arc<Port>) {
        // Who connects through a proxy is known when the worker has read what the proxy says.
        let Some(seat) = self.seats.take((!port.proxy_protocol).then_some(peer.ip()), port) else {
            tracing::debug!(listener = %port.name, client = %peer.ip(), "a connection over the limit was closed");
            return;
        };
        let Ok(local) = stream.local_addr() else { return };
        let worker = seat.worker();
        let accepted = Accepted {
            stream,
            peer,
            local,
            port: Arc::clone(port),
            seat,
        };
        if let Some(worker) = self.workers.get(worker) {
            // A worker that is gone takes nothing: the process is stopping.
            worker.send(accepted).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_go_to_the_idlest_worker_and_come_back() {
        let seats = Seats::new(2, 3, 2);
        let port = Arc::new(Port {
            name: "p".into(),
            protocol: Protocol::Http,
            redirect_port: 443,
            proxy_protocol: false,
            open: AtomicUsize::new(0),
        });
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        let two: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let other: IpAddr = "10.0.0.2".parse().unwrap();
        let first = seats.take(Some(one), &port).unwrap();
        let second = seats.take(Some(two), &port).unwrap();
        assert_ne!(first.worker(), second.worker());
        assert!(
            seats.take(Some(one), &port).is_none(),
            "an address has two places, however it is written"
        );
        let third = seats.take(Some(other), &port).unwrap();
        assert!(
            seats.take("10.0.0.3".parse().ok(), &port).is_none(),
            "three places in all"
        );
        drop(first);
        assert!(seats.take(Some(one), &port).is_some());
        drop((second, third));
        assert_eq!((seats.taken(), port.open.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn whoever_comes_goes_where_the_fewest_are() {
        let seats = Seats::new(4, 1000, 1000);
        let port = Arc::new(Port {
            name: "p".into(),
            protocol: Protocol::Http,
            redirect_port: 443,
            proxy_protocol: false,
            open: AtomicUsize::new(0),
        });
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let mut taken: Vec<_> = (0..4).map(|_| seats.take(Some(address), &port).unwrap()).collect();
        assert_eq!(seats.by_worker().collect::<Vec<_>>(), [1, 1, 1, 1]);
        // A few long connections stay on one worker; whoever comes goes to the others until they have as many.
        taken.extend((0..12).map(|_| seats.take(Some(address), &port).unwrap()));
        taken.retain(|seat| seat.worker() == 2);
        assert_eq!(seats.by_worker().collect::<Vec<_>>(), [0, 0, 4, 0]);
        taken.extend((0..12).map(|_| seats.take(Some(address), &port).unwrap()));
        assert_eq!(seats.by_worker().collect::<Vec<_>>(), [4, 4, 4, 4]);
        drop(taken);
        assert_eq!(seats.by_worker().sum::<usize>(), 0);
    }

    #[test]
    fn who_comes_through_a_proxy_is_counted_when_it_is_known() {
        let seats = Seats::new(1, 9, 1);
        let port = Arc::new(Port {
            name: "p".into(),
            protocol: Protocol::Http,
            redirect_port: 443,
            proxy_protocol: true,
            open: AtomicUsize::new(0),
        });
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let (mut first, mut second) = (seats.take(None, &port).unwrap(), seats.take(None, &port).unwrap());
        assert!(first.is_for(one) && !second.is_for(one));
        drop(second);
        let mut third = seats.take(None, &port).unwrap();
        assert!(!third.is_for(one), "a place that was refused gives none back");
        drop(first);
        assert!(third.is_for(one));
        drop(third);
        assert!(seats.per_address.lock().unwrap().is_empty());
    }
}
