//! One request to its upstream, and the head of the answer back.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use bytes::{BufMut, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use super::{Error, Exchange, RelayBody, RequestBody, Tunnel, Upgrade};
use crate::admission::{HeaderChanges, HostHeader, Permit, Route, RouteEntry};
use crate::headers::{self, Reserved};
use crate::identity;
use crate::principal::Person;
use crate::registry::{Cut, Waiter};
use crate::route::{RoutePath, Target};
use crate::session;
use crate::upstream::{self, Upstream};

/// A request as it is about to be sent on: what the client sent, less what the walk over its headers took out.
#[derive(Debug)]
pub struct Outgoing<'a, B = Incoming> {
    /// The method.
    pub method: Method,
    /// The target as received.
    pub uri: Uri,
    /// What is left of the header section, and the forwarding headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: B,
    /// What the client named as host, with its port.
    pub authority: Option<HeaderValue>,
    /// Whether the Authorization field is nothing for the backend: it counted here, or would have elsewhere.
    pub strip_authorization: bool,
    /// Whether a ticket is to be taken off the query.
    pub strip_ticket: bool,
    /// Whether there is a Cookie field.
    pub cookie: bool,
    /// Whether there is a Content-Length field.
    pub content_length: bool,
    /// Whether the client takes trailers.
    pub te_trailers: bool,
    /// What it asks to switch to.
    pub upgrade: Option<Upgrade>,
    /// The identity headers' names.
    pub identity: &'a identity::Settings,
    /// The names no client has a say in.
    pub reserved: &'a Arc<Reserved>,
}

/// What the upstream has answered.
#[derive(Debug)]
pub enum Forwarded {
    /// A response.
    Answer(Response<RelayBody>),
    /// It switches protocols: this is the head to answer with, and the tunnel to run behind it.
    Switched(Response<()>, Tunnel),
}

/// Forwards an admitted request. The permit is the proof; its route says where to and how.
pub async fn forward(
    permit: &Permit,
    entry: &RouteEntry,
    upstream: &Arc<Upstream>,
    mut outgoing: Outgoing<'_>,
    exchange: Arc<Exchange>,
    hint: u64,
) -> Result<Forwarded, Error> {
    let route = &entry.route;
    if let (Some(max), Some(declared)) = (route.max_body, outgoing.body.size_hint().exact())
        && declared > max
    {
        return Err(Error::Client(super::BodyFault::TooLarge));
    }
    let upgrade = outgoing.upgrade.take();
    let mut request = write_request(permit, entry, outgoing, &exchange)?;
    if let Some(upgrade) = &upgrade {
        upgrade.ask(request.headers_mut());
    }
    exchange.await_answer(upstream.settings().response_timeout);
    let answered = upstream.send_unless(request, hint, overdue(&exchange)).await;
    exchange.answered();
    let mut response = answered.map_err(|error| whose(error, &exchange))?;
    let person = permit.proof().map(|proof| &proof.person);
    let Some(upgrade) = upgrade else {
        return Ok(Forwarded::Answer(relay(response, route, exchange, person)));
    };
    let Some(switched) = response.body_mut().switch() else {
        upgrade.check_refusal(response.status())?;
        return Ok(Forwarded::Answer(relay(response, route, exchange, person)));
    };
    upgrade.check(response.headers())?;
    if let Some(person) = person {
        exchange.entry().guard(person);
    }
    let mut headers = std::mem::take(response.headers_mut());
    headers::sift_response(&mut headers);
    apply(&route.response_headers, &mut headers);
    let tunnel = Tunnel::new(switched, exchange, upgrade.is_websocket());
    Ok(Forwarded::Switched(upgrade.answer(headers), tunnel))
}

/// Whose fault it was that there is no answer. Of the two who wait for an exchange that is cut, the one who waits for the
/// answer may be woken first: then nobody has yet said that it was the client's body that had stopped.
fn whose(error: upstream::Error, exchange: &Exchange) -> Error {
    match (exchange.fault(), exchange.entry().cut()) {
        (Some(fault), _) => Error::Client(fault),
        (None, Some(Cut::Deadline)) => Error::Client(super::BodyFault::Stalled),
        (None, Some(Cut::Upstream | Cut::Drain | Cut::Ended) | None) => Error::Upstream(error),
    }
}

/// Completes when the registry says that the answer's head takes too long.
fn overdue(exchange: &Exchange) -> impl Future<Output = ()> {
    std::future::poll_fn(|cx| {
        exchange.entry().register(Waiter::Owner, cx.waker());
        match exchange.entry().cut() {
            None => Poll::Pending,
            Some(Cut::Upstream | Cut::Deadline | Cut::Drain | Cut::Ended) => Poll::Ready(()),
        }
    })
}

fn write_request(
    permit: &Permit,
    entry: &RouteEntry,
    outgoing: Outgoing<'_>,
    exchange: &Arc<Exchange>,
) -> Result<Request<RequestBody>, Error> {
    let route = &entry.route;
    let length = outgoing.body.size_hint().exact();
    let (
        head,
        Outgoing {
            method, body, reserved, ..
        },
    ) = write_head(permit, entry, outgoing, length)?;
    let body = RequestBody::new(body, Arc::clone(exchange), Arc::clone(reserved), route.max_body);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = head.uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = head.headers;
    Ok(request)
}

/// Target and header section, as a backend gets them.
#[derive(Debug)]
pub struct Head {
    /// The target.
    pub uri: Uri,
    /// The fields.
    pub headers: HeaderMap,
}

/// Writes the head of a request whose body has this length, and gives back what is left of it: the way of every request,
/// and of one that is only explained.
pub fn write_head<'a, B>(
    permit: &Permit,
    entry: &RouteEntry,
    mut outgoing: Outgoing<'a, B>,
    length: Option<u64>,
) -> Result<(Head, Outgoing<'a, B>), Error> {
    let route = &entry.route;
    let uri = std::mem::take(&mut outgoing.uri);
    let mut headers = std::mem::take(&mut outgoing.headers);
    let authority = outgoing.authority.take();
    if outgoing.strip_authorization {
        headers.remove(header::AUTHORIZATION);
    }
    if outgoing.cookie {
        headers::strip_cookies(&mut headers, session::OWN);
    }
    match &route.host_header {
        // What was named in the target goes before the field; else the field is there as it was sent.
        HostHeader::Preserve if uri.authority().is_none() => {}
        HostHeader::Preserve => set(&mut headers, header::HOST, authority),
        // Without one, the server's own is written where it is known which server that is.
        HostHeader::Upstream => set(&mut headers, header::HOST, None),
        HostHeader::Literal(value) => set(&mut headers, header::HOST, Some(value.clone())),
    }
    if let Some(prefix) = &route.strip_prefix {
        tell_prefix(&mut headers, prefix);
    }
    // `0005` is a length too, and some backend reads it in another base: the length goes on as we understood it.
    if let (Some(length), true) = (length, outgoing.content_length) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if outgoing.te_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // Backends that speak CGI cannot tell a look-alike from what the route sets.
    headers::drop_look_alikes(&mut headers, route.request_headers.set.iter().map(|(name, _)| name));
    apply(&route.request_headers, &mut headers);
    if let Some(Ok(values)) = permit.proof().map(|proof| proof.values.as_ref()) {
        values.set(outgoing.identity, &mut headers);
    }
    let uri = if outgoing.strip_ticket { less_ticket(uri)? } else { uri };
    let uri = target(&uri, entry.strip())?;
    Ok((Head { uri, headers }, outgoing))
}

/// Tells the backend what was taken off the path: by a trusted proxy before us, and then by this route.
fn tell_prefix(headers: &mut HeaderMap, stripped: &str) {
    const NAME: HeaderName = HeaderName::from_static("x-forwarded-prefix");
    let mut whole = headers.get(&NAME).map_or(Vec::new(), |sent| sent.as_bytes().to_vec());
    while whole.last() == Some(&b'/') {
        whole.pop();
    }
    whole.extend_from_slice(stripped.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&whole) {
        headers.insert(NAME, value);
    }
}

/// The target without the ticket in its query.
fn less_ticket(uri: Uri) -> Result<Uri, Error> {
    let left = uri.query().and_then(session::without_ticket);
    let target = match left {
        Some(query) => format!("{}?{query}", uri.path()),
        None => uri.path().to_owned(),
    };
    Uri::try_from(target).map_err(|error| Error::Unwritable(error.to_string()))
}

/// The origin-form target (RFC 9112 section 3.2.1): byte for byte what was checked, less the prefix that is stripped.
fn target(uri: &Uri, strip: Option<&RoutePath>) -> Result<Uri, Error> {
    let Some(path_and_query) = uri.path_and_query() else {
        return Ok(Uri::from_static("/"));
    };
    let Some(prefix) = strip else {
        return Ok(Uri::from(path_and_query.clone()));
    };
    let target = Target::parse(path_and_query.as_str()).map_err(|code| Error::Unwritable(code.as_str().to_owned()))?;
    // Admission has seen that the prefix holds in every reading; a path that is the prefix itself becomes `/`.
    let Some(rest) = target.without_prefix(prefix) else {
        return Err(Error::Unwritable(
            "the path does not begin with the prefix to strip".to_owned(),
        ));
    };
    let mut bytes = BytesMut::with_capacity(path_and_query.as_str().len() + 1);
    bytes.put_slice(if rest.is_empty() { "/" } else { rest }.as_bytes());
    if let Some(query) = target.query() {
        bytes.put_u8(b'?');
        bytes.put_slice(query.as_bytes());
    }
    Uri::from_maybe_shared(bytes.freeze()).map_err(|error| Error::Unwritable(error.to_string()))
}

fn relay(
    response: Response<upstream::Body<RequestBody>>,
    route: &Route,
    exchange: Arc<Exchange>,
    person: Option<&Arc<Person>>,
) -> Response<RelayBody> {
    let (mut parts, body) = response.into_parts();
    headers::sift_response(&mut parts.headers);
    apply(&route.response_headers, &mut parts.headers);
    parts.version = Version::default();
    // An answer that lasts ends with the credential that it was given for.
    if let (Some(person), false) = (person, body.is_end_stream()) {
        exchange.entry().guard(person);
    }
    if parts.status == StatusCode::NO_CONTENT || parts.status == StatusCode::NOT_MODIFIED {
        parts.headers.remove(header::TRANSFER_ENCODING);
    }
    Response::from_parts(parts, RelayBody::new(body, exchange))
}

fn apply(changes: &HeaderChanges, headers: &mut HeaderMap) {
    for name in &changes.remove {
        headers.remove(name);
    }
    for (name, value) in &changes.set {
        headers.insert(name.clone(), value.clone());
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => headers.insert(name, value),
        None => headers.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::PathPattern;

    #[test]
    fn a_prefix_is_stripped_at_its_border_and_nothing_else_changes() {
        for (sent, strip, expected) in [
            ("/a/b?x=%2F/", None, "/a/b?x=%2F/"),
            ("/a/b?x=1", Some("/a"), "/b?x=1"),
            ("/a", Some("/a"), "/"),
            ("/a?x=1", Some("/a"), "/?x=1"),
            ("/a/", Some("/a/"), "/"),
            ("/a//b%2fc", Some("/a"), "//b%2fc"),
            ("/my%20files/x?", Some("/my files"), "/x?"),
            ("/caf%C3%A9/x", Some("/café"), "/x"),
        ] {
            let uri: Uri = sent.parse().unwrap();
            let prefix = strip.map(|strip| PathPattern::prefix(strip).unwrap().path().clone());
            let written = target(&uri, prefix.as_ref()).unwrap();
            assert_eq!(
                written.path_and_query().unwrap().as_str(),
                expected,
                "{sent} less {strip:?}"
            );
        }
        let h2: Uri = "https://host/a?b".parse().unwrap();
        assert_eq!(target(&h2, None).unwrap().to_string(), "/a?b");
    }
}
