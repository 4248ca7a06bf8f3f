//! Who gets through and what the others are told; a connection outlives its refusals and stays in step.

use http::Method;

use super::gate::{AUDIENCE, Gate, route, upstream};
use super::{assert_problem, last};
use crate::support::client::Protocol;
use crate::support::issuer::{Issuer, unix_time};
use crate::support::raw::RawClient;
use crate::support::upstream::Upstream;

fn routes(url: &str) -> String {
    [
        upstream("app", url, ""),
        route("open", "/open", "app", "access = \"public\""),
        route("app", "/app", "app", ""),
        route("maybe", "/maybe", "app", "access = \"optional\""),
        route("any", "/any", "app", "roles_any = [\"admin\", \"ops\"]"),
        route("all", "/all", "app", "roles_all = [\"user\", \"admin\"]"),
        route("nobody", "/nobody", "app", "roles_any = []"),
        route(
            "near",
            "/near",
            "app",
            "access = \"public\"\nnetworks = [\"127.0.0.0/8\"]",
        ),
        route("far", "/far", "app", "access = \"public\"\nnetworks = [\"10.0.0.0/8\"]"),
        route("far-app", "/far/app", "app", "networks = [\"10.0.0.0/8\"]"),
        route(
            "get",
            "/get",
            "app",
            "access = \"public\"\nmethods = [\"GET\", \"POST\"]",
        ),
        route("put", "/get", "app", "methods = [\"PUT\"]"),
        route("get-below", "/get/below", "app", "methods = [\"DELETE\"]"),
        route(
            "host",
            "/only",
            "app",
            "access = \"public\"\nhosts = [\"one.test\", \"*.many.test\"]",
        ),
        "[[routes]]\nname = \"closed\"\npath = \"/open/closed\"\naccess = \"deny\"\n".to_owned(),
    ]
    .concat()
}

const INVALID: &str = "error=\"invalid_token\"";

/// A request, and what is to come of it: the status; the code and the challenge of a refusal.
struct Row(
    &'static str,
    &'static str,
    String,
    u16,
    &'static str,
    Option<&'static str>,
);

fn rows(gate: &Gate) -> Vec<Row> {
    let user = || gate.bearer("ann", &["user"]);
    let admin = || gate.bearer("eve", &["admin"]);
    let none = String::new;
    let plain = Some("Bearer realm=\"doorward\"");
    let role = Some("error=\"insufficient_scope\"");
    let field = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let signed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut claims = gate.issuer().claims(AUDIENCE, "ann");
        change(&mut claims);
        field(&gate.issuer().sign("k1", &claims))
    };
    let stranger = Issuer::new("https://idp.test").es256("k1");
    let forged = field(&stranger.sign("k1", &stranger.claims(AUDIENCE, "ann")));
    let confused = gate.issuer().claims(AUDIENCE, "ann");
    vec![
        Row("GET", "/open/x", none(), 200, "", None),
        Row("GET", "/open/x", field("nonsense"), 200, "", None),
        Row("GET", "/open/x", user() + &user(), 200, "", None),
        Row("GET", "/app", user(), 200, "", None),
        Row("GET", "/app/", user(), 200, "", None),
        Row("BREW", "/app", user(), 200, "", None),
        Row("GET", "/app", user().replace("Bearer", "bEARER"), 200, "", None),
        Row("GET", "/maybe", none(), 200, "", None),
        Row("GET", "/maybe", user(), 200, "", None),
        Row("GET", "/any", admin(), 200, "", None),
        Row("GET", "/all", gate.bearer("joe", &["admin", "user"]), 200, "", None),
        Row("GET", "/near", none(), 200, "", None),
        Row("GET", "/get", none(), 200, "", None),
        Row("PUT", "/get", user(), 200, "", None),
        // 401: a challenge without an error code where nothing was shown (RFC 6750 section 3).
        Row("GET", "/app", none(), 401, "credentials_required", plain),
        Row(
            "GET",
            "/app",
            "Authorization: Basic YTpi\r\n".into(),
            401,
            "credentials_required",
            plain,
        ),
        Row("GET", "/app?access_token=x", none(), 401, "credentials_required", plain),
        Row(
            "GET",
            "/app",
            "User-Agent: GoogleHC/1.0\r\n".into(),
            401,
            "credentials_required",
            plain,
        ),
        Row(
            "GET",
            "/app",
            "Cookie: __Host-doorward=%%%\r\n".into(),
            401,
            "credentials_required",
            plain,
        ),
        Row("GET", "/any", none(), 401, "credentials_required", plain),
        Row("GET", "/nobody", none(), 401, "credentials_required", plain),
        Row("PUT", "/get", none(), 401, "credentials_required", plain),
        Row("GET", "/app", field("nonsense"), 401, "invalid_token", Some(INVALID)),
        Row(
            "GET",
            "/app",
            "Authorization: Bearer\r\n".into(),
            401,
            "invalid_token",
            Some(INVALID),
        ),
        Row("GET", "/maybe", field("nonsense"), 401, "invalid_token", Some(INVALID)),
        Row("GET", "/app", forged, 401, "invalid_token", Some(INVALID)),
        Row(
            "GET",
            "/app",
            field(&Issuer::unsigned(&confused)),
            401,
            "invalid_token",
            Some(INVALID),
        ),
        Row(
            "GET",
            "/app",
            field(&gate.issuer().sign_with_public_key_as_secret("k1", &confused)),
            401,
            "invalid_token",
            Some(INVALID),
        ),
        Row(
            "GET",
            "/app",
            signed(&|c| c["exp"] = (unix_time() - 1).into()),
            401,
            "invalid_token",
            Some(INVALID),
        ),
        Row(
            "GET",
            "/app",
            signed(&|c| c["aud"] = "other".into()),
            401,
            "invalid_token",
            Some(INVALID),
        ),
        Row(
            "GET",
            "/app",
            signed(&|c| c["iss"] = "https://else.test".into()),
            401,
            "invalid_token",
            Some(INVALID),
        ),
        Row(
            "GET",
            "/app",
            signed(&|c| c["exp"] = "never".into()),
            401,
            "invalid_token",
            Some(INVALID),
        ),
        // 400: which of two credentials counts is anybody's guess.
        Row(
            "GET",
            "/app",
            user() + &user(),
            400,
            "invalid_request",
            Some("error=\"invalid_request\""),
        ),
        // 403.
        Row("GET", "/any", user(), 403, "insufficient_scope", role),
        Row("GET", "/all", admin(), 403, "insufficient_scope", role),
        Row("GET", "/nobody", admin(), 403, "insufficient_scope", role),
        Row("GET", "/far", none(), 403, "network_not_allowed", None),
        Row("GET", "/far/app", field("nonsense"), 403, "network_not_allowed", None),
        Row(
            "GET",
            "/far",
            "X-Forwarded-For: 10.1.2.3\r\n".into(),
            403,
            "network_not_allowed",
            None,
        ),
        Row("GET", "/open/closed", admin(), 403, "access_denied", None),
        // 404, also for what only begins like a route, and for another host.
        // No route has the root: for reading it leads to the pages, for anything else it is nothing.
        Row("POST", "/", "Content-Length: 0\r\n".into(), 404, "not_found", None),
        Row("GET", "/opening", none(), 404, "not_found", None),
        Row("GET", "/open.json", none(), 404, "not_found", None),
        Row("GET", "/only", none(), 404, "not_found", None),
        // 405, never a shorter path's route.
        Row("DELETE", "/get", user(), 405, "method_not_allowed", None),
        Row("GET", "/get/below", user(), 405, "method_not_allowed", None),
    ]
}

#[test]
fn whoever_may_passes_and_the_others_are_told_why() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&routes(&backend.url()));
    let http2 = gate.tls_client(Protocol::Http2);
    for Row(method, target, lines, status, code, challenge) in rows(&gate) {
        let case = format!("{method} {target} {lines:?}");
        let before = backend.requests().len();
        let response = gate.ask(format!("{method} {target} HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n"));
        assert_eq!(response.status, status, "{case}: {}", response.text());
        assert!(response.keeps_alive(), "{case}");
        assert_eq!(backend.requests().len() - before, usize::from(status == 200), "{case}");
        let mut request = http2.request(Method::from_bytes(method.as_bytes()).unwrap(), target);
        for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
            request = request.header(&name.to_lowercase(), value);
        }
        let also = request.host("app.test").send();
        assert_eq!(
            (also.status, also.version),
            (status, http::Version::HTTP_2),
            "{case}: {}",
            also.text()
        );
        assert_eq!(
            also.header("www-authenticate"),
            response.header("www-authenticate"),
            "{case}"
        );
        assert_eq!(also.header("connection"), None, "{case}");
        if status == 200 {
            continue;
        }
        assert_problem(&response, status, code);
        assert_eq!(also.json(), response.json(), "{case}");
        let shown = response.header("www-authenticate");
        match challenge {
            None => assert_eq!(shown, None, "{case}"),
            Some(wanted) => {
                let shown = shown.unwrap_or_else(|| panic!("{case}: no challenge"));
                assert!(
                    shown.starts_with("Bearer realm=\"doorward\"") && shown.contains(wanted),
                    "{case}: {shown}"
                );
                assert_eq!(shown.contains("error="), wanted.contains("error="), "{case}: {shown}");
            }
        }
    }
}

#[test]
fn a_method_that_no_route_has_is_told_those_that_one_has() {
    let backend = Upstream::start();
    let gate = Gate::start(&routes(&backend.url()));
    for (target, allow) in [
        ("/get", &["GET", "HEAD", "POST", "PUT"][..]),
        ("/get/below", &["DELETE"]),
    ] {
        let response = gate.ask(format!("PATCH {target} HTTP/1.1\r\nHost: app.test\r\n\r\n"));
        assert_problem(&response, 405, "method_not_allowed");
        let mut methods: Vec<&str> = response.header("allow").unwrap().split(", ").collect();
        methods.sort_unstable();
        assert_eq!(methods, allow);
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn hosts_are_compared_without_port_case_and_trailing_dot() {
    let backend = Upstream::start();
    let gate = Gate::start(&routes(&backend.url()));
    let mut client = gate.connect();
    for (host, status) in [
        ("one.test", 200),
        ("ONE.Test", 200),
        ("one.test.", 200),
        ("one.test:8443", 200),
        ("a.many.test", 200),
        ("many.test", 404),
        ("a.b.many.test", 404),
        ("one.test.evil.test", 404),
    ] {
        let response = client
            .send(format!("GET /only HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .response();
        assert_eq!(response.status, status, "{host}");
        // The backend sees what the client wrote.
        if status == 200 {
            assert_eq!(last(&backend).header("host"), Some(host));
        }
    }
    // HTTP/1.0 without Host matches only routes without hosts.
    assert_eq!(gate.ask("GET /only HTTP/1.0\r\n\r\n").status, 404);
    assert_eq!(gate.ask("GET /open HTTP/1.0\r\n\r\n").status, 200);
    assert!(last(&backend).headers.has("host"), "a backend always gets a Host");
}

#[test]
fn a_head_request_is_refused_without_a_body() {
    let backend = Upstream::start();
    let gate = Gate::start(&routes(&backend.url()));
    let mut client = gate.connect();
    let response = client.send("HEAD /app HTTP/1.1\r\nHost: a\r\n\r\n").response_to_head();
    assert_eq!((response.status, response.body.len()), (401, 0));
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    // In step: nothing stands in front of the next answer.
    assert_eq!(
        client
            .send("HEAD /get HTTP/1.1\r\nHost: a\r\n\r\n")
            .response_to_head()
            .status,
        200
    );
    assert_eq!(
        client.send("GET /open HTTP/1.1\r\nHost: a\r\n\r\n").response().status,
        200
    );
}

#[test]
fn a_small_body_of_a_refused_request_is_read_and_the_connection_goes_on() {
    let backend = Upstream::start();
    let gate = Gate::start(&routes(&backend.url()));
    let mut client = gate.connect();
    let most = "x".repeat(64 * 1024);
    for (target, status, framed) in [
        ("/app", 401, "Content-Length: 5\r\n\r\nhello".to_owned()),
        ("/app", 401, format!("Content-Length: {}\r\n\r\n{most}", most.len())),
        (
            "/any",
            401,
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
        ),
        (
            "/nowhere",
            404,
            format!(
                "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{most}\r\n0\r\nX-T: 1\r\n\r\n",
                most.len()
            ),
        ),
        (
            "/open/closed",
            403,
            "Content-Length: 20\r\n\r\nGET /open HTTP/1.1\r\n".to_owned(),
        ),
        ("/open/%2e%2e/app", 400, "Content-Length: 5\r\n\r\nhello".to_owned()),
    ] {
        client.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\n{framed}"));
        let response = client.response();
        assert_eq!(
            (response.status, response.keeps_alive()),
            (status, true),
            "{target} {}",
            response.text()
        );
        assert_eq!(
            client.send("GET /open HTTP/1.1\r\nHost: a\r\n\r\n").response().status,
            200
        );
    }
    let seen = backend.requests();
    assert_eq!(seen.len(), 6);
    assert!(
        seen.iter()
            .all(|request| request.target == "/open" && request.method == "GET"),
        "{seen:#?}"
    );
}

#[test]
fn a_refused_request_with_more_body_than_that_is_answered_at_once_and_ends_the_connection() {
    let backend = Upstream::start();
    let gate = Gate::start(&routes(&backend.url()));
    let much = "x".repeat(128 * 1024);
    let chunk = format!("20000\r\n{much}\r\n");
    for (case, request) in [
        ("announced and never sent", "Content-Length: 1000000\r\n\r\n".to_owned()),
        ("announced and begun", format!("Content-Length: 1000000\r\n\r\n{much}")),
        (
            "in chunks without an end",
            format!("Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}"),
        ),
        ("little that never comes", "Content-Length: 5\r\n\r\nhell".to_owned()),
    ] {
        let mut client = gate.connect();
        client
            .try_send(format!("POST /app HTTP/1.1\r\nHost: a\r\n{request}"))
            .ok();
        let response = client.response();
        assert_problem(&response, 401, "credentials_required");
        assert_eq!(response.header("connection"), Some("close"), "{case}");
        client.expect_close();
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn nobody_is_asked_for_a_body_that_is_not_wanted() {
    let backend = Upstream::start();
    let gate = Gate::start(&routes(&backend.url()));
    let mut client = gate.connect();
    client.send("POST /app HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 401, "no 100 before it");
    assert_eq!(response.header("connection"), Some("close"));
    client.expect_close();

    let mut client = gate.connect();
    client.send("POST /open HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("hello");
    assert_eq!(client.response().status, 200);
    assert_eq!(last(&backend).text(), "hello");
    // An expectation that nobody knows (RFC 9110 section 10.1.1).
    let served = backend.requests().len();
    for expectation in [
        "Expect: 200-ok\r\n",
        "Expect:\r\n",
        "Expect: 100-continue, x\r\n",
        "Expect: 100-continue\r\nExpect: x\r\n",
        "Expect: x\r\nExpect: 100-continue\r\n",
    ] {
        for end in ["Content-Length: 0\r\n\r\n", "Content-Length: 5\r\n\r\n", "\r\n"] {
            let response = gate.ask(format!("POST /open HTTP/1.1\r\nHost: a\r\n{expectation}{end}"));
            assert_eq!(
                (response.status, response.keeps_alive()),
                (400, false),
                "{expectation}{end}"
            );
        }
    }
    assert_eq!(backend.requests().len(), served);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_only_those_that_may_reach_the_upstream() {
    let backend = Upstream::start();
    let gate = Gate::start(&routes(&backend.url()));
    let user = gate.bearer("ann", &["user"]);
    let requests = [
        ("GET /open/1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200),
        (
            "POST /app/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\nGET /open/evil HTTP/1.1\r\nHost: a\r\n\r\n"
                .into(),
            401,
        ),
        (
            format!("POST /app/3 HTTP/1.1\r\nHost: a\r\n{user}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            200,
        ),
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n".into(), 404),
        (
            format!("PUT /any/5 HTTP/1.1\r\nHost: a\r\n{user}Content-Length: 2\r\n\r\n\r\n"),
            403,
        ),
        ("PATCH /get HTTP/1.1\r\nHost: a\r\n\r\n".into(), 405),
        (
            format!("GET /app/7 HTTP/1.1\r\nHost: a\r\n{user}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
            200,
        ),
        (
            "GET /open/8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(),
            200,
        ),
        ("GET /open/never HTTP/1.1\r\nHost: a\r\n\r\n".into(), 0),
    ];
    let bytes: String = requests.iter().map(|(request, _)| request.as_str()).collect();
    let expected: Vec<u16> = requests
        .iter()
        .map(|(_, status)| *status)
        .filter(|status| *status > 0)
        .collect();
    // At once, byte by byte, and in pieces that end nowhere in particular.
    for size in [bytes.len(), 1, 7, 64] {
        let before = backend.requests().len();
        let mut client = gate.connect();
        for piece in bytes.as_bytes().chunks(size) {
            if client.try_send(piece).is_err() {
                break;
            }
        }
        let answers: Vec<u16> =
            std::iter::from_fn(|| client.try_response().ok().map(|response| response.status)).collect();
        assert_eq!(answers, expected, "in pieces of {size}");
        let targets: Vec<String> = backend
            .requests()
            .split_off(before)
            .into_iter()
            .map(|one| one.target)
            .collect();
        assert_eq!(
            targets,
            ["/open/1", "/app/3", "/app/7", "/open/8"],
            "in pieces of {size}"
        );
    }
}

#[test]
fn what_follows_a_violation_is_never_a_request() {
    let backend = Upstream::start();
    let gate = Gate::start(&routes(&backend.url()));
    let bytes = "GET /open/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /open/2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /open/3 HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = RawClient::connect(gate.address()).exchange(bytes);
    let statuses: Vec<u16> = answers.iter().map(|response| response.status).collect();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(backend.only_request().target, "/open/1");
}
