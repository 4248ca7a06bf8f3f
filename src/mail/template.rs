//! Texts with `{{ names }}` in them. Deliberately no more than that: whoever writes a mail's text needs neither loops nor
//! conditions, and what has none cannot go wrong while a mail is sent. In the HTML part every value is escaped.

use std::fmt;

use crate::store::MailKind;

/// What can stand between braces.
const NAMES: [&str; 7] = ["name", "address", "link", "code", "site", "valid_for", "uses"];

/// What one mail says, in both parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) text: Template,
    pub(super) html: Template,
}

/// The kinds of mail that have a text, and the names of their files without `.txt` and `.html`.
pub const TEMPLATES: [(MailKind, &str); 4] = [
    (MailKind::Confirmation, "confirmation"),
    (MailKind::Reset, "reset"),
    (MailKind::AddressKnown, "address_known"),
    (MailKind::NameTaken, "name_taken"),
];

/// What all mails say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates {
    confirmation: Pair,
    reset: Pair,
    address_known: Pair,
    name_taken: Pair,
}

/// A mistake in a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {what}")]
pub struct Mistake {
    /// The file's name.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

macro_rules! built_in {
    ($file:literal) => {
        include_str!(concat!("../../templates/mail/", $file))
    };
}

impl Templates {
    /// The templates that `replaced` gives for files by their names, and our own for the others; every mistake at once.
    pub fn new(replaced: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut one = |file: &str, own: &str| {
            let text = replaced(file);
            let parsed = Template::parse(file, text.as_deref().unwrap_or(own));
            parsed.map_err(|mut wrong| mistakes.append(&mut wrong)).ok()
        };
        let confirmation = (
            one("confirmation.txt", built_in!("confirmation.txt")),
            one("confirmation.html", built_in!("confirmation.html")),
        );
        let reset = (
            one("reset.txt", built_in!("reset.txt")),
            one("reset.html", built_in!("reset.html")),
        );
        let address_known = (
            one("address_known.txt", built_in!("address_known.txt")),
            one("address_known.html", built_in!("address_known.html")),
        );
        let name_taken = (
            one("name_taken.txt", built_in!("name_taken.txt")),
            one("name_taken.html", built_in!("name_taken.html")),
        );
        let pair = |(text, html): (Option<Template>, Option<Template>)| {
            Some(Pair {
                text: text?,
                html: html?,
            })
        };
        let all = || {
            Some(Self {
                confirmation: pair(confirmation)?,
                reset: pair(reset)?,
                address_known: pair(address_known)?,
                name_taken: pair(name_taken)?,
            })
        };
        all().ok_or(mistakes)
    }

    pub(super) fn of(&self, kind: MailKind) -> Option<&Pair> {
        match kind {
            MailKind::Confirmation => Some(&self.confirmation),
            MailKind::Reset => Some(&self.reset),
            MailKind::AddressKnown => Some(&self.address_known),
            MailKind::NameTaken => Some(&self.name_taken),
            MailKind::Nobody => None,
        }
    }
}

/// A parsed text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(&'static str),
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Template({} pieces)", self.0.len())
    }
}

impl Template {
    /// Reads a template. One whose mail is of no use without a link or a code must have it.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, Vec<Mistake>> {
        let (mut pieces, mut mistakes) = (Vec::new(), Vec::new());
        let (mut rest, mut line) = (text, 1);
        while let Some((before, after)) = rest.split_once("{{") {
            line += before.matches('\n').count();
            pieces.push(Piece::Text(before.to_owned()));
            let mut wrong = |what: String| {
                mistakes.push(Mistake {
                    file: file.to_owned(),
                    line,
                    what,
                });
            };
            let Some((inside, behind)) = after.split_once("}}") else {
                wrong("\"{{\" without \"}}\"".to_owned());
                rest = "";
                break;
            };
            match NAMES.into_iter().find(|name| *name == inside.trim()) {
                Some(name) => pieces.push(Piece::Value(name)),
                None => wrong(format!(
                    "{{{{{}}}}} is none of {}",
                    inside.chars().take(40).collect::<String>().escape_debug(),
                    NAMES.join(", ")
                )),
            }
            line += inside.matches('\n').count();
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let template = Self(pieces);
        let needs_link = file.starts_with("confirmation.") || file.starts_with("reset.");
        if mistakes.is_empty() && needs_link && !["link", "code"].into_iter().any(|name| template.names(name)) {
            mistakes.push(Mistake {
                file: file.to_owned(),
                line,
                what: "holds neither {{ link }} nor {{ code }}".to_owned(),
            });
        }
        if mistakes.is_empty() {
            Ok(template)
        } else {
            Err(mistakes)
        }
    }

    fn names(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|piece| matches!(piece, Piece::Value(have) if *have == name))
    }

    /// The text with these values.
    pub(super) fn render(&self, value: impl Fn(&str) -> String, escape: impl Fn(&str) -> String) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Value(name) => escape(&value(name)),
            })
            .collect()
    }
}

/// As text and within attributes in quotes (HTML standard, section 13.1.2.3).
pub(super) fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// In the plain part a value stands on one line: nobody writes paragraphs into it by way of a name.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}
