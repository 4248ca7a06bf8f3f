//! HTTP/2 connections that stand still, or nearly.

use std::thread;
use std::time::Duration;

use super::{deadlines, gate, h2, withstands};
use crate::support::h2raw::*;
use crate::support::reply::Reply;
use crate::support::upstream::Upstream;

const NO_WINDOW: [(u16, u32); 1] = [(4, 0)];

#[test]
fn who_stands_still_is_let_go() {
    let backend = Upstream::start();
    let gate = gate(&backend, deadlines());
    let get = request("GET", "/");
    let head = frame(HEADERS, WHOLE, 1, &get);
    let post = frame(HEADERS, END_HEADERS, 1, &request("POST", "/"));
    let settings = frame(SETTINGS, 0, 0, &[]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface without SETTINGS", PREFACE.to_vec()),
        (
            "half of SETTINGS",
            [PREFACE, &frame(SETTINGS, 0, 0, &[0; 12])[..15]].concat(),
        ),
        ("a preface", [PREFACE, &settings].concat()),
        ("half a head", [PREFACE, &settings, &head[..20]].concat()),
        (
            "a head without its end",
            [PREFACE, &settings, &frame(HEADERS, END_STREAM, 1, &get)].concat(),
        ),
        (
            "half a CONTINUATION",
            [
                PREFACE,
                &settings,
                &frame(HEADERS, END_STREAM, 1, &get),
                &frame(CONTINUATION, 4, 1, &[0; 9])[..12],
            ]
            .concat(),
        ),
        ("a body that does not come", [PREFACE, &settings, &post].concat()),
        (
            "half a DATA frame",
            [PREFACE, &settings, &post, &frame(DATA, 1, 1, &[7; 99])[..50]].concat(),
        ),
        (
            "half a PING",
            [PREFACE, &settings, &frame(PING, 0, 0, &[7; 8])[..12]].concat(),
        ),
        ("a request, then nothing", [PREFACE, &settings, &head].concat()),
    ];
    withstands(&gate, || {
        thread::scope(|scope| {
            for (what, bytes) in &cases {
                let gate = &gate;
                scope.spawn(move || {
                    let mut client = H2::silent(gate.listener(1), gate.authority());
                    client.raw.send(bytes);
                    let (_, took) = client.end();
                    assert!(took >= Duration::from_millis(700), "{what}: already after {took:?}");
                });
            }
        });
    });
}

/// What is no progress is no sign of life: PING while idle, a head byte by byte, windows that open for nothing.
#[test]
fn who_only_looks_alive_is_let_go() {
    let backend = Upstream::start();
    let gate = gate(&backend, deadlines());
    let get = frame(HEADERS, WHOLE, 1, &request("GET", "/"));
    let dripped = frame(
        HEADERS,
        WHOLE,
        1,
        &[request("GET", "/"), field("x-long", [b'a'; 5000])].concat(),
    );
    let ping = frame(PING, 0, 0, &[7; 8]);
    let post = frame(HEADERS, END_HEADERS, 1, &request("POST", "/"));
    let window = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    let cases = vec![
        ("PING while idle", get, vec![ping.clone(); 400]),
        ("PING before any request", vec![], vec![ping.clone(); 400]),
        (
            "a head byte by byte",
            vec![],
            dripped.chunks(1).map(<[u8]>::to_vec).collect(),
        ),
        ("PING while a body is awaited", post.clone(), vec![ping; 400]),
        ("windows while a body is awaited", post, vec![window; 400]),
    ];
    withstands(&gate, || {
        thread::scope(|scope| {
            for (what, first, then) in &cases {
                let gate = &gate;
                scope.spawn(move || {
                    let mut client = h2(gate);
                    client.raw.send(first);
                    let mut pieces = then.iter();
                    loop {
                        let piece = pieces.next().unwrap_or_else(|| panic!("{what}: never let go"));
                        if !client.try_send(piece) {
                            break;
                        }
                        thread::sleep(Duration::from_millis(50));
                    }
                    client.end();
                });
            }
        });
    });
}

#[test]
fn windows_that_never_open_end_with_all_they_hold() {
    let body = vec![b'x'; 16 << 20];
    let backend = Upstream::answering(move |request| match request.target.as_str() {
        "/large" => Reply::new(200, &[], body.clone()),
        _ => Reply::text("hello"),
    });
    let gate = gate(&backend, deadlines());
    // A window of nothing, and one of a single octet that lets the answer begin; large answers, small ones, our own.
    for window in [0, 1] {
        for path in ["/large", "/small", "/%"] {
            withstands(&gate, || {
                let mut client = H2::with_settings(gate.listener(1), gate.authority(), &[(4, window)]);
                let count = if path == "/large" { 20 } else { 100 };
                for index in 0..count {
                    client.send(HEADERS, WHOLE, index * 2 + 1, &request("GET", path));
                }
                client.end()
            });
        }
    }
}

#[test]
fn who_does_not_read_is_let_go() {
    let body = vec![b'x'; 32 << 20];
    let backend = Upstream::answering(move |request| match request.target.as_str() {
        "/large" => Reply::new(200, &[], body.clone()),
        _ => Reply::text("hello"),
    });
    let gate = gate(&backend, deadlines());
    let mut client = H2::with_settings(gate.listener(1), gate.authority(), &[(4, 0x7fff_ffff)]);
    withstands(&gate, || {
        client.send(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
        client.send(HEADERS, WHOLE, 1, &request("GET", "/large"));
        // Not one byte is read until the upstream's connection is broken off.
        let seen = backend.wait_for(1);
        let large = seen.iter().find(|request| request.target == "/large");
        let large = large.cloned().unwrap_or_else(|| {
            crate::support::until("the large request", || {
                backend
                    .requests()
                    .into_iter()
                    .find(|request| request.target == "/large")
            })
        });
        backend.wait_for_close(large.connection);
    });
    client.end();
}

#[test]
fn a_small_window_that_opens_again_and_again_is_served() {
    let backend = Upstream::answering(|_| Reply::new(200, &[], vec![b'x'; 4000]));
    let gate = gate(&backend, "[timeouts]\nbody_progress = \"1s\"\nidle = \"1s\"\n");
    let mut client = H2::with_settings(gate.listener(1), gate.authority(), &NO_WINDOW);
    client.send(HEADERS, WHOLE, 1, &request("GET", "/"));
    for _ in 0..8 {
        thread::sleep(Duration::from_millis(400));
        client.send(WINDOW_UPDATE, 0, 1, &500_u32.to_be_bytes());
    }
    match client.answer(1) {
        Answer::Status(200, body) => assert_eq!(body.len(), 4000),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_large_data_frame_may_come_slowly() {
    let backend = Upstream::start();
    let gate = gate(&backend, "[timeouts]\nbody_progress = \"1s\"\n");
    let mut client = h2(&gate);
    client.send(HEADERS, END_HEADERS, 1, &request("POST", "/"));
    for piece in frame(DATA, END_STREAM, 1, &[b'a'; 90]).chunks(11) {
        client.raw.send(piece);
        thread::sleep(Duration::from_millis(400));
    }
    assert!(matches!(client.answer(1), Answer::Status(200, _)));
    assert_eq!(backend.only_request().body.len(), 90);
}
