//! Upstreams of every kind, in good health and in bad.

use std::net::TcpListener;
use std::thread;

use http::Method;

use super::gate::{Gate, open_to, route, upstream};
use super::{assert_problem, last};
use crate::support::certificates::Authority;
use crate::support::client::Protocol;
use crate::support::message::Ended;
use crate::support::nginx::{Nginx, saw};
use crate::support::ports::free_port;
use crate::support::raw::{Broken, Framing};
use crate::support::reply::{Gate as Barrier, Reply};
use crate::support::upstream::Upstream;
use crate::support::upstream_h2c::H2cUpstream;

fn post(target: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn http_1_over_tcp_and_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let over_tcp = Upstream::start();
    let over_unix = Upstream::unix(&folder.path().join("app.sock"));
    for backend in [&over_tcp, &over_unix] {
        let gate = Gate::with_tls(&("workers = 1\n".to_owned() + &open_to(&backend.url())));
        let body = "x".repeat(300_000);
        let response = gate.ask(post("/a?b", &body));
        assert_eq!(response.status, 200);
        let request = last(backend);
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/a?b"));
        assert_eq!(request.text(), body);
        assert_eq!(request.header("content-length"), Some("300000"));
        assert_eq!(request.header("transfer-encoding"), None);
        let chunked = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(gate.ask(chunked).json()["body"], "abcde");
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let client = gate.tls_client(protocol);
            let response = client
                .request(Method::POST, "/")
                .body(body.as_bytes())
                .send()
                .expect(200);
            assert_eq!(response.json()["body"], body.as_str());
            backend.next(Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
            client.request(Method::HEAD, "/").send().expect(200);
        }
        // One connection at a time is enough for one request at a time.
        assert_eq!(backend.connections().len(), 1);
    }
}

#[test]
fn http_2_without_tls() {
    let backend = H2cUpstream::start();
    let gate = Gate::with_tls(&open_to(&backend.url()));
    let body = "x".repeat(300_000);
    assert_eq!(gate.ask(post("/a%2Fb?c", &body)).json()["body"], body.as_str());
    let request = backend.requests().pop().unwrap();
    assert_eq!(
        (request.target.as_str(), request.version.as_str()),
        ("/a%2Fb?c", "HTTP/2.0")
    );
    assert_eq!(request.header(":authority"), Some("a"));
    let client = gate.tls_client(Protocol::Http2);
    assert_eq!(
        client.request(Method::POST, "/").body(body.as_bytes()).send().json()["body"],
        body.as_str()
    );
    let response = gate.ask("HEAD / HTTP/1.0\r\nHost: a\r\n\r\n".replace("HEAD", "GET"));
    assert_eq!((response.status, response.framing), (200, Framing::Length));
}

#[test]
fn https_with_an_authority_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files = authority.server(&["backend.test"]).write(folder.path(), "backend");
    let port = free_port();
    // nginx' workers are somebody else, its master reads the files.
    let nginx = Nginx::serving(&format!(
        "listen 127.0.0.1:{port} ssl http2; ssl_certificate {}; ssl_certificate_key {}; \
         location / {{ default_type text/plain; return 200 \"protocol: $server_protocol\nhost: $http_host\nname: $ssl_server_name\nuser: $http_x_user\n\"; }}",
        files.certificate.display(),
        files.key.display()
    ));
    let ca = |authority: &Authority, name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        path
    };
    let url = format!("https://127.0.0.1:{port}");
    let tls = |ca: &std::path::Path, name: &str| format!("tls = {{ ca = {ca:?}, server_name = {name:?} }}");
    let config = upstream("good", &url, &tls(&ca(&authority, "good.crt"), "backend.test"))
        + &upstream("stranger", &url, &tls(&ca(&stranger, "stranger.crt"), "backend.test"))
        + &upstream("named", &url, &tls(&ca(&authority, "named.crt"), "other.test"))
        + &upstream("public", &url, "")
        + &["good", "stranger", "named", "public"]
            .map(|name| route(name, &format!("/{name}"), name, "access = \"public\""))
            .concat();
    let gate = Gate::start(&config);
    let response = gate.get("/good", "");
    assert_eq!(response.status, 200, "{}", response.text());
    let text = response.text();
    assert!(
        text.contains("protocol: HTTP/2.0") && text.contains("host: app.test") && text.contains("name: backend.test"),
        "{text}"
    );
    for (target, cause) in [
        ("/stranger", "certificate"),
        ("/named", "certificate"),
        ("/public", "certificate"),
    ] {
        assert_problem(&gate.get(target, ""), 502, "upstream_failed");
        let line = gate.access_line(target);
        assert!(line.contains("cause=") && line.to_lowercase().contains(cause), "{line}");
    }
    assert_eq!(nginx.get("/").status, 200);
}

#[test]
fn nginx_as_a_backend_understands_what_it_is_sent() {
    let nginx = Nginx::start();
    let config = upstream("app", &nginx.url(), "")
        + &route("app", "/app", "app", "strip_prefix = \"/app\"\nroles_any = [\"user\"]");
    let gate = Gate::with_tls(&config);
    let token = gate.token("ann", &["user", "ops"]);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = gate.tls_client(protocol);
        let request = client.request(Method::GET, "/app/x%2Fy//z?q=1").bearer(&token);
        let response = request
            .header("x-user", "evil")
            .header("x_user", "evil")
            .header("cookie", "a=1")
            .send()
            .expect(200);
        assert_eq!(saw(&response, "target"), "/x%2Fy//z?q=1");
        assert_eq!(saw(&response, "x-user"), "ann");
        assert_eq!(saw(&response, "x-forwarded-prefix"), "/app");
        assert_eq!(saw(&response, "x-forwarded-proto"), "https");
        assert_eq!(saw(&response, "authorization"), "");
        assert_eq!(saw(&response, "cookie"), "a=1");
        assert_eq!(saw(&response, "protocol"), "HTTP/1.1");
        let posted = client
            .request(Method::POST, "/app/")
            .bearer(&token)
            .body("abc")
            .send()
            .expect(200);
        assert_eq!(saw(&posted, "content-length"), "3");
    }
}

#[test]
fn an_upstream_that_cannot_be_reached_is_told_and_harms_nobody() {
    let backend = Upstream::start();
    let dead = format!("http://127.0.0.1:{}", free_port());
    let config = upstream("dead", &dead, "")
        + &upstream("gone", "unix:/nowhere/app.sock", "")
        + &upstream("app", &backend.url(), "")
        + &["dead", "gone", "app"]
            .map(|name| route(name, &format!("/{name}"), name, "access = \"public\""))
            .concat();
    let gate = Gate::start(&config);
    let mut client = gate.connect();
    for target in ["/dead", "/gone"] {
        let response = client
            .send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .response();
        assert_problem(&response, 502, "upstream_failed");
        assert!(
            !response.text().contains("127.0.0.1") && !response.text().contains("nowhere"),
            "{}",
            response.text()
        );
        let line = gate.access_line(target);
        assert!(
            line.contains("status=502") && line.contains("reason=upstream_failed") && line.contains("cause=\""),
            "{line}"
        );
        // A small body that nobody took is read; the connection goes on.
        let response = client.send(post(target, "hello")).response();
        assert_eq!((response.status, response.keeps_alive()), (502, true));
    }
    assert_eq!(
        client.send("GET /app HTTP/1.1\r\nHost: a\r\n\r\n").response().status,
        200
    );
}

#[test]
fn a_server_that_is_down_is_passed_over_and_those_that_are_up_take_turns() {
    let (one, other) = (Upstream::start(), Upstream::start());
    let dead = format!("http://127.0.0.1:{}", free_port());
    let config = format!(
        "[[upstreams]]\nname = \"app\"\nservers = [{dead:?}, {:?}]\n[[upstreams]]\nname = \"both\"\nservers = [{:?}, {:?}]\n",
        one.url(),
        one.url(),
        other.url()
    ) + &route("app", "/app", "app", "access = \"public\"")
        + &route("both", "/both", "both", "access = \"public\"");
    let gate = Gate::start(&config);
    let mut client = gate.connect();
    for _ in 0..4 {
        assert_eq!(client.send(post("/app", "hello")).response().status, 200);
    }
    assert_eq!(one.requests().len(), 4);
    for _ in 0..4 {
        assert_eq!(
            client.send("GET /both HTTP/1.1\r\nHost: a\r\n\r\n").response().status,
            200
        );
    }
    assert_eq!((one.requests().len(), other.requests().len()), (6, 2));
}

#[test]
fn an_upstream_that_speaks_no_http_is_a_bad_gateway() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    let many: String = (0..300).map(|n| format!("X-{n}: {}\r\n", "v".repeat(1000))).collect();
    for (case, reply) in [
        ("no answer", Reply::hang_up()),
        ("garbage", Reply::bytes("220 mail.test ESMTP\r\n\r\n").then_close()),
        ("half a head", Reply::bytes("HTTP/1.1 200 OK\r\nContent-").then_close()),
        (
            "two lengths",
            Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab").then_close(),
        ),
        (
            "a length that is none",
            Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab").then_close(),
        ),
        ("a protocol nobody asked for", Reply::upgrade_and_echo("websocket")),
        (
            "a head without end",
            Reply::bytes(format!("HTTP/1.1 200 OK\r\n{many}\r\n")).then_close(),
        ),
    ] {
        backend.next(reply);
        let mut client = gate.connect();
        let response = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
        assert_eq!(response.status, 502, "{case}: {}", response.text());
        assert_problem(&response, 502, "upstream_failed");
        assert_eq!(
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().status,
            200,
            "{case}"
        );
    }
    // Bytes behind an answer are no answer to the next request.
    backend.next(Reply::bytes(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ));
    let mut client = gate.connect();
    for _ in 0..3 {
        let response = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
        assert_eq!(response.status, 200);
        assert_ne!(response.text(), "evil");
    }
}

#[test]
fn a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&open_to(&backend.url()));
    for (case, reply) in [
        ("with a length", Reply::cut_short(100, b"abc")),
        ("in chunks", Reply::cut_short_chunked(b"abc")),
        (
            "in bad chunks",
            Reply::bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n").then_close(),
        ),
    ] {
        backend.next(reply.clone());
        let mut client = gate.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        match client.try_response() {
            Err(Broken::InBody {
                response,
                ended: Ended::Closed { .. },
            }) => assert_eq!(response.status, 200, "{case}"),
            other => panic!("{case}: {other:?}"),
        }
        backend.next(reply);
        let answer = gate.tls_client(Protocol::Http2).request(Method::GET, "/").try_send();
        assert!(answer.is_err(), "{case} over HTTP/2: {answer:?}");
    }
    // A body that ends with the connection of an upstream is whole, and told as such.
    backend.next(Reply::until_close(b"abc"));
    let response = gate.get("/", "");
    assert_eq!((response.framing, response.text().as_str()), (Framing::Chunked, "abc"));
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_given_up() {
    let backend = Upstream::start();
    let config = upstream("app", &backend.url(), "response_timeout = \"500ms\"")
        + &route("app", "/", "app", "access = \"public\"");
    let gate = Gate::with_tls(&config);
    let never = Barrier::new();
    let mut client = gate.connect();
    backend.next(Reply::text("late").after(&never));
    let response = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_problem(&response, 504, "upstream_timeout");
    assert!(response.keeps_alive());
    // Nobody else gets the late answer.
    assert_eq!(
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").response().json()["target"],
        "/next"
    );
    backend.next(Reply::text("late").after(&never));
    let response = gate.tls_client(Protocol::Http2).get("/");
    assert_eq!(
        (response.status, response.json()["error"].as_str()),
        (504, Some("upstream_timeout"))
    );
    // Only the head has that long: a body may take its time.
    let slow = Barrier::new();
    backend.next(Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc").then_after(&slow, "def"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let opened = thread::spawn(move || {
        thread::sleep(std::time::Duration::from_millis(1200));
        slow.open();
    });
    assert_eq!(client.response().text(), "abcdef");
    opened.join().unwrap();
}

#[test]
fn what_is_too_much_for_an_upstream_waits_and_is_then_refused() {
    let backend = Upstream::start();
    let config = upstream("app", &backend.url(), "max_requests = 1\nqueue_timeout = \"100ms\"")
        + &upstream("patient", &backend.url(), "max_requests = 1\nqueue_timeout = \"30s\"")
        + &route("app", "/app", "app", "access = \"public\"")
        + &route("patient", "/patient", "patient", "access = \"public\"");
    let gate = Gate::start(&config);
    let barrier = Barrier::new();
    for target in ["/app", "/patient"] {
        let barrier = if target == "/app" {
            barrier.clone()
        } else {
            Barrier::new()
        };
        let seen = backend.requests().len();
        backend.next(Reply::text("first").after(&barrier));
        let mut first = gate.connect();
        first.send(format!("GET {target}/1 HTTP/1.1\r\nHost: a\r\n\r\n"));
        backend.wait_for_heads(seen + 1);
        let mut second = gate.connect();
        second.send(format!("GET {target}/2 HTTP/1.1\r\nHost: a\r\n\r\n"));
        if target == "/app" {
            let response = second.response();
            assert_problem(&response, 503, "upstream_busy");
            assert!(response.headers.has("retry-after"));
            assert_eq!(backend.requests().len(), seen + 1);
        }
        barrier.open();
        assert_eq!(first.response().text(), "first");
        if target == "/patient" {
            assert_eq!(second.response().status, 200);
        }
        // A turn that was used is there again, also after an answer that broke off.
        backend.next(Reply::cut_short(10, b"abc"));
        first.send(format!("GET {target}/3 HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(first.try_response().is_err());
        assert_eq!(gate.get(target, "").status, 200);
    }
}

#[test]
fn a_pooled_connection_that_died_is_nobodys_problem() {
    let backend = Upstream::start();
    let gate = Gate::start(&("workers = 1\n".to_owned() + &open_to(&backend.url())));
    let mut client = gate.connect();
    for round in 0..10 {
        for request in [post("/", "hello"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()] {
            let response = client.send(request).response();
            assert_eq!(response.status, 200, "round {round}: {}", response.text());
            backend.drop_connections();
        }
    }
    assert_eq!(backend.requests().len(), 20, "each was taken once");
    assert!(backend.requests().iter().all(|request| request.complete));
}

#[test]
fn a_request_that_an_upstream_took_and_dropped_is_not_sent_twice() {
    let backend = Upstream::start();
    let gate = Gate::start(&("workers = 1\n".to_owned() + &open_to(&backend.url())));
    let mut client = gate.connect();
    assert_eq!(client.send(post("/first", "hello")).response().status, 200);
    backend.next(Reply::hang_up());
    assert_problem(
        &client.send(post("/second", "hello")).response(),
        502,
        "upstream_failed",
    );
    let targets: Vec<String> = backend.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/first", "/second"]);
}

#[test]
fn an_answer_before_the_end_of_the_request_reaches_the_client() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    backend.next(
        Reply::new(413, &[("Connection", "close")], "too much")
            .then_close()
            .early(),
    );
    let mut client = gate.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (413, "too much"));
    // The rest would stand in front of the next request: the connection ends.
    client.expect_close();
    assert_eq!(gate.get("/", "").status, 200);
}

#[test]
fn an_upstream_that_accepts_and_says_nothing_is_bounded_too() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let config =
        upstream("app", &url, "connect_timeout = \"300ms\"") + &route("app", "/", "app", "access = \"public\"");
    let gate = Gate::start(&config);
    let response = gate.get("/", "");
    assert_problem(&response, 504, "upstream_timeout");
    drop(silent);
}
