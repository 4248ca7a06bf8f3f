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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::store::MailKind;

    const CODE: &str = "c2VjcmV0IGNvZGUgb2YgYSBtYWls-_x";

    fn facts(to: &str) -> Facts<'_> {
        Facts {
            id: "0123",
            kind: MailKind::Reset,
            to,
            name: "alice",
            link: "https://x.example/reset?token=c2VjcmV0IGNvZGUgb2YgYSBtYWls-_x",
            code: CODE,
            valid_for: Duration::from_secs(900),
            repeatable: false,
            now: 1_800_000_000_000,
        }
    }

    #[test]
    fn the_servers_words_are_told_without_address_and_code() {
        for (said, told) in [
            ("550: mailbox full (quota 5 MB)", "550: mailbox full (quota 5 MB)"),
            ("550 <Al.ice@Example.org>: no such user", "550 <[...]>: no such user"),
            ("no mailbox al.ice here", "no mailbox [...] here"),
            ("user \"AL.ICE\" unknown", "user [...] unknown"),
            ("relay for root@other.example denied", "relay for [...] denied"),
            ("see https://x.example/?rcpt=al.ice%40example.org", "see [...]"),
            ("listed: https://x.example/reset?token=c2VjcmV0IGNv", "listed: [...]"),
            (
                "see https://support.example/?p=Unsolicited",
                "see https://support.example/?p=Unsolicited",
            ),
            ("5.7.1\r\n\x1b[2Jrefused\tby  policy", "5.7.1 [2Jrefused by policy"),
        ] {
            assert_eq!(fit(said, &facts("al.ice@example.org")), told);
        }
        let quoted = facts("\"a b\"@example.org");
        assert_eq!(fit("no \"A b\"@example.ORG here", &quoted), "no [...] here");
        let long = fit(&"word ".repeat(1000), &facts("a@b"));
        assert!(long.len() <= LONGEST + 4 && long.ends_with(" ..."), "{long}");
        assert_eq!(fit(&"x".repeat(5000), &facts("a@b")), " ...");
    }

    proptest! {
        #[test]
        fn whatever_is_said_nothing_of_the_code_is_told(before in ".{0,40}", from in 0_usize..20, after in ".{0,40}") {
            let piece: String = CODE.chars().skip(from).collect();
            let told = fit(&format!("{before}{piece}{after}"), &facts("al.ice@example.org"));
            prop_assert!(!CODE.as_bytes().windows(TELLING).any(|part| memchr::memmem::find(told.as_bytes(), part).is_some()));
            prop_assert!(!told.chars().any(char::is_control) && told.len() <= LONGEST + 8);
        }
    }
}
