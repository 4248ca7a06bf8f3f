//! The recording upstream over HTTP/2 with prior knowledge, without TLS.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;

use super::message::Headers;
use super::reply::{Reply, Step};
use super::upstream::{Request, Shared};

/// A running HTTP/2 backend. Answers with well-formed replies only: their misbehaviour is HTTP/1's.
pub struct H2cUpstream {
    shared: Arc<Shared>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl H2cUpstream {
    /// Echoes each request as JSON.
    pub fn start() -> Self {
        Self::answering(Reply::echo)
    }

    pub fn answering(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared::new(handler));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            shared,
            address,
            runtime: Some(runtime),
        }
    }

    /// As `[[upstreams]] servers` names it.
    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers the next request that has no scripted reply yet with this.
    pub fn next(&self, reply: Reply) -> &Self {
        self.shared.script(reply);
        self
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests()
    }

    /// Waits until this many requests have come with their whole bodies; gives back all.
    pub fn wait_for(&self, count: usize) -> Vec<Request> {
        self.shared.complete_requests(count)
    }
}

impl Drop for H2cUpstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut connection = 0;
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), connection, request));
        let serving = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        // How the connection ended is told by the requests that are there or not.
        tokio::spawn(async move { drop(serving.await) });
        connection += 1;
    }
}

async fn answer(
    shared: Arc<Shared>,
    connection: usize,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let collected = body.collect().await;
    let complete = collected.is_ok();
    let trailers = collected.as_ref().ok().and_then(|body| body.trailers().cloned());
    let body = collected.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let request = Request {
        connection,
        head: Vec::new(),
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        version: format!("{:?}", parts.version),
        headers: with_authority(&parts),
        raw_body: body.clone(),
        body,
        trailers: fields(&trailers.unwrap_or_default()),
        complete,
    };
    shared.record(request.clone());
    let reply = shared.reply_to(&request);
    for step in &reply.steps {
        if let Step::WaitFor(gate) = step {
            while !gate.is_open() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
    let plain = reply.plain.expect("over HTTP/2 only well-formed replies can be sent");
    let mut response = http::Response::builder().status(plain.status);
    for (name, value) in &plain.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(plain.body.into())).unwrap())
}

/// The pseudo-fields that HTTP/1 has elsewhere stand first, under their own names (RFC 9113 section 8.3.1).
fn with_authority(parts: &http::request::Parts) -> Headers {
    let mut headers = fields(&parts.headers);
    if let Some(authority) = parts.uri.authority() {
        headers.0.insert(0, (":authority".to_owned(), authority.to_string()));
    }
    headers
}

pub(super) fn fields(headers: &http::HeaderMap) -> Headers {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Headers(headers.iter().map(field).collect())
}
