//! Canonical hosts, and the hosts a route is for.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::codes::Code;

/// The longest authority that is looked at: a name of 253 characters (RFC 1035 section 2.3.4), a dot and a port fit.
const MAX_LENGTH: usize = 261;
const MAX_NAME: usize = 253;

/// The host of a request: without port, in lower case, without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    name: Cow<'a, str>,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads the value of `Host` or an authority (RFC 9110 section 7.2, RFC 3986 section 3.2) without user information.
    pub fn parse(authority: &'a str) -> Result<Self, Code> {
        if authority.len() > MAX_LENGTH {
            return Err(Code::InvalidHost);
        }
        if authority.starts_with('[') {
            return Self::parse_v6(authority);
        }
        let (name, port) = match authority.split_once(':') {
            Some((name, port)) => (name, parse_port(port)?),
            None => (authority, None),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let upper = check_name(name).ok_or(Code::InvalidHost)?;
        let name = match upper {
            true => Cow::Owned(name.to_ascii_lowercase()),
            false => Cow::Borrowed(name),
        };
        Ok(Self { name, port })
    }

    fn parse_v6(authority: &str) -> Result<Self, Code> {
        let (address, rest) = authority
            .strip_prefix('[')
            .and_then(|inner| inner.split_once(']'))
            .ok_or(Code::InvalidHost)?;
        let port = match rest.strip_prefix(':') {
            Some(port) => parse_port(port)?,
            None if rest.is_empty() => None,
            None => return Err(Code::InvalidHost),
        };
        let address: Ipv6Addr = address.parse().map_err(|_| Code::InvalidHost)?;
        Ok(Self {
            name: Cow::Owned(format!("[{address}]")),
            port,
        })
    }

    /// The name that is compared; an IPv6 address stands in brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is an address and not a name.
    pub fn is_address(&self) -> bool {
        self.name.starts_with('[') || self.name.parse::<Ipv4Addr>().is_ok()
    }

    /// The port, where one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The same host, on its own.
    pub fn into_owned(self) -> Host<'static> {
        Host {
            name: Cow::Owned(self.name.into_owned()),
            port: self.port,
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// The port may be empty (RFC 3986 section 3.2.3).
fn parse_port(port: &str) -> Result<Option<u16>, Code> {
    if port.is_empty() {
        return Ok(None);
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Code::InvalidHost);
    }
    port.parse().map(Some).map_err(|_| Code::InvalidHost)
}

/// Whether a valid name has upper-case letters; `None` if it is not valid: labels of letters, digits, `-` and `_`, none
/// of them empty.
fn check_name(name: &str) -> Option<bool> {
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    let mut upper = false;
    let mut previous = b'.';
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'A'..=b'Z' => upper = true,
            b'.' if previous != b'.' => {}
            _ => return None,
        }
        previous = byte;
    }
    (previous != b'.').then_some(upper)
}

/// A host a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// `*.` and this: exactly one label more.
    Wildcard(String),
}

/// The text is neither a host nor a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a host such as \"shop.example.com\", \"*.example.com\" or \"[2001:db8::1]\" (no port, no scheme)"
)]
pub struct InvalidHostPattern(String);

impl FromStr for HostPattern {
    type Err = InvalidHostPattern;

    fn from_str(text: &str) -> Result<Self, InvalidHostPattern> {
        let (suffix, wildcard) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        let invalid = || InvalidHostPattern(text.to_owned());
        let host = Host::parse(suffix).map_err(|_| invalid())?;
        let is_address = host.name.starts_with('[');
        let has_port = suffix.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        if has_port || wildcard && is_address {
            return Err(invalid());
        }
        let name = host.name.into_owned();
        Ok(if wildcard {
            Self::Wildcard(name)
        } else {
            Self::Exact(name)
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => formatter.write_str(name),
            Self::Wildcard(suffix) => write!(formatter, "*.{suffix}"),
        }
    }
}

impl HostPattern {
    /// Whether the host is meant.
    pub fn matches(&self, host: &Host<'_>) -> bool {
        match self {
            Self::Exact(name) => host.name == *name,
            Self::Wildcard(suffix) => host.name.split_once('.').is_some_and(|(_, rest)| rest == suffix),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn hosts_are_compared_without_port_case_and_trailing_dot() {
        let cases = [
            ("shop.example.com", "shop.example.com", None),
            ("Shop.EXAMPLE.com.:8443", "shop.example.com", Some(8443)),
            ("a:", "a", None),
            ("localhost", "localhost", None),
            ("my_app-1.internal:80", "my_app-1.internal", Some(80)),
            ("127.0.0.1:443", "127.0.0.1", Some(443)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8:0::1]:443", "[2001:db8::1]", Some(443)),
        ];
        for (authority, name, port) in cases {
            let host = Host::parse(authority).unwrap();
            assert_eq!((host.name(), host.port()), (name, port), "{authority}");
        }
        assert!(matches!(
            Host::parse("shop.example.com:1").unwrap().name,
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(254);
        let longer = format!("{}.:00000000065535", "a".repeat(250));
        for bad in [
            "",
            ".",
            "..",
            ":80",
            "a..",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "a@b",
            "user@host",
            "a%41",
            "a,b",
            "a:b",
            "a:-1",
            "a:+1",
            "a:65536",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[fe80::1%25eth0]",
            "[]",
            "[::1].",
            "ä.example",
            "a\\b",
            "a?b",
            "a#b",
            "*.a",
            "a\0",
            &long,
            &longer,
        ] {
            assert_eq!(Host::parse(bad), Err(Code::InvalidHost), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_is_exactly_one_label() {
        let pattern: HostPattern = "*.Shop.example.com".parse().unwrap();
        let matches = |host| pattern.matches(&Host::parse(host).unwrap());
        assert!(matches("eu.shop.example.com:1") && matches("EU.SHOP.example.com."));
        assert!(!matches("shop.example.com") && !matches("a.b.shop.example.com") && !matches("eushop.example.com"));
        assert_eq!(pattern.to_string(), "*.shop.example.com");
        for bad in [
            "*", "*.", "*.*.a", "a.*", "a*.b", "a:80", "*.a:80", "[::1]:80", "*.[::1]", "http://a", "a/b", "",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
        assert_eq!("[::1]".parse(), Ok(HostPattern::Exact("[::1]".to_owned())));
    }
}
