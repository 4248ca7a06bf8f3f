//! What a backend is told about the way a request came, and what becomes of the other headers in both directions.

use http::Method;

use super::gate::{Gate, open_to, route, upstream};
use super::last;
use crate::support::client::Protocol;
use crate::support::reply::Reply;
use crate::support::upstream::{Request, Upstream};

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[test]
fn the_way_is_told_by_the_gateway() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&open_to(&backend.url()));
    assert_eq!(gate.get("/", "").status, 200);
    let plain = last(&backend);
    gate.tls_client(Protocol::Http1).get("/").expect(200);
    let tls = last(&backend);
    gate.tls_client(Protocol::Http2).get("/").expect(200);
    let http2 = last(&backend);
    let host = format!("localhost:{}", gate.listener(1).port());
    for (request, proto, host, port) in [
        (&plain, "http", "app.test", gate.address().port()),
        (&tls, "https", host.as_str(), gate.listener(1).port()),
        (&http2, "https", &host, gate.listener(1).port()),
    ] {
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(request.header("x-real-ip"), Some("127.0.0.1"));
        assert_eq!(request.header("x-forwarded-proto"), Some(proto));
        assert_eq!(request.header("x-forwarded-host"), Some(host));
        assert_eq!(request.header("x-forwarded-port"), Some(port.to_string().as_str()));
        assert_eq!(request.header("x-forwarded-prefix"), None);
        assert_eq!(request.header("host"), Some(host));
        let id = request.header("x-request-id").unwrap();
        assert!(is_hex(id, 32), "{id}");
        // W3C Trace Context section 3.2.
        let trace: Vec<&str> = request.header("traceparent").unwrap().split('-').collect();
        assert!(
            trace.len() == 4 && trace[0] == "00" && is_hex(trace[1], 32) && is_hex(trace[2], 16) && is_hex(trace[3], 2)
        );
    }
    assert_ne!(plain.header("x-request-id"), tls.header("x-request-id"));
}

#[test]
fn a_client_does_not_name_its_request_and_a_trace_that_is_none_is_not_continued() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    let trace = "00-11111111111111111111111111111111-2222222222222222-01";
    for (sent, continued) in [
        (trace, true),
        ("00-00000000000000000000000000000000-2222222222222222-01", false),
        ("00-11111111111111111111111111111111-2222222222222222", false),
        ("mine", false),
    ] {
        let lines = format!("X-Request-Id: mine\r\nx_request_id: mine\r\ntraceparent: {sent}\r\ntracestate: a=b\r\n");
        assert_eq!(gate.get("/", &lines).status, 200);
        let request = last(&backend);
        assert!(is_hex(request.header("x-request-id").unwrap(), 32));
        assert_eq!(request.header("traceparent") == Some(sent), continued, "{sent}");
        // W3C Trace Context section 4.3: it goes with its trace.
        assert_eq!(request.header("tracestate"), continued.then_some("a=b"), "{sent}");
    }
}

const TRUSTING: &str = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n";

#[test]
fn a_trusted_proxy_is_believed_and_walked_from_the_right() {
    let backend = Upstream::start();
    let gate = Gate::start(&(TRUSTING.to_owned() + &open_to(&backend.url())));
    for (sent, client, chain) in [
        ("", "127.0.0.1", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1", "192.0.2.1, 127.0.0.1"),
        (
            "X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\n",
            "192.0.2.1",
            "198.51.100.9, 192.0.2.1, 127.0.0.1",
        ),
        (
            "X-Forwarded-For: 192.0.2.1, 10.0.0.7\r\n",
            "192.0.2.1",
            "192.0.2.1, 10.0.0.7, 127.0.0.1",
        ),
        (
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.7\r\n",
            "192.0.2.1",
            "192.0.2.1, 10.0.0.7, 127.0.0.1",
        ),
        (
            "X-Forwarded-For: 10.0.0.8, 10.0.0.7\r\n",
            "10.0.0.8",
            "10.0.0.8, 10.0.0.7, 127.0.0.1",
        ),
        (
            "X-Forwarded-For: [2001:db8::1]:4711\r\n",
            "2001:db8::1",
            "[2001:db8::1]:4711, 127.0.0.1",
        ),
        (
            "X-Forwarded-For: 192.0.2.1:4711\r\n",
            "192.0.2.1",
            "192.0.2.1:4711, 127.0.0.1",
        ),
        ("X_Forwarded_For: 192.0.2.1\r\n", "127.0.0.1", "127.0.0.1"),
        (
            "Forwarded: for=192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n",
            "127.0.0.1",
            "127.0.0.1",
        ),
    ] {
        assert_eq!(gate.get("/", sent).status, 200, "{sent}");
        let request = last(&backend);
        assert_eq!(request.header("x-real-ip"), Some(client), "{sent}");
        assert_eq!(request.header("x-forwarded-for"), Some(chain), "{sent}");
        assert_eq!(request.header("forwarded"), None, "{sent}");
    }
    // What cannot be read was written by somebody left of whom nothing is believed.
    for sent in ["a", "127.0.0.1, a", "unknown", ","] {
        assert_eq!(
            gate.get("/", &format!("X-Forwarded-For: {sent}\r\n")).status,
            200,
            "{sent}"
        );
        assert_eq!(last(&backend).header("x-real-ip"), Some("127.0.0.1"), "{sent}");
    }
}

#[test]
fn networks_of_a_route_are_about_the_client_behind_the_proxies() {
    let backend = Upstream::start();
    let config = TRUSTING.to_owned()
        + &upstream("app", &backend.url(), "")
        + &route("near", "/", "app", "access = \"public\"\nnetworks = [\"192.0.2.0/24\"]");
    let gate = Gate::start(&config);
    for (sent, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.1, 10.0.0.7", 200),
        ("192.0.2.1, 198.51.100.9", 403),
        ("198.51.100.9", 403),
        ("", 403),
    ] {
        let lines = if sent.is_empty() {
            String::new()
        } else {
            format!("X-Forwarded-For: {sent}\r\n")
        };
        assert_eq!(gate.get("/", &lines).status, status, "{sent}");
    }
    assert_eq!(gate.get("/logged", "X-Forwarded-For: 192.0.2.1\r\n").status, 200);
    assert!(gate.access_line("/logged").contains("client=192.0.2.1"));
}

#[test]
fn a_trusted_proxy_tells_scheme_host_port_prefix_and_request() {
    let backend = Upstream::start();
    let config = TRUSTING.to_owned()
        + &upstream("app", &backend.url(), "")
        + &route("open", "/", "app", "access = \"public\"")
        + &route("strip", "/in", "app", "access = \"public\"\nstrip_prefix = \"/in\"");
    let gate = Gate::start(&config);
    let lines = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: outside.test\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /out\r\nX-Request-Id: abc-1\r\n";
    assert_eq!(gate.get("/", lines).status, 200);
    let request = last(&backend);
    assert_eq!(request.header("x-forwarded-proto"), Some("https"));
    assert_eq!(request.header("x-forwarded-host"), Some("outside.test"));
    assert_eq!(request.header("x-forwarded-port"), Some("443"));
    assert_eq!(request.header("x-request-id"), Some("abc-1"));
    assert_eq!(request.header("x-forwarded-prefix"), Some("/out"));
    // Host is what this gateway was asked for: routes are chosen by it, not by what a header says.
    assert_eq!(request.header("host"), Some("app.test"));
    // Both prefixes were taken off before the backend sees the path.
    assert_eq!(gate.get("/in/x", lines).status, 200);
    assert_eq!(last(&backend).header("x-forwarded-prefix"), Some("/out/in"));
    // A name for the request that is none is replaced.
    for id in ["", &"x".repeat(129)] {
        assert_eq!(gate.get("/", &format!("X-Request-Id: {id}\r\n")).status, 200);
        assert!(is_hex(last(&backend).header("x-request-id").unwrap(), 32), "{id:?}");
    }
}

#[test]
fn nobody_else_is_believed() {
    let backend = Upstream::start();
    let config = "trusted_proxies = [\"10.0.0.0/8\"]\n".to_owned() + &open_to(&backend.url());
    let gate = Gate::start(&config);
    let lines = "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\nX-Real-IP: 10.0.0.1\r\n";
    assert_eq!(gate.get("/", lines).status, 200);
    let request = last(&backend);
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-host"), Some("app.test"));
    assert_eq!(
        request.header("x-forwarded-port"),
        Some(gate.address().port().to_string().as_str())
    );
    assert_eq!(request.header("x-forwarded-prefix"), None);
}

#[test]
fn a_backend_sees_the_host_that_its_route_says() {
    let backend = Upstream::start();
    let config = upstream("app", &backend.url(), "")
        + &route("keep", "/keep", "app", "access = \"public\"")
        + &route("own", "/own", "app", "access = \"public\"\nhost_header = \"upstream\"")
        + &route(
            "said",
            "/said",
            "app",
            "access = \"public\"\nhost_header = \"app.internal:81\"",
        );
    let gate = Gate::with_tls(&config);
    let http2 = gate.tls_client(Protocol::Http2);
    let own = backend.address().to_string();
    for (target, host) in [
        ("/keep", "Front.test:8443"),
        ("/own", own.as_str()),
        ("/said", "app.internal:81"),
    ] {
        let response = gate.ask(format!("GET {target} HTTP/1.1\r\nHost: Front.test:8443\r\n\r\n"));
        assert_eq!(response.status, 200);
        assert_eq!(last(&backend).headers.all("host"), [host]);
        assert_eq!(last(&backend).header("x-forwarded-host"), Some("Front.test:8443"));
        http2
            .request(Method::GET, target)
            .host("Front.test:8443")
            .send()
            .expect(200);
        assert_eq!(last(&backend).headers.all("host"), [host], "over HTTP/2");
        let absolute = format!("GET http://Front.test:8443{target} HTTP/1.1\r\nHost: Front.test:8443\r\n\r\n");
        assert_eq!(gate.ask(absolute).status, 200);
        assert_eq!(last(&backend).headers.all("host"), [host], "absolute-form");
        assert_eq!(last(&backend).target, target, "absolute-form");
    }
}

#[test]
fn a_prefix_is_taken_off_and_told() {
    let backend = Upstream::start();
    let config = upstream("app", &backend.url(), "")
        + &route("one", "/one", "app", "access = \"public\"\nstrip_prefix = \"/one\"")
        + &route(
            "two",
            "/two/deep",
            "app",
            "access = \"public\"\nstrip_prefix = \"/two\"",
        );
    let gate = Gate::start(&config);
    for (sent, got, prefix) in [
        ("/one", "/", "/one"),
        ("/one?x=1", "/?x=1", "/one"),
        ("/one/", "/", "/one"),
        ("/one/a%2Fb/C?d=%2F&e", "/a%2Fb/C?d=%2F&e", "/one"),
        ("/two/deep", "/deep", "/two"),
        ("/two/deep/x", "/deep/x", "/two"),
    ] {
        assert_eq!(gate.get(sent, "X-Forwarded-Prefix: /evil\r\n").status, 200, "{sent}");
        let request = last(&backend);
        assert_eq!(
            (request.target.as_str(), request.header("x-forwarded-prefix")),
            (got, Some(prefix)),
            "{sent}"
        );
    }
    assert_eq!(gate.get("/onetwo", "").status, 404);
}

#[test]
fn headers_are_changed_as_the_route_says() {
    let backend = Upstream::answering(|_| {
        Reply::new(
            200,
            &[("Server", "Secret/1"), ("X-Old", "1"), ("X-Old", "2"), ("X-Kept", "k")],
            "x",
        )
    });
    let config = upstream("app", &backend.url(), "")
        + &route(
            "app",
            "/",
            "app",
            "access = \"public\"
request_headers = { set = { X-Env = \"prod\", X-Old = \"new\" }, remove = [\"Accept-Encoding\", \"X-Gone\"] }
response_headers = { set = { X-Old = \"new\", Strict-Transport-Security = \"max-age=1\" }, remove = [\"Server\"] }",
        );
    let gate = Gate::start(&config);
    let response = gate.get(
        "/",
        "X-Env: mine\r\nx-env: mine\r\nX-Old: 1\r\nAccept-Encoding: gzip\r\nX-Gone: 1\r\nX-Stays: 1\r\n",
    );
    let request = last(&backend);
    assert_eq!(request.headers.all("x-env"), ["prod"]);
    assert_eq!(request.headers.all("x-old"), ["new"]);
    assert_eq!(
        (request.header("accept-encoding"), request.header("x-gone")),
        (None, None)
    );
    assert_eq!(request.header("x-stays"), Some("1"));
    assert_eq!(response.header("server"), None);
    assert_eq!(response.headers.all("x-old"), ["new"]);
    assert_eq!(response.header("strict-transport-security"), Some("max-age=1"));
    assert_eq!(response.header("x-kept"), Some("k"));
}

#[test]
fn hop_by_hop_headers_go_no_further_in_either_direction() {
    let backend = Upstream::answering(|_| {
        Reply::new(
            200,
            &[
                ("Connection", "X-Hop, keep-alive"),
                ("X-Hop", "1"),
                ("Keep-Alive", "timeout=5"),
                ("Upgrade", "h2c"),
                ("X-End", "1"),
                ("Proxy-Connection", "keep-alive"),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
                ("WWW-Authenticate", "Custom x"),
            ],
            "x",
        )
    });
    let gate = Gate::with_tls(&open_to(&backend.url()));
    let lines = "Connection: X-Hop, keep-alive, HTTP2-Settings, Upgrade\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers, deflate\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\nX-End: 1\r\n";
    let response = gate.get("/", lines);
    assert_eq!(response.status, 200);
    let request: Request = last(&backend);
    for name in [
        "x-hop",
        "keep-alive",
        "te",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
        "http2-settings",
        "transfer-encoding",
    ] {
        assert!(!request.headers.has(name), "{name} reached the upstream");
    }
    assert!(!request.headers.lists("connection", "upgrade"));
    assert_eq!(request.header("x-end"), Some("1"));
    let over_http2 = gate.tls_client(Protocol::Http2).get("/").expect(200);
    for name in ["x-hop", "keep-alive", "upgrade", "proxy-connection"] {
        assert!(
            !response.headers.has(name) && !over_http2.headers.has(name),
            "{name} reached the client"
        );
    }
    for headers in [&response.headers, &over_http2.headers] {
        assert_eq!(headers.get("x-end"), Some("1"));
        assert_eq!(headers.all("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(headers.get("www-authenticate"), Some("Custom x"));
    }
    assert!(!over_http2.headers.has("connection"));
}

#[test]
fn answers_arrive_as_the_backend_gave_them() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    let mut client = gate.connect();
    let mut ask = |method: &str, reply: Reply| {
        backend.next(reply);
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        if method == "HEAD" {
            client.response_to_head()
        } else {
            client.response()
        }
    };
    for status in [200, 201, 202, 301, 304, 400, 401, 404, 418, 500, 503, 599] {
        let body = if status == 304 { "" } else { "body" };
        let response = ask("GET", Reply::new(status, &[("X-A", "1")], body));
        assert_eq!((response.status, response.text().as_str()), (status, body));
        assert_eq!(response.header("x-a"), Some("1"));
    }
    assert_eq!(ask("GET", Reply::new(204, &[], "")).status, 204);
    let chunked = ask("GET", Reply::chunked(&[b"ab", b"c"], &[]));
    assert_eq!(chunked.text(), "abc");
    // To a HEAD: the length that a GET would have, and nothing behind it.
    let head = ask("HEAD", Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"));
    assert_eq!(head.header("content-length"), Some("1000"));
    let not_modified = ask(
        "GET",
        Reply::bytes("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n"),
    );
    assert_eq!((not_modified.status, not_modified.header("etag")), (304, Some("\"a\"")));
    // Interim responses are not passed on.
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let response = ask("GET", Reply::text("final").preceded_by(interim));
    assert_eq!((response.status, response.text().as_str()), (200, "final"));
    assert!(
        backend.connections().len() <= 2,
        "connections to the upstream are used again"
    );
}
