//! The rules of e-mail addresses: what RFC 5321 allows without quoting, in ASCII. Anything cleverer is how one address
//! passes for another.

/// The longest address that fits a command of SMTP (RFC 5321 section 4.5.3.1.3).
const MAX_BYTES: usize = 254;
/// The longest local part (section 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// The longest label of a domain (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// The text is no e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an e-mail address such as name@example.org")]
pub struct InvalidEmail;

/// Checks an address (RFC 5321 section 4.1.2: `Dot-string@Domain`).
pub(super) fn check(address: &str) -> Result<(), InvalidEmail> {
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
            assert_eq!(check(good), Ok(()), "{good}");
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
            assert_eq!(check(bad), Err(InvalidEmail), "{bad}");
        }
    }
}
