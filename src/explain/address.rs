//! A URL as people write it: taken apart, and otherwise left as it is, since what is odd about it is what matters.

use url::Url;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether it is https.
    pub secure: bool,
    /// The host with its port; none was written.
    pub host: Option<String>,
    /// Path and query, byte for byte.
    pub target: String,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// The scheme is none of HTTP.
    #[error("the scheme is neither https nor http")]
    Scheme,
    /// There is no host between scheme and path.
    #[error("there is no host behind the scheme")]
    NoHost,
    /// There is a name or password before the host.
    #[error("a URL with a name or password in it is no address of a request")]
    UserInfo,
    /// The international host has no ASCII form.
    #[error("the host has no ASCII form (xn--…)")]
    Host,
}

impl Address {
    /// Takes `https://host/path?query`, the same without scheme, or a path alone.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let (secure, rest) = match text.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?', '#']) => match scheme.to_ascii_lowercase().as_str() {
                "https" | "wss" => (true, rest),
                "http" | "ws" => (false, rest),
                _ => return Err(InvalidAddress::Scheme),
            },
            Some(_) | None if text.starts_with('/') || text == "*" || text.is_empty() => {
                return Ok(Self {
                    secure: true,
                    host: None,
                    target: if text.is_empty() { "/" } else { text }.to_owned(),
                });
            }
            Some(_) | None => (true, text),
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (host, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if host.contains('@') {
            return Err(InvalidAddress::UserInfo);
        }
        if host.is_empty() {
            return Err(InvalidAddress::NoHost);
        }
        Ok(Self {
            secure,
            host: Some(in_ascii(host)?),
            target: match target.starts_with('/') {
                true => target.to_owned(),
                false => format!("/{target}"),
            },
        })
    }
}

fn in_ascii(host: &str) -> Result<String, InvalidAddress> {
    if host.is_ascii() {
        return Ok(host.to_owned());
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, format!(":{port}")),
        None => (host, String::new()),
    };
    let url = Url::parse(&format!("https://{name}/")).map_err(|_| InvalidAddress::Host)?;
    let name = url.host_str().ok_or(InvalidAddress::Host)?;
    Ok(format!("{name}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_left_as_it_is() {
        for (text, secure, host, target) in [
            ("https://h/a/../b?x#y", true, Some("h"), "/a/../b?x#y"),
            ("HTTP://H:8000", false, Some("H:8000"), "/"),
            ("https://h?x=1", true, Some("h"), "/?x=1"),
            ("https://[::1]:8443/a", true, Some("[::1]:8443"), "/a"),
            (
                "https://bücher.example:444/ä",
                true,
                Some("xn--bcher-kva.example:444"),
                "/ä",
            ),
            ("/a//b", true, None, "/a//b"),
            ("/a?u=https://x/", true, None, "/a?u=https://x/"),
            ("*", true, None, "*"),
            ("shop.example.com/x", true, Some("shop.example.com"), "/x"),
            ("wss://h/s", true, Some("h"), "/s"),
        ] {
            let address = Address {
                secure,
                host: host.map(str::to_owned),
                target: target.to_owned(),
            };
            assert_eq!(Address::parse(text), Ok(address), "{text}");
        }
        for (text, why) in [
            ("ftp://h/", InvalidAddress::Scheme),
            ("https:///a", InvalidAddress::NoHost),
            ("https://u:p@h/", InvalidAddress::UserInfo),
        ] {
            assert_eq!(Address::parse(text), Err(why), "{text}");
        }
    }
}
