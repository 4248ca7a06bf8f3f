//! Basic (RFC 7617), for clients that can do nothing else: the password is an API key. The user-id is not looked at, as
//! the key says whose it is; passwords of people are never accepted here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::api_key::{self, ShownKey};

/// The API key in the credentials of Basic; `None`: there is none.
pub fn read(credentials: &str) -> Option<ShownKey> {
    api_key::read(&password(credentials)?)
}

/// Whether the password is meant to be an API key of ours, good or bad: then it is nothing for a backend.
pub fn holds_api_key(credentials: &str) -> bool {
    password(credentials).is_some_and(|password| api_key::looks_like_api_key(&password))
}

fn password(credentials: &str) -> Option<String> {
    let decoded = STANDARD.decode(credentials).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_key_whoever_is_named() {
        let (text, shown) = api_key::write(&[3; 41]);
        for user in ["alice", "", "x y"] {
            let credentials = STANDARD.encode(format!("{user}:{text}"));
            assert_eq!(read(&credentials), Some(shown.clone()));
            assert!(holds_api_key(&credentials));
        }
        let foreign = STANDARD.encode("alice:secret");
        assert_eq!(read(&foreign), None);
        assert!(!holds_api_key(&foreign));
        for broken in [
            "",
            "%%%",
            &STANDARD.encode("no colon"),
            &STANDARD.encode([0xff, b':', 0xff]),
        ] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }
}
