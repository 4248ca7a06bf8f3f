//! A message from its facts: header, a plain part and an HTML part (RFC 2046 section 5.1.4).

use std::time::{Duration, SystemTime};

use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use super::links::origin;
use super::template::{escape_html, one_line};
use super::{Outgoing, Settings};
use crate::store::MailKind;

/// What a message is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The name of its row: the Message-ID is made from it, so that a message that was sent twice is known as one.
    pub id: &'a str,
    /// What it is about.
    pub kind: MailKind,
    /// The addressee.
    pub to: &'a str,
    /// The user's name.
    pub name: &'a str,
    /// Where to go; empty where there is nothing to do.
    pub link: &'a str,
    /// The code in the link.
    pub code: &'a str,
    /// For how long that is good.
    pub valid_for: Duration,
    /// Whether it can be used again until then.
    pub repeatable: bool,
    /// The date, in Unix milliseconds.
    pub now: i64,
}

/// For people: whole hours, or minutes.
fn in_words(span: Duration) -> String {
    let minutes = span.as_secs().div_euclid(60);
    match (minutes.is_multiple_of(60), minutes) {
        (true, 60) => "1 hour".to_owned(),
        (true, minutes) => format!("{} hours", minutes / 60),
        (false, 1) => "1 minute".to_owned(),
        (false, minutes) => format!("{minutes} minutes"),
    }
}

/// The longest name that a mail repeats, in characters.
const LONGEST_NAME: usize = 64;

/// A name as a mail repeats it. Whoever registers chooses it, and the mail goes to whom they like: so it has room for no letter
/// of theirs, and no word of it is what a reader of mail makes a link of.
fn fit(name: &str) -> String {
    let links = |word: &str| {
        let word = word.to_ascii_lowercase();
        let has_path = word.split_once('/').is_some_and(|(host, _)| host.contains('.'));
        word.contains("://") || word.contains("www.") || has_path
    };
    let mut fit = String::new();
    let mut kept = 0_usize;
    // The blanks stay as they are, and a word in which there is a link becomes the mark of what was left out.
    for piece in name.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end_matches(char::is_whitespace);
        let shown = if links(word) { "…" } else { word };
        for character in shown.chars().chain(piece.chars().skip(word.chars().count())) {
            if kept == LONGEST_NAME {
                fit.push('…');
                return fit;
            }
            fit.push(character);
            kept = kept.saturating_add(1);
        }
    }
    fit
}

/// Reads `Name <address>` or an address.
pub fn mailbox(text: &str) -> Option<Mailbox> {
    // Whatever a header cannot hold is no name.
    if text.chars().any(char::is_control) {
        return None;
    }
    text.parse().ok()
}

/// Writes a message. Nothing in its header comes from the values but the addressee, which must be an address.
pub(super) fn compose(settings: &Settings, facts: &Facts<'_>) -> Result<Outgoing, String> {
    let pair = settings.templates.of(facts.kind).ok_or("this is no kind of mail")?;
    let subject = match facts.kind {
        MailKind::Confirmation => settings.subject.as_str(),
        MailKind::Reset => settings.subject_reset.as_str(),
        MailKind::AddressKnown => "You have an account already",
        MailKind::NameTaken | MailKind::Nobody => "The name you chose is taken",
    };
    let to = facts.to.parse().map_err(|_| "the address is none".to_owned())?;
    let value = |name: &str| match name {
        "name" => fit(facts.name),
        "address" => facts.to.to_owned(),
        "link" => facts.link.to_owned(),
        "code" => facts.code.to_owned(),
        // The host that the mail leads to: people know it, and are not told of another.
        "site" => origin(if facts.link.is_empty() {
            &settings.site
        } else {
            facts.link
        })
        .to_owned(),
        "uses" if facts.repeatable => "however often it is followed".to_owned(),
        "uses" => "once".to_owned(),
        _ => in_words(facts.valid_for),
    };
    let (text, html) = (pair.text.render(value, one_line), pair.html.render(value, escape_html));
    let since = Duration::from_millis(u64::try_from(facts.now).unwrap_or(0));
    let automatic = HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    );
    let message = Message::builder()
        .from(settings.from.clone())
        .to(Mailbox::new(None, to))
        .subject(subject)
        .date(SystemTime::UNIX_EPOCH + since)
        .message_id(Some(format!("<{}@{}>", facts.id, settings.from.email.domain())))
        // No mailer answers to it (RFC 3834 section 5).
        .raw_header(automatic)
        .multipart(MultiPart::alternative_plain_html(text, html))
        .map_err(|error| error.to_string())?;
    Ok(Outgoing {
        envelope: message.envelope().clone(),
        bytes: message.formatted(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_letters_and_hold_no_links() {
        for name in [
            "alice",
            "Zoë O'Neill",
            "alice@example.org",
            " two  blanks ",
            "a.b-c_d",
            "",
            &"x".repeat(64),
        ] {
            assert_eq!(fit(name), name);
        }
        assert_eq!(fit(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
        assert_eq!(fit(&"ü".repeat(20_000)), format!("{}…", "ü".repeat(64)));
        assert_eq!(fit("You won! See https://evil.test/x now"), "You won! See … now");
        assert_eq!(fit("go to WWW.evil.test\nor evil.test/x"), "go to …\nor …");
        assert_eq!(fit(&"a.b/ ".repeat(40)), format!("{}…", "… ".repeat(32)));
        assert_eq!(fit("<b>either/or</b>"), "<b>either/or</b>");
    }

    #[test]
    fn the_origin_of_a_link_is_what_people_know() {
        for (url, known) in [
            ("https://client.test/#/finalize?token=x", "https://client.test"),
            ("https://client.test:8443?x=/", "https://client.test:8443"),
            ("https://client.test#/a", "https://client.test"),
            ("https://[::1]:80/", "https://[::1]:80"),
            ("https://client.test", "https://client.test"),
        ] {
            assert_eq!(origin(url), known);
        }
    }
}
