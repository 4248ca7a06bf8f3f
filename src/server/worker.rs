//! A worker: one thread, one runtime, the connections it was handed.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::acceptor::Accepted;
use super::arrival::{self, Ends};
use super::farewell::Farewell;
use crate::gateway::{self, Body, Connection, ConnectionState, ConnectionView, Facts, Gateway, Protocol};
use crate::net;
use crate::registry::{Cut, Deadlines, Entry, SWEEP, Waiter};
use crate::tls::ALPN_H2;
use crate::upstream;
use crate::wire::{self, Departure, Guarded, http2 as http2_wire};

/// What every worker works with.
#[derive(Clone)]
pub struct Tools {
    /// Answers requests.
    pub gateway: Arc<Gateway>,
    /// What changes with the configuration.
    pub tuning: Arc<ArcSwap<Tuning>>,
}

/// Settings of connections.
#[derive(Debug)]
pub struct Tuning {
    /// How long each phase may take.
    pub deadlines: Deadlines,
    /// The largest request head.
    pub wire: wire::Settings,
    /// The same, for HTTP/2.
    pub header_bytes: u32,
}

/// HTTP/2 settings that are no matter of configuration. The window of a stream is what a client may send before a slow
/// backend has taken any of it; the rest bounds what a hostile client can make us hold.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const CONCURRENT_STREAMS: u32 = 128;
const SEND_BUFFER: usize = 128 * 1024;
const PENDING_RESETS: usize = 32;

/// Runs a worker until its queue is closed and its last connection has ended.
pub fn run(
    worker: &Arc<gateway::Worker>,
    tools: Tools,
    mut queue: mpsc::UnboundedReceiver<Accepted>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let sweeper = tokio::spawn(sweep(Arc::clone(worker), tools.clone()));
        while let Some(accepted) = queue.recv().await {
            // Registered here and not in its task: the registry is empty only when nobody is left, be it one not yet begun.
            let state = Arc::new(ConnectionState::default());
            let entry = worker.registry().enter(Box::new(ConnectionView(Arc::clone(&state))));
            tokio::spawn(carry(accepted, state, entry, Arc::clone(worker), tools.clone()));
        }
        while !worker.registry().is_empty() {
            tokio::time::sleep(SWEEP / 10).await;
        }
        sweeper.abort();
        worker.flush_log();
    });
    Ok(())
}

async fn sweep(worker: Arc<gateway::Worker>, tools: Tools) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = tools.gateway.clock.unix_millis();
        let ended = |person: &_| tools.gateway.authenticator.has_ended(person, now);
        worker.registry().sweep(&tools.tuning.load().deadlines, &ended);
        worker.flush_log();
        upstream::sweep(std::time::Instant::now());
    }
}

/// Carries one connection from its acceptance to its end.
async fn carry(
    accepted: Accepted,
    state: Arc<ConnectionState>,
    entry: Arc<Entry>,
    worker: Arc<gateway::Worker>,
    tools: Tools,
) {
    let Accepted {
        stream,
        peer,
        local,
        port,
        mut seat,
    } = accepted;
    let tuning = tools.tuning.load_full();
    let Ok(mut stream) = TcpStream::from_std(stream) else {
        return;
    };
    // Without it, answers in several pieces wait for acknowledgements; failing to set it costs latency only.
    stream.set_nodelay(true).ok();
    let mut ends = Ends {
        peer,
        local,
        may_be_proxy: true,
    };
    if port.proxy_protocol {
        // In a box, here and below: what is over before the first request takes no room while the connection lives.
        match Box::pin(arrival::announced(&mut stream, ends, &entry, &mut seat, &tools)).await {
            Some(announced) => ends = announced,
            None => return,
        }
    }
    let known = |secured| {
        let facts = Facts {
            peer: ends.peer,
            local: ends.local,
            may_be_proxy: ends.may_be_proxy,
            secured,
            protocol: port.protocol,
            redirect_port: port.redirect_port,
        };
        let connection = Connection::new(facts, Arc::clone(&state), Arc::clone(&entry), Arc::clone(&worker));
        Arc::new(connection)
    };
    // Each part is boxed, so that an idle connection holds only what it is in, and not room for the largest of them.
    match port.protocol {
        Protocol::Http | Protocol::Redirect => {
            Box::pin(serve_http1(stream, plain, known(None), &state, &tuning, tools.gateway)).await;
        }
        Protocol::Https => {
            if let Some((stream, secured)) = Box::pin(arrival::handshake(stream, &entry, &state, &tools)).await {
                let connection = known(Some(secured));
                if stream.get_ref().1.alpn_protocol() == Some(ALPN_H2) {
                    Box::pin(serve_http2(stream, connection, &state, &tuning, tools.gateway)).await;
                } else {
                    Box::pin(serve_http1(stream, secure, connection, &state, &tuning, tools.gateway)).await;
                }
            }
        }
    }
    // A tunnel that was offered and never ran would hold on to the entry that holds on to it.
    drop(state.take_tunnel());
    drop(seat);
}

/// The future of an answer. Boxed: hyper moves it about many times on HTTP/2, and on HTTP/1 keeps its room while the connection
/// is idle.
fn handled(request: Request<Incoming>, served: &Arc<Served>) -> Handled {
    let served = Arc::clone(served);
    // The room first: then the future is made in it, and not beside it and moved.
    let room = Box::new_uninit();
    let made = Box::write(room, async move {
        Ok(served.gateway.handle(request, &served.connection).await)
    });
    Box::into_pin(made)
}

/// What requests of one connection have to do with. Counted for each of them, and by one worker alone: a count that all
/// workers share would go from core to core with each request.
struct Served {
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
}

type Handled = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Whether the client at the other end of a plain stream is still there.
fn plain(stream: &TcpStream) -> Departure {
    match net::departure(stream) {
        (_, true) => Departure::Gone,
        (true, false) => Departure::Closed,
        (false, false) => Departure::Here,
    }
}

#[expect(clippy::borrowed_box, reason = "it is the stream's type")]
fn secure(stream: &Box<TlsStream<TcpStream>>) -> Departure {
    plain(stream.get_ref().0)
}

async fn serve_http1<S>(
    stream: S,
    departed: fn(&S) -> Departure,
    connection: Arc<Connection>,
    state: &ConnectionState,
    tuning: &Tuning,
    gateway: Arc<Gateway>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let guarded = Guarded::new(stream, tuning.wire).looking(departed);
    let wire = Arc::clone(guarded.state());
    state.http1(Arc::clone(&wire));
    let entry = Arc::clone(connection.entry());
    let served = Arc::new(Served { gateway, connection });
    let service = service_fn(move |request| handled(request, &served));
    // The scanner needs half_close: hyper then asks for the next message only when the answer is written. The registry
    // keeps the deadlines, so hyper's own are off.
    let mut serving = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(guarded), service);
    let mut farewell = Farewell::default();
    let mut step = |cx: &mut Context<'_>| {
        entry.register(Waiter::Owner, cx.waker());
        let mut polled = Pin::new(&mut serving).poll(cx);
        if polled.is_pending() && farewell.is_due(&entry, &wire, cx) {
            Pin::new(&mut serving).graceful_shutdown();
            polled = Pin::new(&mut serving).poll(cx);
        }
        if polled.is_pending() && must_end(&entry, state.is_exchanging()) {
            return Poll::Ready(false);
        }
        polled.map(|result| note(result.err()))
    };
    if !poll_fn(&mut step).await {
        return;
    }
    if let Some(tunnel) = state.take_tunnel() {
        let guarded = serving.into_parts().io.into_inner();
        // Boxed: few connections become one, and none else should hold room for it.
        Box::pin(tunnel.run(guarded)).await;
        return;
    }
    // Where any request has asked for an upgrade, hyper ends without flushing and without closing its side, for somebody
    // else might go on. Asked once more, it ends as always; where it did that already, there is nothing left to do.
    poll_fn(&mut step).await;
}

async fn serve_http2<S>(
    stream: S,
    connection: Arc<Connection>,
    state: &ConnectionState,
    tuning: &Tuning,
    gateway: Arc<Gateway>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let guard = http2_wire::Guard::new(stream, tuning.wire.header_bytes());
    state.http2(Arc::clone(guard.state()));
    let entry = Arc::clone(connection.entry());
    let served = Arc::new(Served { gateway, connection });
    let service = service_fn(move |request| handled(request, &served));
    let serving = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CONCURRENT_STREAMS)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(tuning.header_bytes)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        // RFC 8441: WebSockets over streams.
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(guard), service);
    let mut serving = std::pin::pin!(serving);
    let mut draining = false;
    std::future::poll_fn(|cx| {
        entry.register(Waiter::Owner, cx.waker());
        // Who is let go is told so (RFC 9113 section 9.1), and has a moment to read it.
        let late = entry.cut() == Some(Cut::Deadline);
        if (entry.is_draining() || late) && !draining {
            draining = true;
            serving.as_mut().graceful_shutdown();
        }
        let polled = serving.as_mut().poll(cx);
        if polled.is_pending() && must_end(&entry, late) {
            return std::task::Poll::Ready(());
        }
        polled.map(|result| {
            note(result.err());
        })
    })
    .await;
}

/// Whether a connection is to be dropped as it is. One whose exchange was cut gets a moment to say so to the client.
fn must_end(entry: &Entry, exchanging: bool) -> bool {
    match entry.cut() {
        None | Some(Cut::Upstream) => false,
        Some(Cut::Deadline | Cut::Drain | Cut::Ended) => !exchanging || entry.is_overdue(),
    }
}

/// Whether it ended well.
fn note(error: Option<hyper::Error>) -> bool {
    if let Some(error) = &error {
        tracing::debug!(%error, "a connection ended early");
    }
    error.is_none()
}
