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
    buffer: Vec<u8>,
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
            buffer: Vec::new(),
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
        push(buffer, &self.stamp);
        buffer.push(b'.');
        number(buffer, u64::try_from(line.at.rem_euclid(1000)).unwrap_or(0), 3);
        push(buffer, "Z  INFO doorward::access: client=");
        address(buffer, line.client);
        push(buffer, " user=");
        quoted(buffer, line.user);
        push(buffer, " method=");
        quoted(buffer, line.method);
        push(buffer, " host=");
        quoted(buffer, line.host);
        push(buffer, " path=");
        quoted(buffer, line.path);
        push(buffer, " status=");
        number(buffer, line.status.into(), 1);
        push(buffer, " duration_us=");
        number(buffer, u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX), 1);
        push(buffer, " route=");
        quoted(buffer, line.route);
        for piece in [" decision=", line.decision, " reason=", line.reason, " id=", line.id] {
            push(buffer, piece);
        }
        if let Some(cause) = line.cause {
            push(buffer, " cause=");
            quoted(buffer, cause);
        }
        buffer.push(b'\n');
        if buffer.len() >= BATCH {
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

fn push(buffer: &mut Vec<u8>, text: &str) {
    buffer.extend_from_slice(text.as_bytes());
}

/// A decimal number of at least so many digits. The formatting machinery writes the same, and took more time than the rest of
/// the line.
fn number(buffer: &mut Vec<u8>, mut number: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        if number == 0 && used >= least {
            break;
        }
        *digit = u8::try_from(number % 10).unwrap_or(0) + b'0';
        number /= 10;
        used += 1;
    }
    buffer.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

fn address(buffer: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            number(buffer, first.into(), 1);
            for octet in rest {
                buffer.push(b'.');
                number(buffer, octet.into(), 1);
            }
        }
        IpAddr::V6(address) => push(buffer, &address.to_string()),
    }
}

/// A value between quotes. What could end the line or the value is escaped: nobody writes a line of their own.
fn quoted(buffer: &mut Vec<u8>, value: &str) {
    buffer.push(b'"');
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\' && byte < 0x7f;
    if value.bytes().all(plain) {
        push(buffer, value);
    } else {
        push(buffer, &value.escape_debug().to_string());
    }
    buffer.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_format_writes_them() {
        for value in (0..64).map(|by| u64::MAX >> by).chain([0, 9, 10, 99, 100, 999, 1000]) {
            let mut text = Vec::new();
            number(&mut text, value, 3);
            assert_eq!(text, format!("{value:03}").as_bytes());
            text.clear();
            number(&mut text, value, 1);
            assert_eq!(text, value.to_string().as_bytes());
        }
        for written in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "2001:db8::1"] {
            let mut text = Vec::new();
            address(&mut text, written.parse().unwrap());
            assert_eq!(text, written.as_bytes());
        }
    }

    #[test]
    fn the_stamp_is_in_utc() {
        let mut log = AccessLog::new(None);
        log.stamp(1_700_000_000_007);
        assert_eq!(log.stamp, "2023-11-14T22:13:20");
    }

    #[test]
    fn a_value_cannot_begin_a_line_of_its_own() {
        let mut text = Vec::new();
        quoted(&mut text, "a\"b\nc\u{202e}");
        assert_eq!(text, br#""a\"b\nc\u{202e}""#);
        assert!(!text.contains(&b'\n'));
    }
}
