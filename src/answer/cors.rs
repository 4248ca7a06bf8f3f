//! Cross-origin resource sharing (the Fetch standard, section 3.2).

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};

use super::{Answer, empty, vary};

/// `[cors]`, with only valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which origins may read our answers.
    pub allowed_origins: Origins,
    /// `Access-Control-Allow-Methods` of an answered preflight.
    pub allowed_methods: Vec<Method>,
    /// `Access-Control-Allow-Credentials`; never with [`Origins::Any`].
    pub allow_credentials: bool,
    /// `Access-Control-Max-Age`.
    pub max_age: Duration,
}

/// Which origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All of them: `"*"`.
    Any,
    /// These, each in its serialised form (`https://app.example.com`), compared byte for byte; none: nobody.
    Listed(Vec<HeaderValue>),
}

impl Settings {
    /// Whether an origin may read answers.
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.allowed_origins {
            Origins::Any => true,
            Origins::Listed(listed) => listed.contains(origin),
        }
    }

    /// Whether an origin is named: every page's being allowed to read makes no page one's own.
    pub fn lists(&self, origin: &HeaderValue) -> bool {
        match &self.allowed_origins {
            Origins::Any => false,
            Origins::Listed(listed) => listed.contains(origin),
        }
    }

    /// Whether no answer says anything about origins.
    pub fn is_silent(&self) -> bool {
        match &self.allowed_origins {
            Origins::Any => false,
            Origins::Listed(listed) => listed.is_empty(),
        }
    }

    /// Adds what lets the page at `origin` read this answer, also an error: without it a browser's script does not even
    /// see the status.
    pub fn apply(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        match &self.allowed_origins {
            Origins::Any => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Origins::Listed(listed) if listed.is_empty() => return,
            Origins::Listed(listed) => {
                vary(headers, &header::ORIGIN);
                let Some(origin) = origin.filter(|origin| listed.contains(origin)) else {
                    return;
                };
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                if self.allow_credentials {
                    headers.insert(
                        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                        HeaderValue::from_static("true"),
                    );
                }
            }
        }
        if origin.is_some() {
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("WWW-Authenticate, Retry-After, X-Request-Id"),
            );
        }
    }

    /// The answer to a preflight. What a page asks for is allowed as a whole or not at all; the browser judges by the
    /// headers, the status is 204 either way.
    pub fn preflight(&self, origin: Option<&HeaderValue>, asked_headers: Option<&HeaderValue>) -> Answer {
        let mut answer = empty(StatusCode::NO_CONTENT);
        let headers = answer.headers_mut();
        self.apply(origin, headers);
        if origin.is_some_and(|origin| self.allows(origin)) {
            let methods: Vec<&str> = self.allowed_methods.iter().map(Method::as_str).collect();
            if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            }
            if let Some(asked) = asked_headers {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
            headers.insert(
                header::ACCESS_CONTROL_MAX_AGE,
                HeaderValue::from(self.max_age.as_secs()),
            );
        }
        vary(headers, &header::ACCESS_CONTROL_REQUEST_METHOD);
        vary(headers, &header::ACCESS_CONTROL_REQUEST_HEADERS);
        answer
    }
}

/// Whether this is a preflight: OPTIONS with Origin and Access-Control-Request-Method (the caller adds: no body, no
/// Upgrade).
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(credentials: bool) -> Settings {
        Settings {
            allowed_origins: Origins::Listed(vec![HeaderValue::from_static("https://app.example.com")]),
            allowed_methods: vec![Method::GET, Method::POST],
            allow_credentials: credentials,
            max_age: Duration::from_secs(600),
        }
    }

    #[test]
    fn only_a_listed_origin_is_named_and_caches_are_told() {
        let mut headers = HeaderMap::new();
        listed(true).apply(Some(&HeaderValue::from_static("https://app.example.com")), &mut headers);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers[header::VARY], "origin");

        let mut headers = HeaderMap::new();
        listed(true).apply(
            Some(&HeaderValue::from_static("https://app.example.com.evil.example")),
            &mut headers,
        );
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(headers[header::VARY], "origin");
    }

    #[test]
    fn a_preflight_of_a_stranger_allows_nothing() {
        let asked = HeaderValue::from_static("authorization");
        let good = listed(false).preflight(Some(&HeaderValue::from_static("https://app.example.com")), Some(&asked));
        assert_eq!(good.status(), 204);
        assert_eq!(good.headers()[header::ACCESS_CONTROL_ALLOW_METHODS], "GET, POST");
        assert_eq!(good.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS], "authorization");
        assert_eq!(good.headers()[header::ACCESS_CONTROL_MAX_AGE], "600");
        let bad = listed(false).preflight(Some(&HeaderValue::from_static("https://evil.example")), Some(&asked));
        assert!(!bad.headers().contains_key(header::ACCESS_CONTROL_ALLOW_METHODS));
    }
}
