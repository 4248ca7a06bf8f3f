//! The backend: how it answers, and what it takes for an identity.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::reply::Reply;
use crate::support::upstream::Request;

/// How a name reads where everything but letters and digits is taken for a hyphen.
pub fn canonical(name: &str) -> String {
    let read = |character: char| match character.is_ascii_alphanumeric() {
        true => character.to_ascii_lowercase(),
        false => '-',
    };
    name.chars().map(read).collect()
}

/// What the backend takes for identity: each header that reads like one of ours and says something, with all its values.
pub fn identity_of(request: &Request) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &request.headers.0 {
        let name = canonical(name);
        if name.starts_with("x-user") && !value.is_empty() && name != "x-user-agent" {
            found.entry(name).or_default().push(value.clone());
        }
    }
    found
}

/// What was asked, as JSON; WebSockets are opened, and every byte comes back.
pub fn reply(request: &Request) -> Reply {
    if request.headers.lists("connection", "upgrade") {
        let key = request.header("sec-websocket-key").unwrap_or_default();
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        return Reply::echo_behind(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n",
        ));
    }
    if request.body.len() > 64 * 1024 {
        return Reply::json(&json!({ "received": request.body.len() }));
    }
    if request.method == "HEAD" {
        return Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Answer: head\r\n\r\n");
    }
    Reply::echo(request)
}
