//! What gRPC asks of a proxy: trailers both ways, streams that interleave, answers of trailers alone; over h2c and over TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;

use super::events::{Told, over_http2};
use crate::path::gate::{Gate, route, upstream};
use crate::support::certificates::Authority;

/// A server of HTTP/2: `/echo` answers each piece with a piece and ends with trailers, `/refuse` has trailers alone.
struct Server {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    fn start(tls: Option<rustls::ServerConfig>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tls.map(|config| tokio_rustls::TlsAcceptor::from(Arc::new(config)));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream).await,
                        Some(acceptor) => serve(acceptor.accept(stream).await.unwrap()).await,
                    }
                });
            }
        });
        Self {
            address,
            runtime: Some(runtime),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn serve<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>(stream: S) {
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await
        .ok();
}

async fn answer(request: Request<Incoming>) -> Result<Response<Told>, Infallible> {
    let (parts, mut body) = request.into_parts();
    let (tell, told) = mpsc::channel(1);
    let mut response = Response::builder().header("content-type", "application/grpc");
    if parts.uri.path() == "/refuse" {
        // Trailers alone: fields of a head that ends the stream.
        response = response
            .header("grpc-status", "5")
            .header("grpc-message", "no such thing");
        return Ok(response.body(Told(told)).unwrap());
    }
    for name in ["te", "x-user", "grpc-timeout"] {
        if let Some(value) = parts.headers.get(name) {
            response = response.header(format!("seen-{name}"), value);
        }
    }
    tokio::spawn(async move {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        while let Some(Ok(frame)) = body.frame().await {
            match frame.into_data() {
                // The end of a stream may come in a frame of its own.
                Ok(data) if data.is_empty() => {}
                Ok(data) => tell
                    .send(Frame::data([b"echo ", data.as_ref()].concat().into()))
                    .await
                    .unwrap(),
                Err(frame) => {
                    let sent = frame.into_trailers().unwrap();
                    trailers.insert("seen-trailer", sent["x-checksum"].clone());
                }
            }
        }
        tell.send(Frame::trailers(trailers)).await.ok();
    });
    Ok(response.body(Told(told)).unwrap())
}

/// With gates before a server in the clear and one over TLS.
fn with_both(work: impl Fn(&Gate)) {
    let clear = Server::start(None);
    let config = upstream("app", &format!("h2c://{}", clear.address), "") + &route("app", "/", "app", "");
    work(&Gate::with_tls(&config));
    let authority = Authority::new();
    let mut config = authority.server(&["localhost"]).server_config(&["h2"]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let secure = Server::start(Some(config));
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let url = format!("https://localhost:{}", secure.address.port());
    let config = upstream("app", &url, &format!("tls = {{ ca = {ca:?} }}")) + &route("app", "/", "app", "");
    work(&Gate::with_tls(&config));
}

fn request(gate: &Gate, path: &str, body: mpsc::Receiver<Frame<Bytes>>) -> Request<Told> {
    Request::post(format!("https://localhost{path}"))
        .header("authorization", format!("Bearer {}", gate.token("anna", &[])))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "5S")
        .body(Told(body))
        .unwrap()
}

#[test]
fn a_unary_call_has_its_trailers_both_ways() {
    with_both(|gate| {
        over_http2(gate, async |mut sender| {
            let (tell, body) = mpsc::channel(2);
            tell.send(Frame::data("one".into())).await.unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-checksum", HeaderValue::from_static("123"));
            trailers.insert("x-user", HeaderValue::from_static("mallory"));
            tell.send(Frame::trailers(trailers)).await.unwrap();
            drop(tell);
            let response = sender.send_request(request(gate, "/echo", body)).await.unwrap();
            assert_eq!(response.headers()["seen-te"], "trailers");
            assert_eq!(response.headers()["seen-x-user"], "anna");
            assert_eq!(response.headers()["seen-grpc-timeout"], "5S");
            let body = response.into_body().collect().await.unwrap();
            let trailers = body.trailers().unwrap().clone();
            assert_eq!(trailers["grpc-status"], "0");
            assert_eq!(trailers["seen-trailer"], "123");
            assert_eq!(body.to_bytes(), "echo one");
        });
    });
}

#[test]
fn both_directions_of_a_stream_interleave() {
    with_both(|gate| {
        over_http2(gate, async |mut sender| {
            let (tell, body) = mpsc::channel(1);
            let mut response = sender.send_request(request(gate, "/echo", body)).await.unwrap();
            for number in 0..50 {
                // The head of the answer is here, the request has not ended: each piece is answered before the next is sent.
                tell.send(Frame::data(format!("{number}").into())).await.unwrap();
                let frame = response.body_mut().frame().await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), format!("echo {number}"));
            }
            drop(tell);
            let last = response.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(last.into_trailers().unwrap()["grpc-status"], "0");
        });
    });
}

#[test]
fn an_answer_of_trailers_alone_passes() {
    with_both(|gate| {
        over_http2(gate, async |mut sender| {
            let (_tell, body) = mpsc::channel(1);
            let response = sender.send_request(request(gate, "/refuse", body)).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["grpc-status"], "5");
            assert_eq!(response.headers()["grpc-message"], "no such thing");
            assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        });
    });
}
