//! The log as JSON: one document of the Elastic Common Schema a line. The names of all fields stand here. They are written with their
//! dots, as the schema's own logging libraries do, never as objects within objects, so that a document is one flat list.
//!
//! A document is written straight into its line: no tree is built, nothing is allocated for it.

use super::Access;
use super::write::{address, inner, number, push, string};

/// The version of the schema that the names are from.
const VERSION: &str = "8.11.0";

/// Which part of the log a document belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dataset {
    Audit,
    Server,
}

impl Dataset {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Audit => "doorward.audit",
            Self::Server => "doorward.server",
        }
    }
}

/// The access line of a request.
pub(super) fn access(buffer: &mut Vec<u8>, stamp: &str, millis: u64, line: &Access<'_>) {
    push(buffer, r#"{"@timestamp":""#);
    push(buffer, stamp);
    buffer.push(b'.');
    number(buffer, millis, 3);
    push(buffer, r#"Z","log.level":"info","message":""#);
    inner(buffer, line.method);
    buffer.push(b' ');
    let path = buffer.len();
    inner(buffer, line.path);
    let path = path..buffer.len();
    buffer.push(b' ');
    number(buffer, line.status.into(), 1);
    push(buffer, r#"","ecs.version":""#);
    push(buffer, VERSION);
    push(
        buffer,
        r#"","service.name":"doorward","event.dataset":"doorward.access","event.action":""#,
    );
    push(buffer, line.action);
    push(buffer, r#"","event.outcome":""#);
    push(buffer, if line.status < 400 { "success" } else { "failure" });
    push(buffer, r#"","http.request.method":"#);
    string(buffer, line.method);
    push(buffer, r#","url.path":""#);
    // It may be long, and stands in the message already as it has to.
    buffer.extend_from_within(path);
    buffer.push(b'"');
    some(buffer, r#","url.domain":"#, without_port(line.host));
    push(buffer, r#","url.scheme":""#);
    push(buffer, if line.secure { "https" } else { "http" });
    push(buffer, r#"","http.response.status_code":"#);
    number(buffer, line.status.into(), 1);
    push(buffer, r#","event.duration":"#);
    number(buffer, u64::try_from(line.took.as_nanos()).unwrap_or(u64::MAX), 1);
    if let Some(client) = line.client {
        push(buffer, r#","client.ip":""#);
        address(buffer, client);
        buffer.push(b'"');
    }
    some(buffer, r#","http.request.id":"#, line.id);
    some(buffer, r#","trace.id":"#, line.trace);
    push(buffer, r#","doorward.route":"#);
    string(buffer, line.route);
    some(buffer, r#","doorward.upstream":"#, line.upstream);
    for (name, value) in [
        (r#","doorward.decision":""#, line.decision),
        (r#"","doorward.reason":""#, line.reason),
    ] {
        push(buffer, name);
        push(buffer, value);
    }
    buffer.push(b'"');
    person(buffer, line);
    some(buffer, r#","error.message":"#, line.cause.unwrap_or_default());
    push(buffer, "}\n");
}

/// Who it is; nothing for an anonymous one.
fn person(buffer: &mut Vec<u8>, line: &Access<'_>) {
    let Some(person) = line.person else { return };
    push(buffer, r#","user.name":"#);
    string(buffer, &person.name);
    push(buffer, r#","user.id":"#);
    string(buffer, &person.subject);
    push(buffer, r#","user.roles":"#);
    list(buffer, person.roles.iter());
    push(buffer, r#","doorward.credential":""#);
    push(buffer, person.credential.as_str());
    buffer.push(b'"');
}

/// A field that is left out where it is empty; `name` comes with all that stands before the value.
fn some(buffer: &mut Vec<u8>, name: &str, value: &str) {
    if !value.is_empty() {
        push(buffer, name);
        string(buffer, value);
    }
}

fn list<'a>(buffer: &mut Vec<u8>, values: impl Iterator<Item = &'a str>) {
    buffer.push(b'[');
    for (index, value) in values.enumerate() {
        if index > 0 {
            buffer.push(b',');
        }
        string(buffer, value);
    }
    buffer.push(b']');
}

/// The host of an authority; the brackets of an address stay (as the schema has it).
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

/// A document that is no access line, up to its first own field.
pub(super) fn begin(buffer: &mut Vec<u8>, stamp: &str, millis: u64, level: &str, dataset: Dataset, logger: &str) {
    push(buffer, r#"{"@timestamp":""#);
    push(buffer, stamp);
    buffer.push(b'.');
    number(buffer, millis, 3);
    push(buffer, r#"Z","log.level":""#);
    push(buffer, level);
    push(buffer, r#"","ecs.version":""#);
    push(buffer, VERSION);
    push(buffer, r#"","service.name":"doorward","event.dataset":""#);
    push(buffer, dataset.name());
    push(buffer, r#"","log.logger":"#);
    string(buffer, logger);
}

/// How a field of an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A number or a truth value as such, all else as a string.
    AsItIs,
    /// As a string, also where the event has a number: one name has one type, whoever writes it.
    Text,
    /// A column with commas, as a list.
    List,
}

/// Fields whose names are the schema's.
const SCHEMA: [&str; 6] = [
    "message",
    "event.action",
    "event.outcome",
    "user.name",
    "client.ip",
    "doorward.reason",
];

/// The begin of a field of an event: a comma, its name and a colon. What the schema does not know stands under `doorward.`,
/// so that it can never be taken for one of the schema's objects.
pub(super) fn field(buffer: &mut Vec<u8>, name: &str) -> Shape {
    let (known, shape) = match name {
        "error" | "cause" | "problem" => (Some("error.message"), Shape::Text),
        "client" | "peer" => (Some("client.ip"), Shape::Text),
        "url" => (Some("url.full"), Shape::Text),
        "user.id" => (Some("user.id"), Shape::Text),
        "user.roles" => (Some("user.roles"), Shape::List),
        "by.id" => (Some("doorward.by.id"), Shape::Text),
        "key" => (Some("doorward.key.id"), Shape::Text),
        "key.roles" => (Some("doorward.key.roles"), Shape::List),
        "grants" => (Some("doorward.grants"), Shape::List),
        "doorward.credential" => (Some("doorward.credential"), Shape::Text),
        name if SCHEMA.contains(&name) => (Some(name), Shape::Text),
        _ => (None, Shape::AsItIs),
    };
    push(buffer, ",\"");
    match known {
        Some(known) => push(buffer, known),
        None => {
            push(buffer, "doorward.");
            inner(buffer, name);
        }
    }
    push(buffer, "\":");
    shape
}

/// The roles and the like of an event's field.
pub(super) fn column(buffer: &mut Vec<u8>, column: &str) {
    let items = column.split(',').map(str::trim);
    list(buffer, items.filter(|item| !item.is_empty()));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::net::IpAddr;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::principal::{CredentialKind, Issuer, Person};

    fn person() -> Person {
        Person {
            issuer: Issuer::Local,
            subject: "7".into(),
            user: None,
            name: "al\"ice\n".into(),
            roles: ["user", "ops"].into_iter().collect(),
            email: None,
            session: None,
            token_id: None,
            issued_at: 0,
            expires_at: 0,
            credential: CredentialKind::Session,
            limit: None,
            subject_prefix: 0,
        }
    }

    fn line<'a>(person: Option<&'a Person>, cause: Option<&'a str>) -> Access<'a> {
        Access {
            at: 1_700_000_000_007,
            action: "request",
            client: Some(IpAddr::from([127, 0, 0, 1])),
            person,
            method: "GET",
            secure: true,
            host: "shop.example.com:8443",
            path: "/a%20\"b\\",
            status: 200,
            took: Duration::from_micros(1_500),
            route: "orders",
            upstream: "app",
            decision: "permit",
            reason: "ok",
            cause,
            id: "abc",
            trace: "4bf92f3577b34da6a3ce929d0e0e4736",
        }
    }

    fn read(line: &Access<'_>) -> Value {
        let mut text = Vec::new();
        super::access(&mut text, "2023-11-14T22:13:20", 7, line);
        let text = String::from_utf8(text).unwrap();
        assert!(text.ends_with("}\n") && text.matches('\n').count() == 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn an_access_line_is_one_flat_document() {
        let person = person();
        assert_eq!(
            read(&line(Some(&person), Some("be\tcause"))),
            json!({
                "@timestamp": "2023-11-14T22:13:20.007Z",
                "log.level": "info",
                "message": "GET /a%20\"b\\ 200",
                "ecs.version": VERSION,
                "service.name": "doorward",
                "event.dataset": "doorward.access",
                "event.action": "request",
                "event.outcome": "success",
                "http.request.method": "GET",
                "url.path": "/a%20\"b\\",
                "url.domain": "shop.example.com",
                "url.scheme": "https",
                "http.response.status_code": 200,
                "event.duration": 1_500_000,
                "client.ip": "127.0.0.1",
                "http.request.id": "abc",
                "trace.id": "4bf92f3577b34da6a3ce929d0e0e4736",
                "doorward.route": "orders",
                "doorward.upstream": "app",
                "doorward.decision": "permit",
                "doorward.reason": "ok",
                "user.name": "al\"ice\n",
                "user.id": "7",
                "user.roles": ["user", "ops"],
                "doorward.credential": "session",
                "error.message": "be\tcause",
            })
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut line = line(None, None);
        (line.host, line.upstream, line.id, line.trace) = ("", "", "", "");
        (line.status, line.secure) = (403, false);
        let read = read(&line);
        for name in [
            "url.domain",
            "doorward.upstream",
            "http.request.id",
            "trace.id",
            "user.name",
            "user.id",
            "user.roles",
            "doorward.credential",
            "error.message",
        ] {
            assert!(read.get(name).is_none(), "{name} in {read}");
        }
        assert_eq!(
            (&read["event.outcome"], &read["url.scheme"]),
            (&json!("failure"), &json!("http"))
        );
    }

    #[test]
    fn a_domain_has_no_port() {
        for (authority, host) in [
            ("a.example", "a.example"),
            ("a.example:443", "a.example"),
            ("[::1]:8443", "[::1]"),
            ("[::1]", "[::1]"),
            ("a:b", "a:b"),
            ("", ""),
        ] {
            assert_eq!(without_port(authority), host);
        }
    }
}
