//! The Huffman code of HPACK (RFC 7541 appendix B), read only.
//!
//! The code is canonical: codes of one length follow one another in the order of their symbols. So the lengths say it all.

/// How many bits each octet's code has.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26,
];

/// The longest code; the end-of-string symbol has this length too and must not occur (RFC 7541 section 5.2).
const LONGEST: usize = 30;

struct Table {
    /// Of each length: the first code, the code behind the last one, and the place of the first one's symbol.
    rows: [(u32, u32, usize); LONGEST + 1],
    /// Octets, by the length of their codes and then by value.
    symbols: [u8; 256],
}

const TABLE: Table = build();

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "evaluated by the compiler, which says so where it goes wrong"
)]
const fn build() -> Table {
    let mut table = Table {
        rows: [(0, 0, 0); LONGEST + 1],
        symbols: [0; 256],
    };
    let (mut length, mut code, mut placed) = (1, 0, 0);
    while length <= LONGEST {
        code <<= 1;
        let (first, offset) = (code, placed);
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                table.symbols[placed] = symbol as u8;
                placed += 1;
                code += 1;
            }
            symbol += 1;
        }
        table.rows[length] = (first, code, offset);
        length += 1;
    }
    table
}

/// Gives each octet of `coded` to `take`; false where it is no Huffman code, or is not padded as it must be.
pub(super) fn decode(coded: &[u8], mut take: impl FnMut(u8)) -> bool {
    let (mut bits, mut have) = (0_u64, 0_usize);
    let mut bytes = coded.iter();
    loop {
        while have < LONGEST
            && let Some(byte) = bytes.next()
        {
            bits = (bits << 8) | u64::from(*byte);
            have += 8;
        }
        // The next bits, the first one on the left; behind the end stand ones, as the padding has them.
        let ones = (1_u64 << LONGEST) - 1;
        let window = if have >= LONGEST {
            (bits >> (have - LONGEST)) & ones
        } else {
            ((bits << (LONGEST - have)) | ((1 << (LONGEST - have)) - 1)) & ones
        };
        match symbol(u32::try_from(window).unwrap_or(u32::MAX)) {
            Some((octet, length)) if length <= have => {
                take(octet);
                have -= length;
            }
            // What is left is padding: less than an octet, and all ones (the window is then the end-of-string code).
            Some(_) | None => return have < 8 && window == ones,
        }
    }
}

/// The symbol whose code stands at the left of these 30 bits, and the code's length.
fn symbol(window: u32) -> Option<(u8, usize)> {
    for (length, (first, behind, offset)) in TABLE.rows.iter().enumerate().skip(5) {
        let code = window >> (LONGEST - length);
        if code < *behind {
            let place = offset + usize::try_from(code.checked_sub(*first)?).ok()?;
            return TABLE.symbols.get(place).map(|octet| (*octet, length));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::decode;

    fn text(coded: &[u8]) -> Option<String> {
        let mut text = Vec::new();
        decode(coded, |octet| text.push(octet)).then(|| String::from_utf8(text).unwrap())
    }

    /// RFC 7541 appendix C.4 and C.6.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(text(&www).unwrap(), "www.example.com");
        assert_eq!(text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).unwrap(), "no-cache");
        assert_eq!(
            text(&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf]).unwrap(),
            "custom-value"
        );
        let date = [
            0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82,
            0xa6, 0x2d, 0x1b, 0xff,
        ];
        assert_eq!(text(&date).unwrap(), "Mon, 21 Oct 2013 20:13:21 GMT");
        assert_eq!(text(&[]).unwrap(), "");
    }

    #[test]
    fn rare_octets_and_bad_padding() {
        // "/#": 011000 111111111010, padded with ones.
        assert_eq!(text(&[0b0110_0011, 0b1111_1110, 0b1011_1111]).unwrap(), "/#");
        // The longest codes: LF is 30 bits.
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xf3]).unwrap(), "\n");
        // Padding of zeros, of a whole octet, and the end-of-string symbol.
        assert_eq!(text(&[0b0110_0000]), None);
        assert_eq!(text(&[0b0110_0011, 0xff]), None);
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xff]), None);
    }
}
