//! One server of an upstream.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use http::HeaderValue;
use http::uri::Authority;

use super::health::{Health, Who};
use super::resolve::{Names, Resolver};
use super::{Place, Protocol, Server};
use crate::tls::ClientTls;

/// One server of an upstream. Its `Arc` is its identity: it outlives reloads that do not change the server, and the
/// connections in the workers' pools hang on it.
#[derive(Debug)]
pub struct Peer {
    server: Server,
    tls: Option<Arc<ClientTls>>,
    resolver: Option<Arc<Resolver>>,
    authority: Authority,
    health: Health,
    /// Its part of the weight it has for a client; made of its name alone, so that all replicas agree.
    hash: u64,
    in_flight: AtomicUsize,
    /// At which of several addresses the next connection begins.
    address: AtomicUsize,
    speaks: AtomicU8,
}

/// The version of HTTP that a peer was found to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Unknown,
    Http1,
    Http2,
}

const HTTP_1: u8 = 1;
const HTTP_2: u8 = 2;

impl Peer {
    pub(super) fn new(server: Server, tls: Option<Arc<ClientTls>>, names: &Arc<dyn Names>) -> Self {
        let resolver = match &server.place {
            Place::Tcp { host, port } => Some(Arc::new(Resolver::new(host, *port, Arc::clone(names)))),
            Place::Unix(_) => None,
        };
        let speaks = match server.protocol {
            Protocol::Http => HTTP_1,
            Protocol::H2c => HTTP_2,
            Protocol::Https => 0,
        };
        let mut peer = Self {
            authority: authority(&server),
            resolver,
            health: Health::default(),
            hash: 0,
            tls,
            server,
            in_flight: AtomicUsize::new(0),
            address: AtomicUsize::new(0),
            speaks: AtomicU8::new(speaks),
        };
        peer.hash = hash_of(&peer.to_string());
        peer
    }

    /// Where it is and what it speaks.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Exchanges under way, all workers together.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether nothing is known against it: neither its checks nor the last requests to it.
    pub fn is_healthy(&self) -> bool {
        self.health.is_good()
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// How the log names it.
    pub(super) fn named<'a>(&'a self, upstream: &'a str) -> Who<'a> {
        Who { upstream, server: self }
    }

    /// How much a client belongs to it: a client goes to the server with the largest weight (rendezvous hashing). A server
    /// that comes or goes moves only the clients that it gets or had.
    pub(super) fn weight_for(&self, client_key: u64) -> u64 {
        mixed(mixed(client_key) ^ self.hash)
    }

    pub(super) fn is_same(&self, server: &Server, tls: Option<&ClientTls>) -> bool {
        let same_tls = match (&self.tls, tls) {
            (None, None) => true,
            (Some(ours), Some(other)) => ours.is_same(other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_tls && self.server == *server
    }

    pub(super) fn tls(&self) -> Option<&ClientTls> {
        self.tls.as_deref()
    }

    pub(super) fn resolver(&self) -> Option<&Arc<Resolver>> {
        self.resolver.as_ref()
    }

    /// The resolver of a name that nobody keeps fresh yet; given once.
    pub(super) fn resolver_to_keep(&self) -> Option<&Arc<Resolver>> {
        let resolver = self.resolver.as_ref()?;
        (resolver.is_named() && resolver.keep()).then_some(resolver)
    }

    pub(super) fn next_address(&self) -> &AtomicUsize {
        &self.address
    }

    /// Whether connections to this address may go on being used: the name has not moved on to others.
    pub(super) fn is_at(&self, address: Option<SocketAddr>) -> bool {
        match (&self.resolver, address) {
            (Some(resolver), Some(address)) => resolver.holds(address),
            (None, _) | (_, None) => true,
        }
    }

    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What Host is where the request does not say.
    pub(super) fn host(&self) -> HeaderValue {
        // An authority is visible ASCII.
        HeaderValue::from_str(self.authority.as_str()).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn speaks(&self) -> Speaks {
        match self.speaks.load(Ordering::Relaxed) {
            HTTP_1 => Speaks::Http1,
            HTTP_2 => Speaks::Http2,
            _ => Speaks::Unknown,
        }
    }

    pub(super) fn found_to_speak_http2(&self, http2: bool) {
        let speaks = if http2 { HTTP_2 } else { HTTP_1 };
        self.speaks.store(speaks, Ordering::Relaxed);
    }
}

/// The server as in the configuration, for logs and errors.
impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.server.place, self.server.protocol) {
            (Place::Unix(path), _) => write!(formatter, "unix:{}", path.display()),
            (Place::Tcp { .. }, Protocol::Http) => write!(formatter, "http://{}", self.authority),
            (Place::Tcp { .. }, Protocol::Https) => write!(formatter, "https://{}", self.authority),
            (Place::Tcp { .. }, Protocol::H2c) => write!(formatter, "h2c://{}", self.authority),
        }
    }
}

impl Server {
    /// What Host is where a request does not say: without the port where it is the scheme's (RFC 9110 section 4.2.3).
    pub fn host(&self) -> String {
        authority(self).to_string()
    }
}

/// Without the port where it is the scheme's (RFC 9110 section 4.2.3).
fn authority(server: &Server) -> Authority {
    let localhost = Authority::from_static("localhost");
    let Place::Tcp { host, port } = &server.place else {
        return localhost;
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    let default = match server.protocol {
        Protocol::Http | Protocol::H2c => 80,
        Protocol::Https => 443,
    };
    let text = if *port == default {
        host
    } else {
        format!("{host}:{port}")
    };
    Authority::try_from(text).unwrap_or(localhost)
}

/// FNV-1a: any fixed function of the name would do.
fn hash_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Spreads what differs in a few bits over all of them (the finaliser of SplitMix64).
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
