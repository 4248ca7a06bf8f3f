//! What is told about a request when it is over.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Response, StatusCode};

use super::forward_auth::Question;
use super::{Body, Connection, Gateway, RequestId, Snapshot, client};
use crate::admission::RouteEntry;
use crate::answer::{Answer, Told};
use crate::authn::Proof;
use crate::codes::Code;
use crate::problem::Problem;
use crate::telemetry::{Access, Decided};

/// What became of a request, for the log and the figures; filled on the way.
pub(super) struct Record {
    /// When it came.
    pub(super) began: Instant,
    /// When the upstream had answered, or failed.
    pub(super) answered: Option<Instant>,
    pub(super) route: Option<Arc<RouteEntry>>,
    pub(super) endpoint: bool,
    /// The method that a preflight asks about; `None`: it is none.
    pub(super) preflight: Option<Method>,
    pub(super) decided: bool,
    pub(super) permitted: bool,
    /// Whether it was sent on, or would have been had the upstream answered.
    pub(super) forwarded: bool,
    /// What an answer of ours says that is no problem document.
    pub(super) told: Option<Box<Problem>>,
    /// Whether a browser was led home: nothing else was there, and that is an answer of ours as good as any.
    pub(super) led_home: bool,
    /// What a shadow route would have refused it for.
    pub(super) would_refuse: Option<Code>,
    pub(super) proof: Option<Arc<Proof>>,
    /// Its address, and whether it speaks TLS, with us or with a trusted proxy.
    pub(super) client: Option<(IpAddr, bool)>,
    pub(super) id: RequestId,
    /// Whether the request broke a rule of HTTP/1, and another stands in its place.
    pub(super) is_stand_in: bool,
    /// A renewed cookie, to be set with the answer.
    pub(super) cookie: Option<HeaderValue>,
    /// It is a question of another proxy's …
    pub(super) question: Option<Question>,
    /// … about this request.
    pub(super) original: Option<Asked>,
}

/// The request that another proxy asks about, as the log and the figures have it.
pub(super) struct Asked {
    pub(super) method: Method,
    /// Whether its client speaks TLS with that proxy, if the question says so.
    pub(super) secure: Option<bool>,
    /// Host and path, where the access log wants to know.
    pub(super) at: Option<(String, String)>,
}

impl Record {
    /// Of a request that came now.
    pub(super) fn begun(began: Instant) -> Self {
        Self {
            began,
            answered: None,
            route: None,
            endpoint: false,
            preflight: None,
            decided: false,
            permitted: false,
            forwarded: false,
            told: None,
            led_home: false,
            would_refuse: None,
            proof: None,
            client: None,
            id: RequestId::default(),
            is_stand_in: false,
            cookie: None,
            question: None,
            original: None,
        }
    }
}

impl Record {
    /// One of our own URLs has served a request that was admitted to it. Where it did not let in whoever asked (a wrong
    /// password, a spent token, a form of another site), that is a refusal, as if its rule had said so; whatever else is
    /// wrong, it was a request that it let in.
    pub(super) fn served(&mut self, served: &mut Result<Answer, Problem>) {
        let lets_in = |problem: &Problem| {
            let shut = [
                StatusCode::UNAUTHORIZED,
                StatusCode::FORBIDDEN,
                StatusCode::TOO_MANY_REQUESTS,
            ];
            !shut.contains(&problem.status())
        };
        self.permitted = match served {
            Err(problem) => lets_in(problem),
            Ok(answer) => {
                let told = answer.extensions_mut().remove();
                self.told = told.map(|Told(problem)| Box::new(problem));
                self.told.as_deref().is_none_or(lets_in)
            }
        };
    }

    /// Nothing is there, and a browser is led home.
    pub(super) fn leads_home(&mut self) {
        (self.endpoint, self.permitted, self.led_home) = (true, true, true);
    }
}

/// What the log says of the request itself.
pub(super) struct Seen<'a> {
    pub(super) method: &'a Method,
    /// As the host, only where the access log wants to know.
    pub(super) uri: Option<&'a http::Uri>,
    pub(super) host: Option<&'a HeaderValue>,
    /// The trace that the client named.
    pub(super) trace: Option<&'a HeaderValue>,
    pub(super) took: Duration,
}

impl Gateway {
    /// One line in the log, one set of figures.
    pub(super) fn tell(
        &self,
        snapshot: &Snapshot,
        record: &Record,
        seen: &Seen<'_>,
        response: &Response<Body>,
        problem: Option<&Problem>,
        connection: &Connection,
    ) {
        let index = connection.worker().index();
        let problem = problem.filter(|_| !record.led_home).or(record.told.as_deref());
        let series = match &record.route {
            Some(entry) => &entry.series,
            None if record.endpoint => &snapshot.endpoint_series,
            None => &snapshot.unrouted_series,
        };
        series.request(index, seen.method, response.status(), seen.took);
        let decided = match (record.would_refuse, problem.filter(|_| !record.permitted)) {
            (_, Some(problem)) => Decided::Refuse(problem.code),
            (Some(code), None) => Decided::WouldRefuse(code),
            (None, None) => Decided::Permit,
        };
        if record.decided {
            series.decision(index, decided);
        }
        if !snapshot.access_log {
            if let Some(problem) = problem.filter(|problem| problem.status().is_server_error()) {
                tracing::warn!(
                    route = series.name(),
                    reason = problem.code.as_str(),
                    cause = problem.cause,
                    "answered with a fault"
                );
            }
            return;
        }
        let (client, secure) = match record.client {
            Some((client, secure)) => (Some(client), secure),
            // Whoever asks is not the client, and did not say who is.
            None if record.question.is_some() && connection.is_from(&snapshot.trusted_proxies) => {
                (None, connection.is_secure())
            }
            None => (Some(connection.peer().ip()), connection.is_secure()),
        };
        let upstream = record.route.as_ref().filter(|_| record.forwarded);
        let original = record.original.as_ref();
        let at = original.and_then(|original| original.at.as_ref());
        let refused = record
            .is_stand_in
            .then(|| String::from_utf8_lossy(connection.refused_line()));
        let refused_field = |name| connection.refused_field(name).filter(|_| record.is_stand_in);
        let (method, path) = match (&refused, at) {
            (Some(line), _) => said(line),
            (None, Some((_, path))) => (seen.method.as_str(), path.as_str()),
            (None, None) => (seen.method.as_str(), seen.uri.map_or("", http::Uri::path)),
        };
        connection.worker().log(&Access {
            at: self.clock.unix_millis(),
            action: match record.question {
                Some(_) => "forward_auth",
                None => "request",
            },
            client,
            person: record.proof.as_ref().map(|proof| &*proof.person),
            secure: original.and_then(|original| original.secure).unwrap_or(secure),
            method,
            host: at
                .map(|(host, _)| host.as_str())
                .or(refused_field("host"))
                .or(seen.host.and_then(|host| host.to_str().ok()))
                .or(seen.uri.and_then(http::Uri::host))
                .map(without_user)
                .unwrap_or_default(),
            path,
            status: response.status().as_u16(),
            took: seen.took,
            route: series.name(),
            upstream: upstream
                .and_then(|entry| entry.route.upstream.as_deref())
                .unwrap_or_default(),
            decision: if record.permitted { decided.as_str() } else { "refuse" },
            reason: problem.map_or(decided.reason(), |problem| problem.code.as_str()),
            cause: problem.and_then(|problem| problem.cause.as_deref()),
            id: record.id.as_str(),
            trace: client::trace(
                refused_field("traceparent")
                    .and_then(|trace| HeaderValue::from_str(trace).ok())
                    .iter()
                    .chain(seen.trace)
                    .chain(&record.id.trace),
            ),
        });
    }
}

/// Method and path of a request line that need not be one, whatever separates its parts: what has no blank says neither. The
/// query is not told, nor what stands before the path, nor anything that may be a user's.
fn said(line: &str) -> (&str, &str) {
    let whole = without_query(line);
    let Some((method, rest)) = whole.split_once(BLANKS) else {
        return ("", "");
    };
    let target = match rest.rsplit_once("HTTP/") {
        // Behind a query there is nothing left of the version.
        Some((target, _)) if whole.len() == line.len() => target.strip_suffix(BLANKS).unwrap_or(rest),
        Some(_) | None => rest,
    };
    let method = without_user(method);
    if target.starts_with('/') {
        return (method, target);
    }
    let path = match target.split_once("://") {
        None => without_user(target),
        Some((_, rest)) => {
            let rest = without_user(rest);
            rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/")
        }
    };
    (method, path)
}

/// What stands before a query. A `#`, which no target may hold, is told, since it is why; what stands behind it is not.
pub(super) fn without_query(target: &str) -> &str {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    let (before, from) = target.split_at_checked(end).unwrap_or_default();
    match from.starts_with('#') {
        true => target.get(..=end).unwrap_or(before),
        false => before,
    }
}

/// What may stand between the parts of a line.
const BLANKS: [char; 5] = [' ', '\t', '\u{b}', '\u{c}', '\r'];

/// What stands behind the name and the password of a user.
fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_broke_a_rule_is_told_without_its_query() {
        for (line, told) in [
            ("GET /a\\b?secret HTTP/1.1", ("GET", "/a\\b")),
            ("GET /a#secret HTTP/1.1", ("GET", "/a#")),
            ("GET /a#/b?secret#secret HTTP/1.1", ("GET", "/a#")),
            ("GET /a?secret#secret HTTP/1.1", ("GET", "/a")),
            ("GET /a# HTTP/1.1", ("GET", "/a#")),
            ("GET http://h/a#secret", ("GET", "/a#")),
            ("GET http://u:secret#secret@h/a", ("GET", "/")),
            ("GET /a b?secret HTTP/1.1 HTTP/1.1", ("GET", "/a b")),
            ("GET http://u:secret@h/x://y?secret", ("GET", "/x://y")),
            ("GET http://h", ("GET", "/")),
            ("GET /to/http://h", ("GET", "/to/http://h")),
            ("GET\t/tab?secret HTTP/1.1", ("GET", "/tab")),
            ("GET\t/tab?secret\tHTTP/1.1", ("GET", "/tab")),
            ("GET\t/tab\tHTTP/1.1", ("GET", "/tab")),
            ("GET\u{b}/a ?secret", ("GET", "/a ")),
            ("GET?secret /a HTTP/1.1", ("", "")),
            ("GET /HTTP/?secret HTTP/1.1", ("GET", "/HTTP/")),
            ("GET /@ann/x HTTP/1.1", ("GET", "/@ann/x")),
            ("CONNECT a:secret@b:443 HTTP/1.1", ("CONNECT", "b:443")),
            ("CONNECT a:sec/ret@c@b:443 HTTP/1.1", ("CONNECT", "b:443")),
            ("GET http://u:sec/ret@h/x HTTP/1.1", ("GET", "/x")),
            ("u:secret@h /x HTTP/1.1", ("h", "/x")),
            ("secret", ("", "")),
            ("", ("", "")),
        ] {
            assert_eq!(said(line), told, "{line}");
        }
    }
}
