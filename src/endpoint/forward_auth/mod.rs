//! Forward-auth: other proxies ask whether a request of theirs may pass. Nothing is proxied, only decided, and the decision
//! is admission's own.
//!
//! A dialect is one small file that says where the original request is in a question and how a question of its program is
//! wired; [`answer()`] says what the answer looks like in each. A dialect reads exactly its own headers, never another's, and
//! never takes the question's own path for the original one.

mod answer;
mod caddy;
mod envoy;
mod fields;
mod nginx;
mod recognised;
mod settings;
#[cfg(test)]
mod tests;
mod traefik;

use http::{HeaderMap, Method};

use crate::codes::Code;
use crate::problem::Problem;
use crate::route::{Host, RoutePath};

pub use answer::{Decision, Pass, REASON, answer};
pub use fields::{Fault, FaultKind};
pub use settings::{InvalidLogin, Login, Settings};

/// The programs that ask, by how they do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// nginx's `auth_request`, and ingress-nginx.
    Nginx,
    /// Traefik's `ForwardAuth`; HAProxy's auth-request.
    Traefik,
    /// Caddy's `forward_auth`.
    Caddy,
    /// Envoy's `ext_authz` over HTTP.
    Envoy,
}

/// Which endpoint a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressed<'a> {
    /// Whose.
    pub dialect: Dialect,
    /// What stands behind the endpoint's path; `None`: it is not exactly the endpoint's.
    pub rest: Option<&'a str>,
}

/// What a question is read from.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its own method.
    pub method: &'a Method,
    /// Its own Host.
    pub authority: Option<&'a str>,
    /// What of its own target stands behind the endpoint's path.
    pub rest: &'a str,
    /// Its fields, as received.
    pub headers: &'a HeaderMap,
}

/// The request that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original<'a> {
    /// The method.
    pub method: Method,
    /// Whether its scheme is https, if the question says.
    pub secure: Option<bool>,
    /// Whether the scheme is that of a WebSocket.
    pub web_socket: bool,
    /// The host; `None`: HTTP/1.0 without one.
    pub host: Option<Host<'a>>,
    /// The host as received.
    pub authority: &'a str,
    /// Path and query as received, still to be looked at.
    pub target: &'a str,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Nginx, Self::Traefik, Self::Caddy, Self::Envoy];

    /// The word in log lines, and the endpoint's place below `endpoints.pages`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Envoy => "envoy",
        }
    }

    /// Whether the original path follows the endpoint's own.
    pub fn is_prefix(self) -> bool {
        match self {
            Self::Envoy => true,
            Self::Nginx | Self::Traefik | Self::Caddy => false,
        }
    }

    /// Where each is asked, below this prefix of the pages.
    pub fn addresses(pages: &str) -> Vec<(Self, RoutePath)> {
        let address = |dialect: Self| format!("{pages}/{}", dialect.as_str()).parse().ok();
        let all = Self::ALL.into_iter();
        all.filter_map(|dialect| Some((dialect, address(dialect)?))).collect()
    }

    /// The endpoint that a target is addressed to, below this prefix of the pages. Whatever is at or below an endpoint's
    /// name there is a question, though maybe one that is addressed wrongly: it must never be taken for a request of its own,
    /// whose answer would be taken for the question's.
    pub fn of_target<'a>(pages: &str, target: &'a str) -> Option<Addressed<'a>> {
        let below = below(pages, target)?;
        let dialect = Self::ALL.into_iter().find(|dialect| {
            // Some servers take dots off the end of a name.
            let rest = without(below, dialect.as_str()).map(|rest| rest.trim_start_matches('.'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', ';']))
        })?;
        Some(Addressed {
            dialect,
            rest: dialect.rest(pages, target),
        })
    }

    /// What stands behind the endpoint's path, if a target has exactly that.
    fn rest<'a>(self, pages: &str, target: &'a str) -> Option<&'a str> {
        let below = target.strip_prefix(pages)?.strip_prefix('/')?;
        let rest = below.strip_prefix(self.as_str())?;
        let ends = match self.is_prefix() {
            true => rest.starts_with(['/', '?']) || rest.is_empty(),
            false => rest.starts_with('?') || rest.is_empty(),
        };
        ends.then_some(rest)
    }

    /// The original request in a question.
    pub fn read<'a>(self, head: &Head<'a>) -> Result<Original<'a>, Fault> {
        match self {
            Self::Nginx => nginx::read(head),
            Self::Traefik => traefik::read(head),
            Self::Caddy => caddy::read(head),
            Self::Envoy => envoy::read(head),
        }
    }

    /// What to change where, so that this field is as it should be.
    pub fn advice(self, fault: &Fault) -> &'static str {
        match self {
            Self::Nginx => nginx::advice(fault),
            Self::Traefik => traefik::advice(fault),
            Self::Caddy => caddy::advice(fault),
            Self::Envoy => envoy::advice(fault),
        }
    }

    /// What to change where, so that a question says who the client is.
    pub fn advice_on_clients(self) -> &'static str {
        match self {
            Self::Nginx => {
                "add `proxy_set_header X-Forwarded-For $remote_addr;` to the location that auth_request names"
            }
            Self::Traefik => {
                "Traefik sends X-Forwarded-For by itself: leave no middleware that removes it before the forwardAuth; with HAProxy's auth-request, add `http-request set-header X-Forwarded-For %[src]` and name it in the headers that are sent"
            }
            Self::Caddy => "reverse_proxy sends X-Forwarded-For by itself: take out the line that removes or sets it",
            Self::Envoy => {
                "list `exact: x-forwarded-for` in ext_authz's allowed_headers, and set use_remote_address: true"
            }
        }
    }

    /// Other programs whose questions are like this one.
    pub fn likely(self, headers: &HeaderMap) -> &'static [Self] {
        let holds = |name: &http::HeaderName| headers.contains_key(name);
        match self {
            Self::Nginx if holds(&fields::URI) && holds(&fields::HOST) && !holds(&fields::ORIGINAL_URL) => {
                &[Self::Traefik, Self::Caddy]
            }
            Self::Traefik | Self::Caddy if holds(&fields::ORIGINAL_URL) && !holds(&fields::URI) => &[Self::Nginx],
            Self::Nginx | Self::Traefik | Self::Caddy | Self::Envoy => &[],
        }
    }

    /// Where its program asks, below this prefix of the pages.
    pub fn address(self, pages: &str) -> String {
        let rest = if self.is_prefix() { "/…" } else { "" };
        format!("{pages}/{}{rest}", self.as_str())
    }
}

/// What stands below a prefix, whatever the letters' case and however many slashes there are.
fn below<'a>(prefix: &str, target: &'a str) -> Option<&'a str> {
    // Nearly every request is for something else, and its first letter says so.
    let first = |text: &str| {
        text.bytes()
            .find(|byte| *byte != b'/')
            .map(|byte| byte.to_ascii_lowercase())
    };
    if first(prefix).is_some_and(|wanted| first(target) != Some(wanted)) {
        return None;
    }
    let mut segments = prefix.split('/').filter(|segment| !segment.is_empty());
    let rest = segments.try_fold(target, |rest, segment| {
        let rest = rest.strip_prefix('/')?.trim_start_matches('/');
        without(rest, segment).filter(|rest| rest.starts_with('/'))
    })?;
    Some(rest.trim_start_matches('/'))
}

/// What follows this beginning, whatever its letters' case.
fn without<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let (front, rest) = text.split_at_checked(begin.len())?;
    front.eq_ignore_ascii_case(begin).then_some(rest)
}

/// The problem of a question that is addressed wrongly.
pub fn addressed_wrongly() -> Problem {
    Problem::new(Code::InvalidQuestion, "There is no such address for questions.").because("it is addressed wrongly")
}

impl Fault {
    /// The problem that a question with this fault gets, whatever it asks for.
    pub fn problem(&self) -> Problem {
        Problem::new(Code::InvalidQuestion, "The question does not say what it asks about.").because(self)
    }
}
