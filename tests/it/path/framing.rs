//! Messages that two readers could take for different ones: refused, with nothing of them at the upstream.

use http::Method;

use super::assert_problem;
use super::gate::{Gate, open_to};
use crate::support::client::Protocol;
use crate::support::raw::RawClient;
use crate::support::upstream::Upstream;

/// What follows each of them on the connection: were it ever taken for a request, the upstream would see it.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Heads (or the start of a message) that are refused, with the status.
fn heads() -> Vec<(&'static str, String, u16)> {
    let post = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let chunked = "0\r\n\r\n";
    vec![
        (
            "CL and TE",
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + chunked,
            400,
        ),
        (
            "TE and CL",
            post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n") + chunked,
            400,
        ),
        ("two CL", post("Content-Length: 0\r\nContent-Length: 5\r\n"), 400),
        ("two equal CL", post("Content-Length: 0\r\nContent-Length: 0\r\n"), 400),
        ("list of CL", post("Content-Length: 0, 0\r\n"), 400),
        ("signed CL", post("Content-Length: +0\r\n"), 400),
        ("negative CL", post("Content-Length: -1\r\n"), 400),
        ("hexadecimal CL", post("Content-Length: 0x5\r\n"), 400),
        ("empty CL", post("Content-Length:\r\n"), 400),
        ("CL with a space", post("Content-Length: 1 0\r\n"), 400),
        (
            "CL beyond 64 bits",
            post("Content-Length: 99999999999999999999\r\n"),
            400,
        ),
        ("TE xchunked", post("Transfer-Encoding: xchunked\r\n") + chunked, 400),
        (
            "TE chunked twice",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + chunked,
            400,
        ),
        (
            "TE chunked, chunked",
            post("Transfer-Encoding: chunked, chunked\r\n") + chunked,
            400,
        ),
        (
            "TE chunked, identity",
            post("Transfer-Encoding: chunked, identity\r\n") + chunked,
            400,
        ),
        ("TE identity", post("Transfer-Encoding: identity\r\n"), 400),
        (
            "TE gzip, chunked",
            post("Transfer-Encoding: gzip, chunked\r\n") + chunked,
            501,
        ),
        (
            "TE with vertical tab",
            post("Transfer-Encoding: \u{b}chunked\r\n") + chunked,
            400,
        ),
        ("TE quoted", post("Transfer-Encoding: \"chunked\"\r\n") + chunked, 400),
        ("TE folded", post("Transfer-Encoding:\r\n chunked\r\n") + chunked, 400),
        (
            "TE with space before the colon",
            post("Transfer-Encoding : chunked\r\n") + chunked,
            400,
        ),
        (
            "TE in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            400,
        ),
        ("two Host", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400),
        (
            "two equal Host",
            "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n".into(),
            400,
        ),
        (
            "two Host in HTTP/1.0",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n".into(),
            400,
        ),
        ("no Host", "GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n".into(), 400),
        ("Host with a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".into(), 400),
        ("Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), 400),
        (
            "Host with user information",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n".into(),
            400,
        ),
        (
            "Host with a bad port",
            "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n".into(),
            400,
        ),
        (
            "absolute form for another host",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            400,
        ),
        (
            "absolute form with user information",
            "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            400,
        ),
        (
            "absolute form of another scheme",
            "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            400,
        ),
        ("authority form", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        (
            "bare LF behind the request line",
            "GET / HTTP/1.1\nHost: a\r\n\r\n".into(),
            400,
        ),
        (
            "bare LF behind a header",
            "GET / HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n".into(),
            400,
        ),
        (
            "bare LF as the empty line",
            "GET / HTTP/1.1\r\nHost: a\r\n\n".into(),
            400,
        ),
        (
            "bare CR in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n".into(),
            400,
        ),
        (
            "NUL in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n".into(),
            400,
        ),
        (
            "obs-fold",
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n".into(),
            400,
        ),
        ("obs-fold first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n".into(), 400),
        (
            "space before the colon",
            "GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n".into(),
            400,
        ),
        ("no colon", "GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n".into(), 400),
        ("no name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n".into(), 400),
        (
            "name that is no token",
            "GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n".into(),
            400,
        ),
        ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".into(), 405),
        (
            "TRACE",
            "TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(),
            405,
        ),
        ("HTTP/0.9", "GET /\r\n".into(), 400),
        ("HTTP/2.0 in clear", "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(), 505),
        ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 400),
        ("lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        (
            "something behind the version",
            "GET / HTTP/1.1 x\r\nHost: a\r\n\r\n".into(),
            400,
        ),
        (
            "empty lines without end",
            format!("{}GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n".repeat(9)),
            400,
        ),
        ("a TLS hello", "\u{16}\u{3}\u{1}\0\0".into(), 400),
    ]
}

#[test]
fn a_message_that_can_be_read_in_two_ways_is_refused_and_the_connection_ends() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    for (case, head, status) in heads() {
        for pieces in [1, 3] {
            let bytes = format!("{head}{SMUGGLED}");
            let mut client = gate.connect();
            for piece in bytes.as_bytes().chunks(bytes.len().div_ceil(pieces)) {
                client.try_send(piece).ok();
            }
            let response = client.response();
            assert_eq!(response.status, status, "{case}: {}", response.text());
            assert_eq!(
                response.header("content-type"),
                Some("application/problem+json"),
                "{case}"
            );
            assert!(!response.keeps_alive(), "{case}");
            client.expect_close();
        }
        assert!(backend.requests().is_empty(), "{case}: {:#?}", backend.requests());
    }
    assert!(gate.metrics().contains("doorward_http_requests_total"));
}

#[test]
fn methods_that_would_open_a_tunnel_or_mirror_the_request_are_not_served() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    for request in [
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let response = gate.ask(request);
        assert_problem(&response, 405, "method_not_allowed");
        assert!(response.headers.has("allow"), "RFC 9110 section 15.5.6");
    }
    assert!(backend.requests().is_empty());
}

/// Bodies that break the rules of chunks. The upstream may have got the head and what was right so far, never an end.
const BODIES: [(&str, &str); 14] = [
    ("no size", "\r\nabc\r\n0\r\n\r\n"),
    ("no digits", "x\r\nabc\r\n0\r\n\r\n"),
    ("prefixed", "0x3\r\nabc\r\n0\r\n\r\n"),
    ("signed", "+3\r\nabc\r\n0\r\n\r\n"),
    ("space before", " 3\r\nabc\r\n0\r\n\r\n"),
    ("beyond 64 bits", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    ("too short", "2\r\nabc\r\n0\r\n\r\n"),
    ("too long", "4\r\nabc\r\n0\r\n\r\n"),
    ("bare LF behind the size", "3\nabc\r\n0\r\n\r\n"),
    ("bare LF behind the data", "3\r\nabc\n0\r\n\r\n"),
    ("bare LF at the end", "3\r\nabc\r\n0\r\n\n"),
    ("bare CR in an extension", "3;a=\rb\r\nabc\r\n0\r\n\r\n"),
    ("folded trailer", "3\r\nabc\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
    ("trailer without a colon", "3\r\nabc\r\n0\r\nX-A\r\n\r\n"),
];

#[test]
fn a_body_that_breaks_its_framing_never_comes_to_an_end_at_the_upstream() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    for (case, body) in BODIES {
        let before = backend.requests().len();
        let mut client = gate.connect();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}"
        ));
        let response = client.response();
        assert_problem(&response, 400, "invalid_framing");
        assert!(!response.keeps_alive(), "{case}");
        client.expect_close();
        for request in backend.requests().split_off(before) {
            backend.wait_for_close(request.connection);
            assert_ne!(request.target, "/smuggled", "{case}");
        }
        let seen = backend.requests().split_off(before);
        assert!(seen.iter().all(|request| !request.complete), "{case}: {seen:#?}");
    }
    // The upstream's connections are not used again after any of them.
    assert_eq!(gate.get("/after", "").status, 200);
}

#[test]
fn a_client_that_goes_away_in_the_middle_is_no_whole_request_for_the_upstream() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let before = backend.requests().len();
        let mut client = gate.connect();
        client.send(request);
        let seen = backend.wait_for_heads(before + 1);
        drop(client);
        backend.wait_for_close(seen[before].connection);
        assert!(!backend.requests()[before].complete, "{request:?}");
    }
}

#[test]
fn what_is_unusual_and_right_passes() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    for (request, body) in [
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        ("GET / HTTP/1.1\r\nhOST:a\r\n\r\n", ""),
        ("GET / HTTP/1.1\r\nHost:\t a \t\r\nX-Empty:\r\n\r\n", ""),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        ("GET http://A/ HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        ("GET / HTTP/1.0\r\n\r\n", ""),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "abc",
        ),
        ("DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\n\r\nabc", "abc"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n03;name=\"v;\"\r\nabc\r\n000\r\nX-T: 1\r\n\r\n",
            "abc",
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ] {
        let response = RawClient::connect(gate.address()).send(request).response();
        assert_eq!(response.status, 200, "{request:?}: {}", response.text());
        assert_eq!(response.json()["body"], body, "{request:?}");
        assert_eq!(response.json()["target"], "/", "{request:?}");
    }
    // What the upstream got is as strict as it can be.
    for connection in backend.connections() {
        let bytes = String::from_utf8(connection.bytes).unwrap();
        assert!(!bytes.replace("\r\n", "").contains(['\r', '\n']), "{bytes:?}");
    }
}

#[test]
fn http_2_requests_name_one_host_and_open_no_tunnel() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&open_to(&backend.url()));
    let client = gate.tls_client(Protocol::Http2);
    let ask = |host: &str| {
        client
            .request(Method::GET, "/")
            .host("a.test")
            .header("host", host)
            .send()
    };
    assert_eq!(ask("a.test").status, 200);
    let response = ask("b.test");
    assert_eq!(
        (response.status, response.json()["error"].as_str()),
        (400, Some("invalid_host"))
    );
    let twice = client.request(Method::GET, "/").host("a.test").header("host", "a.test");
    assert_eq!(twice.header("host", "a.test").send().status, 400);
    assert_eq!(client.request(Method::TRACE, "/").send().status, 405);
    // CONNECT a:443, to the end of the stream: `:method` in full, `:authority`.
    let mut tunnel = RawClient::connect_tls(gate.listener(1), "localhost", gate.authority().trusting_client(&["h2"]));
    tunnel
        .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let fields = [&[0x02, 7][..], b"CONNECT", &[0x01, 5], b"a:443"].concat();
    tunnel.send([0, 0, fields.len() as u8, 1, 5, 0, 0, 0, 1]).send(&fields);
    // The next request on the same connection: refused or not, the first one opened nothing.
    tunnel.send([0, 0, 6, 1, 5, 0, 0, 0, 3, 0x82, 0x87, 0x84, 0x41, 1, b'a']);
    let seen = backend.wait_for(2);
    assert!(seen.iter().all(|request| request.method == "GET"), "{seen:#?}");
}
