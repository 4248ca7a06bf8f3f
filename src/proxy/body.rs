//! The bodies of a forwarded exchange, in both directions: streamed frame by frame, bounded, and cut when their time is up.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::headers::Reserved;
use crate::registry::{Cut, Entry, Waiter};
use crate::upstream;
use crate::wire::Violation;

/// Why the client's body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is larger than the route accepts.
    TooLarge,
    /// It stopped coming.
    Stalled,
    /// It breaks the rules of its framing.
    Violation(Violation),
    /// The client went away.
    Broken,
}

impl std::fmt::Display for BodyFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::TooLarge => "the body is too large",
            Self::Stalled => "the body stopped coming",
            Self::Violation(violation) => violation.detail,
            Self::Broken => "the client went away",
        })
    }
}

impl std::error::Error for BodyFault {}

/// One request and its answer, while they are under way.
#[derive(Debug)]
pub struct Exchange {
    /// Its entry in the registry: the connection's own (HTTP/1.1), or one for the stream (HTTP/2).
    entry: Arc<Entry>,
    /// Frames that moved, for exchanges whose bytes nobody else counts.
    progress: Arc<Progress>,
    /// Of the connection, where the exchange is one of several on it.
    connection: Option<Arc<Progress>>,
    fault: Mutex<Option<BodyFault>>,
    /// How long the upstream has for its head (milliseconds); 0: nobody waits for one.
    answer_within: AtomicU64,
}

/// What an exchange tells the registry.
#[derive(Debug, Default)]
pub struct Progress {
    frames: AtomicU64,
    active: AtomicU32,
    /// The request's body is waiting for the client to send.
    sending: AtomicBool,
    /// The answer's body is waiting for the client to take what is there.
    taking: AtomicBool,
    /// The answer's body is waiting for the upstream, which has said how much it will send.
    owed: AtomicBool,
}

impl Progress {
    /// Frames that moved so far.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Exchanges under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether the upstream owes bytes of a body of which it has told the length. A stream without a length may be silent for
    /// as long as it likes.
    pub fn waits_for_upstream(&self) -> bool {
        self.owed.load(Ordering::Relaxed)
    }

    /// Whether it is the client's turn: to send more of its body, or to take more of the answer's.
    pub fn waits_for_client(&self) -> bool {
        self.sending.load(Ordering::Relaxed) || self.taking.load(Ordering::Relaxed)
    }
}

impl Exchange {
    /// An exchange that ends when this is dropped.
    pub fn begin(entry: Arc<Entry>, progress: Arc<Progress>, connection: Option<Arc<Progress>>) -> Arc<Self> {
        for progress in [Some(&progress), connection.as_ref()].into_iter().flatten() {
            progress.active.fetch_add(1, Ordering::Relaxed);
            progress.frames.fetch_add(1, Ordering::Relaxed);
        }
        Arc::new(Self {
            entry,
            progress,
            connection,
            fault: Mutex::new(None),
            answer_within: AtomicU64::new(0),
        })
    }

    /// The entry in the registry.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Why the client's body failed, if it did.
    pub fn fault(&self) -> Option<BodyFault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the wait for the head of the upstream's answer.
    pub fn await_answer(&self, within: Duration) {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
        self.answer_within.store(within_ms, Ordering::Relaxed);
        self.entry.await_answer(within);
    }

    /// Ends that wait.
    pub fn answered(&self) {
        self.answer_within.store(0, Ordering::Relaxed);
        self.entry.answered();
    }

    fn fail(&self, fault: BodyFault) -> BodyFault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        fault
    }

    /// Bytes moved.
    pub(super) fn moved(&self) {
        self.progress.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// A piece of the request's body moved. The upstream's time for its answer begins anew: a long upload is no slow answer.
    fn sent(&self) {
        self.moved();
        let within_ms = self.answer_within.load(Ordering::Relaxed);
        if within_ms > 0 {
            self.entry.await_answer(Duration::from_millis(within_ms));
        }
    }

    /// Whether the client has the turn to take what is there.
    pub(super) fn taking(&self, taking: bool) {
        self.progress.taking.store(taking, Ordering::Relaxed);
    }

    /// Whether it is one of several on its connection, as on HTTP/2.
    pub(super) fn is_stream(&self) -> bool {
        self.connection.is_some()
    }

    /// Why this must end now, if it must.
    pub(super) fn cut(&self) -> Option<Cut> {
        self.entry
            .cut()
            .filter(|cut| matches!(cut, Cut::Deadline | Cut::Drain | Cut::Ended))
    }

    fn is_over(&self) -> bool {
        self.cut().is_some()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.entry.unguard();
        for progress in [Some(&self.progress), self.connection.as_ref()].into_iter().flatten() {
            progress.active.fetch_sub(1, Ordering::Relaxed);
            progress.frames.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The client's body on its way to the upstream.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    exchange: Arc<Exchange>,
    reserved: Arc<Reserved>,
    /// Bytes that may still come.
    left: u64,
}

impl RequestBody {
    /// Forwards `incoming`, at most `max_body` bytes of it.
    pub fn new(incoming: Incoming, exchange: Arc<Exchange>, reserved: Arc<Reserved>, max_body: Option<u64>) -> Self {
        Self {
            incoming,
            exchange,
            reserved,
            left: max_body.unwrap_or(u64::MAX),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        if this.exchange.is_over() {
            return Poll::Ready(Some(Err(this.exchange.fail(BodyFault::Stalled))));
        }
        let polled = Pin::new(&mut this.incoming).poll_frame(cx);
        this.exchange
            .progress
            .sending
            .store(polled.is_pending(), Ordering::Relaxed);
        let Poll::Ready(frame) = polled else {
            this.exchange.entry.register(Waiter::Reader, cx.waker());
            return Poll::Pending;
        };
        this.exchange.sent();
        Poll::Ready(match frame {
            None => None,
            Some(Err(error)) => Some(Err(this.exchange.fail(fault_of(&error)))),
            Some(Ok(frame)) => Some(this.pass(frame)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl RequestBody {
    fn pass(&mut self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyFault> {
        if let Some(data) = frame.data_ref() {
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => return Err(self.exchange.fail(BodyFault::TooLarge)),
            }
        }
        if let Some(trailers) = frame.trailers_mut() {
            self.reserved.sift_trailers(trailers);
        }
        Ok(frame)
    }
}

fn fault_of(error: &(dyn std::error::Error + 'static)) -> BodyFault {
    Violation::find(error).map_or(BodyFault::Broken, BodyFault::Violation)
}

/// The largest piece that an HTTP/2 stream gets at once. hyper asks for the next one when the client's window has taken enough
/// of those before: that is the only sign of life of a slow reader, so pieces must not be so large that it comes too seldom.
const PIECE: usize = 16 * 1024;

/// The upstream's body on its way to the client.
#[derive(Debug)]
pub struct RelayBody {
    upstream: upstream::Body<RequestBody>,
    exchange: Arc<Exchange>,
    /// What is left of a frame that is passed on in pieces.
    rest: Bytes,
}

impl RelayBody {
    /// Relays `upstream` for as long as the exchange may last.
    pub fn new(upstream: upstream::Body<RequestBody>, exchange: Arc<Exchange>) -> Self {
        // Until it is asked for more it is the client who has the turn: a window that was never opened is never asked for.
        exchange.progress.taking.store(true, Ordering::Relaxed);
        Self {
            upstream,
            exchange,
            rest: Bytes::new(),
        }
    }

    /// What of this frame may go on now; the rest stays here.
    fn piece(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) if self.exchange.is_stream() && data.len() > PIECE => {
                self.rest = data.split_off(PIECE);
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(frame) => frame,
        }
    }
}

/// The answer was broken off: by the upstream, or because its time was up. The client sees an aborted body, never one that
/// looks complete.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The exchange's time is up.
    #[error("the exchange was cut")]
    Cut,
    /// The upstream broke off.
    #[error("the upstream broke off: {0}")]
    Upstream(#[source] upstream::Error),
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let this = &mut *self;
        if this.exchange.is_over() {
            return Poll::Ready(Some(Err(RelayError::Cut)));
        }
        let polled = if this.rest.is_empty() {
            Pin::new(&mut this.upstream).poll_frame(cx)
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest)))))
        };
        this.exchange
            .progress
            .taking
            .store(polled.is_ready(), Ordering::Relaxed);
        let owed = polled.is_pending() && http_body::Body::size_hint(&this.upstream).exact().is_some();
        this.exchange.progress.owed.store(owed, Ordering::Relaxed);
        match polled {
            Poll::Pending => {
                this.exchange.entry.register(Waiter::Owner, cx.waker());
                Poll::Pending
            }
            Poll::Ready(frame) => {
                this.exchange.moved();
                let frame = frame.map(|frame| frame.map_err(RelayError::Upstream));
                Poll::Ready(frame.map(|frame| frame.map(|frame| this.piece(frame))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.upstream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.upstream.size_hint();
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        match hint.exact() {
            Some(exact) => hint.set_exact(exact.saturating_add(rest)),
            None => hint.set_lower(hint.lower().saturating_add(rest)),
        }
        hint
    }
}
