//! The gateway's own cookies, taken out of a request.

use http::header::{self, HeaderMap, HeaderValue};

/// Takes the cookies of these names, which begin with `__`, out of the Cookie fields, and makes one field of those that HTTP/2 has split (RFC 9113
/// section 8.2.3); a field that is empty then goes as a whole.
pub fn strip_cookies(headers: &mut HeaderMap, own: &[&str]) {
    let is_own = |pair: &[u8]| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or(pair).trim_ascii();
        own.iter().any(|own| own.as_bytes() == name)
    };
    let mut sent = headers.get_all(header::COOKIE).iter();
    if let (Some(only), None) = (sent.next(), sent.next())
        && !(is_marked(only) && pairs(only).any(is_own))
    {
        return;
    }
    let fields: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
    headers.remove(header::COOKIE);
    let kept: Vec<&[u8]> = fields.iter().flat_map(pairs).filter(|pair| !is_own(pair)).collect();
    if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_bytes(&kept.join(b"; ".as_slice()))) {
        headers.insert(header::COOKIE, value);
    }
}

/// Whether a cookie's name may begin with the two underscores of `__Host-` and `__Secure-` (RFC 6265bis section 4.1.3), as all
/// of our own do.
fn is_marked(field: &HeaderValue) -> bool {
    field.as_bytes().windows(2).any(|two| two == b"__")
}

pub(super) fn pairs(field: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    field
        .as_bytes()
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
}
