//! Where browsers are sent: to the login page, home, and after the login to where they wanted to go. Nothing that a client
//! sends leads anywhere but within this gateway's own hosts.

use http::HeaderValue;
use url::{Position, Url, form_urlencoded};

use crate::endpoint::Settings;
use crate::endpoint::forward_auth::Login;
use crate::route::Host;
use crate::session;

/// The longest target that is remembered over a login, in bytes. A longer one leads home.
const TARGET_AT_MOST: usize = 2048;

/// The pages of one configuration.
#[derive(Debug, Default)]
pub struct Places {
    /// The prefix of the pages as it stands in a URL; `None`: there are none.
    pub(super) prefix: Option<String>,
    /// The only hosts with pages; none: every host.
    pub(super) hosts: Vec<String>,
    /// One login for all hosts below this domain.
    pub(super) domain: Option<String>,
    /// The hosts to which an absolute URL may lead.
    pub(super) landing_hosts: Vec<String>,
    /// Where browsers of forward-auth log in, if not at the page here.
    pub(super) login: Option<Login>,
    /// What browsers call the gateway, if something says.
    pub(super) origin: Option<Url>,
}

/// Where to go after a login or logout: checked, and written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// The reference.
    pub location: String,
    /// The origin, where it is not the page's own.
    pub origin: Option<String>,
}

/// What a browser asked for when it turned out that it has to log in.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The host.
    pub host: Option<&'a Host<'a>>,
    /// Whether it came by https.
    pub secure: bool,
    /// The path, as received.
    pub path: &'a str,
    /// The query, as received.
    pub query: Option<&'a str>,
}

impl Places {
    /// The pages of these settings, and the hosts of routes by name.
    pub fn new<'a>(
        settings: &Settings,
        cookies: &session::Settings,
        route_hosts: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let literal = route_hosts.into_iter().filter(|host| !host.starts_with('*'));
        Self {
            prefix: settings.pages.as_deref().and_then(as_in_url),
            hosts: settings.hosts.clone(),
            domain: cookies.domain.clone(),
            landing_hosts: literal.cloned().collect(),
            login: None,
            origin: None,
        }
    }

    /// The prefix of the pages, as it stands in a URL.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// A page of ours.
    pub fn page(&self, name: &str) -> Landing {
        Landing {
            location: format!("{}/{name}", self.prefix()),
            origin: None,
        }
    }

    /// Where what a client sent as `rd` leads: a path with exactly one slash before it, or an https URL to the host of a route.
    pub fn landing(&self, rd: &str) -> Option<Landing> {
        let odd = |character: char| character.is_control() || character.is_whitespace() || character == '\\';
        if rd.len() > TARGET_AT_MOST || rd.contains(odd) {
            return None;
        }
        if rd.starts_with('/') {
            return path(rd);
        }
        // The URL parser is lenient about slashes; a client of ours has no reason to be.
        let (scheme, rest) = rd.split_at_checked("https://".len())?;
        let is_https = scheme.eq_ignore_ascii_case("https://") && !rest.starts_with('/');
        let url = Some(rd).filter(|_| is_https).and_then(|rd| Url::parse(rd).ok())?;
        let own = url.username().is_empty() && url.password().is_none();
        let host = url.host_str().filter(|_| own)?;
        let host = host.strip_suffix('.').unwrap_or(host);
        let known = self.landing_hosts.iter().any(|known| known == host);
        known.then(|| Landing {
            origin: Some(url.origin().ascii_serialization()),
            location: url.into(),
        })
    }

    /// Where a browser goes to log in, to come back afterwards; `None`: nowhere, no login would help it.
    pub fn login_for(&self, wanted: &Wanted<'_>) -> Option<HeaderValue> {
        let prefix = self.prefix.as_deref()?;
        let target = target(wanted);
        if self.are_on(wanted.host) {
            return location(&format!("{prefix}/login"), target.len() <= TARGET_AT_MOST, &target);
        }
        // Another host's login helps only where its cookie comes here as well.
        let domain = self.domain.as_deref()?;
        let host = wanted.host.filter(|host| lies_below(host.name(), domain))?;
        let login = self.hosts.iter().find(|host| lies_below(host, domain))?;
        let port = host.port().filter(|port| wanted.secure && *port != 443);
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let target = format!("https://{host}{port}{target}");
        let comes_back = self.landing(&target).is_some();
        location(&format!("https://{login}{port}{prefix}/login"), comes_back, &target)
    }

    /// The home page, for whoever asks this host for nothing in particular.
    pub fn home_for(&self, host: Option<&Host<'_>>) -> Option<HeaderValue> {
        let prefix = self.prefix.as_deref().filter(|_| self.are_on(host))?;
        HeaderValue::try_from(format!("{prefix}/")).ok()
    }

    pub(super) fn are_on(&self, host: Option<&Host<'_>>) -> bool {
        self.hosts.is_empty() || host.is_some_and(|host| self.hosts.iter().any(|own| own == host.name()))
    }
}

/// A path, as a URL parser reads it. What is written anew is looked at again: `/x/..//host` would be another host's URL once
/// its dots are resolved.
fn path(rd: &str) -> Option<Landing> {
    let base = Url::parse("https://gateway.invalid/").ok()?;
    let url = base.join(rd).ok()?;
    if url.origin() != base.origin() || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let location = url[Position::BeforePath..].to_owned();
    is_rooted(&location).then_some(Landing { location, origin: None })
}

fn is_rooted(path: &str) -> bool {
    let mut bytes = path.bytes();
    bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'))
}

/// The path and query that were asked for. A ticket was good once, and has no place in another URL.
pub(super) fn target(wanted: &Wanted<'_>) -> String {
    let query = wanted.query.and_then(session::without_ticket);
    query.map_or_else(|| wanted.path.to_owned(), |query| format!("{}?{query}", wanted.path))
}

fn location(login: &str, comes_back: bool, target: &str) -> Option<HeaderValue> {
    let rd: String = form_urlencoded::byte_serialize(target.as_bytes()).collect();
    let text = match comes_back {
        true => format!("{login}?rd={rd}"),
        false => login.to_owned(),
    };
    HeaderValue::try_from(text).ok()
}

/// Whether a host is this domain or lies below it (RFC 6265 section 5.1.3).
pub fn lies_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A configured path, escaped where a URL wants it.
fn as_in_url(path: &str) -> Option<String> {
    let mut url = Url::parse("https://gateway.invalid/").ok()?;
    url.set_path(path);
    Some(url.path().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn places(hosts: &[&str], domain: Option<&str>) -> Places {
        let settings = Settings {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..Settings::default()
        };
        let cookies = session::Settings {
            domain: domain.map(str::to_owned),
        };
        let routes = ["app.example.com", "*.example.com"].map(str::to_owned);
        Places::new(&settings, &cookies, &routes)
    }

    fn landed(rd: &str) -> Option<String> {
        places(&[], None).landing(rd).map(|landing| landing.location)
    }

    #[test]
    fn paths_and_hosts_of_routes_are_landed_on() {
        for (rd, expected) in [
            ("/", "/"),
            ("/app/x?a=1&b=%20#c", "/app/x?a=1&b=%20#c"),
            ("/app/./y/../x", "/app/x"),
            ("/ä", "/%C3%A4"),
            ("/a@b:c", "/a@b:c"),
            ("/https://evil.example/", "/https://evil.example/"),
            ("/a//b", "/a//b"),
            ("https://app.example.com", "https://app.example.com/"),
            ("HTTPS://APP.example.com:443/x", "https://app.example.com/x"),
            ("https://app.example.com:8443/x?y", "https://app.example.com:8443/x?y"),
        ] {
            assert_eq!(landed(rd).as_deref(), Some(expected), "{rd}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for rd in [
            "",
            "app",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\nSet-Cookie: a=b",
            "/ /evil.example",
            "/\u{a0}",
            "/\u{7f}",
            "/..//evil.example",
            "/x/..//evil.example",
            "/%2e%2e//evil.example",
            "/.//evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:app.example.com",
            "https:///app.example.com",
            "https://evil.example",
            "https://app.example.com@evil.example/",
            "https://user@app.example.com/",
            "https://user:x@app.example.com/",
            "https://app.example.com.evil.example/",
            "https://evilapp.example.com/",
            "https://other.example.com/",
            "https://*.example.com/",
            "https://app.example.com\\@evil.example/",
            "http://app.example.com/",
            "ftp://app.example.com/",
            "javascript:alert(1)",
            "data:text/html,x",
            "//app.example.com/",
            " https://app.example.com/",
            "https://app.example.com:99999/",
            "https://app%2eexample.com.evil.example/",
            &format!("/{}", "a".repeat(TARGET_AT_MOST)),
        ] {
            assert_eq!(landed(rd), None, "{rd:?}");
        }
    }

    fn login(places: &Places, host: &str, secure: bool, target: &str) -> Option<String> {
        let host = Host::parse(host).unwrap();
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        let wanted = Wanted {
            host: Some(&host),
            secure,
            path,
            query,
        };
        let location = places.login_for(&wanted)?;
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_way_to_the_login_remembers_the_way_back() {
        let here = places(&[], None);
        let target = "/app/x?a=%2F&doorward_ticket=t&b=1";
        assert_eq!(
            login(&here, "any.example", true, target).as_deref(),
            Some("/auth/login?rd=%2Fapp%2Fx%3Fa%3D%252F%26b%3D1")
        );
        let long = format!("/{}", "a".repeat(TARGET_AT_MOST));
        assert_eq!(login(&here, "any.example", true, &long).as_deref(), Some("/auth/login"));

        let elsewhere = places(&["login.example.com"], Some("example.com"));
        assert_eq!(
            login(&elsewhere, "app.example.com:8443", true, "/x").as_deref(),
            Some("https://login.example.com:8443/auth/login?rd=https%3A%2F%2Fapp.example.com%3A8443%2Fx")
        );
        assert_eq!(
            login(&elsewhere, "login.example.com", true, "/x").as_deref(),
            Some("/auth/login?rd=%2Fx")
        );
        // No route names this host, so nothing would lead back to it.
        assert_eq!(
            login(&elsewhere, "other.example.com", true, "/x").as_deref(),
            Some("https://login.example.com/auth/login")
        );
        assert_eq!(login(&elsewhere, "shop.example.org", true, "/x"), None);
        assert_eq!(login(&elsewhere, "evilexample.com", true, "/x"), None);
        assert_eq!(
            login(&places(&["login.example.com"], None), "app.example.com", true, "/x"),
            None
        );
    }

    proptest! {
        #[test]
        fn whatever_is_landed_on_is_a_path_or_a_route_s_host(rd in "[/\\\\a-z.@:%0-9#?;\t\r\n -]{0,12}(https://)?(app.example.com|evil.example|//|/\\.\\.)?[/\\\\a-z.@:%0-9#?]{0,12}") {
            if let Some(location) = landed(&rd) {
                prop_assert!(is_rooted(&location) || location.starts_with("https://app.example.com/") || location.starts_with("https://app.example.com:"), "{location}");
                // As a browser reads it.
                let read = Url::parse("https://here.example/auth/login").unwrap().join(&location).unwrap();
                let host = read.host_str().unwrap();
                prop_assert!(host == "here.example" || host == "app.example.com", "{location}");
                prop_assert!(HeaderValue::try_from(location.clone()).is_ok(), "{location:?}");
            }
        }
    }
}
