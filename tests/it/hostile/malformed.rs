//! HTTP/2 that breaks a rule: nothing of it reaches the backend changed.

use super::{gate, h2, withstands};
use crate::support::h2raw::*;
use crate::support::upstream::Upstream;

#[test]
fn a_fragment_is_refused_and_never_cut_off() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let refused = |client: &mut H2, stream: u32, path: Vec<u8>, what: &str| {
        client.send(HEADERS, WHOLE, stream, &[pseudo("GET"), path].concat());
        match client.answer(stream) {
            Answer::Status(400, body) => assert!(body.contains("invalid_target"), "{what}: {body}"),
            other => panic!("{what}: {other:?}"),
        }
    };
    let mut client = h2(&gate);
    let mut stream = 1;
    for path in [
        "/a#b",
        "/admin#/public",
        "/#",
        "#",
        "#a",
        "/a?q#",
        "/a?#?",
        "/##",
        "/a/b#/c",
    ] {
        let coded = |first: u8, name: Vec<u8>| [vec![first], name, huffman(&path.replace("admin", "ab"))].concat();
        let plain = |first: u8, name: Vec<u8>| [vec![first], name, string(path.as_bytes())].concat();
        let spelled = string(b":path");
        for (what, block) in [
            ("a name in full", plain(0x00, spelled.clone())),
            ("never indexed", plain(0x10, spelled.clone())),
            ("a name of the static table", plain(0x04, vec![])),
            ("the other one", plain(0x05, vec![])),
            ("remembered", plain(0x44, vec![])),
            ("in Huffman code", coded(0x04, vec![])),
            ("in Huffman code and remembered", coded(0x44, vec![])),
            ("a name in Huffman code", coded(0x00, huffman(":path"))),
            ("a name of the dynamic table", plain(0x7e, vec![])),
            ("the entry that was just made", vec![0xbe]),
        ] {
            refused(&mut client, stream, block, &format!("{path}: {what}"));
            stream += 2;
        }
    }
    // In pieces: in the middle of the path, and with padding and a priority.
    let block = [pseudo("GET"), field(":path", "/a#b")].concat();
    let (front, back) = block.split_at(block.len() - 3);
    client.send(HEADERS, END_STREAM, stream, front);
    client.send(CONTINUATION, 0, stream, &[]);
    client.send(CONTINUATION, END_HEADERS, stream, back);
    assert!(matches!(client.answer(stream), Answer::Status(400, _)));
    stream += 2;
    let padded = [&[3, 0, 0, 0, 0, 16][..], &block, &[0; 3]].concat();
    client.send(HEADERS, WHOLE | 8 | 0x20, stream, &padded);
    assert!(matches!(client.answer(stream), Answer::Status(400, _)));
    stream += 2;
    // Byte by byte.
    for byte in frame(HEADERS, WHOLE, stream, &block) {
        client.raw.send([byte]);
    }
    assert!(matches!(client.answer(stream), Answer::Status(400, _)));
    stream += 2;
    assert!(backend.requests().is_empty(), "{:#?}", backend.requests());
    // The tables of both sides still agree: what was remembered since is found.
    let good = [
        pseudo("GET"),
        remembered(":path", "/good"),
        remembered("x-kept", "kept"),
    ]
    .concat();
    client.send(HEADERS, WHOLE, stream, &good);
    assert!(matches!(client.answer(stream), Answer::Status(200, _)));
    stream += 2;
    client.send(HEADERS, WHOLE, stream, &[pseudo("GET"), vec![0xbf, 0xbe]].concat());
    assert!(matches!(client.answer(stream), Answer::Status(200, _)));
    let seen = backend.wait_for(2);
    assert_eq!(
        (seen[1].target.as_str(), seen[1].header("x-kept")),
        ("/good", Some("kept"))
    );
    // A `#` elsewhere is nobody's business.
    client.send(
        HEADERS,
        WHOLE,
        stream + 2,
        &[request("GET", "/"), field("x-a", "#")].concat(),
    );
    assert!(matches!(client.answer(stream + 2), Answer::Status(200, _)));
}

/// Each is refused: a stream error or 400, or the connection with it.
#[test]
fn malformed_requests_are_refused() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let with = |more: Vec<u8>| [request("GET", "/"), more].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("an uppercase name", with(field("X-Upper", "v"))),
        ("connection", with(field("connection", "close"))),
        ("keep-alive", with(field("keep-alive", "timeout=5"))),
        ("proxy-connection", with(field("proxy-connection", "close"))),
        ("transfer-encoding", with(field("transfer-encoding", "chunked"))),
        ("upgrade", with(field("upgrade", "websocket"))),
        ("te", with(field("te", "gzip"))),
        ("te with more", with(field("te", "trailers, gzip"))),
        (
            "a pseudo-header behind a field",
            [field("x-a", "v"), request("GET", "/")].concat(),
        ),
        ("a second :path", with(field(":path", "/b"))),
        ("a second :method", with(field(":method", "POST"))),
        ("a second :authority", with(field(":authority", "b"))),
        ("a second :scheme", with(field(":scheme", "http"))),
        (":status", with(field(":status", "200"))),
        (":protocol", with(field(":protocol", "websocket"))),
        ("an unknown pseudo-header", with(field(":unknown", "v"))),
        ("an empty name", with(field("", "v"))),
        ("no :path", pseudo("GET")),
        ("an empty :path", request("GET", "")),
        ("a path that is none", request("GET", "a")),
        ("a path that is a URL", request("GET", "https://localhost/")),
        ("a query alone", request("GET", "?a")),
        ("an asterisk", request("GET", "*")),
        ("a space", request("GET", "/a b")),
        ("a control character", request("GET", "/a\u{1}b")),
        ("a backslash", request("GET", "/a\\b")),
        (
            "no :scheme",
            [
                field(":method", "GET"),
                field(":authority", "localhost"),
                field(":path", "/"),
            ]
            .concat(),
        ),
        (
            "no :method",
            [
                field(":scheme", "https"),
                field(":authority", "localhost"),
                field(":path", "/"),
            ]
            .concat(),
        ),
        (
            "no host",
            [field(":method", "GET"), field(":scheme", "https"), field(":path", "/")].concat(),
        ),
        ("another host", with(field("host", "other"))),
        (
            "two hosts",
            with([field("host", "localhost"), field("host", "localhost")].concat()),
        ),
        (
            "a user in :authority",
            [
                field(":method", "GET"),
                field(":scheme", "https"),
                field(":authority", "a@localhost"),
                field(":path", "/"),
            ]
            .concat(),
        ),
        (
            "a path in :authority",
            [
                field(":method", "GET"),
                field(":scheme", "https"),
                field(":authority", "localhost/a"),
                field(":path", "/"),
            ]
            .concat(),
        ),
        (
            "a fragment in :authority",
            [
                field(":method", "GET"),
                field(":scheme", "https"),
                field(":authority", "localhost#a"),
                field(":path", "/"),
            ]
            .concat(),
        ),
        ("CR in a value", with(field("x-a", "a\rb"))),
        ("LF in a value", with(field("x-a", "a\nb"))),
        ("NUL in a value", with(field("x-a", "a\0b"))),
        ("CR LF in a value", with(field("x-a", "a\r\nx-user: admin"))),
        ("LF in a name", with(field("x-a\nx-user", "v"))),
        ("a space in a name", with(field("x-a ", "v"))),
        ("a colon in a name", with(field("x-a:b", "v"))),
        (
            "a body that was announced and is none",
            with(field("content-length", "5")),
        ),
        (
            "two lengths",
            with([field("content-length", "0"), field("content-length", "5")].concat()),
        ),
        ("a length that is none", with(field("content-length", "+0"))),
        (
            "CONNECT",
            [field(":method", "CONNECT"), field(":authority", "localhost")].concat(),
        ),
        ("an entry that no table has", with(vec![0xff, 0x20])),
        ("a name that no table has", with(vec![0x7f, 0x40, 1, b'a'])),
        ("half a string", with(vec![0, 5, b'a'])),
        (
            "a table that is too large",
            [vec![0x3f, 0xe2, 0x1f], request("GET", "/")].concat(),
        ),
        (
            "no Huffman code",
            with([vec![0], string(b"x-a"), vec![0x81, 0x00]].concat()),
        ),
    ];
    for (what, block) in cases {
        let mut client = h2(&gate);
        client.send(HEADERS, WHOLE, 1, &block);
        let answer = client.answer(1);
        let refused = match &answer {
            Answer::Status(status, _) => matches!(status, 400 | 405),
            Answer::Reset(_) | Answer::GoAway(_) | Answer::Ended => true,
        };
        assert!(refused, "{what}: {answer:?}");
    }
    assert!(backend.requests().is_empty(), "{:#?}", backend.requests());
}

#[test]
fn bodies_that_break_a_rule_never_look_complete() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let post = |more: Vec<u8>| frame(HEADERS, END_HEADERS, 1, &[request("POST", "/"), more].concat());
    let five = || post(field("content-length", "5"));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("too little", [five(), frame(DATA, END_STREAM, 1, b"abc")].concat()),
        ("too much", [five(), frame(DATA, END_STREAM, 1, b"abcdefgh")].concat()),
        (
            "too little, then trailers",
            [
                five(),
                frame(DATA, 0, 1, b"abc"),
                frame(HEADERS, WHOLE, 1, &field("x-t", "v")),
            ]
            .concat(),
        ),
        (
            "trailers with :path",
            [
                post(vec![]),
                frame(DATA, 0, 1, b"abc"),
                frame(HEADERS, WHOLE, 1, &field(":path", "/b")),
            ]
            .concat(),
        ),
        (
            "trailers with :method of the static table",
            [post(vec![]), frame(HEADERS, WHOLE, 1, &[0x82])].concat(),
        ),
        (
            "trailers with an uppercase name",
            [post(vec![]), frame(HEADERS, WHOLE, 1, &field("X-T", "v"))].concat(),
        ),
        (
            "trailers with connection",
            [post(vec![]), frame(HEADERS, WHOLE, 1, &field("connection", "close"))].concat(),
        ),
        (
            "trailers that do not end the stream",
            [post(vec![]), frame(HEADERS, END_HEADERS, 1, &field("x-t", "v"))].concat(),
        ),
        (
            "padding longer than the frame",
            [post(vec![]), frame(DATA, 8, 1, &[9, 1, 2])].concat(),
        ),
    ];
    for (what, bytes) in cases {
        let mut client = h2(&gate);
        client.raw.send(bytes);
        let answer = client.answer(1);
        let refused = match &answer {
            Answer::Status(status, _) => *status == 400,
            Answer::Reset(_) | Answer::GoAway(_) | Answer::Ended => true,
        };
        assert!(refused, "{what}: {answer:?}");
    }
    let whole: Vec<_> = backend
        .requests()
        .into_iter()
        .filter(|request| request.complete)
        .collect();
    assert!(whole.is_empty(), "{whole:#?}");
}

/// Frames that end the connection (RFC 9113 sections 3.4, 4.2, 5.1.1, 6).
#[test]
fn frames_out_of_place_end_the_connection() {
    let backend = Upstream::start();
    let gate = gate(&backend, "");
    let get = |stream: u32| frame(HEADERS, WHOLE, stream, &request("GET", "/"));
    let half = frame(HEADERS, END_STREAM, 1, &request("GET", "/"));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("DATA on a stream nobody opened", frame(DATA, 0, 1, b"a")),
        ("DATA on stream 0", frame(DATA, 0, 0, b"a")),
        ("an even stream", get(2)),
        ("a stream that was passed by", [get(5), get(3)].concat()),
        ("HEADERS on stream 0", get(0)),
        ("a frame that is too long", frame(DATA, 0, 1, &[0; 16_385])),
        ("HEADERS that are too long", frame(HEADERS, WHOLE, 1, &[0; 16_385])),
        (
            "something within a header block",
            [half.clone(), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            "another stream's CONTINUATION",
            [half.clone(), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
        ),
        ("another HEADERS within a block", [half, get(3)].concat()),
        ("CONTINUATION out of nowhere", frame(CONTINUATION, END_HEADERS, 1, &[])),
        (
            "PUSH_PROMISE",
            [get(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])].concat(),
        ),
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        (
            "a window of too much",
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        ),
        ("a PING of four octets", frame(PING, 0, 0, &[0; 4])),
        ("SETTINGS of five octets", frame(SETTINGS, 0, 0, &[0; 5])),
        (
            "SETTINGS with an impossible window",
            frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        ),
        ("RST_STREAM on a stream nobody opened", frame(RST_STREAM, 0, 1, &[0; 4])),
        (
            "padding longer than HEADERS",
            frame(HEADERS, WHOLE | 8, 1, &[200, 1, 2]),
        ),
    ];
    for (what, bytes) in cases {
        let mut client = h2(&gate);
        client.raw.send(bytes);
        let (code, _) = withstands(&gate, || {
            println!("{what}");
            client.end()
        });
        assert!(code.is_none_or(|code| code != 0), "{what}: {code:?}");
    }
    for (what, first) in [
        ("no SETTINGS", frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS that answer nothing", frame(SETTINGS, 1, 0, &[])),
        ("a request first", get(1)),
    ] {
        let mut client = H2::silent(gate.listener(1), gate.authority());
        client.raw.send([PREFACE, &first].concat());
        assert_eq!(client.end().0, Some(PROTOCOL_ERROR), "{what}");
    }
    let mut client = H2::silent(gate.listener(1), gate.authority());
    client.raw.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.end();
    // DATA behind the end of its stream: the stream's error or the connection's, and nothing of it anywhere.
    let mut client = h2(&gate);
    client.raw.send([get(1), frame(DATA, END_STREAM, 1, b"late")].concat());
    assert_ne!(client.answer(1), Answer::Status(200, "late".into()));
    assert!(backend.requests().iter().all(|request| request.body.is_empty()));
}
