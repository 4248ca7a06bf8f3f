//! Where in a configuration: `routes[2].request_headers.set.X-Env`.

use std::fmt;

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Into a table.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// A place in a configuration, from its root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyPath(Vec<Step>);

impl KeyPath {
    /// The root.
    pub fn root() -> Self {
        Self::default()
    }

    /// The place of these keys, with dots between them.
    pub fn of(keys: &str) -> Self {
        Self(keys.split('.').map(|key| Step::Key(key.to_owned())).collect())
    }

    /// One table further in.
    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// One list further in.
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// One step further in.
    pub fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// One step further out; the root has none.
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_last()?;
        Some(Self(rest.to_vec()))
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether the other place is this one or lies within it.
    pub fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The place with the numbers left out, as tables of keys write it: `routes[].path`.
    pub fn pattern(&self) -> String {
        self.write(|_| "[]".to_owned())
    }

    fn write(&self, index: impl Fn(usize) -> String) -> String {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Key(key) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(&quoted_if_needed(key));
                }
                Step::Index(number) => text.push_str(&index(*number)),
            }
        }
        text
    }
}

/// As in TOML: bare where the key allows it, else in quotes.
fn quoted_if_needed(key: &str) -> String {
    let bare = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.write(|number| format!("[{number}]")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_in_toml() {
        let path = KeyPath::of("routes")
            .index(2)
            .key("request_headers")
            .key("set")
            .key("X Env");
        assert_eq!(path.to_string(), "routes[2].request_headers.set.\"X Env\"");
        assert_eq!(path.pattern(), "routes[].request_headers.set.\"X Env\"");
        assert!(KeyPath::of("routes").index(2).holds(&path));
        assert!(!KeyPath::of("routes").index(1).holds(&path));
        assert_eq!(KeyPath::of("a.b").parent(), Some(KeyPath::of("a")));
    }
}
