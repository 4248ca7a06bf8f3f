//! One exchange: a turn, a server, a connection, the request out, the response's head in.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{HOST, UPGRADE};
use http::{Request, Response, StatusCode};
use tokio::time::{Instant, sleep_until};

use super::body::{Outgoing, Progress};
use super::connection::{Connection, Origin};
use super::error::{Error, Kind};
use super::limit::{Turn, Visit};
use super::{Body, Peer, RequestBody, Upstream, balance};

impl Upstream {
    /// Sends a request to one of the servers and waits for the response's head.
    ///
    /// The request has an origin-form target and a Host; without a Host it gets the server's own. Its hop-by-hop headers
    /// are gone already. Given up when the head has not come `response_timeout` after the request was sent: while its
    /// body moves, the time begins anew with each piece. Interim responses are consumed.
    ///
    /// A request that no server has seen is sent again by itself: on a fresh connection if the pooled one was dead, to the
    /// next server (at most `retries` more) if one cannot be connected to. Nothing else is.
    ///
    /// `client_key` tells clients apart, for [`super::Balance::ClientHash`].
    pub async fn send<B: RequestBody>(&self, request: Request<B>, client_key: u64) -> Result<Response<Body<B>>, Error> {
        let request = request.map(Outgoing::new);
        let overdue = overdue(self.settings.response_timeout, request.body().progress());
        self.send_outgoing(request, client_key, overdue).await
    }

    /// As [`Upstream::send`], but given up when `overdue` completes, which is polled while the head is waited for: for
    /// callers that keep the deadlines of all exchanges in one place.
    pub async fn send_unless<B: RequestBody>(
        &self,
        request: Request<B>,
        client_key: u64,
        overdue: impl Future<Output = ()>,
    ) -> Result<Response<Body<B>>, Error> {
        self.send_outgoing(request.map(Outgoing::new), client_key, overdue)
            .await
    }

    async fn send_outgoing<B: RequestBody>(
        &self,
        mut request: Request<Outgoing<B>>,
        client_key: u64,
        overdue: impl Future<Output = ()>,
    ) -> Result<Response<Body<B>>, Error> {
        let settings = &self.settings;
        let mut turn = self.limit.turn(settings.queue_timeout, &settings.name).await?;
        let mut overdue = pin!(overdue);
        let host_of_peer = !request.headers().contains_key(HOST) && request.uri().authority().is_none();
        let attempts = usize::try_from(settings.retries)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let mut last = None;
        for peer in balance::order(settings.balance, &self.peers, &self.turn, client_key).take(attempts) {
            if host_of_peer {
                request.headers_mut().insert(HOST, peer.host());
            }
            match self.try_peer(peer, request, turn, overdue.as_mut()).await {
                Outcome::Answered(response) => return Ok(response),
                Outcome::Failed(error) => return Err(error),
                Outcome::NotTaken(back, error) => {
                    tracing::debug!(upstream = settings.name, %error, "a server did not take a request");
                    (request, turn) = *back;
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Connect, false, format!("{} has no server", settings.name))))
    }

    /// The exchange with one peer: on a connection of the pool, and if that turns out to be dead, on a fresh one.
    async fn try_peer<B: RequestBody, D: Future<Output = ()>>(
        &self,
        peer: &Arc<Peer>,
        mut request: Request<Outgoing<B>>,
        turn: Turn,
        mut overdue: Pin<&mut D>,
    ) -> Outcome<B> {
        let visit = Visit::new(peer.clone());
        let mut wanted = Origin::Pool;
        // Nobody's Upgrade gets here by itself: it is hop-by-hop, and only written where a switch is wanted.
        let switch = request.headers().contains_key(UPGRADE);
        loop {
            let obtained = Connection::obtain(peer, wanted, switch, self.settings.connect_timeout).await;
            let (mut connection, origin) = match obtained {
                Ok(obtained) => obtained,
                Err(error) => return Outcome::NotTaken(Box::new((request, turn)), error),
            };
            if let Err(error) = connection.fit(&mut request, peer) {
                return Outcome::Failed(error);
            }
            let progress = request.body().progress();
            let mut error = match before(connection.exchange(request), overdue.as_mut()).await {
                Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS && !switch => {
                    let context = format!("{peer} switched protocols without being asked to");
                    return Outcome::Failed(Error::new(Kind::Protocol, true, context));
                }
                Some(Ok(mut response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    let on_upgrade = hyper::upgrade::on(&mut response);
                    let switching = |incoming| Body::switching(incoming, connection, visit, turn, on_upgrade);
                    return Outcome::Answered(response.map(switching));
                }
                Some(Ok(response)) => {
                    return Outcome::Answered(response.map(|incoming| Body::new(incoming, connection, visit, turn)));
                }
                Some(Err(error)) => error,
                None => return Outcome::Failed(self.timeout(peer)),
            };
            let Some(back) = error.take_message() else {
                return Outcome::Failed(failure(peer, error.into_error(), progress.as_deref()));
            };
            if (wanted, origin) != (Origin::Pool, Origin::Pool) {
                let context = format!("{peer} closed a fresh connection");
                let error = Error::new(Kind::Connect, false, context).caused_by(error.into_error());
                return Outcome::NotTaken(Box::new((back, turn)), error);
            }
            (request, wanted) = (back, Origin::Fresh);
        }
    }

    fn timeout(&self, peer: &Peer) -> Error {
        let limit = self.settings.response_timeout;
        let context = format!("{peer} sent no response head within {limit:?} (response_timeout)");
        Error::new(Kind::Timeout, true, context)
    }
}

/// What came of one peer.
enum Outcome<B: RequestBody> {
    Answered(Response<Body<B>>),
    Failed(Error),
    /// No server has seen the request: here it is again. Boxed, for it is large and rare.
    NotTaken(Box<(Request<Outgoing<B>>, Turn)>, Error),
}

fn failure(peer: &Peer, error: hyper::Error, progress: Option<&Progress>) -> Error {
    match progress.and_then(Progress::failure) {
        Some(failure) => {
            Error::new(Kind::RequestBody, true, "the request's body failed").caused_by_shared(failure.clone())
        }
        None => Error::of_exchange(error, peer),
    }
}

/// Completes when the head is late. The clock starts when this is first polled, and anew with each piece of the request's
/// body: a long upload is no slow answer.
pub(super) async fn overdue(limit: Duration, progress: Option<Arc<Progress>>) {
    let mut end = Instant::now() + limit;
    loop {
        sleep_until(end).await;
        match progress.as_ref().map(|progress| progress.latest() + limit) {
            Some(later) if later > end => end = later,
            Some(_) | None => return,
        }
    }
}

/// What the future gives, or none if it is overdue before.
async fn before<F: Future, D: Future<Output = ()>>(future: F, mut overdue: Pin<&mut D>) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => overdue.as_mut().poll(cx).map(|()| None),
    })
    .await
}
