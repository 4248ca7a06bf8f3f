//! The rules of new names. Names that are in the table already log in as they are.

use std::fmt;

use super::registration::Rules;

/// The longest name, in bytes: what a header of every backend takes, with room to spare.
pub(super) const MAX_BYTES: usize = 255;
/// The longest name where the rules are another server's, which has none: far above what anybody has, and what an import takes.
pub(super) const MAX_BYTES_ANYWHERE: usize = 16 << 10;

/// What is wrong with a name. Its text goes on from "the name …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is nothing in it.
    Empty,
    /// More than so many bytes.
    TooLong(usize),
    /// White space in front or behind, which headers and people drop.
    OuterBlanks,
    /// A control character: C0, C1, line and paragraph separators.
    Control,
    /// A character that nobody sees, or that turns the order of the others around: two names would look the same.
    Invisible,
    /// A comma, which separates names in lists, or a colon, which ends the name in Basic (RFC 7617 section 2).
    Separator,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TooLong(most) => return write!(formatter, "must have at most {most} bytes"),
            Self::Empty => "must not be empty",
            Self::OuterBlanks => "must not begin or end with white space",
            Self::Control => "must not hold control characters",
            Self::Invisible => "must not hold invisible characters",
            Self::Separator => "must not hold a comma or a colon",
        })
    }
}

/// Everything that speaks against a new name.
pub(super) fn check(name: &str, rules: Rules) -> Vec<Fault> {
    if name.is_empty() {
        return vec![Fault::Empty];
    }
    // What is long or cannot be seen is a name to a server without rules; what breaks headers and lists is none anywhere.
    let (most, control, invisible) = match rules {
        Rules::All => (MAX_BYTES, name.chars().any(is_control), name.chars().any(is_invisible)),
        Rules::Lengths => (MAX_BYTES_ANYWHERE, name.chars().any(char::is_control), false),
    };
    let faults = [
        (name.len() > most, Fault::TooLong(most)),
        (name.trim() != name, Fault::OuterBlanks),
        (control, Fault::Control),
        (invisible, Fault::Invisible),
        (name.contains([',', ':']), Fault::Separator),
    ];
    faults
        .into_iter()
        .filter(|(wrong, _)| *wrong)
        .map(|(_, fault)| fault)
        .collect()
}

/// Whether only a server without rules has such a name.
pub(super) fn is_long(name: &str) -> bool {
    name.len() > MAX_BYTES
}

fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The default-ignorable code points (DerivedCoreProperties of the Unicode Character Database): zero-width and filler
/// characters, joiners, direction marks, variation selectors, tags.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_have_are_allowed() {
        for name in [
            "a",
            "alice",
            "Alice Liddell",
            "山田 太郎",
            "józef.k",
            "O'Neil",
            "a@x.example",
            "42",
            "-",
            "Ünal",
        ] {
            assert_eq!(check(name, Rules::All), [], "{name:?}");
        }
        assert_eq!(check(&"ä".repeat(127), Rules::All), []);
    }

    #[test]
    fn what_headers_lists_and_eyes_would_change_is_not() {
        for (name, faults) in [
            ("", &[Fault::Empty][..]),
            (" ", &[Fault::OuterBlanks]),
            (" alice", &[Fault::OuterBlanks]),
            ("alice\u{a0}", &[Fault::OuterBlanks]),
            ("ali\nce", &[Fault::Control]),
            ("ali\0ce", &[Fault::Control]),
            ("ali\u{85}ce", &[Fault::Control]),
            ("alice\t", &[Fault::OuterBlanks, Fault::Control]),
            ("ali\u{200b}ce", &[Fault::Invisible]),
            ("\u{202e}ecila", &[Fault::Invisible]),
            ("a,b", &[Fault::Separator]),
            ("idp:alice", &[Fault::Separator]),
        ] {
            assert_eq!(check(name, Rules::All), faults, "{name:?}");
        }
        assert_eq!(check(&"ä".repeat(128), Rules::All), [Fault::TooLong(255)]);
    }

    #[test]
    fn a_server_without_rules_has_long_names_and_such_as_nobody_sees() {
        for name in ["ali\u{200b}ce", "\u{202e}ecila", "👩\u{200d}🚀", &"ä".repeat(8192)] {
            assert_eq!(check(name, Rules::Lengths), [], "{name:?}");
        }
        for (name, fault) in [
            ("", Fault::Empty),
            (" alice", Fault::OuterBlanks),
            ("ali\0ce", Fault::Control),
            ("a,b", Fault::Separator),
            (&"x".repeat(16_385), Fault::TooLong(16_384)),
        ] {
            assert_eq!(check(name, Rules::Lengths), [fault], "{name:?}");
        }
    }
}
