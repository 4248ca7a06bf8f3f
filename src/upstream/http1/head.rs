//! The head of a response: status line and fields (RFC 9112 section 4).

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};

use super::fields::{self, Bounds, Lines};
use super::{FIELDS_AT_MOST, Fault, HEAD_AT_MOST};

const BOUNDS: Bounds = Bounds {
    bytes: HEAD_AT_MOST,
    lines: FIELDS_AT_MOST + 1,
};

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: Version,
    pub(super) status: StatusCode,
    /// Where it is not the usual one.
    pub(super) reason: Option<Bytes>,
    pub(super) fields: HeaderMap,
}

/// Finds a head in bytes that come in pieces.
#[derive(Debug, Default)]
pub(super) struct HeadFinder(Lines);

const NOT_HTTP: Fault = Fault("that is no HTTP/1 status line");
/// What every status line begins with.
const BEGINNING: &[u8] = b"HTTP/1.";

impl HeadFinder {
    /// Where the head ends that `bytes` begin with, if all of it is there. What is no HTTP is told with the first byte
    /// that shows it.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let known = bytes.len().min(BEGINNING.len());
        if bytes.get(..known) != BEGINNING.get(..known) {
            return Err(NOT_HTTP);
        }
        let end = self.0.end(bytes, &BOUNDS)?;
        Ok(end)
    }

    /// Reads a head that was found.
    pub(super) fn parse(&self, head: &Bytes) -> Result<Head, Fault> {
        let (line, next) = fields::line(head, 0).ok_or(NOT_HTTP)?;
        let (version, status, reason) = status_line(line)?;
        let usual = status.canonical_reason().unwrap_or_default();
        Ok(Head {
            version,
            status,
            reason: (!reason.is_empty() && reason != usual.as_bytes()).then(|| head.slice_ref(reason)),
            fields: fields::parse(head, next, self.0.count.saturating_sub(1))?,
        })
    }
}

fn status_line(line: &[u8]) -> Result<(Version, StatusCode, &[u8]), Fault> {
    let (minor, rest) = match line.strip_prefix(BEGINNING) {
        Some([minor, b' ', rest @ ..]) => (minor, rest),
        Some(_) | None => return Err(NOT_HTTP),
    };
    let version = match minor {
        b'1' => Version::HTTP_11,
        b'0' => Version::HTTP_10,
        _ => return Err(Fault("that is no known version of HTTP/1")),
    };
    let (status, reason) = rest.split_at_checked(3).ok_or(NOT_HTTP)?;
    let status = StatusCode::from_bytes(status).map_err(|_| NOT_HTTP)?;
    let reason = match reason {
        // Many leave out the space that stands before a reason, even an empty one.
        [] => reason,
        [b' ', reason @ ..] => reason,
        _ => return Err(NOT_HTTP),
    };
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !reason.iter().all(is_text) {
        return Err(Fault("the reason phrase is not valid"));
    }
    Ok((version, status, reason))
}
