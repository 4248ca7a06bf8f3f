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
    /// `Access-Control-Max-Age`; `None`: not said, so that browsers keep a preflight for a few seconds only.
    pub max_age: Option<Duration>,
}

/// Which origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All of them: `"*"`.
    Any,
    /// All of them, as Flask-Cors answers: each by its name, and `*` to who names none.
    Echoed,
    /// These, each in its serialised form (`https://app.example.com`), compared byte for byte; none: nobody.
    Listed(Vec<HeaderValue>),
}

impl Settings {
    /// Whether an origin may read answers.
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.allowed_origins {
            Origins::Any | Origins::Echoed => true,
            Origins::Listed(listed) => listed.contains(origin),
        }
    }

    /// Whether an origin is named: every page's being allowed to read makes no page one's own.
    pub fn lists(&self, origin: &HeaderValue) -> bool {
        match &self.allowed_origins {
            Origins::Any | Origins::Echoed => false,
            Origins::Listed(listed) => listed.contains(origin),
        }
    }

    /// Whether no answer says anything about origins.
    pub fn is_silent(&self) -> bool {
        match &self.allowed_origins {
            Origins::Any | Origins::Echoed => false,
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
            // An empty one is none to that server.
            Origins::Echoed => return echo(origin.filter(|origin| !origin.is_empty()), headers),
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
    /// headers, the status says nothing to it.
    pub fn preflight(&self, origin: Option<&HeaderValue>, asked_headers: Option<&HeaderValue>) -> Answer {
        let status = match &self.allowed_origins {
            Origins::Any | Origins::Listed(_) => StatusCode::NO_CONTENT,
            Origins::Echoed => StatusCode::OK,
        };
        let mut answer = empty(status);
        let headers = answer.headers_mut();
        self.apply(origin, headers);
        match &self.allowed_origins {
            Origins::Echoed => {
                let methods = self.methods();
                headers.extend(methods.into_iter().map(|methods| (header::ALLOW, methods)));
                self.allow(asked_headers, headers);
            }
            Origins::Any | Origins::Listed(_) => {
                if origin.is_some_and(|origin| self.allows(origin)) {
                    self.allow(asked_headers, headers);
                }
                vary(headers, &header::ACCESS_CONTROL_REQUEST_METHOD);
                vary(headers, &header::ACCESS_CONTROL_REQUEST_HEADERS);
            }
        }
        answer
    }

    /// What a preflight asks for, where every answer to one tells what is allowed, also a refusal; `None`: it is none, or
    /// only an answer that allows something tells.
    pub fn asked_of_any_answer(&self, method: &Method, headers: &HeaderMap) -> Option<AskedHeaders> {
        let asks = self.allowed_origins == Origins::Echoed
            && method == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        asks.then(|| AskedHeaders(headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned()))
    }

    /// Adds to any answer what [`Self::asked_of_any_answer`] found to be asked for.
    pub fn allow_asked(&self, asked: &AskedHeaders, headers: &mut HeaderMap) {
        self.allow(asked.0.as_ref(), headers);
    }

    fn allow(&self, asked: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if let Some(methods) = self.methods() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        let asked = match &self.allowed_origins {
            Origins::Any | Origins::Listed(_) => asked.cloned(),
            Origins::Echoed => asked.and_then(sorted),
        };
        if let Some(asked) = asked {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
        }
        if let Some(max_age) = self.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(max_age.as_secs()));
        }
    }

    fn methods(&self) -> Option<HeaderValue> {
        let mut methods: Vec<&str> = self.allowed_methods.iter().map(Method::as_str).collect();
        match &self.allowed_origins {
            Origins::Any | Origins::Listed(_) => {}
            Origins::Echoed => methods.sort_unstable(),
        }
        HeaderValue::from_str(&methods.join(", ")).ok()
    }
}

/// The headers that a preflight asks for.
#[derive(Clone, Debug)]
pub struct AskedHeaders(Option<HeaderValue>);

/// As Flask-Cors does by default.
fn echo(origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let Some(origin) = origin else {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// The names of a list in their order, as Flask-Cors gives them back.
fn sorted(list: &HeaderValue) -> Option<HeaderValue> {
    let mut names: Vec<&str> = list.to_str().ok()?.split(',').map(str::trim).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    HeaderValue::from_str(&names.join(", ")).ok()
}

/// Whether this is a preflight: OPTIONS with Origin and Access-Control-Request-Method (the caller adds: no body, no
/// Upgrade).
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.get(header::ORIGIN).is_some_and(|origin| !origin.is_empty())
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
            max_age: Some(Duration::from_secs(600)),
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

    #[test]
    fn the_manner_of_flask_cors_names_whoever_asks() {
        let settings = Settings {
            allowed_origins: Origins::Echoed,
            allowed_methods: vec![Method::GET, Method::POST, Method::DELETE],
            allow_credentials: false,
            max_age: None,
        };
        let mut headers = HeaderMap::new();
        settings.apply(None, &mut headers);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(headers.len(), 1);
        let mut headers = HeaderMap::new();
        let origin = HeaderValue::from_static("https://anywhere.example");
        settings.apply(Some(&origin), &mut headers);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://anywhere.example");
        assert_eq!(headers[header::VARY], "Origin");
        assert_eq!(headers.len(), 2);
        let asked = HeaderValue::from_static("content-type,authorization");
        let answer = settings.preflight(Some(&origin), Some(&asked));
        assert_eq!(answer.status(), 200);
        let headers = answer.headers();
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_METHODS], "DELETE, GET, POST");
        assert_eq!(headers[header::ALLOW], "DELETE, GET, POST");
        assert_eq!(
            headers[header::ACCESS_CONTROL_ALLOW_HEADERS],
            "authorization, content-type"
        );
        assert!(!headers.contains_key(header::ACCESS_CONTROL_MAX_AGE));
        // A page that may read is not one's own.
        assert!(settings.allows(&origin) && !settings.lists(&origin));
    }
}
