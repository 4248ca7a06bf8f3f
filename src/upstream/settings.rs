//! `[[upstreams]]`, with only valid values.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::PathAndQuery;

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
    /// How often a request that was not taken, or may safely be sent twice, is sent again.
    pub retries: u32,
    /// Active checks; none: what requests run into is all that is known.
    pub health: Option<HealthCheck>,
    /// TLS towards `https` servers.
    pub tls: UpstreamTls,
}

/// How servers are checked. An answer of 2xx or 3xx in time passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for, with GET.
    pub path: PathAndQuery,
    /// Between two checks of one server.
    pub interval: Duration,
    /// How long a check may take, connecting included.
    pub timeout: Duration,
    /// Failures in a row until a server is unhealthy.
    pub unhealthy_after: u32,
    /// Successes in a row until it is healthy again.
    pub healthy_after: u32,
}

/// How a server is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// In turn.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastRequests,
    /// By the client's address: the same one for the same client, as far as the servers stay the same.
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

impl fmt::Display for Server {
    /// As a configuration has it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::H2c => "h2c",
        };
        match &self.place {
            Place::Tcp { host, port } if host.contains(':') => write!(formatter, "{scheme}://[{host}]:{port}"),
            Place::Tcp { host, port } => write!(formatter, "{scheme}://{host}:{port}"),
            Place::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}
