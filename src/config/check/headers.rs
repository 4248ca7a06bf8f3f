//! Which headers a configuration may not set, because their meaning is the protocol's or the gateway's.

use http::HeaderName;

use crate::identity;

/// Why a header is not free to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It frames the message or belongs to one connection (RFC 9110 section 7.6.1).
    Connection,
    /// `Host`: `host_header` sets it.
    Host,
    /// It says who the user is.
    Identity,
    /// It says how the request came in.
    Forwarding,
}

impl Reserved {
    /// In words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Connection => "it belongs to the connection",
            Self::Host => "host_header sets it",
            Self::Identity => "it tells the backend who the user is, by [identity_headers]",
            Self::Forwarding => "the gateway itself tells the backend how the request came in",
        }
    }
}

/// Framing and connection.
const CONNECTION: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
];

/// Why the header is reserved, if it is. Names that a backend may mix up count as one: `X_User` is `X-User`.
pub fn reserved(name: &HeaderName, identity: Option<&identity::Settings>) -> Option<Reserved> {
    let name = look(name.as_str());
    let of_identity = |header: &Option<HeaderName>| header.as_ref().is_some_and(|header| look(header.as_str()) == name);
    let identity = identity.is_some_and(|names| {
        [&names.user, &names.id, &names.roles, &names.email]
            .into_iter()
            .any(of_identity)
    });
    match name.as_str() {
        connection if CONNECTION.contains(&connection) => Some(Reserved::Connection),
        "host" => Some(Reserved::Host),
        _ if identity => Some(Reserved::Identity),
        "forwarded" | "x-real-ip" | "x-request-id" | "traceparent" => Some(Reserved::Forwarding),
        forwarding
            if ["x-forwarded-", "x-original-", "x-rewrite-"]
                .iter()
                .any(|prefix| forwarding.starts_with(prefix)) =>
        {
            Some(Reserved::Forwarding)
        }
        _ => None,
    }
}

/// What backends that fold names see: lower case, everything but letters and digits as `-`.
pub fn look(name: &str) -> String {
    name.chars()
        .map(|character| match character.is_ascii_alphanumeric() {
            true => character.to_ascii_lowercase(),
            false => '-',
        })
        .collect()
}
