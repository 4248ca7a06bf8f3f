//! `[forward_auth]`.

use std::str::FromStr;

use url::Url;

use crate::route::Host;

/// `[forward_auth]`, with only valid values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where browsers are sent to log in; `None`: to the gateway's own page.
    pub login: Option<Login>,
    /// Hosts to which a login may lead back, beside those of routes (canonical form).
    pub allowed_redirect_hosts: Vec<String>,
}

/// Where browsers are sent to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A path on whatever host was asked for.
    Path(String),
    /// A page of one host.
    Url(Url),
}

impl Login {
    /// The one host of it.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Path(_) => None,
            Self::Url(url) => url.host_str(),
        }
    }
}

/// Why a text is no login URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLogin {
    /// It is neither an absolute URL nor a path.
    #[error("it has to begin with \"https://\", or with one slash for a path on the host that was asked for")]
    Form,
    /// A password would be typed in where others can read it.
    #[error("a password is typed in there: it has to be https, but on this machine")]
    Insecure,
    /// It names a user.
    #[error("a user's name or password does not belong into it")]
    UserInfo,
    /// It has a fragment, behind which nothing can be added.
    #[error("leave out the \"#\" and what follows")]
    Fragment,
    /// `rd` is added to it.
    #[error("leave out `rd`: it is added for each request")]
    ReturnAddress,
}

impl FromStr for Login {
    type Err = InvalidLogin;

    fn from_str(text: &str) -> Result<Self, InvalidLogin> {
        if text.contains('#') {
            return Err(InvalidLogin::Fragment);
        }
        let odd = |character: char| character.is_control() || character.is_whitespace() || character == '\\';
        if text.contains(odd) {
            return Err(InvalidLogin::Form);
        }
        let relative = text.starts_with('/');
        if text.starts_with("//") {
            return Err(InvalidLogin::Form);
        }
        let base = Url::parse("https://gateway.invalid/").map_err(|_| InvalidLogin::Form)?;
        let parsed = match relative {
            true => base.join(text),
            false => Url::parse(text),
        };
        let url = parsed.map_err(|_| InvalidLogin::Form)?;
        if url.query_pairs().any(|(name, _)| name == "rd") {
            return Err(InvalidLogin::ReturnAddress);
        }
        if relative {
            let path = &url[url::Position::BeforePath..];
            return match url.origin() == base.origin() && !path.starts_with("//") {
                true => Ok(Self::Path(path.to_owned())),
                false => Err(InvalidLogin::Form),
            };
        }
        let known = |scheme: &str| {
            text.get(..scheme.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        };
        let host = url.host_str().filter(|host| Host::parse(host).is_ok());
        match (known("https://"), known("http://"), host) {
            (_, _, None) | (false, false, _) => Err(InvalidLogin::Form),
            _ if !url.username().is_empty() || url.password().is_some() => Err(InvalidLogin::UserInfo),
            (false, true, Some(host)) if !is_here(host) => Err(InvalidLogin::Insecure),
            (true, _, Some(_)) | (_, true, Some(_)) => Ok(Self::Url(url)),
        }
    }
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1" || host == "[::1]"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_login_is_an_https_url_or_a_path() {
        for (text, expected) in [
            ("https://login.example.com", "https://login.example.com/"),
            (
                "https://Login.example.com:8443/in?a=b",
                "https://login.example.com:8443/in?a=b",
            ),
            ("http://localhost:8000/auth/login", "http://localhost:8000/auth/login"),
            ("/auth/login", "/auth/login"),
            ("/ä", "/%C3%A4"),
        ] {
            let shown = match text.parse::<Login>().unwrap() {
                Login::Path(path) => path,
                Login::Url(url) => url.to_string(),
            };
            assert_eq!(shown, expected, "{text}");
        }
        for (text, why) in [
            ("login", InvalidLogin::Form),
            ("//login.example.com", InvalidLogin::Form),
            ("/\\login.example.com", InvalidLogin::Form),
            ("/..//login.example.com", InvalidLogin::Form),
            ("javascript:alert(1)", InvalidLogin::Form),
            ("ftp://login.example.com/", InvalidLogin::Form),
            ("https:login.example.com", InvalidLogin::Form),
            ("https://login example.com", InvalidLogin::Form),
            ("http://login.example.com/", InvalidLogin::Insecure),
            ("https://user@login.example.com/", InvalidLogin::UserInfo),
            ("https://login.example.com/#x", InvalidLogin::Fragment),
            ("https://login.example.com/?rd=x", InvalidLogin::ReturnAddress),
        ] {
            assert_eq!(text.parse::<Login>(), Err(why), "{text}");
        }
    }
}
