//! Field lines: `name ":" OWS value OWS CRLF`, up to the empty line (RFC 9112 section 5). Heads and trailers share them.

use super::grammar::{self, TOKEN};
use super::settings::NAME_BYTES;
use super::violation::Violation;
use crate::codes::Code;

/// Where in a section of field lines the scan stands. All offsets count from the start of what is shown to [`FieldLines::next`],
/// which is the same bytes every time, each time perhaps a few more; no byte is looked at twice.
#[derive(Clone, Debug)]
pub(super) struct FieldLines {
    at: usize,
    name_start: usize,
    name_end: usize,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    LineStart,
    Name,
    Value,
}

/// What comes next in a section.
pub(super) enum Next<'a> {
    /// A whole line; the value has its white space still around it.
    Field { name: &'a [u8], value: &'a [u8] },
    /// The empty line: the section is this long.
    End(usize),
    /// The bytes shown end before the line does.
    More,
}

impl FieldLines {
    /// A section that starts `at` bytes into what will be shown.
    pub(super) fn starting(at: usize) -> Self {
        Self {
            at,
            name_start: at,
            name_end: at,
            part: Part::LineStart,
        }
    }

    /// The next line.
    #[inline]
    pub(super) fn next<'a>(&mut self, shown: &'a [u8]) -> Result<Next<'a>, Violation> {
        loop {
            match self.part {
                Part::LineStart => match shown.get(self.at) {
                    None => return Ok(Next::More),
                    Some(b'\r') => {
                        return Ok(if self.line_end(shown)? {
                            Next::End(self.at)
                        } else {
                            Next::More
                        });
                    }
                    Some(&byte) => self.line_start(byte)?,
                },
                Part::Name => {
                    if !self.name(shown)? {
                        return Ok(Next::More);
                    }
                }
                Part::Value => return self.value(shown),
            }
        }
    }

    fn line_start(&mut self, byte: u8) -> Result<(), Violation> {
        if grammar::is(byte, TOKEN) {
            self.name_start = self.at;
            self.part = Part::Name;
            return Ok(());
        }
        Err(Violation::framing(match byte {
            b'\n' => BARE_LF,
            // RFC 9112 section 5.2: obs-fold, which lets one line be read as two.
            b' ' | b'\t' => "a header line must not start with white space",
            b':' => "a header must have a name",
            _ => BAD_NAME,
        }))
    }

    /// Goes over the name and its colon; false when the bytes end before the colon.
    #[inline]
    fn name(&mut self, shown: &[u8]) -> Result<bool, Violation> {
        self.at += grammar::run(shown.get(self.at..).unwrap_or_default(), TOKEN);
        if self.at - self.name_start > NAME_BYTES {
            return Err(Violation::new(Code::HeadersTooLarge, "a header name is too long"));
        }
        match shown.get(self.at) {
            None => Ok(false),
            Some(b':') => {
                self.name_end = self.at;
                self.at += 1;
                self.part = Part::Value;
                Ok(true)
            }
            // RFC 9112 section 5.1: refused, since some would strip it and some would not.
            Some(b' ' | b'\t') => Err(Violation::framing("white space must not stand before a header's colon")),
            Some(b'\r' | b'\n') => Err(Violation::framing("a header line must have a colon")),
            Some(_) => Err(Violation::framing(BAD_NAME)),
        }
    }

    #[inline]
    fn value<'a>(&mut self, shown: &'a [u8]) -> Result<Next<'a>, Violation> {
        loop {
            self.at += grammar::value_run(shown.get(self.at..).unwrap_or_default());
            match shown.get(self.at) {
                None => return Ok(Next::More),
                Some(b'\t') => self.at += 1,
                Some(b'\r') => break,
                Some(b'\n') => return Err(Violation::framing(BARE_LF)),
                Some(_) => return Err(Violation::framing("a header value must not contain control characters")),
            }
        }
        let end = self.at;
        if !self.line_end(shown)? {
            return Ok(Next::More);
        }
        self.part = Part::LineStart;
        // `name_end` is the colon's place and `end` the line end's behind it: both within `shown`, in this order.
        Ok(Next::Field {
            name: shown.get(self.name_start..self.name_end).unwrap_or_default(),
            value: shown.get(self.name_end + 1..end).unwrap_or_default(),
        })
    }

    /// At a CR: goes over it and its LF; false when the LF is not there yet.
    #[inline]
    fn line_end(&mut self, shown: &[u8]) -> Result<bool, Violation> {
        match shown.get(self.at + 1) {
            None => Ok(false),
            Some(b'\n') => {
                self.at += 2;
                Ok(true)
            }
            Some(_) => Err(Violation::framing(BARE_CR)),
        }
    }
}

/// RFC 9112 section 2.2 lets a recipient take a bare LF as a line end; the strict do not, since not all do.
pub(super) const BARE_LF: &str = "lines must end in CR LF, not in LF alone";
pub(super) const BARE_CR: &str = "CR must be followed by LF";
const BAD_NAME: &str = "a header name contains a character that is not allowed there";
