//! What is known about a connection, for the requests on it and for the registry of deadlines.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::header::HeaderValue;

use super::Worker;
use super::client::ConnectionValues;
use crate::net::Networks;
use crate::proxy::{Exchange, Progress, Tunnel};
use crate::registry::{Entry, Observed, Phase};
use crate::route::Host;
use crate::tls::{ClientAuth, ClientCertificate};
use crate::wire::{self, Violation, WireState, http2};

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP over TLS.
    Https,
    /// HTTP in the clear.
    Http,
    /// HTTP in the clear that only leads to https.
    Redirect,
}

/// A connection of a client's.
#[derive(Debug)]
pub struct Connection {
    facts: Facts,
    values: ConnectionValues,
    state: Arc<ConnectionState>,
    entry: Arc<Entry>,
    worker: Arc<Worker>,
}

/// What is known of a connection before its first request.
#[derive(Debug)]
pub struct Facts {
    /// The other end, as the PROXY protocol announced it where that is spoken.
    pub peer: SocketAddr,
    /// Our end, likewise.
    pub local: SocketAddr,
    /// Whether the other end may be a trusted proxy: not where one of those says that it does not know whom it speaks for.
    pub may_be_proxy: bool,
    /// What the TLS handshake settled.
    pub secured: Option<Secured>,
    /// What the listener speaks.
    pub protocol: Protocol,
    /// The port that a redirect leads to.
    pub redirect_port: u16,
}

/// What a TLS handshake settled.
#[derive(Debug)]
pub struct Secured {
    /// The host that the client named.
    pub name: Option<Host<'static>>,
    /// What the client was asked for.
    pub asked: ClientAuth,
    /// What it showed.
    pub certificate: Option<ClientCertificate>,
}

/// Where a connection stands; the registry looks at it.
#[derive(Debug, Default)]
pub struct ConnectionState {
    stage: AtomicU8,
    wire: OnceLock<Arc<WireState>>,
    http2: OnceLock<Arc<http2::State>>,
    progress: Arc<Progress>,
    tunnel: Mutex<Option<Tunnel>>,
}

const ACCEPTED: u8 = 0;
const HANDSHAKE: u8 = 1;
const HTTP1: u8 = 2;
const HTTP2: u8 = 3;

impl ConnectionState {
    /// The TLS handshake has begun.
    pub fn handshake(&self) {
        self.stage.store(HANDSHAKE, Ordering::Relaxed);
    }

    /// HTTP/1.1 is spoken, under this scanner.
    pub fn http1(&self, wire: Arc<WireState>) {
        self.wire.set(wire).ok();
        self.stage.store(HTTP1, Ordering::Relaxed);
    }

    /// HTTP/2 is spoken, under this guard.
    pub fn http2(&self, wire: Arc<http2::State>) {
        self.http2.set(wire).ok();
        self.stage.store(HTTP2, Ordering::Relaxed);
    }

    /// What the connection becomes when HTTP on it has ended. From here on no byte of the client's is looked at.
    pub fn take_tunnel(&self) -> Option<Tunnel> {
        let tunnel = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let wire = self.wire.get()?;
        // Where the client has not taken the answer's head yet, hyper has thrown it away: there is no tunnel without one.
        (!wire.waits_for_client_to_take() && wire.switch_to_tunnel()).then_some(tunnel)
    }

    /// Whether an exchange is under way.
    pub fn is_exchanging(&self) -> bool {
        self.progress.active() > 0
    }

    fn observe_http1(&self, wire: &WireState) -> (Phase, u64) {
        let moved = wire.received().wrapping_add(wire.sent());
        let departure = wire.departure();
        match wire.phase() {
            // The whole head has one deadline, however its bytes drip.
            wire::Phase::Head => (Phase::Head, wire.heads()),
            wire::Phase::Body if wire.waits_for_client_to_send() || wire.waits_for_client_to_take() => {
                (Phase::Body, moved)
            }
            wire::Phase::Idle if wire.waits_for_client_to_take() => (Phase::Body, moved),
            wire::Phase::Idle if self.progress.active() == 0 && wire.heads() == 0 => (Phase::FirstByte, 0),
            wire::Phase::Idle if self.progress.active() == 0 => (Phase::Idle, wire.heads()),
            wire::Phase::Refused => (Phase::Body, moved),
            wire::Phase::Lingering => (Phase::Linger, 0),
            wire::Phase::Tunnel if self.progress.waits_for_client() => (Phase::Body, self.progress.frames()),
            wire::Phase::Tunnel => (Phase::Elsewhere, moved),
            wire::Phase::Body | wire::Phase::Idle | wire::Phase::Upgrade => match departure {
                wire::Departure::Gone => (Phase::Gone, 0),
                // It may still read what comes soon.
                wire::Departure::Closed => (Phase::Body, moved),
                wire::Departure::Here if self.progress.waits_for_upstream() => (Phase::Body, moved),
                wire::Departure::Here => (Phase::Elsewhere, moved),
            },
        }
    }
}

impl ConnectionState {
    /// A stream that is being answered has an entry of its own; here counts what concerns the connection as a whole.
    fn observe_http2(&self, wire: &http2::State) -> (Phase, u64) {
        match wire.phase() {
            http2::Phase::Preface => (Phase::FirstByte, 1),
            http2::Phase::Ended => (Phase::Linger, 0),
            // Nothing else can come before its end (RFC 9113 section 4.3), and however its bytes drip it has one deadline.
            http2::Phase::Block => (Phase::Head, wire.blocks()),
            http2::Phase::Open if wire.waits_for_client_to_take() => (Phase::Body, wire.sent()),
            http2::Phase::Open if self.progress.active() > 0 => (Phase::Elsewhere, self.progress.frames()),
            // Answers are complete as far as we go, and wait for a window.
            http2::Phase::Open if wire.open() > 0 => (Phase::Body, wire.taken()),
            // What a client does between requests, PING say, is not looked at.
            http2::Phase::Open => (Phase::Idle, self.progress.frames()),
        }
    }
}

/// The registry's view of a connection.
pub struct ConnectionView(pub Arc<ConnectionState>);

impl Observed for ConnectionView {
    fn observe(&self) -> (Phase, u64) {
        match self.0.stage.load(Ordering::Relaxed) {
            ACCEPTED => (Phase::FirstByte, 0),
            HANDSHAKE => (Phase::Handshake, 0),
            HTTP2 => self
                .0
                .http2
                .get()
                .map_or((Phase::FirstByte, 1), |wire| self.0.observe_http2(wire)),
            _ => self
                .0
                .wire
                .get()
                .map_or((Phase::FirstByte, 2), |wire| self.0.observe_http1(wire)),
        }
    }

    fn look(&self) -> bool {
        let wire = self.0.wire.get();
        let unknown =
            |wire: &&Arc<WireState>| wire.departure() == wire::Departure::Here && wire.phase() != wire::Phase::Tunnel;
        let wire = wire.filter(unknown);
        wire.inspect(|wire| wire.look_for_client()).is_some()
    }
}

/// The registry's view of one HTTP/2 stream.
struct StreamView {
    progress: Arc<Progress>,
    connection: Arc<ConnectionState>,
    parent: std::sync::Weak<Entry>,
}

impl Observed for StreamView {
    fn observe(&self) -> (Phase, u64) {
        let phase = if self.progress.waits_for_client() || self.progress.waits_for_upstream() {
            Phase::Body
        } else {
            Phase::Elsewhere
        };
        // Whose the frame is that comes in so slowly is not known: it counts for all.
        let partial = self.connection.http2.get().map_or(0, |wire| wire.partial());
        (phase, self.progress.frames().wrapping_add(partial))
    }

    fn overdue(&self) {
        // hyper's HTTP/2 pipe waits for window without polling the body: the mark is never seen, so the connection ends.
        if let Some(parent) = self.parent.upgrade() {
            parent.end();
        }
    }
}

impl Connection {
    /// A connection, registered as `entry`, carried by `worker`.
    pub fn new(facts: Facts, state: Arc<ConnectionState>, entry: Arc<Entry>, worker: Arc<Worker>) -> Self {
        let address = HeaderValue::from_str(&facts.peer.ip().to_canonical().to_string());
        let values = ConnectionValues {
            address: address.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            port: HeaderValue::from(facts.local.port()),
        };
        Self {
            facts,
            values,
            state,
            entry,
            worker,
        }
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.facts.peer
    }

    /// Whether the other end is a proxy whose word counts.
    pub fn is_from(&self, trusted: &Networks) -> bool {
        self.facts.may_be_proxy && trusted.contain(self.facts.peer.ip())
    }

    /// What the TLS handshake settled, where there was one.
    pub fn secured(&self) -> Option<&Secured> {
        self.facts.secured.as_ref()
    }

    /// What the listener speaks.
    pub fn protocol(&self) -> Protocol {
        self.facts.protocol
    }

    /// The port that a redirect leads to.
    pub fn redirect_port(&self) -> u16 {
        self.facts.redirect_port
    }

    /// Whether it is TLS.
    pub fn is_secure(&self) -> bool {
        self.facts.protocol == Protocol::Https
    }

    /// The worker that carries it.
    pub fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// The entry in the registry.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Begins an exchange: on HTTP/1.1 with the connection's own entry, on HTTP/2 with one for the stream.
    pub fn begin(&self) -> Arc<Exchange> {
        if !self.is_http2() {
            return Exchange::begin(Arc::clone(&self.entry), Arc::clone(&self.state.progress), None);
        }
        let progress = Arc::new(Progress::default());
        let view = StreamView {
            progress: Arc::clone(&progress),
            connection: Arc::clone(&self.state),
            parent: Arc::downgrade(&self.entry),
        };
        let entry = self.worker.registry().enter(Box::new(view));
        Exchange::begin(entry, progress, Some(Arc::clone(&self.state.progress)))
    }

    /// The request line in whose place a request stands that broke a rule.
    pub(super) fn refused_line(&self) -> &[u8] {
        self.state.wire.get().map_or(&[], |wire| wire.refused_line())
    }

    /// A field of that request, if it had one of this name.
    pub(super) fn refused_field(&self, name: &str) -> Option<&str> {
        self.state.wire.get()?.refused_field(name)
    }

    /// The target of that request, as far as it was read.
    pub(super) fn refused_target(&self) -> &str {
        self.state.wire.get().map_or("", |wire| wire.refused_target())
    }

    /// A rule of HTTP/1 that the client broke, in place of whose request this one stands.
    pub fn take_violation(&self) -> Option<Violation> {
        self.state.wire.get()?.take_violation()
    }

    /// No upgrade takes place: what follows the request is the next request, and is read as one.
    pub(super) fn stay_with_http(&self) {
        if let Some(wire) = self.state.wire.get() {
            wire.resume_http();
        }
    }

    /// The tunnel that takes the connection over when the answer is written.
    pub(super) fn offer_tunnel(&self, tunnel: Tunnel) {
        self.state
            .tunnel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(tunnel);
    }

    /// Whether the request being served was read to its end. On HTTP/2 a stream ends alone, so nothing is left in the way.
    pub fn is_read(&self) -> bool {
        self.state.wire.get().is_none_or(|wire| wire.request_is_complete())
    }

    /// Whether this is HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.state.stage.load(Ordering::Relaxed) == HTTP2
    }

    pub(super) fn values(&self) -> &ConnectionValues {
        &self.values
    }
}
