//! What a refusal means for a browser: not a problem document, but the way to the login page and back.

use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;

use super::complaints::Complaint;
use super::credentials::Asked;
use super::{Gateway, Record, Snapshot};
use crate::admission::{Refusal, RouteEntry};
use crate::answer::Dialect;
use crate::authn::{Fault, Shown};
use crate::authz::Rule;
use crate::endpoint::Wanted;
use crate::principal::Person;
use crate::problem::{Challenge, Problem};

/// To that server's library an Authorization field without a bearer token is a broken one, whatever it may be to others.
fn shown_at_all(refusal: Refusal, shown: &Shown<'_>) -> Refusal {
    match (refusal, shown) {
        (Refusal::CredentialsRequired, Shown::Basic(_) | Shown::OtherScheme) => {
            Refusal::BadCredential(Fault::Malformed)
        }
        (refusal, _) => refusal,
    }
}

/// The rule of what was asked for: a route's, or that of our own URLs that ask for a role, which is one and the same.
fn rule<'a>(snapshot: &'a Snapshot, route: Option<&'a RouteEntry>) -> Option<&'a Rule> {
    match route {
        Some(entry) => Some(&entry.route.rule),
        None => {
            let mut rules = snapshot.endpoints.rules().iter().map(|row| &row.rule);
            rules.find(|rule| rule.asks_for_roles())
        }
    }
}

/// A refusal in the words of this configuration, with the challenges of the route that refuses; `person`: who asked.
pub(super) fn worded(
    refusal: Refusal,
    snapshot: &Snapshot,
    shown: &Shown<'_>,
    route: Option<&RouteEntry>,
    person: Option<&Person>,
) -> Problem {
    let problem = match snapshot.dialect {
        Dialect::Standard => Problem::from(refusal),
        Dialect::Flask => shown_at_all(refusal, shown).in_flask(rule(snapshot, route), person),
    };
    let basic = route.is_some_and(|entry| entry.route.credentials.basic);
    // Many clients send Basic only when it is asked for (RFC 7617 section 2).
    let wants_credentials = matches!(problem.challenge, Some(Challenge::Bearer | Challenge::InvalidToken));
    match basic && wants_credentials {
        true => problem.offering_basic(),
        false => problem,
    }
}

impl Gateway {
    /// The problem of a refusal, with the way a browser goes and the challenges of the route.
    pub(super) fn problem(&self, refusal: Refusal, asked: &Asked<'_>, record: &Record) -> Problem {
        let leads_to = self.leads_to(&refusal, asked, record);
        let person = record.proof.as_ref().map(|proof| &*proof.person);
        let problem = worded(refusal, asked.snapshot, &asked.shown, record.route.as_deref(), person);
        match leads_to {
            Some(location) => problem.leading_to(location),
            None => problem,
        }
    }

    fn leads_to(&self, refusal: &Refusal, asked: &Asked<'_>, record: &Record) -> Option<HeaderValue> {
        let reads = *asked.method == Method::GET || *asked.method == Method::HEAD;
        let way = Way {
            // Another proxy leads whatever a browser asks for; here, what was sent would be lost on the way.
            leads: (reads || asked.is_question) && record.preflight.is_none(),
            session: counts_session(record) && is_browser(asked.parts),
            browser: is_browser(asked.parts),
            is_question: asked.is_question,
            wanted: Wanted {
                host: asked.host,
                secure: asked.secure,
                path: asked.target.path(),
                query: asked.target.query(),
            },
        };
        if way.comes_back(refusal, asked.snapshot) {
            let peer = asked.connection.peer().ip();
            self.complaints
                .make(&Complaint::LoginLoop, peer, self.clock.unix_millis());
        }
        way.after(refusal, asked.snapshot)
    }
}

/// Where a browser may be sent.
pub(super) struct Way<'a> {
    /// Whether it is led at all.
    pub(super) leads: bool,
    /// Whether somebody looks at a page.
    pub(super) browser: bool,
    /// Whether a session of its own would count.
    pub(super) session: bool,
    /// Whether another proxy asks.
    pub(super) is_question: bool,
    /// What it asked for.
    pub(super) wanted: Wanted<'a>,
}

impl Way<'_> {
    /// Whether another proxy would send it from the login page to the login page, for ever.
    fn comes_back(&self, refusal: &Refusal, snapshot: &Snapshot) -> bool {
        let places = snapshot.endpoints.places();
        let asked = self.leads && self.session && self.is_question && *refusal == Refusal::CredentialsRequired;
        asked && places.is_login(self.wanted.host, self.wanted.path)
    }

    /// Where this refusal sends it; `None`: nowhere, it is told.
    pub(super) fn after(&self, refusal: &Refusal, snapshot: &Snapshot) -> Option<HeaderValue> {
        if !self.leads {
            return None;
        }
        let places = snapshot.endpoints.places();
        match refusal {
            Refusal::NotFound if self.wanted.path == "/" && !self.is_question => match snapshot.dialect {
                // A program that asks that server for what it has not is told so.
                Dialect::Flask if !self.browser => None,
                Dialect::Standard | Dialect::Flask => places.home_for(self.wanted.host),
            },
            // A session would count here, and there is none that lives.
            Refusal::CredentialsRequired if self.session => match self.is_question {
                true => places.sign_in_for(&self.wanted),
                false => places.login_for(&self.wanted),
            },
            Refusal::NotFound
            | Refusal::CredentialsRequired
            | Refusal::MethodNotAllowed { .. }
            | Refusal::Ambiguous
            | Refusal::BadCredential(_)
            | Refusal::MissingRole
            | Refusal::NetworkNotAllowed
            | Refusal::ClientUnknown
            | Refusal::CertificateRequired
            | Refusal::RateLimited { .. }
            | Refusal::Denied
            | Refusal::CrossSite
            | Refusal::Unfit(_)
            | Refusal::NotRepresentable(_) => None,
        }
    }
}

/// Adds a renewed cookie to an answer. A backend that lets caches keep its answer for everybody does not know of it: no cache
/// that several people share may keep this one (RFC 9111 section 7.3).
pub(super) fn add_cookie(headers: &mut HeaderMap, cookie: HeaderValue) {
    let mut fields = headers.get_all(header::CACHE_CONTROL).iter();
    let is_kept_apart = fields.any(|field| {
        let directives = field.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let mut directives = directives.map(<[u8]>::to_ascii_lowercase);
        directives.any(|directive| directive == b"private" || directive == b"no-store")
    });
    if !is_kept_apart {
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    headers.append(header::SET_COOKIE, cookie);
}

fn counts_session(record: &Record) -> bool {
    record
        .route
        .as_ref()
        .is_some_and(|entry| entry.route.credentials.session)
}

/// Whether somebody looks at a page: Fetch Metadata says so; where it says nothing, what is accepted does. The User-Agent is
/// not asked, for it says anything.
pub(super) fn is_browser(parts: &Parts) -> bool {
    match parts.headers.get("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        None => accepts_html(&parts.headers) && !is_by_script(&parts.headers),
    }
}

fn is_by_script(headers: &HeaderMap) -> bool {
    headers
        .get_all("x-requested-with")
        .iter()
        .any(|value| value.as_bytes().eq_ignore_ascii_case(b"xmlhttprequest"))
}

/// Whether `text/html` itself is among what is accepted (RFC 9110 section 12.5.1); `*/*` is what every program sends.
fn accepts_html(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::ACCEPT).iter();
    let mut kinds = fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','));
    kinds.any(|kind| {
        let mut parts = kind.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/html"));
        is_html && !parts.any(is_zero_weight)
    })
}

/// A weight of nought: "not acceptable" (RFC 9110 section 12.4.2).
fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    weight.is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_with_a_cookie_is_for_nobody_else() {
        for (before, after) in [
            (&[][..], "private"),
            (&["public, max-age=60"][..], "public, max-age=60 | private"),
            (&["max-age=60, Private"][..], "max-age=60, Private"),
            (&["no-cache", "No-Store"][..], "no-cache | No-Store"),
            (&["private=\"x\""][..], "private=\"x\" | private"),
        ] {
            let mut headers = HeaderMap::new();
            for field in before {
                headers.append(header::CACHE_CONTROL, HeaderValue::from_static(field));
            }
            add_cookie(&mut headers, HeaderValue::from_static("a=b"));
            let fields = headers.get_all(header::CACHE_CONTROL).iter();
            let fields: Vec<&str> = fields.map(|field| field.to_str().unwrap()).collect();
            assert_eq!(fields.join(" | "), after);
            assert_eq!(headers[header::SET_COOKIE], "a=b");
        }
    }

    #[test]
    fn a_browser_is_told_by_what_it_asks_for() {
        const CHROME: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (fields, browser) in [
            (&[("sec-fetch-mode", "navigate")][..], true),
            (&[("sec-fetch-mode", "cors"), ("accept", CHROME)], false),
            (&[("sec-fetch-mode", "websocket"), ("accept", CHROME)], false),
            (&[("accept", CHROME)], true),
            (&[("accept", "application/json"), ("accept", "Text/HTML")], true),
            (&[("accept", CHROME), ("x-requested-with", "XMLHttpRequest")], false),
            (&[("accept", "*/*")], false),
            (&[("accept", "text/*")], false),
            (&[("accept", "text/html;q=0, */*")], false),
            (&[("accept", "text/html;q=0.5")], true),
            (&[("accept", "text/htmlx")], false),
            (&[("user-agent", "Mozilla/5.0 Chrome/100")], false),
            (&[], false),
        ] {
            let mut request = http::Request::builder();
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(is_browser(&parts), browser, "{fields:?}");
        }
    }
}
