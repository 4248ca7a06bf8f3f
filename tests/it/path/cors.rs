//! Cross-origin requests and their preflights.

use http::Method;

use super::gate::{Gate, route, upstream};
use super::{assert_problem, last};
use crate::support::client::Protocol;
use crate::support::raw::RawResponse;
use crate::support::upstream::Upstream;

const ORIGIN: &str = "Origin: https://app.test\r\n";
const PREFLIGHT: &str = "Origin: https://app.test\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: authorization, x-a\r\n";

fn config(url: &str) -> String {
    [
        upstream("app", url, ""),
        route("pass", "/pass", "app", "roles_any = [\"user\"]"),
        route("token", "/token", "app", "forward_token = true"),
        route("answer", "/answer", "app", "preflight = \"answer\""),
        route("far", "/far", "app", "networks = [\"10.0.0.0/8\"]"),
        route("far-answer", "/far/answer", "app", "networks = [\"10.0.0.0/8\"]\npreflight = \"answer\""),
        route("get", "/get", "app", "methods = [\"GET\"]\npreflight = \"answer\""),
        "[[routes]]\nname = \"closed\"\npath = \"/closed\"\naccess = \"deny\"\n".to_owned(),
        "[cors]\nallowed_origins = [\"https://app.test\"]\nallow_credentials = true\nallowed_methods = [\"GET\", \"PUT\"]\nmax_age = \"5m\"\n".to_owned(),
    ]
    .concat()
}

fn options(gate: &Gate, target: &str, lines: &str) -> RawResponse {
    gate.ask(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

#[test]
fn every_answer_of_the_gateways_own_can_be_read_by_a_listed_origin() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    for (target, status) in [("/pass", 401), ("/nowhere", 404), ("/closed", 403), ("/pass/../x", 400)] {
        let response = gate.get(target, ORIGIN);
        assert_eq!(response.status, status);
        assert_eq!(response.header("access-control-allow-origin"), Some("https://app.test"));
        assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
        assert!(response.headers.lists("vary", "origin"));
        for origin in [
            "",
            "Origin: https://evil.test\r\n",
            "Origin: null\r\n",
            "Origin: https://app.test.evil.test\r\n",
            "Origin: http://app.test\r\n",
        ] {
            let response = gate.get(target, origin);
            assert_eq!(response.status, status);
            assert_eq!(response.header("access-control-allow-origin"), None, "{origin}");
            assert_eq!(response.header("access-control-allow-credentials"), None, "{origin}");
            assert!(response.headers.lists("vary", "origin"), "{origin}");
        }
    }
    // What breaks a rule of HTTP as well, as far as its fields could be read.
    let long = "x".repeat(20_000);
    for (line, more, status) in [
        ("GET / HTTP/1.1".to_owned(), "Host: b\r\n", 400),
        ("GET /a b HTTP/1.1".to_owned(), "", 400),
        (format!("GET /{long} HTTP/1.1"), "", 414),
        (
            "POST / HTTP/1.1".to_owned(),
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            400,
        ),
    ] {
        let ask = |origin: &str| gate.ask(format!("{line}\r\nHost: a\r\n{origin}{more}\r\n"));
        let response = ask(ORIGIN);
        assert_eq!(response.status, status, "{more}");
        assert_eq!(
            response.header("access-control-allow-origin"),
            Some("https://app.test"),
            "{more}"
        );
        let twice = ORIGIN.repeat(2);
        for origin in ["", "Origin: https://evil.test\r\n", &twice] {
            let response = ask(origin);
            assert_eq!(response.status, status, "{more}");
            assert_eq!(response.header("access-control-allow-origin"), None, "{origin} {more}");
        }
    }
    // What a backend says about it is the backend's own.
    let response = gate.get("/pass", &(ORIGIN.to_owned() + &gate.bearer("ann", &["user"])));
    assert_eq!(
        (response.status, response.header("access-control-allow-origin")),
        (200, None)
    );
}

#[test]
fn what_names_no_origin_is_no_preflight() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    for lines in [
        "Access-Control-Request-Method: PUT\r\n",
        "Origin:\r\nAccess-Control-Request-Method: PUT\r\n",
        "Origin: https://app.test\r\n",
        "Origin: https://app.test\r\nAccess-Control-Request-Method:\r\n",
    ] {
        assert_eq!(options(&gate, "/pass", lines).status, 401, "{lines}");
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn a_preflight_is_passed_on_without_credentials_or_identity() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&config(&backend.url()));
    let token = gate.token("ann", &["user"]);
    for target in ["/pass", "/token"] {
        for credential in [
            "",
            "Authorization: Basic YTpi\r\nCookie: a=1\r\n",
            &format!("Authorization: Bearer {token}\r\n"),
        ] {
            let lines = format!("{PREFLIGHT}{credential}X-User: evil\r\n");
            assert_eq!(options(&gate, target, &lines).status, 200, "{target} {credential}");
            let request = last(&backend);
            assert_eq!(request.method, "OPTIONS");
            assert_eq!(request.header("access-control-request-method"), Some("PUT"));
            for name in ["authorization", "cookie", "x-user", "x-user-roles"] {
                assert!(!request.headers.has(name), "{target}: {name} went along");
            }
        }
    }
    let client = gate.tls_client(Protocol::Http2);
    let request = client
        .request(Method::OPTIONS, "/pass")
        .header("origin", "https://app.test");
    request
        .header("access-control-request-method", "PUT")
        .send()
        .expect(200);
}

#[test]
fn what_only_looks_like_a_preflight_is_a_request_like_all() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    for lines in [
        "",
        ORIGIN,
        "Access-Control-Request-Method: PUT\r\n",
        &format!("{PREFLIGHT}Connection: upgrade\r\nUpgrade: websocket\r\n"),
        "Origin: https://app.test\r\nAccess-Control-Request-Method: not a method\r\n",
    ] {
        let response = options(&gate, "/pass", lines);
        assert!(matches!(response.status, 400 | 401), "{lines}: {}", response.status);
    }
    let body = gate.ask(format!(
        "OPTIONS /pass HTTP/1.1\r\nHost: a\r\n{PREFLIGHT}Content-Length: 5\r\n\r\nhello"
    ));
    assert_problem(&body, 401, "credentials_required");
    let body = gate.ask(format!(
        "OPTIONS /pass HTTP/1.1\r\nHost: a\r\n{PREFLIGHT}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ));
    assert_problem(&body, 401, "credentials_required");
    // The method alone does not make it one.
    assert_eq!(gate.get("/pass", PREFLIGHT).status, 401);
    assert!(backend.requests().is_empty());
    assert_eq!(options(&gate, "/pass", &gate.bearer("ann", &["user"])).status, 200);
    assert_eq!(last(&backend).header("x-user"), Some("ann"));
}

#[test]
fn what_holds_for_everybody_holds_for_a_preflight() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    for (target, status, code) in [
        ("/closed", 403, "access_denied"),
        ("/far", 403, "network_not_allowed"),
        ("/far/answer", 403, "network_not_allowed"),
        ("/nowhere", 404, "not_found"),
        ("/get", 405, "method_not_allowed"),
        ("/pass/%2e%2e/x", 400, "invalid_target"),
    ] {
        let response = options(&gate, target, PREFLIGHT);
        assert_problem(&response, status, code);
        // So that a page's author sees the reason.
        assert_eq!(
            response.header("access-control-allow-origin"),
            Some("https://app.test"),
            "{target}"
        );
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn a_preflight_is_answered_where_the_route_says_so() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    let response = options(&gate, "/answer", PREFLIGHT);
    assert_eq!((response.status, response.body.len()), (204, 0));
    for (name, value) in [
        ("access-control-allow-origin", "https://app.test"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "authorization, x-a"),
        ("access-control-max-age", "300"),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    let stranger = options(&gate, "/answer", &PREFLIGHT.replace("app.test", "evil.test"));
    assert_eq!(stranger.status, 204);
    assert!(
        !stranger
            .headers
            .names()
            .iter()
            .any(|name| name.to_lowercase().starts_with("access-control-allow"))
    );
    assert!(backend.requests().is_empty());
    // The request that follows is another matter.
    assert_eq!(
        gate.ask(format!("PUT /answer HTTP/1.1\r\nHost: a\r\n{ORIGIN}\r\n"))
            .status,
        401
    );
}
