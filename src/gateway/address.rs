//! What a request is addressed to: the host it names, the target it asks for.

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Version};

use crate::codes::Code;
use crate::problem::Problem;
use crate::route::{Host, Target};
use crate::wire;

/// What the client names as host: `Host`, the authority of an absolute-form target, `:authority`; where there are two they
/// must agree (RFC 9112 section 3.2.2, RFC 9113 section 8.3.1).
pub(super) fn authority(parts: &Parts) -> Result<Option<HeaderValue>, Problem> {
    let invalid = |detail: &'static str| Problem::new(Code::InvalidHost, detail).closing();
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(invalid("There is more than one Host header."));
    }
    let Some(named) = parts.uri.authority() else {
        if field.is_none() && parts.version != Version::HTTP_10 {
            return Err(invalid("The Host header is missing."));
        }
        return Ok(field.cloned());
    };
    let same = |field: &HeaderValue| field.as_bytes().eq_ignore_ascii_case(named.as_str().as_bytes());
    if !field.is_none_or(same) {
        return Err(invalid("Host and the request target name different hosts."));
    }
    HeaderValue::from_str(named.as_str())
        .map(Some)
        .map_err(|_| invalid("The host is malformed."))
}

pub(super) fn host(value: &HeaderValue) -> Result<Host<'_>, Problem> {
    let text = value.to_str().map_err(|_| Code::InvalidHost);
    text.and_then(Host::parse)
        .map_err(|code| Problem::new(code, "The host is malformed.").closing())
}

pub(super) fn target<'a>(method: &Method, uri: &'a http::Uri) -> Result<Target<'a>, Problem> {
    read_target(method, uri.path_and_query().map_or("/", |target| target.as_str()))
}

/// Reads the target that a question is about: what no request line could hold, no request of our own could ask for.
pub(super) fn read_original<'a>(method: &Method, text: &'a str) -> Result<Target<'a>, Problem> {
    match wire::is_target(text) {
        true => read_target(method, text),
        false => Err(Problem::new(
            Code::InvalidTarget,
            "The request target contains a character that must be percent-encoded, or is too long.",
        )),
    }
}

/// Reads a target as it was received.
pub(super) fn read_target<'a>(method: &Method, text: &'a str) -> Result<Target<'a>, Problem> {
    if text == "*" && method != Method::OPTIONS {
        return Err(Problem::new(Code::InvalidTarget, "The target `*` is for OPTIONS only."));
    }
    Target::parse(text).map_err(|code| {
        Problem::new(code, "The request target holds something that is never right: a dot segment, a control character, a backslash, a bad escape.")
    })
}
