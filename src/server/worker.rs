//! A worker: one thread, one runtime, the connections it was handed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::acceptor::Accepted;
use crate::gateway::{self, Body, Connection, ConnectionState, ConnectionView, Facts, Gateway, Protocol};
use crate::registry::{Cut, Deadlines, Entry, SWEEP, Waiter};
use crate::telemetry::TlsResult;
use crate::tls::{ALPN_H2, ServerTls};
use crate::upstream;
use crate::wire::{self, Guarded};

/// What every worker works with.
#[derive(Clone)]
pub struct Tools {
    /// Answers requests.
    pub gateway: Arc<Gateway>,
    /// What `https` listeners speak.
    pub tls: Arc<ServerTls>,
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
            tokio::spawn(carry(accepted, Arc::clone(worker), tools.clone()));
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
        worker.registry().sweep(&tools.tuning.load().deadlines);
        worker.flush_log();
        upstream::sweep(std::time::Instant::now());
    }
}

/// Carries one connection from its acceptance to its end.
async fn carry(accepted: Accepted, worker: Arc<gateway::Worker>, tools: Tools) {
    let Accepted {
        stream,
        peer,
        local,
        port,
        seat,
    } = accepted;
    let state = Arc::new(ConnectionState::default());
    let entry = worker.registry().enter(Box::new(ConnectionView(Arc::clone(&state))));
    let tuning = tools.tuning.load_full();
    let facts = Facts {
        peer,
        local,
        protocol: port.protocol,
        redirect_port: port.redirect_port,
    };
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    // Without it, answers in several pieces wait for acknowledgements; failing to set it costs latency only.
    stream.set_nodelay(true).ok();
    let connection = Connection::new(facts, Arc::clone(&state), Arc::clone(&entry), worker);
    let connection = Arc::new(connection);
    // Each part is boxed, so that an idle connection holds only what it is in, and not room for the largest of them.
    match port.protocol {
        Protocol::Http | Protocol::Redirect => {
            Box::pin(serve_http1(stream, connection, &state, &tuning, tools.gateway)).await;
        }
        Protocol::Https => {
            if let Some(stream) = Box::pin(handshake(stream, &entry, &state, &tools)).await {
                if stream.get_ref().1.alpn_protocol() == Some(ALPN_H2) {
                    state.http2();
                    Box::pin(serve_http2(stream, connection, &tuning, tools.gateway)).await;
                } else {
                    Box::pin(serve_http1(stream, connection, &state, &tuning, tools.gateway)).await;
                }
            }
        }
    }
    drop(seat);
}

async fn handshake(
    stream: TcpStream,
    entry: &Entry,
    state: &ConnectionState,
    tools: &Tools,
) -> Option<Box<TlsStream<TcpStream>>> {
    let metrics = &tools.gateway.metrics;
    entry.watch(stream.readable()).await.ok()?.ok()?;
    state.handshake();
    let acceptor = TlsAcceptor::from(tools.tls.config());
    match entry.watch(acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            metrics.handshake(TlsResult::Ok);
            // It is large, and what is made of it would hold it at every step on the way.
            Some(Box::new(stream))
        }
        Ok(Err(error)) => {
            metrics.handshake(TlsResult::Failed);
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            metrics.handshake(TlsResult::Timeout);
            None
        }
    }
}

/// The future of an answer. Boxed: hyper moves it about many times on HTTP/2, and on HTTP/1 keeps its room while the connection
/// is idle.
fn handled(request: Request<Incoming>, gateway: &Arc<Gateway>, connection: &Arc<Connection>) -> Handled {
    let (gateway, connection) = (Arc::clone(gateway), Arc::clone(connection));
    // The room first: then the future is made in it, and not beside it and moved.
    let room = Box::new_uninit();
    let made = Box::write(room, async move { Ok(gateway.handle(request, &connection).await) });
    Box::into_pin(made)
}

type Handled = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

async fn serve_http1<S>(
    stream: S,
    connection: Arc<Connection>,
    state: &ConnectionState,
    tuning: &Tuning,
    gateway: Arc<Gateway>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let guarded = Guarded::new(stream, tuning.wire);
    state.http1(Arc::clone(guarded.state()));
    let entry = Arc::clone(connection.entry());
    let service = service_fn(move |request| handled(request, &gateway, &connection));
    // The scanner needs half_close: hyper then asks for the next message only when the answer is written. The registry
    // keeps the deadlines, so hyper's own are off.
    let serving = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(guarded), service);
    let mut serving = std::pin::pin!(serving);
    let mut draining = false;
    std::future::poll_fn(|cx| {
        entry.register(Waiter::Owner, cx.waker());
        if entry.is_draining() && !draining {
            draining = true;
            serving.as_mut().graceful_shutdown();
        }
        let polled = serving.as_mut().poll(cx);
        if polled.is_pending() && must_end(&entry, state.is_exchanging()) {
            return std::task::Poll::Ready(());
        }
        polled.map(|result| note(result.err()))
    })
    .await;
}

async fn serve_http2<S>(stream: S, connection: Arc<Connection>, tuning: &Tuning, gateway: Arc<Gateway>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let entry = Arc::clone(connection.entry());
    let service = service_fn(move |request| handled(request, &gateway, &connection));
    let serving = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CONCURRENT_STREAMS)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(tuning.header_bytes)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let mut draining = false;
    std::future::poll_fn(|cx| {
        entry.register(Waiter::Owner, cx.waker());
        if entry.is_draining() && !draining {
            draining = true;
            serving.as_mut().graceful_shutdown();
        }
        let polled = serving.as_mut().poll(cx);
        if polled.is_pending() && must_end(&entry, false) {
            return std::task::Poll::Ready(());
        }
        polled.map(|result| note(result.err()))
    })
    .await;
}

/// Whether a connection is to be dropped as it is. One whose exchange was cut gets a moment to say so to the client.
fn must_end(entry: &Entry, exchanging: bool) -> bool {
    match entry.cut() {
        None | Some(Cut::Upstream) => false,
        Some(Cut::Deadline | Cut::Drain) => !exchanging || entry.is_overdue(),
    }
}

fn note(error: Option<hyper::Error>) {
    if let Some(error) = error {
        tracing::debug!(%error, "a connection ended early");
    }
}
