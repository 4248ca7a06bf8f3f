//! The stream that hyper is given.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::Kind;
use super::outgoing::Outgoing;
use super::scan::{Scan, Then};
use super::state::State;
use crate::wire::held::Held;

/// A stream whose reader sees only frames that the guard lets pass. Give it to hyper in a `TokioIo`.
#[derive(Debug)]
pub struct Guard<S> {
    stream: S,
    scan: Scan,
    outgoing: Outgoing,
    state: Arc<State>,
    held: Held,
    /// Whether what is held, if anything, was not shown to the scan yet.
    unscanned: bool,
    /// Nothing more is read.
    ended: bool,
}

impl<S> Guard<S> {
    /// Guards `stream` from the client's preface on; a request's head may be `header_bytes` long.
    pub fn new(stream: S, header_bytes: usize) -> Self {
        Self {
            stream,
            scan: Scan::new(header_bytes),
            outgoing: Outgoing::default(),
            state: Arc::new(State::default()),
            held: Held::default(),
            unscanned: false,
            ended: false,
        }
    }

    /// What the registry shares with this guard.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    fn scan_held(&mut self) {
        let step = self.scan.scan(self.held.withheld(), &self.state);
        self.held.clear(step.release);
        self.act(step.then);
    }

    /// Acts upon what the scan found behind the bytes it released. What it did not release is held.
    fn act(&mut self, then: Then) {
        self.unscanned = false;
        match then {
            Then::More => {}
            Then::Exchange(of, with) => {
                self.held.exchange(of, &with);
                self.unscanned = true;
            }
            Then::End(with) => {
                self.held.exchange(usize::MAX, &with);
                self.ended = true;
            }
        }
    }

    fn wrote<'b>(&mut self, written: &Poll<io::Result<usize>>, bufs: impl Iterator<Item = &'b [u8]>) {
        self.state.blocked_in_writing(written.is_pending());
        let Poll::Ready(Ok(count)) = written else { return };
        self.state.count_sent(*count);
        let (scan, state, mut left) = (&mut self.scan, &self.state, *count);
        for buf in bufs {
            let shown = buf.get(..left.min(buf.len())).unwrap_or_default();
            left -= shown.len();
            self.outgoing.pass(shown, |head| {
                if head.kind == Kind::Data {
                    state.count_taken(head.length);
                }
                scan.sent(&head);
            });
            if left == 0 {
                break;
            }
        }
        self.state.publish_open(self.scan.open());
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Reads from the stream into `buf` and takes back what may not pass. True: the reader has something, be it the end.
    fn poll_fresh(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if self.held.is_empty() {
            let step = self.scan.scan(fresh, &self.state);
            let rest = fresh.get(step.release..).unwrap_or_default();
            if !rest.is_empty() {
                self.held.push(rest);
            }
            buf.set_filled(before + step.release);
            self.act(step.then);
            Poll::Ready(Ok(step.release > 0))
        } else {
            self.held.push(fresh);
            buf.set_filled(before);
            self.scan_held();
            Poll::Ready(Ok(false))
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.held.deliver(buf) {
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                // h2 has all it needs to end the connection; the registry sees to it that it does.
                return Poll::Pending;
            }
            if this.unscanned {
                this.scan_held();
            } else if ready!(this.poll_fresh(cx, buf))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.wrote(&written, std::iter::once(buf));
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wrote(&written, bufs.iter().map(|buf| &**buf));
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.state.blocked_in_writing(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
