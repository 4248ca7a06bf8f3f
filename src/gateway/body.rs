//! The body of an answer: our own, at hand as a whole, or the upstream's, relayed. No box, no second kind of response.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};

use crate::answer::Answer;
use crate::proxy::{RelayBody, RelayError};

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// Ours; `None` once it was taken.
    Whole(Option<Bytes>),
    /// The upstream's.
    Relay(RelayBody),
    /// None: behind this head stands a tunnel.
    Switched,
}

impl Body {
    /// An answer of our own.
    pub fn whole(answer: Answer) -> Response<Self> {
        answer.map(|bytes| Self::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relay(body) => Pin::new(body).poll_frame(cx),
            Self::Switched => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Relay(body) => body.is_end_stream(),
            Self::Switched => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(
                bytes
                    .as_ref()
                    .map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            ),
            Self::Relay(body) => body.size_hint(),
            Self::Switched => SizeHint::with_exact(0),
        }
    }
}
