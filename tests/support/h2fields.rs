//! HTTP/2 frames with exactly these fields, which no client library would send (RFC 9113, RFC 7541).

use std::collections::BTreeMap;

use super::raw::RawClient;

/// What is sent on one stream.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Option<Vec<u8>>,
    pub trailers: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with this status, to the end of the stream.
    Answered(u16, Vec<u8>),
    /// RST_STREAM with this code.
    Reset(u32),
}

/// What became of all of them, and the code of GOAWAY, if the server went away.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    pub streams: BTreeMap<u32, Outcome>,
    pub gone: Option<u32>,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The largest frame every peer takes (RFC 9113 section 4.2).
const FRAME: usize = 16_384;

/// Sends the messages on streams 1, 3, … of a new connection, all at once, and waits until each has its end.
pub fn exchange(mut client: RawClient, messages: &[Message]) -> Outcomes {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_HEADER_TABLE_SIZE 0: then every field section of the server says everything itself.
    frame(&mut bytes, SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]);
    let mut awaited = Vec::new();
    for (number, message) in (0_u32..).zip(messages) {
        write(&mut bytes, number * 2 + 1, message);
        awaited.push(number * 2 + 1);
    }
    // A server that refuses the first bytes may close before the last ones are sent.
    let _ = client.try_send(bytes);
    let mut outcomes = Outcomes::default();
    let mut answers: BTreeMap<u32, (u16, Vec<u8>)> = BTreeMap::new();
    while awaited.iter().any(|stream| !outcomes.streams.contains_key(stream)) {
        let Ok(head) = client.take(9) else { return outcomes };
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let Ok(payload) = client.take(length) else {
            return outcomes;
        };
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match head[3] {
            HEADERS => {
                answers.entry(stream).or_insert_with(|| (status(&payload), Vec::new()));
            }
            DATA => answers.entry(stream).or_default().1.extend(&payload),
            RST_STREAM => {
                // After a whole answer: the server wants no more of the request.
                outcomes.streams.entry(stream).or_insert(Outcome::Reset(code(0)));
            }
            GOAWAY => outcomes.gone = Some(code(4)),
            _ => {}
        }
        if matches!(head[3], HEADERS | DATA) && head[4] & END_STREAM != 0 {
            let (status, body) = answers.remove(&stream).unwrap();
            outcomes.streams.insert(stream, Outcome::Answered(status, body));
        }
    }
    outcomes
}

fn write(bytes: &mut Vec<u8>, stream: u32, message: &Message) {
    let has_trailers = message.trailers.is_some();
    let ends = message.body.is_none() && !has_trailers;
    write_fields(bytes, stream, &message.fields, ends);
    if let Some(body) = &message.body {
        let flags = if has_trailers { 0 } else { END_STREAM };
        frame(bytes, DATA, flags, stream, body);
    }
    if let Some(trailers) = &message.trailers {
        write_fields(bytes, stream, trailers, true);
    }
}

fn write_fields(bytes: &mut Vec<u8>, stream: u32, fields: &[(Vec<u8>, Vec<u8>)], ends: bool) {
    let mut block = Vec::new();
    for (name, value) in fields {
        // RFC 7541 section 6.2.2: a literal that is not indexed, with a new name; no Huffman code.
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend(text);
        }
    }
    let pieces: Vec<&[u8]> = block.chunks(FRAME).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let mut flags = if number + 1 == pieces.len() { END_HEADERS } else { 0 };
        if number == 0 && ends {
            flags |= END_STREAM;
        }
        frame(bytes, kind, flags, stream, piece);
    }
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

/// RFC 7541 section 5.1, with a prefix of seven bits.
fn integer(block: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return block.push(value as u8);
    }
    block.push(127);
    value -= 127;
    while value >= 128 {
        block.push((value % 128) as u8 | 128);
        value /= 128;
    }
    block.push(value as u8);
}

/// The status, which is always the first field.
fn status(block: &[u8]) -> u16 {
    // Changes of the table's size (RFC 7541 section 6.3) come first.
    let mut block = block;
    while block[0] & 0xe0 == 0x20 {
        block = &block[1..];
    }
    // The static table's places 8 to 14 are `:status` with these values.
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    if block[0] & 0x80 != 0 {
        return STATIC[usize::from(block[0] & 0x7f) - 8];
    }
    let (coded, length) = (block[1] & 0x80 != 0, usize::from(block[1] & 0x7f));
    let text = &block[2..2 + length];
    match coded {
        false => std::str::from_utf8(text).unwrap().parse().unwrap(),
        true => digits(text),
    }
}

/// Three digits in the Huffman code of RFC 7541 appendix B: 0 to 2 have five bits, 3 to 9 six.
fn digits(coded: &[u8]) -> u16 {
    let bits: Vec<u8> = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let read = |length: usize| {
            bits[at..at + length]
                .iter()
                .fold(0, |value, bit| value << 1 | u16::from(*bit))
        };
        let (digit, length) = match read(5) {
            short @ 0..=2 => (short, 5),
            _ => (read(6) - 0b01_1001 + 3, 6),
        };
        number = number * 10 + digit;
        at += length;
    }
    number
}
