//! The data path as a user sees it: bytes on the wire, log lines, exit codes.
//!
//! Tokens come from a trusted issuer; every gateway here is a process of its own with a recording upstream behind it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod answers;
mod balance;
mod balancing;
mod client_certificates;
mod cors;
mod deadlines;
mod drain;
mod flood;
mod framing;
pub(crate) mod gate;
mod handshakes;
mod headers;
mod health;
mod identity;
mod issuers;
mod limits;
mod observe;
mod peers;
mod proxy_protocol;
mod rate;
mod reload;
mod renewal;
mod stop;
mod streaming;
mod target;
mod tls;
mod upstream_tls;
mod upstreams;

use crate::support::raw::RawResponse;
use crate::support::upstream::{Request, Upstream};

/// Fails unless this is the problem document of this code (RFC 9457).
fn assert_problem(response: &RawResponse, status: u16, code: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    let document = response.json();
    assert_eq!(document["type"], "about:blank");
    assert_eq!(document["status"], status);
    assert_eq!(document["error"], code, "{document}");
    assert_eq!(document["message"], document["detail"]);
    assert!(document["title"].as_str().is_some_and(|title| !title.is_empty()));
    assert!(document["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
}

/// What the upstream got last.
fn last(upstream: &Upstream) -> Request {
    upstream.requests().pop().expect("a request")
}
