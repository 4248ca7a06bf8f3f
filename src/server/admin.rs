//! The admin listener: health and metrics, in the office, never on a public address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::StartError;
use crate::account::Accounts;
use crate::answer::{self, Answer};
use crate::clock::Clock;
use crate::codes::Code;
use crate::endpoint::status::{self, Health};
use crate::gateway::Gateway;
use crate::keyring::KeyRing;
use crate::problem::Problem;
use crate::revocation::Revocations;
use crate::telemetry::Metrics;

/// Connections that are served at once: scrapers and probes, not the public.
const CONNECTIONS: usize = 64;
/// How long a request may take to arrive, and a connection to be idle.
const READ: Duration = Duration::from_secs(10);

/// What health is told from.
#[derive(Clone)]
pub struct State {
    /// Whether changes were read.
    pub revocations: Revocations,
    /// Whether keys are there.
    pub keys: KeyRing,
    /// Whether the gateway is stopping.
    pub stopped: watch::Receiver<bool>,
    /// The time.
    pub clock: Clock,
    /// Tells the figures that only it knows.
    pub accounts: Arc<Accounts>,
    /// Knows the upstreams that are in force.
    pub gateway: Arc<Gateway>,
}

/// The running listener.
pub struct Admin {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Admin {
    /// Listens on `address`.
    pub async fn start(address: SocketAddr, state: State, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let failed = |error| {
            StartError::new(
                format!("cannot listen on {address} (admin.address)"),
                error,
                "choose another port",
            )
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            address,
            task: tokio::spawn(accept(listener, state, metrics)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it.
    pub fn stop(self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: State, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (state, metrics) = (state.clone(), Arc::clone(&metrics));
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(&request, &state, &metrics).map(Full::<Bytes>::new);
                async move { Ok::<Response<Full<Bytes>>, std::convert::Infallible>(answer) }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(READ)
                .serve_connection(TokioIo::new(stream), service);
            serving.await.ok();
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, state: &State, metrics: &Metrics) -> Answer {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut problem = Problem::new(Code::MethodNotAllowed, "Ask with GET.");
        problem.allow = Some("GET, HEAD".into());
        return answer::problem(&problem);
    }
    match request.uri().path() {
        "/healthz" => status::healthz(),
        "/readyz" => status::readyz(&health(state)),
        "/metrics" => {
            state.accounts.tell_figures();
            metrics.servers(servers(&state.gateway));
            status::metrics(metrics.render())
        }
        _ => answer::problem(&Problem::new(
            Code::NotFound,
            "Here are /healthz, /readyz and /metrics.",
        )),
    }
}

/// Every server of every upstream, and whether it is healthy, in the order of their names.
fn servers(gateway: &Gateway) -> Vec<(String, String, bool)> {
    let snapshot = gateway.snapshot.load();
    let mut servers = Vec::new();
    for upstream in snapshot.upstreams.iter() {
        for peer in upstream.peers() {
            let name = upstream.settings().name.clone();
            servers.push((name, peer.to_string(), peer.is_healthy()));
        }
    }
    // A server that is configured twice is one series.
    servers.sort();
    servers.dedup_by(|one, other| (&one.0, &one.1) == (&other.0, &other.1));
    servers
}

/// A store that was not read for so long is gone. Shorter pauses are a busy machine's, or a standby's that takes over.
const UNREAD: Duration = Duration::from_secs(3);

fn health(state: &State) -> Health {
    let mut reasons = Vec::new();
    if *state.stopped.borrow() {
        reasons.push("stopping");
    }
    if !state.keys.load().ready() {
        reasons.push("no signing keys yet");
    }
    let now = state.clock.unix_millis();
    match state.revocations.age(now) {
        _ if !state.revocations.ready() => reasons.push("the store was not read yet"),
        Some(age) if age > UNREAD || !state.gateway.authenticator.ready(now) => {
            reasons.push("the store cannot be read")
        }
        Some(_) | None => {}
    }
    Health {
        ready: reasons.is_empty(),
        reasons,
    }
}
