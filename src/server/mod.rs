//! The running gateway: threads and their lives, from a configuration to the last connection.

mod acceptor;
mod admin;
mod arrival;
mod assemble;
mod drain;
mod farewell;
mod feed;
mod keys;
mod promise;
mod reload;
mod renewal;
mod verify;
mod worker;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use crate::authn::Remembered;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::gateway::{self, Complaints, Gateway, Protocol};
use crate::office::Office;
use crate::registry::Registry;
use crate::revocation::Revocations;
use crate::store::Store;
use crate::telemetry::{AccessLog, Logging, Metrics};
use crate::tls::ServerTls;
use crate::token::FetchedKeys;
use acceptor::{Desk, Port, Seats};
use renewal::Renewal;
use worker::{Tools, Tuning};

pub use assemble::{open_store, trial_snapshot};
pub use feed::warnings as warnings_of_table;
pub use keys::hint as key_hint;
pub use promise::broken;
pub use renewal::LOOK;
pub use verify::{Findings, Lost, verify};

/// Why the gateway could not be started: what failed, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct StartError {
    /// What failed.
    pub what: String,
    /// Why.
    pub cause: String,
    /// What to do about it.
    pub hint: String,
}

impl StartError {
    fn new(what: impl Into<String>, cause: impl ToString, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            cause: cause.to_string(),
            hint: hint.into(),
        }
    }

    /// Certificates that cannot be used: which file it is about is half of what helps.
    fn of_certificates(error: &crate::tls::Error) -> Self {
        let cause = match error.file() {
            Some(file) => format!("{}: {}", file.display(), error.cause()),
            None => error.cause().to_owned(),
        };
        Self::new("the certificates cannot be used", cause, error.hint())
    }
}

/// A gateway that runs.
pub struct Server {
    gateway: Arc<Gateway>,
    tls: Arc<ServerTls>,
    renewal: Renewal,
    tuning: Arc<ArcSwap<Tuning>>,
    seats: Arc<Seats>,
    registries: Vec<Arc<Registry>>,
    store: Arc<dyn Store>,
    revocations: Revocations,
    fetched: FetchedKeys,
    metrics: Arc<Metrics>,
    config: Config,
    ports: Vec<Arc<Port>>,
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    /// Says nothing, and closes when the acceptor has handed over whoever it took.
    accepting: Option<oneshot::Receiver<()>>,
    admin: admin::Admin,
    logging: Option<Arc<Logging>>,
    /// Sends mails.
    mails: Option<tokio::task::JoinHandle<()>>,
}

impl Server {
    /// Starts everything. Must be called inside the office's runtime, which carries the store's connections.
    ///
    /// # Errors
    /// A file that is not what it should be, an address that is taken.
    pub async fn start(
        config: Config,
        office: Office,
        logging: Option<Arc<Logging>>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new(config.workers));
        let renewal = Renewal::of(&config);
        let tls = ServerTls::new(&config.tls, clock.clone()).map_err(|error| StartError::of_certificates(&error))?;
        let tls = Arc::new(tls);
        let parts = assemble::Parts::new(&config, office, &clock, &metrics).await?;
        let snapshot = assemble::snapshot(&config, &parts, None)?;
        promise::kept(&config, &snapshot.policy)?;
        let gateway = Arc::new(Gateway {
            snapshot: ArcSwap::from_pointee(snapshot),
            authenticator: parts.authenticator.clone(),
            complaints: Complaints::default(),
            resolver: parts.services.resolver.clone(),
            services: parts.services.clone(),
            tls: Arc::clone(&tls),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
        });
        let bound = bind(&config)?;
        let (stop, stopped) = watch::channel(false);
        let state = admin::State {
            revocations: parts.revocations.clone(),
            keys: parts.keys.clone(),
            stopped: stopped.clone(),
            clock,
            accounts: Arc::clone(&parts.services.accounts),
            gateway: Arc::clone(&gateway),
        };
        let admin = admin::Admin::start(config.admin.address, state, Arc::clone(&metrics)).await?;
        let mut server = Self {
            gateway,
            tls,
            renewal,
            tuning: Arc::new(ArcSwap::from_pointee(tuning(&config))),
            seats: Seats::new(
                config.workers,
                config.limits.connections,
                config.limits.connections_per_address,
            ),
            registries: Vec::new(),
            store: Arc::clone(&parts.store),
            revocations: parts.revocations.clone(),
            fetched: parts.fetched.clone(),
            metrics,
            ports: bound.iter().map(|(_, port)| Arc::clone(port)).collect(),
            addresses: bound
                .iter()
                .filter_map(|(listener, _)| listener.local_addr().ok())
                .collect(),
            config,
            stop,
            threads: Vec::new(),
            accepting: None,
            admin,
            logging,
            mails: None,
        };
        server.start_threads(bound, stopped.clone())?;
        server.mails = Some(parts.follow(&server.config, stopped));
        server.watch_upstreams();
        server.tell_figures();
        Ok(server)
    }

    /// Where it listens, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where metrics and health are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The store it works on.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Whether keys and changes were read, so that credentials can be judged.
    pub fn is_ready(&self) -> bool {
        self.revocations.ready()
    }

    /// Begins what goes on for the upstreams that are in force now.
    fn watch_upstreams(&self) {
        let snapshot = self.gateway.snapshot.load();
        snapshot.upstreams.watch(&self.gateway.services.office);
    }

    /// Figures that are taken now and then rather than counted.
    pub fn tell_figures(&self) {
        for port in &self.ports {
            self.metrics
                .connections(&port.name, port.open.load(std::sync::atomic::Ordering::Relaxed));
        }
        for (worker, open) in self.seats.by_worker().enumerate() {
            self.metrics.worker_connections(worker, open);
        }
        let now = self.gateway.clock.unix_seconds();
        for expiry in self.tls.expiry() {
            self.metrics
                .certificate_expiry(&expiry.name, expiry.not_after.saturating_sub(now));
        }
        self.gateway.services.accounts.tell_figures();
        if let Some(logging) = &self.logging {
            self.metrics.log_dropped(logging.dropped());
        }
    }

    fn start_threads(
        &mut self,
        bound: Vec<(TcpListener, Arc<Port>)>,
        stopped: watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let failed = |error| StartError::new("a thread cannot be started", error, "raise the limit of processes");
        let mut queues = Vec::new();
        for index in 0..self.config.workers {
            let registry = Arc::new(Registry::default());
            let access = self.logging.clone().filter(|_| self.config.log.access);
            let worker = Arc::new(gateway::Worker::new(
                index,
                Arc::clone(&registry),
                Remembered::new(self.config.tokens.cache),
                AccessLog::new(access),
                seed().map_err(|error| StartError::new("no randomness", error, "the system must give some"))?,
            ));
            let (sender, queue) = mpsc::unbounded_channel();
            let tools = Tools {
                gateway: Arc::clone(&self.gateway),
                tuning: Arc::clone(&self.tuning),
            };
            let run = move || {
                if let Err(error) = worker::run(&worker, tools, queue) {
                    tracing::error!(%error, "a worker could not run");
                }
            };
            let name = format!("worker-{index}");
            self.threads
                .push(std::thread::Builder::new().name(name).spawn(run).map_err(failed)?);
            self.registries.push(registry);
            queues.push(sender);
        }
        let desk = Desk {
            seats: Arc::clone(&self.seats),
            workers: queues,
        };
        let (ended, accepting) = oneshot::channel();
        self.accepting = Some(accepting);
        let run = move || {
            if let Err(error) = acceptor::run(bound, desk, stopped) {
                tracing::error!(%error, "the acceptor could not run");
            }
            drop(ended);
        };
        self.threads.push(
            std::thread::Builder::new()
                .name("acceptor".into())
                .spawn(run)
                .map_err(failed)?,
        );
        Ok(())
    }
}

fn bind(config: &Config) -> Result<Vec<(TcpListener, Arc<Port>)>, StartError> {
    let mut bound = Vec::new();
    for listener in &config.listeners {
        let failed = |error: std::io::Error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another port",
                std::io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
                _ => "check the address",
            };
            StartError::new(format!("cannot listen on {}", listener.address), error, hint)
        };
        let socket = TcpListener::bind(listener.address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        crate::net::keep_alive(&socket).map_err(failed)?;
        let (protocol, redirect_port) = match listener.protocol {
            config::Protocol::Https => (Protocol::Https, 443),
            config::Protocol::Http => (Protocol::Http, 443),
            config::Protocol::Redirect { https_port } => (Protocol::Redirect, https_port),
        };
        let port = Port {
            name: listener.name.clone(),
            protocol,
            redirect_port,
            proxy_protocol: listener.proxy_protocol,
            open: AtomicUsize::new(0),
        };
        bound.push((socket, Arc::new(port)));
    }
    Ok(bound)
}

fn tuning(config: &Config) -> Tuning {
    let header_bytes = config.limits.header_bytes;
    Tuning {
        deadlines: config.timeouts,
        wire: crate::wire::Settings::new(header_bytes).unwrap_or_default(),
        header_bytes: u32::try_from(header_bytes).unwrap_or(u32::MAX),
    }
}

fn seed() -> Result<[u64; 2], getrandom::Error> {
    Ok([getrandom::u64()?, getrandom::u64()?])
}
