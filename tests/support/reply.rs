//! What the recording upstream answers: bytes on the wire, well-formed or not.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use super::PATIENCE;
use super::message::text;
use super::upstream::Request;

/// An answer as a list of steps; the well-formed ones also know what they say, for HTTP/2.
#[derive(Clone)]
pub struct Reply {
    pub(super) steps: Vec<Step>,
    /// Sent before the request's body is read.
    pub(super) early: bool,
    pub(super) plain: Option<Plain>,
}

/// One thing the upstream does.
#[derive(Clone)]
pub(super) enum Step {
    Send(Vec<u8>),
    WaitFor(Gate),
    /// Sends back whatever comes, until the client closes.
    EchoBytes,
    Close,
}

/// A reply with a status, fields and a whole body.
#[derive(Clone)]
pub(super) struct Plain {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// A well-formed answer with a Content-Length.
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut bytes = head(status, headers);
        // RFC 9110 section 8.6: no Content-Length in a 204, and a 304 has none to tell here.
        if !matches!(status, 100..=199 | 204 | 304) {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&body);
        let plain = Plain {
            status,
            headers: headers
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body,
        };
        Self {
            plain: Some(plain),
            ..Self::bytes(bytes)
        }
    }

    pub fn text(body: &str) -> Self {
        Self::new(200, &[("Content-Type", "text/plain")], body)
    }

    pub fn json(body: &Value) -> Self {
        Self::new(200, &[("Content-Type", "application/json")], body.to_string())
    }

    /// 200 with what was asked: `method`, `target`, `headers` (a list of pairs, in order) and `body`.
    pub fn echo(request: &Request) -> Self {
        Self::json(&json!({
            "method": request.method,
            "target": request.target,
            "headers": request.headers.0,
            "body": text(&request.body),
        }))
    }

    /// Exactly these bytes, whatever they are; then the next request is read.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            steps: vec![Step::Send(bytes.into())],
            early: false,
            plain: None,
        }
    }

    /// 200 in chunks, with this trailer section.
    pub fn chunked(chunks: &[&[u8]], trailers: &[(&str, &str)]) -> Self {
        let mut bytes = head(200, &[("Transfer-Encoding", "chunked")]);
        if !trailers.is_empty() {
            let names: Vec<&str> = trailers.iter().map(|&(name, _)| name).collect();
            bytes.extend(format!("Trailer: {}\r\n", names.join(", ")).bytes());
        }
        bytes.extend(b"\r\n");
        for chunk in chunks {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(*chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n");
        bytes.extend(fields(trailers));
        bytes.extend(b"\r\n");
        Self::bytes(bytes)
    }

    /// A body without a length that ends where the connection does.
    pub fn until_close(body: &[u8]) -> Self {
        let mut bytes = head(200, &[("Connection", "close")]);
        bytes.extend(b"\r\n");
        bytes.extend(body);
        Self::bytes(bytes).then_close()
    }

    /// Promises this many bytes of body, sends these, and closes.
    pub fn cut_short(promised: usize, sent: &[u8]) -> Self {
        let mut bytes = head(200, &[("Content-Length", &promised.to_string())]);
        bytes.extend(b"\r\n");
        bytes.extend(sent);
        Self::bytes(bytes).then_close()
    }

    /// Begins a chunked body and closes in the middle of it.
    pub fn cut_short_chunked(sent: &[u8]) -> Self {
        let mut bytes = head(200, &[("Transfer-Encoding", "chunked")]);
        bytes.extend(format!("\r\n{:x}\r\n", sent.len() + 1).bytes());
        bytes.extend(sent);
        Self::bytes(bytes).then_close()
    }

    /// No answer at all: the connection is closed.
    pub fn hang_up() -> Self {
        Self {
            steps: vec![Step::Close],
            early: false,
            plain: None,
        }
    }

    /// 101 to this protocol, then every byte comes back.
    pub fn upgrade_and_echo(protocol: &str) -> Self {
        let mut bytes = head(101, &[("Connection", "Upgrade"), ("Upgrade", protocol)]);
        bytes.extend(b"\r\n");
        Self::echo_behind(bytes)
    }

    /// This head, then every byte comes back.
    pub fn echo_behind(head: impl Into<Vec<u8>>) -> Self {
        let mut reply = Self::bytes(head);
        reply.steps.push(Step::EchoBytes);
        reply
    }

    /// Sent as soon as the request's head is there, before its body is read. For scripted replies only: a handler is
    /// asked when the whole request is there.
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }

    /// Held back until the gate opens.
    pub fn after(mut self, gate: &Gate) -> Self {
        self.steps.insert(0, Step::WaitFor(gate.clone()));
        self
    }

    /// Waits for the gate in the middle, then goes on with these bytes.
    pub fn then_after(mut self, gate: &Gate, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::WaitFor(gate.clone()));
        self.steps.push(Step::Send(bytes.into()));
        self.plain = None;
        self
    }

    /// The same with these bytes before it: interim responses, garbage.
    pub fn preceded_by(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.insert(0, Step::Send(bytes.into()));
        self.plain = None;
        self
    }

    pub fn then_close(mut self) -> Self {
        self.steps.push(Step::Close);
        self
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} Test\r\n").into_bytes();
    bytes.extend(fields(headers));
    bytes
}

fn fields(headers: &[(&str, &str)]) -> Vec<u8> {
    headers
        .iter()
        .flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes())
        .collect()
}

/// Holds replies back until a test lets them go. Opens once, for all who wait; dropping the upstream opens nothing, but
/// ends the wait.
#[derive(Clone, Default)]
pub struct Gate {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        *self.state.0.lock().unwrap() = true;
        self.state.1.notify_all();
    }

    pub fn is_open(&self) -> bool {
        *self.state.0.lock().unwrap()
    }

    /// Waits until the gate is open or `stop` says that nobody will open it; tells which.
    pub(super) fn wait(&self, stop: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE * 4;
        let mut open = self.state.0.lock().unwrap();
        while !*open {
            if stop() || Instant::now() > deadline {
                return false;
            }
            let short = std::time::Duration::from_millis(50);
            open = self.state.1.wait_timeout(open, short).unwrap().0;
        }
        true
    }
}
