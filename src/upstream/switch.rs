//! A connection to a server that has switched protocols.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::limit::{Turn, Visit};

/// The bytes behind a 101 (Switching Protocols), those first that came with its head. Counts as an exchange under way until
/// it is dropped.
pub struct Switched {
    on_upgrade: OnUpgrade,
    stream: Option<TokioIo<Upgraded>>,
    _visit: Visit,
    _turn: Turn,
}

impl Switched {
    pub(super) fn new(on_upgrade: OnUpgrade, visit: Visit, turn: Turn) -> Self {
        Self {
            on_upgrade,
            stream: None,
            _visit: visit,
            _turn: turn,
        }
    }

    /// hyper's own task gives the stream up a moment after the head.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TokioIo<Upgraded>>>> {
        if self.stream.is_none() {
            let upgraded = ready!(Pin::new(&mut self.on_upgrade).poll(cx)).map_err(io::Error::other)?;
            self.stream = Some(TokioIo::new(upgraded));
        }
        Poll::Ready(
            self.stream
                .as_mut()
                .map(Pin::new)
                .ok_or_else(|| io::ErrorKind::NotConnected.into()),
        )
    }
}

impl AsyncRead for Switched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_stream(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_stream(cx))?.poll_shutdown(cx)
    }
}

impl std::fmt::Debug for Switched {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Switched").finish_non_exhaustive()
    }
}
