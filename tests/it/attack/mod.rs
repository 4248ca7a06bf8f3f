//! Hostile clients on raw sockets against the default configuration: tables, one row a case.
//!
//! The tables are text files beside this one, so that a new attack is one line. What they hold on every row, said or not: the
//! requests that were answered by the backend are exactly those that reached it; what reached it is strict HTTP, names one
//! host, and carries nothing of what the client called `evil`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod continuation;
mod http1;
mod http2;
mod ordinary;
pub mod table;
mod tokens;

use crate::path::gate::{Gate, route, upstream};
use crate::support::upstream::{Request, Upstream};

/// What most people have: everything open, but for two places and a host.
fn config(url: &str) -> String {
    [
        upstream("app", url, ""),
        route("open", "/", "app", "access = \"public\""),
        route("public", "/public", "app", "access = \"public\""),
        route("user", "/user", "app", ""),
        route("admin", "/admin", "app", "roles_any = [\"admin\"]"),
        route("inside", "/", "app", "hosts = [\"inside.test\", \"*.in.test\"]"),
        "[log]\naccess = false\n".to_owned(),
    ]
    .concat()
}

/// The names of which a backend must only ever get ours.
const IDENTITY: [&str; 4] = ["x-user", "x-user-id", "x-user-roles", "x-user-email"];

/// What holds for whatever reaches the backend.
fn check_forwarded(request: &Request) -> Result<(), String> {
    let head = String::from_utf8_lossy(&request.head).to_lowercase();
    let trailers = format!("{:?}", request.trailers).to_lowercase();
    for never in ["evil", "smuggled"] {
        if head.contains(never) || trailers.contains(never) {
            return Err(format!("`{never}` reached the backend: {head:?} {trailers}"));
        }
    }
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err(format!("no strict head: {head:?}"));
    }
    if request.version != "HTTP/1.1" || request.headers.all("host").len() != 1 {
        return Err(format!("version or host: {head:?}"));
    }
    if request.headers.all("content-length").len() + request.headers.all("transfer-encoding").len() > 1 {
        return Err(format!("framed twice: {head:?}"));
    }
    for (name, value) in &request.headers.0 {
        let folded: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        let known = IDENTITY.contains(&name.to_ascii_lowercase().as_str())
            && matches!(value.as_str(), "ann" | "eve" | "user" | "admin");
        if IDENTITY.contains(&folded.as_str()) && !known {
            return Err(format!("{name}: {value} is not ours"));
        }
        if [
            "connection",
            "upgrade",
            "http2-settings",
            "keep-alive",
            "proxy-connection",
            "trailer-",
        ]
        .contains(&folded.as_str())
        {
            return Err(format!("{name}: {value} belongs to one connection"));
        }
    }
    for name in IDENTITY {
        if request.headers.all(name).len() > 1 {
            return Err(format!("several {name}"));
        }
    }
    Ok(())
}

/// The requests that came since `before`, once everything sent so far has been dealt with: one more request is sent on a
/// connection of its own, and its arrival awaited.
fn since(before: usize, gate: &Gate, backend: &Upstream) -> Vec<Request> {
    let barrier = gate.get("/public/barrier", "");
    assert_eq!(barrier.status, 200, "{}", barrier.text());
    let mut seen = backend.requests().split_off(before);
    seen.retain(|request| request.target != "/public/barrier");
    seen
}
