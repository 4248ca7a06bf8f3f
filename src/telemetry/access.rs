//! The access log. Formatting a line must not cost the request more than the bytes it writes: lines go by hand into a
//! buffer of the worker, and in batches to the writer.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::Logging;

/// A buffer is handed over when it holds this much, and at every sweep.
const BATCH: usize = 32 * 1024;

/// One worker's access log.
#[derive(Debug)]
pub struct AccessLog {
    logging: Option<Arc<Logging>>,
    buffer: String,
    second: i64,
    stamp: String,
}

/// What one line tells.
#[derive(Debug)]
pub struct Access<'a> {
    /// When the answer's head was ready (Unix milliseconds).
    pub at: i64,
    /// The client.
    pub client: IpAddr,
    /// The principal's name; empty for anonymous ones.
    pub user: &'a str,
    /// The method.
    pub method: &'a str,
    /// The host.
    pub host: &'a str,
    /// The path as received, without the query.
    pub path: &'a str,
    /// The status.
    pub status: u16,
    /// From the request's head to the answer's.
    pub took: Duration,
    /// The route's name.
    pub route: &'a str,
    /// `permit` or `refuse`.
    pub decision: &'static str,
    /// The stable code of a refusal or failure, or `ok`.
    pub reason: &'static str,
    /// The private cause of a refusal or failure.
    pub cause: Option<&'a str>,
    /// The request id.
    pub id: &'a str,
}

impl AccessLog {
    /// A log that writes to this writer; `None`: no access log.
    pub fn new(logging: Option<Arc<Logging>>) -> Self {
        Self {
            logging,
            buffer: String::new(),
            second: i64::MIN,
            stamp: String::new(),
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
        self.stamp(line.at);
        let buffer = &mut self.buffer;
        write!(
            buffer,
            "{}.{:03}Z  INFO doorward::access: ",
            self.stamp,
            line.at.rem_euclid(1000)
        )
        .ok();
        write!(buffer, "client={} user=", line.client).ok();
        quoted(buffer, line.user);
        buffer.push_str(" method=");
        quoted(buffer, line.method);
        buffer.push_str(" host=");
        quoted(buffer, line.host);
        buffer.push_str(" path=");
        quoted(buffer, line.path);
        write!(
            buffer,
            " status={} duration_us={} route=",
            line.status,
            line.took.as_micros()
        )
        .ok();
        quoted(buffer, line.route);
        write!(
            buffer,
            " decision={} reason={} id={}",
            line.decision, line.reason, line.id
        )
        .ok();
        if let Some(cause) = line.cause {
            buffer.push_str(" cause=");
            quoted(buffer, cause);
        }
        buffer.push('\n');
        if buffer.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands over what is there.
    pub fn flush(&mut self) {
        if let (false, Some(logging)) = (self.buffer.is_empty(), &self.logging) {
            logging.write(self.buffer.as_bytes());
        }
        self.buffer.clear();
    }

    fn stamp(&mut self, at: i64) {
        let second = at.div_euclid(1000);
        if second != self.second {
            self.second = second;
            let when = OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH);
            let (date, time) = (when.date(), when.time());
            self.stamp.clear();
            write!(
                self.stamp,
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
    }
}

/// A value between quotes. What could end the line or the value is escaped: nobody writes a line of their own.
fn quoted(buffer: &mut String, value: &str) {
    buffer.push('"');
    if value
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\' && byte < 0x7f)
    {
        buffer.push_str(value);
    } else {
        value.chars().flat_map(char::escape_debug).for_each(|c| buffer.push(c));
    }
    buffer.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_begin_a_line_of_its_own() {
        let mut text = String::new();
        quoted(&mut text, "a\"b\nc\u{202e}");
        assert_eq!(text, r#""a\"b\nc\u{202e}""#);
        assert!(!text.contains('\n'));
    }
}
