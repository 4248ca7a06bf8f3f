//! Who is calling, as far as addresses go: the peer, or what a trusted proxy says about the client behind it.

use std::net::{IpAddr, SocketAddr};

use http::header::{Entry, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};

use super::{Connection, FORWARDED, RequestId, TRACE_STATE};
use crate::answer::{self, Answer};
use crate::codes::Code;
use crate::headers::{Authorization, Forwarded, Sifted};
use crate::net::Networks;
use crate::problem::Problem;
use crate::route::Host;
use crate::session;

/// The client of one request.
#[derive(Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Whether it speaks TLS, with us or with a trusted proxy.
    pub secure: bool,
    behind_proxy: bool,
}

/// Header values that are the same for every request of a connection.
#[derive(Debug)]
pub(super) struct ConnectionValues {
    pub(super) address: HeaderValue,
    pub(super) port: HeaderValue,
}

impl Client {
    /// The client behind a connection. Forwarding headers are believed only where the peer is trusted.
    pub fn of(connection: &Connection, forwarded: &Forwarded, trusted: &Networks) -> Self {
        let peer = connection.peer().ip();
        Self::behind(
            peer,
            connection.is_from(trusted),
            connection.is_secure(),
            forwarded,
            trusted,
        )
    }

    /// The client behind a peer that is or is not trusted, on a connection that is or is not secure.
    pub(super) fn behind(
        peer: IpAddr,
        is_proxy: bool,
        secure: bool,
        forwarded: &Forwarded,
        trusted: &Networks,
    ) -> Self {
        let peer = peer.to_canonical();
        if !is_proxy {
            return Self {
                address: peer,
                secure,
                behind_proxy: false,
            };
        }
        let secure = match forwarded.proto.as_ref().map(HeaderValue::as_bytes) {
            Some(proto) => proto.eq_ignore_ascii_case(b"https") || proto.eq_ignore_ascii_case(b"wss"),
            None => secure,
        };
        let address = walk(&forwarded.client, trusted).unwrap_or(peer);
        Self {
            address,
            secure,
            behind_proxy: true,
        }
    }

    /// A figure by which requests of one client go to one server.
    pub fn hint(&self) -> u64 {
        match self.address {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0),
        }
    }

    /// Writes the forwarding headers a backend gets: rebuilt, unless a trusted proxy sent them. Whatever the client sent under
    /// these names was dropped before, but for a trace.
    pub(super) fn tell(
        &self,
        own: &ConnectionValues,
        headers: &mut HeaderMap,
        authority: Option<&HeaderValue>,
        id: RequestId,
        sent: Forwarded,
    ) {
        let [for_, proto_, host_, port_, prefix_, real_, id_, trace_] = FORWARDED;
        headers.insert(
            proto_,
            HeaderValue::from_static(if self.secure { "https" } else { "http" }),
        );
        let mut tell = |name, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        };
        if self.behind_proxy {
            tell(for_, chain(&sent, own));
            tell(real_, HeaderValue::from_str(&self.address.to_string()).ok());
            tell(host_, sent.host.or_else(|| authority.cloned()));
            tell(port_, sent.port.or_else(|| Some(own.port.clone())));
            // Kept aside for a trusted peer only; what the route strips is added where it is stripped.
            tell(prefix_, sent.prefix);
        } else {
            tell(for_, Some(own.address.clone()));
            tell(real_, Some(own.address.clone()));
            tell(host_, authority.cloned());
            tell(port_, Some(own.port.clone()));
        }
        tell(id_, id.id);
        let mut is_continued = false;
        // Who traces already goes on with that trace; we add no span of our own.
        match (headers.entry(trace_), id.trace) {
            (Entry::Occupied(mut sent), trace) => {
                let kept = Some(sent.get()).filter(|sent| is_trace(sent)).cloned();
                is_continued = kept.is_some();
                if let Some(trace) = kept.or(trace) {
                    sent.insert(trace);
                }
            }
            (Entry::Vacant(free), Some(trace)) => {
                free.insert(trace);
            }
            (Entry::Vacant(_), None) => {}
        }
        if !is_continued {
            // It says more of a trace that is not this one (W3C Trace Context, section 4.3).
            headers.remove(TRACE_STATE);
        }
    }
}

/// What the proxies said, and the last of them at its end.
fn chain(sent: &Forwarded, own: &ConnectionValues) -> Option<HeaderValue> {
    let mut chain: Vec<u8> = Vec::new();
    for value in sent.client.iter().chain([&own.address]) {
        if !chain.is_empty() {
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(value.as_bytes());
    }
    HeaderValue::from_bytes(&chain).ok()
}

/// What is left of a chain of forwarding proxies: from the right, the first address that is not a trusted one. What
/// cannot be read ends the walk at the last address that could (an attacker writes on the left).
pub(super) fn walk(lines: &[HeaderValue], trusted: &Networks) -> Option<IpAddr> {
    let mut client = None;
    for line in lines.iter().rev() {
        for member in line.to_str().ok()?.rsplit(',') {
            let Some(address) = address(member.trim()) else {
                return client;
            };
            client = Some(address);
            if !trusted.contain(address) {
                return client;
            }
        }
    }
    client
}

/// A member of X-Forwarded-For: an address, perhaps with a port, perhaps in brackets.
fn address(member: &str) -> Option<IpAddr> {
    let bare = member
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map(|(address, _)| address);
    let text = bare.unwrap_or(member);
    let parsed = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    parsed.ok().map(|address| address.to_canonical())
}

/// The id of the first good trace of these.
pub(super) fn trace<'a>(mut traces: impl Iterator<Item = &'a HeaderValue>) -> &'a str {
    let good = traces
        .find(|trace| is_trace(trace))
        .and_then(|trace| trace.to_str().ok());
    good.and_then(|trace| trace.get(3..35)).unwrap_or_default()
}

/// Whether a traceparent has the form of version 00 (W3C Trace Context, section 3.2.2).
fn is_trace(trace: &HeaderValue) -> bool {
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = trace.as_bytes().split(|byte| *byte == b'-');
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(b"00"), Some(id), Some(span), Some(flags), None) => {
            (id.len(), span.len(), flags.len()) == (32, 16, 2)
                && hex(id)
                && hex(span)
                && hex(flags)
                && !zero(id)
                && !zero(span)
        }
        _ => false,
    }
}

/// What the log says where that answer is not a refusal already.
pub(super) fn led_to_https() -> Problem {
    Problem::new(Code::HttpsRequired, "This listener only leads to https.")
}

/// The answer of a `redirect` listener: pages move to https, anything that may carry a secret or change something does not
/// (a client that sent it in the clear once would do so again).
pub(super) fn redirect(
    parts: &Parts,
    host: Option<&Host<'_>>,
    https_port: u16,
    sifted: &Sifted,
) -> Result<Answer, Problem> {
    let safe = parts.method == Method::GET || parts.method == Method::HEAD;
    let has_ticket = parts.uri.query().is_some_and(|query| session::ticket(query).is_some());
    let carries = sifted.authorization != Authorization::None || sifted.cookie || has_ticket;
    let (true, false, Some(host)) = (safe, carries, host) else {
        return Err(Problem::new(
            Code::HttpsRequired,
            "Use https. What was sent here went over the network in the clear.",
        ));
    };
    let port = match https_port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let location = HeaderValue::from_str(&format!("https://{host}{port}{target}"))
        .map_err(|error| Problem::new(Code::InvalidTarget, "The target cannot be redirected.").because(error))?;
    Ok(answer::redirect(StatusCode::PERMANENT_REDIRECT, location))
}
