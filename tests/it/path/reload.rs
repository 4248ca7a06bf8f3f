//! SIGHUP: a new configuration takes the old one's place as a whole or not at all, and nobody is cut off.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::gate::{Gate, open_to, route, upstream};
use super::last;
use crate::support::client::Protocol;
use crate::support::reply::{Gate as Barrier, Reply};
use crate::support::until;
use crate::support::upstream::Upstream;

#[test]
fn a_changed_route_acts_on_the_next_request_of_an_open_connection() {
    let (one, other) = (Upstream::start(), Upstream::start());
    let gate = Gate::start(&open_to(&one.url()));
    let mut client = gate.connect();
    let mut get = |lines: &str| {
        client
            .send(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
            .response()
            .status
    };
    assert_eq!(get(""), 200);
    gate.write_config(&(upstream("app", &one.url(), "") + &route("closed", "/", "app", "")));
    assert_eq!(get(""), 200, "files alone change nothing");
    assert!(gate.reload());
    assert_eq!(get(""), 401);
    assert_eq!(get(&gate.bearer("ann", &[])), 200);
    gate.write_config(&(upstream("app", &other.url(), "") + &route("role", "/", "app", "roles_any = [\"admin\"]")));
    assert!(gate.reload());
    // The token is remembered, what it may is asked anew.
    assert_eq!(get(&gate.bearer("ann", &[])), 403);
    assert_eq!(get(&gate.bearer("eve", &["admin"])), 200);
    assert_eq!((one.requests().len(), other.requests().len()), (3, 1));
    assert_eq!(gate.metric(r#"doorward_config_reloads_total{result="ok"}"#), 2.0);
}

#[test]
fn a_token_counts_only_for_the_issuers_that_are_trusted_now() {
    let backend = Upstream::start();
    let gate = Gate::start(&(upstream("app", &backend.url(), "") + &route("app", "/", "app", "")));
    let ann = gate.bearer("ann", &[]);
    for _ in 0..4 {
        assert_eq!(gate.get("/", &ann).status, 200);
    }
    let config = gate.config();
    for (from, to) in [
        ("audience = [\"app\"]", "audience = [\"other\"]"),
        ("https://idp.test", "https://else.test"),
    ] {
        fs::write(gate.folder().join("doorward.toml"), config.replace(from, to)).unwrap();
        assert!(gate.reload());
        for _ in 0..4 {
            assert_eq!(gate.get("/", &ann).status, 401, "{to}");
        }
        fs::write(gate.folder().join("doorward.toml"), &config).unwrap();
        assert!(gate.reload());
        assert_eq!(gate.get("/", &ann).status, 200);
    }
}

#[test]
fn whom_to_trust_about_a_client_changes_for_open_connections_too() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    let mut client = gate.connect();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1, 10.0.0.7\r\n\r\n";
    let mut told = || {
        assert_eq!(client.send(request).response().status, 200);
        last(&backend).header("x-real-ip").unwrap().to_owned()
    };
    assert_eq!(told(), "127.0.0.1");
    gate.write_config(&("trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n".to_owned() + &open_to(&backend.url())));
    assert!(gate.reload());
    assert_eq!(told(), "192.0.2.1");
    gate.write_config(&("trusted_proxies = [\"127.0.0.1\"]\n".to_owned() + &open_to(&backend.url())));
    assert!(gate.reload());
    assert_eq!(told(), "10.0.0.7");
}

#[test]
fn a_bad_configuration_is_told_with_its_line_and_the_old_one_stays() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    let good = gate.config();
    let file = gate.folder().join("doorward.toml");
    for (count, (case, bad, said)) in [
        ("no TOML", good.clone() + "\n[[routes\n", "doorward.toml:"),
        (
            "an unknown key",
            good.replace("path = \"/\"", "path = \"/\"\npaht = \"/x\""),
            "did you mean",
        ),
        (
            "an unknown upstream",
            good.replace("upstream = \"app\"", "upstream = \"ap\""),
            "routes[0].upstream",
        ),
        (
            "no path",
            good.replace("path = \"/\"", "path = \"x\""),
            "routes[0].path",
        ),
        (
            "a file that is not there",
            good.replace("jwks.json", "gone.json"),
            "gone.json",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&file, &bad).unwrap();
        let mark = gate.process().mark();
        assert!(!gate.reload(), "{case}");
        let lines = gate.process().lines().split_off(mark).join("\n");
        assert!(lines.contains("ERROR") && lines.contains(said), "{case}: {lines}");
        if case != "a file that is not there" {
            let place = lines.split("doorward.toml:").nth(1).unwrap_or_default();
            assert!(
                place.starts_with(|character: char| character.is_ascii_digit()),
                "{case}: {lines}"
            );
        }
        assert_eq!(
            gate.metric(r#"doorward_config_reloads_total{result="refused"}"#),
            (count + 1) as f64,
            "{case}"
        );
        assert_eq!(gate.get("/", "").status, 200, "{case}");
    }
    fs::write(&file, good).unwrap();
    assert!(gate.reload());
}

#[test]
fn what_needs_a_restart_is_said() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    gate.write_config(&("workers = 7\n".to_owned() + &open_to(&backend.url())));
    let mark = gate.process().mark();
    assert!(gate.reload());
    let lines = gate.process().lines().split_off(mark).join("\n");
    assert!(lines.contains("workers") && lines.contains("restart"), "{lines}");
}

#[test]
fn limits_change_without_a_restart() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    let mut inside = gate.connect();
    assert_eq!(inside.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 200);
    gate.write_config(&(open_to(&backend.url()) + "[limits]\nconnections_per_address = 1\n"));
    assert!(gate.reload());
    let mut client = gate.connect();
    client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok();
    assert!(client.try_response().is_err());
    assert_eq!(
        inside.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().status,
        200,
        "who is in stays in"
    );
    gate.write_config(&(open_to(&backend.url()) + "[limits]\nheader_bytes = \"8KiB\"\n"));
    assert!(gate.reload());
    assert_eq!(gate.get("/", &format!("X-Big: {}\r\n", "v".repeat(9000))).status, 431);
}

#[test]
fn nobody_is_cut_off_in_twenty_reloads_under_load() {
    let barrier = Barrier::new();
    let held = barrier.clone();
    let backend = Upstream::answering(move |request| match request.target.as_str() {
        "/slow" => Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc").then_after(&held, "def"),
        _ => Reply::echo(request),
    });
    let gate = Gate::with_tls(&open_to(&backend.url()));
    let config = gate.config();
    let version = |number: usize| {
        config.replace(
            "access = \"public\"",
            &format!("access = \"public\"\nresponse_headers = {{ set = {{ X-Version = \"{number}\" }} }}"),
        )
    };
    let mut slow = gate.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait_for_heads(1);
    let done = Arc::new(AtomicBool::new(false));
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = gate.connect();
                while !done.load(Ordering::Relaxed) {
                    let response = client
                        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
                        .response();
                    assert!(response.status == 200 && response.keeps_alive(), "{}", response.text());
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let client = gate.tls_client(Protocol::Http2);
            while !done.load(Ordering::Relaxed) {
                client.get("/").expect(200);
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        let reloads = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..20 {
                fs::write(gate.folder().join("doorward.toml"), version(number)).unwrap();
                assert!(gate.reload());
                let shown = gate.get("/", "");
                assert_eq!(shown.header("x-version"), Some(number.to_string().as_str()));
                let so_far = served.load(Ordering::Relaxed);
                until("requests between two reloads", || {
                    (served.load(Ordering::Relaxed) > so_far).then_some(())
                });
            }
        }));
        done.store(true, Ordering::Relaxed);
        reloads.unwrap();
    });
    barrier.open();
    assert_eq!(slow.response().text(), "abcdef");
    // Upstreams that stay keep their connections: what was opened is what ran at once.
    let connections = backend.connections().len();
    assert!(
        connections <= 12,
        "{connections} connections for {} requests",
        served.load(Ordering::Relaxed)
    );
    assert_eq!(gate.metric(r#"doorward_config_reloads_total{result="ok"}"#), 20.0);
}
