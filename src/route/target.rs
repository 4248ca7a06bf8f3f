//! The target of a request: the path exactly as received, and everything it could mean.

use super::path::RoutePath;
use super::reading::{Forms, Reading, Readings};
use super::transform::{self, class};
use crate::codes::Code;

/// The longest path that is looked at. Servers commonly stop at 8 KiB.
const MAX_PATH: usize = 16 * 1024;

/// A request target in origin form (RFC 9112 section 3.2.1) that can be right, or the `*` of an OPTIONS request.
///
/// The path is kept byte for byte: what was checked is what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
    /// None where the path as received is the only reading.
    readings: Option<Box<Readings>>,
}

impl<'a> Target<'a> {
    /// Takes path and query as received. Refuses what can never be right: a raw `#`, blank, control or non-ASCII
    /// character; in the path also a backslash, a broken escape, a control character or dot segment in any reading. The
    /// query takes no part in routing and is otherwise left to the backend.
    ///
    /// [`Code::AmbiguousTarget`] is for paths with more readings than can be looked at, and for those of more than 4 KiB
    /// that have letters beyond ASCII; [`Code::TargetTooLong`] for paths of more than 16 KiB.
    pub fn parse(received: &'a str) -> Result<Self, Code> {
        let (path, query) = match received.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (received, None),
        };
        if query.is_some_and(|query| !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')) {
            return Err(Code::InvalidTarget);
        }
        if path == "*" && query.is_none() {
            return Ok(Self {
                path,
                query,
                readings: None,
            });
        }
        if !path.starts_with('/') {
            return Err(Code::InvalidTarget);
        }
        if path.len() > MAX_PATH {
            return Err(Code::TargetTooLong);
        }
        let readings = match transform::classes(path.as_bytes()) {
            0 => None,
            classes => Some(Box::new(Self::read(path.as_bytes(), classes)?)),
        };
        Ok(Self { path, query, readings })
    }

    /// The unusual way. `END` can only be a `#` here, since the path was cut at the first `?`.
    fn read(path: &[u8], classes: u8) -> Result<Readings, Code> {
        let never = class::NEVER | class::WIDE | class::BACKSLASH | class::END;
        if classes & never != 0 || path.contains(&b' ') || !transform::escapes_are_whole(path) {
            return Err(Code::InvalidTarget);
        }
        Readings::of(path)
    }

    /// The path as received.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The query as received, without its `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// Whether this is `*`, which only OPTIONS may ask for (RFC 9112 section 3.2.4). It never matches a route.
    pub fn is_asterisk(&self) -> bool {
        self.path == "*"
    }

    /// Whether there is but one reading: no upper-case letter, escape, parameter or empty segment in the path.
    pub fn is_simple(&self) -> bool {
        self.readings.is_none()
    }

    /// The reading that decides: the path with everything decoded that carries no structure.
    pub fn canonical(&self) -> &[u8] {
        match &self.readings {
            None => self.path.as_bytes(),
            Some(readings) => readings.canonical(),
        }
    }

    /// Every reading, the canonical one first.
    pub fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        let only = self.is_simple().then_some(Reading {
            path: self.path.as_bytes(),
            forms: Forms::ALL,
        });
        only.into_iter()
            .chain(self.readings.iter().flat_map(|readings| readings.iter()))
    }

    /// Whether some reading of the path lies at or below this one, in one of the forms in which both are compared.
    pub fn may_lie_below(&self, path: &RoutePath) -> bool {
        self.readings().any(|reading| path.holds_somehow_in(reading))
    }

    /// What is left of the path, as received, when a prefix is taken off its front: empty or beginning with `/`. `None`
    /// if the path does not begin with it. Whether the prefix holds in the other readings is for
    /// [`RoutePath::holds_in`] to say.
    pub fn without_prefix(&self, prefix: &RoutePath) -> Option<&'a str> {
        prefix.strip(self.path)
    }
}

/// For the fuzzer: whatever the bytes, parsing does not panic, and what it lets pass keeps its promises.
pub fn fuzz(bytes: &[u8]) {
    let Ok(received) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(target) = Target::parse(received) else { return };
    let rebuilt = target
        .query()
        .map_or(target.path().to_owned(), |query| format!("{}?{query}", target.path()));
    assert_eq!(rebuilt, received, "what is sent is what was received");
    assert_eq!(
        target.readings().next().map(|reading| reading.path),
        Some(target.canonical())
    );
    assert_eq!(target.readings().count() == 1, target.is_simple());
    for reading in target.readings() {
        assert!(
            target.is_asterisk() || reading.path.starts_with(b"/"),
            "a reading is a path"
        );
        assert!(
            !transform::has_dot_segment(reading.path),
            "no reading has a dot segment"
        );
        assert!(
            !reading.path.iter().any(u8::is_ascii_control),
            "no reading has a control character"
        );
        assert!(!reading.forms.is_empty());
    }
}
