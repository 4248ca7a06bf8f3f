//! Forward-auth on the wire: what each dialect reads and answers, and what nobody talks it into.

mod browsers;
mod complaints;
mod connections;
mod dialects;
mod hostile;
mod logged;
mod places;
mod preflights;
mod rules;
mod sessions;
mod targets;

use crate::path::gate::{Gate, route, upstream};
use crate::support::raw::RawResponse;

/// Every identity header, by its name.
pub const IDENTITY: [&str; 4] = ["x-user", "x-user-id", "x-user-roles", "x-user-email"];

/// What a browser sends with a navigation.
pub const NAVIGATION: &str = "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n";

/// Routes of every kind on app.test; nothing listens behind them, for nothing is ever sent there.
pub fn config(more: &str) -> String {
    let on = "hosts = [\"app.test\"]\n";
    let route = |name: &str, path: &str, keys: &str| route(name, path, "app", &format!("{on}{keys}"));
    [more.to_owned(), "trusted_proxies = [\"127.0.0.1\"]\n".to_owned()]
        .into_iter()
        .rev()
        .chain([
            upstream("app", "http://127.0.0.1:9", ""),
            route("any", "/app", ""),
            route("admin", "/admin", "roles_any = [\"admin\"]"),
            route("public", "/public", "access = \"public\""),
            route("optional", "/optional", "access = \"optional\""),
            route("closed", "/closed", "access = \"deny\""),
            route("inside", "/inside", "access = \"public\"\nnetworks = [\"10.0.0.0/8\"]"),
            route("read", "/read", "access = \"public\"\nmethods = [\"GET\"]"),
            route(
                "few",
                "/few",
                "access = \"public\"\nrate_limit = { requests = 1, per = \"1h\", by = \"client\" }",
            ),
            route("tokens", "/tokens", "credentials = [\"bearer\"]"),
            route("keys", "/keys", "credentials = [\"bearer\", \"basic\"]"),
            route("answered", "/answered", "preflight = \"answer\""),
        ])
        .collect()
}

/// A gateway that trusts whoever asks from here.
pub fn gate(more: &str) -> Gate {
    Gate::start(&config(more))
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Nginx,
    Traefik,
    Caddy,
    Envoy,
}

pub const ASKERS: [Asker; 4] = [Asker::Nginx, Asker::Traefik, Asker::Caddy, Asker::Envoy];

/// A question about a request.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    pub method: &'a str,
    pub scheme: &'a str,
    pub host: &'a str,
    pub target: &'a str,
    pub client: Option<&'a str>,
    /// What the client sent, each line with its CRLF.
    pub lines: &'a str,
}

/// A GET of a page on app.test, by a client from outside.
pub fn about(target: &str) -> Question<'_> {
    Question {
        method: "GET",
        scheme: "https",
        host: "app.test",
        target,
        client: Some("192.0.2.7"),
        lines: "",
    }
}

impl<'a> Question<'a> {
    pub fn with(self, lines: &'a str) -> Self {
        Self { lines, ..self }
    }

    pub fn method(self, method: &'a str) -> Self {
        Self { method, ..self }
    }

    pub fn of_client(self, client: Option<&'a str>) -> Self {
        Self { client, ..self }
    }

    /// As this program asks.
    pub fn by(&self, asker: Asker) -> String {
        let Self {
            method,
            scheme,
            host,
            target,
            lines,
            ..
        } = self;
        let client = self
            .client
            .map_or(String::new(), |client| format!("X-Forwarded-For: {client}\r\n"));
        match asker {
            Asker::Nginx => format!(
                "GET /auth/nginx HTTP/1.1\r\nX-Original-Method: {method}\r\nX-Original-URL: {scheme}://{host}{target}\r\nHost: doorward\r\n{client}{lines}\r\n"
            ),
            Asker::Traefik | Asker::Caddy => {
                let path = if asker == Asker::Caddy { "caddy" } else { "traefik" };
                format!(
                    "GET /auth/{path} HTTP/1.1\r\nHost: doorward\r\n{lines}X-Forwarded-Method: {method}\r\nX-Forwarded-Proto: {scheme}\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Uri: {target}\r\n{client}\r\n"
                )
            }
            Asker::Envoy => format!(
                "{method} /auth/envoy{target} HTTP/1.1\r\nHost: {host}\r\n{lines}{client}X-Forwarded-Proto: {scheme}\r\n\r\n"
            ),
        }
    }
}

/// Fails unless this lets pass, in the name of this user (nobody: empty).
pub fn assert_allowed(answer: &RawResponse, user: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-user"), Some(user), "{answer:?}");
    for name in IDENTITY {
        assert_eq!(answer.headers.all(name).len(), 1, "{name}: {answer:?}");
    }
    assert_eq!(answer.header("content-length"), Some("0"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-auth-reason"), None);
    assert_eq!(answer.body, b"");
}

/// Fails unless this refuses for this reason, and says nothing of anybody.
pub fn assert_refused(answer: &RawResponse, status: u16, reason: &str) {
    assert_eq!(
        (answer.status, answer.header("x-auth-reason")),
        (status, Some(reason)),
        "{answer:?}"
    );
    for name in IDENTITY {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}
