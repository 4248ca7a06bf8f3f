//! A chunked body (RFC 9112 section 7.1).

use super::fields::{BARE_CR, BARE_LF, FieldLines, Next};
use super::grammar;
use super::settings::{EXTENSION_BYTES, EXTENSIONS_BYTES, TRAILER_BYTES, TRAILER_LINES};
use super::violation::Violation;
use crate::codes::Code;

/// Where in a chunked body the scan stands. Data and chunk lines pass as they come; the trailer section waits until it is
/// complete, so that a bad one is never seen.
#[derive(Clone, Debug)]
pub(super) struct ChunkScan {
    part: Part,
    /// Of the chunk at hand: its size while that is read, then what is left of its data.
    size: u64,
    digits: u8,
    extension: u16,
    extensions: u16,
    trailers: FieldLines,
    trailer_lines: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Size,
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
}

/// How far a look at some bytes came.
pub(super) struct Progress {
    /// So many may pass.
    pub(super) release: usize,
    /// `Ok(true)`: the body ends with them.
    pub(super) end: Result<bool, Violation>,
}

impl ChunkScan {
    pub(super) fn new() -> Self {
        Self {
            part: Part::Size,
            size: 0,
            digits: 0,
            extension: 0,
            extensions: 0,
            trailers: FieldLines::starting(0),
            trailer_lines: 0,
        }
    }

    /// Looks at what follows all that was released before.
    pub(super) fn scan(&mut self, shown: &[u8]) -> Progress {
        let mut at = 0;
        while let Some(&byte) = shown.get(at) {
            match self.part {
                Part::Trailers => {
                    let section = shown.get(at..).unwrap_or_default();
                    let (len, end) = match self.trailer_section(section) {
                        Ok(Some(len)) => (len, Ok(true)),
                        Ok(None) => (0, Ok(false)),
                        Err(violation) => (0, Err(violation)),
                    };
                    return Progress { release: at + len, end };
                }
                Part::Data => at += self.data(shown.len() - at),
                Part::Size | Part::Space | Part::Extension | Part::SizeLf | Part::DataCr | Part::DataLf => {
                    if let Err(violation) = self.byte(byte) {
                        return Progress {
                            release: at,
                            end: Err(violation),
                        };
                    }
                    at += 1;
                }
            }
        }
        Progress {
            release: at,
            end: Ok(false),
        }
    }

    /// Goes over data, of which `available` bytes are there; says how many that were.
    fn data(&mut self, available: usize) -> usize {
        let passed = usize::try_from(self.size).unwrap_or(usize::MAX).min(available);
        self.size = self.size.saturating_sub(u64::try_from(passed).unwrap_or(u64::MAX));
        if self.size == 0 {
            self.part = Part::DataCr;
        }
        passed
    }

    fn byte(&mut self, byte: u8) -> Result<(), Violation> {
        self.part = match (self.part, byte) {
            (Part::Size, _) => return self.size_byte(byte),
            (Part::Space, b' ' | b'\t') => self.extension_byte(Part::Space)?,
            (Part::Space | Part::Extension, b';') => self.extension_byte(Part::Extension)?,
            (Part::Space, _) => return Err(Violation::framing(BAD_SIZE)),
            (Part::Extension, b'\r') => Part::SizeLf,
            (Part::Extension, b' '..=b'~' | b'\t') => self.extension_byte(Part::Extension)?,
            (Part::Extension, _) => {
                return Err(Violation::framing(
                    "a chunk extension contains a character that is not allowed there",
                ));
            }
            (Part::SizeLf, b'\n') => self.after_size(),
            (Part::DataCr, b'\r') => Part::DataLf,
            (Part::DataLf, b'\n') => Part::Size,
            (Part::DataCr, _) => return Err(Violation::framing("a chunk's data must be as long as its size says")),
            (Part::SizeLf | Part::DataLf, _) => return Err(Violation::framing(BARE_CR)),
            (part @ (Part::Data | Part::Trailers), _) => part,
        };
        Ok(())
    }

    fn size_byte(&mut self, byte: u8) -> Result<(), Violation> {
        if let Some(digit) = grammar::hex(byte) {
            if self.digits == 16 {
                return Err(Violation::framing("a chunk's size has too many digits"));
            }
            self.digits += 1;
            self.size = self.size << 4 | digit;
            return Ok(());
        }
        self.part = match byte {
            _ if self.digits == 0 => return Err(Violation::framing(BAD_SIZE)),
            b'\r' => Part::SizeLf,
            b' ' | b'\t' => self.extension_byte(Part::Space)?,
            b';' => self.extension_byte(Part::Extension)?,
            b'\n' => return Err(Violation::framing(BARE_LF)),
            _ => return Err(Violation::framing(BAD_SIZE)),
        };
        Ok(())
    }

    /// Counts a byte behind the size. RFC 9112 section 7.1.1 wants extensions bounded: they are traffic that no limit on
    /// bodies sees.
    fn extension_byte(&mut self, part: Part) -> Result<Part, Violation> {
        self.extension += 1;
        self.extensions += 1;
        if self.extension > EXTENSION_BYTES || self.extensions > EXTENSIONS_BYTES {
            return Err(Violation::framing("the chunk extensions are too long"));
        }
        Ok(part)
    }

    fn after_size(&mut self) -> Part {
        self.digits = 0;
        self.extension = 0;
        if self.size == 0 { Part::Trailers } else { Part::Data }
    }

    /// `section` is the trailer section so far; says its length when it is complete (section 7.1.2).
    fn trailer_section(&mut self, section: &[u8]) -> Result<Option<usize>, Violation> {
        let window = section.get(..TRAILER_BYTES).unwrap_or(section);
        let too_large = Violation::new(Code::HeadersTooLarge, "the trailer section is too large");
        loop {
            match self.trailers.next(window)? {
                Next::End(len) => return Ok(Some(len)),
                Next::More if section.len() >= TRAILER_BYTES => return Err(too_large),
                Next::More => return Ok(None),
                Next::Field { .. } if self.trailer_lines == TRAILER_LINES => return Err(too_large),
                Next::Field { name, .. } if is_forbidden(name) => {
                    return Err(Violation::framing("a trailer section must not carry this field"));
                }
                Next::Field { .. } => self.trailer_lines += 1,
            }
        }
    }
}

/// Fields that say how to frame, route, authenticate, condition or read a message are of no use, or of evil use, behind its
/// body (RFC 9110 section 6.5.1). Names that must not come from a client at all are for those who forward trailers.
fn is_forbidden(name: &[u8]) -> bool {
    const FORBIDDEN: &[&str] = &[
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "origin",
        "pragma",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ];
    FORBIDDEN
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
}

const BAD_SIZE: &str = "a chunk must start with its size in hexadecimal digits";
