//! A walk over a header block (RFC 7541) that looks at names only as far as it must to find `:path` and pseudo-headers.

use super::huffman;

/// What a look at a header block has brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// It may pass as it is.
    Clean,
    /// This is to pass instead.
    Changed(Vec<u8>),
    /// It is no header block.
    Malformed,
}

/// Which of the entries that were put into the dynamic table last are named `:path`, and which with a pseudo-header's name;
/// the first bit is the newest entry. Entries leave the table at its old end only, so whichever have, a place in the
/// table is the same place here. A table of 4096 octets, the initial size, which hyper's server leaves as it is, has no more
/// than 128 entries: each counts 32 octets at least (RFC 7541 section 4.1).
#[derive(Debug, Default)]
pub(super) struct Names {
    paths: u128,
    pseudo: u128,
}

/// The places of the static table: the pseudo-headers are its first 14 entries, `:path` two of them.
const STATIC_PSEUDO: std::ops::RangeInclusive<usize> = 1..=14;
const STATIC_PATH: std::ops::RangeInclusive<usize> = 4..=5;
const FIRST_DYNAMIC: usize = 62;

/// `connection: close` as a literal that leaves the table alone. RFC 9113 section 8.2.2 makes of it a malformed request, and
/// h2 a stream error.
const NEVER: &[u8] = b"\x00\x0aconnection\x05close";

impl Names {
    /// Walks over `block`, which opens a stream or else is its trailers.
    pub(super) fn walk(&mut self, block: &[u8], trailers: bool) -> Walked {
        let mut rest = Rest { bytes: block, at: 0 };
        let (mut changed, mut copied, mut pseudo) = (Vec::new(), 0, false);
        while let Some(first) = rest.peek() {
            let Some(field) = self.field(&mut rest, first) else {
                return Walked::Malformed;
            };
            pseudo |= field.pseudo;
            let Some(value) = field.value else { continue };
            if field.path {
                let Some(path) = value.text() else {
                    return Walked::Malformed;
                };
                if let Some(path) = path {
                    changed.extend(block.get(copied..value.at).unwrap_or_default());
                    put_string(&mut changed, &path);
                    copied = rest.at;
                }
            }
        }
        let refused = trailers && pseudo;
        if copied == 0 && !refused {
            return Walked::Clean;
        }
        changed.extend(block.get(copied..).unwrap_or_default());
        if refused {
            changed.extend(NEVER);
        }
        Walked::Changed(changed)
    }

    /// Reads one field, or a change of the table's size (RFC 7541 section 6).
    fn field<'b>(&mut self, rest: &mut Rest<'b>, first: u8) -> Option<Field<'b>> {
        if first & 0x80 != 0 {
            let index = rest.integer(7)?;
            return Some(Field {
                pseudo: self.is_pseudo(index),
                ..Field::default()
            });
        }
        if first & 0xe0 == 0x20 {
            rest.integer(5)?;
            return Some(Field::default());
        }
        let indexed = first & 0x40 != 0;
        let (path, pseudo) = match rest.integer(if indexed { 6 } else { 4 })? {
            0 => rest.string()?.name()?,
            index => (self.is_path(index), self.is_pseudo(index)),
        };
        let value = rest.string()?;
        if indexed {
            self.paths = self.paths << 1 | u128::from(path);
            self.pseudo = self.pseudo << 1 | u128::from(pseudo);
        }
        Some(Field {
            path,
            pseudo,
            value: Some(value),
        })
    }

    fn is_path(&self, index: usize) -> bool {
        STATIC_PATH.contains(&index) || bit(self.paths, index)
    }

    fn is_pseudo(&self, index: usize) -> bool {
        STATIC_PSEUDO.contains(&index) || bit(self.pseudo, index)
    }
}

/// Whether the entry of the dynamic table with this index is marked.
fn bit(marks: u128, index: usize) -> bool {
    let place = index
        .checked_sub(FIRST_DYNAMIC)
        .and_then(|place| u32::try_from(place).ok());
    place
        .and_then(|place| marks.checked_shr(place))
        .is_some_and(|marks| marks & 1 == 1)
}

#[derive(Default)]
struct Field<'b> {
    path: bool,
    pseudo: bool,
    value: Option<Text<'b>>,
}

/// A string literal (RFC 7541 section 5.2).
struct Text<'b> {
    /// Where it starts, with its length.
    at: usize,
    huffman: bool,
    bytes: &'b [u8],
}

impl Text<'_> {
    /// Whether this name is `:path`, and whether it is a pseudo-header's. A name that is no Huffman code: nothing.
    fn name(&self) -> Option<(bool, bool)> {
        if !self.huffman {
            return Some((self.bytes == b":path", self.bytes.first() == Some(&b':')));
        }
        // The code of ":" has seven bits.
        if self.bytes.first().is_none_or(|first| first >> 1 != 0b101_1100) {
            return Some((false, false));
        }
        let mut name = Vec::new();
        huffman::decode(self.bytes, |octet| name.push(octet)).then(|| (name == b":path", true))
    }

    /// What is to stand in place of this `:path`, if it must not stay: the same length, refused by all who read targets. A
    /// path that is no Huffman code: `None`.
    fn text(&self) -> Option<Option<Vec<u8>>> {
        let mut found = false;
        if self.huffman {
            if may_hold_hash(self.bytes) && !huffman::decode(self.bytes, |octet| found |= octet == b'#') {
                return None;
            }
        } else {
            found = self.bytes.contains(&b'#');
        }
        if !found {
            return Some(None);
        }
        let mut path = Vec::new();
        if self.huffman {
            huffman::decode(self.bytes, |octet| path.push(octet));
        } else {
            path.extend(self.bytes);
        }
        Some(Some(refused(path)))
    }
}

/// Whether the code of `#` may stand in this text: it begins with nine ones, which those of most paths have nowhere.
fn may_hold_hash(coded: &[u8]) -> bool {
    let ones = |pair: &[u8]| matches!(pair, [a, b] if a.trailing_ones() + b.leading_ones() >= 9);
    coded.windows(2).any(ones)
}

/// A target that will be refused with 400, in place of one with a `#`, as like it as can be: a backslash in the path. (In a
/// query it may be, so a query becomes a part of the path.) `http::Uri` takes it, and wants a `/` first.
fn refused(mut path: Vec<u8>) -> Vec<u8> {
    for octet in &mut path {
        if matches!(octet, b'#' | b'?') {
            *octet = b'\\';
        }
    }
    match path.as_mut_slice() {
        // No slash in front: no target, but one that `http::Uri` takes.
        [only] => *only = b'?',
        [first, second, ..] if *first == b'\\' => (*first, *second) = (b'/', b'\\'),
        _ => {}
    }
    path
}

/// A string without Huffman code, with its length before it.
fn put_string(to: &mut Vec<u8>, text: &[u8]) {
    const PREFIX: usize = 0x7f;
    let mut left = match text.len().checked_sub(PREFIX) {
        None => {
            to.extend(u8::try_from(text.len()));
            to.extend(text);
            return;
        }
        Some(left) => left,
    };
    to.push(0x7f);
    while left >= 0x80 {
        to.extend(u8::try_from(left % 0x80 + 0x80));
        left /= 0x80;
    }
    to.extend(u8::try_from(left));
    to.extend(text);
}

/// What of a block is still to be read.
struct Rest<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Rest<'b> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at += 1;
        Some(octet)
    }

    /// An integer whose first octet has this many bits for it (RFC 7541 section 5.1); five octets at most, as h2 has it.
    fn integer(&mut self, prefix: u32) -> Option<usize> {
        let mask = (1_usize << prefix) - 1;
        let mut value = usize::from(self.next()?) & mask;
        if value < mask {
            return Some(value);
        }
        for shift in [0, 7, 14, 21] {
            let octet = usize::from(self.next()?);
            value += (octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn string(&mut self) -> Option<Text<'b>> {
        let at = self.at;
        let huffman = self.peek()? & 0x80 != 0;
        let length = self.integer(7)?;
        let bytes = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(Text { at, huffman, bytes })
    }
}
