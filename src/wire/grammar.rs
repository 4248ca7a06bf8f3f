//! Which bytes may stand where.

/// `tchar` (RFC 9110 section 5.6.2).
pub(super) const TOKEN: u8 = 1;
/// In a path, or before it is known what a target is. Browsers send more than RFC 3986 allows; what is left out here
/// (`<`, `>`, backtick) is what hyper's URI type would refuse without a word of ours.
pub(super) const PATH: u8 = 2;
/// In a query: the same, but the backtick passes and the double quote does not.
pub(super) const QUERY: u8 = 4;
/// Any visible ASCII character that may stand in an absolute-form target; its URI is parsed in full.
pub(super) const VISIBLE: u8 = 8;

static CLASSES: [u8; 256] = classes();

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "evaluated by the compiler, which would refuse an index outside"
)]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        let mut class = 0;
        if byte.is_ascii_alphanumeric() {
            class |= TOKEN;
        }
        if !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'`') {
            class |= PATH;
        }
        if !matches!(byte, b'#' | b'<' | b'>' | b'"') {
            class |= QUERY;
        }
        if byte != b'#' {
            class |= VISIBLE;
        }
        table[byte as usize] = class;
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] |= TOKEN;
        i += 1;
    }
    table
}

/// Whether `byte` belongs to `class`.
#[inline]
pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|found| found & class != 0)
}

/// How many bytes at the start of `bytes` belong to `class`.
#[inline]
pub(super) fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| !is(byte, class)).unwrap_or(bytes.len())
}

/// How many bytes at the start of `bytes` may stand in a field value without a closer look (RFC 9110 section 5.5): space,
/// visible ASCII, obs-text. It stops at every control character, HTAB and DEL included. Sixteen bytes at a time, which the
/// compiler compares at once, and where one of them stops it, eight.
#[inline]
pub(super) fn value_run(bytes: &[u8]) -> usize {
    let stops = |chunk: &[u8; 16]| chunk.iter().fold(false, |found, byte| found | byte.is_ascii_control());
    let (chunks, _) = bytes.as_chunks::<16>();
    let passed = 16 * chunks.iter().take_while(|chunk| !stops(chunk)).count();
    passed + short_value_run(bytes.get(passed..).unwrap_or_default())
}

#[inline]
fn short_value_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut passed = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // The classic tests for "some byte is below 0x20" and "some byte is zero". A borrow can mark bytes wrongly, but only
        // above one that is marked rightly; the lowest mark is what we ask for.
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let not_del = word ^ (ONES * 0x7f);
        let deletes = not_del.wrapping_sub(ONES) & !not_del;
        let marks = (controls | deletes) & TOPS;
        if marks != 0 {
            return passed + usize::try_from(marks.trailing_zeros() / 8).unwrap_or(0);
        }
        passed += 8;
    }
    passed + tail.iter().position(u8::is_ascii_control).unwrap_or(tail.len())
}

/// `1*DIGIT` up to the largest length that fits a signed 64-bit number: what every party behind us can count.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let mut number = 0_i64;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    if digits.is_empty() {
        None
    } else {
        u64::try_from(number).ok()
    }
}

/// The value of a hexadecimal digit.
#[inline]
pub(super) fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes here must never make hyper refuse behind our back: every byte, in every place.
    #[test]
    fn classes_are_within_what_hyper_takes() {
        for byte in 0..=u8::MAX {
            let path = [b"/a".as_slice(), &[byte], b"b"].concat();
            let query = [b"/a?c".as_slice(), &[byte], b"b"].concat();
            if is(byte, PATH) {
                let uri = http::Uri::try_from(path.as_slice()).unwrap();
                assert_eq!(uri.path().as_bytes(), path, "{byte:#x}");
            }
            if is(byte, QUERY) {
                let uri = http::Uri::try_from(query.as_slice()).unwrap();
                assert_eq!(uri.path_and_query().unwrap().as_str().as_bytes(), query, "{byte:#x}");
            }
            if is(byte, TOKEN) {
                assert_eq!(
                    http::Method::from_bytes(&[b'A', byte]).unwrap().as_str().as_bytes(),
                    [b'A', byte]
                );
                http::HeaderName::from_bytes(&[byte]).unwrap();
            }
            assert_eq!(value_run(&[byte]) == 1, byte >= 0x20 && byte != 0x7f, "{byte:#x}");
        }
    }

    #[test]
    fn value_runs_stop_exactly() {
        for len in 0..40 {
            for stop in 0..len {
                for byte in [0, 1, b'\t', b'\r', b'\n', 0x1f, 0x7f] {
                    for filler in [b' ', b'a', b'~', 0x80, 0xff, 0xa0] {
                        let mut bytes = vec![filler; len];
                        *bytes.get_mut(stop).unwrap() = byte;
                        assert_eq!(value_run(&bytes), stop, "{bytes:?}");
                    }
                }
            }
            assert_eq!(value_run(&vec![b'a'; len]), len);
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"0042"), Some(42));
        assert_eq!(decimal(b"9223372036854775807"), Some(9_223_372_036_854_775_807));
        for bad in [
            b"".as_slice(),
            b"-1",
            b"+1",
            b"1 2",
            b"1,1",
            b"0x1",
            b"9223372036854775808",
            b"99999999999999999999",
        ] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
        assert_eq!(
            (hex(b'f'), hex(b'A'), hex(b'g'), hex(b'9')),
            (Some(15), Some(10), None, Some(9))
        );
    }
}
