//! Where something is fetched from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, PathAndQuery};

/// The address of a document: `https`, or `http` on this machine alone, for nobody must be able to put their own keys in
/// the place of an issuer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    text: String,
    secure: bool,
    authority: Authority,
    target: PathAndQuery,
}

/// Why a text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It is no absolute URL at all.
    #[error("it is no absolute URL with a host")]
    Malformed,
    /// Neither `https` nor `http`.
    #[error("only https is fetched")]
    Scheme,
    /// Plain HTTP over a network.
    #[error("plain http is for this machine only: whoever is on the way could give keys of their own")]
    Plain,
    /// Credentials stand in it.
    #[error("it holds credentials, which are not sent")]
    Credentials,
    /// A fragment is nothing that a server sees (RFC 9110 section 4.2.5).
    #[error("it has a fragment")]
    Fragment,
}

impl Url {
    /// Whether it is fetched over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What `Host` says.
    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The host without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        bare(self.authority.host())
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// The request target in origin form (RFC 9112 section 3.2.1).
    pub(super) fn target(&self) -> &str {
        self.target.as_str()
    }
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.contains('#') {
            return Err(InvalidUrl::Fragment);
        }
        let parts = text.parse::<Uri>().map_err(|_| InvalidUrl::Malformed)?.into_parts();
        let authority = parts.authority.ok_or(InvalidUrl::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(InvalidUrl::Credentials);
        }
        let port_is_good = authority.port().is_none_or(|port| port.as_u16() != 0);
        // A port that is empty or too large is left out by the parser.
        let is_whole = authority.port().is_some() || authority.as_str() == authority.host();
        if authority.host().is_empty() || !port_is_good || !is_whole {
            return Err(InvalidUrl::Malformed);
        }
        let secure = match parts.scheme.as_ref().map(http::uri::Scheme::as_str) {
            Some("https") => true,
            Some("http") if is_this_machine(authority.host()) => false,
            Some("http") => return Err(InvalidUrl::Plain),
            Some(_) => return Err(InvalidUrl::Scheme),
            None => return Err(InvalidUrl::Malformed),
        };
        Ok(Self {
            text: text.to_owned(),
            secure,
            authority,
            target: parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")),
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// RFC 6761 section 6.3: `localhost` is this machine.
fn is_this_machine(host: &str) -> bool {
    let address = bare(host).parse::<IpAddr>();
    address.is_ok_and(|address| address.to_canonical().is_loopback()) || host.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (text, host, port, target) in [
            (
                "https://idp.example.com/jwks.json",
                "idp.example.com",
                443,
                "/jwks.json",
            ),
            ("https://idp.example.com", "idp.example.com", 443, "/"),
            ("https://idp.example.com:8443/a?b=c", "idp.example.com", 8443, "/a?b=c"),
            ("https://[2001:db8::1]:1/", "2001:db8::1", 1, "/"),
            ("http://127.0.0.1:9/k", "127.0.0.1", 9, "/k"),
            ("http://[::1]/k", "::1", 80, "/k"),
            ("http://localhost/k", "localhost", 80, "/k"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), url.target()), (host, port, target), "{text}");
            assert_eq!(url.is_secure(), text.starts_with("https"));
            assert_eq!(url.to_string(), text);
        }
    }

    #[test]
    fn what_could_bring_somebody_elses_keys_is_refused() {
        for (text, why) in [
            ("", InvalidUrl::Malformed),
            ("/jwks.json", InvalidUrl::Malformed),
            ("idp.example.com", InvalidUrl::Malformed),
            ("https://", InvalidUrl::Malformed),
            ("https://:443/", InvalidUrl::Malformed),
            ("https://idp.example.com:0/", InvalidUrl::Malformed),
            ("https://idp.example.com:99999/", InvalidUrl::Malformed),
            ("https://idp.example.com:/", InvalidUrl::Malformed),
            ("https://idp example.com/", InvalidUrl::Malformed),
            ("ftp://idp.example.com/", InvalidUrl::Scheme),
            ("file:///etc/jwks.json", InvalidUrl::Malformed),
            ("http://idp.example.com/", InvalidUrl::Plain),
            ("http://10.0.0.1/", InvalidUrl::Plain),
            ("http://localhost.example.com/", InvalidUrl::Plain),
            ("https://user:word@idp.example.com/", InvalidUrl::Credentials),
            ("https://idp.example.com/#keys", InvalidUrl::Fragment),
        ] {
            assert_eq!(text.parse::<Url>(), Err(why), "{text}");
        }
    }
}
