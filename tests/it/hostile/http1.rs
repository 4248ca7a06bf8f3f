//! The same over HTTP/1.1.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{deadlines, gate, withstands};
use crate::support::PATIENCE;
use crate::support::raw::RawClient;
use crate::support::reply::Reply;
use crate::support::upstream::Upstream;

/// Sends these pieces, one each 50 ms, until the server has closed; fails when it never does.
fn drip<'p>(client: &mut RawClient, what: &str, mut pieces: impl Iterator<Item = &'p [u8]>) {
    loop {
        let piece = pieces.next().unwrap_or_else(|| panic!("{what}: never let go"));
        if client.try_send(piece).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_drips_is_let_go() {
    let backend = Upstream::start();
    let gate = gate(&backend, deadlines());
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "a".repeat(5000));
    withstands(&gate, || {
        thread::scope(|scope| {
            let gate = &gate;
            scope.spawn(|| drip(&mut gate.connect(), "a head", head.as_bytes().chunks(1)));
            scope.spawn(|| {
                drip(
                    &mut gate.connect(),
                    "empty lines",
                    [&b"\r\n"[..]].into_iter().cycle().take(400),
                )
            });
            scope.spawn(|| {
                let mut client = gate.connect();
                assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 200);
                drip(
                    &mut client,
                    "empty lines between requests",
                    [&b"\r\n"[..]].into_iter().cycle().take(400),
                );
            });
            scope.spawn(|| drip(&mut gate.connect(), "spaces", [&b" "[..]].into_iter().cycle().take(400)));
        });
    });
}

/// Half-open connections in number; the stranger has a place among them.
#[test]
fn hundreds_of_half_heads_disturb_nobody() {
    let backend = Upstream::start();
    let gate = gate(&backend, deadlines());
    withstands(&gate, || {
        let mut held: Vec<RawClient> = (0..400).map(|_| gate.connect()).collect();
        for (index, client) in held.iter_mut().enumerate() {
            let half = match index % 3 {
                0 => "GET / HTTP/1.1\r\nHost: a\r\n",
                1 => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
                _ => "",
            };
            client.try_send(half).ok();
        }
        for client in &mut held {
            if let Err(ended @ crate::support::message::Ended::TimedOut { .. }) = client.take_all() {
                panic!("{ended}");
            }
        }
    });
}

#[test]
fn half_a_client_hello_is_let_go() {
    let backend = Upstream::start();
    let gate = gate(&backend, deadlines());
    withstands(&gate, || {
        let mut held = Vec::new();
        for index in 0..200 {
            let mut stream = TcpStream::connect(gate.listener(1)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // A record that announces 512 octets of handshake.
            let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
            stream.write_all(&hello[..index % (hello.len() + 1)]).unwrap();
            held.push(stream);
        }
        for mut stream in held {
            let mut said = Vec::new();
            let ended = stream.read_to_end(&mut said);
            assert!(ended.is_ok() || ended.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset);
        }
    });
}

/// Endless parts of one message: each is refused while it comes.
#[test]
fn endless_parts_of_a_message_are_refused() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases: [(&str, String, String); 8] = [
        ("a field", "GET / HTTP/1.1\r\nHost: a\r\nX: ".into(), "a".repeat(1000)),
        (
            "fields",
            "GET / HTTP/1.1\r\nHost: a\r\n".into(),
            "X-A: b\r\n".repeat(100),
        ),
        ("a target", "GET /".into(), "a".repeat(1000)),
        ("a method", String::new(), "A".repeat(1000)),
        ("empty lines", String::new(), "\r\n".repeat(500)),
        ("one chunk extension", format!("{chunked}5;"), "a".repeat(1000)),
        (
            "chunk extensions",
            chunked.into(),
            format!("1;{}\r\na\r\n", "a".repeat(200)).repeat(5),
        ),
        ("trailers", format!("{chunked}0\r\n"), "X-A: b\r\n".repeat(100)),
    ];
    for (what, begin, more) in cases {
        withstands(&gate, || {
            let mut client = gate.connect();
            client.try_send(begin).ok();
            let mut sent = 0;
            while client.try_send(&more).is_ok() {
                sent += more.len();
                assert!(sent < 64 << 20, "{what}: {sent} bytes were taken");
            }
        });
    }
    assert!(
        backend
            .requests()
            .iter()
            .all(|request| request.target == "/stranger" || !request.complete),
        "nothing of them is a whole request"
    );
}

/// Pipelined requests are served one after another, and those that wait are left in the kernel.
#[test]
fn thousands_of_pipelined_requests_hold_no_memory() {
    let backend = Upstream::answering(|_| Reply::text("hello"));
    let gate = gate(&backend, "");
    const COUNT: usize = 5000;
    withstands(&gate, || {
        let client = gate.connect();
        let address = client.local_address();
        drop(client);
        let mut reader = TcpStream::connect(gate.address()).unwrap();
        assert_ne!(reader.local_addr().unwrap(), address);
        reader.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut writer = reader.try_clone().unwrap();
        let sending = thread::spawn(move || {
            for index in 0..COUNT {
                let last = if index + 1 == COUNT {
                    "Connection: close\r\n"
                } else {
                    ""
                };
                writer
                    .write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{last}\r\n").as_bytes())
                    .unwrap();
            }
        });
        let mut said = Vec::new();
        reader.read_to_end(&mut said).unwrap();
        sending.join().unwrap();
        let answers = String::from_utf8(said).unwrap().matches("HTTP/1.1 200").count();
        assert_eq!(answers, COUNT);
    });
}

/// Nothing of their answers is read: the answers wait with the backend, not here.
#[test]
fn pipelined_requests_whose_answers_are_not_read_are_let_go() {
    let body = vec![b'x'; 1 << 20];
    let backend = Upstream::answering(move |request| match request.target.as_str() {
        "/large" => Reply::new(200, &[], body.clone()),
        _ => Reply::text("hello"),
    });
    let gate = gate(&backend, deadlines());
    withstands(&gate, || {
        let mut held: Vec<RawClient> = (0..50).map(|_| gate.connect()).collect();
        for client in &mut held {
            client
                .try_send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200))
                .ok();
        }
        // Sending goes on until it cannot: the connection was closed with bytes of ours unread.
        for client in &mut held {
            crate::support::until("the connection is reset", || {
                client.try_send(" ").is_err().then_some(())
            });
        }
    });
}

/// Nobody reads from a client while its answer is awaited: whether it is gone has to be looked for, or its place at the
/// upstream is lost to everybody for as long as the upstream is silent.
#[test]
fn who_is_gone_holds_no_place() {
    let never = crate::support::reply::Gate::new();
    let held = never.clone();
    let backend = Upstream::answering(move |request| match request.target.as_str() {
        "/silent" => Reply::text("late").after(&held),
        "/stream" => Reply::bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
            .then_after(&held, "0\r\n\r\n"),
        _ => Reply::text("hello"),
    });
    let gate = gate(&backend, deadlines());
    withstands(&gate, || {
        for (target, reset) in [
            ("/silent", true),
            ("/silent", false),
            ("/stream", true),
            ("/stream", false),
        ] {
            let before = backend.requests().len();
            let mut client = TcpStream::connect(gate.address()).unwrap();
            write!(client, "GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            crate::support::until("the backend has it", || {
                let asked = backend.requests();
                asked
                    .iter()
                    .skip(before)
                    .any(|request| request.target == target)
                    .then_some(())
            });
            if reset {
                rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            }
            drop(client);
        }
    });
    never.open();
}

/// An answer of which the length was told, and of which nothing more comes, is cut off; a stream may be silent.
#[test]
fn an_answer_that_stands_still_is_broken_off_where_its_length_was_told() {
    let never = crate::support::reply::Gate::new();
    let held = never.clone();
    let backend = Upstream::answering(move |request| match request.target.as_str() {
        "/stuck" => Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").then_after(&held, "defghi"),
        _ => Reply::text("hello"),
    });
    let gate = gate(&backend, deadlines());
    withstands(&gate, || {
        let mut client = gate.connect();
        let broken = client.send("GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n").try_response();
        assert!(broken.is_err(), "{broken:?}");
    });
    never.open();
}

/// Over the limit a connection is closed at once, and those that are in are served.
#[test]
fn a_flood_of_connections_is_closed_at_once() {
    let backend = Upstream::start();
    let gate = gate(&backend, "[limits]\nconnections_per_address = 50\n");
    withstands(&gate, || {
        let mut held: Vec<RawClient> = (0..49).map(|_| gate.connect()).collect();
        for client in held.iter_mut().take(10) {
            client.try_send("GET / HTTP/1.1\r\n").ok();
        }
        for _ in 0..500 {
            let mut stream = TcpStream::connect(gate.address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
        }
    });
}
