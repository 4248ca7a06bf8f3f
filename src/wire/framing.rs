//! What a head's fields say about the extent of the message and the way it goes on (RFC 9112 section 6).

use super::grammar::{self, TOKEN};
use super::settings::FIELD_LINES;
use super::violation::Violation;
use crate::codes::Code;

/// What was learnt that the framing depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) options: bool,
    pub(super) http10: bool,
    host: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    connection_upgrade: bool,
    lines: u16,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
}

/// A complete, valid head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadEnd {
    pub(super) len: usize,
    pub(super) body: Body,
    /// Whether the client asks to leave HTTP/1.1 after this message (RFC 9110 section 7.8).
    pub(super) upgrade: bool,
}

impl Facts {
    /// Takes note of a field that says something about the message's extent or way.
    #[inline]
    pub(super) fn learn(&mut self, name: &[u8], value: &[u8]) -> Result<(), Violation> {
        self.lines += 1;
        if self.lines > FIELD_LINES {
            return Err(Violation::new(
                Code::HeadersTooLarge,
                "the request has too many headers",
            ));
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade = true;
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.connection_upgrade |= members(value).any(|member| member.eq_ignore_ascii_case(b"upgrade"));
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    /// RFC 9112 section 3.2: more than one Host is 400, whatever they say.
    fn host(&mut self) -> Result<(), Violation> {
        if std::mem::replace(&mut self.host, true) {
            return Err(Violation::new(
                Code::InvalidHost,
                "the request has more than one Host header",
            ));
        }
        Ok(())
    }

    /// RFC 9112 section 6.3 rule 5, without its leave to accept a list of equal values.
    fn content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.chunked {
            return Err(Violation::framing(BOTH_LENGTHS));
        }
        let length = grammar::decimal(value.trim_ascii())
            .ok_or(Violation::framing("Content-Length must be one decimal number"))?;
        if self.length.replace(length).is_some() {
            return Err(Violation::framing(
                "the request has more than one Content-Length header",
            ));
        }
        Ok(())
    }

    /// RFC 9112 sections 6.1 and 6.3: chunked, once, and nothing else.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.length.is_some() {
            return Err(Violation::framing(BOTH_LENGTHS));
        }
        if self.http10 {
            return Err(Violation::framing("HTTP/1.0 has no Transfer-Encoding"));
        }
        if std::mem::replace(&mut self.chunked, true) {
            return Err(Violation::framing(
                "the request has more than one Transfer-Encoding header",
            ));
        }
        let value = value.trim_ascii();
        if value.eq_ignore_ascii_case(b"chunked") {
            return Ok(());
        }
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let (chunked, others): (Vec<_>, Vec<_>) = members(value).partition(|coding| is_chunked(coding));
        if chunked.len() == 1
            && members(value).next_back().is_some_and(is_chunked)
            && others
                .iter()
                .all(|coding| !coding.is_empty() && grammar::run(coding, TOKEN) == coding.len())
        {
            return Err(Violation::new(
                Code::NotImplemented,
                "the only transfer coding served is chunked",
            ));
        }
        Err(Violation::framing("Transfer-Encoding must be chunked"))
    }

    /// The empty line has come: what do the fields say together?
    pub(super) fn conclude(&self, len: usize) -> Result<HeadEnd, Violation> {
        // RFC 9112 section 3.2.
        if !self.host && !self.http10 {
            return Err(Violation::new(Code::InvalidHost, "the request has no Host header"));
        }
        let body = if self.chunked {
            Body::Chunked
        } else {
            Body::Length(self.length.unwrap_or(0))
        };
        // RFC 9110 section 7.8: an Upgrade of HTTP/1.0, or one that Connection does not name, is none.
        Ok(HeadEnd {
            len,
            body,
            upgrade: self.upgrade && self.connection_upgrade && !self.http10,
        })
    }
}

/// The members of a comma-separated list, empty ones too.
fn members(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

const BOTH_LENGTHS: &str = "Content-Length and Transfer-Encoding exclude each other";
