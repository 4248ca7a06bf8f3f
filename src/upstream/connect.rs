//! From a peer to a byte stream.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::error::{Error, Kind};
use super::io::{Io, Plain};
use super::resolve::Resolver;
use super::{Peer, Place, Protocol};
use crate::tls::{ALPN_H2, ALPN_HTTP_1_1, ClientTls};

/// How long one address has to itself before the next one is tried beside it (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// A stream to a peer, and what is to be spoken on it.
pub(super) struct Dialed {
    pub(super) io: Io,
    pub(super) http2: bool,
    /// Which address was connected to; none for what has no address.
    pub(super) address: Option<SocketAddr>,
}

/// Connects to a peer, with its TLS handshake. The caller bounds the whole.
pub(super) async fn dial(peer: &Peer) -> Result<Dialed, Error> {
    dial_as(peer, false).await
}

/// The same where HTTP/1.1 is to be spoken, whatever the peer would rather speak.
pub(super) async fn dial_http1(peer: &Peer) -> Result<Dialed, Error> {
    let dialed = dial_as(peer, true).await?;
    match dialed.http2 {
        false => Ok(dialed),
        true => {
            let context = format!("{peer} speaks HTTP/2 alone, where no protocol can be switched");
            Err(Error::new(Kind::Protocol, false, context))
        }
    }
}

async fn dial_as(peer: &Peer, http1: bool) -> Result<Dialed, Error> {
    let plain = match (&peer.server().place, peer.resolver()) {
        (Place::Unix(path), _) => unix(path).await,
        (Place::Tcp { .. }, Some(resolver)) => tcp(resolver, peer.next_address()).await,
        // Peer::new makes one for each TCP place.
        (Place::Tcp { .. }, None) => Err(io::Error::other("nothing to resolve")),
    };
    let plain = plain.map_err(|error| refused(peer, error))?;
    let address = match &plain {
        Plain::Tcp(stream) => stream.peer_addr().ok(),
        Plain::Unix(_) => None,
    };
    match (peer.server().protocol, peer.tls()) {
        (Protocol::Http, _) => Ok(Dialed {
            io: Io::Plain(plain),
            http2: false,
            address,
        }),
        (Protocol::H2c, _) => Ok(Dialed {
            io: Io::Plain(plain),
            http2: true,
            address,
        }),
        (Protocol::Https, Some(tls)) => secure(peer, tls, plain, address, http1).await,
        (Protocol::Https, None) => Err(refused(peer, io::Error::other("no TLS settings"))),
    }
}

fn refused(peer: &Peer, error: io::Error) -> Error {
    Error::new(Kind::Connect, false, format!("{peer} cannot be connected to")).caused_by(error)
}

async fn unix(path: &Path) -> io::Result<Plain> {
    UnixStream::connect(path).await.map(Plain::Unix)
}

/// To one of the addresses. Connections begin at each of them by turns, so that they are spread; one that does not answer at
/// once gets company by the next one, and the first that is connected is taken.
async fn tcp(resolver: &Resolver, turn: &AtomicUsize) -> io::Result<Plain> {
    let addresses = resolver.addresses().await?;
    let stream = match &*addresses {
        [address] => TcpStream::connect(address).await?,
        several => {
            let first = turn.fetch_add(1, Ordering::Relaxed) % several.len().max(1);
            let (before, after) = several.split_at(first);
            first_of(after.iter().chain(before).copied()).await?
        }
    };
    stream.set_nodelay(true)?;
    crate::net::keep_alive(&stream)?;
    Ok(Plain::Tcp(stream))
}

async fn first_of(mut addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    // What is still under way when one is connected ends with the set.
    let mut attempts = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let next = addresses.next();
        let more = next.is_some();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        }
        let ended = if more {
            tokio::time::timeout(HEAD_START, attempts.join_next()).await
        } else {
            Ok(attempts.join_next().await)
        };
        match ended {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => last = error,
            Ok(Some(Err(broken))) => last = io::Error::other(broken),
            Ok(None) if !more => return Err(last),
            Ok(None) | Err(_) => {}
        }
    }
}

async fn secure(
    peer: &Peer,
    tls: &ClientTls,
    plain: Plain,
    address: Option<SocketAddr>,
    http1: bool,
) -> Result<Dialed, Error> {
    let host = match &peer.server().place {
        Place::Tcp { host, .. } => host,
        Place::Unix(_) => "localhost",
    };
    let name = tls
        .server_name(host)
        .map_err(|error| Error::new(Kind::Connect, false, peer.to_string()).caused_by(error))?;
    let mut config = tls.config().clone();
    if http1 {
        Arc::make_mut(&mut config).alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    }
    let stream = TlsConnector::from(config).connect(name, plain).await.map_err(|error| {
        Error::new(Kind::Connect, false, format!("{peer}: the TLS handshake failed")).caused_by(error)
    })?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
    Ok(Dialed {
        io: Io::Tls(Box::new(stream)),
        http2,
        address,
    })
}
