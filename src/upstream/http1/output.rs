//! Writing a request: its head from a buffer that the thread keeps, its body frame by frame, with no frame copied.

use std::cell::Cell;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, EXPECT, HeaderMap, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use super::Cause;
use super::framing::digits;
use crate::upstream::RequestBody;
use crate::upstream::body::Outgoing;
use crate::upstream::io::Io;

/// What a thread keeps of a buffer that a head was written to.
const KEPT_AT_MOST: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A request on its way out.
pub(super) struct Output<B: RequestBody> {
    /// Kept after its end for as long as the request may have to be given back.
    body: Option<Outgoing<B>>,
    ended: bool,
    framing: Framing,
    /// Written next, from `at`: a head, the size of a chunk, trailers …
    front: Vec<u8>,
    at: usize,
    /// … then this …
    data: Bytes,
    /// … then this.
    tail: &'static [u8],
    /// The body may be asked before the head is out: both go in one write then.
    eager: bool,
    begun: bool,
    taken: Taken,
    unflushed: bool,
    broken: Option<io::Error>,
}

/// How the server finds the end of the body.
enum Framing {
    /// So many bytes are left.
    Length(u64),
    Chunked,
}

/// What was taken from the body so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Nothing,
    /// One frame of data, or the news that there is none.
    First,
    More,
}

impl<B: RequestBody> Output<B> {
    /// A request with this head. On an error nothing has happened.
    pub(super) fn new(parts: &Parts, body: Outgoing<B>) -> Result<Self, Cause> {
        let declared = declared(&parts.headers)?;
        let ended = body.is_end_stream();
        let exact = if ended { Some(0) } else { body.size_hint().exact() };
        if let (Some(declared), Some(exact)) = (declared, exact)
            && declared != exact
        {
            return Err(Cause::Length(if exact > declared { "longer" } else { "shorter" }));
        }
        let framing = declared.or(exact).map_or(Framing::Chunked, Framing::Length);
        let mut front = BUFFER.take();
        front.clear();
        write_head(&mut front, parts, declared.is_none() && !ended, &framing)?;
        Ok(Self {
            body: Some(body),
            ended,
            framing,
            front,
            at: 0,
            data: Bytes::new(),
            tail: b"",
            // Who waits for a 100 (Continue) is sent one when its body is asked for: not before the server has the head.
            eager: !parts.headers.contains_key(EXPECT),
            begun: false,
            taken: Taken::Nothing,
            unflushed: false,
            broken: None,
        })
    }

    /// Whether a byte may have left.
    pub(super) fn is_begun(&self) -> bool {
        self.begun
    }

    /// Whether all of it has left.
    pub(super) fn is_complete(&self) -> bool {
        self.broken.is_none() && self.ended && !self.has_more() && !self.unflushed
    }

    /// The server has answered: nothing is given back any more.
    pub(super) fn settle(&mut self) {
        if self.is_over() {
            self.body = None;
        }
    }

    /// Why it cannot be sent to its end. The server may still answer.
    pub(super) fn take_failure(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    /// Whether nothing more can be done.
    pub(super) fn is_over(&self) -> bool {
        self.broken.is_some() || self.is_complete()
    }

    /// The body as it was, if that can be.
    pub(super) fn take_back(self) -> Option<Outgoing<B>> {
        let mut body = self.body?;
        match self.taken {
            Taken::Nothing => Some(body),
            Taken::First if !self.begun => {
                body.unread(self.data);
                Some(body)
            }
            Taken::First | Taken::More => None,
        }
    }

    /// Sends what can be sent. Ready when nothing more is to be done, be it because the connection is broken.
    pub(super) fn poll(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        if self.is_over() {
            return Poll::Ready(Ok(()));
        }
        if self.eager && !self.begun && self.taken == Taken::Nothing && !self.ended {
            let _ = self.poll_body(cx)?;
        }
        loop {
            match self.poll_write(io, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    // It goes on as a response, if there is one: servers that have seen enough answer and close.
                    self.broken = Some(error);
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending => return Poll::Pending,
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_body(cx))?;
        }
    }

    fn has_more(&self) -> bool {
        self.at < self.front.len() || self.data.has_remaining() || !self.tail.is_empty()
    }

    fn poll_write(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_more() {
            let front = self.front.get(self.at..).unwrap_or_default();
            // What TLS has taken may be gone, whatever it says.
            self.begun |= io.is_tls();
            let written = if self.data.is_empty() && self.tail.is_empty() {
                ready!(Pin::new(&mut *io).poll_write(cx, front))?
            } else {
                let slices = [IoSlice::new(front), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun = true;
            self.unflushed = io.is_tls();
            self.advance(written);
        }
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        let of_front = written.min(self.front.len() - self.at);
        let of_data = (written - of_front).min(self.data.len());
        self.at += of_front;
        self.data.advance(of_data);
        self.tail = self.tail.get(written - of_front - of_data..).unwrap_or_default();
        if self.at > 0 && self.at == self.front.len() {
            self.at = 0;
            let mut front = std::mem::take(&mut self.front);
            if front.capacity() <= KEPT_AT_MOST {
                front.clear();
                BUFFER.set(front);
            }
        }
    }

    /// Takes the next frame of the body.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Ok(()));
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx))
            .transpose()
            .map_err(|_| Cause::RequestBody)?;
        self.taken = match (self.taken, frame.as_ref().is_some_and(Frame::is_trailers)) {
            (Taken::Nothing, false) => Taken::First,
            (Taken::Nothing | Taken::First | Taken::More, _) => Taken::More,
        };
        let ended = frame.is_none() || body.is_end_stream();
        let trailers = match frame.map(Frame::into_data) {
            None => None,
            Some(Ok(data)) => {
                self.queue(data)?;
                None
            }
            Some(Err(frame)) => frame.into_trailers().ok(),
        };
        if ended || trailers.is_some() {
            self.end(trailers.as_ref())?;
        }
        Poll::Ready(Ok(()))
    }

    fn queue(&mut self, data: Bytes) -> Result<(), Cause> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Length(left) => {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                *left = left.checked_sub(length).ok_or(Cause::Length("longer"))?;
            }
            Framing::Chunked => {
                // Into memory: that cannot fail.
                let _ = write!(self.front(), "{:x}\r\n", data.len());
                self.tail = b"\r\n";
            }
        }
        self.data = data;
        Ok(())
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Cause> {
        match self.framing {
            Framing::Length(0) => {}
            Framing::Length(_) => return Err(Cause::Length("shorter")),
            Framing::Chunked => match trailers {
                None if self.data.is_empty() => self.tail = b"0\r\n\r\n",
                None => self.tail = b"\r\n0\r\n\r\n",
                Some(trailers) => {
                    // They come alone: whatever was before them is written.
                    let front = self.front();
                    front.extend_from_slice(b"0\r\n");
                    for (name, value) in trailers {
                        write_field(front, name, value);
                    }
                    front.extend_from_slice(b"\r\n");
                }
            },
        }
        self.ended = true;
        Ok(())
    }

    /// The buffer for what is written next: the thread's, where none is in use.
    fn front(&mut self) -> &mut Vec<u8> {
        if self.front.is_empty() {
            self.front = BUFFER.take();
            self.front.clear();
        }
        &mut self.front
    }
}

/// The head, and the framing of the body where no field says it yet.
fn write_head(front: &mut Vec<u8>, parts: &Parts, unframed: bool, framing: &Framing) -> Result<(), Cause> {
    if parts.method == Method::CONNECT {
        return Err(Cause::Unwritable("CONNECT is for proxies"));
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    // Whatever made the target: neither the request line nor the request may end within it.
    if target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(Cause::Unwritable("there is white space in its target"));
    }
    front.extend_from_slice(parts.method.as_str().as_bytes());
    front.push(b' ');
    if target.starts_with('?') {
        front.push(b'/');
    }
    front.extend_from_slice(target.as_bytes());
    front.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &parts.headers {
        // The framing is ours to say. TE is about one connection, and here it would need a `Connection: TE` beside it (RFC 9110 section
        // 10.1.4); it is for gRPC, over HTTP/2.
        if name != TRANSFER_ENCODING && name != TE {
            write_field(front, name, value);
        }
    }
    match framing {
        Framing::Length(length) if unframed => {
            // Into memory: that cannot fail.
            let _ = write!(front, "content-length: {length}\r\n");
        }
        Framing::Chunked if unframed => front.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Length(_) | Framing::Chunked => {}
    }
    front.extend_from_slice(b"\r\n");
    Ok(())
}

/// Neither can end the line: their types see to it.
fn write_field(front: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    front.extend_from_slice(name.as_str().as_bytes());
    front.extend_from_slice(b": ");
    front.extend_from_slice(value.as_bytes());
    front.extend_from_slice(b"\r\n");
}

/// The length that the request declares.
fn declared(headers: &HeaderMap) -> Result<Option<u64>, Cause> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(length), None) => match digits(length.as_bytes()) {
            Some(length) => Ok(Some(length)),
            None => Err(Cause::Unwritable("its Content-Length is no number")),
        },
        (Some(_), Some(_)) => Err(Cause::Unwritable("it has several Content-Lengths")),
    }
}
