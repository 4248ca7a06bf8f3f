//! One connection to a peer, on which one exchange is made.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::JoinHandle;

use super::body::Outgoing;
use super::connect::{Dialed, dial, dial_http1};
use super::error::{Error, Kind};
use super::io::Io;
use super::peer::Speaks;
use super::pool::{self, Attempt};
use super::{Peer, RequestBody, convert};

/// The head of a response may be this long.
const HEAD_AT_MOST: usize = 64 * 1024;
const HEAD_LIST_AT_MOST: u32 = 64 * 1024;
/// What hyper buffers of a connection in one direction, and so the longest single read.
const BUFFER_AT_MOST: usize = 128 * 1024;
/// What one slow client can leave lying of an answer over HTTP/2 …
const STREAM_WINDOW: u32 = 256 * 1024;
/// … and how many such clients it takes (128) before the connection stands still for all.
const CONNECTION_WINDOW: u32 = 128 * STREAM_WINDOW;
/// An HTTP/2 connection with streams on it is asked for a sign of life this often, and given up after as long again: a
/// lost one would otherwise swallow every request until its deadline.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// A connection, or a share of one.
pub(super) enum Connection<B: RequestBody> {
    /// Ours alone until the exchange has ended.
    Http1(Http1<B>),
    /// A share of the one connection.
    Http2 {
        sender: http2::SendRequest<Outgoing<B>>,
        /// Tells the pool that the connection is in use.
        _lease: Arc<()>,
    },
}

/// A connection of HTTP/1.1.
pub(super) struct Http1<B: RequestBody> {
    pub(super) sender: http1::SendRequest<Outgoing<B>>,
    /// Drives the connection; ends by itself when the sender is dropped between two exchanges.
    driver: JoinHandle<()>,
}

/// Where a connection came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It waited in the pool, and may have died there.
    Pool,
    /// It was made for this request.
    Fresh,
}

impl<B: RequestBody> Connection<B> {
    /// A connection from the pool (unless a fresh one is wanted), or a new one.
    pub(super) async fn obtain(
        peer: &Arc<Peer>,
        wanted: Origin,
        switch: bool,
        connect_timeout: Duration,
    ) -> Result<(Self, Origin), Error> {
        if switch && peer.speaks() != Speaks::Http1 {
            return Ok((Self::connect_to_switch(peer, connect_timeout).await?, Origin::Fresh));
        }
        let spare = match (wanted, peer.speaks()) {
            (Origin::Fresh, Speaks::Http1) => None,
            // There the pool gives no connection that is known to be dead.
            (Origin::Fresh, Speaks::Http2 | Speaks::Unknown) | (Origin::Pool, _) => pool::checkout(peer),
        };
        match spare {
            Some(connection) => Ok((connection, Origin::Pool)),
            None => Ok((Self::make(peer, connect_timeout).await?, Origin::Fresh)),
        }
    }

    /// Makes a connection. Where it may become a shared one, only one is made at a time.
    async fn make(peer: &Arc<Peer>, connect_timeout: Duration) -> Result<Self, Error> {
        loop {
            if peer.speaks() == Speaks::Http1 {
                return Self::connect(peer, connect_timeout).await;
            }
            if let Some(connection) = pool::checkout(peer) {
                return Ok(connection);
            }
            match pool::attempt::<B>(peer) {
                Attempt::Lead(others) => {
                    let made = Self::connect(peer, connect_timeout).await;
                    if let Err(error) = &made {
                        let _ = others.send(Some(error.clone()));
                    }
                    return made;
                }
                Attempt::Follow(mut attempt) => {
                    // An error here means that the one who led is done or has gone away: look again.
                    if let Ok(outcome) = attempt.wait_for(Option::is_some).await
                        && let Some(error) = outcome.as_ref()
                    {
                        return Err(error.clone());
                    }
                }
            }
        }
    }

    /// A connection whose protocol can be switched, which is one of HTTP/1.1, to a peer that would rather speak HTTP/2 or
    /// was never asked.
    async fn connect_to_switch(peer: &Arc<Peer>, connect_timeout: Duration) -> Result<Self, Error> {
        let made = async {
            let io = dial_http1(peer, connect_timeout).await?;
            let made = shake_hands_1(io).await;
            made.map_err(|error| Error::new(Kind::Connect, false, format!("{peer} cannot be used")).caused_by(error))
        };
        tokio::time::timeout(connect_timeout, made).await.unwrap_or_else(|_| {
            let context = format!("{peer}: no connection within {connect_timeout:?} (connect_timeout)");
            Err(Error::new(Kind::Timeout, false, context))
        })
    }

    async fn connect(peer: &Arc<Peer>, connect_timeout: Duration) -> Result<Self, Error> {
        let made = async {
            let Dialed { io, http2 } = dial(peer, connect_timeout).await?;
            peer.found_to_speak_http2(http2);
            let made = if http2 {
                shake_hands_2(peer, io).await
            } else {
                shake_hands_1(io).await
            };
            made.map_err(|error| Error::new(Kind::Connect, false, format!("{peer} cannot be used")).caused_by(error))
        };
        tokio::time::timeout(connect_timeout, made).await.unwrap_or_else(|_| {
            let context = format!("{peer}: no connection within {connect_timeout:?} (connect_timeout)");
            Err(Error::new(Kind::Timeout, false, context))
        })
    }

    /// Sends the request and waits for the response's head. An error with the request in it: nobody has seen it.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Outgoing<B>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing<B>>>> {
        match self {
            Self::Http1(connection) => connection.sender.try_send_request(request).await,
            Self::Http2 { sender, .. } => sender.try_send_request(request).await,
        }
    }

    /// Makes the request fit for this connection.
    pub(super) fn fit(&self, request: &mut Request<Outgoing<B>>, peer: &Peer) -> Result<(), Error> {
        match self {
            Self::Http1(_) => convert::to_http1(request),
            Self::Http2 { .. } => convert::to_http2(request, peer.server().protocol),
        }
        .map_err(|cause| Error::new(Kind::Protocol, false, cause))
    }

    /// Ends an exchange whose response was read to its end. An HTTP/1.1 connection is ready by then if, and only if, the
    /// request was sent to its end too and both sides want to go on; one that is not must never be used again, for the
    /// rest of the request would stand in front of the next one.
    pub(super) fn release(self, peer: &Arc<Peer>) {
        match self {
            Self::Http1(connection) if connection.sender.is_ready() => pool::give_back(peer, connection),
            // The driver would go on sending: stop it, so that the client's upload ends too.
            Self::Http1(connection) => connection.driver.abort(),
            Self::Http2 { .. } => {}
        }
    }
}

async fn shake_hands_1<B: RequestBody>(io: Io) -> hyper::Result<Connection<B>> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER_AT_MOST)
        .max_header_size(HEAD_AT_MOST)
        .handshake::<_, Outgoing<B>>(TokioIo::new(io))
        .await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an upstream ended badly");
        }
    });
    Ok(Connection::Http1(Http1 { sender, driver }))
}

async fn shake_hands_2<B: RequestBody>(peer: &Arc<Peer>, io: Io) -> hyper::Result<Connection<B>> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD_LIST_AT_MOST)
        .keep_alive_interval(SIGN_OF_LIFE)
        .keep_alive_timeout(SIGN_OF_LIFE)
        .handshake::<_, Outgoing<B>>(TokioIo::new(io))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to an upstream ended badly");
        }
    });
    Ok(pool::share(peer, sender))
}
