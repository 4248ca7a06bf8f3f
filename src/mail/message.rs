//! A message from its facts: header, a plain part and an HTML part (RFC 2046 section 5.1.4).

use std::time::{Duration, SystemTime};

use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

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
        "name" => facts.name.to_owned(),
        "address" => facts.to.to_owned(),
        "link" => facts.link.to_owned(),
        "code" => facts.code.to_owned(),
        "site" => settings.site.clone(),
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
