//! Whether a new password is good enough: NIST SP 800-63B section 3.1.1.2 and OWASP ASVS 5 section 6.2. A least length, a list of
//! passwords everybody tries first, nothing about kinds of characters.

use std::fmt;

use super::{MAX_PASSWORD_CHARACTERS, MinLength, is_bounded};

/// The most common passwords in lower case, one a line after a header that tells where they come from.
const COMMON: &str = include_str!("common.txt");

/// Digits and signs around a username that do not make a password of it; more of them would be a password of their own.
const TRIVIAL_CHARACTERS: usize = 8;

/// Why a new password is refused. Its text is for the person who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Fewer characters than the settings ask for.
    TooShort(MinLength),
    /// More than [`MAX_PASSWORD_CHARACTERS`].
    TooLong,
    /// One of the passwords that are tried first.
    Common,
    /// The name of the account, give or take digits and signs around it.
    LikeUsername,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(least) => match least.characters() {
                1 => formatter.write_str("must not be empty"),
                many => write!(formatter, "must have at least {many} characters"),
            },
            Self::TooLong => write!(formatter, "must have at most {MAX_PASSWORD_CHARACTERS} characters"),
            Self::Common => formatter.write_str("is one of the most common passwords"),
            Self::LikeUsername => formatter.write_str("must not be the username, alone or with digits around it"),
        }
    }
}

/// Everything that speaks against a new password for this account, all at once; nothing if it is good enough.
pub fn check(password: &str, username: &str, least: MinLength) -> Vec<Reason> {
    if !is_bounded(password) {
        return vec![Reason::TooLong];
    }
    let mut reasons = Vec::new();
    // Characters are Unicode code points, as NIST counts them.
    if password.chars().count() < least.characters() {
        reasons.push(Reason::TooShort(least));
    }
    if is_common(password) {
        reasons.push(Reason::Common);
    }
    if is_like(password, username) {
        reasons.push(Reason::LikeUsername);
    }
    reasons
}

fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    common().any(|entry| entry == lower)
}

fn common() -> impl Iterator<Item = &'static str> {
    COMMON.lines().filter(|line| !line.starts_with('#'))
}

/// Whether the password is the name and at most a few digits and signs around it: "alice" has neither "Alice" nor "alice123!".
fn is_like(password: &str, username: &str) -> bool {
    let (password, username) = (password.to_lowercase(), username.to_lowercase());
    if username.is_empty() || !password.contains(&username) {
        return false;
    }
    let rest = password.replace(&username, "");
    rest.chars().count() <= TRIVIAL_CHARACTERS && !rest.chars().any(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(password: &str, username: &str) -> Vec<Reason> {
        check(password, username, MinLength::default())
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(reasons("ä本ü言ö葉é", "alice"), [Reason::TooShort(MinLength::default())]);
        assert_eq!(reasons("ä本ü言ö葉éx", "alice"), []);
        assert_eq!(reasons(&"wort ".repeat(200), "alice"), []);
        assert_eq!(reasons(&"ä".repeat(4096), "alice"), []);
        assert_eq!(reasons(&"ä".repeat(4097), "alice"), [Reason::TooLong]);
        assert_eq!(Reason::TooLong.to_string(), "must have at most 4096 characters");
        let one = MinLength::new(1).unwrap();
        assert_eq!(Reason::TooShort(one).to_string(), "must not be empty");
    }

    #[test]
    fn common_passwords_are_refused_in_any_case_and_good_ones_need_no_kinds_of_characters() {
        for common in ["password", "Password1", "12345678", "iloveyou", "QWERTYUIOP"] {
            assert_eq!(reasons(common, "alice"), [Reason::Common], "{common}");
        }
        for good in ["gulls over a grey harbour", "vxqzmtrwpk", "# ", " MIT License "] {
            let expected = if good.len() < 8 {
                vec![Reason::TooShort(MinLength::default())]
            } else {
                vec![]
            };
            assert_eq!(reasons(good, "alice"), expected, "{good}");
        }
    }

    #[test]
    fn the_username_is_no_password_but_may_be_part_of_one() {
        for like in [
            "aliceliddell",
            "AliceLiddell",
            "aliceliddell1862",
            "!!aliceLiddell_7",
            "1aliceliddell",
        ] {
            assert_eq!(reasons(like, "aliceliddell"), [Reason::LikeUsername], "{like}");
        }
        assert_eq!(reasons("down the hole went aliceliddell", "aliceliddell"), []);
        assert_eq!(reasons("alicealice", "alice"), [Reason::LikeUsername]);
        assert_eq!(reasons("20251862", "1862"), [Reason::LikeUsername]);
        assert_eq!(reasons("a9382-49275-02", "a"), []);
        assert_eq!(reasons("gulls over the harbour", ""), []);
    }

    #[test]
    fn all_reasons_come_at_once_and_read_well() {
        let all: Vec<String> = check("Dragon", "dragon", MinLength::default())
            .iter()
            .map(Reason::to_string)
            .collect();
        assert_eq!(
            all,
            [
                "must have at least 8 characters",
                "is one of the most common passwords",
                "must not be the username, alone or with digits around it"
            ]
        );
    }

    #[test]
    fn the_list_is_in_lower_case_and_long_enough() {
        assert!(common().all(|entry| !entry.is_empty() && entry == entry.to_lowercase()));
        assert!(
            common().filter(|entry| entry.len() >= 8).count() >= 3000,
            "ASVS 6.2.4: the top 3000 that fit the policy"
        );
    }
}
