//! The rules of e-mail addresses: what RFC 5321 allows without quoting, in ASCII. Anything cleverer is how one address
//! passes for another. A server without rules takes any text.

use super::registration::Rules;

/// The longest address that fits a command of SMTP (RFC 5321 section 4.5.3.1.3).
const MAX_BYTES: usize = 254;
/// The longest text that a server without rules takes for an address: what fits a UNIQUE index of PostgreSQL's, which such a
/// server's table has.
const MAX_BYTES_ANYWHERE: usize = 2048;
/// The longest local part (section 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// The longest label of a domain (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// The text is no e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an e-mail address such as name@example.org")]
pub struct InvalidEmail;

/// Checks the address of a new account.
pub(super) fn check(address: &str, rules: Rules) -> Result<(), InvalidEmail> {
    match rules {
        Rules::All => check_all(address),
        // Whether mail can be sent to it shows when it is sent.
        Rules::Lengths if address.len() <= MAX_BYTES_ANYWHERE && !address.chars().any(char::is_control) => Ok(()),
        Rules::Lengths => Err(InvalidEmail),
    }
}

/// RFC 5321 section 4.1.2: `Dot-string@Domain`.
fn check_all(address: &str) -> Result<(), InvalidEmail> {
    let (local, domain) = address.split_once('@').ok_or(InvalidEmail)?;
    let atom = |atom: &str| !atom.is_empty() && atom.bytes().all(is_atext);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= MAX_LABEL
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let good = address.len() <= MAX_BYTES
        && local.len() <= MAX_LOCAL
        && local.split('.').all(atom)
        && domain.split('.').all(label);
    if good { Ok(()) } else { Err(InvalidEmail) }
}

/// RFC 5322 section 3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain() {
        for good in [
            "a@b",
            "alice@example.org",
            "a.b+c@x-y.example",
            "o'neil@example.org",
            "root@localhost",
        ] {
            assert_eq!(check(good, Rules::All), Ok(()), "{good}");
        }
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}example.org", "b.".repeat(130));
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "alice",
            "a@b@c",
            "admin@corp@evil",
            "a b@c",
            "a@b c",
            "a@b\n",
            "a@b,c@d",
            "<a@b>",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@.b",
            "a@b.",
            "a@b..c",
            "a@-b",
            "a@b-",
            "\"a b\"@c",
            "a@[127.0.0.1]",
            "ä@b",
            "a@b\0",
            "a@ö.example",
            &long,
            &longer,
        ] {
            assert_eq!(check(bad, Rules::All), Err(InvalidEmail), "{bad}");
        }
    }

    #[test]
    fn a_server_without_rules_takes_any_text() {
        for text in ["alice", "a@b@c", "a b@c", "ä@ö.example", "\"a b\"@c", &"x".repeat(2048)] {
            assert_eq!(check(text, Rules::Lengths), Ok(()), "{text}");
        }
        for bad in ["a@b\r\nBcc: c@d", "a\0@b", "a\t@b", "a\u{85}@b", &"x".repeat(2049)] {
            assert_eq!(check(bad, Rules::Lengths), Err(InvalidEmail), "{bad:?}");
        }
    }
}
