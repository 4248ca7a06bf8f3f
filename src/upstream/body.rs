//! The bodies of an exchange: what goes out is watched, what comes in brings the connection home at its end.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Duration, Instant};

use super::connection::Connection;
use super::error::{Error, Kind};
use super::limit::{Turn, Visit};
use super::switch::Switched;

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
/// as under way. Dropped before, it takes the connection (HTTP/2: the stream) with it.
pub struct Body<B: RequestBody> {
    incoming: Incoming,
    held: Option<Held<B>>,
    on_upgrade: Option<OnUpgrade>,
}

/// What an exchange holds until its end.
struct Held<B: RequestBody> {
    connection: Connection<B>,
    visit: Visit,
    turn: Turn,
}

impl<B: RequestBody> Body<B> {
    pub(super) fn new(incoming: Incoming, connection: Connection<B>, visit: Visit, turn: Turn) -> Self {
        let ended = http_body::Body::is_end_stream(&incoming);
        let mut body = Self {
            incoming,
            held: Some(Held {
                connection,
                visit,
                turn,
            }),
            on_upgrade: None,
        };
        if ended {
            body.finish();
        }
        body
    }

    /// A body behind a 101 (Switching Protocols).
    pub(super) fn switching(
        incoming: Incoming,
        connection: Connection<B>,
        visit: Visit,
        turn: Turn,
        on_upgrade: OnUpgrade,
    ) -> Self {
        Self {
            incoming,
            held: Some(Held {
                connection,
                visit,
                turn,
            }),
            on_upgrade: Some(on_upgrade),
        }
    }

    /// After a 101 (Switching Protocols) to a request that asked for it: the connection as it now is. None otherwise.
    pub fn switch(&mut self) -> Option<Switched> {
        let on_upgrade = self.on_upgrade.take()?;
        let Held { visit, turn, .. } = self.held.take()?;
        Some(Switched::new(on_upgrade, visit, turn))
    }

    fn finish(&mut self) {
        if let Some(held) = self.held.take() {
            held.connection.release(held.visit.peer());
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
        Poll::Ready(match ready!(Pin::new(&mut this.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                // Nothing comes after trailers, and who read the last byte of a known length may not ask again.
                if frame.is_trailers() || this.incoming.is_end_stream() {
                    this.finish();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                let server = this
                    .held
                    .take()
                    .map_or_else(String::new, |held| held.visit.peer().to_string());
                Some(Err(Error::new(
                    Kind::Broken,
                    true,
                    format!("{server} broke its answer off"),
                )
                .caused_by(error)))
            }
            None => {
                this.finish();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl<B: RequestBody> fmt::Debug for Body<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Body")
            .field("ended", &self.held.is_none())
            .finish_non_exhaustive()
    }
}

/// The body of a request on its way out.
pub(super) struct Outgoing<B> {
    body: B,
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
        Self { body, progress }
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
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
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
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
