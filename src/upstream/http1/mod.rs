//! HTTP/1.1 as spoken to upstreams: one exchange at a time, no task of its own, no buffer while idle.
//!
//! A [`Connection`] is a byte stream that is at rest. [`Connection::exchange`] makes an [`Exchange`] of it, which its owner
//! drives by polling: first for the response's head, then for its body, while the rest of the request goes out. At the
//! end it becomes a connection again, if nothing at all speaks against another request on it, and is closed otherwise.
//! A response is read strictly (RFC 9112): what could be understood in two ways is an error, not a guess.

mod chunked;
mod exchange;
mod fields;
mod framing;
mod fuzz;
mod head;
mod input;
mod output;
mod reader;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;

pub(super) use exchange::Exchange;
pub use fuzz::fuzz_response;

use super::io::Io;

/// The head of a response may be this long …
const HEAD_AT_MOST: usize = 64 * 1024;
/// … and have so many fields; a trailer section too.
const FIELDS_AT_MOST: usize = 100;
/// So many interim responses may come before the one that counts, together no longer than one head. A server that sends
/// more plays for time.
const INTERIM_AT_MOST: usize = 16;
/// Chunk extensions and the white space beside them, in one whole body. They carry nothing that anybody reads.
const EXTENSIONS_AT_MOST: usize = 16 * 1024;
/// A trailer section may be this long.
const TRAILERS_AT_MOST: usize = 16 * 1024;

/// A connection between two exchanges.
pub(super) struct Connection {
    io: Io,
    /// Where it leads to.
    address: Option<SocketAddr>,
    /// How long the last response was.
    usual: usize,
}

impl Connection {
    /// A fresh connection.
    pub(super) fn new(io: Io, address: Option<SocketAddr>) -> Self {
        Self { io, address, usual: 0 }
    }

    /// Where it leads to; `None`: to what has no address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether the server has left it alone: neither closed it nor sent anything, which could only be taken for the
    /// answer to a question not yet asked. Asks what the runtime has seen so far, and the system only if that was
    /// something.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.io.is_quiet()
    }
}

/// What was wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Fault(&'static str);

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    /// What came is not HTTP/1, or not to be understood in one way only.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// The connection was closed in the middle.
    #[error("closed {0}")]
    Closed(&'static str),
    /// The request's body failed; its wrapper knows why.
    #[error("the request's body failed")]
    RequestBody,
    /// The request's body is not as long as the request says.
    #[error("the request's body is {0} than its declared length")]
    Length(&'static str),
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    Unwritable(&'static str),
}

impl Cause {
    /// Whether a message was not as it has to be.
    pub(super) fn is_invalid(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Unwritable(_) => true,
            Self::Broken(_) | Self::Closed(_) | Self::RequestBody | Self::Length(_) => false,
        }
    }

    /// Whether the request's own body was the reason.
    pub(super) fn is_request_body(&self) -> bool {
        match self {
            Self::RequestBody | Self::Length(_) => true,
            Self::Invalid(_) | Self::Unwritable(_) | Self::Broken(_) | Self::Closed(_) => false,
        }
    }
}
