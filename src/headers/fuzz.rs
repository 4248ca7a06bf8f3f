//! Any bytes as a header section.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::cookies::pairs;
use super::{HOP_BY_HOP, RESERVED, Reserved, header, mapped, options, strip_cookies};

/// For the fuzzer: whatever the field lines, what the walk leaves holds nothing that no client has a say in, and walking again
/// changes nothing.
///
/// # Panics
///
/// If that does not hold; that is its purpose.
pub fn fuzz(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts
            .next()
            .and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let named: Vec<HeaderName> = headers.get_all(header::CONNECTION).iter().flat_map(options).collect();
    let (reserved, sent, mut trailers) = (Reserved::new([]), headers.clone(), headers.clone());
    for trusted in [true, false] {
        headers = sent.clone();
        let sifted = reserved.sift(&mut headers, trusted);
        assert!(trusted || sifted.forwarded.client.is_empty(), "a stranger is believed");
        assert!(
            !named.iter().any(|name| headers.contains_key(name)),
            "named in Connection"
        );
    }
    strip_cookies(&mut headers, &["__own"]);
    let own = |field: &HeaderValue| pairs(field).any(|pair| pair == b"__own" || pair.starts_with(b"__own="));
    assert!(!headers.get_all(header::COOKIE).iter().any(own), "a cookie of ours");
    reserved.sift_trailers(&mut trailers);
    for name in headers.keys().chain(trailers.keys()) {
        let folded: String = name.as_str().bytes().map(|byte| char::from(mapped(byte))).collect();
        assert!(!HOP_BY_HOP.contains(&name.as_str()), "{name} belongs to one connection");
        let free = !["x-forwarded-", "x-original-", "x-rewrite-"]
            .iter()
            .any(|prefix| folded.starts_with(prefix))
            && ![
                "x-user",
                "x-user-id",
                "x-user-roles",
                "x-user-email",
                "x-user-assertion",
            ]
            .contains(&folded.as_str());
        assert!(free && !RESERVED.contains(&folded.as_str()), "{name} is reserved");
    }
    let once = headers.clone();
    reserved.sift(&mut headers, false);
    assert_eq!(once, headers, "walking again changes something");
}
