//! What the gateway says of itself: that it runs, its public keys, its health and its figures.

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};
use serde_json::json;

use super::Asked;
use crate::answer::{self, Answer, Dialect};
use crate::codes::Code;
use crate::keyring::{JWKS_MAX_AGE, KeyRing};
use crate::problem::Problem;

/// What `/readyz` is told from.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether requests that need a credential can be answered.
    pub ready: bool,
    /// Why not, or what is degraded.
    pub reasons: Vec<&'static str>,
}

/// `GET /api/`.
pub(super) fn running() -> Answer {
    answer::json(StatusCode::OK, &json!({ "JWT Server Application": "Running!" }))
}

/// `GET /api`: to `/api/`. By a relative reference made of the configured path, so that nothing the client sends has a say
/// in where it leads; a Flask server names itself as the client did, which nobody but that client hears.
pub(super) fn to_running<B>(path: &str, asked: &Asked<B>, dialect: Dialect) -> Answer {
    let own = match dialect {
        Dialect::Standard => String::new(),
        Dialect::Flask => itself(asked).unwrap_or_default(),
    };
    let query = asked.parts.uri.query();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(format!("{own}{path}/{query}"));
    match location.or_else(|_| HeaderValue::try_from(format!("{own}{path}/"))) {
        Ok(location) => answer::redirect(StatusCode::PERMANENT_REDIRECT, location),
        // A path that is no header value is no path of a request either: nobody gets here.
        Err(_) => answer::empty(StatusCode::NOT_FOUND),
    }
}

/// The gateway as the client calls it; `None`: it named no host.
fn itself<B>(asked: &Asked<B>) -> Option<String> {
    let host = asked.host.as_ref()?;
    let scheme = if asked.secure { "https" } else { "http" };
    let port = host.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{host}{port}"))
}

/// OPTIONS of a URL of ours, as Flask answers it.
pub(super) fn options(allow: &str) -> Answer {
    let mut answer = answer::empty(StatusCode::OK);
    if let Ok(allow) = HeaderValue::from_str(allow) {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}

/// `GET /.well-known/jwks.json` (RFC 7517 section 5): the public keys, never symmetric ones. They may be kept for a while:
/// a new key is published that long before it signs. Keys that are not loaded yet are no empty set to be kept.
pub(super) fn jwks(keys: &KeyRing, now: i64) -> Result<Answer, Problem> {
    let keys = keys.load();
    if !keys.ready() {
        let problem = Problem::new(Code::NotReady, "The gateway is starting and has no signing key yet.");
        return Err(problem.retry_after(1));
    }
    let kind = HeaderValue::from_static("application/jwk-set+json");
    let mut answer = answer::with_body(StatusCode::OK, kind, Bytes::from(keys.jwks(now)));
    let max_age = format!("public, max-age={}", JWKS_MAX_AGE.as_secs());
    if let Ok(value) = HeaderValue::from_str(&max_age) {
        answer.headers_mut().insert(header::CACHE_CONTROL, value);
    }
    Ok(answer)
}

/// `GET /healthz`: the process runs.
pub fn healthz() -> Answer {
    plain(StatusCode::OK, "ok\n".to_owned())
}

/// `GET /readyz`: whether to send requests here, and if not, why.
pub fn readyz(health: &Health) -> Answer {
    let status = if health.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let text = if health.reasons.is_empty() {
        "ready\n".to_owned()
    } else {
        format!("{}\n", health.reasons.join("\n"))
    };
    plain(status, text)
}

/// `GET /metrics` (Prometheus text format 0.0.4).
pub fn metrics(page: String) -> Answer {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer::with_body(StatusCode::OK, kind, Bytes::from(page))
}

fn plain(status: StatusCode, text: String) -> Answer {
    let mut answer = answer::with_body(
        status,
        HeaderValue::from_static("text/plain; charset=utf-8"),
        Bytes::from(text),
    );
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
