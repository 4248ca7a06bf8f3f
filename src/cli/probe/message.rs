//! HTTP/1.1 messages as they stand on the wire. A library would clean up what this part is there to send and to see.

use std::io::{self, BufRead, Read as _};

/// No line and no section is longer.
const LARGEST_HEAD: u64 = 128 << 10;

/// No body is read further.
pub const LARGEST_BODY: u64 = 1 << 20;

/// A field line: the name as written, and the value.
pub type Field = (String, String);

/// A message; bytes that are no UTF-8 are replaced.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The request line or status line.
    pub first: String,
    /// In their order.
    pub fields: Vec<Field>,
    pub body: Vec<u8>,
    pub trailers: Vec<Field>,
}

/// How far a message without a length goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To the end of its head.
    Request,
    /// To the end of the connection.
    Response,
    /// The same, to a HEAD: there is no body, whatever the head says of one.
    HeadOnly,
}

impl Message {
    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        find(&self.fields, name)
    }
}

/// The first field of this name.
pub fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a str> {
    let mut fields = fields.iter();
    fields
        .find(|(have, _)| have.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Reads a message; `None`: the connection ended before one began. Interim responses are passed over.
pub fn read(stream: &mut impl BufRead, kind: Kind) -> io::Result<Option<Message>> {
    loop {
        let Some(first) = line(stream)? else { return Ok(None) };
        let fields = section(stream)?;
        let mut message = Message {
            first,
            fields,
            ..Message::default()
        };
        let interim = kind != Kind::Request
            && message
                .first
                .split(' ')
                .nth(1)
                .is_some_and(|code| code.starts_with('1'));
        if !interim {
            if kind != Kind::HeadOnly {
                body(stream, &mut message, kind)?;
            }
            return Ok(Some(message));
        }
    }
}

fn body(stream: &mut impl BufRead, message: &mut Message, kind: Kind) -> io::Result<()> {
    let chunked = message
        .field("transfer-encoding")
        .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
    let length = message
        .field("content-length")
        .map(|length| length.trim().parse::<u64>());
    match (chunked, length, kind) {
        (true, _, _) => {
            while let Some(size) = chunk(stream)? {
                stream.by_ref().take(size).read_to_end(&mut message.body)?;
                line(stream)?;
            }
            message.trailers = section(stream)?;
        }
        (false, Some(length), _) => {
            let length = length.map_err(io::Error::other)?;
            stream
                .by_ref()
                .take(length.min(LARGEST_BODY))
                .read_to_end(&mut message.body)?;
        }
        (false, None, Kind::Request | Kind::HeadOnly) => {}
        (false, None, Kind::Response) => {
            let ended = stream.by_ref().take(LARGEST_BODY).read_to_end(&mut message.body);
            // Many close TLS without a word.
            ended.or_else(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Ok(0),
                _ => Err(error),
            })?;
        }
    }
    Ok(())
}

/// The size of the next chunk; `None`: it was the last.
fn chunk(stream: &mut impl BufRead) -> io::Result<Option<u64>> {
    let line = line(stream)?.unwrap_or_default();
    let size = line.split(';').next().unwrap_or_default().trim();
    match u64::from_str_radix(size, 16).map_err(io::Error::other)? {
        0 => Ok(None),
        size if size > LARGEST_BODY => Err(io::Error::other("a chunk is too large")),
        size => Ok(Some(size)),
    }
}

fn section(stream: &mut impl BufRead) -> io::Result<Vec<Field>> {
    let (mut fields, mut read) = (Vec::new(), 0);
    loop {
        let line = line(stream)?.unwrap_or_default();
        read += u64::try_from(line.len()).unwrap_or(LARGEST_HEAD);
        if read > LARGEST_HEAD {
            return Err(io::Error::other("the head is too large"));
        }
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// A line without its end; `None`: there is none any more.
fn line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = stream.by_ref().take(LARGEST_HEAD).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_none() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.pop_if(|byte| *byte == b'\r');
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str, kind: Kind) -> Message {
        read(&mut text.as_bytes(), kind).unwrap().unwrap()
    }

    #[test]
    fn a_request_is_seen_as_it_was_written() {
        let seen = parse(
            "GET /a\\b HTTP/1.1\r\nX_User: a\r\nx-uSER: b\r\n\r\nrest",
            Kind::Request,
        );
        assert_eq!(seen.first, "GET /a\\b HTTP/1.1");
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(seen.fields, [field("X_User", "a"), field("x-uSER", "b")]);
        assert!(seen.body.is_empty());
        let chunked = "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nX-User: t\r\n\r\n";
        let seen = parse(chunked, Kind::Request);
        assert_eq!(
            (seen.body.as_slice(), seen.trailers),
            (b"x".as_slice(), vec![field("X-User", "t")])
        );
    }

    #[test]
    fn a_response_ends_where_it_says_or_with_the_connection() {
        let said = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokrest";
        assert_eq!(parse(said, Kind::Response).body, b"ok");
        assert_eq!(
            parse("HTTP/1.0 200 OK\r\n\r\nto the end", Kind::Response).body,
            b"to the end"
        );
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        for text in [
            "GET / HTTP/1.1",
            "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            assert!(read(&mut text.as_bytes(), Kind::Request).is_err(), "{text}");
        }
        assert!(read(&mut b"".as_slice(), Kind::Request).unwrap().is_none());
    }
}
