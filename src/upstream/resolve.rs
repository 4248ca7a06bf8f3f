//! The addresses of one host, kept fresh: asked for again as their time runs out, without a look-up per connection.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
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
/// How soon a name that has no addresses yet is asked for again for the sake of a request.
const AFTER_FIRST_FAILURE: Duration = Duration::from_secs(1);
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
    /// Whether somebody keeps the addresses fresh: then no request has to.
    kept: AtomicBool,
    /// Held by the one who looks up; when that last failed.
    refresh: Mutex<Option<Instant>>,
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
            kept: AtomicBool::new(false),
            refresh: Mutex::new(None),
        }
    }

    /// The addresses, at least one. While the name service fails, the last ones that were known. Whoever needs the first
    /// ones waits for them; nobody waits for newer ones, unless nobody keeps them fresh.
    pub(super) async fn addresses(&self) -> io::Result<Arc<[SocketAddr]>> {
        let Some(known) = self.known.load_full() else {
            return self.first().await;
        };
        if !self.kept.load(Ordering::Relaxed)
            && known.is_old()
            && let Ok(mut failed) = self.refresh.try_lock()
        {
            self.renew(&known.addresses, &mut failed).await;
        }
        let newest = self.known.load_full().unwrap_or(known);
        Ok(newest.addresses.clone())
    }

    /// True the first time: whoever asks keeps the addresses fresh from now on.
    pub(super) fn keep(&self) -> bool {
        !self.kept.swap(true, Ordering::Relaxed)
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
        let mut failed = self.refresh.lock().await;
        if let Some(known) = self.known.load_full() {
            return Ok(known.addresses.clone());
        }
        if failed.is_some_and(|at| at.elapsed() < AFTER_FIRST_FAILURE) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name could not be resolved a moment ago",
            ));
        }
        let found = self.look_up().await;
        *failed = found.is_err().then(Instant::now);
        let (addresses, ttl) = found?;
        self.remember(addresses.clone(), ttl);
        Ok(addresses)
    }

    async fn renew(&self, last: &Arc<[SocketAddr]>, failed: &mut Option<Instant>) {
        match tokio::time::timeout(PATIENCE, self.look_up()).await {
            Ok(Ok((addresses, ttl))) => {
                let changed = addresses.iter().any(|address| !last.contains(address)) || last.len() != addresses.len();
                if changed || failed.take().is_some() {
                    tracing::info!(host = self.host, ?addresses, "the name was resolved anew");
                }
                self.remember(addresses, ttl);
            }
            Ok(Err(_)) | Err(_) => {
                if failed.replace(Instant::now()).is_none() {
                    tracing::warn!(
                        host = self.host,
                        "the name cannot be resolved; going on with its last known addresses"
                    );
                }
                self.remember(Arc::clone(last), AFTER_FAILURE);
            }
        }
    }

    /// Makes sure that the addresses are good for some time; until when.
    async fn freshen(&self) -> Instant {
        let soon = Instant::now() + AFTER_FAILURE;
        match self.known.load_full() {
            // What fails here fails again where somebody waits for it, and is told there.
            None => drop(self.first().await),
            Some(known) if known.is_old() => {
                let mut failed = self.refresh.lock().await;
                self.renew(&known.addresses, &mut failed).await;
            }
            Some(_) => {}
        }
        self.known.load().as_ref().and_then(|known| known.until).unwrap_or(soon)
    }

    async fn look_up(&self) -> io::Result<(Arc<[SocketAddr]>, Duration)> {
        let Answer { addresses, ttl } = self.names.look_up(&self.host).await?;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, self.port));
        Ok((addresses.collect(), ttl.clamp(SHORTEST, LONGEST)))
    }

    fn remember(&self, addresses: Arc<[SocketAddr]>, lifetime: Duration) {
        self.known.store(Some(Arc::new(Known {
            addresses,
            until: Some(Instant::now() + lifetime),
        })));
    }
}

impl Known {
    fn is_old(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

/// Keeps the addresses fresh until the server is gone, so that no request finds them out of date.
pub(super) async fn keep_fresh(resolver: Weak<Resolver>) {
    loop {
        let until = match resolver.upgrade() {
            Some(resolver) => resolver.freshen().await,
            None => return,
        };
        tokio::time::sleep_until(until).await;
    }
}
