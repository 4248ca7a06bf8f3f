//! The configuration from outside: texts, files and environments in, settings or problems out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod certificates;
mod keys;
mod layers;
mod mistakes;
mod reference;
mod robust;
mod settings;

use super::*;

/// A configuration that needs nothing else, to add to.
const GOOD: &str = r#"
[[upstreams]]
name = "app"
servers = ["http://127.0.0.1:9001"]
[[routes]]
name = "app"
path = "/app"
upstream = "app"
"#;

/// Loads a text without an environment.
fn read(text: &str) -> Result<Loaded, Problems> {
    load(&Sources::from_str("test.toml", text))
}

/// The configuration of a text that must be right.
fn config(text: &str) -> Config {
    match read(text) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{text}\n{problems}"),
    }
}

/// What is wrong with a text: line and key of each error.
fn errors(text: &str) -> Vec<(usize, String)> {
    match read(text) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => {
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
            errors.map(place).collect()
        }
    }
}

/// What a text that is right is warned about: line and key.
fn warnings(text: &str) -> Vec<(usize, String)> {
    match read(text) {
        Ok(loaded) => loaded.warnings.iter().map(place).collect(),
        Err(problems) => panic!("{text}\n{problems}"),
    }
}

fn place(problem: &Problem) -> (usize, String) {
    (problem.line.unwrap_or(0), problem.key.clone())
}
