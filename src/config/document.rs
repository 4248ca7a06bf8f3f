//! A TOML text: its values for the layers, and where in the text each of them stands.

use std::collections::BTreeMap;
use std::ops::Range;

use figment::value::{Dict, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::KeyPath;

/// A place in a text, from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Something that is not TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub position: Option<Position>,
    /// What the parser says. It never shows a value.
    pub message: String,
}

/// A parsed text.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Its values.
    pub values: Dict,
    keys: BTreeMap<KeyPath, Position>,
    places: BTreeMap<KeyPath, Position>,
}

impl Document {
    /// Parses a text.
    pub fn parse(text: &str) -> Result<Self, Vec<SyntaxError>> {
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reading = Reading {
            lines,
            document: Self::default(),
            errors: Vec::new(),
        };
        for error in errors {
            reading.errors.push(SyntaxError {
                position: error.span().map(|span| reading.lines.position(span)),
                message: error.message().to_owned(),
            });
        }
        let values = reading.table(table.get_ref(), &KeyPath::root());
        if reading.errors.is_empty() {
            Ok(Self {
                values,
                ..reading.document
            })
        } else {
            Err(reading.errors)
        }
    }

    /// Where the value of this key stands.
    pub fn position(&self, key: &KeyPath) -> Option<Position> {
        self.places.get(key).copied()
    }

    /// Where the key itself stands.
    pub fn key_position(&self, key: &KeyPath) -> Option<Position> {
        self.keys.get(key).copied()
    }
}

struct Reading<'t> {
    lines: Lines<'t>,
    document: Document,
    errors: Vec<SyntaxError>,
}

impl Reading<'_> {
    fn table(&mut self, table: &DeTable<'_>, at: &KeyPath) -> Dict {
        let mut values = Dict::new();
        for (key, value) in table.iter() {
            let place = at.key(key.get_ref());
            self.document
                .keys
                .insert(place.clone(), self.lines.position(key.span()));
            values.insert(key.get_ref().to_string(), self.value(value, &place));
        }
        values
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, at: &KeyPath) -> Value {
        let position = self.lines.position(value.span());
        self.document.places.insert(at.clone(), position);
        match value.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            // A time is a text that looks like one: `accept_until` may be written either way.
            DeValue::Datetime(time) => Value::from(time.to_string()),
            DeValue::Boolean(switch) => Value::from(*switch),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => self.impossible(position, "the number is too large"),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) => Value::from(number),
                Err(_) => self.impossible(position, "the number cannot be read"),
            },
            DeValue::Array(items) => {
                let items = items.iter().enumerate();
                Value::from(
                    items
                        .map(|(index, item)| self.value(item, &at.index(index)))
                        .collect::<Vec<_>>(),
                )
            }
            DeValue::Table(table) => Value::from(self.table(table, at)),
        }
    }

    fn impossible(&mut self, position: Position, message: &str) -> Value {
        self.errors.push(SyntaxError {
            position: Some(position),
            message: message.to_owned(),
        });
        Value::from("")
    }
}

/// Where the lines of a text begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    fn position(&self, span: Range<usize>) -> Position {
        let line = self.starts.partition_point(|start| *start <= span.start).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..span.start).unwrap_or("");
        Position {
            line,
            column: before.chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn every_value_knows_its_place() {
        let text = "a = 1\n\n[[routes]]\nname = \"x\"\nü = { deep = [true,\n  false] }\n";
        assert!(Document::parse(text).is_err(), "a bare key is ASCII");
        let text = text.replace('ü', "\"ü\"");
        let document = Document::parse(&text).unwrap();
        let at = |key: &KeyPath| document.position(key).map(|place| (place.line, place.column));
        let route = KeyPath::of("routes").index(0);
        assert_eq!(at(&KeyPath::of("a")), Some((1, 5)));
        assert_eq!(at(&route), Some((3, 1)));
        assert_eq!(at(&route.key("name")), Some((4, 8)));
        assert_eq!(at(&route.key("ü").key("deep").index(0)), Some((5, 17)));
        assert_eq!(at(&route.key("ü").key("deep").index(1)), Some((6, 3)));
        assert_eq!(document.key_position(&route.key("ü").key("deep")).unwrap().column, 9);
    }

    #[test]
    fn a_number_no_one_can_hold_is_a_problem_and_not_a_panic() {
        let errors = Document::parse("a = 99999999999999999999").unwrap_err();
        assert_eq!(errors[0].position, Some(Position { line: 1, column: 5 }));
    }
}
