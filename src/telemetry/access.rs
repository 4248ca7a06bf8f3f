//! The access log. Formatting a line must not cost the request more than the bytes it writes: lines go by hand into a
//! buffer of the worker, and in batches to the writer.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::{Format, Logging, ecs, text};
use crate::principal::Person;

/// A buffer is handed over when it holds this much, and at every sweep.
const BATCH: usize = 32 * 1024;

/// One worker's access log.
#[derive(Debug)]
pub struct AccessLog {
    logging: Option<Arc<Logging>>,
    lines: AccessLines,
    buffer: Vec<u8>,
}

/// Writes lines, in one format.
#[derive(Debug)]
pub struct AccessLines {
    format: Format,
    second: i64,
    stamp: String,
}

/// What one line tells.
#[derive(Debug)]
pub struct Access<'a> {
    /// When the answer's head was ready (Unix milliseconds).
    pub at: i64,
    /// `request`, or `forward_auth`: another proxy asked about one.
    pub action: &'static str,
    /// The client; `None`: another proxy asked, and did not say.
    pub client: Option<IpAddr>,
    /// Who it is, unless anonymous.
    pub person: Option<&'a Person>,
    /// The method.
    pub method: &'a str,
    /// Whether the client speaks TLS, with us or with a trusted proxy.
    pub secure: bool,
    /// The host as received, perhaps with a port.
    pub host: &'a str,
    /// The path as received, without the query.
    pub path: &'a str,
    /// The status.
    pub status: u16,
    /// From the request's head to the answer's.
    pub took: Duration,
    /// The route's name.
    pub route: &'a str,
    /// Where it was sent; empty: nowhere.
    pub upstream: &'a str,
    /// `permit` or `refuse`.
    pub decision: &'static str,
    /// The stable code of a refusal or failure, or `ok`.
    pub reason: &'static str,
    /// The private cause of a refusal or failure.
    pub cause: Option<&'a str>,
    /// The request id.
    pub id: &'a str,
    /// The id of the trace that it belongs to; empty: of none.
    pub trace: &'a str,
}

impl AccessLog {
    /// A log that writes to this writer; `None`: no access log.
    pub fn new(logging: Option<Arc<Logging>>) -> Self {
        let format = logging.as_ref().map_or(Format::Text, |logging| logging.format());
        Self {
            logging,
            lines: AccessLines::new(format),
            buffer: Vec::new(),
        }
    }

    /// Whether lines are wanted at all.
    pub fn is_on(&self) -> bool {
        self.logging.is_some()
    }

    /// Adds a line.
    pub fn write(&mut self, line: &Access<'_>) {
        if self.logging.is_none() {
            return;
        }
        self.lines.write(&mut self.buffer, line);
        if self.buffer.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands over what is there.
    pub fn flush(&mut self) {
        if let (false, Some(logging)) = (self.buffer.is_empty(), &self.logging) {
            logging.write(&self.buffer);
        }
        self.buffer.clear();
    }
}

impl AccessLines {
    /// Lines in this format.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            second: i64::MIN,
            stamp: String::new(),
        }
    }

    /// Adds a line to the buffer, with its end.
    pub fn write(&mut self, buffer: &mut Vec<u8>, line: &Access<'_>) {
        self.stamp(line.at);
        let millis = u64::try_from(line.at.rem_euclid(1000)).unwrap_or(0);
        match self.format {
            Format::Text => text::access(buffer, &self.stamp, millis, line),
            Format::Json => ecs::access(buffer, &self.stamp, millis, line),
        }
    }

    fn stamp(&mut self, at: i64) {
        let second = at.div_euclid(1000);
        if second != self.second {
            self.second = second;
            let when = OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH);
            self.stamp.clear();
            stamp(&mut self.stamp, when);
        }
    }
}

/// The date and time to the second, in UTC (RFC 3339), without the fraction and the Z.
pub(super) fn stamp(text: &mut String, when: OffsetDateTime) {
    let (date, time) = (when.date(), when.time());
    write!(
        text,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
    .ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_in_utc() {
        let mut lines = AccessLines::new(Format::Text);
        lines.stamp(1_700_000_000_007);
        assert_eq!(lines.stamp, "2023-11-14T22:13:20");
    }
}
