//! Whoever keeps the gateway waiting is let go, and nobody else notices.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::assert_problem;
use super::gate::{Gate, open_to, route, upstream};
use crate::support::PATIENCE;
use crate::support::raw::RawClient;
use crate::support::reply::Reply;
use crate::support::until;
use crate::support::upstream::Upstream;

const SHORT: &str = "[timeouts]\nfirst_byte = \"1s\"\nhandshake = \"1s\"\nheader_read = \"1s\"\nbody_progress = \"1s\"\nidle = \"1s\"\n";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends this and waits until the server has closed; gives back what it said.
fn until_closed(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
    said
}

/// One byte at a time, for as long as they are taken.
fn drip(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    for byte in bytes.iter().cycle() {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_phase_has_its_deadline_and_the_others_are_served() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&(open_to(&backend.url()) + SHORT));
    let (plain, tls) = (gate.address(), gate.listener(1));
    let descriptors = gate.descriptors();
    let done = AtomicBool::new(false);
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut client = gate.connect();
            while !done.load(Ordering::Relaxed) {
                assert_eq!(client.send(REQUEST).response().status, 200);
                served.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        let slow = [
            scope.spawn(move || assert!(until_closed(plain, b"").is_empty())),
            scope.spawn(move || assert!(until_closed(plain, b"\r\n").is_empty())),
            scope.spawn(move || drop(until_closed(plain, b"GET / HTTP/1.1\r\nHo"))),
            scope.spawn(move || {
                drip(
                    plain,
                    b"GET / HTTP/1.1\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                )
            }),
            scope.spawn(move || {
                let said = until_closed(plain, REQUEST.as_bytes());
                assert!(said.starts_with(b"HTTP/1.1 200"));
            }),
            scope.spawn(move || drop(until_closed(tls, b""))),
            scope.spawn(move || drop(until_closed(tls, b"\x16\x03\x01\x02\x00\x01"))),
        ];
        for one in slow {
            one.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        busy.join().unwrap();
    });
    assert!(served.load(Ordering::Relaxed) > 10);
    // Of all of them, only connections to the upstream are kept.
    until("no descriptor is left behind", || {
        (gate.descriptors() <= descriptors + 4).then_some(())
    });
    until("the handshake is counted", || {
        (gate.metric(r#"doorward_tls_handshakes_total{result="timeout"}"#) == 1.0).then_some(())
    });
}

#[test]
fn a_body_that_stops_coming_is_408_and_one_that_is_slow_is_not() {
    let backend = Upstream::start();
    let gate = Gate::start(&(open_to(&backend.url()) + SHORT));
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let before = backend.requests().len();
        let mut client = gate.connect();
        client.send(request);
        assert_problem(&client.response(), 408, "request_timeout");
        client.expect_close();
        for request in backend.requests().split_off(before) {
            backend.wait_for_close(request.connection);
        }
        assert!(
            backend
                .requests()
                .split_off(before)
                .iter()
                .all(|request| !request.complete)
        );
    }
    let mut client = gate.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n");
    for byte in ["a", "b", "c", "d", "e", "f"] {
        thread::sleep(Duration::from_millis(400));
        client.send(byte);
    }
    assert_eq!(client.response().json()["body"], "abcdef");
}

#[test]
fn a_long_upload_is_no_slow_answer() {
    let backend = Upstream::start();
    let config =
        upstream("app", &backend.url(), "response_timeout = \"1s\"") + &route("app", "/", "app", "access = \"public\"");
    let gate = Gate::start(&config);
    let mut client = gate.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n");
    for byte in ["a", "b", "c", "d", "e", "f"] {
        thread::sleep(Duration::from_millis(400));
        client.send(byte);
    }
    assert_eq!(client.response().json()["body"], "abcdef");
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let body = vec![b'x'; 64 << 20];
    let backend = Upstream::answering(move |_| Reply::new(200, &[], body.clone()));
    let gate = Gate::with_tls(&(open_to(&backend.url()) + SHORT));
    let mut lazy = gate.connect();
    lazy.send(REQUEST);
    let seen = backend.wait_for(1);
    backend.wait_for_close(seen[0].connection);
    // Over HTTP/2 it is the window that is never opened.
    let mut stream = RawClient::connect_tls(gate.listener(1), "localhost", gate.authority().trusting_client(&["h2"]));
    assert_eq!(stream.protocol().as_deref(), Some("h2"));
    stream.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    // SETTINGS with INITIAL_WINDOW_SIZE = 0, then HEADERS: GET https a /, to the end of the stream.
    stream.send([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    stream.send([0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x41, 1, b'a']);
    let seen = backend.wait_for(2);
    backend.wait_for_close(seen[1].connection);
    drop(stream.take_all());
    let mut other = gate.connect();
    other.send(REQUEST);
    assert_eq!(other.take(12).unwrap(), b"HTTP/1.1 200");
}

#[test]
fn an_http_2_connection_has_deadlines_too() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&(open_to(&backend.url()) + SHORT));
    let connect = || RawClient::connect_tls(gate.listener(1), "localhost", gate.authority().trusting_client(&["h2"]));
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // Nothing at all; the preface alone; a request, then nothing.
    let mut silent = connect();
    let mut greeted = connect();
    greeted.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send(settings);
    let mut idle = connect();
    idle.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send(settings);
    idle.send([0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x41, 1, b'a']);
    backend.wait_for(1);
    // A body that is announced and never comes: POST without END_STREAM.
    let mut stalled = connect();
    stalled.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send(settings);
    stalled.send([0, 0, 6, 1, 4, 0, 0, 0, 1, 0x83, 0x87, 0x84, 0x41, 1, b'a']);
    for client in [&mut silent, &mut greeted, &mut idle, &mut stalled] {
        if let Err(ended @ crate::support::message::Ended::TimedOut { .. }) = client.take_all() {
            panic!("{ended}");
        }
    }
}
