//! Field lines (RFC 9112 section 5), of heads and of trailer sections.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Fault;

/// Looks for the empty line that ends a section, in bytes that come in pieces. What it says depends on the bytes only, not
/// on where they were cut.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Where the line begins that is not complete yet …
    start: usize,
    /// … and how far it was looked through.
    seen: usize,
    /// Complete lines, the empty one not counted.
    pub(super) count: usize,
}

/// How long a section may be.
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) lines: usize,
}

impl Lines {
    /// The end of the section, behind its empty line. `bytes` is the section from its beginning.
    pub(super) fn end(&mut self, bytes: &[u8], bounds: &Bounds) -> Result<Option<usize>, Fault> {
        const TOO_LONG: Fault = Fault("the field section is too long");
        loop {
            let unseen = bytes.get(self.seen..).unwrap_or_default();
            let Some(place) = memchr::memchr(b'\n', unseen) else {
                self.seen = bytes.len();
                return if self.seen >= bounds.bytes {
                    Err(TOO_LONG)
                } else {
                    Ok(None)
                };
            };
            let end = self.seen + place + 1;
            if end > bounds.bytes {
                return Err(TOO_LONG);
            }
            // A bare LF ends a line for some and not for others (RFC 9112 section 2.2).
            match bytes.get(self.start..end) {
                Some(b"\r\n") => return Ok(Some(end)),
                Some([.., b'\r', b'\n']) => {}
                Some(_) | None => return Err(Fault("a line does not end in CRLF")),
            }
            self.count += 1;
            if self.count > bounds.lines {
                return Err(Fault("there are too many fields"));
            }
            (self.start, self.seen) = (end, end);
        }
    }
}

/// The next line of a section, without its CRLF, and where the one after it begins.
pub(super) fn line(section: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let rest = section.get(start..)?;
    let length = memchr::memchr(b'\n', rest)?;
    Some((rest.get(..length.checked_sub(1)?)?, start + length + 1))
}

/// The fields of a section whose lines are known to end in CRLF, from `start` to its empty line.
pub(super) fn parse(section: &Bytes, mut start: usize, count: usize) -> Result<HeaderMap, Fault> {
    let mut fields = HeaderMap::with_capacity(count);
    while let Some((line, next)) = line(section, start) {
        if line.is_empty() {
            break;
        }
        // A folded line begins with white space and so has no name; nor may any stand before the colon (section 5.1).
        let colon = memchr::memchr(b':', line).ok_or(Fault("a field line has no colon"))?;
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name).map_err(|_| Fault("a field name is not valid"))?;
        let value = value.get(1..).unwrap_or_default();
        let lead = value.len() - value.trim_ows_start().len();
        let length = value.trim_ows().len();
        let from = start + colon + 1 + lead;
        let value = section.slice(from..from + length);
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Fault("a field value is not valid"))?;
        fields
            .try_append(name, value)
            .map_err(|_| Fault("there are too many fields"))?;
        start = next;
    }
    Ok(fields)
}

/// Optional white space (RFC 9110 section 5.6.3) is SP and HTAB only, which is less than what `trim_ascii` takes.
pub(super) trait Trim {
    /// Without the white space around it.
    fn trim_ows(&self) -> &Self;
    /// Without the white space before it.
    fn trim_ows_start(&self) -> &Self;
}

impl Trim for [u8] {
    fn trim_ows(&self) -> &Self {
        let mut rest = self.trim_ows_start();
        while let [init @ .., b' ' | b'\t'] = rest {
            rest = init;
        }
        rest
    }

    fn trim_ows_start(&self) -> &Self {
        let mut rest = self;
        while let [b' ' | b'\t', tail @ ..] = rest {
            rest = tail;
        }
        rest
    }
}
