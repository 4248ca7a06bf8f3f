//! The way of a request, and nothing else: [`Gateway::handle`] is the function to read first.

mod address;
mod body;
mod client;
mod connection;
mod record;
mod rest;
mod snapshot;
mod worker;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;

use crate::admission::{Credentials, Destination, Permit, Question};
use crate::answer::{self, cors};
use crate::authn::{self, Authenticator, Outcome, Shown};
use crate::clock::Clock;
use crate::codes::Code;
use crate::endpoint;
use crate::headers::Sifted;
use crate::problem::Problem;
use crate::proxy::{self, Exchange, Outgoing};
use crate::route::{Host, Target};
use crate::telemetry::Metrics;

pub use body::Body;
pub use client::Client;
pub use connection::{Connection, ConnectionState, ConnectionView, Facts, Protocol};
use record::{Record, Seen};
pub use snapshot::Snapshot;

pub use worker::{RequestId, Worker};

/// What every worker shares: the configuration behind one pointer, and the handles beside it.
#[derive(Debug)]
pub struct Gateway {
    /// What requests see; one writer, the reload.
    pub snapshot: ArcSwap<Snapshot>,
    /// Verifies credentials.
    pub authenticator: Authenticator,
    /// What our own endpoints work with.
    pub services: endpoint::Services,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

impl Gateway {
    /// Answers a request. Whatever happens on the way, there is one exit: one answer, one line in the log, one set of
    /// figures.
    pub async fn handle(&self, request: Request<Incoming>, connection: &Arc<Connection>) -> Response<Body> {
        let began = Instant::now();
        let snapshot = self.snapshot.load_full();
        let (parts, body) = request.into_parts();
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let kept = |name, wanted: bool| wanted.then(|| parts.headers.get(name).cloned()).flatten();
        let host = kept(header::HOST, snapshot.access_log);
        let origin = kept(header::ORIGIN, !snapshot.cors.is_silent());
        let mut record = Record::default();
        let exchange = connection.begin();
        let mut message = Message {
            parts,
            body: Some(body),
        };
        let outcome = self
            .follow(&snapshot, &mut message, connection, &exchange, &mut record)
            .await;
        let (mut response, problem) = match outcome {
            Ok(response) => (response, None),
            Err(problem) => (Body::whole(answer::problem(&problem)), Some(problem)),
        };
        if let Body::Whole(_) = response.body() {
            snapshot.cors.apply(origin.as_ref(), response.headers_mut());
            let go_on = problem.as_ref().is_none_or(|problem| !problem.close) && rest::read(message, connection).await;
            rest::mark(&mut response, go_on, connection);
        }
        let seen = Seen {
            method: &method,
            uri: &uri,
            host: host.as_ref(),
            took: began.elapsed(),
        };
        self.tell(&snapshot, &record, &seen, &response, problem.as_ref(), connection);
        response
    }

    /// The steps, in order; each either goes on or says why not.
    async fn follow(
        &self,
        snapshot: &Arc<Snapshot>,
        message: &mut Message,
        connection: &Arc<Connection>,
        exchange: &Arc<Exchange>,
        record: &mut Record,
    ) -> Result<Response<Body>, Problem> {
        if let Some(violation) = connection.take_violation() {
            return Err(refused(violation.code, violation.detail).closing());
        }
        let parts = &mut message.parts;
        if parts.method == Method::CONNECT || parts.method == Method::TRACE {
            return Err(refused(
                Code::MethodNotAllowed,
                "The gateway does not serve this method.",
            ));
        }
        // Headers: one walk, before anything could trust them.
        let trusted = snapshot.trusted_proxies.contain(connection.peer().ip());
        let sifted = snapshot.reserved.sift(&mut parts.headers, trusted);
        let client = Client::of(connection, &sifted.forwarded, &snapshot.trusted_proxies);
        record.client = Some(client.address);
        record.id = Self::request_id(&sifted, connection);
        // Target: the canonical host and path, or a refusal once and for all.
        let authority = address::authority(parts)?;
        let host = authority.as_ref().map(address::host).transpose()?;
        if connection.protocol() == Protocol::Redirect {
            return client::redirect(parts, host.as_ref(), connection, &sifted).map(Body::whole);
        }
        let uri = parts.uri.clone();
        let target = address::target(&parts.method, &uri)?;
        record.preflight = asked_by_preflight(parts, &sifted, message.body.as_ref());
        // Admission: the one decision.
        let permit = self.admit(
            snapshot,
            parts,
            &sifted,
            host.as_ref(),
            &target,
            &client,
            connection,
            record,
        )?;
        match permit.destination() {
            Destination::Preflight => Ok(Body::whole(preflight(snapshot, parts))),
            Destination::Endpoint(index) => {
                record.endpoint = true;
                let (parts, body) = message.take()?;
                let asked = endpoint::Asked {
                    parts,
                    body,
                    client: client.address,
                    secure: client.secure,
                    body_within: snapshot.body_within,
                };
                // Boxed, for it is large, and no forwarded request has to make room for it.
                let serving = snapshot.endpoints.serve(*index, permit.proof(), asked, &self.services);
                Box::pin(serving).await.map(Body::whole)
            }
            Destination::Route(entry) => {
                let (parts, body) = message.take()?;
                let outgoing = self.outgoing(snapshot, parts, body, sifted, authority, &client, &permit, record);
                let upstream = entry.route.upstream.as_deref().unwrap_or_default();
                let upstream = snapshot
                    .upstreams
                    .get(upstream)
                    .ok_or_else(|| Problem::from(proxy::Error::NoUpstream(upstream.to_owned())))?;
                let exchange = Arc::clone(exchange);
                let response = proxy::forward(&permit, entry, upstream, outgoing, exchange, client.hint()).await?;
                Ok(response.map(Body::Relay))
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different fact of one request")]
    fn admit(
        &self,
        snapshot: &Snapshot,
        parts: &Parts,
        sifted: &Sifted,
        host: Option<&Host<'_>>,
        target: &Target<'_>,
        client: &Client,
        connection: &Connection,
        record: &mut Record,
    ) -> Result<Permit, Problem> {
        let asked = record.preflight.clone();
        let question = Question {
            host,
            target,
            method: asked.as_ref().unwrap_or(&parts.method),
            preflight: asked.is_some(),
            client: Some(client.address),
        };
        let mut known: Option<(Credentials, Outcome)> = None;
        let (decision, entry) = snapshot.policy.admit(&question, |credentials| {
            // The credential is looked at once, however many rules ask, but anew where others count.
            match &known {
                Some((counted, outcome)) if *counted == credentials => outcome.clone(),
                Some(_) | None => {
                    let outcome = self.authenticate(snapshot, sifted, credentials, connection);
                    known = Some((credentials, outcome.clone()));
                    outcome
                }
            }
        });
        record.route = entry;
        record.decided = true;
        match decision {
            Ok(permit) => {
                record.permitted = true;
                record.proof = permit.proof().cloned();
                Ok(permit)
            }
            Err(refusal) => {
                if let Some((_, Outcome::Known(proof))) = known {
                    record.proof = Some(proof);
                }
                Err(Problem::from(refusal))
            }
        }
    }

    fn authenticate(
        &self,
        snapshot: &Snapshot,
        sifted: &Sifted,
        count: Credentials,
        connection: &Connection,
    ) -> Outcome {
        let shown = if count.bearer {
            authn::shown(&sifted.authorization)
        } else {
            Shown::Nothing
        };
        let now = self.clock.unix_millis();
        connection.worker().remembered(|remembered| {
            self.authenticator.check(
                &shown,
                &snapshot.verifier,
                remembered,
                now,
                &self.metrics,
                connection.worker().index(),
            )
        })
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different fact of one request")]
    fn outgoing<'a>(
        &self,
        snapshot: &'a Snapshot,
        mut parts: Parts,
        body: Incoming,
        sifted: Sifted,
        authority: Option<HeaderValue>,
        client: &Client,
        permit: &Permit,
        record: &Record,
    ) -> Outgoing<'a> {
        // A preflight goes on without anybody's credentials, whatever the route says of tokens: nobody was asked for one.
        if record.preflight.is_some() {
            parts.headers.remove(header::AUTHORIZATION);
            parts.headers.remove(header::COOKIE);
        }
        let authorization_counted = permit.proof().is_some() || Self::is_ours(snapshot, &sifted);
        // Room for all that is added, made once.
        parts.headers.reserve(ADDED);
        client.tell(
            &mut parts.headers,
            authority.as_ref(),
            record.id.clone(),
            sifted.forwarded,
        );
        Outgoing {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
            authority,
            authorization_counted,
            cookie: sifted.cookie,
            content_length: sifted.content_length,
            te_trailers: sifted.te_trailers && parts.version == Version::HTTP_2,
            identity: &snapshot.identity,
            reserved: &snapshot.reserved,
        }
    }

    /// Whether the Authorization field holds a token that says it is ours or a trusted issuer's, although this route did not
    /// ask for it: good, expired or not to be judged yet, it is nothing that the backend should see.
    fn is_ours(snapshot: &Snapshot, sifted: &Sifted) -> bool {
        match authn::shown(&sifted.authorization) {
            Shown::Bearer(token) => snapshot.verifier.is_named_in(token.as_bytes()),
            // The field may be there once (RFC 9110 section 11.6.2). Of several, each may be ours, and which one a backend
            // would take is anybody's guess: none goes on.
            Shown::Several => true,
            Shown::Nothing | Shown::BrokenBearer | Shown::OtherScheme => false,
        }
    }

    /// The request's name: a trusted proxy's, or a new one.
    fn request_id(sifted: &Sifted, connection: &Connection) -> RequestId {
        let new = connection.worker().next_id();
        let sent = sifted.forwarded.request_id.as_ref();
        let good = |id: &&HeaderValue| (1..=128).contains(&id.len()) && id.to_str().is_ok();
        match sent.filter(good) {
            Some(id) => RequestId {
                id: Some(id.clone()),
                ..new
            },
            None => new,
        }
    }
}

/// A request while it is looked at; its body stays here until somebody takes it.
struct Message {
    parts: Parts,
    body: Option<Incoming>,
}

impl Message {
    /// Everything, for whoever answers the request.
    fn take(&mut self) -> Result<(Parts, Incoming), Problem> {
        let taken = || Problem::new(Code::Internal, "The request was answered twice.");
        let body = self.body.take().ok_or_else(taken)?;
        let parts = std::mem::replace(&mut self.parts, Request::new(()).into_parts().0);
        Ok((parts, body))
    }
}

/// A refusal before any rule was asked.
fn refused(code: Code, detail: &'static str) -> Problem {
    let mut problem = Problem::new(code, detail);
    if code == Code::MethodNotAllowed {
        problem.allow = Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_owned());
    }
    problem
}

/// The method that a preflight asks about. A preflight is OPTIONS with Origin and Access-Control-Request-Method, no body, no
/// Upgrade; any other OPTIONS is a request like all. The body itself is asked whether it is there: of the headers that would
/// say so, one was taken out as hop-by-hop, and HTTP/2 needs none.
fn asked_by_preflight(parts: &Parts, sifted: &Sifted, body: Option<&Incoming>) -> Option<Method> {
    let preflight = cors::is_preflight(&parts.method, &parts.headers)
        && sifted.upgrade.is_none()
        && body.is_none_or(http_body::Body::is_end_stream);
    let asked = preflight.then(|| parts.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD));
    asked
        .flatten()
        .and_then(|method| Method::from_bytes(method.as_bytes()).ok())
}

fn preflight(snapshot: &Snapshot, parts: &Parts) -> answer::Answer {
    let asked = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    snapshot.cors.preflight(parts.headers.get(header::ORIGIN), asked)
}

/// Headers that are added to a request on its way: the forwarding and the identity headers, at most.
const ADDED: usize = 12;

/// The names of the forwarding headers.
const FORWARDED: [HeaderName; 8] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
];
