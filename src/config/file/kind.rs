//! Which keys there are and what kind of value each takes, derived from the shape itself.

use std::collections::BTreeMap;

use figment::value::{Empty, Value};

use super::Shape;
use crate::config::key::{KeyPath, Step};

/// What kind of value a key takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A table with these keys.
    Table(BTreeMap<String, Kind>),
    /// A list of tables, each with these keys.
    Tables(Box<Kind>),
    /// A leaf, with its default.
    Leaf(Leaf, Value),
}

/// The kinds of leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// A table whose keys are free.
    Map,
    /// A list of texts.
    List,
    /// A text; durations and sizes too.
    Text,
    /// A text that is never shown.
    Secret,
    /// A whole number.
    Number,
    /// True or false.
    Switch,
    /// Something that has no default, and a type only serde knows.
    Other,
}

impl Kind {
    /// The kind of the whole file.
    pub fn of_file() -> Self {
        // Serialising to values in memory fails only on what these types do not hold; an empty table would make every key
        // unknown, which the tests would show.
        Value::serialize(Shape::exemplar()).map_or_else(|_| Self::Table(BTreeMap::new()), Self::of)
    }

    fn of(value: Value) -> Self {
        match value {
            Value::Dict(_, keys) if !keys.is_empty() => {
                Self::Table(keys.into_iter().map(|(key, value)| (key, Self::of(value))).collect())
            }
            Value::Array(_, ref items) => match items.first() {
                Some(table @ Value::Dict(..)) => Self::Tables(Box::new(Self::of(table.clone()))),
                _ => Self::Leaf(Leaf::List, value),
            },
            Value::Dict(..) => Self::Leaf(Leaf::Map, value),
            Value::String(..) | Value::Char(..) => Self::Leaf(Leaf::Text, value),
            Value::Num(..) => Self::Leaf(Leaf::Number, value),
            Value::Bool(..) => Self::Leaf(Leaf::Switch, value),
            Value::Empty(_, Empty::Unit) => Self::Leaf(Leaf::Secret, value),
            Value::Empty(_, Empty::None) => Self::Leaf(Leaf::Other, value),
        }
    }

    /// The kind at this place within.
    pub fn at(&self, place: &KeyPath) -> Option<&Self> {
        place.steps().iter().try_fold(self, |kind, step| match (kind, step) {
            (Self::Table(keys), Step::Key(key)) => keys.get(key),
            (Self::Tables(table), Step::Index(_)) => Some(&**table),
            _ => None,
        })
    }

    /// Whether the value at this place must not be shown.
    pub fn is_secret(&self, place: &KeyPath) -> bool {
        // The values of a free table may be a header's, and that may be a backend's password.
        let within = place.parent().and_then(|parent| self.at(&parent));
        [self.at(place), within]
            .into_iter()
            .flatten()
            .any(|kind| matches!(kind, Self::Leaf(Leaf::Secret | Leaf::Map, _)))
    }

    /// Every list of tables that is not within another.
    pub fn lists_of_tables(&self) -> Vec<KeyPath> {
        let mut found = Vec::new();
        self.collect_tables(&KeyPath::root(), &mut found);
        found
    }

    fn collect_tables(&self, place: &KeyPath, found: &mut Vec<KeyPath>) {
        match self {
            Self::Table(keys) => keys
                .iter()
                .for_each(|(key, kind)| kind.collect_tables(&place.key(key), found)),
            Self::Tables(_) => found.push(place.clone()),
            Self::Leaf(..) => {}
        }
    }

    /// Every leaf that is not within a list of tables, with its kind.
    pub fn single_leaves(&self) -> Vec<(KeyPath, Leaf)> {
        let mut found = Vec::new();
        self.collect_leaves(&KeyPath::root(), &mut found);
        found
    }

    fn collect_leaves(&self, place: &KeyPath, found: &mut Vec<(KeyPath, Leaf)>) {
        match self {
            Self::Table(keys) => keys
                .iter()
                .for_each(|(key, kind)| kind.collect_leaves(&place.key(key), found)),
            Self::Leaf(leaf, _) => found.push((place.clone(), *leaf)),
            Self::Tables(_) => {}
        }
    }
}
