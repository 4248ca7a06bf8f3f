//! Which headers a configuration may not set, because their meaning is the protocol's or the gateway's.

use http::HeaderName;

use crate::{headers, identity};

/// Why a header is not free to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It frames the message or belongs to one connection (RFC 9110 section 7.6.1).
    Connection,
    /// `Host`: `host_header` sets it.
    Host,
    /// It says who the user is, or how the request came in.
    Gateway,
}

impl Reserved {
    /// In words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Connection => "it belongs to the connection",
            Self::Host => "host_header sets it",
            Self::Gateway => {
                "it tells the backend who the user is or how the request came in: only the gateway itself does"
            }
        }
    }
}

/// Framing and connection.
const CONNECTION: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "content-length",
    "expect",
];

/// Why the header is reserved, if it is; without identity headers only by what is fixed. What clients have no say in has
/// one list, which is [`headers`]'.
pub fn reserved(name: &HeaderName, identity: Option<&identity::Settings>) -> Option<Reserved> {
    let names = identity.map(|names| [&names.user, &names.id, &names.roles, &names.email]);
    let of_the_gateway = match names {
        Some(names) => headers::Reserved::new(names.into_iter().flatten()),
        None => headers::Reserved::default(),
    };
    match name.as_str() {
        connection if CONNECTION.contains(&connection) => Some(Reserved::Connection),
        "host" => Some(Reserved::Host),
        "traceparent" => Some(Reserved::Gateway),
        name => of_the_gateway.holds(name).then_some(Reserved::Gateway),
    }
}

/// Whether a backend could take it for one of the identity headers.
pub fn tells_who(identity: &identity::Settings, name: &HeaderName) -> bool {
    let names = [&identity.user, &identity.id, &identity.roles, &identity.email];
    let mut names = names.into_iter().flatten();
    names.any(|identity| look(identity.as_str()) == look(name.as_str()))
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
