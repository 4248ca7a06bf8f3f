//! Values as the log writes them. The formatting machinery writes the same, and took more time than the rest of a line.

use std::net::IpAddr;

pub(super) fn push(buffer: &mut Vec<u8>, text: &str) {
    buffer.extend_from_slice(text.as_bytes());
}

/// A decimal number of at least so many digits.
pub(super) fn number(buffer: &mut Vec<u8>, mut number: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        if number == 0 && used >= least {
            break;
        }
        *digit = u8::try_from(number % 10).unwrap_or(0) + b'0';
        number /= 10;
        used += 1;
    }
    buffer.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

pub(super) fn address(buffer: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            number(buffer, first.into(), 1);
            for octet in rest {
                buffer.push(b'.');
                number(buffer, octet.into(), 1);
            }
        }
        IpAddr::V6(address) => push(buffer, &address.to_string()),
    }
}

/// Whether every byte of a value is written as it is, between quotes.
fn is_plain(value: &str) -> bool {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\' && byte < 0x7f;
    value.bytes().all(plain)
}

/// A value between quotes. What could end the line or the value is escaped: nobody writes a line of their own.
pub(super) fn quoted(buffer: &mut Vec<u8>, value: &str) {
    buffer.push(b'"');
    if is_plain(value) {
        push(buffer, value);
    } else {
        push(buffer, &value.escape_debug().to_string());
    }
    buffer.push(b'"');
}

/// A value without quotes where it is one word, so that it can add no field of its own; else between quotes.
pub(super) fn word(buffer: &mut Vec<u8>, value: &str) {
    let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    match value.bytes().all(visible) {
        true => push(buffer, value),
        false => quoted(buffer, value),
    }
}

/// A value as a JSON string (RFC 8259 section 7), with its quotes.
pub(super) fn string(buffer: &mut Vec<u8>, value: &str) {
    buffer.push(b'"');
    inner(buffer, value);
    buffer.push(b'"');
}

/// The same without the quotes. What a terminal would obey or show as something else is escaped too, though JSON would have
/// it as it is.
pub(super) fn inner(buffer: &mut Vec<u8>, value: &str) {
    if is_plain(value) {
        push(buffer, value);
        return;
    }
    for character in value.chars() {
        match character {
            '"' => push(buffer, "\\\""),
            '\\' => push(buffer, "\\\\"),
            '\n' => push(buffer, "\\n"),
            '\r' => push(buffer, "\\r"),
            '\t' => push(buffer, "\\t"),
            '\'' => buffer.push(b'\''),
            shown if shown.escape_debug().len() == 1 => {
                push(buffer, shown.encode_utf8(&mut [0; 4]));
            }
            hidden => {
                for unit in hidden.encode_utf16(&mut [0; 2]) {
                    push(buffer, "\\u");
                    for digit in [12, 8, 4, 0].map(|shift| (*unit >> shift) & 0xf) {
                        let digit = char::from_digit(digit.into(), 16).unwrap_or('0');
                        push(buffer, digit.encode_utf8(&mut [0; 4]));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_format_writes_them() {
        for value in (0..64).map(|by| u64::MAX >> by).chain([0, 9, 10, 99, 100, 999, 1000]) {
            let mut text = Vec::new();
            number(&mut text, value, 3);
            assert_eq!(text, format!("{value:03}").as_bytes());
            text.clear();
            number(&mut text, value, 1);
            assert_eq!(text, value.to_string().as_bytes());
        }
        for written in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "2001:db8::1"] {
            let mut text = Vec::new();
            address(&mut text, written.parse().unwrap());
            assert_eq!(text, written.as_bytes());
        }
    }

    #[test]
    fn a_value_cannot_begin_a_line_of_its_own() {
        let mut text = Vec::new();
        quoted(&mut text, "a\"b\nc\u{202e}");
        assert_eq!(text, br#""a\"b\nc\u{202e}""#);
        assert!(!text.contains(&b'\n'));
    }

    #[test]
    fn a_word_cannot_add_a_field() {
        for (value, written) in [
            ("", ""),
            ("a-b=c/1", "a-b=c/1"),
            ("a user=root", r#""a user=root""#),
            ("a\"b", r#""a\"b""#),
            ("a\tb", r#""a\tb""#),
        ] {
            let mut text = Vec::new();
            word(&mut text, value);
            assert_eq!(String::from_utf8(text).unwrap(), written);
        }
    }

    #[test]
    fn every_character_comes_back_from_a_json_string() {
        for character in (0..=0x10_ffff).filter_map(char::from_u32) {
            let value = format!("a{character}'");
            let mut text = Vec::new();
            string(&mut text, &value);
            let read: String = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {value:?}"));
            assert_eq!(read, value);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let mut text = Vec::new();
        string(&mut text, "é\u{1b}[31m\u{202e}\u{9b}\u{7f}\u{feff}\u{e0001}\n'");
        assert_eq!(
            String::from_utf8(text).unwrap(),
            r#""é\u001b[31m\u202e\u009b\u007f\ufeff\udb40\udc01\n'""#
        );
    }
}
