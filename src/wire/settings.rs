//! The bounds of one HTTP/1 message.

use std::ops::RangeInclusive;

/// What the scanner lets a client send. One value is a matter of configuration, the others follow from what HTTP is used for
/// and from what hyper accepts behind us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    header_bytes: usize,
}

impl Settings {
    /// What [`Settings::new`] accepts. Below, ordinary browsers would be refused; above, hyper's own buffer would overflow first.
    pub const HEADER_BYTES: RangeInclusive<usize> = 4096..=262_144;

    /// A request head, from its first byte to the empty line, may be `header_bytes` long; `None` outside [`Self::HEADER_BYTES`].
    pub fn new(header_bytes: usize) -> Option<Self> {
        Self::HEADER_BYTES
            .contains(&header_bytes)
            .then_some(Self { header_bytes })
    }

    /// The longest request head.
    pub fn header_bytes(&self) -> usize {
        self.header_bytes
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { header_bytes: 65_536 }
    }
}

/// Empty lines before a request line: RFC 9112 section 2.2 wants at least one ignored (old clients send CRLF after a body).
pub(super) const BLANK_LINES: u8 = 2;
/// The longest method; the longest registered one has 17 bytes (RFC 9112 section 3: longer ones may get 501).
pub(super) const METHOD_BYTES: usize = 32;
/// The longest request target; RFC 9112 section 3 recommends 8000 at least, hyper ends at 65534.
pub(super) const TARGET_BYTES: usize = 16_384;
/// The longest field name; hyper and the field map behind it end at 65535.
pub(super) const NAME_BYTES: usize = 256;
/// Field lines in a head; hyper's parser has room for as many.
pub(super) const FIELD_LINES: u16 = 100;
/// What may stand behind the digits of one chunk's size.
pub(super) const EXTENSION_BYTES: u16 = 256;
/// All chunk extensions of a message together; hyper ends at 16 KiB.
pub(super) const EXTENSIONS_BYTES: u16 = 8192;
/// The whole trailer section; hyper ends at 16 KiB.
pub(super) const TRAILER_BYTES: usize = 8192;
/// Field lines in a trailer section.
pub(super) const TRAILER_LINES: u16 = 32;
/// What is read and thrown away from a client that still sends when we close, so that it can read its answer first.
pub(super) const LINGER_BYTES: usize = 65_536;
