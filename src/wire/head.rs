//! A request's head: the request line (RFC 9112 section 3) and the way through its fields.

use std::ops::Range;

use http::Uri;

use super::fields::{BARE_CR, BARE_LF, FieldLines, Next};
use super::framing::{Facts, HeadEnd};
use super::grammar::{self, PATH, QUERY, TOKEN, VISIBLE};
use super::settings::{BLANK_LINES, METHOD_BYTES, Settings, TARGET_BYTES};
use super::violation::Violation;
use crate::codes::Code;

/// Whether a request line could hold this as its target, in origin form.
pub fn is_target(text: &str) -> bool {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, query),
        None => (text, ""),
    };
    let all = |text: &str, class: u8| grammar::run(text.as_bytes(), class) == text.len();
    text.len() <= TARGET_BYTES && path.starts_with('/') && all(path, PATH) && all(query, QUERY)
}

/// What the scanner says of a head of `bytes` that asks for this, where it is its size that is wrong first.
pub fn too_large(method: &str, target: &str, bytes: usize, settings: &Settings) -> Option<Violation> {
    let path = grammar::run(target.as_bytes(), PATH);
    let rest = target.as_bytes().get(path..).unwrap_or_default();
    let good = match rest.split_first() {
        Some((b'?', query)) => path + 1 + grammar::run(query, QUERY),
        Some(_) | None => path,
    };
    // No more of it is looked at than a head may have.
    let window = settings.header_bytes().saturating_sub(method.len() + 1);
    // A method that is not served is told at the end of the target.
    let is_served = unserved(method.as_bytes()).is_none();
    if good.min(window) > TARGET_BYTES {
        return is_served.then_some(TARGET_TOO_LONG);
    }
    // Whatever else is wrong with the target is found out before.
    let is_sound = good >= window || is_served && good == target.len();
    (is_sound && bytes > settings.header_bytes()).then_some(HEAD_TOO_LARGE)
}

/// Where in a head the scan stands. It is shown the head from its first byte every time, and goes on where it stopped.
#[derive(Clone, Debug)]
pub(super) struct HeadScan {
    at: usize,
    /// Where the element of the request line that is being read starts.
    start: usize,
    part: Part,
    /// What is wrong with the method; told when it is known what it was for: other proxies ask with their clients' methods, and
    /// have to be answered in words that they understand.
    unserved: Option<Violation>,
    target: Range<usize>,
    blank_lines: u8,
    fields: FieldLines,
    facts: Facts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Blank,
    Method,
    TargetStart,
    Path,
    Query,
    OtherTarget,
    Version,
    Fields,
}

impl HeadScan {
    pub(super) fn new() -> Self {
        Self {
            at: 0,
            start: 0,
            part: Part::Blank,
            unserved: None,
            target: 0..0,
            blank_lines: 0,
            fields: FieldLines::starting(0),
            facts: Facts::default(),
        }
    }

    /// Whether nothing has come yet but empty lines.
    pub(super) fn is_idle(&self) -> bool {
        self.part == Part::Blank
    }

    /// Where in the head its target stands, as far as it was read.
    pub(super) fn target_span(&self) -> Range<usize> {
        match self.part {
            Part::Path | Part::Query | Part::OtherTarget => self.start..self.at,
            Part::Blank | Part::Method | Part::TargetStart | Part::Version | Part::Fields => self.target.clone(),
        }
    }

    /// Looks at `shown`, the head so far; `None`: more bytes are needed.
    pub(super) fn scan(&mut self, shown: &[u8], limit: usize) -> Result<Option<HeadEnd>, Violation> {
        let window = shown.get(..limit).unwrap_or(shown);
        if self.request_line(window)?
            && let Some(end) = self.field_lines(window)?
        {
            return Ok(Some(end));
        }
        if shown.len() >= limit {
            return Err(HEAD_TOO_LARGE);
        }
        Ok(None)
    }

    fn request_line(&mut self, window: &[u8]) -> Result<bool, Violation> {
        loop {
            let advanced = match self.part {
                Part::Blank => self.blank(window)?,
                Part::Method => self.method(window)?,
                Part::TargetStart => self.target_start(window).map_err(|violation| self.first(violation))?,
                Part::Path => self.target(window, PATH).map_err(|violation| self.first(violation))?,
                Part::Query => self.target(window, QUERY).map_err(|violation| self.first(violation))?,
                Part::OtherTarget => self
                    .target(window, VISIBLE)
                    .map_err(|violation| self.first(violation))?,
                Part::Version => self.version(window)?,
                Part::Fields => return Ok(true),
            };
            if !advanced {
                return Ok(false);
            }
        }
    }

    fn blank(&mut self, window: &[u8]) -> Result<bool, Violation> {
        match window.get(self.at) {
            None => Ok(false),
            Some(b'\r') => match window.get(self.at + 1) {
                None => Ok(false),
                Some(b'\n') if self.blank_lines == BLANK_LINES => {
                    Err(Violation::framing("too many empty lines before the request line"))
                }
                Some(b'\n') => {
                    self.blank_lines += 1;
                    self.at += 2;
                    Ok(true)
                }
                Some(_) => Err(Violation::framing(BARE_CR)),
            },
            Some(b'\n') => Err(Violation::framing(BARE_LF)),
            // The record type of a TLS handshake, and no character of a method.
            Some(0x16) => Err(Violation::new(
                Code::InvalidRequest,
                "this connection speaks HTTP, not TLS",
            )),
            Some(_) => self.enter(Part::Method, 0),
        }
    }

    fn method(&mut self, window: &[u8]) -> Result<bool, Violation> {
        self.at += grammar::run(window.get(self.at..).unwrap_or_default(), TOKEN);
        match window.get(self.at) {
            None => Ok(false),
            Some(b' ') => {
                let method = window.get(self.start..self.at).unwrap_or_default();
                if method.is_empty() {
                    return Err(Violation::new(Code::InvalidRequest, BAD_METHOD));
                }
                self.facts.options = method == b"OPTIONS";
                self.unserved = unserved(method);
                self.enter(Part::TargetStart, 1)
            }
            Some(_) => Err(Violation::new(Code::InvalidRequest, BAD_METHOD)),
        }
    }

    /// The violation that came first: the method's, where that is none we serve.
    fn first(&self, violation: Violation) -> Violation {
        self.unserved.unwrap_or(violation)
    }

    fn target_start(&mut self, window: &[u8]) -> Result<bool, Violation> {
        match window.get(self.at) {
            None => Ok(false),
            Some(b'/') => self.enter(Part::Path, 0),
            Some(b' ' | b'\r' | b'\n') => Err(Violation::new(Code::InvalidRequest, BAD_LINE)),
            Some(_) => self.enter(Part::OtherTarget, 0),
        }
    }

    fn target(&mut self, window: &[u8], class: u8) -> Result<bool, Violation> {
        self.at += grammar::run(window.get(self.at..).unwrap_or_default(), class);
        if self.at - self.start > TARGET_BYTES {
            return Err(TARGET_TOO_LONG);
        }
        Err(Violation::new(
            Code::InvalidTarget,
            match window.get(self.at) {
                None => return Ok(false),
                Some(b'?') if self.part == Part::Path => {
                    self.part = Part::Query;
                    self.at += 1;
                    return Ok(true);
                }
                Some(b' ') => {
                    if self.part == Part::OtherTarget {
                        other_target(window.get(self.start..self.at).unwrap_or_default(), self.facts.options)?;
                    }
                    self.target = self.start..self.at;
                    let advanced = self.enter(Part::Version, 1);
                    return self.unserved.map_or(advanced, Err);
                }
                // HTTP/0.9 had no version.
                Some(b'\r' | b'\n') => return Err(Violation::new(Code::InvalidRequest, BAD_LINE)),
                // hyper's URI type would drop it silently, and nobody behind us would know.
                Some(b'#') => "a request target has no fragment",
                Some(0x80..) => "a request target is ASCII; other characters are percent-encoded",
                Some(0..0x20 | 0x7f) => "a request target has no control characters",
                Some(_) => "the request target contains a character that must be percent-encoded",
            },
        ))
    }

    fn version(&mut self, window: &[u8]) -> Result<bool, Violation> {
        const LINE_END: &[u8] = b"HTTP/1.1\r\n";
        let rest = window.get(self.at..).unwrap_or_default();
        for (place, expected) in LINE_END.iter().enumerate() {
            match rest.get(place) {
                None => return Ok(false),
                Some(b'0') if place == 7 => self.facts.http10 = true,
                Some(found) if found == expected => {}
                Some(&found) => return Err(bad_version(place, found)),
            }
        }
        self.fields = FieldLines::starting(self.at + LINE_END.len());
        self.enter(Part::Fields, LINE_END.len())
    }

    fn field_lines(&mut self, window: &[u8]) -> Result<Option<HeadEnd>, Violation> {
        loop {
            match self.fields.next(window)? {
                Next::More => return Ok(None),
                Next::End(len) => return self.facts.conclude(len).map(Some),
                Next::Field { name, value } => self.facts.learn(name, value)?,
            }
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "so that the parts' scanners end in it")]
    fn enter(&mut self, part: Part, skip: usize) -> Result<bool, Violation> {
        self.part = part;
        self.at += skip;
        self.start = self.at;
        Ok(true)
    }
}

/// What is wrong with a method, if anything is.
fn unserved(method: &[u8]) -> Option<Violation> {
    match method {
        // A gateway opens no tunnels to where a client says (RFC 9110 section 9.3.6).
        b"CONNECT" => Some(Violation::new(Code::MethodNotAllowed, "CONNECT is not served here")),
        // Reserved, so that HTTP/1 never sees it but from a client that takes us for HTTP/2 (RFC 9113 section 3.4).
        b"PRI" => Some(Violation::new(
            Code::InvalidRequest,
            "this connection speaks HTTP/1, not HTTP/2",
        )),
        _ if method.len() > METHOD_BYTES => Some(Violation::new(Code::NotImplemented, "the method is not known")),
        _ => None,
    }
}

/// Decides by the first byte that is not as it should be, so that it never matters how many came with it.
fn bad_version(place: usize, found: u8) -> Violation {
    match (place, found) {
        (5 | 7, b'0'..=b'9') => Violation::new(Code::VersionNotSupported, "HTTP/1.1 and HTTP/1.0 are served here"),
        (8, b'\n') => Violation::framing(BARE_LF),
        (9, _) => Violation::framing(BARE_CR),
        _ => Violation::new(Code::InvalidRequest, BAD_LINE),
    }
}

/// A target that does not start with a slash: `*` for OPTIONS, or an http URI (RFC 9112 section 3.2). This is rare, so it may
/// cost what hyper's own parser costs; being the same, it refuses nothing that we let pass.
fn other_target(target: &[u8], options: bool) -> Result<(), Violation> {
    let refuse = |detail| Err(Violation::new(Code::InvalidTarget, detail));
    if target == b"*" {
        return if options {
            Ok(())
        } else {
            refuse("the target * is for OPTIONS only")
        };
    }
    let Ok(uri) = Uri::try_from(target) else {
        return refuse("the request target is not a valid URI");
    };
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return refuse("the request target must be a path or an http URI");
    };
    // RFC 9110 section 4.2.4.
    if authority.as_str().contains('@') {
        return refuse("the request target must not carry user information");
    }
    Ok(())
}

const HEAD_TOO_LARGE: Violation = Violation::new(Code::HeadersTooLarge, "the request's head is too large");
const TARGET_TOO_LONG: Violation = Violation::new(Code::TargetTooLong, "the request target is too long");
const BAD_METHOD: &str = "the request must start with a method";
const BAD_LINE: &str = "the request line must be a method, a target and an HTTP version with one space between";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_size_of_a_head_is_told_as_the_scan_tells_it() {
        let targets =
            [1, 4000, 4089, 4090, 16_384, 16_385, 70_000].map(|length| format!("/{}", "a".repeat(length - 1)));
        let odd = ["/a?b".repeat(5000), format!("/{}#", "a".repeat(9000)), "/#".to_owned()];
        for (target, limit) in targets
            .iter()
            .chain(&odd)
            .flat_map(|target| [(target, 4096), (target, 65_536)])
        {
            for (method, value) in [("GET", 0), ("GET", 4050), ("GET", 65_536), ("CONNECT", 65_536)] {
                let head = format!(
                    "{method} {target} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                    "b".repeat(value)
                );
                let scanned = HeadScan::new().scan(head.as_bytes(), limit).err();
                let of_size = |code| matches!(code, Code::TargetTooLong | Code::HeadersTooLarge);
                assert_eq!(
                    too_large(method, target, head.len(), &Settings::new(limit).unwrap()),
                    scanned.filter(|violation| of_size(violation.code)),
                    "{method} {} {limit} {value}",
                    target.len()
                );
            }
        }
    }
}
