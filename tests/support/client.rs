//! An ordinary client over HTTP/1.1 or HTTP/2, plain or TLS, with one kept-alive connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::PATIENCE;
use super::message::{Headers, text};
use super::upstream_h2c::fields;

/// A client of one server.
pub struct Client {
    target: Arc<Target>,
    runtime: Option<Runtime>,
}

struct Target {
    address: SocketAddr,
    /// What Host and SNI say.
    host: String,
    tls: Option<ClientConfig>,
    protocol: Protocol,
    kept: Mutex<Option<Sender>>,
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// A request that is being put together.
pub struct RequestBuilder<'c> {
    client: &'c Client,
    parts: http::request::Builder,
    body: Vec<u8>,
    is_announced: bool,
}

/// A response with its whole body.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub version: http::Version,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    pub fn text(&self) -> String {
        text(&self.body)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The header as a recording upstream got it and echoed it; fails when it got several.
    pub fn echoed(&self, name: &str) -> Option<String> {
        let echo = self.json();
        let pairs: Vec<(String, String)> = serde_json::from_value(echo["headers"].clone()).expect("an echo");
        Headers(pairs).get(name).map(str::to_owned)
    }

    /// Fails with the whole response when the status is another one.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}: {}", self.text());
        self
    }
}

impl Client {
    /// Plain HTTP/1.1 to this address.
    pub fn new(address: SocketAddr) -> Self {
        Self::build(Target {
            address,
            host: address.to_string(),
            tls: None,
            protocol: Protocol::Http1,
            kept: Mutex::new(None),
        })
    }

    /// TLS to this address; the name is verified, sent as SNI and, with the port, as Host.
    pub fn tls(address: SocketAddr, name: &str, mut config: ClientConfig, protocol: Protocol) -> Self {
        let alpn: &[u8] = match protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Self::build(Target {
            address,
            host: format!("{name}:{}", address.port()),
            tls: Some(config),
            protocol,
            kept: Mutex::new(None),
        })
    }

    /// HTTP/2 with prior knowledge, without TLS.
    pub fn h2c(address: SocketAddr) -> Self {
        Self::build(Target {
            address,
            host: address.to_string(),
            tls: None,
            protocol: Protocol::Http2,
            kept: Mutex::new(None),
        })
    }

    fn build(target: Target) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            target: Arc::new(target),
            runtime: Some(runtime),
        }
    }

    pub fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send()
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder<'_> {
        let parts = http::Request::builder().method(method);
        let parts = match self.target.protocol {
            Protocol::Http1 => parts.uri(path).header("host", &self.target.host),
            Protocol::Http2 => {
                let scheme = if self.target.tls.is_some() { "https" } else { "http" };
                parts.uri(format!("{scheme}://{}{path}", self.target.host))
            }
        };
        RequestBuilder {
            client: self,
            parts,
            body: Vec::new(),
            is_announced: true,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Not by the runtime's own drop, which may not happen inside another runtime's test.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl RequestBuilder<'_> {
    /// One more field, also of a name that is there already.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.parts = self.parts.header(name, value);
        self
    }

    /// Another host than the one that was connected to.
    pub fn host(mut self, host: &str) -> Self {
        match self.client.target.protocol {
            Protocol::Http1 => {
                let headers = self.parts.headers_mut().expect("a good request so far");
                headers.insert("host", HeaderValue::from_str(host).unwrap());
            }
            Protocol::Http2 => {
                let uri = self.parts.uri_ref().expect("a good request so far").clone();
                let path = uri.path_and_query().unwrap().as_str().to_owned();
                self.parts = self.parts.uri(format!("{}://{host}{path}", uri.scheme_str().unwrap()));
            }
        }
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Without its length: chunked over HTTP/1.1, nothing at all over HTTP/2.
    pub fn unannounced(mut self) -> Self {
        self.is_announced = false;
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The response; fails when there is none.
    pub fn send(self) -> Response {
        self.try_send().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The response, or why there is none: refused, cut off, aborted.
    pub fn try_send(self) -> Result<Response, String> {
        let body = Sent {
            body: Full::new(Bytes::from(self.body)),
            is_announced: self.is_announced,
        };
        let request = self.parts.body(body).unwrap();
        let target = Arc::clone(&self.client.target);
        let runtime = self.client.runtime.as_ref().expect("a client that was not dropped");
        let (done, answer) = mpsc::channel();
        runtime.spawn(async move {
            // Nobody takes the answer only if the test has failed by its guard.
            let _ = done.send(target.exchange(request).await);
        });
        answer
            .recv_timeout(PATIENCE)
            .map_err(|_| format!("no response in {PATIENCE:?}"))?
    }
}

/// A body whose length is told or not.
struct Sent {
    body: Full<Bytes>,
    is_announced: bool,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.is_announced && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.is_announced {
            true => self.body.size_hint(),
            false => SizeHint::default(),
        }
    }
}

/// A connection ready for one more request.
enum Sender {
    Http1(http1::SendRequest<Sent>),
    Http2(http2::SendRequest<Sent>),
}

impl Target {
    async fn exchange(&self, request: http::Request<Sent>) -> Result<Response, String> {
        let kept = self.kept.lock().unwrap().take();
        let mut sender = match Sender::if_alive(kept).await {
            Some(sender) => sender,
            None => self.connect().await.map_err(|error| error.to_string())?,
        };
        let response = sender.send(request).await.map_err(|error| chain(&error))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| chain(&error))?.to_bytes();
        *self.kept.lock().unwrap() = Some(sender);
        Ok(Response {
            status: parts.status.as_u16(),
            version: parts.version,
            headers: fields(&parts.headers),
            body: body.to_vec(),
        })
    }

    async fn connect(&self) -> Result<Sender, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let Some(config) = &self.tls else {
            return self.speak(stream).await;
        };
        let name = self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name);
        let connector = TlsConnector::from(Arc::new(config.clone()));
        let stream = connector
            .connect(ServerName::try_from(name.to_owned())?, stream)
            .await?;
        self.speak(stream).await
    }

    async fn speak<S>(&self, stream: S) -> Result<Sender, Box<dyn std::error::Error + Send + Sync>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let stream = TokioIo::new(stream);
        // How a connection ends is told by the exchange on it.
        match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(async move { drop(connection.await) });
                Ok(Sender::Http1(sender))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(async move { drop(connection.await) });
                Ok(Sender::Http2(sender))
            }
        }
    }
}

impl Sender {
    /// The kept one, unless the server has closed it.
    async fn if_alive(kept: Option<Self>) -> Option<Self> {
        let mut sender = kept?;
        let ready = match &mut sender {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        };
        ready.is_ok().then_some(sender)
    }

    async fn send(&mut self, request: http::Request<Sent>) -> hyper::Result<http::Response<Incoming>> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }
}

/// The error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
