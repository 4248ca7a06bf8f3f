//! A tunnel: the bytes of two connections, each way at the speed of whoever is slower, until both ends are closed or its time
//! is up.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::Exchange;
use super::frames::{Frames, GOING_AWAY, POLICY_VIOLATION};
use crate::registry::{Cut, Waiter};
use crate::upstream::Switched;

/// What is read at once. Nothing is kept while nothing waits, so that a tunnel without traffic costs next to nothing.
const PIECE: usize = 16 * 1024;
/// How many pieces one way moves before others get their turn.
const ROUNDS: usize = 16;
/// How long the last words of a tunnel that is cut may take. Less than [`crate::registry::GRACE`], after which a connection
/// that carries other streams too would be ended as a whole.
const FAREWELL: Duration = Duration::from_millis(700);

/// An upgrade that the upstream has agreed to; it runs on the connection that the request came on.
#[derive(Debug)]
pub struct Tunnel {
    upstream: Switched,
    exchange: Arc<Exchange>,
    websocket: bool,
}

impl Tunnel {
    pub(super) fn new(upstream: Switched, exchange: Arc<Exchange>, websocket: bool) -> Self {
        Self {
            upstream,
            exchange,
            websocket,
        }
    }

    /// What the registry knows it as.
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// Passes bytes between `client` and the upstream until both ends are closed, one breaks off, or this is cut.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(self, client: S) {
        let Self {
            upstream,
            exchange,
            websocket,
        } = self;
        let mut pump = Pump {
            client,
            upstream,
            up: Flow::default(),
            down: Flow::default(),
            frames: websocket.then(Frames::default),
        };
        // The client has no turn before there is something for it.
        exchange.taking(false);
        let cut = std::future::poll_fn(|cx| {
            exchange.entry().register(Waiter::Owner, cx.waker());
            match exchange.cut() {
                Some(cut) => Poll::Ready(Some(cut)),
                None => pump.poll(cx, &exchange).map(|()| None),
            }
        })
        .await;
        // Who does not take what waits for it takes no farewell either.
        let frame = match cut {
            Some(Cut::Ended) => POLICY_VIOLATION,
            Some(Cut::Drain) => GOING_AWAY,
            Some(Cut::Deadline | Cut::Upstream) | None => return,
        };
        let linger = !exchange.is_stream();
        tokio::time::timeout(FAREWELL, pump.farewell(frame, linger)).await.ok();
    }
}

/// Both ends, and both ways between them.
struct Pump<S> {
    client: S,
    upstream: Switched,
    up: Flow,
    down: Flow,
    /// Of a WebSocket: where its frames towards the client end.
    frames: Option<Frames>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    /// Ready when nothing is left to do: both ends are closed, or one has broken off.
    fn poll(&mut self, cx: &mut Context<'_>, exchange: &Exchange) -> Poll<()> {
        let frames = &mut self.frames;
        let down = self.down.poll(cx, &mut self.upstream, &mut self.client, |bytes| {
            exchange.moved();
            if let Some(frames) = frames {
                frames.pass(bytes);
            }
        });
        let half = self.up.is_closed() || self.down.is_closed();
        let up = self.up.poll(cx, &mut self.client, &mut self.upstream, |_| {
            // What goes up says nothing about whether the client takes what comes down.
            if half {
                exchange.moved();
            }
        });
        // A tunnel of which one side is closed lasts for as long as bytes move on the other.
        exchange.taking(self.down.waits_for_room() || self.up.is_closed() || self.down.is_closed());
        match (down, up) {
            (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
                tracing::debug!(%error, "a tunnel broke off");
                Poll::Ready(())
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
            (Poll::Ready(Ok(())) | Poll::Pending, Poll::Ready(Ok(())) | Poll::Pending) => Poll::Pending,
        }
    }

    /// Tells a WebSocket's client why it ends here, if that fits between two frames of the server's.
    async fn farewell(&mut self, frame: [u8; 4], linger: bool) -> io::Result<()> {
        let Some(frames) = self.frames.as_ref().filter(|frames| !frames.is_closed()) else {
            return Ok(());
        };
        let Some(rest) = frames.up_to_border(&self.down.rest).filter(|_| !self.down.is_closed()) else {
            return Ok(());
        };
        self.client
            .write_all(self.down.rest.get(..rest).unwrap_or_default())
            .await?;
        self.client.write_all(&frame).await?;
        self.client.flush().await?;
        self.client.shutdown().await?;
        // A socket that is closed with unread bytes in it is reset, and the reset can overtake the frame.
        let mut scratch = [0; 1024];
        while linger && self.client.read(&mut scratch).await? > 0 {}
        Ok(())
    }
}

/// One way.
#[derive(Default)]
struct Flow {
    /// What was read and not taken yet; at most one piece.
    rest: Vec<u8>,
    source_ended: bool,
    unflushed: bool,
    closed: bool,
}

impl Flow {
    /// Moves what can be moved now. Ready: the source has ended, everything is written, and the end was passed on.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        mut passed: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        for _ in 0..ROUNDS {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            if !self.rest.is_empty() {
                let written = ready!(write(sink, cx, &self.rest))?;
                passed(self.rest.get(..written).unwrap_or_default());
                self.unflushed = true;
                self.rest.drain(..written);
                if self.rest.is_empty() {
                    self.rest = Vec::new();
                }
                continue;
            }
            if self.source_ended {
                ready!(Pin::new(&mut *sink).poll_shutdown(cx))?;
                self.closed = true;
                return Poll::Ready(Ok(()));
            }
            let mut scratch = [MaybeUninit::uninit(); PIECE];
            let mut buffer = ReadBuf::uninit(&mut scratch);
            if Pin::new(&mut *source).poll_read(cx, &mut buffer)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *sink).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
            let read = buffer.filled();
            if read.is_empty() {
                self.source_ended = true;
                continue;
            }
            match write(sink, cx, read)? {
                Poll::Ready(written) => {
                    let (now, later) = read.split_at_checked(written).unwrap_or((read, &[]));
                    passed(now);
                    self.unflushed = true;
                    self.rest.extend_from_slice(later);
                }
                Poll::Pending => self.rest.extend_from_slice(read),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether something is there that was not taken yet.
    fn waits_for_room(&self) -> bool {
        !self.rest.is_empty() || self.unflushed
    }
}

fn write<W: AsyncWrite + Unpin>(sink: &mut W, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(sink).poll_write(cx, bytes)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(written),
    }
}
