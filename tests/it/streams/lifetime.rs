//! What is open ends with the credential that opened it, and with the gateway; nothing else ends it.

use std::time::{Duration, UNIX_EPOCH};

use http::Method;
use serde_json::json;

use super::{WEBSOCKET, get};
use crate::accounts::world::{Kind, World};
use crate::path::gate::{AUDIENCE, Gate, route, upstream};
use crate::support::client::Protocol;
use crate::support::issuer::unix_time;
use crate::support::raw::RawClient;
use crate::support::reply::{Gate as Barrier, Reply};
use crate::support::upstream::Upstream;

/// The close frames of the gateway (RFC 6455 section 7.4.1).
const POLICY_VIOLATION: &[u8] = &[0x88, 2, 0x03, 0xf0];
const GOING_AWAY: &[u8] = &[0x88, 2, 0x03, 0xe9];

/// What is promised, and as much again for a busy machine.
const SOON: Duration = Duration::from_secs(4);

const OPEN_FOR: u64 = 3;

fn protected(backend: &Upstream) -> String {
    upstream("app", &backend.url(), "")
        + &route("app", "/", "app", "")
        + &route("open", "/open", "app", "access = \"public\"")
}

/// The header line of a token that ends soon, and when.
fn short_token(gate: &Gate) -> (String, u64) {
    let mut claims = gate.issuer().claims(AUDIENCE, "anna");
    let end = unix_time() + OPEN_FOR;
    claims["exp"] = json!(end);
    (
        format!("Authorization: Bearer {}\r\n", gate.issuer().sign("k1", &claims)),
        end,
    )
}

/// Whether it is the right time for what a token has opened to end.
fn assert_ends_at(end: u64) {
    let now = UNIX_EPOCH.elapsed().unwrap();
    let end = Duration::from_secs(end);
    assert!(now >= end, "{:?} early", end - now);
    assert!(now < end + SOON, "{:?} late", now - end);
}

fn open(client: &mut RawClient, request: String) {
    let answer = client.send(request).response();
    assert_eq!(answer.status, 101, "{}", answer.text());
    client.send("\x01ping");
    assert_eq!(client.take(5).unwrap(), b"\x01ping");
}

#[test]
fn a_websocket_ends_with_its_token_and_is_told_so() {
    let backend = Upstream::start();
    let gate = Gate::start(&protected(&backend));
    let (token, end) = short_token(&gate);
    backend.next(Reply::upgrade_and_echo("websocket"));
    backend.next(Reply::upgrade_and_echo("websocket"));
    let (mut client, mut other) = (gate.connect(), gate.connect());
    let (mut first, mut second) = (String::new(), String::new());
    first.push_str(&get("/ws", &format!("{WEBSOCKET}{token}")));
    second.push_str(&get("/ws", &format!("{WEBSOCKET}{}", gate.bearer("berta", &[]))));
    let answer = client.send(first).response();
    assert_eq!(answer.status, 101);
    let answer = other.send(second).response();
    assert_eq!(answer.status, 101);
    // A frame comes back, so the server's side stands between two.
    client.send(b"\x82\x01a");
    assert_eq!(client.take(3).unwrap(), b"\x82\x01a");
    assert_eq!(client.take_all().unwrap(), POLICY_VIOLATION);
    assert_ends_at(end);
    backend.wait_for_close(0);
    // Nobody else's.
    other.send(b"\x82\x01b");
    assert_eq!(other.take(3).unwrap(), b"\x82\x01b");
}

#[test]
fn no_close_frame_stands_within_a_frame() {
    let backend = Upstream::start();
    let gate = Gate::start(&protected(&backend));
    let (token, end) = short_token(&gate);
    backend.next(Reply::upgrade_and_echo("websocket"));
    let mut client = gate.connect();
    assert_eq!(
        client
            .send(get("/ws", &format!("{WEBSOCKET}{token}")))
            .response()
            .status,
        101
    );
    client.send(b"\x82\x05ab");
    assert_eq!(client.take(4).unwrap(), b"\x82\x05ab");
    assert_eq!(client.take_all().map(|rest| rest.len()).unwrap_or(0), 0);
    assert_ends_at(end);

    // Nor where the protocol is not WebSocket.
    let (token, end) = short_token(&gate);
    backend.next(Reply::upgrade_and_echo("tcp"));
    let mut client = gate.connect();
    open(
        &mut client,
        get("/ws", &format!("Connection: upgrade\r\nUpgrade: tcp\r\n{token}")),
    );
    assert_eq!(client.take_all().map(|rest| rest.len()).unwrap_or(0), 0);
    assert_ends_at(end);
}

#[test]
fn streams_of_events_and_downloads_end_with_their_token_too() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&protected(&backend));
    let never = Barrier::new();
    let events =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
    let download = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin";
    for reply in [events, download] {
        backend.next(Reply::bytes(reply).then_after(&never, "x"));
        backend.next(Reply::bytes(reply).then_after(&never, "x"));
        let (token, end) = short_token(&gate);
        let mut client = gate.connect();
        client.send(get("/stream", &token));
        let http2 = gate.tls_client(Protocol::Http2);
        std::thread::scope(|scope| {
            let bearer = token.trim_start_matches("Authorization: ").trim_end().to_owned();
            let request = http2.request(Method::GET, "/stream").header("authorization", &bearer);
            let over_http2 = scope.spawn(move || request.try_send());
            // Broken off: never what looks like an end.
            let broken = client.try_response().expect_err("the answer is broken off");
            assert_ends_at(end);
            assert!(broken.to_string().contains("200 without its whole body"), "{broken}");
            assert!(over_http2.join().unwrap().is_err());
            assert_ends_at(end);
        });
    }
    never.open();
}

#[test]
fn what_no_token_has_opened_stays_open() {
    let backend = Upstream::start();
    let gate = Gate::start(&protected(&backend));
    let (token, end) = short_token(&gate);
    backend.next(Reply::upgrade_and_echo("websocket"));
    backend.next(Reply::upgrade_and_echo("websocket"));
    let (mut open_to_all, mut marked) = (gate.connect(), gate.connect());
    open(&mut open_to_all, get("/open", &format!("{WEBSOCKET}{token}")));
    open(&mut marked, get("/ws", &format!("{WEBSOCKET}{token}")));
    // That the other one ends tells that it is time.
    marked.take_all().ok();
    assert_ends_at(end);
    open_to_all.send("still");
    assert_eq!(open_to_all.take(5).unwrap(), b"still");
}

#[test]
fn a_connection_goes_on_when_the_token_of_an_earlier_request_has_ended() {
    let backend = Upstream::start();
    let gate = Gate::start(&protected(&backend));
    let (token, end) = short_token(&gate);
    let mut client = gate.connect();
    assert_eq!(client.send(get("/a", &token)).response().status, 200);
    backend.next(Reply::upgrade_and_echo("websocket"));
    let mut marked = gate.connect();
    open(&mut marked, get("/ws", &format!("{WEBSOCKET}{token}")));
    marked.take_all().ok();
    assert_ends_at(end);
    assert_eq!(client.send(get("/b", &token)).response().status, 401);
    assert_eq!(client.send(get("/c", &gate.bearer("anna", &[]))).response().status, 200);
}

#[test]
fn a_logout_ends_what_its_session_has_opened_and_a_passing_token_does_not() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway("[tokens]\naccess_ttl = \"2s\"\n");
    let (anna, berta) = (gateway.register("anna"), gateway.register("berta"));
    let again = gateway.login("anna");
    let mut sockets = [&anna, &again, &berta].map(|tokens| {
        world.backend.next(Reply::upgrade_and_echo("websocket"));
        let mut client = RawClient::connect(gateway.address);
        let token = format!("Authorization: Bearer {}\r\n", tokens.access);
        let answer = client.send(get("/app/ws", &format!("{WEBSOCKET}{token}"))).response();
        assert_eq!(answer.status, 101);
        client.send(b"\x82\x01a");
        assert_eq!(client.take(3).unwrap(), b"\x82\x01a");
        client
    });
    gateway.logout(&again.access).expect(204);
    let [of_anna, of_again, of_berta] = &mut sockets;
    assert_eq!(of_again.take_all().unwrap(), POLICY_VIOLATION);
    // The tokens' time passes; the sessions live, and so do their sockets.
    crate::support::until("the token's end", || {
        (gateway.status_as("/app/x", &anna.access) == 401).then_some(())
    });
    for client in [&mut *of_anna, &mut *of_berta] {
        client.send(b"\x82\x01b");
        assert_eq!(client.take(3).unwrap(), b"\x82\x01b");
    }
    // Whoever may not come in any more is out everywhere.
    world.sql("UPDATE users SET is_active = 0 WHERE username = 'anna'");
    assert_eq!(of_anna.take_all().unwrap(), POLICY_VIOLATION);
    of_berta.send(b"\x82\x01c");
    assert_eq!(of_berta.take(3).unwrap(), b"\x82\x01c");
}

#[test]
fn a_websocket_may_go_on_while_the_gateway_drains_and_is_told_when_it_goes() {
    let backend = Upstream::start();
    let mut gate = Gate::start(&(protected(&backend) + "[timeouts]\ndrain = \"2s\"\n"));
    backend.next(Reply::upgrade_and_echo("websocket"));
    let mut client = gate.connect();
    assert_eq!(client.send(get("/open", WEBSOCKET)).response().status, 101);
    gate.terminate();
    gate.process().wait_for_line(|line| line.contains("stopping"));
    client.send(b"\x82\x01a");
    assert_eq!(client.take(3).unwrap(), b"\x82\x01a");
    assert_eq!(client.take_all().unwrap(), GOING_AWAY);
    assert_eq!(gate.wait().code(), Some(0));
}

#[test]
fn a_websocket_that_ends_lets_a_draining_gateway_go() {
    let backend = Upstream::start();
    let mut gate = Gate::start(&(protected(&backend) + "[timeouts]\ndrain = \"10m\"\n"));
    backend.next(Reply::upgrade_and_echo("websocket"));
    let mut client = gate.connect();
    assert_eq!(client.send(get("/open", WEBSOCKET)).response().status, 101);
    gate.terminate();
    gate.process().wait_for_line(|line| line.contains("stopping"));
    client.finish_sending();
    client.take_all().unwrap();
    assert_eq!(gate.wait().code(), Some(0));
}
