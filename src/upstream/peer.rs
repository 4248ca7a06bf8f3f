//! One server of an upstream.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use http::HeaderValue;
use http::uri::Authority;

use super::resolve::Resolver;
use super::{Place, Protocol, Server};
use crate::tls::ClientTls;

/// One server of an upstream. Its `Arc` is its identity: it outlives reloads that do not change the server, and the
/// connections in the workers' pools hang on it.
#[derive(Debug)]
pub struct Peer {
    server: Server,
    tls: Option<Arc<ClientTls>>,
    resolver: Option<Resolver>,
    authority: Authority,
    in_flight: AtomicUsize,
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
    pub(super) fn new(server: Server, tls: Option<Arc<ClientTls>>) -> Self {
        let resolver = match &server.place {
            Place::Tcp { host, port } => Some(Resolver::new(host, *port)),
            Place::Unix(_) => None,
        };
        let speaks = match server.protocol {
            Protocol::Http => HTTP_1,
            Protocol::H2c => HTTP_2,
            Protocol::Https => 0,
        };
        Self {
            authority: authority(&server),
            resolver,
            tls,
            server,
            in_flight: AtomicUsize::new(0),
            speaks: AtomicU8::new(speaks),
        }
    }

    /// Where it is and what it speaks.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Exchanges under way, all workers together.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
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

    pub(super) fn resolver(&self) -> Option<&Resolver> {
        self.resolver.as_ref()
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
