//! From a problem, or a value, to the response a client gets: RFC 9457 documents, challenges, CORS.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::problem::{Challenge, Problem};

pub mod cors;
mod flask;

/// An answer of the gateway's own: its body is at hand as a whole.
pub type Answer = Response<Bytes>;

/// Stands beside an answer that tells a problem in a form of its own, such as a page: for the log, which tells the problem.
#[derive(Clone, Debug)]
pub struct Told(pub Problem);

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// RFC 7617 section 2.1: names and passwords are UTF-8.
const BASIC: HeaderValue = HeaderValue::from_static(r#"Basic realm="doorward", charset="UTF-8""#);
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// How problems are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Problem documents (RFC 9457).
    #[default]
    Standard,
    /// As the Flask server did that the gateway stands in for (`compat.flask_praetorian`).
    Flask,
}

/// A problem document (RFC 9457), with the extra members `error` (stable code) and `message` (the detail again).
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    error: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [std::borrow::Cow<'static, str>],
}

/// The response for a problem, as a problem document. The cause stays here.
pub fn problem(problem: &Problem) -> Answer {
    problem_in(problem, Dialect::Standard)
}

/// The response for a problem, in this dialect.
pub fn problem_in(problem: &Problem, dialect: Dialect) -> Answer {
    if let Some(location) = &problem.leads_to {
        return redirect(StatusCode::FOUND, HeaderValue::clone(location));
    }
    let mut answer = match dialect {
        Dialect::Standard => document(problem),
        Dialect::Flask => {
            let told = flask::told(problem);
            with_body(told.status, JSON, encode(&told.document()))
        }
    };
    add_fields(problem, answer.headers_mut());
    answer
}

/// The status of a problem, in this dialect.
pub fn status_in(problem: &Problem, dialect: Dialect) -> StatusCode {
    match dialect {
        Dialect::Standard => problem.status(),
        Dialect::Flask => flask::told(problem).status,
    }
}

fn document(problem: &Problem) -> Answer {
    let document = Document {
        kind: "about:blank",
        title: problem.code.title(),
        status: problem.status().as_u16(),
        detail: &problem.detail,
        error: problem.code.as_str(),
        message: &problem.detail,
        reasons: &problem.reasons,
    };
    with_body(problem.status(), PROBLEM_JSON, encode(&document))
}

/// What a client's program goes by, whatever the body looks like.
fn add_fields(problem: &Problem, headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    add_challenges(problem, headers);
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    let allow = problem.allow.as_deref();
    if let Some(allow) = allow.and_then(|allow| HeaderValue::from_str(allow).ok()) {
        headers.insert(header::ALLOW, allow);
    }
    if problem.close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// What a refusal says in `WWW-Authenticate`.
pub fn add_challenges(problem: &Problem, headers: &mut HeaderMap) {
    if let Some(value) = problem.challenge.map(challenge) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    if problem.basic || problem.challenge == Some(Challenge::ApiKey) {
        headers.append(header::WWW_AUTHENTICATE, BASIC);
    }
}

/// A JSON answer that may carry a credential or say something about a person: never stored.
pub fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut answer = with_body(status, JSON, encode(value));
    answer.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    answer
}

/// An answer with a body of this type.
pub fn with_body(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Answer {
    let mut answer = empty(status);
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    *answer.body_mut() = body;
    answer
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    answer
}

/// A redirect to a place that has been checked.
pub fn redirect(status: StatusCode, location: HeaderValue) -> Answer {
    let mut answer = empty(status);
    answer.headers_mut().insert(header::LOCATION, location);
    answer.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    answer
}

/// Adds a value to the `Vary` of a response.
pub fn vary(headers: &mut HeaderMap, name: &HeaderName) {
    headers.append(header::VARY, HeaderValue::from(name.clone()));
}

/// `WWW-Authenticate` as RFC 6750 section 3 has it: an error code only if a credential was shown.
fn challenge(challenge: Challenge) -> HeaderValue {
    HeaderValue::from_static(match challenge {
        Challenge::Bearer | Challenge::ApiKey => r#"Bearer realm="doorward""#,
        Challenge::InvalidToken => {
            r#"Bearer realm="doorward", error="invalid_token", error_description="The access token is invalid or has ended""#
        }
        Challenge::InvalidRequest => {
            r#"Bearer realm="doorward", error="invalid_request", error_description="More than one credential was sent""#
        }
        Challenge::InsufficientScope => {
            r#"Bearer realm="doorward", error="insufficient_scope", error_description="A role is missing""#
        }
    })
}

/// Our own types always serialise: maps have text keys, nothing is fallible. Should one ever not, the client gets an
/// empty document with the right status rather than a lost connection.
fn encode(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;

    #[test]
    fn a_problem_says_everything_but_its_cause() {
        let answer = problem(
            &Problem::new(
                Code::TooManyAttempts,
                "Too many failed logins. Try again in 30 seconds.",
            )
            .because("row 17")
            .retry_after(30)
            .challenged(Challenge::Bearer),
        );
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "30");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], r#"Bearer realm="doorward""#);
        let document: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(document["error"], "too_many_attempts");
        assert_eq!(document["message"], document["detail"]);
        assert_eq!(document["status"], 429);
        assert!(!String::from_utf8_lossy(answer.body()).contains("row 17"));
    }

    #[test]
    fn every_code_has_a_document() {
        for code in Code::ALL {
            let answer = problem(&Problem::new(*code, "text"));
            assert_eq!(answer.status(), code.status());
        }
    }
}
