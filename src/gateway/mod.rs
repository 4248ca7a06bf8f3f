//! The way of a request, and nothing else: [`Gateway::handle`] is the function to read first.

mod address;
mod body;
mod browsers;
mod client;
mod complaints;
mod connection;
mod credentials;
mod direction;
mod fields;
mod forward_auth;
mod methods;
mod record;
mod rest;
mod snapshot;
mod trial;
mod upgrade;
mod worker;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::admission::{Destination, Permit};
use crate::answer::{self, cors};
use crate::authn::{Authenticator, Resolver};
use crate::clock::Clock;
use crate::codes::Code;
use crate::endpoint;
use crate::headers::Sifted;
use crate::problem::Problem;
use crate::proxy::{self, Exchange, Forwarded, Outgoing};
use crate::route::Host;
use crate::session;
use crate::telemetry::Metrics;
use crate::tls::ServerTls;

pub use body::Body;
pub use client::Client;
use client::ConnectionValues;
pub use complaints::Complaints;
pub use connection::{Connection, ConnectionState, ConnectionView, Facts, Protocol, Secured};
use credentials::Asked;
use methods::{is_never_served, never_served, refused};
use record::{Record, Seen};
pub use snapshot::Snapshot;
pub use trial::{Shows, Trial, explain};

pub use worker::{RequestId, Worker};

/// What every worker shares: the configuration behind one pointer, and the handles beside it.
#[derive(Debug)]
pub struct Gateway {
    /// What requests see; one writer, the reload.
    pub snapshot: ArcSwap<Snapshot>,
    /// Verifies credentials.
    pub authenticator: Authenticator,
    /// Asks the store about those that memory cannot judge.
    pub resolver: Resolver,
    /// What our own endpoints work with.
    pub services: endpoint::Services,
    /// Judges the certificates of clients.
    pub tls: Arc<ServerTls>,
    /// What was said of late about proxies that are wired wrong.
    pub complaints: Complaints,
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
        let method = parts.method.clone();
        // Only what the log will ask for is kept.
        let uri = snapshot.access_log.then(|| parts.uri.clone());
        let kept = |name, wanted: bool| wanted.then(|| parts.headers.get(name).cloned()).flatten();
        let host = kept(header::HOST, snapshot.access_log);
        let trace = kept(TRACE, snapshot.access_log);
        let origin = kept(header::ORIGIN, !snapshot.cors.is_silent());
        let asked_headers = snapshot.cors.asked_of_any_answer(&method, &parts.headers);
        let mut record = Record::begun(began);
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
            Err(problem) => match record.question {
                Some(question) => (Self::refuse(question, &problem), Some(problem)),
                None => (
                    Body::whole(answer::problem_in(&problem, snapshot.dialect)),
                    Some(problem),
                ),
            },
        };
        if !matches!(response.body(), Body::Switched) {
            connection.stay_with_http();
        }
        if let Body::Whole(_) = response.body() {
            let told = || {
                connection
                    .refused_field("origin")
                    .and_then(|origin| HeaderValue::from_str(origin).ok())
            };
            let origin = origin.or_else(|| told().filter(|origin| record.is_stand_in && snapshot.cors.lists(origin)));
            snapshot.cors.apply(origin.as_ref(), response.headers_mut());
            if let Some(asked) = &asked_headers {
                snapshot.cors.allow_asked(asked, response.headers_mut());
            }
            let may_go_on = problem.as_ref().is_none_or(|problem| !problem.close);
            let go_on = match record.question {
                _ if connection.is_http2() => {
                    rest::read_behind(message.body);
                    true
                }
                // What stands behind its head may be the next question.
                Some(_) => may_go_on && rest::is_read(&message, connection),
                None => may_go_on && rest::read(message, connection).await,
            };
            rest::mark(&mut response, go_on, connection);
        }
        // A login or logout has just set its own: a renewed one must not undo that.
        let sets_its_own = |response: &Response<Body>| {
            matches!(response.body(), Body::Whole(_)) && response.headers().contains_key(header::SET_COOKIE)
        };
        if let Some(cookie) = record.cookie.take().filter(|_| !sets_its_own(&response)) {
            browsers::add_cookie(response.headers_mut(), cookie);
        }
        let seen = Seen {
            method: record.original.as_ref().map_or(&method, |original| &original.method),
            uri: uri.as_ref(),
            host: host.as_ref(),
            trace: trace.as_ref(),
            took: record.answered.unwrap_or_else(Instant::now).duration_since(began),
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
            record.is_stand_in = true;
            record.id = Self::refused_id(snapshot, connection);
            self.question_refused(snapshot, connection, record)?;
            return Err(refused(violation.code, violation.detail).closing());
        }
        let parts = &mut message.parts;
        if let Some(found) = forward_auth::found(snapshot, parts, connection, record) {
            let bodiless = message.body.as_ref().is_none_or(http_body::Body::is_end_stream);
            return self
                .question(snapshot, parts, found, bodiless, connection, record)
                .await;
        }
        if let Some(dialect) = forward_auth::strayed(snapshot, parts, connection) {
            return Err(self.misaddressed(snapshot, dialect, parts.uri.path(), connection, record));
        }
        fields::check_expectation(&parts.headers).map_err(Problem::closing)?;
        let extended = upgrade::extended_connect(parts)?;
        if is_never_served(&parts.method) {
            return Err(never_served(snapshot, parts));
        }
        if connection.is_http2() {
            fields::check(&parts.headers)?;
        }
        // Headers: one walk, before anything could trust them.
        let trusted = connection.is_from(&snapshot.trusted_proxies);
        let sifted = snapshot.reserved.sift(&mut parts.headers, trusted);
        if sifted.unheard {
            self.complaints
                .unbelieved(connection.peer().ip(), self.clock.unix_millis());
        }
        let client = Client::of(connection, &sifted.forwarded, &snapshot.trusted_proxies);
        record.client = Some((client.address, client.secure));
        record.id = Self::request_id(&sifted, connection);
        // Target: the canonical host and path, or a refusal once and for all.
        let authority = address::authority(parts)?;
        let host = authority.as_ref().map(address::host).transpose()?;
        if connection.protocol() == Protocol::Redirect {
            let led = client::redirect(parts, host.as_ref(), connection.redirect_port(), &sifted)?;
            record.told = Some(Box::new(client::led_to_https()));
            return Ok(Body::whole(led));
        }
        let certificate = self.certificate(connection);
        direction::check(&snapshot.policy, connection, host.as_ref(), certificate)?;
        let target = address::target(&parts.method, &parts.uri)?;
        if let Some(dialect) = snapshot.endpoints.resembles_question(&target) {
            return Err(self.misaddressed(snapshot, dialect, target.path(), connection, record));
        }
        let is_extended = extended.is_some();
        let upgrade = extended.or_else(|| upgrade::asked(parts, &sifted, message.body.as_ref()));
        let bodiless = message.body.as_ref().is_none_or(http_body::Body::is_end_stream);
        record.preflight = (sifted.upgrade.is_none() && bodiless)
            .then(|| asked_by_preflight(&parts.method, &parts.headers))
            .flatten();
        // Admission: the one decision.
        let asked = Asked {
            snapshot,
            parts,
            method: &parts.method,
            shown: credentials::shown(snapshot, &sifted.authorization),
            cookie: credentials::cookie(parts, &sifted, self.resolver.cookie_name()),
            ticket: parts.uri.query().and_then(session::ticket),
            cross_site: (sifted.cookie && credentials::may_harm(&parts.method, upgrade.is_some()))
                && credentials::is_cross_site(parts, named(&authority), Some(client.secure), &snapshot.cors),
            host: host.as_ref(),
            target: &target,
            client: Some(client.address),
            secure: client.secure,
            certificate: Some(certificate),
            is_question: false,
            connection,
        };
        let permit = self.admit_asking(&asked, record).await?;
        match permit.destination() {
            Destination::Preflight => Ok(Body::whole(preflight(snapshot, parts))),
            // Every 2xx would mean a tunnel (RFC 9110 section 9.3.6).
            Destination::Endpoint(_) if is_extended => {
                Err(Problem::new(Code::NotImplemented, "This address serves no WebSocket."))
            }
            Destination::Endpoint(index) => {
                record.endpoint = true;
                let cross_site = credentials::may_harm(&message.parts.method, false)
                    && credentials::is_cross_site(
                        &message.parts,
                        named(&authority),
                        Some(client.secure),
                        &snapshot.cors,
                    );
                let (parts, body) = message.take()?;
                let asked = endpoint::Asked {
                    parts,
                    body: rest::Lent::new(body, connection),
                    client: client.address,
                    secure: client.secure,
                    host: host.map(Host::into_owned),
                    cross_site,
                    body_within: snapshot.body_within,
                    verifier: Arc::clone(&snapshot.verifier),
                };
                // Boxed, for it is large, and no forwarded request has to make room for it.
                let serving = snapshot.endpoints.serve(*index, permit.proof(), asked, &self.services);
                let mut served = Box::pin(serving).await;
                record.served(&mut served);
                served.map(Body::whole)
            }
            Destination::Route(entry) => {
                record.forwarded = true;
                let body = message.take_body()?;
                let parts = &mut message.parts;
                let stream = parts.extensions.remove::<OnUpgrade>();
                let from = (connection.values(), &client);
                let mut outgoing = Self::outgoing(snapshot, parts, body, sifted, authority, from, &permit, record);
                outgoing.upgrade = upgrade;
                let upstream = entry.route.upstream.as_deref().unwrap_or_default();
                let upstream = snapshot
                    .upstreams
                    .get(upstream)
                    .ok_or_else(|| Problem::from(proxy::Error::NoUpstream(upstream.to_owned())))?;
                let exchange = Arc::clone(exchange);
                let sent = Instant::now();
                let answered = proxy::forward(&permit, entry, upstream, outgoing, exchange, client.hint()).await;
                let now = Instant::now();
                upstream
                    .series()
                    .exchange(connection.worker().index(), now.duration_since(sent));
                record.answered = Some(now);
                match answered? {
                    Forwarded::Answer(response) => Ok(response.map(Body::Relay)),
                    Forwarded::Switched(head, tunnel) => {
                        connection.run_tunnel(tunnel, stream);
                        Ok(head.map(|()| Body::Switched))
                    }
                }
            }
        }
    }

    /// Whether the client showed a certificate that counts now.
    fn certificate(&self, connection: &Connection) -> bool {
        let shown = connection.secured().and_then(|secured| secured.certificate.as_ref());
        shown.is_some_and(|certificate| self.tls.accepts(certificate))
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different fact of one request")]
    fn outgoing<'a, B>(
        snapshot: &'a Snapshot,
        parts: &mut Parts,
        body: B,
        sifted: Sifted,
        authority: Option<HeaderValue>,
        (own, client): (&ConnectionValues, &Client),
        permit: &Permit,
        record: &mut Record,
    ) -> Outgoing<'a, B> {
        // A preflight goes on without anybody's credentials, whatever the route says of tokens: nobody was asked for one.
        if record.preflight.is_some() {
            parts.headers.remove(header::AUTHORIZATION);
            parts.headers.remove(header::COOKIE);
        }
        let strip_authorization = credentials::strips_authorization(snapshot, &sifted, permit);
        let strip_ticket = parts.uri.query().is_some_and(|query| session::ticket(query).is_some());
        // Room for all that is added, made once.
        parts.headers.reserve(ADDED);
        let id = match snapshot.access_log {
            true => record.id.clone(),
            false => std::mem::take(&mut record.id),
        };
        client.tell(own, &mut parts.headers, authority.as_ref(), id, sifted.forwarded);
        // Taken one by one: the whole is large, and what is left of it is of no use.
        Outgoing {
            method: std::mem::take(&mut parts.method),
            uri: std::mem::take(&mut parts.uri),
            headers: std::mem::take(&mut parts.headers),
            body,
            authority,
            strip_authorization,
            strip_ticket,
            cookie: sifted.cookie,
            content_length: sifted.content_length,
            te_trailers: sifted.te_trailers && parts.version == Version::HTTP_2,
            upgrade: None,
            identity: &snapshot.identity,
            reserved: &snapshot.reserved,
        }
    }

    /// The same of one that broke a rule of HTTP/1, for the log.
    fn refused_id(snapshot: &Snapshot, connection: &Connection) -> RequestId {
        let trusted = snapshot.access_log && connection.is_from(&snapshot.trusted_proxies);
        let sent = trusted.then(|| connection.refused_field("x-request-id")).flatten();
        Self::named_by(sent.and_then(|id| HeaderValue::from_str(id).ok()).as_ref(), connection)
    }

    /// The request's name: a trusted proxy's, or a new one.
    fn request_id(sifted: &Sifted, connection: &Connection) -> RequestId {
        Self::named_by(sifted.forwarded.request_id.as_ref(), connection)
    }

    fn named_by(sent: Option<&HeaderValue>, connection: &Connection) -> RequestId {
        let new = connection.worker().next_id();
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
        let body = self.take_body()?;
        let parts = std::mem::replace(&mut self.parts, Request::new(()).into_parts().0);
        Ok((parts, body))
    }

    /// The body, for whoever takes what is needed of the rest.
    fn take_body(&mut self) -> Result<Incoming, Problem> {
        let taken = || Problem::new(Code::Internal, "The request was answered twice.");
        self.body.take().ok_or_else(taken)
    }
}

/// What the client names as host, as text; what is no text was refused as a host.
fn named(authority: &Option<HeaderValue>) -> Option<&str> {
    authority.as_ref().and_then(|authority| authority.to_str().ok())
}

/// The method that a preflight asks about. A preflight is OPTIONS with Origin and Access-Control-Request-Method, no body, no
/// Upgrade; any other OPTIONS is a request like all. The last two the caller looks at: the body itself is asked whether it is
/// there, for of the headers that would say so, one was taken out as hop-by-hop, and HTTP/2 needs none.
fn asked_by_preflight(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if !cors::is_preflight(method, headers) {
        return None;
    }
    let mut asked = headers.get_all(header::ACCESS_CONTROL_REQUEST_METHOD).iter();
    // Of two methods, nobody knows which one the backend is asked about.
    asked
        .next()
        .filter(|_| asked.next().is_none())
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
    TRACE,
];

/// The trace that a request belongs to.
const TRACE: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");
