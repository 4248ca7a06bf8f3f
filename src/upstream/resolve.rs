//! From a host to addresses, without a look-up per connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long addresses count. The system's resolver does not tell their TTL.
const LIFETIME: Duration = Duration::from_secs(10);
/// How long a refresh may take while there still are older addresses to use.
const PATIENCE: Duration = Duration::from_secs(1);

/// The addresses of one host and port.
#[derive(Debug)]
pub(super) struct Resolver {
    host: String,
    port: u16,
    known: ArcSwapOption<Known>,
    /// Held by the one who looks up.
    refresh: Mutex<()>,
}

#[derive(Debug)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    /// None: forever, for an address was given and no name.
    until: Option<Instant>,
}

impl Resolver {
    pub(super) fn new(host: &str, port: u16) -> Self {
        let literal = host.parse::<IpAddr>().ok().map(|address| {
            Arc::new(Known {
                addresses: [SocketAddr::new(address, port)].into(),
                until: None,
            })
        });
        Self {
            host: host.to_owned(),
            port,
            known: ArcSwapOption::new(literal),
            refresh: Mutex::new(()),
        }
    }

    /// The addresses, at least one. While the name service fails, the last ones that were known.
    pub(super) async fn addresses(&self) -> io::Result<Arc<[SocketAddr]>> {
        let Some(known) = self.known.load_full() else {
            return self.first().await;
        };
        if known.until.is_none_or(|until| Instant::now() < until) {
            return Ok(known.addresses.clone());
        }
        // Somebody is refreshing already: what was good a moment ago will do.
        let Ok(_refreshing) = self.refresh.try_lock() else {
            return Ok(known.addresses.clone());
        };
        match tokio::time::timeout(PATIENCE, self.look_up()).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(
                    host = self.host,
                    "the name cannot be resolved; going on with its last known addresses"
                );
                self.remember(known.addresses.clone());
                Ok(known.addresses.clone())
            }
        }
    }

    async fn first(&self) -> io::Result<Arc<[SocketAddr]>> {
        let _refreshing = self.refresh.lock().await;
        match self.known.load_full() {
            Some(known) => Ok(known.addresses.clone()),
            None => self.look_up().await,
        }
    }

    /// The system's resolver, on a blocking thread of the runtime.
    async fn look_up(&self) -> io::Result<Arc<[SocketAddr]>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let addresses: Arc<[SocketAddr]> = found.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        self.remember(addresses.clone());
        Ok(addresses)
    }

    fn remember(&self, addresses: Arc<[SocketAddr]>) {
        self.known.store(Some(Arc::new(Known {
            addresses,
            until: Some(Instant::now() + LIFETIME),
        })));
    }
}
