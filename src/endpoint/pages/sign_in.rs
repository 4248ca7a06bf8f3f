//! Where a browser goes to log in when another proxy asks about its request: always an absolute URL, since the proxy would
//! resolve a relative one against who knows what.

use http::HeaderValue;
use url::{Url, form_urlencoded};

use super::places::{Places, Wanted, lies_below, target};
use crate::endpoint::forward_auth::{Login, Settings};
use crate::route::Host;

/// The longest `Location`, in bytes: nginx takes heads of 4 KiB, and there is more in one. A longer one leads home.
const LOCATION_AT_MOST: usize = 3072;

impl Places {
    /// The same, with what `[forward_auth]` says and this issuer of tokens, which is what browsers call the gateway.
    #[must_use]
    pub fn with_forward_auth(mut self, settings: &Settings, issuer: &str) -> Self {
        self.login.clone_from(&settings.login);
        self.landing_hosts
            .extend(settings.allowed_redirect_hosts.iter().cloned());
        self.origin = Url::parse(issuer).ok().filter(|issuer| issuer.scheme() == "https");
        self
    }

    /// Where a browser goes to log in and comes back from; `None`: nowhere, no login would help it.
    pub fn sign_in_for(&self, wanted: &Wanted<'_>) -> Option<HeaderValue> {
        let host = wanted.host?;
        let here = origin(host, wanted.secure);
        let target = target(wanted);
        let url = format!("{here}{target}");
        let (login, back) = match &self.login {
            Some(login) if is_at(login, host, wanted.path) => return None,
            Some(Login::Path(path)) => (format!("{here}{path}"), Some(url)),
            Some(Login::Url(login)) => (login.to_string(), Some(url)),
            None => {
                let origin = self.origin_for(host, wanted.secure)?;
                // Whoever comes back to the same host needs no more than the path.
                let at_home = (origin == here).then_some(target);
                let back = Some(url).filter(|url| self.landing(url).is_some());
                let back = back.or(at_home).filter(|back| self.landing(back).is_some());
                (format!("{origin}{}/login", self.prefix()), back)
            }
        };
        let with_rd = back.map(|back| {
            let rd: String = form_urlencoded::byte_serialize(back.as_bytes()).collect();
            let mark = if login.contains('?') { '&' } else { '?' };
            format!("{login}{mark}rd={rd}")
        });
        let location = with_rd.filter(|location| location.len() <= LOCATION_AT_MOST);
        HeaderValue::try_from(location.unwrap_or(login)).ok()
    }

    /// Whether the login page itself is what is asked for: whoever is sent there from there never gets there.
    pub fn is_login(&self, host: Option<&Host<'_>>, path: &str) -> bool {
        let login = self.login.as_ref().zip(host);
        login.is_some_and(|(login, host)| is_at(login, host, path))
    }

    /// The origin whose login page gives this host a cookie.
    fn origin_for(&self, host: &Host<'_>, secure: bool) -> Option<String> {
        self.prefix.as_ref()?;
        let here = || self.are_on(Some(host)).then(|| origin(host, secure));
        let Some(domain) = self.domain.as_deref().filter(|domain| lies_below(host.name(), domain)) else {
            return here();
        };
        let ours = |name: &str| {
            lies_below(name, domain) && (self.hosts.is_empty() || self.hosts.iter().any(|own| own == name))
        };
        if !self.hosts.is_empty() && self.are_on(Some(host)) {
            return here();
        }
        // Where hosts are listed, an issuer without a port may only be made from the first of them.
        let says_port = |url: &&Url| self.hosts.is_empty() || url.port().is_some();
        let named = self.origin.as_ref().filter(|url| url.host_str().is_some_and(ours));
        if let Some(url) = named.filter(says_port) {
            return Some(url.origin().ascii_serialization());
        }
        // Hosts behind one proxy have one port.
        let port = host.port().filter(|port| secure && *port != 443);
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let listed = self.hosts.iter().find(|host| lies_below(host, domain));
        listed.map(|login| format!("https://{login}{port}")).or_else(here)
    }
}

/// An origin, as browsers write it.
fn origin(host: &Host<'_>, secure: bool) -> String {
    let (scheme, default) = if secure { ("https", 443) } else { ("http", 80) };
    match host.port().filter(|port| *port != default) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

fn is_at(login: &Login, host: &Host<'_>, path: &str) -> bool {
    match login {
        Login::Path(login) => login.split('?').next() == Some(path),
        Login::Url(login) => login.host_str() == Some(host.name()) && login.path() == path,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{endpoint, session};

    struct Case<'a> {
        hosts: &'a [&'a str],
        domain: Option<&'a str>,
        issuer: &'a str,
        login: &'a str,
    }

    impl Case<'_> {
        fn places(&self) -> Places {
            let settings = endpoint::Settings {
                hosts: self.hosts.iter().map(|host| (*host).to_owned()).collect(),
                ..endpoint::Settings::default()
            };
            let cookies = session::Settings {
                domain: self.domain.map(str::to_owned),
            };
            let forward_auth = Settings {
                login: (!self.login.is_empty()).then(|| self.login.parse().unwrap()),
                allowed_redirect_hosts: vec!["other.example.com".to_owned()],
            };
            let routes = ["app.example.com".to_owned()];
            Places::new(&settings, &cookies, &routes).with_forward_auth(&forward_auth, self.issuer)
        }

        fn leads(&self, host: &str, secure: bool, target: &str) -> Option<String> {
            let host = Host::parse(host).unwrap();
            let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
            let wanted = Wanted {
                host: Some(&host),
                secure,
                path,
                query,
            };
            let location = self.places().sign_in_for(&wanted)?;
            Some(location.to_str().unwrap().to_owned())
        }
    }

    const PLAIN: Case<'_> = Case {
        hosts: &[],
        domain: None,
        issuer: "https://localhost:8443",
        login: "",
    };

    #[test]
    fn without_a_domain_every_host_has_its_own_login() {
        for (host, secure, target, expected) in [
            (
                "app.example.com",
                true,
                "/x?a=1&doorward_ticket=t",
                "https://app.example.com/auth/login?rd=https%3A%2F%2Fapp.example.com%2Fx%3Fa%3D1",
            ),
            (
                "App.example.com.:8443",
                true,
                "/",
                "https://app.example.com:8443/auth/login?rd=https%3A%2F%2Fapp.example.com%3A8443%2F",
            ),
            // No URL of this host is landed on, but a path is.
            ("any.example", true, "/x", "https://any.example/auth/login?rd=%2Fx"),
            (
                "localhost:8000",
                false,
                "/x",
                "http://localhost:8000/auth/login?rd=%2Fx",
            ),
            (
                "other.example.com",
                true,
                "/x",
                "https://other.example.com/auth/login?rd=https%3A%2F%2Fother.example.com%2Fx",
            ),
        ] {
            assert_eq!(PLAIN.leads(host, secure, target).as_deref(), Some(expected), "{host}");
        }
        let only_there = Case {
            hosts: &["login.example.com"],
            ..PLAIN
        };
        assert_eq!(only_there.leads("app.example.com", true, "/x"), None);
        let long = format!("/{}", "%2F".repeat(640));
        assert_eq!(
            PLAIN.leads("app.example.com", true, &long).as_deref(),
            Some("https://app.example.com/auth/login")
        );
    }

    #[test]
    fn with_a_domain_there_is_one_login() {
        let rd = "?rd=https%3A%2F%2Fapp.example.com%2Fx";
        let by_issuer = Case {
            domain: Some("example.com"),
            issuer: "https://login.example.com:444/in",
            ..PLAIN
        };
        let there = by_issuer.leads("app.example.com", true, "/x").unwrap();
        assert_eq!(there, format!("https://login.example.com:444/auth/login{rd}"));
        let by_hosts = Case {
            hosts: &["login.example.com"],
            domain: Some("example.com"),
            ..PLAIN
        };
        let there = by_hosts.leads("app.example.com", true, "/x").unwrap();
        assert_eq!(there, format!("https://login.example.com/auth/login{rd}"));
        // An issuer that has no pages, or that no cookie of the domain comes from, is no place to log in.
        let elsewhere = Case {
            issuer: "https://idp.example.org",
            ..by_hosts
        };
        assert_eq!(elsewhere.leads("app.example.com", true, "/x").unwrap(), there);
        assert_eq!(
            by_hosts.leads("login.example.com", true, "/x").as_deref(),
            Some("https://login.example.com/auth/login?rd=%2Fx")
        );
        assert_eq!(by_hosts.leads("app.example.org", true, "/x"), None);
        // Nobody is told the way to a host that is not named.
        let stranger = by_hosts.leads("stranger.example.com", true, "/x");
        assert_eq!(stranger.as_deref(), Some("https://login.example.com/auth/login"));
    }

    #[test]
    fn a_login_of_the_operators_own_is_led_to_but_never_from_itself() {
        let page = Case {
            login: "https://sso.example.com/in?a=b",
            ..PLAIN
        };
        assert_eq!(
            page.leads("app.example.com", false, "/x").as_deref(),
            Some("https://sso.example.com/in?a=b&rd=http%3A%2F%2Fapp.example.com%2Fx")
        );
        assert_eq!(page.leads("sso.example.com", true, "/in?x"), None);
        assert!(page.leads("sso.example.com", true, "/x").is_some());
        let path = Case { login: "/in", ..PLAIN };
        assert_eq!(
            path.leads("app.example.com", true, "/x").as_deref(),
            Some("https://app.example.com/in?rd=https%3A%2F%2Fapp.example.com%2Fx")
        );
        assert_eq!(path.leads("any.example", true, "/in"), None);
    }
}
