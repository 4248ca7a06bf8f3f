//! The cookie as a field (RFC 6265): its name and attributes, and how it is found in a request.

use http::header::{self, HeaderMap, HeaderValue};

/// The cookie of this configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieName {
    /// `cookies.domain`: one login for several hosts.
    domain: Option<String>,
}

/// Both names we ever set: whichever is configured, no backend gets to see either.
pub const OWN: &[&str] = &["__Host-doorward", "__Secure-doorward"];

/// What a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// No cookie of this name.
    Nothing,
    /// One.
    One(&'a str),
    /// Several: which one counts is anybody's guess (a neighbour host can plant a second one).
    Several,
    /// One whose value is none that we set.
    Broken,
}

impl CookieName {
    /// For this `cookies.domain`; none: for the host alone.
    pub fn new(domain: Option<String>) -> Self {
        Self { domain }
    }

    /// The name. Both prefixes make browsers refuse the cookie from an insecure origin, the first also for a domain
    /// (RFC 6265bis section 4.1.3).
    pub fn as_str(&self) -> &'static str {
        match self.domain {
            None => "__Host-doorward",
            Some(_) => "__Secure-doorward",
        }
    }

    /// `Set-Cookie` with this value, for as long as the browser runs at most `max_age` seconds. `None`: no browser would
    /// keep it.
    pub fn set(&self, value: &str, max_age: i64) -> Option<HeaderValue> {
        let pair = self.as_str().len().saturating_add(value.len());
        if pair > PAIR_AT_MOST {
            return None;
        }
        self.field(value, max_age.max(0))
    }

    /// `Set-Cookie` that takes the cookie away.
    pub fn clear(&self) -> Option<HeaderValue> {
        self.field("", 0)
    }

    fn field(&self, value: &str, max_age: i64) -> Option<HeaderValue> {
        let domain = self
            .domain
            .as_ref()
            .map_or(String::new(), |domain| format!("; Domain={domain}"));
        let text = format!(
            "{}={value}; Path=/{domain}; Max-Age={max_age}; Secure; HttpOnly; SameSite=Lax",
            self.as_str()
        );
        let mut field = HeaderValue::from_str(&text).ok()?;
        field.set_sensitive(true);
        Some(field)
    }
}

/// The cookie of this name in a request. Fields are read as HTTP/2 splits them, too (RFC 9113 section 8.2.3).
pub fn find<'a>(headers: &'a HeaderMap, name: &CookieName) -> Found<'a> {
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    let mut found = Found::Nothing;
    for pair in pairs {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let key = halves.next().unwrap_or_default().trim_ascii();
        if key != name.as_str().as_bytes() {
            continue;
        }
        if found != Found::Nothing {
            return Found::Several;
        }
        found = match halves.next().map(<[u8]>::trim_ascii).map(std::str::from_utf8) {
            Some(Ok(value)) if is_sealed(value) => Found::One(value),
            Some(_) | None => Found::Broken,
        };
    }
    found
}

/// Browsers pass over a cookie whose name and value are longer, without a word (RFC 6265bis section 5.6).
const PAIR_AT_MOST: usize = 4096;

/// base64url without padding is all we ever set; anything longer than this neither.
const VALUE_AT_MOST: usize = 4096;

fn is_sealed(value: &str) -> bool {
    (1..=VALUE_AT_MOST).contains(&value.len())
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// For fuzzing: any bytes as Cookie fields, one a line. Panics where a value is found that is not literally there.
pub fn fuzz(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, value);
        }
    }
    let name = CookieName::default();
    if let Found::One(value) = find(&headers, &name) {
        let text = String::from_utf8_lossy(data);
        assert!(
            text.matches("__Host-doorward").count() >= 1 && text.contains(value),
            "{text:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(fields: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::COOKIE, HeaderValue::from_str(field).unwrap());
        }
        format!("{:?}", find(&headers, &CookieName::default()))
    }

    #[test]
    fn the_cookie_is_found_once_or_not_at_all() {
        for (fields, expected) in [
            (&["a=1; __Host-doorward=abc_-1; b"][..], "One(\"abc_-1\")"),
            (&["a=1", "__Host-doorward=abc"][..], "One(\"abc\")"),
            (&["__Host-doorward = abc "][..], "One(\"abc\")"),
            (&["a=__Host-doorward=abc"][..], "Nothing"),
            (&["__host-doorward=abc"][..], "Nothing"),
            (&["__Secure-doorward=abc"][..], "Nothing"),
            (&["x__Host-doorward=abc"][..], "Nothing"),
            (&[][..], "Nothing"),
            (&["__Host-doorward=abc; __Host-doorward=abc"][..], "Several"),
            (&["__Host-doorward=abc", "__Host-doorward=def"][..], "Several"),
            (&["__Host-doorward=%%%"][..], "Broken"),
            (&["__Host-doorward"][..], "Broken"),
            (&["__Host-doorward="][..], "Broken"),
            (&["__Host-doorward=\"abc\""][..], "Broken"),
            (&["__Host-doorward=a=b"][..], "Broken"),
        ] {
            assert_eq!(found(fields), expected, "{fields:?}");
        }
        assert_eq!(
            found(&[&format!("__Host-doorward={}", "a".repeat(VALUE_AT_MOST + 1))]),
            "Broken"
        );
    }

    #[test]
    fn attributes_are_as_strict_as_they_can_be() {
        let host = CookieName::default().set("v", 60).unwrap();
        assert_eq!(
            host,
            "__Host-doorward=v; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
        );
        let longest = "v".repeat(PAIR_AT_MOST - "__Host-doorward".len());
        assert!(CookieName::default().set(&longest, 60).is_some());
        assert!(CookieName::default().set(&(longest + "v"), 60).is_none());
        let domain = CookieName::new(Some("example.com".to_owned()));
        assert_eq!(
            domain.clear().unwrap(),
            "__Secure-doorward=; Path=/; Domain=example.com; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_are_taken_for_more_than_they_are(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&data);
        }

        #[test]
        fn nor_those_that_look_alike(data in "((__Host-doorward|a|; ?|=|%|\"|\n)[a-z0-9_-]{0,3}){0,12}") {
            fuzz(data.as_bytes());
        }
    }
}
