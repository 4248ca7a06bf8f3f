//! Keys that are known and whose feature is not built yet. Each is refused unless it has its default, so that no setting is
//! ever silently without effect. Whoever builds the feature deletes the row.

use figment::value::Value;

use super::file::{Kind, Shape};
use super::key::KeyPath;
use super::names;
use super::report::{Fault, Report, shown};

/// A key, or a table of keys, of a later version.
struct Later {
    /// The key, with `[]` for each number; everything within it is meant too.
    key: &'static str,
    /// The words that are accepted today, beside the default.
    now: &'static [&'static str],
    /// What is missing.
    why: &'static str,
}

const fn later(key: &'static str, now: &'static [&'static str], why: &'static str) -> Later {
    Later { key, now, why }
}

/// The table.
const LATER: &[Later] = &[
    later("watch", &[], "following changes of the files; send SIGHUP to reload"),
    later(
        "endpoints.health",
        &[],
        "a health path on the public listeners; use /healthz on admin.address",
    ),
    later("identity_headers.assertion", &[], "the identity assertion"),
    later("log.logstash", &[], "shipping the log"),
];

/// Reports every key of a later version that is set to something else than its default.
pub fn refuse(shape: &Shape, kind: &Kind, report: &mut Report<'_>) {
    // Written back, values that mean the same look the same: "90d" and "2160h".
    if let Ok(value) = Value::serialize(shape) {
        walk(&value, kind, &KeyPath::root(), report);
    }
}

fn walk(value: &Value, kind: &Kind, at: &KeyPath, report: &mut Report<'_>) {
    match (kind, value) {
        (Kind::Table(kinds), Value::Dict(_, values)) => {
            for (key, value) in values {
                if let Some(kind) = kinds.get(key) {
                    walk(value, kind, &at.key(key), report);
                }
            }
        }
        (Kind::Tables(kind), Value::Array(_, items)) => {
            for (index, item) in items.iter().enumerate() {
                match row(&at.pattern()) {
                    Some(row) => refuse_one(&at.index(index), row, "no entry", report),
                    None => walk(item, kind, &at.index(index), report),
                }
            }
        }
        (Kind::Leaf(_, default), value) => {
            if let Some(row) = row(&at.pattern())
                && value != default
            {
                refuse_leaf(value, default, row, at, report);
            }
        }
        _ => {}
    }
}

fn refuse_leaf(value: &Value, default: &Value, row: &Later, at: &KeyPath, report: &mut Report<'_>) {
    let accepted_now = |value: &Value| value.as_str().is_some_and(|text| row.now.contains(&text));
    match value {
        Value::Array(_, items) if !row.now.is_empty() => {
            for (index, _) in items.iter().enumerate().filter(|(_, item)| !accepted_now(item)) {
                refuse_one(
                    &at.index(index),
                    row,
                    &names::alternatives(row.now.iter().copied()),
                    report,
                );
            }
        }
        value if accepted_now(value) => {}
        _ => {
            let words = row.now.iter().map(|word| format!("{word:?}"));
            let accepted: Vec<String> = std::iter::once(default_of(default)).chain(words).collect();
            refuse_one(at, row, &accepted.join(" or "), report);
        }
    }
}

fn refuse_one(at: &KeyPath, row: &Later, accepted: &str, report: &mut Report<'_>) {
    let fault = Fault::at(at, format!("{accepted} (more is not available in this version)"));
    report.error(fault.hint(format!("not built yet: {}", row.why)));
}

/// The row of this key, or of a table around it.
fn row(pattern: &str) -> Option<&'static Later> {
    LATER.iter().find(|row| {
        let rest = pattern.strip_prefix(row.key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
    })
}

fn default_of(default: &Value) -> String {
    match default {
        Value::Empty(..) => "nothing".to_owned(),
        Value::String(_, text) if text.is_empty() => "nothing".to_owned(),
        other => shown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_names_a_key_that_there_is() {
        let kind = Kind::of_file();
        for row in LATER {
            let key = row
                .key
                .split('.')
                .fold(KeyPath::root(), |path, part| match part.strip_suffix("[]") {
                    Some(list) => path.key(list).index(0),
                    None => path.key(part),
                });
            assert!(kind.at(&key).is_some(), "{}", row.key);
        }
    }
}
