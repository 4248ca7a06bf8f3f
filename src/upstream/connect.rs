//! From a peer to a byte stream.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::error::{Error, Kind};
use super::io::{Io, Plain};
use super::resolve::Resolver;
use super::{Peer, Place, Protocol};
use crate::tls::{ALPN_H2, ALPN_HTTP_1_1, ClientTls};

/// A stream to a peer, and what is to be spoken on it.
pub(super) struct Dialed {
    pub(super) io: Io,
    pub(super) http2: bool,
}

/// Connects to a peer, with its TLS handshake. The caller bounds the whole; `patience` is divided over addresses here.
pub(super) async fn dial(peer: &Peer, patience: Duration) -> Result<Dialed, Error> {
    dial_as(peer, patience, false).await
}

/// The same where HTTP/1.1 is to be spoken, whatever the peer would rather speak.
pub(super) async fn dial_http1(peer: &Peer, patience: Duration) -> Result<Io, Error> {
    let Dialed { io, http2 } = dial_as(peer, patience, true).await?;
    match http2 {
        false => Ok(io),
        true => {
            let context = format!("{peer} speaks HTTP/2 alone, where no protocol can be switched");
            Err(Error::new(Kind::Protocol, false, context))
        }
    }
}

async fn dial_as(peer: &Peer, patience: Duration, http1: bool) -> Result<Dialed, Error> {
    let plain = match (&peer.server().place, peer.resolver()) {
        (Place::Unix(path), _) => unix(path).await,
        (Place::Tcp { .. }, Some(resolver)) => tcp(resolver, patience).await,
        // Peer::new makes one for each TCP place.
        (Place::Tcp { .. }, None) => Err(io::Error::other("nothing to resolve")),
    };
    let plain = plain.map_err(|error| refused(peer, error))?;
    match (peer.server().protocol, peer.tls()) {
        (Protocol::Http, _) => Ok(Dialed {
            io: Io::Plain(plain),
            http2: false,
        }),
        (Protocol::H2c, _) => Ok(Dialed {
            io: Io::Plain(plain),
            http2: true,
        }),
        (Protocol::Https, Some(tls)) => secure(peer, tls, plain, http1).await,
        (Protocol::Https, None) => Err(refused(peer, io::Error::other("no TLS settings"))),
    }
}

fn refused(peer: &Peer, error: io::Error) -> Error {
    Error::new(Kind::Connect, false, format!("{peer} cannot be connected to")).caused_by(error)
}

async fn unix(path: &Path) -> io::Result<Plain> {
    UnixStream::connect(path).await.map(Plain::Unix)
}

/// One address after the other, each with a fair share of the time that is left.
async fn tcp(resolver: &Resolver, patience: Duration) -> io::Result<Plain> {
    let end = Instant::now() + patience;
    let addresses = resolver.addresses().await?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses.iter() {
        let share = end.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                crate::net::keep_alive(&stream)?;
                return Ok(Plain::Tcp(stream));
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
        }
    }
    Err(last)
}

async fn secure(peer: &Peer, tls: &ClientTls, plain: Plain, http1: bool) -> Result<Dialed, Error> {
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
    })
}
