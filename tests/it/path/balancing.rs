//! Several servers behind one upstream: who gets which request, and what becomes of requests when one of them dies.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::gate::{Gate, route};
use super::{assert_problem, last};
use crate::support::ports::free_port;
use crate::support::reply::{Gate as Barrier, Reply};
use crate::support::until;
use crate::support::upstream::Upstream;

/// A public route to an upstream of these servers; `more` are further keys of the upstream.
pub(super) fn open_to_all(servers: &[&str], more: &str) -> String {
    format!("[[upstreams]]\nname = \"app\"\nservers = {servers:?}\n{more}\n")
        + &route("app", "/", "app", "access = \"public\"")
}

/// What `doorward_upstream_healthy` says of a server.
pub(super) fn healthy(gate: &Gate, server: &str) -> Option<bool> {
    let series = format!(r#"doorward_upstream_healthy{{upstream="app",server="{server}"}} "#);
    let page = gate.metrics();
    let value = page.lines().find_map(|line| line.strip_prefix(&series))?;
    Some(value == "1")
}

#[test]
fn turns_are_fair_over_all_workers() {
    let backends = [Upstream::start(), Upstream::start(), Upstream::start()];
    let urls = backends.each_ref().map(Upstream::url);
    let gate = Gate::start(&format!(
        "workers = 3\n{}",
        open_to_all(&urls.each_ref().map(String::as_str), "")
    ));
    for _ in 0..30 {
        assert_eq!(gate.get("/", "").status, 200);
    }
    assert_eq!(backends.each_ref().map(|backend| backend.requests().len()), [10; 3]);
    let counted = r#"doorward_upstream_request_duration_seconds_count{upstream="app"}"#;
    assert_eq!(gate.metric(counted), 30.0);
    for url in &urls {
        assert_eq!(healthy(&gate, url), Some(true));
    }
}

#[test]
fn the_least_busy_server_gets_the_request() {
    let (busy, free) = (Upstream::start(), Upstream::start());
    let barrier = Barrier::new();
    for backend in [&busy, &free] {
        backend.next(Reply::text("late").after(&barrier));
    }
    let gate = Gate::start(&open_to_all(
        &[&busy.url(), &free.url()],
        "balance = \"least_requests\"",
    ));
    // One waits at each, and a second one at the first of them.
    busy.next(Reply::text("late").after(&barrier));
    let mut waiting = [gate.connect(), gate.connect(), gate.connect()];
    for (count, client) in waiting.iter_mut().enumerate() {
        client.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
        until("it has arrived", || {
            (busy.requests().len() + free.requests().len() > count).then_some(())
        });
    }
    let (one, other) = (busy.requests().len(), free.requests().len());
    assert_eq!(one + other, 3, "{one} and {other}");
    let (most, least) = if one > other { (&busy, &free) } else { (&free, &busy) };
    let (before, held) = (least.requests().len(), most.requests().len());
    assert_eq!((before, held), (1, 2));
    for _ in 0..4 {
        assert_eq!(gate.get("/now", "").status, 200);
    }
    assert_eq!((least.requests().len(), most.requests().len()), (before + 4, held));
    barrier.open();
    for mut client in waiting {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn a_client_stays_with_its_server() {
    let backends = [Upstream::start(), Upstream::start(), Upstream::start()];
    let urls = backends.each_ref().map(Upstream::url);
    let gate = Gate::start(&format!(
        "trusted_proxies = [\"127.0.0.1/32\"]\n{}",
        open_to_all(&urls.each_ref().map(String::as_str), "balance = \"client_hash\"")
    ));
    let mut homes = Vec::new();
    for client in 0..24 {
        let line = format!("X-Forwarded-For: 203.0.113.{client}\r\n");
        for _ in 0..3 {
            assert_eq!(gate.get(&format!("/{client}"), &line).status, 200);
        }
        let target = format!("/{client}");
        let seen: Vec<usize> = backends
            .iter()
            .map(|backend| backend.requests().iter().filter(|one| one.target == target).count())
            .collect();
        let home = seen.iter().position(|count| *count == 3);
        homes.push(home.unwrap_or_else(|| panic!("client {client}: {seen:?}")));
    }
    for backend in 0..3 {
        assert!(homes.contains(&backend), "{homes:?}");
    }
}

#[test]
fn a_server_that_dies_under_load_costs_no_get_an_error_and_gets_requests_again_when_it_is_back() {
    let (one, other) = (Upstream::start(), Upstream::start());
    let dying = Upstream::start();
    let (address, url) = (dying.address(), dying.url());
    let gate = Gate::start(&format!(
        "workers = 2\n{}",
        open_to_all(&[&one.url(), &url, &other.url()], "")
    ));
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let back = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = gate.connect();
                while !done.load(Ordering::Relaxed) {
                    let response = client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").response();
                    if response.status != 200 {
                        done.store(true, Ordering::Relaxed);
                        panic!("{}: {}", response.status, response.text());
                    }
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let served_more = |count: usize| {
            let before = served.load(Ordering::Relaxed);
            until("more requests", || {
                let failed = done.load(Ordering::Relaxed);
                (failed || served.load(Ordering::Relaxed) > before + count).then_some(())
            });
        };
        served_more(100);
        assert!(dying.requests().len() > 10);
        drop(dying);
        until("it is found out", || {
            (healthy(&gate, &url) == Some(false)).then_some(())
        });
        served_more(100);
        // Nobody tries it for a request that cannot be repeated, and if somebody finds out with one, nothing was sent.
        for _ in 0..20 {
            let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
            assert_eq!(gate.ask(post).status, 200);
        }
        let back = Upstream::answering_at(address, Reply::echo);
        until("it gets requests again", || {
            (done.load(Ordering::Relaxed) || back.requests().len() > 10).then_some(())
        });
        served_more(50);
        done.store(true, Ordering::Relaxed);
        back
    });
    assert_eq!(healthy(&gate, &url), Some(true));
    // Each change was told once, with its fields.
    for (wanted, reason) in [("a server is unhealthy", true), ("a server is healthy again", false)] {
        let lines = gate.process().lines();
        let told: Vec<&String> = lines.iter().filter(|line| line.contains(wanted)).collect();
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(
            told[0].contains("upstream=\"app\"") && told[0].contains(&format!("server={url}")),
            "{told:?}"
        );
        assert!(!reason || told[0].contains("reason="), "{told:?}");
    }
    drop(back);
}

#[test]
fn a_request_that_may_have_been_acted_on_is_not_sent_twice() {
    let (one, other) = (Upstream::start(), Upstream::start());
    let gate = Gate::start(&open_to_all(&[&one.url(), &other.url()], "retries = 5"));
    let asked = || one.requests().len() + other.requests().len();
    for (request, status, times) in [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 502, 1),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 502, 1),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 502, 1),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 2),
        ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 2),
    ] {
        // Both have answered since they last hung up: neither is taken for one that fails.
        for _ in 0..2 {
            assert_eq!(gate.get("/turn", "").status, 200);
        }
        let before = asked();
        // Whose turn it is hangs up.
        let turn = if is_next(&one, &gate) { &one } else { &other };
        turn.next(Reply::hang_up());
        let response = gate.ask(request);
        assert_eq!((response.status, asked() - before - 1), (status, times), "{request}");
        if status == 502 {
            assert_problem(&response, 502, "upstream_failed");
            assert!(!response.text().contains("127.0.0.1"), "{}", response.text());
        } else {
            // It may have been the pooled connection alone that had died: the same server is asked over a fresh one.
            assert_eq!(last(turn).header("host"), Some("a"));
        }
    }
}

/// Asks once; whether this one of two servers then has the next turn.
fn is_next(server: &Upstream, gate: &Gate) -> bool {
    let before = server.requests().len();
    assert_eq!(gate.get("/turn", "").status, 200);
    server.requests().len() == before
}

#[test]
fn a_server_that_is_taken_out_finishes_what_it_has() {
    let (goes, stays) = (Upstream::start(), Upstream::start());
    let gate = Gate::start(&open_to_all(&[&goes.url(), &stays.url()], ""));
    let barrier = Barrier::new();
    goes.next(Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc").then_after(&barrier, "def"));
    let mut client = gate.connect();
    client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    goes.wait_for_heads(1);
    gate.write_config(&open_to_all(&[&stays.url()], ""));
    assert!(gate.reload());
    for _ in 0..4 {
        assert_eq!(gate.get("/new", "").status, 200);
    }
    assert_eq!((goes.requests().len(), stays.requests().len()), (1, 4));
    barrier.open();
    assert_eq!(client.response().text(), "abcdef");
    // Its connection is of no use any more.
    goes.wait_for_close(0);
}

#[test]
fn dead_servers_are_passed_over_as_often_as_retries_say() {
    let alive = Upstream::start();
    let dead = [free_port(), free_port()].map(|port| format!("http://127.0.0.1:{port}"));
    let gate = Gate::start(&open_to_all(&[&dead[0], &dead[1], &alive.url()], "retries = 2"));
    for _ in 0..10 {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(gate.ask(post).status, 200);
    }
    assert_eq!(alive.requests().len(), 10);
    for url in &dead {
        assert_eq!(healthy(&gate, url), Some(false));
    }
    assert_eq!(gate.status_of("/readyz"), 200);
}

#[test]
fn a_server_may_be_named() {
    let backend = Upstream::start();
    let port = backend.address().port();
    let names = [
        format!("http://localhost:{port}"),
        format!("http://no-such-host.invalid:{port}"),
    ];
    let gate = Gate::start(&open_to_all(&[&names[0], &names[1]], ""));
    for _ in 0..4 {
        assert_eq!(gate.get("/", "").status, 200);
    }
    assert_eq!(backend.requests().len(), 4);
    assert_eq!(healthy(&gate, &names[0]), Some(true));
}
