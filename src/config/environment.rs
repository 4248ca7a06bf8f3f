//! The environment as a layer: `DOORWARD_STORE__URL` is `store.url`.
//!
//! A double underscore nests. What a value means is decided by the kind of its key: texts (durations and sizes too) are
//! taken as they are, switches are `true` or `false`, lists are a TOML array or texts with commas between them. Lists of
//! tables come from files only.

use std::collections::BTreeMap;

use figment::value::{Dict, Value};

use super::file::Kind;
use super::file::Leaf;
use super::key::{KeyPath, Step};
use super::names;

/// In front of every variable of ours.
const PREFIX: &str = "DOORWARD_";

/// What one variable says.
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The key it sets.
    pub key: KeyPath,
    /// The value.
    pub value: Value,
}

/// A variable that cannot be used.
pub struct Misfit {
    /// Its name.
    pub name: String,
    /// The key it was meant for, where there is one.
    pub key: Option<KeyPath>,
    /// What was found; never the value of a secret.
    pub found: String,
    /// What is accepted.
    pub accepted: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Reads the variables of ours, in the order of their names.
pub fn read(env: &BTreeMap<String, String>, kind: &Kind) -> (Vec<Variable>, Vec<Misfit>) {
    let known: BTreeMap<String, (KeyPath, Leaf)> = kind
        .single_leaves()
        .into_iter()
        .filter_map(|(key, leaf)| Some((variable_of(&key)?, (key, leaf))))
        .collect();
    let tables: Vec<String> = kind.lists_of_tables().iter().filter_map(variable_of).collect();
    let mut variables = Vec::new();
    let mut misfits = Vec::new();
    for (name, text) in env.iter().filter(|(name, text)| is_ours(name, text)) {
        match known.get(name) {
            None => misfits.push(unknown(name, &known, &tables)),
            Some((key, leaf)) => match value(text, *leaf) {
                Ok(value) => variables.push(Variable {
                    name: name.clone(),
                    key: key.clone(),
                    value,
                }),
                Err(accepted) => misfits.push(Misfit {
                    name: name.clone(),
                    key: Some(key.clone()),
                    found: format!("{text:?}"),
                    accepted: accepted.to_owned(),
                    hint: None,
                }),
            },
        }
    }
    (variables, misfits)
}

/// The layer a single value makes: `tokens.issuer` becomes `{ tokens = { issuer = … } }`.
pub fn layer(key: &KeyPath, value: Value) -> Dict {
    let whole = key.steps().iter().rev().fold(value, |inner, step| match step {
        Step::Key(key) => Value::from(Dict::from([(key.clone(), inner)])),
        Step::Index(_) => inner,
    });
    match whole {
        Value::Dict(_, keys) => keys,
        _ => Dict::new(),
    }
}

/// The variable that sets this key.
fn variable_of(key: &KeyPath) -> Option<String> {
    let names: Option<Vec<String>> = key
        .steps()
        .iter()
        .map(|step| match step {
            Step::Key(key) => Some(key.to_ascii_uppercase()),
            Step::Index(_) => None,
        })
        .collect();
    Some(format!("{PREFIX}{}", names?.join("__")))
}

/// Whether the variable is meant for us. Kubernetes injects some for every Service of a namespace; for one called
/// doorward, or doorward-something, they begin like ours.
fn is_ours(name: &str, text: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    let of_the_service = rest == "PORT" || rest.starts_with("SERVICE_") || rest.starts_with("PORT_");
    let of_a_namesake = rest.ends_with("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || (rest.contains("_PORT")
            && ["tcp://", "udp://", "sctp://"]
                .iter()
                .any(|scheme| text.starts_with(scheme)))
        || ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
            let mut parts = rest.splitn(2, protocol);
            let head = parts.next().unwrap_or("");
            let tail = parts.next();
            let number = head.rsplit_once("_PORT_").map(|(_, number)| number);
            number.is_some_and(|number| number.parse::<u16>().is_ok())
                && tail.is_some_and(|tail| ["", "_PROTO", "_PORT", "_ADDR"].contains(&tail))
        });
    !(of_the_service || of_a_namesake)
}

fn unknown(name: &str, known: &BTreeMap<String, (KeyPath, Leaf)>, tables: &[String]) -> Misfit {
    let within = format!("{name}__");
    let hint = if known.keys().any(|known| known.starts_with(&within)) {
        Some(format!("this is a table; name one of its keys, such as {within}…"))
    } else if tables.iter().any(|table| name.starts_with(table)) {
        Some("lists of tables come from files only".to_owned())
    } else {
        names::nearest(name, known.keys().map(String::as_str)).map(|nearest| format!("did you mean {nearest}?"))
    };
    Misfit {
        name: name.to_owned(),
        key: None,
        found: "a variable of this name".to_owned(),
        accepted: "DOORWARD_ and the name of a key, with __ between a table and its keys, such as DOORWARD_STORE__URL"
            .to_owned(),
        hint,
    }
}

fn value(text: &str, leaf: Leaf) -> Result<Value, &'static str> {
    match leaf {
        Leaf::Text | Leaf::Secret => Ok(Value::from(text)),
        Leaf::Switch => text
            .trim()
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| "true or false"),
        Leaf::Number => text
            .trim()
            .parse::<u64>()
            .map(Value::from)
            .map_err(|_| "a whole number"),
        Leaf::List => list(text)
            .map(Value::from)
            .ok_or("texts with commas between them, or a TOML array of texts"),
        Leaf::Map | Leaf::Other => Err("nothing: this key comes from files only"),
    }
}

fn list(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if !text.starts_with('[') {
        return Some(
            text.split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect(),
        );
    }
    let document: toml::Table = toml::from_str(&format!("list = {text}")).ok()?;
    let items = document.get("list")?.as_array()?;
    items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read_one(name: &str, text: &str) -> (Vec<Variable>, Vec<Misfit>) {
        read(&BTreeMap::from([(name.to_owned(), text.to_owned())]), &Kind::of_file())
    }

    #[test]
    fn what_kubernetes_injects_is_not_ours() {
        for (name, text) in [
            ("DOORWARD_PORT", "tcp://10.0.0.1:8443"),
            ("DOORWARD_SERVICE_HOST", "10.0.0.1"),
            ("DOORWARD_SERVICE_PORT_HTTPS", "8443"),
            ("DOORWARD_PORT_8443_TCP_ADDR", "10.0.0.1"),
            ("DOORWARD_ADMIN_SERVICE_HOST", "10.0.0.1"),
            ("DOORWARD_ADMIN_SERVICE_PORT", "9100"),
            ("DOORWARD_ADMIN_PORT", "tcp://10.0.0.1:9100"),
            ("DOORWARD_ADMIN_PORT_9100_TCP", "tcp://10.0.0.1:9100"),
            ("DOORWARD_ADMIN_PORT_9100_TCP_PROTO", "tcp"),
            ("DOORWARD_ADMIN_PORT_9100_TCP_PORT", "9100"),
            ("HOME", "/root"),
        ] {
            let (variables, misfits) = read_one(name, text);
            assert!(variables.is_empty() && misfits.is_empty(), "{name}");
        }
        for name in [
            "DOORWARD_METRICS_PORT",
            "DOORWARD_STORE_URL",
            "DOORWARD_",
            "DOORWARD_TLS",
        ] {
            assert_eq!(read_one(name, "1").1.len(), 1, "{name}");
        }
    }

    #[test]
    fn the_kind_of_the_key_says_how_a_value_is_read() {
        let one = |name: &str, text: &str| read_one(name, text).0.pop().map(|variable| variable.value);
        assert_eq!(one("DOORWARD_WORKERS", "08"), Some(Value::from(8u64)));
        assert_eq!(one("DOORWARD_STORE__MIGRATE", "false"), Some(Value::from(false)));
        assert_eq!(one("DOORWARD_TOKENS__ISSUER", "0800"), Some(Value::from("0800")));
        assert_eq!(one("DOORWARD_STORE__PASSWORD", " a,b "), Some(Value::from(" a,b ")));
        let networks = Some(Value::from(vec!["10.0.0.0/8", "::1"]));
        assert_eq!(one("DOORWARD_TRUSTED_PROXIES", "10.0.0.0/8, ::1,"), networks);
        assert_eq!(one("DOORWARD_TRUSTED_PROXIES", "[\"10.0.0.0/8\", '::1']"), networks);
        assert_eq!(one("DOORWARD_TRUSTED_PROXIES", "[1]"), None);
        assert_eq!(one("DOORWARD_WATCH", "yes"), None);
    }
}
