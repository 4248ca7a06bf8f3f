//! The way of a question: another proxy asks whether a request of its own may pass. What is decided about is the original
//! request, by the same function and from the same memory as every other; of the question itself nothing counts but who asks.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response};

use super::complaints::Complaint;
use super::credentials::{self, Asked};
use super::{Body, Connection, Gateway, Protocol, Record, Snapshot, address, client, fields, record, upgrade};
use super::{asked_by_preflight, is_never_served, refused};
use crate::admission::{Destination, Permit, Refusal};
use crate::codes::Code;
use crate::endpoint::forward_auth::{self, Decision, Dialect, Head, Original};
use crate::headers::Sifted;
use crate::problem::Problem;
use crate::session;

/// A question, as far as its answer depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) dialect: Dialect,
    /// Whether the original request only reads.
    pub(super) reads: bool,
}

/// The endpoint that this is a question for, and how much of the target stands behind its path (`None`: it is addressed
/// wrongly). Not where everything is led to https.
pub(super) fn found(
    snapshot: &Snapshot,
    parts: &Parts,
    connection: &Connection,
    record: &mut Record,
) -> Option<(Dialect, Option<usize>)> {
    let forward_auth::Addressed { dialect, rest } =
        snapshot.endpoints.question(parts.uri.path_and_query()?.as_str())?;
    if connection.protocol() == Protocol::Redirect {
        return None;
    }
    record.question = Some(Question { dialect, reads: true });
    Some((dialect, rest.map(str::len)))
}

/// The dialect of a question that a proxy puts where none is answered.
pub(super) fn strayed(snapshot: &Snapshot, parts: &Parts, connection: &Connection) -> Option<Dialect> {
    let target = parts.uri.path_and_query()?.as_str();
    let is_asked = connection.protocol() != Protocol::Redirect && connection.is_from(&snapshot.trusted_proxies);
    is_asked
        .then(|| snapshot.endpoints.strayed(target, &parts.headers))
        .flatten()
}

impl Gateway {
    /// Answers a question whose target has this much behind the endpoint's path.
    pub(super) async fn question(
        &self,
        snapshot: &Snapshot,
        parts: &mut Parts,
        (dialect, length): (Dialect, Option<usize>),
        bodiless: bool,
        connection: &Connection,
        record: &mut Record,
    ) -> Result<Response<Body>, Problem> {
        // Until it is known which route it is about, it counts as one of our own URLs.
        let Some(length) = length else {
            return Err(self.misaddressed(snapshot, dialect, parts.uri.path(), connection, record));
        };
        (record.endpoint, record.decided) = (true, true);
        self.only_from_proxies(snapshot, dialect, connection)?;
        if connection.is_http2() {
            fields::check(&parts.headers)?;
        }
        if upgrade::extended_connect(parts)?.is_some() {
            // Every 2xx would mean a tunnel (RFC 9110 section 9.3.6).
            return Err(Problem::new(Code::NotImplemented, "This address serves no WebSocket."));
        }
        let parts = &*parts;
        let sifted = snapshot.reserved.look(&parts.headers, true);
        if snapshot.access_log {
            // Nobody but the log is told: whoever asks sends the request on itself.
            record.id = Self::request_id(&sifted, connection);
        }
        let client = client::walk(&sifted.forwarded.client, &snapshot.trusted_proxies);
        record.client = client.map(|client| (client, connection.is_secure()));
        let authority = address::authority(parts)?;
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let head = Head {
            method: &parts.method,
            authority: authority.as_ref().map(|host| host.to_str().unwrap_or("\u{fffd}")),
            rest: target
                .len()
                .checked_sub(length)
                .and_then(|at| target.get(at..))
                .unwrap_or_default(),
            headers: &parts.headers,
        };
        let original = dialect.read(&head).map_err(|fault| {
            let pages = snapshot.endpoints.places().prefix();
            let complaint = Complaint::Miswired(dialect, fault, pages, dialect.likely(&parts.headers));
            self.complaints
                .make(&complaint, connection.peer().ip(), self.clock.unix_millis());
            fault.problem()
        })?;
        record.asked_about(&original, snapshot.access_log);
        let context = Context {
            snapshot,
            parts,
            sifted: &sifted,
            client,
            bodiless,
            connection,
        };
        let decided = self.decide(&context, &original, record).await;
        if client.is_none() && record.route.as_ref().is_some_and(|entry| entry.asks_for_the_address()) {
            let complaint = Complaint::NoClient(dialect);
            self.complaints
                .make(&complaint, connection.peer().ip(), self.clock.unix_millis());
        }
        let permit = decided?;
        let values = permit.proof().map(|proof| proof.values.as_ref()).transpose();
        let values = values.map_err(|what| Problem::from(Refusal::NotRepresentable(*what)))?;
        let decision = Decision::Allowed {
            pass: &snapshot.pass,
            values,
        };
        Ok(Body::whole(forward_auth::answer(dialect, &decision)))
    }

    /// A question whose address means an endpoint to some reader and is not its own to the letter. No route answers it: whoever
    /// asks would take that for the decision.
    pub(super) fn misaddressed(
        &self,
        snapshot: &Snapshot,
        dialect: Dialect,
        path: &str,
        connection: &Connection,
        record: &mut Record,
    ) -> Problem {
        record.question = Some(Question { dialect, reads: true });
        (record.endpoint, record.decided) = (true, true);
        if let Err(problem) = self.only_from_proxies(snapshot, dialect, connection) {
            return problem;
        }
        let complaint = Complaint::Misaddressed(dialect, snapshot.endpoints.places().prefix(), path);
        self.complaints
            .make(&complaint, connection.peer().ip(), self.clock.unix_millis());
        forward_auth::addressed_wrongly()
    }

    /// Takes note of a question that broke a rule of HTTP/1: what is answered is the violation, in the dialect of who asks. Some
    /// proxies let a request pass where the answer is 5xx, and its method, for one, is their client's to choose.
    pub(super) fn question_refused(
        &self,
        snapshot: &Snapshot,
        connection: &Connection,
        record: &mut Record,
    ) -> Result<(), Problem> {
        let target = connection.refused_target();
        let absolute = http::Uri::try_from(target).ok().filter(|_| !target.starts_with('/'));
        let target = absolute
            .as_ref()
            .and_then(http::Uri::path_and_query)
            .map_or(target, http::uri::PathAndQuery::as_str);
        let Some(addressed) = snapshot.endpoints.question(target) else {
            return Ok(());
        };
        if connection.protocol() == Protocol::Redirect {
            return Ok(());
        }
        let dialect = addressed.dialect;
        record.question = Some(Question { dialect, reads: true });
        (record.endpoint, record.decided) = (true, true);
        self.only_from_proxies(snapshot, dialect, connection)
            .map_err(Problem::closing)
    }

    /// Only who may say where a client comes from may say what it asks for.
    fn only_from_proxies(&self, snapshot: &Snapshot, dialect: Dialect, connection: &Connection) -> Result<(), Problem> {
        if connection.is_from(&snapshot.trusted_proxies) {
            return Ok(());
        }
        let peer = connection.peer().ip().to_canonical();
        let complaint = Complaint::Stranger(dialect);
        self.complaints.make(&complaint, peer, self.clock.unix_millis());
        let problem = Problem::new(Code::UntrustedProxy, "Only proxies that are trusted may ask here.");
        Err(problem.because(format_args!("{peer} is not in trusted_proxies")))
    }

    /// Admission's decision about the original request.
    async fn decide(
        &self,
        context: &Context<'_>,
        original: &Original<'_>,
        record: &mut Record,
    ) -> Result<Permit, Problem> {
        let Context { snapshot, parts, .. } = *context;
        // What is asked about has been read; from here on it decides whose own place this is.
        record.endpoint = false;
        if is_never_served(&original.method) {
            return Err(refused(
                Code::MethodNotAllowed,
                "The gateway does not serve this method.",
            ));
        }
        let target = address::read_original(&original.method, original.target)?;
        let is_ours = snapshot.endpoints.question(original.target).is_some();
        if is_ours || snapshot.endpoints.resembles_question(&target).is_some() {
            // Behind the proxy that asks, nothing is served at our own place for its questions.
            return Err(Problem::from(Refusal::NotFound));
        }
        let upgrades = original.web_socket || asks_for_web_socket(original, parts, context.sifted);
        record.preflight = preflight(original, &parts.headers, context.bodiless);
        let asked = Asked {
            snapshot,
            parts,
            method: &original.method,
            shown: credentials::shown(snapshot, &context.sifted.authorization),
            cookie: credentials::cookie(parts, context.sifted, self.resolver.cookie_name()),
            ticket: target.query().and_then(session::ticket),
            cross_site: (context.sifted.cookie && credentials::may_harm(&original.method, upgrades))
                && credentials::is_cross_site(parts, Some(original.authority), original.secure, &snapshot.cors),
            host: original.host.as_ref(),
            target: &target,
            client: context.client,
            secure: original.secure.unwrap_or(true),
            // The handshake was with whoever asks.
            certificate: None,
            is_question: true,
            connection: context.connection,
        };
        let permit = self.admit_asking(&asked, record).await?;
        record.endpoint = matches!(permit.destination(), Destination::Endpoint(_));
        Ok(permit)
    }

    /// The answer to a question that was refused, in its dialect.
    pub(super) fn refuse(question: Question, problem: &Problem) -> Response<Body> {
        let decision = Decision::Refused {
            problem,
            reads: question.reads,
        };
        Body::whole(forward_auth::answer(question.dialect, &decision))
    }
}

/// What a decision about an original request goes by, beside that request.
struct Context<'a> {
    snapshot: &'a Snapshot,
    parts: &'a Parts,
    sifted: &'a Sifted,
    client: Option<std::net::IpAddr>,
    /// Whether the question has no body: some proxies send the original request's along.
    bodiless: bool,
    connection: &'a Connection,
}

impl Record {
    /// It is about this request, not about the one that came.
    fn asked_about(&mut self, original: &Original<'_>, logged: bool) {
        if let Some(question) = &mut self.question {
            question.reads = original.method == Method::GET || original.method == Method::HEAD;
        }
        if let Some((_, secure)) = &mut self.client {
            *secure = original.secure.unwrap_or(true);
        }
        let path = || record::without_query(original.target);
        self.original = Some(record::Asked {
            method: original.method.clone(),
            secure: original.secure,
            // Only what the log will ask for is kept.
            at: logged.then(|| (original.authority.to_owned(), path().to_owned())),
        });
    }
}

/// Whether the original request opens a WebSocket. Proxies take `Upgrade` out before they ask; what stays are fields that no
/// script can set or leave out (RFC 6455 section 4.1, Fetch Metadata).
pub(super) fn asks_for_web_socket(original: &Original<'_>, parts: &Parts, sifted: &Sifted) -> bool {
    // Most questions have few fields, so one walk over them costs less than looking three names up.
    let tells = |(name, value): (&HeaderName, &HeaderValue)| {
        *name == header::SEC_WEBSOCKET_KEY
            || *name == header::SEC_WEBSOCKET_VERSION
            || (*name == FETCH_MODE && value.as_bytes() == b"websocket")
    };
    original.method == Method::GET && (sifted.upgrade.is_some() || parts.headers.iter().any(tells))
}

/// The method that the original request asks about, if that is a preflight; `bodiless`: the question has no body.
pub(super) fn preflight(original: &Original<'_>, headers: &HeaderMap, bodiless: bool) -> Option<Method> {
    asked_by_preflight(&original.method, headers)
        .filter(|_| bodiless && !original.web_socket && !speaks_of_an_upgrade(headers))
}

/// Whether anything in a question speaks of another protocol, whatever the method, and whether `Connection` names it or that
/// was taken out on the way: no preflight does, for no browser lets a script say so (Fetch, section 2.2.2).
fn speaks_of_an_upgrade(headers: &HeaderMap) -> bool {
    headers.iter().any(|(name, value)| {
        *name == header::UPGRADE
            || name.as_str().starts_with("sec-websocket-")
            || (*name == FETCH_MODE && value.as_bytes() == b"websocket")
    })
}

const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
