//! The files in `config/` say what is true.

use std::collections::BTreeSet;
use std::fs;

use figment::value::Value;

use super::*;
use crate::config::document::Document;
use crate::config::file::{Kind, Leaf};
use crate::config::key::KeyPath;

const REFERENCE: &str = include_str!("../../../config/doorward.reference.toml");
const MINIMAL: &str = include_str!("../../../config/doorward.minimal.toml");

/// The reference with its settings no longer commented out.
fn uncommented() -> String {
    let is_setting = |rest: &str| rest.starts_with(|first: char| first == '[' || first.is_ascii_lowercase());
    REFERENCE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| is_setting(rest)).unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_reference_as_it_is_says_nothing() {
    let (reference, nothing) = (config(REFERENCE), config(""));
    assert_eq!(format!("{reference:?}"), format!("{nothing:?}"));
    assert_eq!(warnings(REFERENCE), []);
}

#[test]
fn the_reference_has_every_key_with_its_default_and_no_other() {
    let written = Value::from(Document::parse(&uncommented()).unwrap().values);
    let mut missing = Vec::new();
    compare(&Kind::of_file(), &written, &KeyPath::root(), false, &mut missing);
    assert!(missing.is_empty(), "{missing:#?}");
}

/// In lists of tables, keys without a default stand with an example.
fn compare(kind: &Kind, written: &Value, at: &KeyPath, example: bool, wrong: &mut Vec<String>) {
    match (kind, written) {
        (Kind::Table(kinds), Value::Dict(_, keys)) => {
            let names: BTreeSet<&String> = kinds.keys().chain(keys.keys()).collect();
            for name in names {
                match (kinds.get(name), keys.get(name)) {
                    (Some(kind), Some(value)) => compare(kind, value, &at.key(name), example, wrong),
                    (Some(_), None) => wrong.push(format!("{} is not in the reference", at.key(name))),
                    (None, _) => wrong.push(format!("{} is in the reference and not known", at.key(name))),
                }
            }
        }
        (Kind::Tables(kind), Value::Array(_, items)) if items.len() == 1 => {
            compare(kind, &items[0], &at.index(0), true, wrong)
        }
        (Kind::Leaf(leaf, default), value) => {
            let empty = match default {
                Value::String(_, text) => text.is_empty(),
                Value::Array(_, items) => items.is_empty(),
                Value::Dict(..) | Value::Empty(..) => true,
                _ => false,
            };
            let same = match leaf {
                Leaf::Secret => value.as_str() == Some(""),
                Leaf::Number => whole(default).is_some() && whole(default) == whole(value),
                Leaf::Map | Leaf::List | Leaf::Text | Leaf::Switch | Leaf::Other => {
                    default == value || same_amount(default, value)
                }
            };
            if !(same || (example && empty)) {
                wrong.push(format!(
                    "{at}: the reference says {value:?}, the default is {default:?}"
                ));
            }
        }
        _ => wrong.push(format!("{at}: {written:?} is not one of its kind")),
    }
}

/// A number, whatever holds it.
fn whole(value: &Value) -> Option<i128> {
    value.to_i128().or_else(|| value.to_u128()?.try_into().ok())
}

/// Sizes and durations, however they are written.
fn same_amount(one: &Value, other: &Value) -> bool {
    let size = |value: &Value| value.as_str().and_then(|text| text.parse::<bytesize::ByteSize>().ok());
    let span = |value: &Value| value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    (size(one).is_some() && size(one) == size(other)) || (span(one).is_some() && span(one) == span(other))
}

#[test]
fn the_examples_of_the_reference_work() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tls")).unwrap();
    let made = rcgen::generate_simple_self_signed(["shop.example.com".to_owned()]).unwrap();
    for (name, content) in [
        ("tls/fullchain.pem", made.cert.pem()),
        ("tls/key.pem", made.signing_key.serialize_pem()),
        ("idp.jwks.json", "x".to_owned()),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let path = folder.path().join("doorward.toml");
    fs::write(&path, uncommented()).unwrap();
    let loaded = load(&Sources {
        files: vec![path],
        ..Sources::default()
    })
    .unwrap();
    let keys: Vec<_> = loaded.warnings.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["tokens.issuer"]);
    assert_eq!(loaded.config.policy_tests.len(), 1);
}

#[test]
fn the_minimal_file_is_small_and_works() {
    let settings = config(MINIMAL);
    assert_eq!(
        (
            settings.listeners.len(),
            settings.upstreams.len(),
            settings.routes.len()
        ),
        (1, 1, 1)
    );
    assert_eq!(settings.listeners[0].protocol, Protocol::Https);
    assert_eq!(warnings(MINIMAL), []);
}
