//! A request in the form that the version of HTTP wants.
//!
//! Both ways can be taken one after the other, for a request that one connection did not take may go to another one.

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Request, Uri, Version};

use super::Protocol;

/// Headers that say something about an HTTP/1.1 connection and must not be sent over HTTP/2 (RFC 9113 section 8.2.2).
const OF_CONNECTIONS: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Origin-form (RFC 9112 section 3.2.1), the authority in Host.
pub(super) fn to_http1<B>(request: &mut Request<B>) -> Result<(), &'static str> {
    *request.version_mut() = Version::HTTP_11;
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| "the authority cannot be written")?;
        request.headers_mut().entry(HOST).or_insert(host);
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path(request.uri()));
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| "the target cannot be written")?;
    }
    Ok(())
}

/// Scheme and authority in the URI (RFC 9113 section 8.3.1), nothing about a connection.
pub(super) fn to_http2<B>(request: &mut Request<B>, protocol: Protocol) -> Result<(), &'static str> {
    *request.version_mut() = Version::HTTP_2;
    for name in OF_CONNECTIONS {
        request.headers_mut().remove(name);
    }
    if let Some(host) = request.headers_mut().remove(HOST) {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(match protocol {
            Protocol::Http | Protocol::H2c => Scheme::HTTP,
            Protocol::Https => Scheme::HTTPS,
        });
        parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| "Host is no authority")?);
        parts.path_and_query = Some(path(request.uri()));
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| "the target cannot be written")?;
    }
    Ok(())
}

fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}
