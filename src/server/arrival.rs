//! What comes before the first request of a connection: who a proxy in front says it is, and the TLS handshake.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::acceptor::Seat;
use super::worker::Tools;
use crate::gateway::{ConnectionState, Secured};
use crate::registry::Entry;
use crate::route::Host;
use crate::telemetry::{ProxyHeaderResult, TlsResult};
use crate::tls::{ClientAuth, ServerTls};
use crate::wire::{Announced, LONGEST_PROXY_HEADER, ProxyHeader, proxy_header};

/// The ends of a connection, as far as they are known.
pub struct Ends {
    /// The other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Whether the other end may be a proxy whose forwarding headers count.
    pub may_be_proxy: bool,
}

/// Reads the header of the PROXY protocol, which only trusted proxies may send and every one of them must. `None`: there is
/// none to be believed, and the connection is to be closed.
pub async fn announced(
    stream: &mut TcpStream,
    ends: Ends,
    entry: &Entry,
    seat: &mut Seat,
    tools: &Tools,
) -> Option<Ends> {
    let gateway = &tools.gateway;
    let proxy = ends.peer;
    let result = if gateway.snapshot.load().trusted_proxies.contain(proxy.ip()) {
        match entry.watch(read_header(stream)).await {
            Ok(Ok(announced)) => Ok(seen(announced, ends)),
            Ok(Err(error)) => Err((ProxyHeaderResult::Malformed, error.to_string())),
            Err(_) => Err((ProxyHeaderResult::Timeout, "not in time".to_owned())),
        }
    } else {
        Err((ProxyHeaderResult::Untrusted, "not from a trusted proxy".to_owned()))
    };
    let result = result.and_then(|ends| match seat.is_for(ends.peer.ip()) {
        true => Ok(ends),
        false => Err((
            ProxyHeaderResult::OverLimit,
            format!("{} has too many connections", ends.peer.ip()),
        )),
    });
    match result {
        Ok(ends) => {
            gateway.metrics.proxy_header(ProxyHeaderResult::Ok);
            Some(ends)
        }
        Err((result, why)) => {
            gateway.metrics.proxy_header(result);
            tracing::debug!(peer = %proxy, why, "a connection without a good PROXY header was closed");
            None
        }
    }
}

/// Who does not say for whom it speaks is not believed when it says so in headers either: they may be anybody's.
fn seen(announced: Announced, ends: Ends) -> Ends {
    match announced {
        Announced::Nobody => Ends {
            may_be_proxy: false,
            ..ends
        },
        Announced::Between { source, destination } => Ends {
            peer: source,
            local: destination,
            may_be_proxy: true,
        },
    }
}

/// Takes the header and not one byte more: what follows is the client's.
async fn read_header(stream: &mut TcpStream) -> io::Result<Announced> {
    let malformed = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut buffer = vec![0; LONGEST_PROXY_HEADER];
    let mut taken = 0;
    loop {
        // Nothing is left to look into when a header that is too long was not found to be.
        let free = buffer.get_mut(taken..).filter(|free| !free.is_empty());
        let seen = stream.peek(free.ok_or_else(|| malformed("too long"))?).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = taken + seen;
        let (upto, found) = match proxy_header(buffer.get(..end).unwrap_or_default()) {
            ProxyHeader::Partial => (end, None),
            ProxyHeader::Complete(length, announced) => (length, Some(announced)),
            ProxyHeader::Malformed(why) => return Err(malformed(why)),
        };
        stream
            .read_exact(buffer.get_mut(taken..upto).unwrap_or_default())
            .await?;
        match found {
            Some(announced) => return Ok(announced),
            None => taken = upto,
        }
    }
}

/// The TLS handshake, under what the host that the client names asks for. `None`: it did not come about.
pub async fn handshake(
    stream: TcpStream,
    entry: &Entry,
    state: &ConnectionState,
    tools: &Tools,
) -> Option<(Box<TlsStream<TcpStream>>, Secured)> {
    let metrics = &tools.gateway.metrics;
    entry.watch(stream.readable()).await.ok()?.ok()?;
    state.handshake();
    match entry.watch(shake_hands(stream, tools)).await {
        Ok(Ok((stream, asked))) => {
            metrics.handshake(TlsResult::Ok);
            let session = stream.get_ref().1;
            let secured = Secured {
                name: session.server_name().and_then(host),
                asked,
                certificate: ServerTls::shown(session),
            };
            // It is large, and what is made of it would hold it at every step on the way.
            Some((Box::new(stream), secured))
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

async fn shake_hands(stream: TcpStream, tools: &Tools) -> io::Result<(TlsStream<TcpStream>, ClientAuth)> {
    let snapshot = tools.gateway.snapshot.load_full();
    let handshakes = snapshot.policy.handshakes();
    if !handshakes.ask() {
        let acceptor = TlsAcceptor::from(tools.gateway.tls.config(ClientAuth::None));
        return Ok((acceptor.accept(stream).await?, ClientAuth::None));
    }
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let asked = handshakes.of_name(hello.client_hello().server_name().and_then(host).as_ref());
    let stream = hello.into_stream(tools.gateway.tls.config(asked)).await?;
    Ok((stream, asked))
}

/// The name in a handshake as the host of a request: RFC 6066 section 3 knows no ports and no trailing dot, clients do.
fn host(name: &str) -> Option<Host<'static>> {
    Host::parse(name).ok().map(Host::into_owned)
}
