//! Requests that no rule is asked about: messages that are none, and methods that nobody gets to use.

use http::Method;
use http::request::Parts;

use super::Snapshot;
use super::address;
use crate::codes::Code;
use crate::problem::Problem;

/// What some address may know.
const KNOWN: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// A refusal before any rule was asked.
pub(super) fn refused(code: Code, detail: &'static str) -> Problem {
    let mut problem = Problem::new(code, detail);
    if code == Code::MethodNotAllowed {
        problem.allow = Some(KNOWN.into());
    }
    problem
}

/// Methods that open a tunnel or mirror the request. Methods are case-sensitive (RFC 9110 section 9.1), but some frameworks fold
/// them before they look.
pub(super) fn is_never_served(method: &Method) -> bool {
    let never = [Method::CONNECT, Method::TRACE];
    never
        .iter()
        .any(|one| method.as_str().eq_ignore_ascii_case(one.as_str()))
}

/// The refusal of one of these, which says what the address does serve (RFC 9110 section 10.2.1) where that is told to
/// anybody who tries another method.
pub(super) fn never_served(snapshot: &Snapshot, parts: &Parts) -> Problem {
    let mut problem = refused(Code::MethodNotAllowed, "The gateway does not serve this method.");
    let authority = address::authority(parts).ok().flatten();
    let host = authority.as_ref().and_then(|authority| address::host(authority).ok());
    let target = address::target(&parts.method, &parts.uri).ok();
    let allow = target.and_then(|target| snapshot.policy.allow(host.as_ref(), &target, &Method::TRACE));
    if let Some(allow) = allow {
        problem.allow = Some(allow.into());
    }
    problem
}
