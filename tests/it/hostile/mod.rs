//! Clients that misbehave: each is let go in time, holds little memory, and nobody else notices.
//!
//! Floods run against the default settings. What waits for a deadline runs with short ones, and with `DOORWARD_LONG=1` with
//! the default ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod floods;
mod http1;
mod malformed;
mod ordinary;
mod stalls;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::path::gate::{Gate, open_to};
use crate::support::h2raw::H2;
use crate::support::until;
use crate::support::upstream::Upstream;

/// What an attacker gets at most, and how much memory.
const WITHIN: Duration = Duration::from_secs(15);
const MEMORY: u64 = 64 << 20;

/// A gateway with this configuration, for everybody, before this backend; plain HTTP first, then TLS.
fn gate(backend: &Upstream, config: &str) -> Gate {
    Gate::with_tls(&(open_to(&backend.url()) + config))
}

/// The deadlines of tests that wait for them.
fn deadlines() -> &'static str {
    if std::env::var_os("DOORWARD_LONG").is_some_and(|value| value == "1") {
        return "[timeouts]\nidle = \"2s\"\n";
    }
    "[timeouts]\nfirst_byte = \"1s\"\nhandshake = \"1s\"\nheader_read = \"1s\"\nbody_progress = \"1s\"\nidle = \"1s\"\n"
}

fn h2(gate: &Gate) -> H2 {
    H2::connect(gate.listener(1), gate.authority())
}

/// Runs an attack that returns when its connections have ended. Meanwhile a stranger is served without a break; afterwards
/// the process has not grown, and keeps no connections.
fn withstands<T>(gate: &Gate, attack: impl FnOnce() -> T) -> T {
    let connections = || -> f64 {
        let page = gate.metrics();
        let series = page.lines().filter(|line| line.starts_with("doorward_connections{"));
        series
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    let before_it = connections();
    // From here on the high-water mark is of the attack alone.
    fs::write(format!("/proc/{}/clear_refs", gate.process().id()), "5").unwrap();
    let before = gate.memory("VmRSS");
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (outcome, took) = thread::scope(|scope| {
        let stranger = scope.spawn(|| {
            let mut client = gate.connect();
            while !done.load(Ordering::Relaxed) {
                let answer = client.send("GET /stranger HTTP/1.1\r\nHost: a\r\n\r\n").response();
                assert_eq!(answer.status, 200);
                served.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        until("the stranger is in", || {
            (served.load(Ordering::Relaxed) > 0).then_some(())
        });
        let began = Instant::now();
        // An attack that fails must not leave the stranger going.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attack));
        let took = began.elapsed();
        done.store(true, Ordering::Relaxed);
        stranger.join().unwrap();
        (outcome, took)
    });
    let outcome = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert!(took < WITHIN, "it took {took:?}");
    let growth = gate.memory("VmHWM").saturating_sub(before);
    assert!(growth < MEMORY, "grew by {} MiB", growth >> 20);
    until("the connections are gone", || {
        (connections() <= before_it).then_some(())
    });
    eprintln!("ended after {took:?}, grew by {} KiB", growth >> 10);
    outcome
}

/// Sends these bytes again and again, at most so many times, as long as they are taken; how often they were, and the code
/// of the GOAWAY that came, if one could be read.
fn pour(client: &mut H2, most: usize, mut bytes: impl FnMut(usize) -> Vec<u8>) -> (usize, Option<u32>) {
    let mut sent = 0;
    while sent < most {
        let piece: Vec<u8> = (sent..most.min(sent + 50)).flat_map(&mut bytes).collect();
        if !client.try_send(&piece) {
            break;
        }
        sent += 50;
    }
    (sent.min(most), client.end().0)
}
