//! Collects what is wrong, with the place and the value looked up in the layers.

use figment::value::Value;

use super::file::Kind;
use super::key::KeyPath;
use super::names;
use super::problem::{Problem, Severity};
use super::source::{Layers, Origin};

/// Longer values are cut when shown.
const SHOWN: usize = 80;

/// The collector.
pub struct Report<'l> {
    layers: &'l Layers,
    kind: &'l Kind,
    failed: Vec<KeyPath>,
    problems: Vec<Problem>,
}

/// Something that is wrong with one key.
pub struct Fault {
    key: KeyPath,
    about_the_key: bool,
    found: Option<String>,
    accepted: String,
    hint: Option<String>,
}

impl Fault {
    /// The value of the key is not what is accepted.
    pub fn at(key: &KeyPath, accepted: impl Into<String>) -> Self {
        Self {
            key: key.clone(),
            about_the_key: false,
            found: None,
            accepted: accepted.into(),
            hint: None,
        }
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what to do, if there is something to say.
    pub fn hint_if(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Says what was found, where that is not the value of the key.
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    /// The key itself is wrong, not its value.
    pub fn about_the_key(mut self) -> Self {
        self.about_the_key = true;
        self
    }
}

impl<'l> Report<'l> {
    /// Collects over these layers.
    pub fn new(layers: &'l Layers, kind: &'l Kind, problems: Vec<Problem>) -> Self {
        Self {
            layers,
            kind,
            failed: Vec::new(),
            problems,
        }
    }

    /// The layers.
    pub fn layers(&self) -> &'l Layers {
        self.layers
    }

    /// Notes an error. A place that is known to be wrong is not reported again.
    pub fn error(&mut self, fault: Fault) {
        if !self.failed_around(&fault.key) {
            self.failed.push(fault.key.clone());
            self.note(Severity::Error, fault);
        }
    }

    /// Notes a warning; what is accepted says what will happen.
    pub fn warn(&mut self, fault: Fault) {
        self.note(Severity::Warning, fault);
    }

    /// Whether this key, a table around it or something within it is known to be wrong.
    pub fn failed(&self, key: &KeyPath) -> bool {
        self.failed_around(key) || self.failed.iter().any(|failed| key.holds(failed))
    }

    /// Whether this key or a table around it is known to be wrong.
    pub fn failed_around(&self, key: &KeyPath) -> bool {
        self.failed.iter().any(|failed| failed.holds(key))
    }

    /// One of these words, each with what it means.
    pub fn choose<T: Copy>(&mut self, key: &KeyPath, word: &str, choices: &[(&str, T)]) -> Option<T> {
        let chosen = choices
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, meaning)| *meaning);
        if chosen.is_none() {
            let names = || choices.iter().map(|(name, _)| *name);
            let hint = names::nearest(word, names()).map(|nearest| format!("did you mean {nearest:?}?"));
            self.error(Fault::at(key, names::alternatives(names())).hint_if(hint));
        }
        chosen
    }

    /// What was collected, errors and warnings.
    pub fn finish(self) -> Vec<Problem> {
        self.problems
    }

    fn note(&mut self, severity: Severity, fault: Fault) {
        let origin = match fault.about_the_key {
            true => self.layers.key_origin(&fault.key),
            false => self.layers.origin(&fault.key),
        };
        let (file, position, variable) = match origin {
            Origin::Default => (None, None, None),
            Origin::File { path, position } => (Some(path), position, None),
            Origin::Variable(name) => (None, None, Some(name)),
        };
        let found = fault.found.unwrap_or_else(|| self.shown(&fault.key));
        self.problems.push(Problem {
            severity,
            file,
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            variable,
            key: fault.key.to_string(),
            found,
            accepted: fault.accepted,
            hint: fault.hint,
        });
    }

    /// The key with file and line, as far as there are any.
    pub fn place(&self, key: &KeyPath) -> String {
        match self.layers.key_origin(key) {
            Origin::File { path, position } => match position {
                Some(position) => format!("{}:{}: {key}", path.display(), position.line),
                None => format!("{}: {key}", path.display()),
            },
            Origin::Default | Origin::Variable(_) => key.to_string(),
        }
    }

    /// The value as it may be shown.
    pub fn shown(&self, key: &KeyPath) -> String {
        match self.layers.value(key) {
            None => "nothing".to_owned(),
            Some(_) if self.kind.is_secret(key) => "a value that is not shown".to_owned(),
            Some(value) => shown(value),
        }
    }
}

/// A value as in TOML, cut when long, and without what may be a password in a URL.
pub fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(_, text) => return quoted(text),
        Value::Char(_, character) => return quoted(&character.to_string()),
        Value::Bool(_, switch) => switch.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(number), _, _) => number.to_string(),
            (_, Some(number), _) => number.to_string(),
            (_, _, Some(number)) => number.to_string(),
            (None, None, None) => "a number".to_owned(),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(_, items) if items.iter().any(|item| matches!(item, Value::Dict(..))) => {
            "a list of tables".to_owned()
        }
        Value::Array(_, items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
    };
    cut(text)
}

/// A text in quotes, as it may be shown.
pub fn quoted(text: &str) -> String {
    let safe = match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let head = text.get(..scheme + 3).unwrap_or("");
            format!("{head}…{}", text.get(at..).unwrap_or(""))
        }
        _ => text.to_owned(),
    };
    format!("{:?}", cut(safe))
}

fn cut(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or("")),
        None => text,
    }
}
