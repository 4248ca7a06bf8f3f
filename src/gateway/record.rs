//! What is told about a request when it is over.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Response};

use super::forward_auth::Question;
use super::{Body, Connection, Gateway, RequestId, Snapshot};
use crate::admission::RouteEntry;
use crate::authn::Proof;
use crate::problem::Problem;
use crate::telemetry::Access;

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
    pub(super) proof: Option<Arc<Proof>>,
    pub(super) client: Option<IpAddr>,
    pub(super) id: RequestId,
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
            proof: None,
            client: None,
            id: RequestId::default(),
            cookie: None,
            question: None,
            original: None,
        }
    }
}

/// What the log says of the request itself.
pub(super) struct Seen<'a> {
    pub(super) method: &'a Method,
    /// As the host, only where the access log wants to know.
    pub(super) uri: Option<&'a http::Uri>,
    pub(super) host: Option<&'a HeaderValue>,
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
        let series = match &record.route {
            Some(entry) => &entry.series,
            None if record.endpoint => &snapshot.endpoint_series,
            None => &snapshot.unrouted_series,
        };
        series.request(index, seen.method, response.status(), seen.took);
        if record.decided {
            series.decision(index, problem.filter(|_| !record.permitted).map(|problem| problem.code));
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
        let original = record.original.as_ref().and_then(|original| original.at.as_ref());
        connection.worker().log(&Access {
            at: self.clock.unix_millis(),
            client: record.client.unwrap_or_else(|| connection.peer().ip()),
            user: record.proof.as_ref().map_or("", |proof| &proof.person.name),
            method: seen.method.as_str(),
            host: original
                .map(|(host, _)| host.as_str())
                .or(seen.host.and_then(|host| host.to_str().ok()))
                .or(seen.uri.and_then(http::Uri::host))
                .unwrap_or_default(),
            path: original.map_or_else(|| seen.uri.map_or("", http::Uri::path), |(_, path)| path),
            status: response.status().as_u16(),
            took: seen.took,
            route: series.name(),
            decision: if record.permitted { "permit" } else { "refuse" },
            reason: problem.map_or("ok", |problem| problem.code.as_str()),
            cause: problem.and_then(|problem| problem.cause.as_deref()),
            id: record.id.as_str(),
        });
    }
}
