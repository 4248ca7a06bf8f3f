//! The bodies of an exchange: what goes out is watched, what comes in brings the connection home at its end.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Duration, Instant};

use super::connection::Cause;
use super::error::{Error, Kind};
use super::limit::{Turn, Visit};
use super::{Switched, http1, pool};

/// What can be the body of a request to an upstream.
pub trait RequestBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static
{
}

/// The body of a response.
///
/// At its end the connection goes back to the pool, if it is good for another request, and the exchange no longer counts
/// as under way. Dropped before, it takes the connection (HTTP/2: the stream) with it. Over HTTP/1.1 it is what drives the
/// connection: the rest of the request goes out while it is polled.
pub struct Body<B: RequestBody> {
    running: Option<Running<B>>,
    /// Why it broke off, until that is told.
    failure: Option<Error>,
}

/// An exchange and what it holds until its end.
struct Running<B: RequestBody> {
    incoming: Incoming<B>,
    visit: Visit,
    turn: Turn,
}

/// A response's body as it comes from the wire.
pub(super) enum Incoming<B: RequestBody> {
    /// Boxed: it holds the whole connection, and bodies are moved.
    Http1(Box<http1::Exchange<B>>),
    Http2 {
        body: hyper::body::Incoming,
        /// Tells the pool that the connection is in use.
        _lease: Arc<()>,
    },
}

impl<B: RequestBody> Incoming<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match self {
            Self::Http1(exchange) => exchange
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Cause::Http1))),
            Self::Http2 { body, .. } => http_body::Body::poll_frame(Pin::new(body), cx)
                .map(|frame| frame.map(|frame| frame.map_err(Cause::Http2))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_end_stream(),
            Self::Http2 { body, .. } => http_body::Body::is_end_stream(body),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(exchange) => exchange.size_hint(),
            Self::Http2 { body, .. } => http_body::Body::size_hint(body),
        }
    }

    fn is_switched(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_switched(),
            Self::Http2 { .. } => false,
        }
    }
}

impl<B: RequestBody> Body<B> {
    pub(super) fn new(incoming: Incoming<B>, visit: Visit, turn: Turn) -> Self {
        let mut body = Self {
            running: Some(Running { incoming, visit, turn }),
            failure: None,
        };
        body.finish_at_end(false);
        body
    }

    /// The raw stream, if this is the body of a 101 (Switching Protocols) that was asked for; once. The exchange counts as
    /// under way for as long as the stream is held.
    pub fn switch(&mut self) -> Option<Switched> {
        match self.running.take_if(|running| running.incoming.is_switched())? {
            Running {
                incoming: Incoming::Http1(exchange),
                visit,
                turn,
            } => {
                let (io, ahead) = exchange.into_stream();
                Some(Switched::new(io, ahead, visit, turn))
            }
            Running {
                incoming: Incoming::Http2 { .. },
                ..
            } => None,
        }
    }

    /// What the exchange held is let go of, if its response is at its end. A switched one is at its end only for HTTP.
    fn finish_at_end(&mut self, ended: bool) {
        let is_over =
            |Running { incoming, .. }: &mut Running<B>| (ended || incoming.is_end_stream()) && !incoming.is_switched();
        if let Some(Running { incoming, visit, .. }) = self.running.take_if(is_over)
            && let Incoming::Http1(exchange) = incoming
            // One that is not fit for another request is closed here, and with it ends an upload that is under way: the
            // rest of the request would stand in front of the next one.
            && let Some(connection) = exchange.into_connection()
        {
            pool::give_back::<B>(visit.peer(), connection);
        }
    }

    fn fail(&mut self, cause: Cause) -> Error {
        let server = self
            .running
            .take()
            .map_or_else(String::new, |running| running.visit.peer().to_string());
        if cause.is_request_body() {
            Error::new(Kind::RequestBody, true, "the request's body failed").caused_by(cause)
        } else {
            Error::new(Kind::Broken, true, format!("{server} broke its answer off")).caused_by(cause)
        }
    }
}

/// Nothing in it is pinned.
impl<B: RequestBody> Unpin for Body<B> {}

impl<B: RequestBody> http_body::Body for Body<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Some(error) = this.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(running) = &mut this.running else {
            return Poll::Ready(None);
        };
        Poll::Ready(match ready!(running.incoming.poll_frame(cx)) {
            Some(Ok(frame)) => {
                // Nothing comes after trailers, and who read the last byte of a known length may not ask again.
                this.finish_at_end(frame.is_trailers());
                Some(Ok(frame))
            }
            Some(Err(cause)) => {
                // What came before it may not have left yet, and who is told of an error drops that: one turn for it.
                this.failure = Some(this.fail(cause));
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => {
                this.finish_at_end(true);
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.running {
            Some(running) => running.incoming.is_end_stream(),
            None => self.failure.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.running {
            Some(running) => running.incoming.size_hint(),
            None if self.failure.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl<B: RequestBody> fmt::Debug for Body<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Body")
            .field("ended", &self.running.is_none())
            .finish_non_exhaustive()
    }
}

/// The body of a request on its way out.
pub(super) struct Outgoing<B> {
    /// None in a request that is sent again, which then had no body.
    body: Option<B>,
    /// Was taken, and came back: the first of it again.
    unread: Bytes,
    /// None where there is no body.
    progress: Option<Arc<Progress>>,
}

/// What is known about a body on its way out.
pub(super) struct Progress {
    begun: Instant,
    /// Milliseconds from `begun` to the last frame.
    latest: AtomicU64,
    failure: OnceLock<Arc<dyn StdError + Send + Sync>>,
}

impl Progress {
    /// When the last piece of the body was handed over.
    pub(super) fn latest(&self) -> Instant {
        self.begun + Duration::from_millis(self.latest.load(Ordering::Relaxed))
    }

    /// Why the body failed, if it did.
    pub(super) fn failure(&self) -> Option<&Arc<dyn StdError + Send + Sync>> {
        self.failure.get()
    }

    fn step(&self) {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.latest.store(millis, Ordering::Relaxed);
    }
}

/// The body of the request failed; [`Progress::failure`] says why.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request's body failed")]
pub(super) struct Failed;

impl<B: RequestBody> Outgoing<B> {
    pub(super) fn new(body: B) -> Self {
        let progress = (!body.is_end_stream()).then(|| {
            Arc::new(Progress {
                begun: Instant::now(),
                latest: AtomicU64::new(0),
                failure: OnceLock::new(),
            })
        });
        Self {
            body: Some(body),
            unread: Bytes::new(),
            progress,
        }
    }

    /// Puts back what was taken from it first.
    pub(super) fn unread(&mut self, data: Bytes) {
        self.unread = data;
    }

    /// In place of a body that is at its end.
    pub(super) fn none() -> Self {
        Self {
            body: None,
            unread: Bytes::new(),
            progress: None,
        }
    }

    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        self.progress.clone()
    }
}

impl<B: RequestBody> http_body::Body for Outgoing<B> {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        let this = self.get_mut();
        if !this.unread.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.unread)))));
        }
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(progress) = &this.progress {
            progress.step();
        }
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                if let Some(progress) = &this.progress {
                    let _ = progress.failure.set(Arc::from(error.into()));
                }
                Failed
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.unread.is_empty() && self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        let mut hint = body.map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint);
        if !self.unread.is_empty() {
            let unread = u64::try_from(self.unread.len()).unwrap_or(u64::MAX);
            match hint.exact() {
                Some(exact) => hint.set_exact(exact.saturating_add(unread)),
                None => hint.set_lower(hint.lower().saturating_add(unread)),
            }
        }
        hint
    }
}
