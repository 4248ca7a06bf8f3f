//! The stream that hyper is given.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::held::Held;
use super::scanner::{Outcome, Scanner, Step};
use super::settings::{LINGER_BYTES, Settings};
use super::state::{Decision, Departure, Phase, WireState};
use super::violation::Violation;

/// A stream whose reader sees only what the scanner has framed. Give it to hyper in a `TokioIo`: that adapter reads into
/// hyper's own buffer, whose tail can be taken back here without a copy of the rest and without `unsafe`.
#[derive(Debug)]
pub struct Guarded<S> {
    stream: S,
    scanner: Scanner,
    state: Arc<WireState>,
    held: Held,
    mode: Mode,
    /// Whether what is held, if anything, was not shown to the scanner yet: it stands behind the end of a message.
    unscanned: bool,
    /// Whether a head has passed whose message has not ended.
    open: bool,
    closing: Closing,
    /// How to find out whether the client is still there.
    departed: Option<fn(&S) -> Departure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Messages follow one another.
    Http,
    /// The last message asked for an upgrade.
    Undecided,
    /// Everything passes.
    Tunnel,
    /// A bad head was replaced; behind the replacement there is nothing, not even an end.
    RefusedHead,
    /// A body went wrong.
    RefusedBody(Violation),
}

/// How far closing our side has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    Open,
    /// Our side is closed; so many more bytes of the client's are read and thrown away.
    Lingering(usize),
    Closed,
}

/// What hyper sees in the place of a head that broke a rule. It has no Host, which no client's request gets past the scanner
/// with: should a service forget to ask for the violation, what it has is a request to refuse.
const HARMLESS: &[u8] = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n";

impl<S> Guarded<S> {
    /// Guards `stream`, from the first byte of its first request on.
    pub fn new(stream: S, settings: Settings) -> Self {
        Self {
            stream,
            scanner: Scanner::new(settings),
            state: Arc::new(WireState::default()),
            held: Held::default(),
            mode: Mode::Http,
            unscanned: false,
            open: false,
            closing: Closing::Open,
            departed: None,
        }
    }

    /// Finds out by this, when it is [asked](WireState::look_for_client), whether the client is still there.
    #[must_use]
    pub fn looking(mut self, departed: fn(&S) -> Departure) -> Self {
        self.departed = Some(departed);
        self
    }

    /// What service and registry share with this guard.
    pub fn state(&self) -> &Arc<WireState> {
        &self.state
    }

    /// The stream underneath.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream underneath, and what was read from it and not delivered: for a tunnel, its first bytes.
    pub fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.held.into_vec())
    }

    fn phase(&self) -> Phase {
        match self.mode {
            Mode::RefusedHead | Mode::RefusedBody(_) => Phase::Refused,
            Mode::Tunnel => Phase::Tunnel,
            Mode::Http | Mode::Undecided if self.held.is_cleared() => Phase::Body,
            Mode::Undecided => Phase::Upgrade,
            Mode::Http => self.scanner.phase(),
        }
    }

    /// Acts upon what the scanner found in bytes that stand in `held`.
    fn scan_held(&mut self) {
        let step = self.scanner.scan(self.held.withheld());
        self.held.clear(step.release);
        self.note(step);
    }

    /// Acts upon what the scanner found, whose released bytes are on their way.
    fn note(&mut self, step: Step) {
        self.unscanned = matches!(step.outcome, Outcome::End { .. });
        if step.head.is_some() {
            self.open = true;
            self.state.count_head();
        }
        match step.outcome {
            Outcome::More => {}
            Outcome::End { upgrade } => {
                self.open = false;
                if upgrade {
                    self.mode = Mode::Undecided;
                    self.state.ask();
                }
            }
            Outcome::Refused(violation) => {
                if !self.open {
                    self.state
                        .keep_line(self.held.withheld(), self.scanner.refused_target());
                }
                self.state.refuse(violation, !self.open);
                if self.open {
                    self.mode = Mode::RefusedBody(violation);
                } else {
                    self.mode = Mode::RefusedHead;
                    self.held.replace(HARMLESS);
                    self.state.count_head();
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    fn poll_framed(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.held.deliver(buf) {
                return Poll::Ready(Ok(()));
            }
            match self.mode {
                Mode::Http if self.unscanned && !self.held.is_empty() => self.scan_held(),
                Mode::Http => {
                    if ready!(self.poll_fresh(cx, buf))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Mode::Undecided => match ready!(self.state.poll_decision(cx)) {
                    Decision::Http => self.mode = Mode::Http,
                    Decision::Tunnel => {
                        self.mode = Mode::Tunnel;
                        self.held.clear(usize::MAX);
                    }
                },
                Mode::Tunnel => {
                    let before = buf.filled().len();
                    ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
                    self.state.count_received(buf.filled().len() - before);
                    return Poll::Ready(Ok(()));
                }
                // hyper has the last request it will get, and its answer ends the connection. The end of the stream would
                // make it drop that answer, so there is none; nobody needs to be woken for it either.
                Mode::RefusedHead => return Poll::Pending,
                Mode::RefusedBody(violation) => return Poll::Ready(Err(violation.into())),
            }
        }
    }

    /// Reads from the stream into `buf` and takes back what may not pass. True: the reader has something, be it the end.
    fn poll_fresh(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.state.count_received(fresh.len());
        if self.held.is_empty() {
            let step = self.scanner.scan(fresh);
            let rest = fresh.get(step.release..).unwrap_or_default();
            if !rest.is_empty() {
                self.held.push(rest);
            }
            buf.set_filled(before + step.release);
            self.note(step);
            Poll::Ready(Ok(step.release > 0))
        } else {
            self.held.push(fresh);
            buf.set_filled(before);
            self.scan_held();
            Poll::Ready(Ok(false))
        }
    }

    /// A kernel that closes a socket with unread bytes in it resets the connection, and the reset can overtake our last answer
    /// (RFC 9112 section 9.6). So where the client may still be sending, some of that is read before the end.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        while let Closing::Lingering(left) = self.closing {
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
            let count = buf.filled().len();
            self.closing = match read {
                Ok(()) if count > 0 && count < left => Closing::Lingering(left - count),
                Ok(()) | Err(_) => Closing::Closed,
            };
        }
        Poll::Ready(())
    }

    fn client_may_be_sending(&self) -> bool {
        match self.mode {
            Mode::RefusedHead | Mode::RefusedBody(_) | Mode::Undecided => true,
            Mode::Http => self.open || !self.held.is_empty(),
            Mode::Tunnel => false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let read = this.poll_framed(cx, buf);
        let waiting = read.is_pending() && matches!(this.mode, Mode::Http | Mode::Tunnel);
        this.state
            .publish(this.phase(), this.open || this.held.is_cleared(), waiting);
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.state.count_sent(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // What is one piece takes the system call for one piece, which is cheaper.
        if let [whole] = bufs {
            return self.poll_write(cx, whole);
        }
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.state.count_sent(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.state.is_to_look()
            && let Some(departed) = this.departed
        {
            this.state.found(departed(&this.stream));
        }
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.state.blocked_in_writing(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing == Closing::Open {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.closing = Closing::Closed;
            if this.client_may_be_sending() {
                this.closing = Closing::Lingering(LINGER_BYTES);
                this.state.publish(Phase::Lingering, this.open, false);
            }
        }
        this.poll_linger(cx).map(Ok)
    }
}
