//! How much is too much: headers, targets, bodies, connections.

use std::io::Read;
use std::net::TcpStream;

use http::Method;

use super::assert_problem;
use super::gate::{Gate, open_to, route, upstream};
use crate::support::client::Protocol;
use crate::support::raw::RawClient;
use crate::support::reply::{Gate as Barrier, Reply};
use crate::support::until;
use crate::support::upstream::Upstream;

fn headers(count: usize) -> String {
    (0..count).map(|n| format!("X-{n}: v\r\n")).collect()
}

#[test]
fn too_many_or_too_large_headers_are_431() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    let value = |bytes: usize| format!("X-Big: {}\r\n", "v".repeat(bytes));
    // With Host.
    assert_eq!(gate.get("/", &headers(99)).status, 200);
    assert_eq!(gate.get("/", &value(60_000)).status, 200);
    for lines in [
        headers(100),
        headers(5000),
        value(64 * 1024),
        value(1_000_000),
        format!("{}: v\r\n", "N".repeat(70_000)),
    ] {
        let mut client = gate.connect();
        client
            .try_send(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
            .ok();
        let response = client.response();
        assert_problem(&response, 431, "headers_too_large");
        client.expect_close();
    }
    let mut client = gate.connect();
    client
        .try_send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(17_000)))
        .ok();
    assert_problem(&client.response(), 414, "target_too_long");
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn the_size_of_a_head_can_be_set() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&(open_to(&backend.url()) + "[limits]\nheader_bytes = \"8KiB\"\n"));
    let big = "v".repeat(9000);
    assert_problem(&gate.get("/", &format!("X-Big: {big}\r\n")), 431, "headers_too_large");
    assert_eq!(gate.get("/", &format!("X-Big: {}\r\n", "v".repeat(7000))).status, 200);
    let client = gate.tls_client(Protocol::Http2);
    let answer = client.request(Method::GET, "/").header("x-big", &big).try_send();
    assert!(
        answer.as_ref().map_or(true, |response| response.status == 431),
        "{answer:?}"
    );
    client
        .request(Method::GET, "/")
        .header("x-big", &"v".repeat(7000))
        .send()
        .expect(200);
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_body_is_as_large_as_its_route_allows() {
    let backend = Upstream::start();
    let config = upstream("app", &backend.url(), "")
        + &route("small", "/small", "app", "access = \"public\"\nmax_body = \"1KiB\"")
        + &route("large", "/large", "app", "access = \"public\"");
    let gate = Gate::with_tls(&config);
    let kib = "x".repeat(1024);
    for (framed, status) in [
        (format!("Content-Length: 1024\r\n\r\n{kib}"), 200),
        (
            format!("Transfer-Encoding: chunked\r\n\r\n400\r\n{kib}\r\n0\r\n\r\n"),
            200,
        ),
        (format!("Content-Length: 1025\r\n\r\n{kib}x"), 413),
        ("Content-Length: 100000000000\r\n\r\n".to_owned(), 413),
        (
            format!("Transfer-Encoding: chunked\r\n\r\n401\r\n{kib}x\r\n0\r\n\r\n"),
            413,
        ),
        (
            format!("Transfer-Encoding: chunked\r\n\r\n400\r\n{kib}\r\n1\r\nx\r\n400\r\n{kib}\r\n"),
            413,
        ),
    ] {
        let before = backend.requests().len();
        let mut client = gate.connect();
        client
            .try_send(format!("POST /small HTTP/1.1\r\nHost: a\r\n{framed}"))
            .ok();
        let response = client.response();
        assert_eq!(response.status, status, "{}", response.text());
        if status == 413 {
            assert_problem(&response, 413, "body_too_large");
            assert!(!response.keeps_alive());
            client.expect_close();
            for request in backend.requests().split_off(before) {
                backend.wait_for_close(request.connection);
            }
            let seen = backend.requests().split_off(before);
            assert!(
                seen.iter()
                    .all(|request| !request.complete && request.body.len() <= 1024),
                "{seen:#?}"
            );
            // What is announced is refused before anybody hears of it.
            assert!(framed.starts_with("Transfer") || seen.is_empty(), "{seen:#?}");
        }
    }
    let client = gate.tls_client(Protocol::Http2);
    client
        .request(Method::POST, "/small")
        .body(kib.as_bytes())
        .send()
        .expect(200);
    let response = client.request(Method::POST, "/small").body("x".repeat(1025)).send();
    assert_eq!(
        (response.status, response.json()["error"].as_str()),
        (413, Some("body_too_large"))
    );
    client
        .request(Method::POST, "/large")
        .body("x".repeat(100_000))
        .send()
        .expect(200);
}

#[test]
fn an_address_has_so_many_connections_and_no_more() {
    let backend = Upstream::start();
    let gate = Gate::start(&(open_to(&backend.url()) + "[limits]\nconnections_per_address = 3\n"));
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut held: Vec<RawClient> = (0..3).map(|_| gate.connect()).collect();
    for client in &mut held {
        assert_eq!(client.send(request).response().status, 200);
    }
    let refused = || {
        let mut stream = TcpStream::connect(gate.address()).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        // Closed, regularly or by a reset, without a byte.
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    };
    refused();
    refused();
    for client in &mut held {
        assert_eq!(client.send(request).response().status, 200, "who is in stays in");
    }
    drop(held.pop());
    let mut next = until("the place that became free", || {
        let mut client = gate.connect();
        client.try_send(request).ok()?;
        client.try_response().ok().map(|_| client)
    });
    assert_eq!(next.send(request).response().status, 200);
    refused();
}

#[test]
fn a_limit_on_all_connections_leaves_those_that_are_in_alone() {
    let barrier = Barrier::new();
    let held = barrier.clone();
    let backend = Upstream::answering(move |request| match request.target.as_str() {
        "/slow" => Reply::text("slow").after(&held),
        _ => Reply::echo(request),
    });
    let gate = Gate::start(&(open_to(&backend.url()) + "[limits]\nconnections = 2\n"));
    let mut slow = gate.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait_for_heads(1);
    let mut other = gate.connect();
    assert_eq!(other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 200);
    let mut late = gate.connect();
    late.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").ok();
    assert!(late.try_response().is_err());
    barrier.open();
    assert_eq!(slow.response().text(), "slow");
}
