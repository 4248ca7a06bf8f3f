//! The rest of a request that was answered before it was read: what is left of its body must not be taken for the next
//! request, so it is read, if it is little and comes soon, or the connection ends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderValue};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{Body, Connection, Message};

/// How much is read and thrown away for the sake of the connection, and how long that may take.
const AT_MOST: usize = 64 * 1024;
const WITHIN: Duration = Duration::from_secs(1);

/// Reads what is left, if that is worth it. False: the connection cannot go on.
pub(super) async fn read(message: Message, connection: &Connection) -> bool {
    match plan(message, connection) {
        Plan::GoOn(go_on) => go_on,
        // Boxed: rare, and no other request has to make room for it.
        Plan::Read(mut body) => Box::pin(tokio::time::timeout(WITHIN, drain(&mut body)))
            .await
            .unwrap_or(false),
    }
}

/// Whether there is nothing left to read, without a wait. Who asks a question for another may announce the body of that
/// request and not send it: what comes then is the next question, and must not be read as a body.
pub(super) fn is_read(message: &Message, connection: &Connection) -> bool {
    message.body.as_ref().is_none_or(Incoming::is_end_stream) || connection.is_read()
}

/// Over HTTP/2 the answer goes at once, and what is left is read behind it: a stream that ends before its body did makes some clients
/// throw the answer away with it, though they need not (RFC 9113 section 8.1).
pub(super) fn read_behind(body: Option<Incoming>) {
    let rest = body.filter(|body| !body.is_end_stream());
    if let Some(mut body) = rest {
        let reading = async move {
            // What is more stays unread, and the client gets the time to see the answer: its window is not opened any further.
            if !drain(&mut body).await {
                std::future::pending::<()>().await;
            }
        };
        tokio::spawn(tokio::time::timeout(WITHIN, reading));
    }
}

/// The body for one of our own endpoints, which may answer before they have read it to its end.
pub(super) struct Lent {
    /// Taken when it is dropped.
    body: Option<Incoming>,
    /// Whether what is left then is read behind the answer.
    is_http2: bool,
}

impl Lent {
    pub(super) fn new(body: Incoming, connection: &Connection) -> Self {
        Self {
            body: Some(body),
            is_http2: connection.is_http2(),
        }
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.is_http2 {
            read_behind(self.body.take());
        }
    }
}

enum Plan {
    GoOn(bool),
    Read(Incoming),
}

fn plan(message: Message, connection: &Connection) -> Plan {
    let Some(body) = message.body else {
        return Plan::GoOn(connection.is_read());
    };
    if connection.is_read() {
        return Plan::GoOn(true);
    }
    // A client that waits for 100 (Continue) sends nothing unless it is asked, and reading would ask it.
    if message.parts.headers.contains_key(header::EXPECT) {
        return Plan::GoOn(false);
    }
    let announced = message.parts.headers.get(header::CONTENT_LENGTH);
    let too_much = |length: &HeaderValue| {
        length
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .is_none_or(|n: usize| n > AT_MOST)
    };
    if announced.is_some_and(too_much) {
        return Plan::GoOn(false);
    }
    Plan::Read(body)
}

async fn drain(body: &mut Incoming) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > AT_MOST {
            return false;
        }
    }
    true
}

/// Says in the answer whether the connection goes on. HTTP/2 has no such field (RFC 9113 section 8.2.2).
pub(super) fn mark(response: &mut Response<Body>, go_on: bool, connection: &Connection) {
    let headers = response.headers_mut();
    if connection.is_http2() {
        headers.remove(header::CONNECTION);
    } else if !go_on {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}
