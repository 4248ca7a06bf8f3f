//! One request for a document, bounded in time and size.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::Url;
use crate::tls::{ALPN_HTTP_1_1, UpstreamTls, client_config};

/// To resolve the name, connect and shake hands.
const CONNECT: Duration = Duration::from_secs(2);
/// From the beginning to the last byte of the document.
const TOTAL: Duration = Duration::from_secs(5);
/// The largest document. A set of keys has a few kilobytes.
const LARGEST: usize = 1 << 20;
/// The largest head of an answer.
const HEAD: usize = 64 << 10;

/// What a server said.
#[derive(Debug)]
pub enum Answer {
    /// A document.
    Fresh {
        /// It.
        body: Bytes,
        /// Its version (RFC 9110 section 8.8.3), for the next request.
        etag: Option<String>,
        /// How long it stays fresh, as far as the server says.
        fresh_for: Option<Duration>,
    },
    /// The version we have is still the one (RFC 9110 section 15.4.5).
    Unchanged {
        /// How long it stays fresh, as far as the server says.
        fresh_for: Option<Duration>,
    },
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// TLS failed: most often its certificate is of an authority that the system does not trust.
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    /// It took too long.
    #[error("no whole answer within the deadline")]
    Deadline,
    /// A redirect, which is not followed: where keys come from is said by the configuration and nobody else.
    #[error("answered {status}, a redirect to {to}; redirects are not followed, configure the final URL")]
    Redirect {
        /// The status.
        status: u16,
        /// `Location`, shortened.
        to: String,
    },
    /// Another status than 200.
    #[error("answered {0}")]
    Status(u16),
    /// More than we read.
    #[error("the document is larger than {LARGEST} bytes")]
    TooLarge,
    /// What came is no HTTP, or broke off, or is encoded in a way that was not asked for.
    #[error("the answer is broken: {0}")]
    Broken(String),
}

/// Fetches a document, unless it is still the one of this version.
pub async fn get(url: &Url, version: Option<&str>) -> Result<Answer, Error> {
    timeout(TOTAL, unbounded(url, version))
        .await
        .unwrap_or(Err(Error::Deadline))
}

async fn unbounded(url: &Url, version: Option<&str>) -> Result<Answer, Error> {
    let stream = timeout(CONNECT, connect(url)).await.unwrap_or(Err(Error::Deadline))?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Dropped, and with it the connection, when this function is done or given up.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request(url, version)?).await.map_err(broken)?;
    read(response, version.is_some()).await
}

fn request(url: &Url, version: Option<&str>) -> Result<Request<Empty<Bytes>>, Error> {
    let mut request = Request::get(url.target())
        .header(header::HOST, url.authority())
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::USER_AGENT, concat!("doorward/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    if let Some(version) = version {
        request = request.header(header::IF_NONE_MATCH, version);
    }
    request.body(Empty::new()).map_err(broken)
}

async fn read(response: Response<Incoming>, conditional: bool) -> Result<Answer, Error> {
    let fresh_for = fresh_for(response.headers());
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if conditional => return Ok(Answer::Unchanged { fresh_for }),
        status if status.is_redirection() => {
            let to = text(response.headers(), header::LOCATION).unwrap_or("nowhere");
            return Err(Error::Redirect {
                status: status.as_u16(),
                to: to.chars().take(200).collect(),
            });
        }
        status => return Err(Error::Status(status.as_u16())),
    }
    let encoding = text(response.headers(), header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Error::Broken("it is encoded, which was not asked for".to_owned()));
    }
    let etag = text(response.headers(), header::ETAG).map(str::to_owned);
    let collected = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = collected.map_err(|error| match error.is::<LengthLimitError>() {
        true => Error::TooLarge,
        false => Error::Broken(error.to_string()),
    })?;
    Ok(Answer::Fresh {
        body: body.to_bytes(),
        etag,
        fresh_for,
    })
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// RFC 9111 section 4.2: `max-age` less the `Age` that it had on arrival. `no-store` and `no-cache` are as good as 0.
fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let mut seconds: Option<u64> = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(Duration::ZERO),
                "max-age" => seconds = value.trim().trim_matches('"').parse().ok().or(seconds),
                _ => {}
            }
        }
    }
    let age = text(headers, header::AGE).and_then(|age| age.trim().parse().ok());
    seconds.map(|seconds| Duration::from_secs(seconds.saturating_sub(age.unwrap_or(0))))
}

fn broken(error: impl std::error::Error) -> Error {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Error::Broken(text)
}

/// A byte stream, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(url: &Url) -> Result<Box<dyn Stream>, Error> {
    let plain = tcp(url).await.map_err(Error::Connect)?;
    if !url.is_secure() {
        return Ok(Box::new(plain));
    }
    let name = ServerName::try_from(url.host().to_owned()).map_err(|error| Error::Tls(error.to_string()))?;
    let stream = TlsConnector::from(trusted().await?)
        .connect(name, plain)
        .await
        .map_err(|error| Error::Tls(error.to_string()))?;
    Ok(Box::new(stream))
}

/// The system's authorities, read anew for every request: they are few, and an authority that was added counts at once.
async fn trusted() -> Result<Arc<ClientConfig>, Error> {
    let load = || client_config(&UpstreamTls::default(), &[ALPN_HTTP_1_1]);
    let loaded = tokio::task::spawn_blocking(load)
        .await
        .map_err(|error| Error::Tls(error.to_string()))?;
    loaded.map_err(|error| Error::Tls(error.cause().to_owned()))
}

/// One address after the other, each with a fair share of the time.
async fn tcp(url: &Url) -> io::Result<TcpStream> {
    let end = Instant::now() + CONNECT;
    let addresses: Vec<_> = tokio::net::lookup_host((url.host(), url.port())).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let share = end.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_what_the_server_says_of_it() {
        for (fields, seconds) in [
            (&[("cache-control", "public, max-age=600")][..], Some(600)),
            (&[("cache-control", "Max-Age=\"60\"")], Some(60)),
            (&[("cache-control", "max-age=600"), ("age", "200")], Some(400)),
            (&[("cache-control", "max-age=600"), ("age", "900")], Some(0)),
            (
                &[("cache-control", "max-age=600"), ("cache-control", "no-cache")],
                Some(0),
            ),
            (&[("cache-control", "no-store")], Some(0)),
            (&[("cache-control", "max-age=never")], None),
            (&[("cache-control", "max-age=-5")], None),
            (&[("cache-control", "s-maxage=5, private")], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(fresh_for(&headers), seconds.map(Duration::from_secs), "{fields:?}");
        }
    }
}
