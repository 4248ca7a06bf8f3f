//! `[[upstreams]]`, with only valid values.

use std::path::PathBuf;
use std::time::Duration;

use crate::tls::UpstreamTls;

/// A named group of servers that requests are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name routes refer to.
    pub name: String,
    /// The servers; at least one.
    pub servers: Vec<Server>,
    /// How one of them is chosen.
    pub balance: Balance,
    /// How long a connection may take to be made, with its TLS handshake.
    pub connect_timeout: Duration,
    /// How long the response's head may take.
    pub response_timeout: Duration,
    /// Exchanges in flight at most, all workers together.
    pub max_requests: usize,
    /// How long a request waits for its turn.
    pub queue_timeout: Duration,
    /// How often a request that was not taken is tried again.
    pub retries: u32,
    /// TLS towards `https` servers.
    pub tls: UpstreamTls,
}

/// How a server is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// In turn.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastRequests,
    /// By the client's address.
    ClientHash,
}

/// One server: where it is and what it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// The protocol.
    pub protocol: Protocol,
    /// Where it listens.
    pub place: Place,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP/1.1 or HTTP/2 (by ALPN) over TLS.
    Https,
    /// HTTP/2 in the clear, with prior knowledge.
    H2c,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A host (a name or an address, without brackets) and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket (HTTP/1.1).
    Unix(PathBuf),
}
