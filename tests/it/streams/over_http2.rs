//! WebSockets over HTTP/2 (RFC 8441), to servers that speak HTTP/1.1.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::path::gate::{AUDIENCE, Gate, open_to, route, upstream};
use crate::support::certificates::Authority;
use crate::support::extended::{self, Sender, run};
use crate::support::issuer::unix_time;
use crate::support::reply::Reply;
use crate::support::upstream::{self as backend, Upstream};

async fn connect(address: SocketAddr, authority: &Authority) -> Sender {
    extended::connect(address, authority.trusting_client(&["h2"]), "/warm").await
}

fn extended(protocol: Option<&'static str>, path: &str) -> http::request::Builder {
    extended::extended(protocol, &format!("https://localhost{path}"))
}

async fn ask(sender: &mut Sender, request: http::request::Builder) -> Response<Incoming> {
    sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap()
}

async fn open(sender: &mut Sender, request: http::request::Builder) -> TokioIo<Upgraded> {
    let response = ask(sender, request).await;
    assert_eq!(response.status(), 200);
    TokioIo::new(hyper::upgrade::on(response).await.unwrap())
}

/// 101 with the right answer to the key, then every byte comes back.
fn accepting(request: &backend::Request) -> Reply {
    match request.header("sec-websocket-key") {
        None => Reply::text("no WebSocket"),
        Some(key) => {
            let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
            );
            Reply::echo_behind(head)
        }
    }
}

#[test]
fn a_stream_becomes_a_websocket_and_every_byte_passes() {
    let backend = Upstream::answering(accepting);
    let gate = Gate::with_tls(&open_to(&backend.url()));
    run(async {
        let mut sender = connect(gate.listener(1), gate.authority()).await;
        let request = extended(Some("websocket"), "/ws?a=1")
            .header("sec-websocket-protocol", "chat")
            .header("sec-websocket-extensions", "permessage-deflate");
        let response = ask(&mut sender, request).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["sec-websocket-protocol"], "chat");
        for name in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        let mut socket = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        // Other streams of the connection go on beside it.
        for length in [1, 1000, 300_000] {
            let bytes: Vec<u8> = (0..length).map(|at: usize| (at % 251) as u8).collect();
            let (mut reader, mut writer) = tokio::io::split(&mut socket);
            let mut echoed = vec![0; length];
            let write = async { writer.write_all(&bytes).await.unwrap() };
            let read = async { reader.read_exact(&mut echoed).await.map(drop).unwrap() };
            tokio::join!(write, read);
            assert!(echoed == bytes, "{length}");
            let ordinary = Request::get("https://localhost/x").body(Empty::new()).unwrap();
            assert_eq!(sender.send_request(ordinary).await.unwrap().status(), 200);
        }
        socket.write_all(b"the end").await.unwrap();
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"the end");
    });
    let seen = backend
        .requests()
        .into_iter()
        .find(|request| request.target == "/ws?a=1")
        .unwrap();
    assert_eq!((seen.method.as_str(), seen.version.as_str()), ("GET", "HTTP/1.1"));
    assert_eq!(seen.header("upgrade"), Some("websocket"));
    assert_eq!(seen.header("sec-websocket-version"), Some("13"));
    assert_eq!(seen.header("sec-websocket-protocol"), Some("chat"));
    assert_eq!(seen.header("sec-websocket-extensions"), Some("permessage-deflate"));
    assert!(seen.headers.lists("connection", "upgrade"));
    assert!(seen.header("host").is_some_and(|host| host.starts_with("localhost")));
}

#[test]
fn it_is_admitted_as_the_get_it_stands_for() {
    let backend = Upstream::answering(accepting);
    let config = upstream("app", &backend.url(), "")
        + &route("open", "/", "app", "access = \"public\"")
        + &route("closed", "/closed", "app", "")
        + &route("admin", "/admin", "app", "roles_any = [\"admin\"]")
        + &route("post", "/post", "app", "access = \"public\"\nmethods = [\"POST\"]")
        + &route("get", "/get", "app", "access = \"public\"\nmethods = [\"GET\"]");
    let gate = Gate::with_tls(&config);
    let bearer = |roles: &[&str]| format!("Bearer {}", gate.token("anna", roles));
    run(async {
        let mut sender = connect(gate.listener(1), gate.authority()).await;
        for (path, token, status) in [
            ("/closed", None, 401),
            ("/admin", Some(bearer(&["reader"])), 403),
            ("/post", None, 405),
            ("/api/me", None, 401),
            ("/.well-known/jwks.json", None, 501),
            ("/get", None, 200),
            ("/admin", Some(bearer(&["admin"])), 200),
        ] {
            let mut request = extended(Some("websocket"), path);
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            let response = ask(&mut sender, request).await;
            assert_eq!(response.status(), status, "{path}");
            if status >= 400 {
                let body = response.into_body().collect().await.unwrap().to_bytes();
                assert!(body.starts_with(b"{\"type\":"), "{path}: {body:?}");
            }
        }
        let response = ask(&mut sender, extended(Some("connect-udp"), "/")).await;
        assert_eq!(response.status(), 501);
    });
    let seen = backend.requests();
    let admitted: Vec<&str> = seen.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(admitted, ["/warm", "/get", "/admin"]);
    assert_eq!(seen[2].header("x-user"), Some("anna"));
}

#[test]
fn a_plain_connect_is_refused() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&open_to(&backend.url()));
    run(async {
        let mut sender = connect(gate.listener(1), gate.authority()).await;
        let request = Request::builder().method(Method::CONNECT).uri("localhost:22");
        assert_eq!(ask(&mut sender, request).await.status(), 405);
    });
}

#[test]
fn what_the_server_answers_instead_is_passed_on_unless_it_would_look_like_a_tunnel() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&open_to(&backend.url()));
    let wrong = "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n";
    run(async {
        let mut sender = connect(gate.listener(1), gate.authority()).await;
        for (reply, status) in [
            (Reply::new(403, &[], "no"), 403),
            (Reply::new(426, &[("Sec-WebSocket-Version", "8")], ""), 426),
            (Reply::new(302, &[("Location", "/login")], ""), 302),
            (Reply::text("a page"), 502),
            (Reply::bytes(wrong), 502),
        ] {
            backend.next(reply);
            let response = ask(&mut sender, extended(Some("websocket"), "/ws")).await;
            assert_eq!(response.status(), status);
        }
    });
}

#[test]
fn it_ends_with_its_token_and_is_told_so() {
    let backend = Upstream::answering(accepting);
    let config = upstream("app", &backend.url(), "") + &route("app", "/", "app", "");
    let gate = Gate::with_tls(&config);
    let mut claims = gate.issuer().claims(AUDIENCE, "anna");
    claims["exp"] = json!(unix_time() + 3);
    let token = format!("Bearer {}", gate.issuer().sign("k1", &claims));
    run(async {
        let mut sender = connect(gate.listener(1), gate.authority()).await;
        let request = extended(Some("websocket"), "/ws").header("authorization", token);
        let mut socket = open(&mut sender, request).await;
        socket.write_all(b"\x82\x01a").await.unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"\x82\x01a\x88\x02\x03\xf0");
        // The connection and its other streams go on.
        let another = Request::get("https://localhost/x").body(Empty::new()).unwrap();
        assert_eq!(sender.send_request(another).await.unwrap().status(), 401);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let another = Request::get("https://localhost/x").body(Empty::new()).unwrap();
        assert_eq!(sender.send_request(another).await.unwrap().status(), 401);
    });
}

#[test]
fn the_server_hears_when_the_client_goes() {
    let backend = Upstream::answering(accepting);
    let gate = Gate::with_tls(&open_to(&backend.url()));
    run(async {
        let mut sender = connect(gate.listener(1), gate.authority()).await;
        let socket = open(&mut sender, extended(Some("websocket"), "/ws")).await;
        drop(socket);
        drop(sender);
    });
    let number = backend.requests().pop().unwrap().connection;
    backend.wait_for_close(number);
}
