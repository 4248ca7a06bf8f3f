//! `[throttle]`, and what happens when more passwords come than can be hashed.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::answers::{Tokens, problem, retry_after};
use super::world::{Gateway, Kind, PASSWORD, World, at_once};
use crate::support::client::Response;

on_both!(
    failures_close_an_account_whatever_its_spelling,
    a_right_password_clears_the_account,
    failures_close_an_address_and_no_other,
    the_window_slides_and_outlives_the_process,
    many_guesses_at_once_are_not_more_guesses,
    a_silent_throttle_gives_nothing_away,
    a_full_queue_of_passwords_is_busy_and_traffic_goes_on,
);

const WRONG: &str = "not the password";

fn failures_close_an_account_whatever_its_spelling(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[throttle]\nlogin_failures = 3");
    let living = gateway.register("alice");
    gateway.register("bob");
    // A name that is there and one that is not are told apart by nothing.
    for spellings in [["alice", "ALICE", " ａlice\t"], ["nobody", "Nobody ", "ＮＯＢＯＤＹ"]] {
        for spelling in spellings {
            problem(&gateway.login_with(spelling, WRONG), 401, "invalid_credentials");
        }
        for (name, password) in [(spellings[0], WRONG), (spellings[0], PASSWORD), (spellings[1], WRONG)] {
            let refused = gateway.login_with(name, password);
            problem(&refused, 429, "too_many_attempts");
            assert!((800..=900).contains(&retry_after(&refused)), "{refused:?}");
        }
    }
    // Only logins of this account are closed.
    gateway.login("bob");
    assert_eq!(gateway.status_as("/app/x", &living.access), 200);
    Tokens::of(&gateway.refresh(&living.refresh));
    gateway
        .process
        .wait_for_line(|line| line.contains("login throttled") && line.contains("too_many_attempts"));
    // Neither names nor addresses are kept for it.
    let rows = world.sql("SELECT * FROM gateway_failures");
    assert!(!rows.contains("alice") && !rows.contains("127.0.0.1"));
}

fn a_right_password_clears_the_account(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[throttle]\nlogin_failures = 3");
    gateway.register("alice");
    for _ in 0..3 {
        for _ in 0..2 {
            problem(&gateway.login_with("alice", WRONG), 401, "invalid_credentials");
        }
        gateway.login("alice");
    }
}

fn failures_close_an_address_and_no_other(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("trusted_proxies = ['127.0.0.1']\n[throttle]\nlogin_failures_per_address = 4");
    gateway.register("alice");
    let from = |address: &str, name: &str, password: &str| -> Response {
        let body = json!({ "username": name, "password": password });
        let request = gateway.client.request(http::Method::POST, "/api/login");
        request.header("x-forwarded-for", address).json(&body).send()
    };
    for (number, address) in ["198.51.100.7", "198.51.100.7", "::ffff:198.51.100.7"]
        .iter()
        .enumerate()
    {
        problem(
            &from(address, &format!("nobody{number}"), WRONG),
            401,
            "invalid_credentials",
        );
        // One's own account brings no new guesses at others.
        Tokens::of(&from(address, "alice", PASSWORD));
    }
    problem(&from("198.51.100.7", "nobody", WRONG), 401, "invalid_credentials");
    let refused = from("198.51.100.7", "alice", PASSWORD);
    problem(&refused, 429, "too_many_attempts");
    retry_after(&refused);
    Tokens::of(&from("198.51.100.8", "alice", PASSWORD));
    // Whoever has one IPv6 address has its whole network.
    for host in 1..=4 {
        problem(
            &from(&format!("2001:db8:1:2::{host}"), &format!("guess{host}"), WRONG),
            401,
            "invalid_credentials",
        );
    }
    problem(
        &from("2001:db8:1:2:ffff::1", "alice", PASSWORD),
        429,
        "too_many_attempts",
    );
    Tokens::of(&from("2001:db8:1:3::1", "alice", PASSWORD));
}

fn the_window_slides_and_outlives_the_process(kind: Kind) {
    let world = World::new(kind);
    let configuration = "[throttle]\nlogin_failures = 3";
    let (one, other) = (world.gateway(configuration), world.gateway(configuration));
    one.register("alice");
    problem(&one.login_with("alice", WRONG), 401, "invalid_credentials");
    problem(&other.login_with("alice", WRONG), 401, "invalid_credentials");
    problem(&one.login_with("alice", WRONG), 401, "invalid_credentials");
    for gateway in [&one, &other] {
        problem(&gateway.login_with("alice", PASSWORD), 429, "too_many_attempts");
    }
    one.kill();
    let one = world.gateway(configuration);
    problem(&one.login_with("alice", PASSWORD), 429, "too_many_attempts");
    world.sql("UPDATE gateway_failures SET at = at - 14 * 60000");
    let refused = one.login_with("alice", PASSWORD);
    problem(&refused, 429, "too_many_attempts");
    assert!(retry_after(&refused) <= 60, "{refused:?}");
    world.sql("UPDATE gateway_failures SET at = at - 60000");
    one.login("alice");
}

fn many_guesses_at_once_are_not_more_guesses(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[throttle]\nlogin_failures = 3");
    gateway.register("alice");
    gateway.register("bob");
    let answers = at_once(30, |index| {
        gateway.login_with(if index % 2 == 0 { "alice" } else { "ALICE" }, WRONG)
    });
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(401), count(429)), (3, 27), "{answers:#?}");
    // Who knows the password loses nothing by logging in many times at once.
    for answer in at_once(30, |_| gateway.login_with("bob", PASSWORD)) {
        Tokens::of(&answer);
    }
}

fn a_silent_throttle_gives_nothing_away(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[throttle]\nlogin_failures = 2\nsilent = true");
    gateway.register("alice");
    for password in [WRONG, WRONG, WRONG, PASSWORD] {
        let refused = gateway.login_with("alice", password);
        problem(&refused, 401, "invalid_credentials");
        assert!(!refused.headers.has("retry-after"));
    }
}

fn a_full_queue_of_passwords_is_busy_and_traffic_goes_on(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[passwords]\nmemory = '64MiB'\niterations = 12\nmax_concurrent = 1\nqueue = 1");
    let tokens = gateway.register("alice");
    let (busy, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (gateway, busy, done) = (&gateway, &busy, &done);
        let logins = scope.spawn(move || {
            let answers = at_once(8, |_| {
                let answer = gateway.login_with("alice", PASSWORD);
                busy.fetch_or(answer.status == 503, Ordering::SeqCst);
                answer
            });
            done.store(true, Ordering::SeqCst);
            answers
        });
        // From the first surplus on, one password is being hashed and another waits.
        let mut meanwhile = 0;
        while !done.load(Ordering::SeqCst) {
            if busy.load(Ordering::SeqCst) {
                assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
                assert_eq!(gateway.status_as("/api/me", &tokens.access), 200);
                meanwhile += 1;
            } else {
                std::thread::yield_now();
            }
        }
        assert!(meanwhile > 0, "no request was served while passwords were hashed");
        let answers = logins.join().unwrap();
        let (served, surplus): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert!(!served.is_empty() && !surplus.is_empty(), "{answers:#?}");
        for answer in surplus {
            problem(answer, 503, "busy");
            retry_after(answer);
        }
    });
    check_quiet_again(&gateway);
}

fn check_quiet_again(gateway: &Gateway) {
    gateway.login("alice");
    let metrics = gateway.admin.get("/metrics").text();
    assert!(metrics.contains("doorward_logins_total{result=\"busy\"}"), "{metrics}");
}
