//! The layers of a configuration, and where each value came from.
//!
//! Later wins: built-in defaults, a text in memory, files in their order, the environment, the command line. `DATABASE_URL`
//! and `PORT`, which platforms set, count only where nothing else says `store.url` or `listeners`. Tables are united key by
//! key; everything else, lists of tables too, is replaced as a whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::document::{Document, Position};
use super::environment::{self, Misfit};
use super::file::Kind;
use super::key::{KeyPath, Step};
use super::problem::{Problem, Severity};
use super::{Sources, environment::layer};

/// A configuration file larger than this is a mistake (or a device).
const LARGEST_FILE: u64 = 16 << 20;

/// Where a layer comes from.
enum Place {
    /// A file or a text in memory; the folder is what relative paths in it start from.
    Text {
        name: PathBuf,
        folder: PathBuf,
        document: Document,
    },
    /// An environment variable, or a command line option.
    Variable(String),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A text.
    File {
        /// Its path, as given.
        path: PathBuf,
        /// The place of the value, or of the nearest table around it.
        position: Option<Position>,
    },
    /// An environment variable or a command line option.
    Variable(String),
}

/// All layers, merged.
pub struct Layers {
    figment: Figment,
    places: Vec<Place>,
    merged: Value,
}

impl Layers {
    /// Reads all layers. What cannot be read is among the problems; the rest is still there.
    pub fn read(sources: &Sources, kind: &Kind) -> (Self, Vec<Problem>) {
        let mut layers = Self {
            figment: Figment::new(),
            places: Vec::new(),
            merged: Value::from(Dict::new()),
        };
        let mut problems = Vec::new();
        if let Some((name, text)) = &sources.inline {
            layers.add_text(Path::new(name), Path::new(""), text, &mut problems);
        }
        for path in &sources.files {
            match read_text(path) {
                Ok(text) => {
                    let folder = path.parent().unwrap_or(Path::new(""));
                    layers.add_text(path, folder, &text, &mut problems);
                }
                Err(error) => problems.push(unreadable(path, &error)),
            }
        }
        layers.add_environment(sources, kind, &mut problems);
        (layers, problems)
    }

    fn add_text(&mut self, name: &Path, folder: &Path, text: &str, problems: &mut Vec<Problem>) {
        // Editors of some systems put a byte order mark in front.
        match Document::parse(text.strip_prefix('\u{feff}').unwrap_or(text)) {
            Ok(document) => {
                let values = document.values.clone();
                self.add(
                    Place::Text {
                        name: name.to_owned(),
                        folder: folder.to_owned(),
                        document,
                    },
                    values,
                );
            }
            Err(errors) => problems.extend(errors.into_iter().map(|error| Problem {
                file: Some(name.to_owned()),
                line: error.position.map(|position| position.line),
                column: error.position.map(|position| position.column),
                found: format!("broken TOML: {}", error.message),
                accepted: "TOML 1.0 or 1.1 (https://toml.io)".to_owned(),
                ..nowhere()
            })),
        }
    }

    fn add_environment(&mut self, sources: &Sources, kind: &Kind, problems: &mut Vec<Problem>) {
        let (variables, misfits) = environment::read(&sources.env, kind);
        problems.extend(misfits.into_iter().map(misfit));
        for variable in variables {
            self.add(Place::Variable(variable.name), layer(&variable.key, variable.value));
        }
        if let Some(data_dir) = &sources.data_dir {
            let value = Value::from(data_dir.to_string_lossy().into_owned());
            self.add(
                Place::Variable("--data-dir".to_owned()),
                layer(&KeyPath::of("data_dir"), value),
            );
        }
        self.merge();
        let set = |name: &str| sources.env.get(name).filter(|text| !text.is_empty());
        if let (Some(url), false) = (set("DATABASE_URL"), self.says("store.url")) {
            let value = layer(&KeyPath::of("store.url"), Value::from(url.as_str()));
            self.add(Place::Variable("DATABASE_URL".to_owned()), value);
        }
        if let (Some(port), false) = (set("PORT"), self.says("listeners")) {
            let address = Value::from(format!("0.0.0.0:{port}"));
            let listener = Dict::from([
                ("address".to_owned(), address),
                ("protocol".to_owned(), Value::from("http")),
            ]);
            let value = layer(&KeyPath::of("listeners"), Value::from(vec![Value::from(listener)]));
            self.add(Place::Variable("PORT".to_owned()), value);
        }
        self.merge();
    }

    fn add(&mut self, place: Place, values: Dict) {
        let name = self.places.len().to_string();
        self.places.push(place);
        self.figment = std::mem::take(&mut self.figment).merge(Layer { name, values });
    }

    fn merge(&mut self) {
        // The empty path finds the whole; it fails only where a provider failed, and ours never does.
        if let Ok(merged) = self.figment.find_value("") {
            self.merged = merged;
        }
    }

    /// Whether something other than emptiness is configured.
    fn says(&self, key: &str) -> bool {
        match self.value(&KeyPath::of(key)) {
            None => false,
            Some(Value::String(_, text)) => !text.is_empty(),
            Some(Value::Array(_, items)) => !items.is_empty(),
            Some(_) => true,
        }
    }

    /// Everything that was said, merged.
    pub fn merged(&self) -> &Value {
        &self.merged
    }

    /// What was said for this key.
    pub fn value(&self, key: &KeyPath) -> Option<&Value> {
        key.steps()
            .iter()
            .try_fold(&self.merged, |value, step| match (value, step) {
                (Value::Dict(_, keys), Step::Key(key)) => keys.get(key),
                (Value::Array(_, items), Step::Index(index)) => items.get(*index),
                _ => None,
            })
    }

    /// Where the value of this key comes from. For a key that nobody set: the nearest table around it that somebody did.
    pub fn origin(&self, key: &KeyPath) -> Origin {
        self.locate(key, Document::position)
    }

    /// The same, with the place of the key itself.
    pub fn key_origin(&self, key: &KeyPath) -> Origin {
        self.locate(key, |document, key| {
            document.key_position(key).or_else(|| document.position(key))
        })
    }

    fn locate(&self, key: &KeyPath, position: impl Fn(&Document, &KeyPath) -> Option<Position>) -> Origin {
        let mut at = key.clone();
        loop {
            if let Some((place, _)) = self.place(&at) {
                return match place {
                    Place::Variable(name) => Origin::Variable(name.clone()),
                    Place::Text { name, document, .. } => Origin::File {
                        path: name.clone(),
                        position: position(document, &at),
                    },
                };
            }
            at = match at.parent() {
                Some(parent) => parent,
                None => return Origin::Default,
            };
        }
    }

    /// The folder that a relative path in the value of this key starts from.
    pub fn folder(&self, key: &KeyPath) -> PathBuf {
        match self.place(key) {
            Some((Place::Text { folder, .. }, _)) => folder.clone(),
            Some((Place::Variable(_), _)) | None => PathBuf::new(),
        }
    }

    /// Which layer the value of this key comes from: a later one has a higher number.
    pub fn rank(&self, key: &KeyPath) -> Option<usize> {
        self.place(key).map(|(_, rank)| rank)
    }

    fn place(&self, key: &KeyPath) -> Option<(&Place, usize)> {
        let tag = self.value(key)?.tag();
        let rank = self.figment.get_metadata(tag)?.name.parse().ok()?;
        Some((self.places.get(rank)?, rank))
    }
}

/// One layer for figment; its name is its number.
struct Layer {
    name: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// Reads a text file of a sensible size.
fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    match u64::try_from(read) {
        Ok(read) if read <= LARGEST_FILE => Ok(text),
        _ => Err(io::Error::other("the file has more than 16 MiB")),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem {
        file: Some(path.to_owned()),
        found: error.to_string(),
        accepted: "a TOML file in UTF-8 that can be read".to_owned(),
        ..nowhere()
    }
}

fn misfit(misfit: Misfit) -> Problem {
    Problem {
        variable: Some(misfit.name),
        key: misfit.key.map(|key| key.to_string()).unwrap_or_default(),
        found: misfit.found,
        accepted: misfit.accepted,
        hint: misfit.hint,
        ..nowhere()
    }
}

/// An error without a place.
fn nowhere() -> Problem {
    Problem {
        severity: Severity::Error,
        file: None,
        line: None,
        column: None,
        variable: None,
        key: String::new(),
        found: String::new(),
        accepted: String::new(),
        hint: None,
    }
}
