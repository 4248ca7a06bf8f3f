//! What a check may have been switched off for: other methods, upgrades, other versions of HTTP.

use super::attacks::{Kind, Play, Stage};
use super::client::{Request, Version};
use super::message::Field;

/// Methods for which checks are switched off on purpose (preflights, `limit_except`) or by a list that is too short. The last is
/// nobody's.
const METHODS: [&str; 8] = [
    "OPTIONS", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "DWPROBE",
];

/// A protocol that a backend may speak behind a proxy's back.
pub const SMUGGLED: &str = "h2c";

fn field(name: &str, value: &str) -> Field {
    (name.to_owned(), value.to_owned())
}

fn web_socket() -> Vec<Field> {
    vec![
        field("Connection", "Upgrade"),
        field("Upgrade", "websocket"),
        field("Sec-WebSocket-Version", "13"),
        field("Sec-WebSocket-Key", "ZG9vcndhcmQtcHJvYmUtMQ=="),
    ]
}

fn to_http2() -> Vec<Field> {
    vec![
        field("Connection", "Upgrade, HTTP2-Settings"),
        field("Upgrade", SMUGGLED),
        field("HTTP2-Settings", "AAMAAABkAAQAAP__"),
    ]
}

/// What is played without credentials against a target that was refused so.
pub fn against(target: &str, canary: &str) -> Vec<Play> {
    let play = |about: &str, request: Request| Play {
        kind: Kind::Unchecked(about.to_owned()),
        sent: format!("{about}: {} {target}", request.method),
        place: "without credentials",
        request: Request {
            target: target.to_owned(),
            ..request
        },
        canary: canary.to_owned(),
        openly: None,
    };
    let mut plays: Vec<Play> = METHODS
        .into_iter()
        .map(|method| {
            // A body is nobody's due, and some wait for one.
            let fields = match method {
                "POST" | "PUT" | "PATCH" => vec![field("Content-Length", "0")],
                _ => Vec::new(),
            };
            let request = Request {
                method,
                fields,
                ..Request::default()
            };
            play(method, request)
        })
        .collect();
    let get = |fields: Vec<Field>, version: Version| Request {
        method: "GET",
        version,
        fields,
        ..Request::default()
    };
    plays.push(play("a WebSocket's handshake", get(web_socket(), Version::Http11)));
    plays.push(play("an upgrade to HTTP/2", get(to_http2(), Version::Http11)));
    plays.extend(preflights(target, canary));
    plays.push(play("HTTP/1.0", get(Vec::new(), Version::Http10)));
    plays.push(play("HTTP/2", get(Vec::new(), Version::Http2)));
    plays
}

/// What begins as a preflight, which passes without credentials, and is none.
fn preflights(target: &str, canary: &str) -> Vec<Play> {
    let upgrade = |protocol: &str| vec![field("Connection", "Upgrade"), field("Upgrade", protocol)];
    let plays = [
        ("a body", "with a length", vec![field("Content-Length", "5")], "probe"),
        (
            "a body",
            "in chunks",
            vec![field("Transfer-Encoding", "chunked")],
            "5\r\nprobe\r\n0\r\n\r\n",
        ),
        ("an upgrade", "to a WebSocket", upgrade("websocket"), ""),
        ("an upgrade", "to a protocol of nobody's", upgrade("dwprobe/1"), ""),
    ];
    let play = |(what, how, more, body): (&'static str, &str, Vec<Field>, &'static str)| {
        let preflight = [
            field("Origin", "https://other.example"),
            field("Access-Control-Request-Method", "PUT"),
        ];
        Play {
            kind: Kind::Preflight(what),
            sent: format!("a preflight with {what} {how}: OPTIONS {target}"),
            place: "without credentials",
            request: Request {
                method: "OPTIONS",
                target: target.to_owned(),
                fields: preflight.into_iter().chain(more).collect(),
                body,
                ..Request::default()
            },
            canary: canary.to_owned(),
            openly: None,
        }
    };
    plays.into_iter().map(play).collect()
}

/// What is played where the backend is reached: identity headers of requests that are treated in another way, and an upgrade of
/// the whole connection.
pub fn on_stage(stage: &Stage, identity: &[String], host: &str, secure: bool, canary: &str) -> Vec<Play> {
    let with = |method: &'static str, more: Vec<Field>| {
        let mut request = stage.request.clone();
        request.method = method;
        request.fields.extend(more);
        request
    };
    let play = |kind: Kind, sent: String, request: Request, canary: &str| Play {
        kind,
        sent,
        place: stage.name,
        request,
        canary: canary.to_owned(),
        openly: None,
    };
    let mut plays = Vec::new();
    for name in identity {
        let preflight = vec![
            field("Origin", "https://other.example"),
            field("Access-Control-Request-Method", "GET"),
        ];
        for (words, method, mut fields) in [
            ("a preflight", "OPTIONS", preflight),
            ("a WebSocket's handshake", "GET", web_socket()),
        ] {
            fields.push(field(name, canary));
            let sent = format!("{words} with {name}: {canary}");
            plays.push(play(Kind::Identity(name.clone()), sent, with(method, fields), canary));
        }
    }
    let kind = Kind::Upgrade(SMUGGLED.to_owned());
    let sent = format!("Connection: Upgrade, HTTP2-Settings, Upgrade: {SMUGGLED}");
    plays.push(play(kind, sent, with("GET", to_http2()), SMUGGLED));
    plays.push(another_host(stage, host, secure, canary));
    plays
}

/// The host stands in two places, of which a proxy has to believe the first (RFC 9112 section 3.2.2).
fn another_host(stage: &Stage, host: &str, secure: bool, canary: &str) -> Play {
    let scheme = if secure { "https" } else { "http" };
    let elsewhere = format!("{canary}.example");
    let mut request = stage.request.clone();
    request.target = format!("{scheme}://{host}{}", request.target);
    request.authority = Some(elsewhere.clone());
    let mut openly = stage.request.clone();
    openly.authority = Some(elsewhere.clone());
    Play {
        kind: Kind::Host,
        sent: format!("GET {} with Host: {elsewhere}", request.target),
        place: stage.name,
        request,
        canary: canary.to_owned(),
        openly: Some(openly),
    }
}
