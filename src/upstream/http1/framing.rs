//! Where the body of a response ends, and whether the connection outlives it (RFC 9112 sections 6.3 and 9.3).

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, TRANSFER_ENCODING};
use http::{HeaderValue, Method, StatusCode, Version};

use super::Fault;
use super::fields::Trim;
use super::head::Head;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body.
    None,
    /// It has so many bytes.
    Length(u64),
    /// It says so itself.
    Chunked,
    /// It ends with the connection.
    Close,
}

/// The framing of the response to a request of this method. A length that is said twice is made one, so that nobody
/// behind us has to choose.
pub(super) fn of(head: &mut Head, method: &Method) -> Result<Framing, Fault> {
    let length = content_length(&mut head.fields)?;
    let chunked = chunked(&head.fields)?;
    if chunked && length.is_some() {
        return Err(Fault("there is both a Content-Length and a Transfer-Encoding"));
    }
    if chunked && head.version == Version::HTTP_10 {
        return Err(Fault("there is a Transfer-Encoding in HTTP/1.0"));
    }
    let bodiless = head.status.is_informational()
        || head.status == StatusCode::NO_CONTENT
        || head.status == StatusCode::NOT_MODIFIED
        || method == Method::HEAD;
    Ok(match (bodiless, chunked, length) {
        (true, _, _) => Framing::None,
        (false, true, _) => Framing::Chunked,
        (false, false, Some(length)) => Framing::Length(length),
        (false, false, None) => Framing::Close,
    })
}

/// Whether the server means to go on after this response.
pub(super) fn persists(head: &Head) -> bool {
    let says = |token: &str| has_token(&head.fields, &CONNECTION, token);
    !says("close") && (head.version == Version::HTTP_11 || says("keep-alive"))
}

/// Whether a field that is a list of tokens has this one.
pub(super) fn has_token(fields: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    fields
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|item| item.trim_ows().eq_ignore_ascii_case(token.as_bytes()))
}

/// Digits, nothing else, and few enough of them (RFC 9110 section 8.6).
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn content_length(fields: &mut HeaderMap) -> Result<Option<u64>, Fault> {
    const INVALID: Fault = Fault("the Content-Length is no number");
    let mut values = fields.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    let alone = values.next().is_none();
    if let (true, Some(length)) = (alone, digits(first.as_bytes())) {
        if first.as_bytes().first() == Some(&b'0') && first.len() > 1 {
            fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        return Ok(Some(length));
    }
    let mut known = None;
    for item in fields
        .get_all(CONTENT_LENGTH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
    {
        let length = digits(item.trim_ows()).ok_or(INVALID)?;
        if known.is_some_and(|known| known != length) {
            return Err(Fault("there are two different Content-Lengths"));
        }
        known = Some(length);
    }
    if let Some(length) = known {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(known)
}

/// `chunked` is the one transfer coding that we asked for, and alone (section 6.1).
fn chunked(fields: &HeaderMap) -> Result<bool, Fault> {
    let mut values = fields.get_all(TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        (Some(_), _) => Err(Fault("the Transfer-Encoding is not chunked")),
    }
}
