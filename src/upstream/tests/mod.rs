//! Against servers that are a few lines of TCP each, most of them rude.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod balance;
mod exchange;
mod http2;
mod names;
mod pool;
mod queue;
mod retries;
mod rude;
mod servers;
mod watched;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::tls::UpstreamTls;

/// Far longer than anything takes, so that only what is meant to be late is late.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(50);

/// A request's body: nothing, or what is sent through a channel.
struct Pieces(Option<mpsc::UnboundedReceiver<io::Result<Bytes>>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.0 {
            Some(pieces) => pieces
                .poll_recv(cx)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.0 {
            Some(_) => http_body::SizeHint::default(),
            None => http_body::SizeHint::with_exact(0),
        }
    }
}

fn get(path: &str) -> Request<Pieces> {
    Request::get(path)
        .header("host", "shop.example")
        .body(Pieces(None))
        .unwrap()
}

/// A request whose body comes through the channel.
fn with_body(method: Method) -> (Request<Pieces>, mpsc::UnboundedSender<io::Result<Bytes>>) {
    let (sender, pieces) = mpsc::unbounded_channel();
    let request = Request::builder()
        .method(method)
        .uri("/")
        .header("host", "shop.example")
        .body(Pieces(Some(pieces)))
        .unwrap();
    (request, sender)
}

fn settings(servers: Vec<Server>) -> Settings {
    Settings {
        name: "test".into(),
        servers,
        balance: Balance::RoundRobin,
        connect_timeout: LONG,
        response_timeout: LONG,
        max_requests: 100,
        queue_timeout: LONG,
        retries: 1,
        health: None,
        tls: UpstreamTls::default(),
    }
}

fn build(settings: Settings) -> Arc<Upstream> {
    Arc::new(rebuilt(None, &settings))
}

/// A runtime as a worker has it: connections are driven by the thread that uses them.
fn alone() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn rebuilt(old: Option<&Upstream>, settings: &Settings) -> Upstream {
    with_tools(|tools| Upstream::build(old, settings, tools).unwrap())
}

fn rebuild(old: &Upstreams, settings: &[Settings]) -> Result<Upstreams, crate::tls::Error> {
    with_tools(|tools| Upstreams::rebuild(old, settings, tools))
}

fn with_tools<T>(act: impl FnOnce(Tools<'_>) -> T) -> T {
    let names: Arc<dyn Names> = Arc::new(Libc);
    act(Tools {
        names: &names,
        metrics: &Metrics::new(1),
    })
}

/// The names that this machine knows.
#[derive(Debug)]
struct Libc;

impl Names for Libc {
    fn look_up<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Answer>> + Send + 'a>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(Answer {
                addresses: found.map(|address| address.ip()).collect(),
                ttl: LONG,
            })
        })
    }
}

/// A listener on a free port, and how it is configured as a server.
async fn listen(protocol: Protocol) -> (TcpListener, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::Tcp {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
    };
    (listener, Server { protocol, place })
}

/// A server that nobody answers for.
async fn nobody() -> Server {
    listen(Protocol::Http).await.1
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

/// Reads up to the end of a head.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    String::from_utf8(head).unwrap()
}

/// The other side has closed, in whichever way.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

/// Answers each request on a connection with `ok`, until the other side closes.
async fn answer_all(mut stream: TcpStream) {
    let mut seen = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(byte) => seen.push(byte),
            Err(_) => return,
        }
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            if stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

async fn text(response: Response<Body<Pieces>>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Waits until so many connections to the first server are idle.
async fn until_idle(upstream: &Upstream, count: usize) {
    while idle(&upstream.peers()[0]) != count {
        tokio::task::yield_now().await;
    }
}

fn failed(result: Result<Response<Body<Pieces>>, Error>) -> Error {
    match result {
        Ok(response) => panic!("answered with {}", response.status()),
        Err(error) => error,
    }
}
