//! One exchange: a turn, a server, a connection, the request out, the response's head in.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use http::header::{HOST, HeaderMap, UPGRADE};
use http::{Method, Request, Response, Uri};
use http_body::Body as _;
use tokio::time::{Instant, sleep_until};

use super::balance::{Chosen, Order};
use super::body::{Outgoing, Progress};
use super::connection::{Cause, Connection, Origin};
use super::error::{Error, Kind};
use super::limit::{Turn, Visit};
use super::{Body, Peer, RequestBody, Upstream};

impl Upstream {
    /// Sends a request to one of the servers and waits for the response's head.
    ///
    /// The request has an origin-form target and a Host; without a Host it gets the server's own. Its hop-by-hop headers
    /// are gone already. Given up when the head has not come `response_timeout` after the request was sent: while its
    /// body moves, the time begins anew with each piece. Interim responses are consumed.
    ///
    /// A request is sent again, at most `retries` times and to the next server where there is one, when sending it again is
    /// safe: if no server has seen it (it could not be connected to, or says itself that it did nothing with it), or if it
    /// is idempotent (RFC 9110 section 9.2.2), has no body, and the connection broke before any byte of an answer. On top of
    /// that, one that finds its pooled connection dead is sent over a fresh one, and one that was sent to find out about a
    /// server that had failed goes on to the next.
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
        let mut retries = settings.retries;
        let turn_number = match self.peers.len() {
            0 | 1 => 0,
            _ => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        let mut order = Order::new(settings.balance, &self.peers, turn_number, client_key);
        let mut next = order
            .next(settings.connect_timeout)
            .map(|chosen| (chosen, Origin::Pool));
        let mut last = None;
        while let Some((chosen, wanted)) = next {
            if host_of_peer {
                request.headers_mut().insert(HOST, chosen.peer.host());
            }
            let attempt = Attempt {
                chosen,
                wanted,
                may_repeat: retries > 0 || chosen.probing,
            };
            let (error, again) = match self.try_peer(attempt, request, turn, overdue.as_mut()).await {
                Outcome::Answered(response) => return Ok(response),
                Outcome::Failed(error) => return Err(error),
                Outcome::NotTaken(back, error, again) => {
                    tracing::debug!(upstream = settings.name, %error, "a server did not take a request");
                    (request, turn) = *back;
                    (error, again)
                }
            };
            last = Some(error);
            match (retries.checked_sub(1), chosen.probing) {
                (_, true) => {}
                (Some(left), false) => retries = left,
                (None, false) => break,
            }
            let other = order
                .next(settings.connect_timeout)
                .map(|chosen| (chosen, Origin::Pool));
            next = other.or(again.map(|origin| {
                let probing = false;
                (Chosen { probing, ..chosen }, origin)
            }));
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Connect, false, format!("{} has no server", settings.name))))
    }

    /// The exchange with one peer: on a connection of the pool, and if that turns out to be dead, on a fresh one.
    async fn try_peer<B: RequestBody, D: Future<Output = ()>>(
        &self,
        attempt: Attempt<'_>,
        mut request: Request<Outgoing<B>>,
        turn: Turn,
        mut overdue: Pin<&mut D>,
    ) -> Outcome<B> {
        let Chosen { peer, probing } = attempt.chosen;
        let (health, who) = (peer.health(), peer.named(&self.settings.name));
        let visit = Visit::new(peer.clone());
        let mut wanted = attempt.wanted;
        // Nobody's Upgrade gets here by itself: it is hop-by-hop, and only written where a switch is wanted.
        let switch = request.headers().contains_key(UPGRADE);
        loop {
            let obtained = Connection::obtain(peer, wanted, switch, self.settings.connect_timeout).await;
            let (connection, origin) = match obtained {
                Ok(obtained) => obtained,
                Err(error) => {
                    health.unreachable(probing, who, &error);
                    return Outcome::NotTaken(Box::new((request, turn)), error, None);
                }
            };
            if origin == Origin::Fresh {
                health.connected(who);
            }
            if let Err(error) = connection.fit(&mut request, peer) {
                return Outcome::Failed(error);
            }
            let progress = request.body().progress();
            let spare = match attempt.may_repeat {
                true => Spare::of(&request, &connection),
                false => None,
            };
            let refused = match before(connection.exchange(request), overdue.as_mut()).await {
                Some(Ok(response)) => {
                    health.answered(who);
                    return Outcome::Answered(response.map(|incoming| Body::new(incoming, visit, turn)));
                }
                Some(Err(refused)) => refused,
                None => return Outcome::Failed(self.timeout(peer)),
            };
            if let Some(back) = refused.back {
                // A pooled connection that broke in the very moment of its use says nothing about the server.
                if (wanted, origin) == (Origin::Pool, Origin::Pool) {
                    (request, wanted) = (*back, Origin::Fresh);
                    continue;
                }
                let error = match refused.unseen {
                    true => Error::new(Kind::Connect, false, format!("{peer} closed a fresh connection"))
                        .caused_by(refused.cause),
                    false => failure(peer, refused.cause, progress.as_deref()),
                };
                health.broke(probing, who, &error);
                return match refused.unseen || attempt.may_repeat {
                    true => Outcome::NotTaken(Box::new((*back, turn)), error, None),
                    false => Outcome::Failed(error),
                };
            }
            let declined = refused.cause.is_refusal();
            let error = failure(peer, refused.cause, progress.as_deref());
            let silent = error.kind == Kind::Broken && !declined && !refused.heard;
            if silent && origin == Origin::Fresh {
                health.broke(probing, who, &error);
            }
            return match spare.filter(|spare| declined || (silent && spare.idempotent)) {
                Some(spare) => {
                    let again = last_resort(origin, declined);
                    Outcome::NotTaken(Box::new((spare.request(), turn)), error, again)
                }
                None => Outcome::Failed(error),
            };
        }
    }

    fn timeout(&self, peer: &Peer) -> Error {
        let limit = self.settings.response_timeout;
        let context = format!("{peer} sent no response head within {limit:?} (response_timeout)");
        Error::new(Kind::Timeout, true, context)
    }
}

/// One way to send a request.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    chosen: Chosen<'a>,
    wanted: Origin,
    /// Whether another one may follow.
    may_repeat: bool,
}

/// What came of one peer.
enum Outcome<B: RequestBody> {
    Answered(Response<Body<B>>),
    Failed(Error),
    /// The request may be sent again: here it is. Boxed, for it is large and rare. If no other server is left, this one may
    /// get it once more, over such a connection.
    NotTaken(Box<(Request<Outgoing<B>>, Turn)>, Error, Option<Origin>),
}

/// What is needed to send a request without a body once more over HTTP/2, where nothing gives it back.
struct Spare {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// Whether it may be sent again although a server may have acted on it.
    idempotent: bool,
}

impl Spare {
    /// None where it could never be used, or is given back.
    fn of<B: RequestBody>(request: &Request<Outgoing<B>>, connection: &Connection<B>) -> Option<Self> {
        let idempotent = request.method().is_idempotent();
        let of_use = connection.is_http2() && request.body().is_end_stream();
        of_use.then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            idempotent,
        })
    }

    fn request<B: RequestBody>(self) -> Request<Outgoing<B>> {
        let mut request = Request::new(Outgoing::none());
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// Over which connection a request may go to the same server once more, if there is no other: a pooled connection may just
/// have been about to be closed, and a server that says that it refuses a request is alive.
fn last_resort(origin: Origin, refused: bool) -> Option<Origin> {
    match origin {
        Origin::Pool if !refused => Some(Origin::Fresh),
        Origin::Pool | Origin::Fresh => refused.then_some(Origin::Pool),
    }
}

fn failure(peer: &Peer, error: Cause, progress: Option<&Progress>) -> Error {
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
