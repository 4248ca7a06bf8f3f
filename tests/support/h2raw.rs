//! A client that writes whatever HTTP/2 frames it is told to, in whatever order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::certificates::Authority;
use super::message::Ended;
use super::raw::RawClient;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Of SETTINGS and PING.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// HEADERS of a request without a body.
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

pub const PROTOCOL_ERROR: u32 = 1;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame that came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// How a stream was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Status(u16, String),
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code.
    GoAway(u32),
    /// The connection ended.
    Ended,
}

/// One connection over TLS.
pub struct H2 {
    pub raw: RawClient,
}

/// A frame's octets.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header field as a literal that no table remembers (RFC 7541 section 6.2.2).
pub fn field(name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(string(name.as_bytes()));
    bytes.extend(string(value.as_ref()));
    bytes
}

/// The same, remembered by the dynamic table.
pub fn remembered(name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = field(name, value);
    bytes[0] = 0x40;
    bytes
}

/// A string with its length.
pub fn string(text: &[u8]) -> Vec<u8> {
    let mut bytes = integer(7, 0, text.len());
    bytes.extend(text);
    bytes
}

/// A string of characters below 128 in the Huffman code, as far as the tests need it.
pub fn huffman(text: &str) -> Vec<u8> {
    let (mut bits, mut have, mut coded) = (0_u64, 0, Vec::new());
    for character in text.chars() {
        let (code, length): (u64, u32) = match character {
            '0'..='2' => (u64::from(character) - 0x30, 5),
            'a' => (0x3, 5),
            'b' => (0x23, 6),
            'c' => (0x4, 5),
            'd' => (0x24, 6),
            'e' => (0x5, 5),
            'h' => (0x27, 6),
            'i' => (0x6, 5),
            'l' => (0x28, 6),
            'm' => (0x29, 6),
            'n' => (0x2a, 6),
            'p' => (0x2b, 6),
            'q' => (0x76, 7),
            't' => (0x9, 5),
            'u' => (0x2d, 6),
            'x' => (0x79, 7),
            '/' => (0x18, 6),
            ':' => (0x5c, 7),
            '?' => (0x3fc, 10),
            '#' => (0xffa, 12),
            other => panic!("no code for {other:?}"),
        };
        bits = bits << length | code;
        have += length;
        while have >= 8 {
            have -= 8;
            coded.push((bits >> have & 0xff) as u8);
        }
    }
    if have > 0 {
        coded.push((bits << (8 - have) & 0xff) as u8 | ((1_u16 << (8 - have)) - 1) as u8);
    }
    let mut bytes = integer(7, 0x80, coded.len());
    bytes.extend(coded);
    bytes
}

/// RFC 7541 section 5.1.
pub fn integer(prefix: u32, first: u8, value: usize) -> Vec<u8> {
    let mask = (1_usize << prefix) - 1;
    if value < mask {
        return vec![first | value as u8];
    }
    let mut bytes = vec![first | mask as u8];
    let mut left = value - mask;
    while left >= 128 {
        bytes.push((left % 128 + 128) as u8);
        left /= 128;
    }
    bytes.push(left as u8);
    bytes
}

/// The pseudo-headers of a request to `localhost`.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    let path = field(":path", path);
    [pseudo(method), path].concat()
}

/// The same without `:path`.
pub fn pseudo(method: &str) -> Vec<u8> {
    [
        field(":method", method),
        field(":scheme", "https"),
        field(":authority", "localhost"),
    ]
    .concat()
}

impl H2 {
    /// A TLS connection that has agreed on `h2` and has said nothing yet.
    pub fn silent(address: SocketAddr, authority: &Authority) -> Self {
        let raw = RawClient::connect_tls(address, "localhost", authority.trusting_client(&["h2"]));
        assert_eq!(raw.protocol().as_deref(), Some("h2"));
        Self { raw }
    }

    /// The same with the preface and these settings.
    pub fn with_settings(address: SocketAddr, authority: &Authority, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(address, authority);
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        client.raw.send(PREFACE);
        client.send(SETTINGS, 0, 0, &payload);
        client
    }

    pub fn connect(address: SocketAddr, authority: &Authority) -> Self {
        Self::with_settings(address, authority, &[])
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        self.raw.send(frame(kind, flags, stream, payload));
        self
    }

    /// Whether the server still took it.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.raw.try_send(bytes).is_ok()
    }

    pub fn next(&mut self) -> Result<Frame, Ended> {
        let head = self.raw.take(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        Ok(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
            payload: self.raw.take(length)?,
        })
    }

    /// How the server answers this stream; what it says of others is passed over.
    pub fn answer(&mut self, stream: u32) -> Answer {
        let mut status = None;
        let mut body = Vec::new();
        loop {
            let frame = match self.next() {
                Ok(frame) => frame,
                Err(Ended::Closed { .. }) => return Answer::Ended,
                Err(ended) => panic!("no answer: {ended}, after {status:?}"),
            };
            let code = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
            match frame.kind {
                GOAWAY => return Answer::GoAway(code(4)),
                RST_STREAM if frame.stream == stream => return Answer::Reset(code(0)),
                HEADERS if frame.stream == stream && status.is_none() => status = Some(status_of(&frame.payload)),
                DATA if frame.stream == stream => body.extend(&frame.payload),
                _ => {}
            }
            let ends = frame.flags & END_STREAM != 0 && matches!(frame.kind, HEADERS | DATA);
            if let (true, true, Some(status)) = (ends, frame.stream == stream, status) {
                return Answer::Status(status, String::from_utf8_lossy(&body).into_owned());
            }
        }
    }

    /// Waits for the end of the connection; the code of the GOAWAY before it, if one was to be read, and how long it took.
    pub fn end(&mut self) -> (Option<u32>, Duration) {
        let began = Instant::now();
        let mut code = None;
        loop {
            match self.next() {
                Ok(frame) if frame.kind == GOAWAY => {
                    code = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
                }
                Ok(_) => {}
                Err(Ended::Closed { .. }) => return (code, began.elapsed()),
                Err(ended) => panic!("the connection does not end: {ended}"),
            }
        }
    }
}

/// The status at the start of a header block: an entry of the static table, or digits in the Huffman code.
fn status_of(block: &[u8]) -> u16 {
    // A change of the table's size may come first.
    let block = if block[0] & 0xe0 == 0x20 { &block[1..] } else { block };
    match block[0] {
        known @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(known - 0x88)],
        0x48 | 0x08 => {
            let length = usize::from(block[1] & 0x7f);
            let mut bits = block[2..2 + length]
                .iter()
                .flat_map(|byte| (0..8).rev().map(move |shift| u16::from(byte >> shift & 1)));
            let mut take = |count: usize| bits.by_ref().take(count).fold(0, |code, bit| code << 1 | bit);
            (0..3).fold(0, |status, _| {
                let code = take(5);
                let digit = if code < 3 {
                    code
                } else {
                    (code << 1 | take(1)) - 0x19 + 3
                };
                status * 10 + digit
            })
        }
        other => panic!("a status at 0x{other:x}"),
    }
}
