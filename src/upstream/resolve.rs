//! The addresses of one host, kept fresh: asked for again as their time runs out, without a look-up per connection.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// The shortest time for which an answer counts, whatever its TTL: a TTL of zero must not become a question per connection.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest: after it, a change of the hosts file or of a record with a careless TTL is seen.
const LONGEST: Duration = Duration::from_secs(60);
/// How soon after a failure the name is asked for again; as long as it fails, the last known addresses count.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long a refresh may take while there still are older addresses to use.
const PATIENCE: Duration = Duration::from_secs(5);

/// A name service. What it does, it does elsewhere than on the thread that asks.
pub trait Names: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a host, at least one.
    fn look_up<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Answer>> + Send + 'a>>;
}

/// What a name service says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// For how long they count.
    pub ttl: Duration,
}

/// The addresses of one host and port.
#[derive(Debug)]
pub(super) struct Resolver {
    host: String,
    port: u16,
    names: Arc<dyn Names>,
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
    pub(super) fn new(host: &str, port: u16, names: Arc<dyn Names>) -> Self {
        let literal = host.parse::<IpAddr>().ok().map(|address| {
            Arc::new(Known {
                addresses: [SocketAddr::new(address, port)].into(),
                until: None,
            })
        });
        Self {
            host: host.to_owned(),
            port,
            names,
            known: ArcSwapOption::new(literal),
            refresh: Mutex::new(()),
        }
    }

    /// The addresses, at least one. While the name service fails, the last ones that were known. Whoever needs the first
    /// ones waits for them; nobody waits for newer ones but the one who fetches them.
    pub(super) async fn addresses(&self) -> io::Result<Arc<[SocketAddr]>> {
        let Some(known) = self.known.load_full() else {
            return self.first().await;
        };
        if known.until.is_none_or(|until| Instant::now() < until) {
            return Ok(known.addresses.clone());
        }
        // Somebody is refreshing already: what was good a moment ago will do.
        if let Ok(_refreshing) = self.refresh.try_lock() {
            self.renew(&known.addresses).await;
        }
        let newest = self.known.load_full().unwrap_or(known);
        Ok(newest.addresses.clone())
    }

    /// Whether connections to this address may go on being used.
    pub(super) fn holds(&self, address: SocketAddr) -> bool {
        self.known
            .load()
            .as_ref()
            .is_none_or(|known| known.addresses.contains(&address))
    }

    /// Whether it is a name, and not an address.
    pub(super) fn is_named(&self) -> bool {
        self.known.load().as_ref().is_none_or(|known| known.until.is_some())
    }

    async fn first(&self) -> io::Result<Arc<[SocketAddr]>> {
        let _refreshing = self.refresh.lock().await;
        match self.known.load_full() {
            Some(known) => Ok(known.addresses.clone()),
            None => {
                let (addresses, ttl) = self.look_up().await?;
                self.remember(addresses.clone(), ttl);
                Ok(addresses)
            }
        }
    }

    async fn renew(&self, last: &Arc<[SocketAddr]>) {
        match tokio::time::timeout(PATIENCE, self.look_up()).await {
            Ok(Ok((addresses, ttl))) => {
                let changed = addresses.iter().any(|address| !last.contains(address)) || last.len() != addresses.len();
                if changed {
                    tracing::info!(host = self.host, ?addresses, "the name has other addresses now");
                }
                self.remember(addresses, ttl);
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(
                    host = self.host,
                    "the name cannot be resolved; going on with its last known addresses"
                );
                self.remember(Arc::clone(last), AFTER_FAILURE);
            }
        }
    }

    async fn look_up(&self) -> io::Result<(Arc<[SocketAddr]>, Duration)> {
        let Answer { addresses, ttl } = self.names.look_up(&self.host).await?;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        let addresses = addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, self.port));
        Ok((addresses.collect(), ttl.clamp(SHORTEST, LONGEST)))
    }

    fn remember(&self, addresses: Arc<[SocketAddr]>, lifetime: Duration) {
        self.known.store(Some(Arc::new(Known {
            addresses,
            until: Some(Instant::now() + lifetime),
        })));
    }
}

/// Keeps the addresses fresh until the server is gone, so that no request finds them out of date.
pub(super) async fn keep_fresh(resolver: Weak<Resolver>) {
    loop {
        let until = match resolver.upgrade() {
            Some(resolver) => {
                // What fails here fails again where somebody waits for it, and is told there.
                let failed = resolver.addresses().await.is_err();
                let known = resolver.known.load().as_ref().and_then(|known| known.until);
                known.filter(|_| !failed).unwrap_or(Instant::now() + AFTER_FAILURE)
            }
            None => return,
        };
        tokio::time::sleep_until(until).await;
    }
}
