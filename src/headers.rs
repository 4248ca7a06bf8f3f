//! The one walk over a request's header section, and the one list of names that clients have no say in.
//!
//! Dropped before anything could trust them: hop-by-hop fields and what `Connection` names (RFC 9110 section 7.6.1), and
//! every look-alike of an identity or forwarding header. A look-alike is a name that is equal after lower-casing and
//! mapping each character that is not a letter or digit to `-`: backends that speak CGI cannot tell `X_User` from
//! `X-User`.

mod cookies;
mod fuzz;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

pub use cookies::strip_cookies;
pub use fuzz::fuzz;

/// Reserved names (in the mapped form) and prefixes that no client may send on.
const RESERVED: &[&str] = &[
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];
const RESERVED_PREFIXES: &[&str] = &["x-forwarded-", "x-original-", "x-rewrite-"];
/// Names whose look-alikes a backend that speaks CGI would take for the real thing, which says how long the message is.
const FRAMING: &[&str] = &["content-length", "transfer-encoding", "content-type"];
/// Fields that belong to one connection only; and `Proxy`, no field of HTTP, which a backend that speaks CGI takes for the setting
/// `HTTP_PROXY` (CVE-2016-5385).
const HOP_BY_HOP: &[&str] = &[
    "proxy",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Fields that say something to us, beside those that are dropped.
const TOLD: &[&str] = &["authorization", "cookie", "expect"];

/// By these a proxy says which client it speaks for.
const TOLD_BY_PROXIES: &[&str] = &["x-forwarded-for", "x-forwarded-proto", "forwarded"];

/// The names of one configuration: the fixed ones and the identity headers.
#[derive(Clone, Debug)]
pub struct Reserved {
    identity: Vec<String>,
    filter: Filter,
}

/// Which names deserve a comparison at all. Nearly all names that browsers send are none of ours, and their first character
/// and their length say so.
#[derive(Clone, Debug, Default)]
struct Filter {
    /// By the low five bits of the first character, one bit for each length; the last one stands for all longer ones.
    lengths: [u64; 32],
}

/// What the walk kept aside.
#[derive(Debug, Default)]
pub struct Sifted {
    /// The Authorization field, still in the map.
    pub authorization: Authorization,
    /// What a trusted peer said about the client; empty for anybody else.
    pub forwarded: Forwarded,
    /// Whether the request asks for another protocol (`Upgrade`, named by `Connection`).
    pub upgrade: Option<HeaderValue>,
    /// Whether the client takes trailers (`TE: trailers`).
    pub te_trailers: bool,
    /// Whether there is a Cookie field.
    pub cookie: bool,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// Whether there is a Content-Length field.
    pub content_length: bool,
    /// Whether a peer that is not trusted said which client it speaks for, and was not believed.
    pub unheard: bool,
}

/// The Authorization fields of a request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// There is none.
    #[default]
    None,
    /// There is exactly one.
    One(HeaderValue),
    /// There are several: which one counts is anybody's guess, so none does.
    Several,
}

/// The forwarding headers of a trusted peer.
#[derive(Debug, Default)]
pub struct Forwarded {
    /// `X-Forwarded-For`, all lines in order.
    pub client: Vec<HeaderValue>,
    /// `X-Forwarded-Proto`.
    pub proto: Option<HeaderValue>,
    /// `X-Forwarded-Host`.
    pub host: Option<HeaderValue>,
    /// `X-Forwarded-Port`.
    pub port: Option<HeaderValue>,
    /// `X-Forwarded-Prefix`.
    pub prefix: Option<HeaderValue>,
    /// `X-Request-Id`.
    pub request_id: Option<HeaderValue>,
}

impl Reserved {
    /// Reserves these identity headers, and the default ones whatever they are called here.
    pub fn new<'a>(identity: impl IntoIterator<Item = &'a HeaderName>) -> Self {
        let mut names: Vec<String> = [
            "x-user",
            "x-user-id",
            "x-user-roles",
            "x-user-email",
            "x-user-assertion",
        ]
        .map(str::to_owned)
        .to_vec();
        for name in identity {
            let mapped: String = name.as_str().bytes().map(|byte| char::from(mapped(byte))).collect();
            if !names.contains(&mapped) {
                names.push(mapped);
            }
        }
        let filter = Filter::new(names.iter().map(String::as_str));
        Self {
            identity: names,
            filter,
        }
    }

    /// The names, in the form in which they are compared; a star stands for all that begins so.
    pub fn names(&self) -> Vec<String> {
        let fixed = RESERVED.iter().copied().map(str::to_owned);
        let prefixes = RESERVED_PREFIXES.iter().map(|prefix| format!("{prefix}*"));
        self.identity.iter().cloned().chain(fixed).chain(prefixes).collect()
    }

    /// Whether no client may send this name on.
    pub fn holds(&self, name: &str) -> bool {
        // Nearly all names of browsers begin with another letter than these: one look decides.
        let Some(first) = name.bytes().next() else { return true };
        let fixed = matches!(first, b'x' | b'f' | b'X' | b'F')
            && (RESERVED.iter().any(|reserved| same(name, reserved))
                || RESERVED_PREFIXES.iter().any(|prefix| starts_with(name, prefix)));
        fixed || self.identity.iter().any(|reserved| same(name, reserved))
    }

    /// Walks over the fields once, keeps aside what is asked for, and takes out what must not go on. With `trusted`, the
    /// forwarding headers are believed (and still taken out: they are written anew).
    pub fn sift(&self, headers: &mut HeaderMap, trusted: bool) -> Sifted {
        let mut doomed: Vec<HeaderName> = Vec::new();
        let sifted = self.walk(headers, trusted, |name, value| {
            if *name == header::CONNECTION {
                doomed.extend(options(value));
            }
            doomed.push(name.clone());
        });
        for name in doomed {
            headers.remove(name);
        }
        sifted
    }

    /// Keeps aside the same, and takes nothing out: for a request that goes nowhere.
    pub fn look(&self, headers: &HeaderMap, trusted: bool) -> Sifted {
        self.walk(headers, trusted, |_, _| ())
    }

    /// Tells `doom` of each field that must not go on.
    fn walk(&self, headers: &HeaderMap, trusted: bool, mut doom: impl FnMut(&HeaderName, &HeaderValue)) -> Sifted {
        let mut sifted = Sifted::default();
        for (name, value) in headers.iter() {
            if self.filter.may_hold(name.as_str()) && self.is_doomed(name, value, trusted, &mut sifted) {
                doom(name, value);
            }
        }
        if sifted.upgrade.is_some() && !names_upgrade(headers) {
            sifted.upgrade = None;
        }
        sifted
    }

    fn is_doomed(&self, name: &HeaderName, value: &HeaderValue, trusted: bool, sifted: &mut Sifted) -> bool {
        if *name == header::AUTHORIZATION {
            sifted.authorization = match sifted.authorization {
                Authorization::None => Authorization::One(value.clone()),
                Authorization::One(_) | Authorization::Several => Authorization::Several,
            };
            return false;
        }
        if *name == header::CONNECTION {
            return true;
        }
        if *name == header::UPGRADE {
            sifted.upgrade = Some(value.clone());
            return true;
        }
        if *name == header::COOKIE {
            sifted.cookie = true;
        } else if *name == header::TE {
            sifted.te_trailers = tokens(value).any(|token| token.eq_ignore_ascii_case(b"trailers"));
            return true;
        } else if *name == header::EXPECT {
            sifted.expects_continue = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        }
        if *name == header::CONTENT_LENGTH {
            sifted.content_length = true;
            return false;
        }
        let text = name.as_str();
        if matches!(text.as_bytes().first(), Some(b'c' | b'k' | b'p' | b't' | b'u' | b'h'))
            && (HOP_BY_HOP.contains(&text) || is_false_framing(text))
        {
            return true;
        }
        let reserved = self.holds(text);
        match (reserved, trusted) {
            (true, true) => sifted.forwarded.take(text, value),
            (true, false) => sifted.unheard |= TOLD_BY_PROXIES.contains(&text),
            (false, _) => {}
        }
        reserved
    }

    /// Takes reserved and forbidden names out of a trailer section (RFC 9110 section 6.5.1).
    pub fn sift_trailers(&self, trailers: &mut HeaderMap) {
        let doomed: Vec<HeaderName> = trailers
            .keys()
            .filter(|name| self.holds(name.as_str()) || HOP_BY_HOP.contains(&name.as_str()) || is_for_heads_only(name))
            .cloned()
            .collect();
        for name in doomed {
            trailers.remove(name);
        }
    }
}

/// What is fixed, without any identity header.
impl Default for Reserved {
    fn default() -> Self {
        Self {
            identity: Vec::new(),
            filter: Filter::new(std::iter::empty()),
        }
    }
}

impl Filter {
    fn new<'a>(identity: impl Iterator<Item = &'a str>) -> Self {
        let mut filter = Self::default();
        for name in [TOLD, HOP_BY_HOP, FRAMING, RESERVED]
            .into_iter()
            .flatten()
            .copied()
            .chain(identity)
        {
            if let Some(lengths) = filter.lengths.get_mut(Self::place(name)) {
                *lengths |= Self::length(name);
            }
        }
        for prefix in RESERVED_PREFIXES {
            if let Some(lengths) = filter.lengths.get_mut(Self::place(prefix)) {
                // The prefix itself and all that is longer.
                *lengths |= !(Self::length(prefix) - 1);
            }
        }
        filter
    }

    /// Whether the name may be one of those that count, in any spelling.
    #[inline]
    fn may_hold(&self, name: &str) -> bool {
        let lengths = self.lengths.get(Self::place(name)).copied().unwrap_or(u64::MAX);
        lengths & Self::length(name) != 0
    }

    /// Upper and lower case share a place. No reserved name begins with a mark, but an identity header may: then what is
    /// mapped to a hyphen shares its place.
    #[inline]
    fn place(name: &str) -> usize {
        name.bytes().next().map_or(0, |first| usize::from(mapped(first) & 31))
    }

    #[inline]
    fn length(name: &str) -> u64 {
        1 << name.len().min(63)
    }
}

impl Forwarded {
    fn take(&mut self, name: &str, value: &HeaderValue) {
        let slot = match name {
            "x-forwarded-for" => return self.client.push(value.clone()),
            "x-forwarded-proto" => &mut self.proto,
            "x-forwarded-host" => &mut self.host,
            "x-forwarded-port" => &mut self.port,
            "x-forwarded-prefix" => &mut self.prefix,
            "x-request-id" => &mut self.request_id,
            _ => return,
        };
        *slot = Some(value.clone());
    }
}

/// Takes the hop-by-hop fields out of a response (RFC 9110 section 7.6.1).
pub fn sift_response(headers: &mut HeaderMap) {
    let mut doomed: Vec<HeaderName> = Vec::new();
    for (name, value) in headers.iter() {
        if *name == header::CONNECTION {
            doomed.extend(tokens(value).filter_map(|token| HeaderName::from_bytes(token).ok()));
            doomed.push(name.clone());
        } else if matches!(name.as_str().as_bytes().first(), Some(b'k' | b'p' | b't' | b'u'))
            && HOP_BY_HOP.contains(&name.as_str())
            && *name != header::PROXY_AUTHENTICATE
        {
            doomed.push(name.clone());
        }
    }
    for name in doomed {
        headers.remove(name);
    }
}

/// The fields that `Connection` names. Host and the framing fields are never connection options (RFC 9110 section 7.6.1):
/// who names them wants us to lose sight of them.
fn options(value: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    const NEVER: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    tokens(value)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !NEVER.contains(name))
}

/// The members of a comma-separated field (RFC 9110 section 5.6.1).
fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .any(|value| tokens(value).any(|t| t.eq_ignore_ascii_case(b"upgrade")))
}

fn is_for_heads_only(name: &HeaderName) -> bool {
    [
        header::AUTHORIZATION,
        header::COOKIE,
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TRAILER,
    ]
    .contains(name)
}

/// A look-alike of a framing field, not the field itself.
fn is_false_framing(name: &str) -> bool {
    FRAMING.iter().any(|framing| *framing != name && same(name, framing))
}

/// The form in which names are compared.
fn mapped(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

/// Takes out what some backend takes for one of these names, spelled otherwise. The name itself stays.
pub fn drop_look_alikes<'n>(headers: &mut HeaderMap, names: impl Iterator<Item = &'n HeaderName>) {
    for name in names {
        let alike = |other: &&HeaderName| *other != name && same(other.as_str(), name.as_str());
        let doomed: Vec<HeaderName> = headers.keys().filter(alike).cloned().collect();
        for other in doomed {
            headers.remove(other);
        }
    }
}

fn same(name: &str, reserved: &str) -> bool {
    name.len() == reserved.len() && starts_with(name, reserved)
}

/// The name itself is what comes nearly always.
fn starts_with(name: &str, prefix: &str) -> bool {
    let alike = || {
        let mut pairs = name.bytes().zip(prefix.bytes());
        pairs.all(|(byte, wanted)| mapped(byte) == wanted)
    };
    name.len() >= prefix.len() && (name.starts_with(prefix) || alike())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn what_a_stranger_says_of_its_client_is_noticed() {
        let reserved = Reserved::default();
        let unheard = |name: &str, trusted| reserved.look(&map(&[(name, "x")]), trusted).unheard;
        for name in ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"] {
            assert!(unheard(name, false) && !unheard(name, true), "{name}");
        }
        for name in ["X-Forwarded-Host", "X-User", "X-Forwarded-Fox", "Accept"] {
            assert!(!unheard(name, false), "{name}");
        }
    }

    #[test]
    fn look_alikes_hop_by_hop_and_named_fields_are_dropped() {
        let mut headers = map(&[
            ("X-User", "admin"),
            ("X_User", "admin"),
            ("x.user", "admin"),
            ("X-User-Roles", "admin"),
            ("X_Forwarded_Proto", "https"),
            ("x-original-url", "/"),
            ("x-rewrite-url", "/"),
            ("forwarded", "for=1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
            ("x-http-method-override", "DELETE"),
            ("connection", "close, X-Secret, te"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("content_length", "5"),
            ("content-type", "text/plain"),
            ("accept", "*/*"),
            ("x-userland", "stays"),
        ]);
        let sifted = Reserved::new([]).sift(&mut headers, false);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-type", "x-userland"]);
        assert!(sifted.te_trailers && sifted.forwarded.client.is_empty() && sifted.upgrade.is_none());
    }

    #[test]
    fn what_a_trusted_peer_says_is_kept_aside_and_written_anew() {
        let mut headers = map(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("authorization", "a"),
            ("authorization", "b"),
        ]);
        let sifted = Reserved::new([&HeaderName::from_static("remote-user")]).sift(&mut headers, true);
        assert_eq!(sifted.forwarded.client, ["1.1.1.1", "2.2.2.2"]);
        assert_eq!(sifted.forwarded.proto.unwrap(), "https");
        assert_eq!(sifted.upgrade.unwrap(), "websocket");
        assert_eq!(sifted.authorization, Authorization::Several);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["authorization"]);
    }

    #[test]
    fn own_cookies_are_taken_out_and_others_stay() {
        let mut headers = map(&[
            ("cookie", "a=1; __Host-doorward=x; b=2"),
            ("cookie", "__Host-doorward=y"),
        ]);
        strip_cookies(&mut headers, &["__Host-doorward"]);
        assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        let mut headers = map(&[
            ("cookie", "a=1"),
            ("cookie", "__Host-doorward\t=x; b=2"),
            ("cookie", "c"),
        ]);
        strip_cookies(&mut headers, &["__Host-doorward"]);
        assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c"]);
        let mut headers = map(&[("cookie", "a=1;b=2")]);
        strip_cookies(&mut headers, &["__Host-doorward"]);
        assert_eq!(headers["cookie"], "a=1;b=2");
    }

    proptest! {
        /// The filter only spares comparisons: without it the walk finds the same.
        #[test]
        fn the_filter_passes_over_nothing_that_counts(
            names in proptest::collection::vec("(?i)([-a-z0-9_.!~]{1,70}|(x|remote|authorization|cookie|te|expect|upgrade|content|transfer|proxy|keep|http2|connection|forwarded)[-_.!~]?(user|forwarded|original|rewrite|real|length|type|encoding|alive|authorization|settings|http|method)?[-_.+]?(for|proto|url|ip|id|roles|override)?[a-z]{0,60})", 1..20)
        ) {
            for reserved in [Reserved::default(), Reserved::new([&HeaderName::from_static("remote-user"), &HeaderName::from_static("_me")])] {
                for name in names.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()) {
                    let mut sifted = Sifted::default();
                    let value = HeaderValue::from_static("trailers");
                    let found = reserved.is_doomed(&name, &value, true, &mut sifted);
                    let told = sifted.authorization != Authorization::None || sifted.cookie || sifted.te_trailers || name == header::EXPECT;
                    prop_assert!(reserved.filter.may_hold(name.as_str()) || !(found || told), "{name}");
                }
            }
        }

        #[test]
        fn no_reserved_name_survives(
            names in proptest::collection::vec("(?i)(x|remote)[-_.!~]?(user|forwarded|original|rewrite|real)?[-_.+]?(for|proto|url|ip|id|roles)?", 0..20)
        ) {
            let mut headers = HeaderMap::new();
            for name in &names {
                if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                    headers.append(name, HeaderValue::from_static("evil"));
                }
            }
            let reserved = Reserved::new([&HeaderName::from_static("remote-user")]);
            reserved.sift(&mut headers, false);
            for name in headers.keys() {
                let mapped: String = name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
                prop_assert!(!mapped.starts_with("x-forwarded-") && !mapped.starts_with("x-original-") && !mapped.starts_with("x-rewrite-"));
                prop_assert!(!["x-user", "x-user-id", "x-user-roles", "remote-user", "x-real-ip"].contains(&mapped.as_str()));
            }
        }
    }
}
