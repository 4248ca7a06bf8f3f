//! One exchange on a connection: the request goes out while the response comes in.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::ext::ReasonPhrase;

use super::head::Head;
use super::input::Input;
use super::output::Output;
use super::reader::{BodyReader, HeadReader, Piece};
use super::{Cause, Connection, Fault, framing};
use crate::upstream::RequestBody;
use crate::upstream::body::Outgoing;
use crate::upstream::io::Io;

/// An exchange whose response's head has come.
pub(in crate::upstream) struct Exchange<B: RequestBody> {
    io: Io,
    address: Option<SocketAddr>,
    output: Output<B>,
    input: Input,
    body: BodyReader,
    /// Both sides mean to go on with this connection.
    persists: bool,
    switched: bool,
}

/// An exchange that came to nothing.
pub(in crate::upstream) struct Refused<B: RequestBody> {
    pub(in crate::upstream) cause: Cause,
    /// The request, if it may be sent again. Boxed, for it is large and rare.
    pub(in crate::upstream) back: Option<Box<Request<Outgoing<B>>>>,
    /// Whether not a byte of it has left.
    pub(in crate::upstream) unseen: bool,
    /// Whether anything has come.
    pub(in crate::upstream) heard: bool,
}

impl Connection {
    /// Sends the request and waits for the response's head. Dropped before, it takes the connection with it.
    pub(in crate::upstream) async fn exchange<B: RequestBody>(
        self,
        request: Request<Outgoing<B>>,
    ) -> Result<Response<Exchange<B>>, Refused<B>> {
        let (parts, body) = request.into_parts();
        let output = Output::new(&parts, body).map_err(|cause| Refused {
            cause,
            back: None,
            unseen: true,
            heard: false,
        })?;
        let asked = parts.headers.contains_key(UPGRADE) && framing::has_token(&parts.headers, &CONNECTION, "upgrade");
        let mut waiting = Waiting {
            io: self.io,
            address: self.address,
            output,
            input: Input::new(self.usual),
            head: HeadReader::default(),
            received: false,
        };
        let head = poll_fn(|cx| waiting.poll(cx)).await;
        match head.and_then(|head| Ok(waiting.judge(head, &parts.method, asked)?)) {
            Ok((head, body)) => Ok(waiting.answered(head, body)),
            Err(cause) => Err(waiting.refuse(cause, parts)),
        }
    }
}

/// An exchange whose response's head has not come.
struct Waiting<B: RequestBody> {
    io: Io,
    address: Option<SocketAddr>,
    output: Output<B>,
    input: Input,
    head: HeadReader,
    /// Anything at all has come.
    received: bool,
}

impl<B: RequestBody> Waiting<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Cause>> {
        let _ = self.output.poll(&mut self.io, cx)?;
        if !self.output.is_begun() {
            // What comes before a byte has left is no answer: it is not even looked at.
            return match self.output.take_failure() {
                Some(error) => Poll::Ready(Err(Cause::Broken(error))),
                None => Poll::Pending,
            };
        }
        loop {
            let read = ready!(self.input.poll_fill(&mut self.io, None, cx))?;
            if read == 0 {
                return Poll::Ready(Err(match (self.output.take_failure(), self.received) {
                    (Some(error), _) => Cause::Broken(error),
                    (None, true) => Cause::Closed("in the middle of a head"),
                    (None, false) => Cause::Closed("before an answer"),
                }));
            }
            self.received = true;
            if let Some(head) = self.head.read(&mut self.input.ahead)? {
                return Poll::Ready(Ok(head));
            }
        }
    }

    /// What the head means for the connection.
    fn judge(&self, mut head: Head, method: &Method, asked: bool) -> Result<(Head, Body), Fault> {
        let framing = framing::of(&mut head, method)?;
        let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if switched && !asked {
            return Err(Fault("it switched protocols without being asked to"));
        }
        if switched && !self.output.is_complete() {
            return Err(Fault("it switched protocols in the middle of the request"));
        }
        let body = Body {
            reader: BodyReader::new(framing),
            persists: framing::persists(&head),
            switched,
        };
        Ok((head, body))
    }

    fn answered(mut self, head: Head, body: Body) -> Response<Exchange<B>> {
        self.output.settle();
        let mut response = Response::new(Exchange {
            io: self.io,
            address: self.address,
            output: self.output,
            input: self.input,
            body: body.reader,
            persists: body.persists,
            switched: body.switched,
        });
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        *response.headers_mut() = head.fields;
        if let Some(reason) = head.reason.and_then(|reason| ReasonPhrase::try_from(reason).ok()) {
            response.extensions_mut().insert(reason);
        }
        response
    }

    /// Whether the request may be sent again. It may if not a byte of it has left. If some have, the server may have
    /// acted on them, and only a method that may be repeated (RFC 9110 section 9.2.2) is given back, and only if nothing
    /// came: on a connection that was used before, it is likely that the server closed before it saw the request (RFC 9112
    /// section 9.3.1).
    fn refuse(self, cause: Cause, parts: Parts) -> Refused<B> {
        let (unseen, heard) = (!self.output.is_begun(), self.received);
        let safe = match &cause {
            Cause::Broken(_) | Cause::Closed(_) => unseen || (!heard && parts.method.is_idempotent()),
            Cause::Invalid(_) | Cause::RequestBody | Cause::Length(_) | Cause::Unwritable(_) => false,
        };
        let back = if safe { self.output.take_back() } else { None };
        let back = back.map(|body| Box::new(Request::from_parts(parts, body)));
        Refused {
            cause,
            back,
            unseen,
            heard,
        }
    }
}

/// What a head says about what follows it.
struct Body {
    reader: BodyReader,
    persists: bool,
    switched: bool,
}

impl<B: RequestBody> Exchange<B> {
    /// The next frame of the response's body; goes on sending the request's, too.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        if !self.output.is_over() {
            let _ = self.output.poll(&mut self.io, cx)?;
            self.output.settle();
        }
        loop {
            match self.body.next(&mut self.input.ahead)? {
                Piece::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Piece::Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Piece::End => return Poll::Ready(None),
                Piece::More => {}
            }
            let read = ready!(self.input.poll_fill(&mut self.io, self.body.expected(), cx))?;
            if read == 0 {
                // A length that is not reached, or chunks without an end, must never look like a whole body.
                self.persists = false;
                return Poll::Ready(match self.body.close() {
                    true => None,
                    false => Some(Err(Cause::Closed("in the middle of a body"))),
                });
            }
        }
    }

    pub(in crate::upstream) fn is_end_stream(&self) -> bool {
        self.body.is_at_end()
    }

    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// Whether the server speaks another protocol from here on.
    pub(in crate::upstream) fn is_switched(&self) -> bool {
        self.switched
    }

    /// The raw stream, and what was read of it already.
    pub(in crate::upstream) fn into_stream(self) -> (Io, Bytes) {
        (self.io, self.input.ahead)
    }

    /// The connection, if it is good for another request: the response was read to its end and nothing came after it, the
    /// request is out to its end, and neither side wants to close.
    pub(in crate::upstream) fn into_connection(self) -> Option<Connection> {
        let reusable = self.persists
            && !self.switched
            && self.body.is_at_end()
            && self.input.ahead.is_empty()
            && self.output.is_complete();
        reusable.then_some(Connection {
            address: self.address,
            io: self.io,
            usual: self.input.total(),
        })
    }
}
