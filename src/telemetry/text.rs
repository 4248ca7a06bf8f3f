//! The access log as text: one line of `name=value` a request.

use super::Access;
use super::write::{address, number, push, quoted, word};

pub(super) fn access(buffer: &mut Vec<u8>, stamp: &str, millis: u64, line: &Access<'_>) {
    push(buffer, stamp);
    buffer.push(b'.');
    number(buffer, millis, 3);
    push(buffer, "Z  INFO doorward::access: client=");
    match line.client {
        Some(client) => address(buffer, client),
        None => buffer.push(b'-'),
    }
    push(buffer, " user=");
    quoted(buffer, line.person.map_or("", |person| &person.name));
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
    for piece in [" decision=", line.decision, " reason=", line.reason, " id="] {
        push(buffer, piece);
    }
    word(buffer, line.id);
    if let Some(cause) = line.cause {
        push(buffer, " cause=");
        quoted(buffer, cause);
    }
    buffer.push(b'\n');
}
