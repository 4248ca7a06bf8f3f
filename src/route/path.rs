//! The path of a route: written once in a configuration, compared in every form.

use std::fmt;
use std::str::FromStr;

use super::reading::{self, Forms, Reading};
use super::transform::{self, class};

/// Deeper than any sensible route; bounds the depth of the table.
const MAX_SEGMENTS: usize = 64;
const MAX_LENGTH: usize = 1024;

/// A valid path of a route: begins with `/`, and means the same to every backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePath {
    decoded: String,
    forms: Vec<(Forms, Vec<u8>)>,
}

/// Why a text is no path of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It is empty or relative.
    #[error("a path begins with `/`")]
    NotAbsolute,
    /// It has an empty segment.
    #[error("`//` is no part of a route's path")]
    EmptySegment,
    /// It has a `.` or `..`.
    #[error("a route's path has no `.` or `..` segments")]
    DotSegment,
    /// It has a character that some backends take for the end of the path or of a segment.
    #[error("`?`, `#`, `;`, `\\`, `%` and control characters are no part of a route's path, escaped or not")]
    Structure,
    /// A `/` is escaped.
    #[error("a `/` in a route's path cannot be escaped: requests with `%2F` are matched by the path above it")]
    EscapedSlash,
    /// An escape is broken, or escapes are not UTF-8.
    #[error("a broken percent-escape, or one that is not UTF-8")]
    BadEscape,
    /// Too many segments.
    #[error("a route's path has at most {MAX_SEGMENTS} segments")]
    TooDeep,
    /// Too many bytes.
    #[error("a route's path has at most {MAX_LENGTH} bytes")]
    TooLong,
}

impl RoutePath {
    /// The path, decoded, as it was written.
    pub fn as_str(&self) -> &str {
        &self.decoded
    }

    /// Whether the path of every form of this reading begins with this path, at a segment border.
    pub fn holds_in(&self, reading: Reading<'_>) -> bool {
        reading.forms.each().all(|form| {
            self.forms
                .iter()
                .any(|(forms, text)| !forms.and(form).is_empty() && is_prefix(without_slash(text), reading.path))
        })
    }

    /// Whether the path of any form of this reading begins with this path, at a segment border; the dots and blanks that
    /// some servers take off the end of a name do not count.
    pub(super) fn holds_somehow_in(&self, reading: Reading<'_>) -> bool {
        self.forms.iter().any(|(forms, text)| {
            let rest = reading.path.strip_prefix(without_slash(text));
            !forms.and(reading.forms).is_empty() && rest.is_some_and(ends_a_name)
        })
    }

    /// Each text this path is compared as, with the forms in which it is.
    pub(super) fn forms(&self) -> impl Iterator<Item = (Forms, &[u8])> {
        self.forms.iter().map(|(forms, text)| (*forms, text.as_slice()))
    }

    /// Whether it is the same in all forms.
    pub(super) fn is_uniform(&self) -> bool {
        self.forms.len() == 1
    }

    fn bare(&self) -> &[u8] {
        without_slash(self.decoded.as_bytes())
    }

    /// What is left of a received path when this path is taken off its front, as it was received. `None` if it does not
    /// begin with it.
    pub(super) fn strip<'a>(&self, received: &'a str) -> Option<&'a str> {
        let mut rest = received.as_bytes();
        for wanted in self.bare() {
            rest = match (transform::escape(rest), rest) {
                (Some((octet, after)), _) if octet == *wanted && octet != b'/' => after,
                (None, [byte, after @ ..]) if byte == wanted => after,
                _ => return None,
            };
        }
        // The rest is a suffix that begins at a character, so this is always Some.
        let rest = received.get(received.len() - rest.len()..)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl FromStr for RoutePath {
    type Err = InvalidPath;

    fn from_str(written: &str) -> Result<Self, InvalidPath> {
        if !written.starts_with('/') {
            return Err(InvalidPath::NotAbsolute);
        }
        if written.len() > MAX_LENGTH {
            return Err(InvalidPath::TooLong);
        }
        if !transform::escapes_are_whole(written.as_bytes()) {
            return Err(InvalidPath::BadEscape);
        }
        let mut decoded = Vec::with_capacity(written.len());
        transform::decode(written.as_bytes(), &mut decoded);
        let slashes = |path: &[u8]| path.iter().filter(|byte| **byte == b'/').count();
        if slashes(&decoded) != slashes(written.as_bytes()) {
            return Err(InvalidPath::EscapedSlash);
        }
        if slashes(&decoded) > MAX_SEGMENTS {
            return Err(InvalidPath::TooDeep);
        }
        let decoded = String::from_utf8(decoded).map_err(|_| InvalidPath::BadEscape)?;
        let forms = reading::forms_of(&decoded).ok_or(InvalidPath::TooLong)?;
        for (form, text) in &forms {
            // In the undecoded form `%` is ours; elsewhere it could be decoded once more.
            let percent = !form.and(Forms::ANY_DECODED).is_empty() && text.contains(&b'%');
            check(text, percent)?;
            if slashes(text) != slashes(decoded.as_bytes()) {
                return Err(InvalidPath::Structure);
            }
        }
        Ok(Self { decoded, forms })
    }
}

fn check(text: &[u8], percent: bool) -> Result<(), InvalidPath> {
    if transform::has_dot_segment(text) {
        return Err(InvalidPath::DotSegment);
    }
    let classes = transform::classes(text);
    if percent || classes & (class::NEVER | class::END | class::PARAMETER | class::BACKSLASH) != 0 {
        return Err(InvalidPath::Structure);
    }
    if classes & class::DOUBLE != 0 {
        return Err(InvalidPath::EmptySegment);
    }
    Ok(())
}

impl fmt::Display for RoutePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.decoded)
    }
}

/// Which paths an entry of the table is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// This path and everything below it, at segment borders; a trailing slash says nothing.
    Prefix(RoutePath),
    /// This path alone; a trailing slash is part of it. Beats a prefix of the same path.
    Exact(RoutePath),
}

impl PathPattern {
    /// The pattern of a `[[routes]]` entry.
    pub fn prefix(written: &str) -> Result<Self, InvalidPath> {
        written.parse().map(Self::Prefix)
    }

    /// The pattern of a single URL.
    pub fn exact(written: &str) -> Result<Self, InvalidPath> {
        written.parse().map(Self::Exact)
    }

    /// The path.
    pub fn path(&self) -> &RoutePath {
        match self {
            Self::Prefix(path) | Self::Exact(path) => path,
        }
    }

    /// Whether a route of this path would be taken over by the pattern: its own path is the pattern's, or lies under it
    /// where the pattern is a prefix. Trailing slashes say nothing.
    pub fn covers(&self, route: &RoutePath) -> bool {
        match self {
            Self::Prefix(path) => is_prefix(path.bare(), route.bare()),
            Self::Exact(path) => path.bare() == route.bare(),
        }
    }

    /// The part of one of the path's texts that counts.
    pub(super) fn significant<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Prefix(_) => without_slash(text),
            Self::Exact(_) => text,
        }
    }

    /// Whether this is an exact pattern.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

/// Whether nothing follows but the next segment, or what some servers do not count to a name.
fn ends_a_name(mut rest: &[u8]) -> bool {
    while let [b'.' | b' ', after @ ..] = rest {
        rest = after;
    }
    matches!(rest, [] | [b'/', ..])
}

fn is_prefix(prefix: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn path(written: &str) -> RoutePath {
        written.parse().unwrap()
    }

    #[test]
    fn a_route_path_means_the_same_to_every_backend() {
        for good in [
            "/",
            "/orders",
            "/orders/",
            "/Büro",
            "/B%C3%BCro",
            "/my files",
            "/my%20files",
            "/@scope",
            "/.well-known",
            "/a|b",
        ] {
            assert!(good.parse::<RoutePath>().is_ok(), "{good}");
        }
        assert_eq!(path("/B%c3%bcro"), path("/Büro"));
        for (bad, why) in [
            ("", InvalidPath::NotAbsolute),
            ("orders", InvalidPath::NotAbsolute),
            ("/a//b", InvalidPath::EmptySegment),
            ("//", InvalidPath::EmptySegment),
            ("/a/../b", InvalidPath::DotSegment),
            ("/a/%2e", InvalidPath::DotSegment),
            ("/a/．．", InvalidPath::DotSegment),
            ("/a%2Fb", InvalidPath::EscapedSlash),
            ("/a?b", InvalidPath::Structure),
            ("/a%23", InvalidPath::Structure),
            ("/a;b", InvalidPath::Structure),
            ("/50%25", InvalidPath::Structure),
            ("/a\\b", InvalidPath::Structure),
            ("/a\n", InvalidPath::Structure),
            ("/a；b", InvalidPath::Structure),
            ("/AC／DC", InvalidPath::Structure),
            ("/100%", InvalidPath::BadEscape),
            ("/%ff", InvalidPath::BadEscape),
        ] {
            assert_eq!(bad.parse::<RoutePath>(), Err(why), "{bad}");
        }
        assert_eq!("/a".repeat(65).parse::<RoutePath>(), Err(InvalidPath::TooDeep));
        assert_eq!(
            format!("/{}", "a".repeat(1024)).parse::<RoutePath>(),
            Err(InvalidPath::TooLong)
        );
    }

    #[test]
    fn a_prefix_is_taken_off_as_it_was_received() {
        let cases = [
            ("/orders", "/orders", Some("")),
            ("/orders", "/orders/7%2F8", Some("/7%2F8")),
            ("/orders/", "/orders/", Some("/")),
            ("/orders", "/%6frders/x", Some("/x")),
            ("/büro", "/b%C3%bCro/x", Some("/x")),
            ("/", "/x", Some("/x")),
            ("/a/b", "/a%2Fb/c", None),
            ("/orders", "/ordersx", None),
            ("/orders", "/Orders", None),
            ("/orders", "/ord", None),
        ];
        for (prefix, received, rest) in cases {
            assert_eq!(path(prefix).strip(received), rest, "{prefix} {received}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_would_hide() {
        let sessions = PathPattern::prefix("/api/sessions/").unwrap();
        let login = PathPattern::exact("/api/login").unwrap();
        assert!(sessions.covers(&path("/api/sessions")) && sessions.covers(&path("/api/sessions/x")));
        assert!(login.covers(&path("/api/login/")) && !login.covers(&path("/api/login/x")));
        for free in ["/", "/api", "/api/orders", "/api/sessionsx"] {
            assert!(!sessions.covers(&path(free)) && !login.covers(&path(free)), "{free}");
        }
    }

    #[test]
    fn a_prefix_holds_in_a_reading_only_in_all_its_forms() {
        let holds = |prefix: &str, text: &str, forms| {
            path(prefix).holds_in(Reading {
                path: text.as_bytes(),
                forms,
            })
        };
        assert!(holds("/orders/", "/orders/x", Forms::ALL) && holds("/", "/x", Forms::ALL));
        assert!(!holds("/orders", "/ordersx", Forms::ALL));
        assert!(holds("/Orders", "/Orders/x", Forms::CANONICAL));
        assert!(!holds("/Orders", "/Orders/x", Forms::ALL), "folded it is another path");
    }
}
