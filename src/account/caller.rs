//! Who is at the other end: what a session's owner reads in their list, and the log tells.

use std::net::IpAddr;

/// The longest part of a User-Agent that is kept, in characters: enough to tell one program from another.
const MAX_AGENT: usize = 200;

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The client's address.
    pub address: IpAddr,
    /// What the client calls itself, as far as anybody should read it.
    pub agent: Option<String>,
}

impl Caller {
    /// From this address, with this User-Agent. It is the client's own word, and ends in lists that people look at: no
    /// control characters, and not more of it than 200 characters.
    pub fn new(address: IpAddr, user_agent: Option<&[u8]>) -> Self {
        let text = String::from_utf8_lossy(user_agent.unwrap_or_default());
        let shown: String = text
            .chars()
            .filter(|character| !character.is_control())
            .take(MAX_AGENT)
            .collect();
        let shown = shown.trim();
        Self {
            address,
            agent: (!shown.is_empty()).then(|| shown.to_owned()),
        }
    }
}

impl From<IpAddr> for Caller {
    fn from(address: IpAddr) -> Self {
        Self { address, agent: None }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_program_says_its_name_within_bounds() {
        let agent = |bytes: &[u8]| Caller::new(IpAddr::V4(Ipv4Addr::LOCALHOST), Some(bytes)).agent;
        assert_eq!(agent(b"curl/8.5.0").as_deref(), Some("curl/8.5.0"));
        assert_eq!(agent(b" a\x1b[31m\tb\x00 ").as_deref(), Some("a[31mb"));
        assert_eq!(agent(b"\xff").as_deref(), Some("\u{fffd}"));
        assert_eq!(
            agent("ü".repeat(300).as_bytes()).map(|text| text.chars().count()),
            Some(200)
        );
        assert_eq!(agent(b" \t "), None);
        assert_eq!(Caller::from(IpAddr::V4(Ipv4Addr::LOCALHOST)).agent, None);
    }
}
