//! As much of YAML as the examples use: maps and lists in blocks, lists in brackets, text with and without quotes, blocks of
//! text, comments, several documents in a file. Everything that is not a map or a list is text.

use serde_json::{Map, Value};

/// A line without its indentation, comment and end.
struct Line<'a> {
    indent: usize,
    text: &'a str,
    raw: &'a str,
}

/// The documents of a file.
pub fn documents(file: &str) -> Vec<Value> {
    let parts = file.split("\n---\n");
    parts.map(|part| Parser::of(part).block(0)).collect()
}

struct Parser<'a> {
    lines: Vec<Line<'a>>,
    next: usize,
}

impl<'a> Parser<'a> {
    fn of(text: &'a str) -> Self {
        let line = |raw: &'a str| {
            let text = without_comment(raw).trim();
            let indent = raw.len() - raw.trim_start().len();
            Line { indent, text, raw }
        };
        Self {
            lines: text.lines().map(line).collect(),
            next: 0,
        }
    }

    /// Goes to the next line that says something; `None` at the end.
    fn peek(&mut self) -> Option<(usize, &'a str)> {
        while self.lines.get(self.next).is_some_and(|line| line.text.is_empty()) {
            self.next += 1;
        }
        self.lines.get(self.next).map(|line| (line.indent, line.text))
    }

    /// The map or list that begins here, at least this far in.
    fn block(&mut self, least: usize) -> Value {
        match self.peek() {
            Some((indent, text)) if indent >= least => match text.starts_with("- ") {
                true => self.list(indent),
                false => self.map(indent),
            },
            _ => Value::Null,
        }
    }

    fn list(&mut self, indent: usize) -> Value {
        let mut items = Vec::new();
        while let Some((at, text)) = self.peek() {
            let Some(item) = text.strip_prefix("- ").filter(|_| at == indent) else {
                break;
            };
            if is_entry(item) {
                // A map whose first entry stands behind the hyphen.
                let line = &mut self.lines[self.next];
                (line.indent, line.text) = (indent + 2, item);
                items.push(self.map(indent + 2));
            } else {
                self.next += 1;
                items.push(scalar(item));
            }
        }
        Value::Array(items)
    }

    fn map(&mut self, indent: usize) -> Value {
        let mut entries = Map::new();
        while let Some((at, text)) = self.peek() {
            if at != indent {
                assert!(at < indent, "{text}");
                break;
            }
            let (key, value) = entry(text).unwrap_or_else(|| panic!("no entry: {text}"));
            self.next += 1;
            let value = match value {
                "" => self.nested(indent),
                "|" => Value::String(self.text_block(indent)),
                value => scalar(value),
            };
            let doubled = entries.insert(key.to_owned(), value);
            assert!(doubled.is_none(), "twice: {text}");
        }
        Value::Object(entries)
    }

    /// What belongs to a key without a value on its line: a list may stand as far out as the key.
    fn nested(&mut self, indent: usize) -> Value {
        match self.peek() {
            Some((at, text)) if at == indent && text.starts_with("- ") => self.list(at),
            _ => self.block(indent + 1),
        }
    }

    fn text_block(&mut self, indent: usize) -> String {
        let mut text = String::new();
        let inner = self.lines[self.next].indent;
        assert!(inner > indent, "an empty block");
        while let Some(line) = self.lines.get(self.next) {
            if !line.raw.trim().is_empty() && line.indent < inner {
                break;
            }
            text.push_str(line.raw.get(inner..).unwrap_or_default());
            text.push('\n');
            self.next += 1;
        }
        text
    }
}

fn is_entry(text: &str) -> bool {
    !text.starts_with(['"', '[', '{']) && entry(text).is_some()
}

fn entry(text: &str) -> Option<(&str, &str)> {
    match text.split_once(": ") {
        Some((key, value)) => Some((key, value.trim())),
        None => text.strip_suffix(':').map(|key| (key, "")),
    }
}

fn scalar(text: &str) -> Value {
    if let Some(items) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return items.split(',').map(|item| scalar(item.trim())).collect();
    }
    if text == "{}" {
        return Value::Object(Map::new());
    }
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    assert!(bare.is_none_or(|bare| !bare.contains(['"', '\\'])), "{text}");
    Value::String(bare.unwrap_or(text).to_owned())
}

/// A `#` begins a comment at the beginning of a line and behind a space, but within quotes.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut before = ' ';
    for (at, character) in line.char_indices() {
        if character == '"' {
            quoted = !quoted;
        }
        if character == '#' && !quoted && before.is_whitespace() {
            return &line[..at];
        }
        before = character;
    }
    line
}

#[test]
fn what_the_examples_use_is_read() {
    let text = "# c\na:\n  b: \"x # y\" # c\n  c: [1, \"2\"]\n  d:\n    - e\n    - f: g\n      h: i\n  t: |\n    one\n\n      two\n  z: {}\n---\nl:\n- m\n";
    let read = documents(text);
    let expected = serde_json::json!([
        { "a": {
            "b": "x # y", "c": ["1", "2"], "d": ["e", { "f": "g", "h": "i" }], "t": "one\n\n  two\n", "z": {}
        } },
        { "l": ["m"] }
    ]);
    assert_eq!(Value::Array(read), expected);
}
