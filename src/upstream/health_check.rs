//! Active checks: each server is asked for a path now and then, in the office, over a connection of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri, Version};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connect::{Dialed, dial};
use super::{HealthCheck, Peer, Protocol};

/// Intervals are stretched or shortened by up to this part of them, so that many gateways do not ask in step.
const JITTER: u32 = 10;

/// The checks of one server by one configuration. They go on until this is dropped.
#[derive(Debug)]
pub(super) struct Checks {
    upstream: String,
    peer: Arc<Peer>,
    settings: HealthCheck,
    begun: AtomicBool,
}

impl Checks {
    pub(super) fn new(upstream: &str, peer: Arc<Peer>, settings: HealthCheck) -> Self {
        Self {
            upstream: upstream.to_owned(),
            peer,
            settings,
            begun: AtomicBool::new(false),
        }
    }

    /// Whether these are the checks of this server by these settings.
    pub(super) fn are(&self, peer: &Arc<Peer>, settings: &HealthCheck) -> bool {
        Arc::ptr_eq(&self.peer, peer) && self.settings == *settings
    }

    /// True the first time.
    pub(super) fn begin(&self) -> bool {
        !self.begun.swap(true, Ordering::Relaxed)
    }
}

/// Checks a server until its checks are dropped; the first time at once.
pub(super) async fn go_on(checks: Weak<Checks>) {
    loop {
        let next = {
            let Some(checks) = checks.upgrade() else { return };
            let next = Instant::now() + jittered(checks.settings.interval);
            let outcome = check(&checks.peer, &checks.settings).await;
            let why = outcome.as_ref().err().map_or("its checks pass", String::as_str);
            let who = checks.peer.named(&checks.upstream);
            checks
                .peer
                .health()
                .checked(outcome.is_ok(), &checks.settings, who, &why);
            next
        };
        tokio::time::sleep_until(next).await;
    }
}

/// An interval a little longer or shorter than this. Without randomness it is this one.
fn jittered(interval: Duration) -> Duration {
    let part = interval / JITTER;
    let share = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    interval - part + part.mul_f64(2.0 * share)
}

async fn check(peer: &Arc<Peer>, settings: &HealthCheck) -> Result<(), String> {
    let answered = tokio::time::timeout(settings.timeout, ask(peer, settings)).await;
    let status = answered.map_err(|_| format!("no answer to its check within {:?}", settings.timeout))??;
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!("its check was answered with {}", status.as_u16()))
    }
}

/// Asks once; the connection ends with the answer's head.
async fn ask(peer: &Arc<Peer>, settings: &HealthCheck) -> Result<StatusCode, String> {
    let Dialed { io, http2, .. } = dial(peer).await.map_err(|error| error.to_string())?;
    let failed = |error: hyper::Error| format!("its check failed: {error}");
    let request = request(peer, settings, http2).map_err(|error| format!("its check cannot be written: {error}"))?;
    let (driver, answer) = if http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .map_err(failed)?;
        (Driver::of(connection), sender.send_request(request).await)
    } else {
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
        (Driver::of(connection), sender.send_request(request).await)
    };
    drop(driver);
    answer.map(|answer| answer.status()).map_err(failed)
}

fn request(peer: &Peer, settings: &HealthCheck, http2: bool) -> Result<Request<Empty<Bytes>>, http::Error> {
    let builder = Request::get(settings.path.as_str()).header(USER_AGENT, "doorward-health-check");
    if !http2 {
        let builder = builder
            .header(HOST, peer.host())
            .header(CONNECTION, HeaderValue::from_static("close"));
        return builder.body(Empty::new());
    }
    let scheme = match peer.server().protocol {
        Protocol::Http | Protocol::H2c => "http",
        Protocol::Https => "https",
    };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(peer.authority().clone())
        .path_and_query(settings.path.clone())
        .build()?;
    builder.version(Version::HTTP_2).uri(uri).body(Empty::new())
}

/// The task that drives a connection, ended with this.
struct Driver(JoinHandle<()>);

impl Driver {
    fn of(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Self {
        // How it ended is told by the answer.
        Self(tokio::spawn(async move { drop(connection.await) }))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
