//! The merged layers as a [`Shape`], with every unknown key and every value of a wrong type reported.

use figment::error::Kind as Wrong;
use figment::value::Value;

use super::{Kind, Shape};
use crate::config::key::{KeyPath, Step};
use crate::config::names;
use crate::config::report::{Fault, Report};

/// Reads the shape. What is wrong is reported and left out, so that the rest can still be checked.
pub fn read(kind: &Kind, report: &mut Report<'_>) -> Shape {
    let mut tree = report.layers().merged().clone();
    prune(&mut tree, kind, &KeyPath::root(), report);
    // serde stops at the first error: take the value out that it stumbled over and try again. Each turn takes one out.
    loop {
        let error = match tree.deserialize::<Shape>() {
            Ok(shape) => return shape,
            Err(error) => error,
        };
        let place = place_of(&tree, &error.path);
        report.error(Fault::at(&place, accepted(&error.kind)));
        if !take_out(&mut tree, place.steps()) {
            return Shape::default();
        }
    }
}

/// Takes out unknown keys, and what is no table where one belongs (serde would read a list as one).
fn prune(value: &mut Value, kind: &Kind, at: &KeyPath, report: &mut Report<'_>) {
    match (kind, value) {
        (Kind::Table(known), Value::Dict(_, keys)) => keys.retain(|key, value| {
            let place = at.key(key);
            match known.get(key) {
                None => unknown(&place, key, known.keys().map(String::as_str), report),
                Some(kind) if !fits(kind, value) => {
                    let accepted = match kind {
                        Kind::Tables(_) => format!("a list of tables: [[{}]]", place.pattern()),
                        Kind::Table(_) | Kind::Leaf(..) => "a table".to_owned(),
                    };
                    report.error(Fault::at(&place, accepted));
                    return false;
                }
                Some(kind) => prune(value, kind, &place, report),
            }
            known.contains_key(key)
        }),
        (Kind::Tables(kind), Value::Array(_, items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                prune(item, kind, &at.index(index), report);
            }
        }
        _ => {}
    }
}

fn fits(kind: &Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Table(_), value) => matches!(value, Value::Dict(..)),
        (Kind::Tables(_), Value::Array(_, items)) => items.iter().all(|item| matches!(item, Value::Dict(..))),
        (Kind::Tables(_), _) => false,
        (Kind::Leaf(..), _) => true,
    }
}

fn unknown<'k>(place: &KeyPath, key: &str, known: impl Iterator<Item = &'k str> + Clone, report: &mut Report<'_>) {
    let hint = match names::nearest(key, known.clone()) {
        Some(nearest) => format!("did you mean {nearest:?}?"),
        None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
    };
    let fault = Fault::at(place, "a known key").found(format!("the unknown key {key:?}"));
    report.error(fault.hint(hint).about_the_key());
}

/// The place that serde's names for it mean: numbers are indexes within lists, keys elsewhere.
fn place_of(tree: &Value, names: &[String]) -> KeyPath {
    let mut place = KeyPath::root();
    let mut value = Some(tree);
    for name in names {
        let step = match (value, name.parse()) {
            (Some(Value::Array(..)), Ok(index)) => Step::Index(index),
            _ => Step::Key(name.clone()),
        };
        value = match (value, &step) {
            (Some(Value::Array(_, items)), Step::Index(index)) => items.get(*index),
            (Some(Value::Dict(_, keys)), Step::Key(key)) => keys.get(key),
            _ => None,
        };
        place = place.step(step);
    }
    place
}

/// Takes the nearest key out that leads to the place; whether there was one.
fn take_out(value: &mut Value, steps: &[Step]) -> bool {
    match (value, steps) {
        (Value::Dict(_, keys), [Step::Key(key), rest @ ..]) => {
            let within = keys.get_mut(key).is_some_and(|value| take_out(value, rest));
            within || keys.remove(key).is_some()
        }
        (Value::Array(_, items), [Step::Index(index), rest @ ..]) => match (items.get_mut(*index), rest) {
            // The others keep their numbers. That an empty text is wrong there too is not reported again.
            (Some(item), []) if item.as_str() != Some("") => {
                *item = Value::from("");
                true
            }
            (Some(item), rest) => take_out(item, rest),
            (None, _) => false,
        },
        _ => false,
    }
}

/// serde's words for what it wants, in words for the person who wrote the file.
fn accepted(wrong: &Wrong) -> String {
    match wrong {
        Wrong::InvalidType(_, expected) | Wrong::InvalidValue(_, expected) | Wrong::InvalidLength(_, expected) => {
            match expected.as_str() {
                "a string" => "a text in quotes".to_owned(),
                "a boolean" => "true or false, without quotes".to_owned(),
                "a sequence" => "a list such as [\"one\", \"two\"]".to_owned(),
                "a map" => "a table such as { key = \"value\" }".to_owned(),
                "u16" => "a whole number from 0 to 65535".to_owned(),
                "u32" => format!("a whole number from 0 to {}", u32::MAX),
                other if other.starts_with("struct ") => "a table".to_owned(),
                other => other.to_owned(),
            }
        }
        Wrong::Message(message) => message.clone(),
        other => other.to_string(),
    }
}
