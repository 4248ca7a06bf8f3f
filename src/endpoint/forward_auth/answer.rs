//! What an answer looks like in each dialect: as much of it as the program that asked understands, and nothing it would
//! take for something else.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::Dialect;
use crate::answer::{self, Answer};
use crate::identity;
use crate::problem::Problem;

/// The stable code of a refusal, where the status cannot say it.
pub const REASON: HeaderName = HeaderName::from_static("x-auth-reason");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const ZERO: HeaderValue = HeaderValue::from_static("0");

/// The answer that lets a request pass, made once for a configuration and copied for each question. It has every identity
/// header, also one that says nothing: who asks puts it in the place of what the client has sent under this name, and would
/// let that through otherwise.
#[derive(Clone, Debug)]
pub struct Pass {
    names: identity::Settings,
    headers: HeaderMap,
}

/// What was decided about the original request.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'a> {
    /// It may pass.
    Allowed {
        /// What all such answers have in common.
        pass: &'a Pass,
        /// Who it is from; `None`: nobody in particular.
        values: Option<&'a identity::Values>,
    },
    /// It may not. Where a browser goes to log in stands in the problem ([`Problem::leads_to`]).
    Refused {
        /// Why.
        problem: &'a Problem,
        /// Whether it only reads (GET, HEAD).
        reads: bool,
    },
}

/// The answer to a question.
pub fn answer(dialect: Dialect, decision: &Decision<'_>) -> Answer {
    match *decision {
        Decision::Allowed { pass, values } => pass.answer(values),
        Decision::Refused { problem, reads } => refused(dialect, problem, reads),
    }
}

impl Pass {
    /// With identity headers of these names.
    pub fn new(names: &identity::Settings) -> Self {
        let mut headers = HeaderMap::new();
        identity::set_empty(names, &mut headers);
        headers.insert(header::CACHE_CONTROL, NO_STORE);
        // Also in answer to HEAD, where none would be written by itself.
        headers.insert(header::CONTENT_LENGTH, ZERO);
        Self {
            names: names.clone(),
            headers,
        }
    }

    fn answer(&self, values: Option<&identity::Values>) -> Answer {
        let mut response = Response::new(Bytes::new());
        *response.headers_mut() = self.headers.clone();
        if let Some(values) = values {
            values.fill(&self.names, response.headers_mut());
        }
        response
    }
}

fn refused(dialect: Dialect, problem: &Problem, reads: bool) -> Answer {
    let login = problem.leads_to.as_deref();
    let mut response = answer::empty(status(dialect, problem.status(), login.is_some(), reads));
    let status = response.status();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(REASON, HeaderValue::from_static(problem.code.as_str()));
    if !status.is_redirection() {
        answer::add_challenges(problem, headers);
    }
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        allow(problem, headers);
    }
    if let Some(login) = login {
        headers.insert(header::LOCATION, login.clone());
    }
    match (dialect, login) {
        // Some versions of Envoy lose the Location of a refusal.
        (Dialect::Envoy, Some(login)) => {
            headers.insert(header::CONTENT_TYPE, PLAIN);
            *response.body_mut() = Bytes::copy_from_slice(login.as_bytes());
        }
        (Dialect::Nginx | Dialect::Traefik | Dialect::Caddy | Dialect::Envoy, _) => {
            headers.insert(header::CONTENT_LENGTH, ZERO);
        }
    }
    response
}

/// The status of a refusal that the proxy itself would answer with `status`.
fn status(dialect: Dialect, status: StatusCode, to_login: bool, reads: bool) -> StatusCode {
    let passed_on: &[StatusCode] = match dialect {
        // Anything but 401 and 403 makes nginx answer 500.
        Dialect::Nginx => &[StatusCode::UNAUTHORIZED],
        Dialect::Traefik | Dialect::Caddy if to_login => {
            return if reads {
                StatusCode::FOUND
            } else {
                StatusCode::SEE_OTHER
            };
        }
        Dialect::Traefik | Dialect::Caddy => &[
            StatusCode::BAD_REQUEST,
            StatusCode::UNAUTHORIZED,
            StatusCode::NOT_FOUND,
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::MISDIRECTED_REQUEST,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ],
        Dialect::Envoy if to_login => return StatusCode::FOUND,
        // Envoy may be set to let a request through where the answer is 5xx.
        Dialect::Envoy => &[
            StatusCode::UNAUTHORIZED,
            StatusCode::NOT_FOUND,
            StatusCode::TOO_MANY_REQUESTS,
        ],
    };
    match passed_on.contains(&status) {
        true => status,
        false => StatusCode::FORBIDDEN,
    }
}

fn allow(problem: &Problem, headers: &mut HeaderMap) {
    let methods = problem.allow.as_deref();
    if let Some(allow) = methods.and_then(|allow| HeaderValue::from_str(allow).ok()) {
        headers.insert(header::ALLOW, allow);
    }
}
