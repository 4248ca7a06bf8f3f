//! Tables of attacks in text files: how their rows are written.
//!
//! ```text
//! # a comment
//! 400! | its name | T: /a#b ⇒ !invalid_target
//! ```
//!
//! First the expectation, then the name, then what is sent, then what else must hold, each behind a `⇒`. What the letters before
//! the colon stand for is [`Row::bytes`]'s to say. `⏎` is CR LF; `\r \n \t \s \0 \xHH \\` are single bytes; `{*N:text}` is the text
//! N times over; `{name}` is what the test puts there.

use std::path::Path;

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) expected: String,
    pub(super) name: String,
    pub(super) sent: String,
    pub(super) more: Vec<String>,
}

/// The rows of a table in this folder.
pub(super) fn read(file: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/attack").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = text.lines().enumerate();
    rows.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| row(index + 1, line))
        .collect()
}

fn row(line: usize, text: &str) -> Row {
    let mut columns = text.splitn(3, '|').map(str::trim_start);
    let mut column = || {
        columns
            .next()
            .unwrap_or_else(|| panic!("line {line} has no three columns"))
    };
    let (expected, name, rest) = (column().trim().to_owned(), column().trim().to_owned(), column());
    let mut parts = rest.split('⇒');
    let sent = parts.next().unwrap_or_default();
    let sent = sent.strip_suffix(' ').unwrap_or(sent).to_owned();
    Row {
        line,
        expected,
        name,
        sent,
        more: parts.map(|part| part.trim().to_owned()).collect(),
    }
}

impl Row {
    /// The letter and the text behind it.
    pub(super) fn parts(&self) -> (&str, &str) {
        let (letter, text) = self
            .sent
            .split_once(':')
            .unwrap_or_else(|| panic!("line {}: no letter", self.line));
        (letter, text.strip_prefix(' ').unwrap_or(text))
    }

    /// What goes over the wire. The letter says which part of an ordinary request the row is about: a raw message, header lines
    /// (`H`), the head's end and body of a POST (`B`), a chunked body (`C`), the target (`T`), the method (`M`), Host (`S`).
    pub(super) fn bytes(&self, named: &[(&str, &str)]) -> Vec<u8> {
        let (letter, text) = self.parts();
        let bytes = unescape(text, named);
        let around = |before: &str, after: &str| [before.as_bytes(), &bytes, after.as_bytes()].concat();
        let end = " HTTP/1.1\r\nHost: app.test\r\n\r\n";
        match letter {
            "R" => bytes,
            "H" => around("GET /public HTTP/1.1\r\nHost: app.test\r\n", "\r\n\r\n"),
            "B" => around("POST /public HTTP/1.1\r\nHost: app.test\r\n", ""),
            "C" => around(
                "POST /public HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n",
                "",
            ),
            "T" => around("GET ", end),
            "M" => around("", &format!(" /public{end}")),
            "S" => around("GET /public HTTP/1.1\r\nHost: ", "\r\n\r\n"),
            _ => panic!("line {}: the letter {letter}", self.line),
        }
    }
}

/// Bytes from the notation of the tables.
pub fn unescape(text: &str, named: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        rest = match character {
            '⏎' => {
                bytes.extend(b"\r\n");
                after
            }
            '\\' => escape(after, &mut bytes),
            '{' => match braces(after, named, &mut bytes) {
                Some(after) => after,
                None => {
                    bytes.push(b'{');
                    after
                }
            },
            _ => {
                bytes.extend(&rest.as_bytes()[..character.len_utf8()]);
                after
            }
        };
    }
    bytes
}

fn escape<'t>(text: &'t str, bytes: &mut Vec<u8>) -> &'t str {
    // JSON's own escape stays as it is.
    if text.starts_with('u') {
        bytes.push(b'\\');
        return text;
    }
    let (byte, length) = match text.as_bytes()[0] {
        b'r' => (b'\r', 1),
        b'n' => (b'\n', 1),
        b't' => (b'\t', 1),
        b's' => (b' ', 1),
        b'0' => (0, 1),
        b'\\' => (b'\\', 1),
        b'x' => (u8::from_str_radix(&text[1..3], 16).unwrap(), 3),
        other => panic!("escape {:?} in {text:?}", char::from(other)),
    };
    bytes.push(byte);
    &text[length..]
}

/// `*N:text}` or `name}`; `None`: just a brace.
fn braces<'t>(text: &'t str, named: &[(&str, &str)], bytes: &mut Vec<u8>) -> Option<&'t str> {
    let (inner, after) = text.split_once('}')?;
    if let Some((count, repeated)) = inner.strip_prefix('*').and_then(|inner| inner.split_once(':')) {
        let repeated = unescape(repeated, named);
        bytes.extend(repeated.repeat(count.parse().ok()?));
        return Some(after);
    }
    let (_, value) = named.iter().find(|(name, _)| *name == inner)?;
    bytes.extend(value.as_bytes());
    Some(after)
}
