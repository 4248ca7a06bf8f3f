//! From bytes to a response: the state between two reads. Knows no connection, so that any bytes can be shown to it.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::SizeHint;

use super::chunked::Chunked;
use super::framing::Framing;
use super::head::{Head, HeadFinder};
use super::{Fault, HEAD_AT_MOST, INTERIM_AT_MOST};

/// Reads up to the head that counts, over the interim ones before it.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    finder: HeadFinder,
    /// What has come of a head that came in pieces.
    held: Vec<u8>,
    interim: usize,
    interim_bytes: usize,
}

impl HeadReader {
    /// Takes a head off the front of `ahead`; what is only a part of one is taken too, and kept.
    pub(super) fn read(&mut self, ahead: &mut Bytes) -> Result<Option<Head>, Fault> {
        while !ahead.is_empty() {
            if !self.held.is_empty() {
                self.held.extend_from_slice(ahead);
                *ahead = Bytes::new();
            }
            let known: &[u8] = if self.held.is_empty() { ahead } else { &self.held };
            let Some(end) = self.finder.end(known)? else {
                if self.held.is_empty() {
                    self.held.extend_from_slice(ahead);
                    *ahead = Bytes::new();
                }
                return Ok(None);
            };
            if !self.held.is_empty() {
                *ahead = Bytes::from(std::mem::take(&mut self.held));
            }
            let head = std::mem::take(&mut self.finder).parse(&ahead.split_to(end))?;
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some(head));
            }
            self.interim += 1;
            self.interim_bytes += end;
            if self.interim > INTERIM_AT_MOST || self.interim_bytes > HEAD_AT_MOST {
                return Err(Fault("there are too many interim responses"));
            }
        }
        Ok(None)
    }
}

/// What is still to be read of a body.
#[derive(Debug)]
pub(super) enum BodyReader {
    /// So many bytes; never 0.
    Length(u64),
    /// What the chunks say.
    Chunked(Chunked),
    /// Whatever comes until the server closes.
    Close,
    /// Nothing.
    End,
}

/// What a body begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Data, never empty.
    Data(Bytes),
    /// Its trailers; nothing comes after them.
    Trailers(HeaderMap),
    /// Nothing that is there yet.
    More,
    /// Nothing any more.
    End,
}

impl BodyReader {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::End,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::new()),
            Framing::Close => Self::Close,
        }
    }

    /// Takes the next piece off the front of `ahead`. Whatever is left there after the end is not the body's.
    pub(super) fn next(&mut self, ahead: &mut Bytes) -> Result<Piece, Fault> {
        match self {
            Self::End => Ok(Piece::End),
            Self::Close | Self::Length(_) if ahead.is_empty() => Ok(Piece::More),
            Self::Close => Ok(Piece::Data(std::mem::take(ahead))),
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(ahead.len());
                *left -= u64::try_from(length).unwrap_or(*left);
                if *left == 0 {
                    *self = Self::End;
                }
                Ok(Piece::Data(if length == ahead.len() {
                    std::mem::take(ahead)
                } else {
                    ahead.split_to(length)
                }))
            }
            Self::Chunked(chunked) => {
                chunked.advance(ahead)?;
                if let Some(data) = chunked.data(ahead) {
                    // Whether that was the last piece is told with it if it can be; a fault is told after it.
                    if chunked.advance(ahead).is_ok() && chunked.is_at_end() && !chunked.has_trailers() {
                        *self = Self::End;
                    }
                    return Ok(Piece::Data(data));
                }
                if !chunked.is_at_end() {
                    return Ok(Piece::More);
                }
                let trailers = chunked.trailers();
                *self = Self::End;
                Ok(trailers?.map_or(Piece::End, Piece::Trailers))
            }
        }
    }

    /// The connection was closed: whether that is the end of the body.
    pub(super) fn close(&mut self) -> bool {
        if matches!(self, Self::Close) {
            *self = Self::End;
        }
        self.is_at_end()
    }

    pub(super) fn is_at_end(&self) -> bool {
        matches!(self, Self::End)
    }

    /// How many bytes will come, where that is known.
    pub(super) fn expected(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::Close | Self::End => None,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::Close => SizeHint::default(),
            Self::End => SizeHint::with_exact(0),
        }
    }
}
