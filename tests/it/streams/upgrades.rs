//! Upgrades of HTTP/1.1, byte by byte: what becomes a tunnel, and what stays HTTP.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::{WEBSOCKET, connect, get, server};
use crate::path::gate::{Gate, open_to, route, upstream};
use crate::support::certificates::Authority;
use crate::support::raw::RawClient;
use crate::support::reply::Reply;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::upstream_h2c::H2cUpstream;

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

fn open_gate(backend: &Upstream) -> Gate {
    Gate::start(&open_to(&backend.url()))
}

/// Every byte value, in no order that anything would expect.
fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 131 % 251) as u8 ^ (at >> 8) as u8).collect()
}

#[test]
fn every_byte_passes_both_ways() {
    let backend = Upstream::start();
    backend.next(Reply::upgrade_and_echo("websocket"));
    let gate = open_gate(&backend);
    let mut client = gate.connect();
    let answer = client.send(get("/ws?a=1", WEBSOCKET)).response();
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("connection"), Some("upgrade"));
    assert_eq!(
        (answer.header("content-length"), answer.header("transfer-encoding")),
        (None, None)
    );
    for length in [1, 2, 100, 16 * 1024, 16 * 1024 + 1, 100_000] {
        let bytes = noise(length);
        client.send(&bytes);
        assert_eq!(client.take(length).unwrap(), bytes);
    }
    let seen = backend.only_request();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/ws?a=1"));
    assert_eq!(seen.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(seen.header("sec-websocket-version"), Some("13"));
    assert_eq!(seen.header("upgrade"), Some("websocket"));
    assert!(seen.headers.lists("connection", "upgrade"));
    // One line, at the handshake.
    let line = gate.access_line("/ws");
    assert!(
        line.contains("status=101") && line.contains("decision=permit"),
        "{line}"
    );
    assert_eq!(
        gate.metric(r#"doorward_http_requests_total{route="open",method="GET",status="101"}"#),
        1.0
    );
}

#[test]
fn what_comes_early_is_kept_and_comes_first() {
    let backend = Upstream::start();
    let gate = open_gate(&backend);
    // The server's first bytes in the segment of its 101; the client's right behind its handshake.
    let mut together = format!("{SWITCHING}\r\n").into_bytes();
    together.extend(b"\x81\x05first");
    backend.next(Reply::upgrade_and_echo("websocket").preceded_by(""));
    backend.next(Reply::bytes(together).then_close());
    let mut client = gate.connect();
    client.send(get("/", WEBSOCKET) + "\0no HTTP\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 101);
    let early = b"\0no HTTP\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(client.take(early.len()).unwrap(), early);
    let mut client = gate.connect();
    assert_eq!(client.send(get("/", WEBSOCKET)).response().status, 101);
    assert_eq!(client.take_all().unwrap(), b"\x81\x05first");
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn over_tls_too() {
    let backend = Upstream::start();
    backend.next(Reply::upgrade_and_echo("websocket"));
    let gate = Gate::with_tls(&open_to(&backend.url()));
    let config = gate.authority().trusting_client(&["http/1.1"]);
    let mut client = RawClient::connect_tls(gate.listener(1), "localhost", config);
    client.send(get("/", WEBSOCKET));
    assert_eq!(client.response().status, 101);
    let bytes = noise(300_000);
    let (front, back) = bytes.split_at(1000);
    client.send(front);
    assert_eq!(client.take(front.len()).unwrap(), front);
    client.send(back);
    client.finish_sending();
    assert_eq!(client.take_all().unwrap(), back);
}

#[test]
fn only_101_makes_a_tunnel_and_what_stands_behind_is_the_next_request() {
    let backend = Upstream::start();
    let config = upstream("app", &backend.url(), "")
        + &route("open", "/", "app", "access = \"public\"")
        + &route("closed", "/closed", "app", "");
    let gate = Gate::start(&config);
    for status in [200, 204, 400, 403, 404, 426, 500] {
        backend.next(Reply::new(status, &[("Upgrade", "websocket")], ""));
        let before = backend.requests().len();
        let mut client = gate.connect();
        // An upstream that was sent the rest as bytes of a tunnel would serve the second request.
        client.send(get("/", WEBSOCKET) + &get("/closed", "") + &get("/after", "Connection: close\r\n"));
        let answer = client.response();
        assert_eq!(answer.status, status);
        assert!(answer.keeps_alive(), "{status}");
        assert_eq!(client.response().status, 401, "after {status}");
        let last = client.response();
        assert_eq!((last.status, last.json()["target"].as_str()), (200, Some("/after")));
        client.expect_close();
        let seen: Vec<String> = backend.requests()[before..]
            .iter()
            .map(|one| one.target.clone())
            .collect();
        assert_eq!(seen, ["/", "/after"], "after {status}");
    }
    // What is no request is refused as always.
    backend.next(Reply::text("no"));
    let mut client = gate.connect();
    client.send(get("/", WEBSOCKET) + "\x01\x02 frames\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 400);
    client.expect_close();
}

#[test]
fn a_refused_upgrade_keeps_the_connection_in_step() {
    let backend = Upstream::start();
    let config = upstream("app", &backend.url(), "")
        + &route("open", "/", "app", "access = \"public\"")
        + &route("closed", "/closed", "app", "")
        + &route("admin", "/admin", "app", "roles_any = [\"admin\"]");
    let gate = Gate::start(&config);
    let mut client = gate.connect();
    let reader = gate.bearer("anna", &["reader"]);
    for (target, lines, status) in [
        ("/closed", WEBSOCKET.to_owned(), 401),
        ("/admin", format!("{WEBSOCKET}{reader}"), 403),
        ("/closed", format!("{WEBSOCKET}{reader}{reader}"), 400),
        ("/%zz", WEBSOCKET.to_owned(), 400),
        ("/api/me", WEBSOCKET.to_owned(), 401),
        ("/.well-known/jwks.json", WEBSOCKET.to_owned(), 200),
    ] {
        let answer = client.send(get(target, &lines)).response();
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        let next = client.send(get("/next", "")).response();
        assert_eq!(
            (next.status, next.json()["target"].as_str()),
            (200, Some("/next")),
            "{target}"
        );
    }
    let before = backend.requests().len();
    backend.next(Reply::upgrade_and_echo("websocket"));
    let admin = gate.bearer("anna", &["admin"]);
    assert_eq!(
        client
            .send(get("/admin", &format!("{WEBSOCKET}{admin}")))
            .response()
            .status,
        101
    );
    client.send("echo");
    assert_eq!(client.take(4).unwrap(), b"echo");
    let seen = &backend.requests()[before];
    assert_eq!(
        (seen.header("x-user"), seen.header("authorization")),
        (Some("anna"), None)
    );
}

#[test]
fn a_long_answer_to_an_upgrade_comes_whole() {
    // hyper ends a connection that had seen an Upgrade without flushing, if it may.
    let backend = Upstream::start();
    let gate = Gate::with_tls(&open_to(&backend.url()));
    let body = noise(8 << 20);
    for (index, tls) in [false, true].into_iter().enumerate() {
        backend.next(Reply::new(403, &[], body.clone()));
        let mut client = if tls {
            let config = gate.authority().trusting_client(&["http/1.1"]);
            RawClient::connect_tls(gate.listener(1), "localhost", config)
        } else {
            gate.connect()
        };
        client.send(get("/", WEBSOCKET) + &get("/bye", "Connection: close\r\n"));
        // A reader that begins late leaves the gateway with something unsent.
        backend.wait_for(2 * index + 1);
        let answer = client.response();
        assert!(answer.status == 403 && answer.body == body);
        assert_eq!(client.response().status, 200);
        client.expect_close();
    }
}

#[test]
fn the_upstream_switches_to_what_it_was_asked_for_or_not_at_all() {
    let backend = Upstream::start();
    let gate = open_gate(&backend);
    for upgrade in [
        "Upgrade: h2c\r\n",
        "",
        "Upgrade: websocket\r\nUpgrade: x\r\n",
        "Upgrade: websocket, x\r\n",
    ] {
        backend.next(Reply::bytes(format!(
            "HTTP/1.1 101 S\r\nConnection: Upgrade\r\n{upgrade}\r\nbytes"
        )));
        let mut client = gate.connect();
        let answer = client.send(get("/", WEBSOCKET)).response();
        assert_eq!(answer.status, 502, "{upgrade:?}");
        assert_eq!(answer.json()["error"], "upstream_failed");
        assert_eq!(client.send(get("/next", "")).response().status, 200);
    }
    // Nobody had asked.
    backend.next(Reply::bytes(format!("{SWITCHING}\r\n")));
    assert_eq!(gate.get("/", "").status, 502);
}

#[test]
fn http_is_no_protocol_to_switch_to() {
    let backend = Upstream::start();
    let gate = open_gate(&backend);
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        "Connection: upgrade\r\nUpgrade: H2C\r\n",
        "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n",
        // Not an upgrade at all.
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n",
    ] {
        let mut client = gate.connect();
        let answer = client.send(get("/x", lines)).response();
        assert_eq!(answer.status, 200, "{lines}");
        let seen = backend.requests().pop().unwrap();
        for name in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(seen.header(name), None, "{name} after {lines}");
        }
        assert_eq!(client.send(get("/next", "")).response().status, 200);
    }
    // Of a list, what can be switched to.
    backend.next(Reply::upgrade_and_echo("websocket"));
    let mut client = gate.connect();
    client.send(get("/x", "Connection: upgrade\r\nUpgrade: h2c, websocket\r\n"));
    assert_eq!(client.response().status, 101);
    assert_eq!(backend.requests().pop().unwrap().header("upgrade"), Some("websocket"));
}

#[test]
fn a_request_with_a_body_asks_for_no_upgrade() {
    let backend = Upstream::start();
    let gate = open_gate(&backend);
    for framed in [
        "Content-Length: 3\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let mut client = gate.connect();
        client.send(format!("POST /x HTTP/1.1\r\nHost: a\r\n{WEBSOCKET}{framed}"));
        assert_eq!(client.response().json()["body"], "abc");
        assert_eq!(backend.requests().pop().unwrap().header("upgrade"), None);
        assert_eq!(client.send(get("/next", "")).response().status, 200);
    }
}

#[test]
fn other_protocols_than_websocket_pass() {
    let backend = Upstream::start();
    backend.next(Reply::upgrade_and_echo("tcp"));
    let gate = open_gate(&backend);
    let mut client = gate.connect();
    client.send("POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().status, 101);
    client.send("anything");
    assert_eq!(client.take(8).unwrap(), b"anything");
}

#[test]
fn each_side_may_close_first_and_the_other_gets_what_is_left() {
    // The client sends no more: the server reads all of it and its end, and its answer still comes.
    let (told, heard) = mpsc::channel();
    let address = server(move |mut stream| {
        read_head(&mut stream);
        write!(stream, "{SWITCHING}\r\n").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        told.send(all).unwrap();
        stream.write_all(b"the answer").unwrap();
    });
    let gate = Gate::start(&open_to(&format!("http://{address}")));
    let mut client = gate.connect();
    assert_eq!(client.send(get("/", WEBSOCKET)).response().status, 101);
    let bytes = noise(500_000);
    client.send(&bytes);
    client.finish_sending();
    assert!(heard.recv().unwrap() == bytes);
    assert_eq!(client.take_all().unwrap(), b"the answer");

    // The server closes: so does the client's connection.
    let address = server(|mut stream| {
        read_head(&mut stream);
        write!(stream, "{SWITCHING}\r\nlast words").unwrap();
    });
    let gate = Gate::start(&open_to(&format!("http://{address}")));
    let mut client = gate.connect();
    assert_eq!(client.send(get("/", WEBSOCKET)).response().status, 101);
    assert_eq!(client.take_all().unwrap(), b"last words");
}

#[test]
fn a_client_that_vanishes_is_missed_by_the_server() {
    let (told, heard) = mpsc::channel();
    let address = server(move |mut stream| {
        read_head(&mut stream);
        write!(stream, "{SWITCHING}\r\n").unwrap();
        told.send(stream.read(&mut [0; 16]).map_or(0, |read| read)).unwrap();
    });
    let gate = Gate::start(&open_to(&format!("http://{address}")));
    let mut client = gate.connect();
    assert_eq!(client.send(get("/", WEBSOCKET)).response().status, 101);
    let descriptors = gate.descriptors();
    drop(client);
    assert_eq!(heard.recv_timeout(crate::support::PATIENCE).unwrap(), 0);
    until("both sockets are closed", || {
        (gate.descriptors() <= descriptors - 2).then_some(())
    });
}

#[test]
fn a_client_that_does_not_read_is_not_read_for_and_cut() {
    const PIECE: usize = 64 * 1024;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let (told, heard) = mpsc::channel();
    let address = server(move |mut stream| {
        read_head(&mut stream);
        write!(stream, "{SWITCHING}\r\n").unwrap();
        while stream.write_all(&[0; PIECE]).is_ok() {
            counter.fetch_add(PIECE as u64, Ordering::Relaxed);
        }
        told.send(()).unwrap();
    });
    let gate = Gate::start(&(open_to(&format!("http://{address}")) + "[timeouts]\nbody_progress = \"2s\"\n"));
    let before = gate.memory("VmHWM");
    let mut client = connect(gate.address());
    write!(client, "{}", get("/", WEBSOCKET)).unwrap();
    read_head(&mut client);
    // It keeps sending: that is no sign of reading.
    let mut sender = client.try_clone().unwrap();
    let talking = thread::spawn(move || {
        while sender.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    heard.recv_timeout(crate::support::PATIENCE).expect("the tunnel is cut");
    assert!(
        sent.load(Ordering::Relaxed) < 32 << 20,
        "nobody reads, and all is taken"
    );
    assert!(gate.memory("VmHWM").saturating_sub(before) < 16 << 20);
    client.shutdown(Shutdown::Both).ok();
    talking.join().unwrap();
}

#[test]
fn a_silent_tunnel_is_left_alone() {
    let backend = Upstream::start();
    backend.next(Reply::upgrade_and_echo("websocket"));
    let short = "[timeouts]\nbody_progress = \"1s\"\nidle = \"1s\"\nheader_read = \"1s\"\nfirst_byte = \"1s\"\n";
    let gate = Gate::start(&(open_to(&backend.url()) + short));
    let mut client = gate.connect();
    assert_eq!(client.send(get("/", WEBSOCKET)).response().status, 101);
    // Longer than any deadline of a request: that another connection is let go tells.
    let mut idle = gate.connect();
    assert_eq!(idle.send(get("/", "")).response().status, 200);
    idle.expect_close();
    let mut idle = gate.connect();
    idle.expect_close();
    client.send("still there");
    assert_eq!(client.take(11).unwrap(), b"still there");
}

/// Reads up to the empty line.
fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn over_https_http1_is_agreed_on_for_it_though_the_server_would_rather_speak_http2() {
    let authority = Authority::new();
    let config = Arc::new(authority.server(&["localhost"]).server_config(&["h2", "http/1.1"]));
    let address = server(move |stream| {
        let session = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut stream = rustls::StreamOwned::new(session, stream);
        let head = read_head(&mut stream);
        assert_eq!(stream.conn.alpn_protocol(), Some(b"http/1.1".as_slice()), "{head}");
        write!(stream, "{SWITCHING}\r\n").unwrap();
        let mut piece = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            stream.write_all(&piece[..read]).unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let url = format!("https://localhost:{}", address.port());
    let config = upstream("app", &url, &format!("tls = {{ ca = {ca:?} }}"));
    let gate = Gate::start(&(config + &route("open", "/", "app", "access = \"public\"")));
    for _ in 0..2 {
        let mut client = gate.connect();
        assert_eq!(client.send(get("/ws", WEBSOCKET)).response().status, 101);
        client.send("echo");
        assert_eq!(client.take(4).unwrap(), b"echo");
    }
}

#[test]
fn a_server_of_http2_alone_is_asked_for_no_upgrade() {
    let backend = H2cUpstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    let mut client = gate.connect();
    let answer = client.send(get("/ws", WEBSOCKET)).response();
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error"], "upstream_failed");
    assert!(gate.access_line("/ws").contains("speaks HTTP/2 alone"));
    assert_eq!(client.send(get("/next", "")).response().status, 200);
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn both_ends_are_asked_for_signs_of_life() {
    let backend = Upstream::start();
    backend.next(Reply::upgrade_and_echo("websocket"));
    let gate = open_gate(&backend);
    let mut client = gate.connect();
    assert_eq!(client.send(get("/", WEBSOCKET)).response().status, 101);
    client.send("echo");
    assert_eq!(client.take(4).unwrap(), b"echo");
    let name = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let ends = [
        (Some(name(gate.address())), name(client.local_address())),
        (None, name(backend.address())),
    ];
    for (local, remote) in ends {
        // The second figure of the timer column: 02 is keep-alive, 01 an acknowledgement that is still awaited.
        until("a keep-alive timer", || {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let mut sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            sockets
                .any(|fields| {
                    local.as_ref().is_none_or(|local| fields[1] == local)
                        && fields[2] == remote
                        && fields[5].starts_with("02")
                })
                .then_some(())
        });
    }
}
