//! What answers have to look like.

use serde_json::Value;

use crate::support::client::Response;

/// The tokens of a login, a registration or a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

impl Tokens {
    /// Fails unless the answer is exactly what gives tokens (RFC 6749 section 5.1).
    pub fn of(response: &Response) -> Self {
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert!(!response.headers.has("set-cookie"));
        let body = response.json();
        let mut members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(
            members,
            [
                "access_token",
                "expires_in",
                "refresh_expires_in",
                "refresh_token",
                "token_type"
            ]
        );
        assert_eq!(body["token_type"], "Bearer");
        assert!(body["expires_in"].as_i64().unwrap() > 0);
        assert!(body["refresh_expires_in"].as_i64().unwrap() > 0);
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }
}

/// Fails unless the answer is a problem document with this code (RFC 9457); gives back the document.
pub fn problem(response: &Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert!(!response.headers.has("set-cookie"));
    let document = response.json();
    assert_eq!(document["error"], code, "{document}");
    assert_eq!(document["status"], status);
    assert_eq!(document["detail"], document["message"]);
    for member in ["type", "title", "detail"] {
        assert!(
            document[member].as_str().is_some_and(|text| !text.is_empty()),
            "{member} in {document}"
        );
    }
    // RFC 9110 section 15.5.2: a 401 says how to do better.
    assert!(
        status != 401 || response.headers.has("www-authenticate"),
        "{response:?}"
    );
    document
}

/// The number of seconds in `Retry-After`; fails without one.
pub fn retry_after(response: &Response) -> u64 {
    let value = response
        .header("retry-after")
        .unwrap_or_else(|| panic!("no Retry-After: {response:?}"));
    let seconds = value.parse().unwrap();
    assert!(seconds >= 1);
    seconds
}
