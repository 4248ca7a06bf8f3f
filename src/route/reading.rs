//! The readings of a path: everything some backend might take it for.
//!
//! Computed as a closure: the steps of [`transform`] are applied to every reading until nothing new comes out. Two steps
//! are special, since routes have to be compared in the same form: folding letters and NFKC are kept up through all
//! further steps, and each reading knows in which [`Forms`] it came out.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::transform::{self, class};
use crate::codes::Code;

/// How many readings a path may have. An ordinary one has at most a dozen.
const MAX_READINGS: usize = 128;
/// How many bytes they may have together, which bounds the work for one request.
const MAX_BYTES: usize = 128 * 1024;

/// In which forms a path is compared with the paths of routes: decoded or not, with letters folded or not, in NFKC or not.
/// A set of these eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Forms(u8);

impl Forms {
    /// No form.
    pub const NONE: Self = Self(0);
    /// All of them: a path of lower-case unreserved characters is the same in all.
    pub const ALL: Self = Self(0xff);
    /// Decoded, neither folded nor in NFKC: the form that decides.
    pub const CANONICAL: Self = Self(1);

    // A form's bit is number undecoded * 4 + folded * 2 + nfkc.
    const UNDECODED: Self = Self(1 << 4);
    pub(super) const ANY_DECODED: Self = Self(0x0f);
    const ANY_FOLDED: Self = Self(0b1100_1100);
    const ANY_NFKC: Self = Self(0b1010_1010);

    /// The decoded and the undecoded form with these properties.
    fn with(fold: bool, nfkc: bool) -> Self {
        Self(0b0001_0001 << (u8::from(fold) * 2 + u8::from(nfkc)))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Each form alone.
    pub fn each(self) -> impl Iterator<Item = Self> {
        (0..8)
            .map(|number| Self(1 << number))
            .filter(move |form| !self.and(*form).is_empty())
    }

    fn folded(self) -> Self {
        Self(self.without(Self::ANY_FOLDED).0 << 2)
    }

    fn nfkc(self) -> Self {
        Self(self.without(Self::ANY_NFKC).0 << 1)
    }

    /// These and the forms in which a path of these classes is the same anyway.
    fn closed_for(self, classes: u8) -> Self {
        let mut forms = self;
        if classes & class::WIDE == 0 {
            forms = forms.or(forms.nfkc());
            if classes & class::UPPER == 0 {
                forms = forms.or(forms.folded());
            }
        }
        forms
    }
}

/// One of the things a backend might take a path for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The path in this reading. Begins with `/`; not necessarily UTF-8.
    pub path: &'a [u8],
    /// The forms in which it is compared with the paths of routes.
    pub forms: Forms,
}

impl Reading<'_> {
    /// The same reading, compared in these of its forms only.
    #[must_use]
    pub fn in_forms(self, forms: Forms) -> Self {
        Self {
            forms: self.forms.and(forms),
            ..self
        }
    }
}

/// All readings of a path that has more than one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Readings {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
    hash: u64,
    classes: u8,
    forms: Forms,
    done: Forms,
}

/// A step, the classes of paths it can change, and the forms it goes on from.
type Step = (fn(&[u8], &mut Vec<u8>), u8, Forms);

/// A backend that does not decode may still merge slashes and drop parameters.
const STEPS: [Step; 6] = [
    (transform::merge, class::DOUBLE, Forms::ALL),
    (transform::drop_parameters, class::PARAMETER, Forms::ALL),
    (transform::decode, class::PERCENT, Forms::ANY_DECODED),
    (
        transform::slashes,
        class::PERCENT | class::BACKSLASH,
        Forms::ANY_DECODED,
    ),
    (transform::end, class::END, Forms::ANY_DECODED),
    (transform::overlong, class::WIDE, Forms::ANY_DECODED),
];

impl Readings {
    /// Works out the readings of a path as received, whose escapes are known to be whole.
    pub(super) fn of(path: &[u8]) -> Result<Self, Code> {
        let mut readings = Self {
            bytes: Vec::with_capacity(path.len() * 4),
            spans: Vec::with_capacity(8),
        };
        let mut next = Vec::with_capacity(path.len());
        transform::canonical(path, &mut next);
        readings.insert(&next, Forms::CANONICAL)?;
        next.clear();
        transform::undecoded(path, &mut next);
        readings.insert(&next, Forms::UNDECODED)?;

        let mut current = Vec::with_capacity(path.len());
        while let Some((classes, forms)) = readings.take_open(&mut current) {
            readings.insert_normalized(&current, classes, forms.folded().or(forms.nfkc()).without(forms))?;
            for (step, needed, from) in STEPS {
                let forms = forms.and(from);
                if classes & needed != 0 && !forms.is_empty() {
                    next.clear();
                    step(&current, &mut next);
                    readings.insert_normalized(&next, transform::classes(&next), forms)?;
                }
            }
        }
        Ok(readings)
    }

    /// The canonical reading.
    pub(super) fn canonical(&self) -> &[u8] {
        self.iter().next().map_or(b"/", |reading| reading.path)
    }

    /// All of them, the canonical one first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Reading<'_>> {
        self.spans.iter().map(|span| Reading {
            path: self.text(span),
            forms: span.forms,
        })
    }

    fn text(&self, span: &Span) -> &[u8] {
        self.bytes.get(span.start..span.end).unwrap_or_default()
    }

    /// A reading some of whose forms have not been gone on from, and these forms, which now count as done.
    fn take_open(&mut self, text: &mut Vec<u8>) -> Option<(u8, Forms)> {
        let span = self.spans.iter_mut().find(|span| span.forms != span.done)?;
        let forms = span.forms.without(span.done);
        span.done = span.forms;
        text.clear();
        text.extend_from_slice(self.bytes.get(span.start..span.end).unwrap_or_default());
        Some((span.classes, forms))
    }

    /// Adds a path in each of these forms.
    fn insert_normalized(&mut self, path: &[u8], classes: u8, forms: Forms) -> Result<(), Code> {
        if classes & (class::UPPER | class::WIDE) == 0 {
            return if forms.is_empty() {
                Ok(())
            } else {
                self.insert(path, forms)
            };
        }
        let mut text = Vec::new();
        for (fold, nfkc) in [(false, false), (false, true), (true, false), (true, true)] {
            let forms = forms.and(Forms::with(fold, nfkc));
            if !forms.is_empty() {
                text.clear();
                transform::normalize(path, fold, nfkc, &mut text).ok_or(Code::AmbiguousTarget)?;
                self.insert(&text, forms)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: &[u8], forms: Forms) -> Result<(), Code> {
        let classes = transform::classes(path);
        if classes & class::NEVER != 0 {
            return Err(Code::InvalidTarget);
        }
        let forms = forms.closed_for(classes);
        let hash = FixedState::default().hash_one(path);
        let bytes = &self.bytes;
        let known = self
            .spans
            .iter_mut()
            .find(|span| span.hash == hash && bytes.get(span.start..span.end) == Some(path));
        if let Some(span) = known {
            span.forms = span.forms.or(forms);
            return Ok(());
        }
        if self.spans.len() == MAX_READINGS || self.bytes.len() + path.len() > MAX_BYTES {
            return Err(Code::AmbiguousTarget);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(path);
        let end = self.bytes.len();
        self.spans.push(Span {
            start,
            end,
            hash,
            classes,
            forms,
            done: Forms::NONE,
        });
        Ok(())
    }
}

/// The texts a route's path is compared as, each with its forms, the canonical one first. `None` if it is too long.
pub(super) fn forms_of(decoded: &str) -> Option<Vec<(Forms, Vec<u8>)>> {
    let undecoded = transform::escaped(decoded);
    let mut keys: Vec<(Forms, Vec<u8>)> = Vec::with_capacity(1);
    for form in Forms::ALL.each() {
        let text = match form.and(Forms::ANY_DECODED).is_empty() {
            true => undecoded.as_slice(),
            false => decoded.as_bytes(),
        };
        let mut key = Vec::with_capacity(text.len());
        let (fold, nfkc) = (
            !form.and(Forms::ANY_FOLDED).is_empty(),
            !form.and(Forms::ANY_NFKC).is_empty(),
        );
        transform::normalize(text, fold, nfkc, &mut key)?;
        match keys.iter_mut().find(|(_, known)| *known == key) {
            Some((forms, _)) => *forms = forms.or(form),
            None => keys.push((form, key)),
        }
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn forms_are_a_set_of_eight() {
        assert_eq!(Forms::ALL.each().count(), 8);
        assert_eq!(Forms::CANONICAL.folded(), Forms(0b100));
        assert_eq!(Forms::CANONICAL.folded().nfkc(), Forms(0b1000));
        assert_eq!(Forms::CANONICAL.or(Forms::UNDECODED).closed_for(0), Forms::ALL);
        assert_eq!(Forms::CANONICAL.closed_for(class::UPPER), Forms(0b11));
        assert!(Forms::ALL.folded().or(Forms::ALL.nfkc()).without(Forms::ALL).is_empty());
    }

    #[test]
    fn a_lower_case_path_of_a_route_has_one_form() {
        assert_eq!(forms_of("/orders").unwrap(), [(Forms::ALL, b"/orders".to_vec())]);
        assert_eq!(forms_of("/Orders").unwrap().len(), 2);
        assert_eq!(forms_of("/é").unwrap().len(), 2);
        assert_eq!(forms_of("/É").unwrap().len(), 3);
    }
}
