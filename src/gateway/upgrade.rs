//! Requests that ask for another protocol: how a connection asks for one, and where the tunnel then runs.

use http::request::Parts;
use http::{HeaderValue, Method, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{Client, Connection, Snapshot};
use crate::codes::Code;
use crate::headers::Sifted;
use crate::principal::{CredentialKind, Person};
use crate::problem::Problem;
use crate::proxy::{Tunnel, Upgrade};

/// Reads an extended CONNECT (RFC 8441 section 4). It is admitted as what it stands for, the GET of a WebSocket's handshake.
pub(super) fn extended_connect(parts: &mut Parts) -> Result<Option<Upgrade>, Problem> {
    if parts.method != Method::CONNECT {
        return Ok(None);
    }
    let Some(protocol) = parts.extensions.get::<Protocol>() else {
        return Ok(None);
    };
    if protocol.as_str() != "websocket" {
        return Err(Problem::new(
            Code::NotImplemented,
            "Of all protocols over a stream of HTTP/2, the gateway knows websocket.",
        ));
    }
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| Problem::new(Code::Internal, "No random bytes.").because(error))?;
    parts.method = Method::GET;
    Ok(Upgrade::websocket_over_http2(nonce))
}

/// What a request of HTTP/1.1 asks to switch to. One with a body asks for nothing: what stands behind it is a request.
pub(super) fn asked(parts: &Parts, sifted: &Sifted, body: Option<&Incoming>) -> Option<Upgrade> {
    let field = sifted.upgrade.as_ref()?;
    let bodiless = body.is_some_and(Incoming::is_end_stream);
    (parts.version == Version::HTTP_11 && bodiless)
        .then(|| Upgrade::asked(field))
        .flatten()
}

/// A browser lets every page open a WebSocket to every host and sends cookies along: whoever is known by a cookie comes from
/// a page of the same origin, or of one that is listed.
pub(super) fn check_origin(
    person: &Person,
    parts: &Parts,
    client: &Client,
    authority: Option<&HeaderValue>,
    snapshot: &Snapshot,
) -> Result<(), Problem> {
    let by_cookie = match person.credential {
        CredentialKind::Session => true,
        CredentialKind::Bearer | CredentialKind::ExternalBearer | CredentialKind::ApiKey | CredentialKind::Ticket => {
            false
        }
    };
    let origin = parts.headers.get(header::ORIGIN);
    let listed = |origin: &HeaderValue| snapshot.cors.lists(origin);
    if !by_cookie || is_same_origin(parts, client.secure, authority) || origin.is_some_and(listed) {
        return Ok(());
    }
    Err(Problem::new(
        Code::CrossSiteRequest,
        "A page of another site asked for this with the browser's cookie.",
    ))
}

fn is_same_origin(parts: &Parts, secure: bool, authority: Option<&HeaderValue>) -> bool {
    let site = parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if matches!(site, Some(b"same-origin" | b"none")) {
        return true;
    }
    let scheme: &[u8] = if secure { b"https://" } else { b"http://" };
    let origin = parts.headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    match (origin.and_then(|origin| origin.strip_prefix(scheme)), authority) {
        (Some(host), Some(authority)) => host.eq_ignore_ascii_case(authority.as_bytes()),
        (None, _) | (_, None) => false,
    }
}

impl Connection {
    /// Runs a tunnel: on HTTP/1.1 it takes the whole connection once the answer is written, on HTTP/2 the one stream.
    pub(super) fn run_tunnel(&self, tunnel: Tunnel, stream: Option<OnUpgrade>) {
        let Some(stream) = stream.filter(|_| self.is_http2()) else {
            self.offer_tunnel(tunnel);
            return;
        };
        // The worker does not end before the exchange is gone from its registry, and so waits for this task.
        tokio::spawn(async move {
            let exchange = std::sync::Arc::clone(tunnel.exchange());
            // A stream that is reset before its answer was sent never becomes a tunnel.
            if let Ok(Ok(stream)) = exchange.entry().watch(stream).await {
                tunnel.run(TokioIo::new(stream)).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_page_of_the_same_origin_is_known_by_its_origin() {
        let authority = HeaderValue::from_static("app.example.com");
        for (name, value, secure, expected) in [
            ("origin", "https://app.example.com", true, true),
            ("origin", "https://APP.example.com", true, true),
            ("origin", "http://app.example.com", true, false),
            ("origin", "https://app.example.com:8443", true, false),
            ("origin", "https://app.example.com.evil.test", true, false),
            ("origin", "null", true, false),
            ("sec-fetch-site", "same-origin", true, true),
            ("sec-fetch-site", "same-site", true, false),
            ("accept", "*/*", true, false),
        ] {
            let (parts, ()) = Request::get("/").header(name, value).body(()).unwrap().into_parts();
            assert_eq!(
                is_same_origin(&parts, secure, Some(&authority)),
                expected,
                "{name}: {value}"
            );
        }
    }
}
