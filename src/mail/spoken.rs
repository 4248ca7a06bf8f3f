//! What a mail server says, made fit for a log: its words help the operator, but they may quote the addressee and the message.

use super::{Facts, Undelivered};

/// The longest text that is kept, in bytes.
const LONGEST: usize = 300;
/// So many characters of a code in a row give it away: a server quotes whole words.
const TELLING: usize = 8;
/// What stands in the place of a word that is not for a log.
const HIDDEN: &str = "[...]";

/// The reason without the address, the code and control characters, and not without bounds.
pub(super) fn without_secrets(error: Undelivered, facts: &Facts<'_>) -> Undelivered {
    match error {
        Undelivered::Later(text) => Undelivered::Later(fit(&text, facts)),
        Undelivered::Never(text) => Undelivered::Never(fit(&text, facts)),
    }
}

fn fit(text: &str, facts: &Facts<'_>) -> String {
    let text = without(text, facts.to);
    let mut fit = String::new();
    for word in text.split(|character: char| character.is_whitespace() || character.is_control()) {
        if word.is_empty() {
            continue;
        }
        if fit.len().saturating_add(word.len()) > LONGEST {
            fit.push_str(" ...");
            break;
        }
        if !fit.is_empty() {
            fit.push(' ');
        }
        fit.push_str(if tells(word, facts) { HIDDEN } else { word });
    }
    fit
}

/// Without this address, in any case of its letters: it may hold blanks (RFC 5321 section 4.1.2).
fn without(text: &str, address: &str) -> String {
    let (folded, address) = (text.to_ascii_lowercase(), address.to_ascii_lowercase());
    let mut rest = (text, folded.as_str());
    let mut kept = String::new();
    // Folding ASCII moves no byte, so what is found in one text is in the same place of the other.
    while !address.is_empty()
        && let Some(at) = rest.1.find(&address)
    {
        let behind = at.saturating_add(address.len());
        kept.push_str(rest.0.get(..at).unwrap_or_default());
        kept.push_str(HIDDEN);
        rest = (
            rest.0.get(behind..).unwrap_or_default(),
            rest.1.get(behind..).unwrap_or_default(),
        );
    }
    kept + rest.0
}

/// Whether a word is an address, the addressee's name at their server, or holds a part of the code.
fn tells(word: &str, facts: &Facts<'_>) -> bool {
    let bare = word.trim_matches(|character: char| !character.is_alphanumeric());
    let local = facts.to.rsplit_once('@').map_or(facts.to, |(local, _)| local);
    let folded = word.to_ascii_lowercase();
    let is_address = word.contains('@') || folded.contains("%40") || folded.contains("=40");
    is_address
        || (!local.is_empty() && (bare.eq_ignore_ascii_case(local) || word.eq_ignore_ascii_case(local)))
        || facts
            .code
            .as_bytes()
            .windows(TELLING)
            .any(|part| memchr::memmem::find(word.as_bytes(), part).is_some())
}
