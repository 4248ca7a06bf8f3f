//! One request over HTTP/2, frame by frame. A library would refuse to send what this part is there to send; and of an answer no
//! more is read than the play needs: the status, and the body by which the echo backend is known.

use std::io::{self, Read, Write};

use super::message::{Field, LARGEST_BODY, Message};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
/// The same bit in SETTINGS and PING.
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// What nobody has to be asked for (RFC 9113 section 6.5.2).
const LARGEST_FRAME: u32 = 16 << 10;

/// The only stream.
const STREAM: u32 = 1;

/// How many frames an answer may have.
const MOST_FRAMES: usize = 10_000;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Pseudo-header fields first, names as they are to stand on the wire.
    pub head: &'a [Field],
    /// Behind a body of one octet; none: no body.
    pub trailers: &'a [Field],
}

/// Sends it and waits for the answer; `None`: the stream or the connection was ended without one, which is a refusal.
pub fn exchange(mut stream: impl Read + Write, sent: Sent<'_>) -> io::Result<Option<Message>> {
    let mut bytes = PREFACE.to_vec();
    // No dynamic table, and room for every answer.
    frame(&mut bytes, SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 0, 0x10, 0, 0]);
    frame(&mut bytes, WINDOW_UPDATE, 0, 0, &[0, 0x10, 0, 0]);
    let ends = if sent.trailers.is_empty() { END_STREAM } else { 0 };
    frame(&mut bytes, HEADERS, ends | END_HEADERS, STREAM, &block(sent.head));
    if !sent.trailers.is_empty() {
        frame(&mut bytes, DATA, 0, STREAM, b"x");
        let trailers = block(sent.trailers);
        frame(&mut bytes, HEADERS, END_STREAM | END_HEADERS, STREAM, &trailers);
    }
    stream.write_all(&bytes)?;
    stream.flush()?;
    answer(&mut stream)
}

fn answer(stream: &mut (impl Read + Write)) -> io::Result<Option<Message>> {
    let mut message = Message::default();
    for number in 0..MOST_FRAMES {
        let Some((kind, flags, payload)) = receive(stream, number == 0)? else {
            return Ok(None);
        };
        match kind {
            SETTINGS if flags & ACK == 0 => reply(stream, SETTINGS, &[])?,
            PING if flags & ACK == 0 => reply(stream, PING, &payload)?,
            HEADERS => {
                // Trailers say no status.
                if let Some(status) = status(unpadded(&payload, flags)).filter(|status| !status.starts_with('1')) {
                    message.first = format!("HTTP/2 {status}");
                }
            }
            DATA => message.body.extend_from_slice(unpadded(&payload, flags)),
            RST_STREAM | GOAWAY if message.first.is_empty() => return Ok(None),
            RST_STREAM | GOAWAY => return Ok(Some(message)),
            // SETTINGS and PING of ours acknowledged, CONTINUATION, and what nobody knows.
            _ => {}
        }
        let whole = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        if whole || u64::try_from(message.body.len()).unwrap_or(LARGEST_BODY) >= LARGEST_BODY {
            return Ok(Some(message));
        }
    }
    Err(io::Error::other("the answer has too many frames"))
}

/// The next frame; `None`: the connection is at its end. The first one of a server that speaks HTTP/2 is SETTINGS.
fn receive(stream: &mut impl Read, first: bool) -> io::Result<Option<(u8, u8, Vec<u8>)>> {
    let mut head = [0; 9];
    match stream.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let [high, middle, low, kind, flags, ..] = head;
    let length = u32::from_be_bytes([0, high, middle, low]);
    if length > LARGEST_FRAME || (first && kind != SETTINGS) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "HTTP/2 is not spoken"));
    }
    let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut payload)?;
    Ok(Some((kind, flags, payload)))
}

fn reply(stream: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame(&mut bytes, kind, ACK, 0, payload);
    // Who has gone already may have answered before.
    stream.write_all(&bytes).and_then(|()| stream.flush()).or(Ok(()))
}

/// Frames of a head may be as long as they are: what is sent is small.
fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let mut rest = payload;
    let mut kind = kind;
    loop {
        let (part, more) = rest.split_at(rest.len().min(16 << 10));
        let last = more.is_empty();
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes();
        bytes.extend_from_slice(length.get(1..).unwrap_or_default());
        let flags = if last { flags } else { flags & !END_HEADERS };
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend_from_slice(part);
        if last {
            return;
        }
        (kind, rest) = (CONTINUATION, more);
    }
}

/// Fields as literals that no table remembers (RFC 7541 section 6.2.2), as they are.
fn block(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            integer(&mut bytes, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// With a prefix of seven bits (RFC 7541 section 5.1), of which the eighth says that no Huffman code is used.
fn integer(bytes: &mut Vec<u8>, number: usize) {
    let octet = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    if number < 127 {
        bytes.push(octet(number));
        return;
    }
    bytes.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        bytes.push(octet(rest % 128) | 128);
        rest /= 128;
    }
    bytes.push(octet(rest));
}

fn unpadded(payload: &[u8], flags: u8) -> &[u8] {
    let (padding, rest) = match (flags & PADDED != 0, payload.split_first()) {
        (true, Some((padding, rest))) => (usize::from(*padding), rest),
        (true, None) | (false, _) => (0, payload),
    };
    let ends = rest.len().saturating_sub(padding);
    let rest = rest.get(..ends).unwrap_or_default();
    match flags & PRIORITY != 0 {
        // DATA has no such flag.
        true => rest.get(5..).unwrap_or_default(),
        false => rest,
    }
}

/// The status of a head. It comes first, so that no table is needed to read it.
fn status(block: &[u8]) -> Option<String> {
    let mut rest = block;
    while let Some((first, behind)) = rest.split_first() {
        match *first {
            // A new size of the table, which ours is too small for to be told in more octets than one.
            size if size & 0xe0 == 0x20 => rest = behind,
            // The static table has seven of them (RFC 7541 appendix A).
            whole if whole & 0x80 != 0 => {
                let known = ["200", "204", "206", "304", "400", "404", "500"];
                let index = usize::from(whole & 0x7f).checked_sub(8)?;
                return known.get(index).map(|status| (*status).to_owned());
            }
            literal => {
                let index = if literal & 0x40 != 0 {
                    literal & 0x3f
                } else {
                    literal & 0x0f
                };
                return (8..=14).contains(&index).then(|| digits(behind)).flatten();
            }
        }
    }
    None
}

/// A string of digits.
fn digits(string: &[u8]) -> Option<String> {
    let (length, rest) = string.split_first()?;
    let text = rest.get(..usize::from(length & 0x7f))?;
    if length & 0x80 == 0 {
        return Some(String::from_utf8_lossy(text).into_owned());
    }
    // Of Huffman's code (RFC 7541 appendix B): 0, 1 and 2 have five bits, 3 to 9 have six.
    let mut bits = text
        .iter()
        .flat_map(|octet| (0..8).rev().map(move |bit| (octet >> bit) & 1));
    let mut digits = String::new();
    while digits.len() < 3 {
        let five = bits.by_ref().take(5).fold(0, |code, bit| code << 1 | bit);
        let digit = match five {
            0..=2 => five,
            12..=15 => (five << 1 | bits.next()?).checked_sub(22)?,
            _ => return None,
        };
        digits.push(char::from(b'0' + digit));
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_status_is_read_in_every_way_it_is_written() {
        assert_eq!(status(&[0x88]).unwrap(), "200");
        assert_eq!(status(&[0x20, 0x8d]).unwrap(), "404");
        assert_eq!(status(&[0x48, 3, b'4', b'0', b'1']).unwrap(), "401");
        // RFC 7541 section C.6.1: 302.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]).unwrap(), "302");
        // 429: 011010 00010 011111, and padding.
        assert_eq!(
            status(&[0x08, 0x83, 0b0110_1000, 0b0100_1111, 0b1111_1111]).unwrap(),
            "429"
        );
        for none in [&[][..], &[0x82], &[0x48], &[0x48, 0x85, 1], &[0x48, 0x81, 0xff]] {
            assert_eq!(status(none), None, "{none:?}");
        }
    }

    #[test]
    fn long_values_have_their_length() {
        let bytes = block(&[("a".to_owned(), "b".repeat(1337))]);
        // RFC 7541 section C.1.2 with a prefix of seven bits.
        assert_eq!(bytes.get(..5).unwrap(), [0, 1, b'a', 127, 0b1011_1010]);
        assert_eq!(bytes.len(), 3 + 3 + 1337);
    }

    #[test]
    fn padding_and_priorities_are_passed_over() {
        assert_eq!(unpadded(&[1, 0, 0, 0, 0, 16, 0x88, 0], PADDED | PRIORITY), [0x88]);
        assert_eq!(unpadded(&[9, 1], PADDED), b"");
    }
}
