//! Single fields of a question, read strictly: there once, and what they should be.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Head, Original};
use crate::route::Host;

pub(super) const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
pub(super) const ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
pub(super) const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
pub(super) const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// The longest method, as over HTTP/1.
const METHOD_BYTES: usize = 32;

/// What is wrong with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub kind: FaultKind,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not there.
    Missing,
    /// It is there more than once, and which one counts is anybody's guess.
    Repeated,
    /// It is something else than it should be.
    Malformed,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, kind } = self;
        let what = match kind {
            FaultKind::Missing => "missing",
            FaultKind::Repeated => "repeated",
            FaultKind::Malformed => "malformed",
        };
        write!(formatter, "{field} is {what}")
    }
}

/// A fault of this kind; the name as people write it.
pub(super) const fn fault(field: &'static str, kind: FaultKind) -> Fault {
    Fault { field, kind }
}

/// The only field of this name.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName, text: &'static str) -> Result<&'a str, Fault> {
    at_most_one(headers, name, text)?.ok_or(fault(text, FaultKind::Missing))
}

/// The only field of this name, which need not be there.
pub(super) fn at_most_one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    text: &'static str,
) -> Result<Option<&'a str>, Fault> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next().map(HeaderValue::to_str), fields.next()) {
        (_, Some(_)) => Err(fault(text, FaultKind::Repeated)),
        (None, None) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        (Some(Err(_)), None) => Err(fault(text, FaultKind::Malformed)),
    }
}

/// A method (RFC 9110 section 9.1), as received.
pub(super) fn method(text: &str) -> Option<Method> {
    let is_short = text.len() <= METHOD_BYTES;
    Some(text)
        .filter(|_| is_short)
        .and_then(|text| Method::from_bytes(text.as_bytes()).ok())
}

/// Whether a scheme is secure, and whether it is a WebSocket's.
pub(super) fn scheme(text: &str) -> Option<(bool, bool)> {
    let known = [
        ("https", (true, false)),
        ("http", (false, false)),
        ("wss", (true, true)),
        ("ws", (false, true)),
    ];
    let found = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, meaning)| meaning)
}

/// The original request as `X-Forwarded-*` tell it.
pub(super) fn forwarded<'a>(head: &Head<'a>) -> Result<Original<'a>, Fault> {
    let malformed = |text| fault(text, FaultKind::Malformed);
    let text = only(head.headers, &METHOD, "X-Forwarded-Method")?;
    let method = method(text).ok_or(malformed("X-Forwarded-Method"))?;
    let text = only(head.headers, &PROTO, "X-Forwarded-Proto")?;
    let (secure, web_socket) = scheme(text).ok_or(malformed("X-Forwarded-Proto"))?;
    let authority = only(head.headers, &HOST, "X-Forwarded-Host")?;
    let host = Host::parse(authority).map_err(|_| malformed("X-Forwarded-Host"))?;
    let target = only(head.headers, &URI, "X-Forwarded-Uri")?;
    if !target.starts_with('/') {
        return Err(malformed("X-Forwarded-Uri"));
    }
    Ok(Original {
        method,
        secure: Some(secure),
        web_socket,
        host: Some(host),
        authority,
        target,
    })
}
