//! How the gateway ends, and how it refuses to begin.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use http::Method;
use rustix::process::Signal;

use super::gate::{Gate, open_to};
use crate::support::client::Protocol;
use crate::support::process::Process;
use crate::support::raw::RawClient;
use crate::support::reply::{Gate as Barrier, Reply};
use crate::support::until;
use crate::support::upstream::Upstream;

fn slow_backend(barrier: &Barrier) -> Upstream {
    let held = barrier.clone();
    Upstream::answering(move |request| match request.target.as_str() {
        "/slow" => Reply::text("finished").after(&held),
        "/begun" => Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc").then_after(&held, "def"),
        _ => Reply::echo(request),
    })
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn what_runs_may_finish_and_nothing_new_begins() {
    let barrier = Barrier::new();
    let backend = slow_backend(&barrier);
    let mut gate = Gate::with_tls(&open_to(&backend.url()));
    let mut idle: Vec<RawClient> = (0..4).map(|_| gate.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.send(REQUEST).response().status, 200);
    }
    let mut silent = gate.connect();
    let seen = backend.requests().len();
    let mut slow = gate.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut begun = gate.connect();
    begun.send("GET /begun HTTP/1.1\r\nHost: a\r\n\r\n");
    let http2 = gate.tls_client(Protocol::Http2);
    http2.get("/").expect(200);
    thread::scope(|scope| {
        let stream = scope.spawn(|| http2.request(Method::GET, "/slow").try_send());
        backend.wait_for_heads(seen + 4);
        gate.terminate();
        until("/readyz says so", || (gate.status_of("/readyz") == 503).then_some(()));
        assert_eq!(gate.status_of("/healthz"), 200);
        for client in &mut idle {
            client.expect_close();
        }
        silent.expect_close();
        until("no new connections", || {
            TcpStream::connect(gate.address()).is_err().then_some(())
        });
        barrier.open();
        let response = slow.response();
        assert_eq!((response.status, response.text().as_str()), (200, "finished"));
        assert_eq!(response.header("connection"), Some("close"));
        slow.expect_close();
        assert_eq!(begun.response().text(), "abcdef");
        begun.expect_close();
        let response = stream.join().unwrap().unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "finished"));
    });
    assert_eq!(gate.wait().code(), Some(0));
    gate.process().wait_for_line(|line| line.contains("stopped"));
    // The log of the last requests was written.
    assert!(gate.access_line("/slow").contains("status=200"));
}

#[test]
fn what_takes_too_long_is_cut() {
    let barrier = Barrier::new();
    let backend = slow_backend(&barrier);
    let mut gate = Gate::with_tls(&(open_to(&backend.url()) + "[timeouts]\ndrain = \"1s\"\n"));
    let mut slow = gate.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut begun = gate.connect();
    begun.send("GET /begun HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut sending = gate.connect();
    sending.send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    let http2 = gate.tls_client(Protocol::Http2);
    thread::scope(|scope| {
        let stream = scope.spawn(|| http2.request(Method::GET, "/begun").try_send());
        backend.wait_for_heads(4);
        gate.terminate();
        // Never a short answer that looks complete: an error, or a body that breaks off.
        if let Ok(response) = slow.try_response() {
            assert!(response.status >= 500, "{}", response.status);
        }
        assert!(begun.try_response().is_err());
        if let Ok(response) = sending.try_response() {
            assert!(response.status >= 400, "{}", response.status);
        }
        assert!(stream.join().unwrap().is_err());
    });
    assert_eq!(gate.wait().code(), Some(0));
}

#[test]
fn an_interrupt_is_a_request_to_stop_and_so_is_a_second_one() {
    let backend = Upstream::start();
    let mut gate = Gate::start(&open_to(&backend.url()));
    gate.process().signal(Signal::INT);
    assert_eq!(gate.wait().code(), Some(0));
}

/// Starts a gateway that does not start: how it ends, and with all of these words in what it says.
fn assert_refused(config: &str, code: i32, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorward.toml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command
        .arg("serve")
        .arg("--config")
        .arg(&file)
        .arg("--data-dir")
        .arg(folder.path().join("data"));
    let mut process = Process::spawn("doorward", command);
    assert_eq!(process.wait().code(), Some(code));
    for word in words {
        process.wait_for_line(|line| line.contains(word));
    }
}

#[test]
fn a_bad_configuration_is_exit_status_2_with_all_that_is_wrong() {
    let listener =
        "[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocol = \"http\"\n[admin]\naddress = \"127.0.0.1:0\"\n";
    let routes =
        "[[routes]]\nname = \"a\"\npath = \"a\"\nupstream = \"none\"\n[[routes]]\nname = \"a\"\npaht = \"/\"\n";
    assert_refused(
        &(listener.to_owned() + routes),
        2,
        &[
            "doorward.toml:8:8: routes[0].path",
            "doorward.toml:9:12: routes[0].upstream",
            "doorward.toml:11:8: routes[1].name",
            "doorward.toml:12:1: routes[1].paht",
            "did you mean \"path\"?",
        ],
    );
    assert_refused("[[listeners", 2, &["doorward.toml:1"]);
}

#[test]
fn an_address_that_is_taken_is_exit_status_1_with_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = |public: &str, admin: &str| {
        format!("[[listeners]]\naddress = {public:?}\nprotocol = \"http\"\n[admin]\naddress = {admin:?}\n")
    };
    assert_refused(&config(&address, "127.0.0.1:0"), 1, &[&address, "hint:"]);
    assert_refused(
        &config("127.0.0.1:0", &address),
        1,
        &[&address, "admin.address", "hint:"],
    );
}
