//! The single steps from one reading of a path to another. Each appends what a backend that takes this step would see.
//!
//! Paths are bytes here: a decoded path need not be UTF-8.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// What a byte means for the readings. A path's classes are the union of its bytes' and tell which steps can change it.
pub(super) mod class {
    /// An upper-case ASCII letter: letters can be folded.
    pub(in crate::route) const UPPER: u8 = 1;
    /// `%`: something can be decoded. Also the characters that belong escaped in a URL and are often sent as they are:
    /// two ways to write one path.
    pub(in crate::route) const PERCENT: u8 = 1 << 1;
    /// `;`: parameters can be dropped.
    pub(in crate::route) const PARAMETER: u8 = 1 << 2;
    /// `?` and `#`: the path can end here.
    pub(in crate::route) const END: u8 = 1 << 3;
    /// `\`: can be taken for `/`.
    pub(in crate::route) const BACKSLASH: u8 = 1 << 4;
    /// Not ASCII: letters can be folded, NFKC can change it, overlong sequences can be accepted.
    pub(in crate::route) const WIDE: u8 = 1 << 5;
    /// Two slashes in a row (never a byte's class, only a path's).
    pub(in crate::route) const DOUBLE: u8 = 1 << 6;
    /// A control character, or a dot segment (a path's class): no reading may have one.
    pub(in crate::route) const NEVER: u8 = 1 << 7;
}

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(
            clippy::as_conversions,
            clippy::indexing_slicing,
            reason = "byte < 256, evaluated by the compiler"
        )]
        {
            classes[byte] = match byte as u8 {
                0..=0x1f | 0x7f => class::NEVER,
                b'A'..=b'Z' => class::UPPER,
                b'%' | b' ' | b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => class::PERCENT,
                b';' => class::PARAMETER,
                b'?' | b'#' => class::END,
                b'\\' => class::BACKSLASH,
                0x80..=0xff => class::WIDE,
                _ => 0,
            };
        }
        byte += 1;
    }
    classes
};

/// The class of one byte.
#[expect(clippy::indexing_slicing, reason = "256 entries, indexed by a byte")]
pub(super) fn class_of(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// The classes in a path, in one pass.
pub(super) fn classes(path: &[u8]) -> u8 {
    let mut seen = 0;
    let mut previous = 0;
    let mut dots = false;
    for &byte in path {
        seen |= class_of(byte);
        if previous == b'/' {
            if byte == b'/' {
                seen |= class::DOUBLE;
            }
            dots |= byte == b'.';
        }
        previous = byte;
    }
    if dots && has_dot_segment(path) {
        seen |= class::NEVER;
    }
    seen
}

/// Whether a segment is `.` or `..` (RFC 3986 section 3.3).
pub(super) fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/')
        .any(|segment| matches!(segment, b"." | b".."))
}

/// Whether every `%` begins an escape (RFC 3986 section 2.1).
pub(super) fn escapes_are_whole(path: &[u8]) -> bool {
    let mut rest = path;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        match rest.get(at..).and_then(escape) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

/// The canonical reading: what every backend that decodes at all agrees on. Every escape is decoded but those of octets
/// that carry structure, which are written in one way: in lower case, so that folding letters does not change them.
pub(super) fn canonical(path: &[u8], out: &mut Vec<u8>) {
    map_escapes(path, out, |octet, out| match octet {
        b'/' | b'\\' | b';' | b'?' | b'#' | b'%' => push_escape(octet, out),
        _ => out.push(octet),
    });
}

/// The reading of a backend that does not decode: as received, but for the case of hexadecimal digits
/// (RFC 3986 section 6.2.2.1) and with everything escaped that belongs escaped.
pub(super) fn undecoded(path: &[u8], out: &mut Vec<u8>) {
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = match escape(rest) {
            Some((octet, after)) => {
                push_escape(octet, out);
                after
            }
            None if class_of(*first) & class::PERCENT != 0 => {
                push_escape(*first, out);
                tail
            }
            None => {
                out.push(*first);
                tail
            }
        };
    }
}

/// A decoded path as a client usually writes it: what may not stand in a path (RFC 3986 section 3.3, `pchar`) escaped.
pub(super) fn escaped(path: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        match class_of(byte) & (class::PERCENT | class::WIDE) {
            0 => out.push(byte),
            _ => push_escape(byte, &mut out),
        }
    }
    out
}

/// Percent-decoded once (more). What is no escape stays as it is.
pub(super) fn decode(path: &[u8], out: &mut Vec<u8>) {
    map_escapes(path, out, |octet, out| out.push(octet));
}

/// `%2F`, `%5C` and `\` taken for `/`.
pub(super) fn slashes(path: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    map_escapes(path, out, |octet, out| match octet {
        b'/' | b'\\' => out.push(b'/'),
        _ => push_escape(octet, out),
    });
    out.iter_mut()
        .skip(from)
        .filter(|byte| **byte == b'\\')
        .for_each(|byte| *byte = b'/');
}

/// `//` merged.
pub(super) fn merge(path: &[u8], out: &mut Vec<u8>) {
    let mut previous = 0;
    for &byte in path {
        if byte != b'/' || previous != b'/' {
            out.push(byte);
        }
        previous = byte;
    }
}

/// `;parameters` dropped from every segment.
pub(super) fn drop_parameters(path: &[u8], out: &mut Vec<u8>) {
    let mut dropping = false;
    for &byte in path {
        match byte {
            b';' => dropping = true,
            b'/' => dropping = false,
            _ => {}
        }
        if !dropping {
            out.push(byte);
        }
    }
}

/// Ended at the first `?` or `#`: a backend that decodes before it takes the target apart.
pub(super) fn end(path: &[u8], out: &mut Vec<u8>) {
    out.extend(path.iter().take_while(|byte| !matches!(byte, b'?' | b'#')));
}

/// ASCII characters that are written as overlong UTF-8 (`C0 AF` for `/`) taken for what they mean to a decoder that
/// does not check (RFC 3629 section 10).
pub(super) fn overlong(path: &[u8], out: &mut Vec<u8>) {
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let (byte, after) = match rest {
            [lead @ 0xc0..=0xc1, low @ 0x80..=0xbf, after @ ..]
            | [0xe0, lead @ 0x80..=0x81, low @ 0x80..=0xbf, after @ ..]
            | [0xf0, 0x80, lead @ 0x80..=0x81, low @ 0x80..=0xbf, after @ ..] => ((lead & 1) << 6 | low & 0x3f, after),
            _ => (*first, tail),
        };
        out.push(byte);
        rest = after;
    }
}

/// Longer texts are not normalized: this step is dear, and no file's path is longer on the systems there are.
const MAX_NORMALIZED: usize = 4096;

/// Letters folded and compatibility characters replaced (NFKC), as asked for, until neither changes anything. Bytes that
/// are not UTF-8 stay as they are. `None` if the text is too long for that, or grows beyond measure.
pub(super) fn normalize(path: &[u8], fold: bool, nfkc: bool, out: &mut Vec<u8>) -> Option<()> {
    let from = out.len();
    if path.is_ascii() || !fold && !nfkc {
        out.extend_from_slice(path);
        if fold {
            out.iter_mut().skip(from).for_each(u8::make_ascii_lowercase);
        }
        return Some(());
    }
    let mut now = match fold {
        true => map_text(path, fold_letters)?,
        false => path.to_vec(),
    };
    // One round is the rule; NFKC can bring forth letters to be folded, and folding sequences to be composed.
    for _ in 0..4 {
        if nfkc {
            now = map_text(&now, compose)?;
        }
        if !(fold && nfkc) {
            break;
        }
        let next = map_text(&now, fold_letters)?;
        if next == now {
            break;
        }
        now = next;
    }
    out.extend_from_slice(&now);
    Some(())
}

fn map_text(path: &[u8], map: fn(&str, &mut Vec<u8>) -> Option<()>) -> Option<Vec<u8>> {
    if path.len() > MAX_NORMALIZED {
        return None;
    }
    let mut out = Vec::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        map(chunk.valid(), &mut out)?;
        out.extend_from_slice(chunk.invalid());
    }
    (out.len() <= MAX_NORMALIZED).then_some(out)
}

/// There are characters that NFKC makes eighteen of. A few of them are fine.
fn compose(text: &str, out: &mut Vec<u8>) -> Option<()> {
    if is_nfkc_quick(text.chars()) == IsNormalized::Yes {
        out.extend_from_slice(text.as_bytes());
        return Some(());
    }
    let most = out.len() + text.len() * 2 + 256;
    let mut buffer = [0; 4];
    for letter in text.nfkc() {
        out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
        if out.len() > most {
            return None;
        }
    }
    Some(())
}

/// By way of upper case, so that everything is equal that any usual comparison without case takes for equal: `ß` and
/// `SS`, `ſ` and `s`, `ı` and `I`. `İ` is `i` to who folds letter by letter, `i` and a combining dot to others: the dot is dropped.
fn fold_letters(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4];
    for letter in text.chars() {
        if letter.is_ascii() {
            out.extend_from_slice(letter.to_ascii_lowercase().encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        // Lower case first, for the capital `ẞ` has no upper case of its own.
        let letters = letter
            .to_lowercase()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase);
        for folded in letters {
            if folded == '\u{307}' && out.last() == Some(&b'i') {
                continue;
            }
            out.extend_from_slice(folded.encode_utf8(&mut buffer).as_bytes());
        }
    }
    Some(())
}

fn map_escapes(path: &[u8], out: &mut Vec<u8>, mut each: impl FnMut(u8, &mut Vec<u8>)) {
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        match escape(rest) {
            Some((octet, after)) => {
                each(octet, out);
                rest = after;
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
}

/// The octet of the escape at the beginning, and what follows it.
pub(super) fn escape(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [b'%', high, low, rest @ ..] => Some((hex(*high)? << 4 | hex(*low)?, rest)),
        _ => None,
    }
}

/// Appends an octet as an escape.
pub(super) fn push_escape(octet: u8, out: &mut Vec<u8>) {
    out.extend([b'%', digit(octet >> 4), digit(octet & 0xf)]);
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' - 10 + value,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn apply(step: impl Fn(&[u8], &mut Vec<u8>), path: &str) -> String {
        let mut out = Vec::new();
        step(path.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_step_does_what_it_says() {
        assert_eq!(apply(canonical, "/%61%2f%3b%c3%a9%252e%20"), "/a%2f%3bé%252e ");
        assert_eq!(apply(undecoded, "/%61%2F%c3|"), "/%61%2f%c3%7c");
        assert_eq!(escaped("/a b/~é|"), b"/a%20b/~%c3%a9%7c");
        assert_eq!(apply(decode, "/%61%2F%252F%zz%"), "/a/%2F%zz%");
        assert_eq!(apply(slashes, "/a%2Fb%5cc\\d%252F"), "/a/b/c/d%252F");
        assert_eq!(apply(merge, "//a///b//"), "/a/b/");
        assert_eq!(apply(drop_parameters, "/a;b=c;d/e;/;"), "/a/e/");
        assert_eq!(apply(end, "/a?b#c"), "/a");
        assert_eq!(
            apply(|path, out| normalize(path, true, false, out).unwrap(), "/ſTRAẞE%"),
            "/strasse%"
        );
        assert_eq!(
            apply(|path, out| normalize(path, false, true, out).unwrap(), "/．．／Ａ"),
            "/../A"
        );
        assert_eq!(apply(|path, out| normalize(path, true, true, out).unwrap(), "/Ⓐ"), "/a");
        let mut out = Vec::new();
        overlong(b"\xc0\xae\xe0\x80\xaf\xf0\x80\x80\xafx\xc1\x81\xc2\xae", &mut out);
        assert_eq!(out, b".//xA\xc2\xae");
    }

    #[test]
    fn folding_a_letter_twice_is_folding_it_once() {
        for letter in '\0'..=char::MAX {
            let mut buffer = [0; 4];
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            fold_letters(letter.encode_utf8(&mut buffer), &mut once).unwrap();
            fold_letters(std::str::from_utf8(&once).unwrap(), &mut twice).unwrap();
            assert_eq!(once, twice, "{letter:?}");
        }
    }

    #[test]
    fn what_grows_without_measure_is_not_normalized() {
        let grown = |text: &str, times| normalize(text.repeat(times).as_bytes(), true, true, &mut Vec::new());
        assert_eq!((grown("\u{fdfa}", 8), grown("\u{fdfa}", 30)), (Some(()), None));
        assert_eq!((grown("é", 2048), grown("é", 2049)), (Some(()), None));
    }

    #[test]
    fn a_dot_segment_is_a_whole_segment() {
        for path in ["/.", "/..", "/a/./b", "/../", "/a/.."] {
            assert_ne!(classes(path.as_bytes()) & class::NEVER, 0, "{path}");
        }
        for path in ["/.well-known", "/...", "/a.", "/a../b", "/..a", "/a/.b/c"] {
            assert_eq!(classes(path.as_bytes()) & class::NEVER, 0, "{path}");
        }
    }
}
