//! What the integration tests stand on: the gateway as a child process, and the peers it talks to.
//!
//! Everything here blocks: a test is a plain function that reads from top to bottom. Nothing sleeps for a time it hopes is
//! long enough; whatever must come is awaited, and [`PATIENCE`] only bounds the wait when it never comes.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

pub mod certificates;
pub mod chromium;
pub mod client;
pub mod extended;
pub mod flask;
pub mod gateway;
pub mod h2fields;
pub mod h2raw;
pub mod issuer;
pub mod message;
pub mod nginx;
pub mod pgbouncer;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod relay;
pub mod reply;
pub mod smtp;
pub mod upstream;
pub mod upstream_h2c;
pub mod venv;

use std::time::{Duration, Instant};

/// How long a test waits for what must come, on a busy machine too. Never a measure of anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until the answer is there; fails with what was awaited when it never comes.
///
/// For conditions that only another process can tell. Where something can be notified, wait for that instead.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in {PATIENCE:?} never saw: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
