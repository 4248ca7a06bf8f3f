//! The test peers, tried on each other: what the tests of the gateway conclude is worth no more than these.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use serde_json::json;

use crate::support::certificates::{Authority, Certificate};
use crate::support::client::{Client, Protocol};
use crate::support::gateway::{AUDIENCE, Metrics, TestGateway};
use crate::support::issuer::{Issuer, claims_of};
use crate::support::nginx::{self, Nginx};
use crate::support::raw::{Broken, Framing, RawClient};
use crate::support::reply::{Gate, Reply};
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::upstream_h2c::H2cUpstream;

#[test]
fn the_upstream_keeps_every_byte_and_echoes_what_it_understood() {
    let upstream = Upstream::start();
    let first =
        b"POST /a%2Fb?q=1 HTTP/1.1\r\nHost: x\r\nX-Odd:  two  \r\nx-odd: again\r\nContent-Length: 5\r\n\r\nhello";
    let second = b"GET / HTTP/1.1\nHost: y\nConnection: close\n\n";
    let mut client = RawClient::connect(upstream.address());
    let responses = client.exchange([&first[..], &second[..]].concat());

    assert_eq!(responses.len(), 2);
    let echo = responses[0].json();
    assert_eq!(echo["target"], "/a%2Fb?q=1");
    assert_eq!(echo["body"], "hello");
    assert_eq!(
        echo["headers"],
        json!([
            ["Host", "x"],
            ["X-Odd", "two"],
            ["x-odd", "again"],
            ["Content-Length", "5"]
        ])
    );
    let requests = upstream.wait_for(2);
    assert_eq!([requests[0].head.clone(), requests[0].raw_body.clone()].concat(), first);
    assert_eq!(requests[1].head, second);
    assert_eq!(upstream.wait_for_close(0).bytes, [&first[..], &second[..]].concat());
}

#[test]
fn the_upstream_reads_chunks_and_trailers() {
    let upstream = Upstream::start();
    let body = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n";
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    RawClient::connect(upstream.address()).exchange([&head[..], &body[..]].concat());
    let request = upstream.only_request();
    assert_eq!(request.text(), "abcde");
    assert_eq!(request.raw_body, body);
    assert_eq!(request.trailers.get("x-sum"), Some("5"));
}

#[test]
fn a_request_that_breaks_off_is_kept_and_told_apart() {
    let upstream = Upstream::start();
    let mut client = RawClient::connect(upstream.address());
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    upstream.wait_for_heads(1);
    client.finish_sending();
    client.expect_close();
    upstream.wait_for_close(0);
    let request = upstream.only_request();
    assert!(!request.complete);
    assert_eq!(request.body, b"half");
}

#[test]
fn the_upstream_misbehaves_as_told() {
    let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let upstream = Upstream::start();
    let ask = |reply: Reply| {
        upstream.next(reply);
        let mut client = RawClient::connect(upstream.address());
        client.send(get);
        let response = client.try_response();
        (client, response)
    };

    let chunked = ask(Reply::chunked(&[b"one", b"two"], &[("X-Sum", "6")])).1.unwrap();
    assert_eq!((chunked.text().as_str(), chunked.framing), ("onetwo", Framing::Chunked));
    assert_eq!(chunked.trailers.get("x-sum"), Some("6"));

    assert!(
        matches!(ask(Reply::cut_short(9, b"half")).1, Err(Broken::InBody { response, .. }) if response.status == 200)
    );
    assert!(matches!(
        ask(Reply::cut_short_chunked(b"half")).1,
        Err(Broken::InBody { .. })
    ));
    assert!(matches!(ask(Reply::hang_up()).1, Err(Broken::NoMore)));
    assert!(matches!(
        ask(Reply::bytes("HTTP/1.1 200 O").then_close()).1,
        Err(Broken::InHead(_))
    ));
    assert!(matches!(
        ask(Reply::bytes("garbage\r\n\r\n")).1,
        Err(Broken::Malformed(_))
    ));
    assert_eq!(ask(Reply::until_close(b"all")).1.unwrap().text(), "all");

    let (mut client, interim) = ask(Reply::text("then").preceded_by("HTTP/1.1 103 Early Hints\r\n\r\n"));
    assert_eq!(interim.unwrap().status, 103);
    assert_eq!(client.response().text(), "then");

    let (mut tunnel, switched) = ask(Reply::upgrade_and_echo("test"));
    assert_eq!(switched.unwrap().status, 101);
    tunnel.send("any bytes");
    assert_eq!(tunnel.take(9).unwrap(), b"any bytes");
}

#[test]
fn replies_come_early_late_and_in_pieces() {
    let upstream = Upstream::start();
    let (head_gate, body_gate) = (Gate::new(), Gate::new());

    upstream.next(Reply::new(413, &[], "too large").early().then_close());
    let mut client = RawClient::connect(upstream.address());
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    assert_eq!(client.response().status, 413);

    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfour";
    upstream.next(Reply::bytes(whole).after(&head_gate).then_after(&body_gate, "more"));
    let mut client = RawClient::connect(upstream.address());
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    upstream.wait_for_heads(2);
    assert_eq!(client.left(), b"");
    head_gate.open();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n".len();
    assert_eq!(client.take(head + 4).unwrap(), whole.as_bytes());
    body_gate.open();
    assert_eq!(client.take(4).unwrap(), b"more");
}

#[test]
fn the_raw_client_is_strict() {
    let refuses = |bytes: &str| {
        let upstream = Upstream::start();
        upstream.next(Reply::bytes(bytes));
        let mut client = RawClient::connect(upstream.address());
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = client.try_response();
        assert!(matches!(answer, Err(Broken::Malformed(_))), "{bytes:?}: {answer:?}");
    };
    refuses("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx");
    refuses("HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nContent-Length: 0\nX: y\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n");
    refuses("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n");
    refuses("HTTP/2 200 OK\r\n\r\n");
    refuses("HTTP/1.1 20 OK\r\n\r\n");
}

#[test]
fn the_raw_client_speaks_tls_and_trusts_only_its_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (address, served) = serve_tls_once(&authority.server(&["localhost"]), 2);
    let wrong = RawClient::try_connect_tls(address, "localhost", other.trusting_client(&[]));
    assert!(wrong.is_err());

    let mut client = RawClient::connect_tls(address, "localhost", authority.trusting_client(&["http/1.1"]));
    assert_eq!(client.protocol().as_deref(), Some("http/1.1"));
    client.send("ping");
    assert_eq!(client.take_all().unwrap(), b"ping");
    served.join().unwrap();
}

#[test]
fn the_ordinary_client_keeps_its_connection() {
    let upstream = Upstream::start();
    let client = Client::new(upstream.address());
    let response = client
        .request(http::Method::PUT, "/x")
        .header("x-one", "1")
        .json(&json!({}))
        .send();
    assert_eq!(response.expect(200).echoed("x-one").unwrap(), "1");
    client.get("/y").expect(200);
    assert_eq!(upstream.connections().len(), 1);
    assert_eq!(upstream.requests()[1].target, "/y");

    upstream.drop_connections();
    upstream.wait_for_close(0);
    // The client notices the end when it next looks at the connection, at the latest by a failed request.
    until("a new connection", || {
        client.request(http::Method::GET, "/z").try_send().ok()
    })
    .expect(200);
    assert_eq!(upstream.connections().len(), 2);

    upstream.next(Reply::cut_short(9, b"half"));
    assert!(client.request(http::Method::GET, "/").try_send().is_err());
}

#[test]
fn an_upstream_listens_on_a_unix_socket() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let upstream = Upstream::unix(&path);
    assert_eq!(upstream.url(), format!("unix:{}", path.display()));
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream
        .write_all(b"GET /u HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(upstream.only_request().target, "/u");
}

#[test]
fn an_upstream_speaks_http2_without_tls() {
    let upstream = H2cUpstream::start();
    let client = Client::h2c(upstream.address());
    let response = client
        .request(http::Method::POST, "/x?y")
        .body("hello")
        .send()
        .expect(200);
    assert_eq!(response.version, http::Version::HTTP_2);
    assert_eq!(response.json()["body"], "hello");
    let requests = upstream.wait_for(1);
    assert_eq!(requests[0].target, "/x?y");
    assert_eq!(
        requests[0].header(":authority"),
        Some(upstream.address().to_string().as_str())
    );
    upstream.next(Reply::new(503, &[("Retry-After", "1")], ""));
    assert_eq!(client.get("/").expect(503).header("retry-after"), Some("1"));
}

#[test]
fn nginx_tells_what_it_saw() {
    let nginx = Nginx::start();
    let client = Client::new(nginx.address());
    let response = client
        .request(http::Method::GET, "/a//b/%2e%2e/c?d=e")
        .header("x-user", "jörg")
        .send()
        .expect(200);
    assert_eq!(nginx::saw(&response, "target"), "/a//b/%2e%2e/c?d=e");
    assert_eq!(nginx::saw(&response, "uri"), "/a/c");
    assert_eq!(nginx::saw(&response, "x-user"), "jörg");
    assert_eq!(nginx::saw(&response, "authorization"), "");
}

#[test]
fn the_issuers_tokens_verify_with_its_published_keys() {
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

    let issuer = Issuer::new("https://idp.test")
        .es256("e")
        .eddsa("d")
        .rs256("r")
        .hs256("h");
    let jwks: JwkSet = serde_json::from_slice(&std::fs::read(issuer.jwks_file()).unwrap()).unwrap();
    assert_eq!(jwks.keys.len(), 3, "no symmetric key is published");
    let secret = std::fs::read(issuer.secret_file("h")).unwrap();
    let claims = issuer.claims("app", "alice");
    for (key_id, algorithm) in [
        ("e", Algorithm::ES256),
        ("d", Algorithm::EdDSA),
        ("r", Algorithm::RS256),
        ("h", Algorithm::HS256),
    ] {
        let key = match jwks.find(key_id) {
            Some(jwk) => DecodingKey::from_jwk(jwk).unwrap(),
            None => DecodingKey::from_secret(&secret),
        };
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["app"]);
        validation.set_issuer(&[issuer.name()]);
        let token = issuer.sign(key_id, &claims);
        let verified = decode::<serde_json::Value>(&token, &key, &validation).unwrap();
        assert_eq!(verified.claims, claims);
        assert_eq!(claims_of(&token), claims);
        if algorithm != Algorithm::HS256 {
            let pem = std::fs::read(issuer.public_key_file(key_id)).unwrap();
            assert!(pem.starts_with(b"-----BEGIN PUBLIC KEY-----\n"));
        }
    }
    let confused = issuer.sign_with_public_key_as_secret("r", &claims);
    let pem = std::fs::read(issuer.public_key_file("r")).unwrap();
    let mut naive = Validation::new(Algorithm::HS256);
    naive.set_audience(&["app"]);
    let believed = decode::<serde_json::Value>(&confused, &DecodingKey::from_secret(&pem), &naive);
    assert!(
        believed.is_ok(),
        "a naive verifier must fall for it, else it tests nothing"
    );
}

#[test]
fn a_metrics_page_is_read() {
    let page = "# HELP a b\na_total{route=\"x, y\",status=\"200\"} 2\na_total{route=\"z\",status=\"200\"} 3\nb 1.5\n";
    let metrics = Metrics::parse(page);
    assert!((metrics.sum("a_total", &[("status", "200")]) - 5.0).abs() < 1e-9);
    assert!((metrics.sum("a_total", &[("route", "x, y")]) - 2.0).abs() < 1e-9);
    assert!(metrics.has("b") && !metrics.has("c"));
    assert_eq!(metrics.label_values("a_total", "route"), ["x, y", "z"]);
}

/// A TLS server that sends back the first bytes of each of so many connections, and closes.
fn serve_tls_once(
    certificate: &Certificate,
    connections: usize,
) -> (std::net::SocketAddr, std::thread::JoinHandle<()>) {
    use std::io::{Read, Write};
    let config = Arc::new(certificate.server_config(&["http/1.1"]));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        for _ in 0..connections {
            let (stream, _) = listener.accept().unwrap();
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            let mut bytes = [0; 64];
            // A client that does not trust us says so instead of sending bytes.
            if let Ok(count) = stream.read(&mut bytes) {
                stream.write_all(&bytes[..count]).unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    });
    (address, served)
}

/// The names that say which HTTP a client speaks are both used, and differ.
#[test]
fn tls_clients_ask_for_the_protocol_they_speak() {
    for (protocol, alpn) in [(Protocol::Http1, "http/1.1"), (Protocol::Http2, "h2")] {
        let authority = Authority::new();
        let (address, served) = accept_protocol(&authority.server(&["localhost"]));
        let client = Client::tls(address, "localhost", authority.trusting_client(&[]), protocol);
        assert!(client.request(http::Method::GET, "/").try_send().is_err());
        assert_eq!(served.join().unwrap(), alpn);
    }
}

/// Completes one handshake and tells what ALPN agreed on.
fn accept_protocol(certificate: &Certificate) -> (std::net::SocketAddr, std::thread::JoinHandle<String>) {
    let config = Arc::new(certificate.server_config(&["h2", "http/1.1"]));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut session = rustls::ServerConnection::new(config).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut stream).unwrap();
        }
        String::from_utf8(session.alpn_protocol().unwrap().to_vec()).unwrap()
    });
    (address, served)
}

#[test]
fn the_gateway_starts_is_asked_reloads_is_killed_and_stops() {
    let upstream = Upstream::start();
    let issuer = Issuer::new("https://idp.test").es256("k1");
    let mut gateway = TestGateway::with(&upstream)
        .route("/app", "user")
        .public("/open")
        .trusting(&issuer, &["ES256"])
        .user("bob", &["user"])
        .start();

    let mut claims = issuer.claims(AUDIENCE, "alice");
    claims["roles"] = json!(["user"]);
    let token = issuer.sign("k1", &claims);
    gateway.get("/app/").expect(401);
    let response = gateway.get_as(&token, "/app/").expect(200);
    assert_eq!(response.echoed("x-user").unwrap(), "alice");
    let own = gateway.login("bob");
    let response = gateway.get_as(&own, "/app/").expect(200);
    assert_eq!(response.echoed("x-user").unwrap(), "bob");
    assert!(gateway.cli(&["user", "list"]).contains("bob"));
    gateway.http2().get("/open/x").expect(200);
    gateway.http().get("/open/x").expect(200);
    let raw = gateway
        .raw()
        .exchange("GET /open/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(raw[0].status, 200);
    assert_eq!(upstream.wait_for(5).len(), 5);
    assert!(gateway.metrics().sum("doorward_http_requests_total", &[]) > 0.0);

    assert_eq!(gateway.reload("routes = 5"), "refused");
    let closed = "[[routes]]\nname = \"open\"\npath = \"/open\"\naccess = \"deny\"";
    assert_eq!(gateway.reload(closed), "ok");
    gateway.get("/open/x").expect(403);

    let gateway = gateway.kill().restart();
    gateway.get("/open/x").expect(403);
    let (status, _) = gateway.stop();
    assert_eq!(status, 0);
}

#[test]
fn a_gateway_that_refuses_its_configuration_says_why() {
    let (status, said) = TestGateway::alone().config("wrokers = 2").refused();
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("workers"), "{said}");
}
