//! One connection to a peer, on which one exchange is made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::body::{Incoming, Outgoing};
use super::connect::{Dialed, dial, dial_http1};
use super::error::{Error, Kind};
use super::http1;
use super::io::Io;
use super::peer::Speaks;
use super::pool::{self, Attempt};
use super::{Peer, RequestBody, convert};

/// The head of a response over HTTP/2 may be this long.
const HEAD_LIST_AT_MOST: u32 = 64 * 1024;
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
    Http1(http1::Connection),
    /// A share of the one connection.
    Http2 {
        sender: http2::SendRequest<Outgoing<B>>,
        /// Tells the pool that the connection is in use.
        _lease: Arc<()>,
    },
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
            let dialed = dial_http1(peer).await?;
            Ok(Self::Http1(http1::Connection::new(dialed.io, dialed.address)))
        };
        tokio::time::timeout(connect_timeout, made).await.unwrap_or_else(|_| {
            let context = format!("{peer}: no connection within {connect_timeout:?} (connect_timeout)");
            Err(Error::new(Kind::Timeout, false, context))
        })
    }

    async fn connect(peer: &Arc<Peer>, connect_timeout: Duration) -> Result<Self, Error> {
        let made = async {
            let Dialed { io, http2, address } = dial(peer).await?;
            peer.found_to_speak_http2(http2);
            if !http2 {
                return Ok(Self::Http1(http1::Connection::new(io, address)));
            }
            shake_hands_2(peer, io, address)
                .await
                .map_err(|error| Error::new(Kind::Connect, false, format!("{peer} cannot be used")).caused_by(error))
        };
        tokio::time::timeout(connect_timeout, made).await.unwrap_or_else(|_| {
            let context = format!("{peer}: no connection within {connect_timeout:?} (connect_timeout)");
            Err(Error::new(Kind::Timeout, false, context))
        })
    }

    /// Sends the request and waits for the response's head. An error with the request in it: it may be sent again.
    pub(super) async fn exchange(self, request: Request<Outgoing<B>>) -> Result<Response<Incoming<B>>, Refused<B>> {
        match self {
            Self::Http1(connection) => match connection.exchange(request).await {
                Ok(response) => Ok(response.map(|exchange| Incoming::Http1(Box::new(exchange)))),
                Err(refused) => Err(Refused {
                    cause: Cause::Http1(refused.cause),
                    back: refused.back,
                    unseen: refused.unseen,
                    heard: refused.heard,
                }),
            },
            Self::Http2 { mut sender, _lease } => match sender.try_send_request(request).await {
                Ok(response) => Ok(response.map(|body| Incoming::Http2 { body, _lease })),
                Err(mut error) => {
                    let back = error.take_message().map(Box::new);
                    Err(Refused {
                        unseen: back.is_some(),
                        back,
                        heard: false,
                        cause: Cause::Http2(error.into_error()),
                    })
                }
            },
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2 { .. } => true,
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
}

/// An exchange that came to nothing.
pub(super) struct Refused<B: RequestBody> {
    pub(super) cause: Cause,
    /// The request, if it may be sent again.
    pub(super) back: Option<Box<Request<Outgoing<B>>>>,
    /// Whether no server can have seen it.
    pub(super) unseen: bool,
    /// Whether a byte of an answer has come, as far as that can be told: of HTTP/2, where the bytes of all exchanges are
    /// mixed, only a whole head tells.
    pub(super) heard: bool,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error(transparent)]
    Http1(http1::Cause),
    #[error(transparent)]
    Http2(hyper::Error),
}

impl Cause {
    /// Whether what came was not to be understood.
    pub(super) fn is_invalid(&self) -> bool {
        match self {
            Self::Http1(cause) => cause.is_invalid(),
            Self::Http2(error) => error.is_parse(),
        }
    }

    /// Whether the server says that it did nothing with the request: a refused stream (RFC 9113 section 8.7), or one above
    /// the last that it deals with before it goes away (section 6.8).
    pub(super) fn is_refusal(&self) -> bool {
        let Self::Http2(error) = self else { return false };
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
                return error.is_remote() && (refused || error.is_go_away());
            }
            cause = error.source();
        }
        false
    }

    /// Whether the request's own body was the reason.
    pub(super) fn is_request_body(&self) -> bool {
        match self {
            Self::Http1(cause) => cause.is_request_body(),
            Self::Http2(_) => false,
        }
    }
}

async fn shake_hands_2<B: RequestBody>(
    peer: &Arc<Peer>,
    io: Io,
    address: Option<SocketAddr>,
) -> hyper::Result<Connection<B>> {
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
    Ok(pool::share(peer, sender, address))
}
