//! Clients of WebSockets over HTTP/2 (RFC 8441).

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Request};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::PATIENCE;

pub type Sender = http2::SendRequest<Empty<Bytes>>;

/// Runs it to its end, or fails.
pub fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("it ends") })
}

/// A connection on which the server's settings have arrived, with the answer for this path.
pub async fn connect(address: SocketAddr, config: rustls::ClientConfig, first: &str) -> Sender {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let first = Request::get(format!("https://localhost{first}"))
        .body(Empty::new())
        .unwrap();
    sender.send_request(first).await.unwrap();
    sender
}

/// An extended CONNECT; without a protocol, a plain one.
pub fn extended(protocol: Option<&'static str>, url: &str) -> http::request::Builder {
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(url)
        .header("sec-websocket-version", "13");
    match protocol {
        Some(protocol) => request.extension(Protocol::from_static(protocol)),
        None => request,
    }
}
