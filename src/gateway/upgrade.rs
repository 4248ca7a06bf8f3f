//! Requests that ask for another protocol: how a connection asks for one, and where the tunnel then runs.

use http::request::Parts;
use http::{Method, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::Connection;
use crate::codes::Code;
use crate::headers::Sifted;
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
