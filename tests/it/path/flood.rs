//! An attacker who has any number of bad tokens gets neither memory nor anybody's place, and others do not notice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::gate::{Gate, route, upstream};
use crate::support::raw::RawClient;
use crate::support::reply::Reply;
use crate::support::upstream::Upstream;

/// Different bad tokens; a million with `DOORWARD_LONG=1`.
const TOKENS: usize = 20_000;
const MANY_TOKENS: usize = 1_000_000;
const ATTACKERS: usize = 4;
/// Requests on their way at once on each attacker's connection.
const BATCH: usize = 50;
/// How much the process may grow while all of them come: a hundredth of what the million would take if it were kept, and
/// less than half of what 20,000 would (an entry and its token are about 800 bytes).
const GROWTH: u64 = 6 * 1024 * 1024;

/// A token like the good one that is none, different for each number, and in each of these ways: the signature, the
/// payload under the old signature, a key that nobody has, no token at all.
fn bad(good: &str, number: usize) -> String {
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("a token has three parts: {good}")
    };
    let mark = format!("{number:08x}");
    match number % 8 {
        0 => format!("{header}.{payload}{mark}.{signature}"),
        1 => format!("{header}{mark}.{payload}.{signature}"),
        2 => format!("{mark}.{mark}"),
        _ => format!(
            "{header}.{payload}.{}{mark}",
            &signature[..signature.len() - mark.len()]
        ),
    }
}

fn request(token: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

/// Shows these bad tokens over one connection, which stays open.
fn attack(client: &mut RawClient, good: &str, mut numbers: std::ops::Range<usize>) {
    while !numbers.is_empty() {
        let batch: Vec<usize> = numbers.by_ref().take(BATCH).collect();
        let requests: String = batch.iter().map(|number| request(&bad(good, *number))).collect();
        client.send(requests);
        for number in batch {
            let response = client.response();
            assert_eq!(response.status, 401, "{number}: {}", response.text());
            assert!(response.keeps_alive());
        }
    }
}

/// All of them, shared among the attackers.
fn flood(clients: &mut [RawClient], good: &str, tokens: usize) {
    let share = tokens / clients.len();
    thread::scope(|scope| {
        for (index, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || attack(client, good, index * share..(index + 1) * share));
        }
    });
}

#[test]
fn many_bad_tokens_take_no_memory_and_nobody_elses_place() {
    let tokens = if std::env::var_os("DOORWARD_LONG").is_some() {
        MANY_TOKENS
    } else {
        TOKENS
    };
    // What the backend got is nothing this test asks; it answers the good client alone.
    let backend = Upstream::answering(|_| Reply::text("here"));
    let config = "workers = 2\n[log]\naccess = false\n".to_owned()
        + &upstream("app", &backend.url(), "")
        + &route("app", "/", "app", "");
    let gate = Gate::start(&config);
    let good = gate.token("alice", &[]);
    let mut attackers: Vec<RawClient> = (0..ATTACKERS).map(|_| gate.connect()).collect();
    let mut alice = gate.connect();
    let mut answered = 0;
    let mut ask = |client: &mut RawClient| {
        assert_eq!(client.send(request(&good)).response().status, 200);
        answered += 1;
    };
    ask(&mut alice);
    // Buffers, code and tables are there from now on.
    flood(&mut attackers, &good, TOKENS / 5);
    let before = gate.memory("VmRSS");
    let (over, beside) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let storm = scope.spawn(|| {
            flood(&mut attackers, &good, tokens);
            over.store(true, Ordering::Release);
        });
        while !over.load(Ordering::Acquire) && !storm.is_finished() {
            ask(&mut alice);
            beside.fetch_add(1, Ordering::Relaxed);
        }
        storm.join().unwrap();
    });
    assert!(
        beside.load(Ordering::Relaxed) > 20,
        "the good client was served all the while"
    );
    let grown = gate.memory("VmRSS").saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes more after {tokens} bad tokens");
    // Every bad token that came in the first flood came again in the second: none was remembered, and the good one was
    // never pushed out.
    let count = |series: &str| gate.metric(series) as usize;
    assert_eq!(count("doorward_token_verifications_total{result=\"ok\"}"), 1);
    assert_eq!(count("doorward_token_cache_total{result=\"hit\"}"), answered - 1);
    assert_eq!(
        count("doorward_token_cache_total{result=\"miss\"}"),
        tokens + TOKENS / 5 + 1
    );
}
