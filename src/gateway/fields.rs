//! What a field section must not hold and HTTP/2's framing lets through: the counterpart of the scanner under HTTP/1, so that a
//! message means the same over both.

use http::header::{self, HeaderMap, HeaderValue};

use crate::codes::Code;
use crate::problem::Problem;

/// Header lines of a request, as over HTTP/1.
const LINES: usize = 100;

/// Refuses what is malformed in a request over HTTP/2. The peer's stack has checked names, control characters and the fields
/// that belong to a connection (RFC 9113 section 8.2).
pub(super) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |code, detail: &'static str| Err(Problem::new(code, detail));
    if headers.len() > LINES {
        return refuse(Code::HeadersTooLarge, "The request has too many header lines.");
    }
    // RFC 9113 section 8.2.1: whoever trims it sees another value than who does not.
    if headers.values().any(has_blank_edge) {
        return refuse(
            Code::InvalidRequest,
            "A header value must not begin or end with white space.",
        );
    }
    // As over HTTP/1: of two lengths, equal ones too, nobody knows which one the next reader takes.
    if headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return refuse(
            Code::InvalidFraming,
            "The request has more than one Content-Length header.",
        );
    }
    // RFC 9110 section 8.6: digits, at least one.
    let is_length = |value: &HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    if !headers.get_all(header::CONTENT_LENGTH).iter().all(is_length) {
        return refuse(Code::InvalidFraming, "Content-Length is not a number.");
    }
    Ok(())
}

/// Refuses every expectation but the one that is defined (RFC 9110 section 10.1.1): another might mean that the request must not be
/// acted upon unless understood. What a client expects of its own request says nothing about a question of the proxy before it.
pub(super) fn check_expectation(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get_all(header::EXPECT).iter().all(is_continue) {
        true => Ok(()),
        false => Err(Problem::new(
            Code::InvalidRequest,
            "The only expectation met here is 100-continue.",
        )),
    }
}

fn has_blank_edge(value: &HeaderValue) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    blank(value.as_bytes().first()) || blank(value.as_bytes().last())
}

fn is_continue(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"100-continue")
}
