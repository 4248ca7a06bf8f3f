//! Reading a chunked body (RFC 9112 section 7.1).

use bytes::{Buf, Bytes};
use http::HeaderMap;

use super::fields::{self, Bounds, Lines};
use super::{EXTENSIONS_AT_MOST, FIELDS_AT_MOST, Fault, TRAILERS_AT_MOST};

const BOUNDS: Bounds = Bounds {
    bytes: TRAILERS_AT_MOST,
    lines: FIELDS_AT_MOST,
};

/// Reads a chunked body from pieces.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of extensions so far.
    extensions: usize,
    trailers: Option<Box<Section>>,
}

/// The trailer section as far as it has come.
#[derive(Debug, Default)]
struct Section {
    bytes: Vec<u8>,
    lines: Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the size, after so many digits.
    Size { size: u64, digits: u8 },
    /// White space after the size.
    Space { size: u64 },
    /// In an extension.
    Extension { size: u64 },
    /// After the CR of the size's line.
    SizeEnd { size: u64 },
    /// So many bytes of data are left.
    Data(u64),
    /// Before the CR after the data.
    DataCr,
    /// Before the LF after the data.
    DataLf,
    /// In the trailer section.
    Trailers,
    /// Nothing is left.
    End,
    /// What came was wrong, and stays so.
    Failed(Fault),
}

/// A u64 has so many hexadecimal digits; a size with more is a trick, or an overflow.
const DIGITS_AT_MOST: u8 = 16;

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            state: State::Size { size: 0, digits: 0 },
            extensions: 0,
            trailers: None,
        }
    }

    /// Takes what stands between two pieces of data off the front of `input`.
    pub(super) fn advance(&mut self, input: &mut Bytes) -> Result<(), Fault> {
        let step = self.steps(input);
        if let Err(fault) = step {
            self.state = State::Failed(fault);
        }
        step
    }

    /// The data that `input` begins with. To be asked after [`Self::advance`].
    pub(super) fn data(&mut self, input: &mut Bytes) -> Option<Bytes> {
        let State::Data(left) = &mut self.state else {
            return None;
        };
        let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
        if length == 0 {
            return None;
        }
        *left -= u64::try_from(length).unwrap_or(*left);
        if *left == 0 {
            self.state = State::DataCr;
        }
        Some(input.split_to(length))
    }

    /// Whether the body was read to its end.
    pub(super) fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// Whether there is a trailer section with something in it.
    pub(super) fn has_trailers(&self) -> bool {
        self.trailers.as_ref().is_some_and(|section| section.lines.count > 0)
    }

    /// The trailer section, once, if there is one. To be asked at the end.
    pub(super) fn trailers(&mut self) -> Result<Option<HeaderMap>, Fault> {
        let Some(section) = self.trailers.take() else {
            return Ok(None);
        };
        let Section { bytes, lines } = *section;
        if lines.count == 0 {
            return Ok(None);
        }
        fields::parse(&Bytes::from(bytes), 0, lines.count).map(Some)
    }

    fn steps(&mut self, input: &mut Bytes) -> Result<(), Fault> {
        loop {
            match self.state {
                State::Data(_) | State::End => return Ok(()),
                State::Failed(fault) => return Err(fault),
                State::Trailers => {
                    if !self.in_trailers(input)? {
                        return Ok(());
                    }
                }
                State::Size { .. }
                | State::Space { .. }
                | State::Extension { .. }
                | State::SizeEnd { .. }
                | State::DataCr
                | State::DataLf => {
                    let Some(byte) = input.first().copied() else {
                        return Ok(());
                    };
                    input.advance(1);
                    self.state = self.byte(byte)?;
                }
            }
        }
    }

    fn byte(&mut self, byte: u8) -> Result<State, Fault> {
        const SIZE: Fault = Fault("a chunk has no valid size");
        const DATA: Fault = Fault("a chunk does not end where it should");
        Ok(match (self.state, byte) {
            (State::Size { digits: 0, .. }, b'\r' | b' ' | b'\t' | b';') => return Err(SIZE),
            (State::Size { size, .. } | State::Space { size } | State::Extension { size }, b'\r') => {
                State::SizeEnd { size }
            }
            (State::Size { size, .. } | State::Space { size }, b' ' | b'\t') => {
                self.extend()?;
                State::Space { size }
            }
            (State::Size { size, .. } | State::Space { size }, b';') => {
                self.extend()?;
                State::Extension { size }
            }
            (State::Size { size, digits }, byte) => {
                let digit = char::from(byte).to_digit(16).ok_or(SIZE)?;
                if digits >= DIGITS_AT_MOST {
                    return Err(SIZE);
                }
                State::Size {
                    size: size << 4 | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extend()?;
                State::Extension { size }
            }
            (State::SizeEnd { size: 0 }, b'\n') => State::Trailers,
            (State::SizeEnd { size }, b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
            (State::Space { .. } | State::Extension { .. } | State::SizeEnd { .. }, _) => return Err(SIZE),
            (State::DataCr | State::DataLf, _) => return Err(DATA),
            (State::Data(_) | State::Trailers | State::End | State::Failed(_), _) => return Err(DATA),
        })
    }

    fn extend(&mut self) -> Result<(), Fault> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS_AT_MOST {
            return Err(Fault("the chunk extensions are too long"));
        }
        Ok(())
    }

    /// Whether the section has come to its end.
    fn in_trailers(&mut self, input: &mut Bytes) -> Result<bool, Fault> {
        // Nearly always there are none.
        if self.trailers.is_none() && input.starts_with(b"\r\n") {
            input.advance(2);
            self.state = State::End;
            return Ok(true);
        }
        if input.is_empty() {
            return Ok(false);
        }
        let Section { bytes, lines } = &mut **self.trailers.get_or_insert_default();
        let before = bytes.len();
        // No more than what may be of it: what follows a body may be long.
        let room = (TRAILERS_AT_MOST + 1).saturating_sub(before);
        bytes.extend_from_slice(input.get(..input.len().min(room)).unwrap_or_default());
        match lines.end(bytes, &BOUNDS)? {
            Some(end) => {
                input.advance(end.saturating_sub(before));
                bytes.truncate(end);
                self.state = State::End;
                Ok(true)
            }
            None => {
                input.clear();
                Ok(false)
            }
        }
    }
}
