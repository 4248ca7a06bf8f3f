//! What a client did against the rules of HTTP/1.

use std::error::Error;
use std::fmt;
use std::io;

use crate::codes::Code;

/// A broken rule: the code it is answered with, and a text for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The stable code; it brings the status along.
    pub code: Code,
    /// What is wrong, in words that repeat nothing of what the client sent.
    pub detail: &'static str,
}

impl Violation {
    pub(super) const fn new(code: Code, detail: &'static str) -> Self {
        Self { code, detail }
    }

    /// The message breaks RFC 9112 where its extent or its parts are told.
    pub(super) const fn framing(detail: &'static str) -> Self {
        Self::new(Code::InvalidFraming, detail)
    }

    /// The violation that made a read fail, looked for along `error`'s sources: hyper wraps what the stream said.
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(violation) = error.downcast_ref::<Self>() {
                return Some(*violation);
            }
            // The source of a custom io::Error is the source of what it carries, not what it carries.
            let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(violation) = carried.and_then(|carried| carried.downcast_ref::<Self>()) {
                return Some(*violation);
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail)
    }
}

impl Error for Violation {}

impl From<Violation> for io::Error {
    fn from(violation: Violation) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, violation)
    }
}
