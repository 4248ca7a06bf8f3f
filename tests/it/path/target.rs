//! The path that was checked is the path that is sent; what can be read in two ways gets nowhere.

use http::Method;

use super::gate::{Gate, open_to, route, upstream};
use super::{assert_problem, last};
use crate::support::client::Protocol;
use crate::support::upstream::Upstream;

#[test]
fn a_target_is_sent_on_byte_for_byte() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&open_to(&backend.url()));
    let http2 = gate.tls_client(Protocol::Http2);
    let mut client = gate.connect();
    let long = format!("/{}", "a/".repeat(4000));
    for target in [
        "/",
        "/?",
        "/a",
        "/A/b/",
        "/a%2Fb",
        "/a%2fb",
        "//",
        "//a",
        "/a//b///",
        "/a;x=1;y",
        "/a%20b",
        "/%41%7e",
        "/%7E",
        "/a%23b",
        "/a%3Fb",
        "/a%3fb?c",
        "/%ff%FE",
        "/%e2%84%aa",
        "/group%2Fproject/-/merge_requests",
        "/@scope%2fname",
        "/_matrix/%21room%3Aexample.org",
        "/a~!$&'()*+,;=:@-._",
        "/a?x=1&y=//..%2f/../;#".strip_suffix('#').unwrap(),
        "/a?b?c",
        "/a?%zz",
        "/...",
        "/.a/..b/c..",
        &long,
    ] {
        let response = client
            .send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .response();
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        assert_eq!(last(&backend).target, target);
        http2.get(target).expect(200);
        assert_eq!(last(&backend).target, target, "over HTTP/2");
    }
    let response = client
        .send("GET http://a/X%2fy?Z HTTP/1.1\r\nHost: a\r\n\r\n")
        .response();
    assert_eq!((response.status, last(&backend).target.as_str()), (200, "/X%2fy?Z"));
}

fn two_sided(url: &str, more: &str) -> String {
    upstream("app", url, "")
        + &route("open", "/", "app", &format!("access = \"public\"\n{more}"))
        + &route("public", "/public", "app", "access = \"public\"")
        + &route("admin", "/admin", "app", "roles_any = [\"admin\"]")
}

/// Targets that some backend takes for `/admin/…` although they do not begin with it.
const DISGUISES: [&str; 14] = [
    "/ADMIN",
    "/Admin/x",
    "//admin",
    "//admin/x",
    "///admin",
    "/admin%2Fx",
    "/%2Fadmin",
    "/admin%5Cx",
    "/%5cadmin",
    "/%61dmin/x",
    "/%2561dmin",
    "/admin;x=1",
    "/;/admin",
    "/\u{ff41}dmin",
];

#[test]
fn what_some_backend_takes_for_a_protected_path_is_not_public() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&two_sided(&backend.url(), ""));
    let http2 = gate.tls_client(Protocol::Http2);
    let admin = gate.token("eve", &["admin"]);
    let user = gate.token("ann", &["user"]);
    let mut client = gate.connect();
    for target in DISGUISES {
        // Over the wire, what is no ASCII is escaped.
        let target: String = target.chars().map(escaped).collect();
        for token in [None, Some(&user)] {
            let line = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
            let response = client
                .send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{line}\r\n"))
                .response();
            assert!(
                matches!(response.status, 400 | 401 | 403),
                "{target} with {token:?}: {}",
                response.status
            );
            if response.status == 400 {
                assert_problem(&response, 400, "ambiguous_target");
            }
            assert_eq!(http2.request(Method::GET, &target).send().status / 100, 4, "{target}");
        }
        assert!(backend.requests().is_empty(), "{target} reached the upstream");
    }
    for target in ["/ADMIN", "//admin"] {
        assert_problem(&gate.get(target, ""), 400, "ambiguous_target");
    }
    // Who may everything may this too, and the backend gets what was sent.
    for target in ["/ADMIN", "//admin", "/admin%2Fx", "/%61dmin/x", "/admin;x=1"] {
        let line = format!("Authorization: Bearer {admin}\r\n");
        let response = gate.get(target, &line);
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        assert_eq!(last(&backend).target, target);
    }
}

fn escaped(character: char) -> String {
    if character.is_ascii() {
        return character.to_string();
    }
    let mut bytes = [0; 4];
    character
        .encode_utf8(&mut bytes)
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect()
}

#[test]
fn a_route_can_refuse_every_second_reading() {
    let backend = Upstream::start();
    let gate = Gate::start(&two_sided(&backend.url(), "ambiguous = \"refuse\""));
    let admin = gate.bearer("eve", &["admin"]);
    for target in ["/ADMIN", "//admin"] {
        assert_problem(&gate.get(target, &admin), 400, "ambiguous_target");
    }
    assert_eq!(gate.get("/OTHER", "").status, 200);
    assert_eq!(backend.only_request().target, "/OTHER");
}

#[test]
fn a_reading_without_a_route_does_not_pass() {
    let backend = Upstream::start();
    let config = upstream("app", &backend.url(), "") + &route("deep", "/a/b", "app", "access = \"public\"");
    let gate = Gate::start(&config);
    for (target, status) in [
        ("/a/b", 200),
        ("/a/b/", 200),
        ("/a/b//c", 200),
        ("/a/b/C%2Fd", 200),
        ("/A/b", 404),
        ("/a//b", 404),
        ("/a", 404),
        ("/a/bc", 404),
        ("/a/b.json", 404),
    ] {
        let response = gate.get(target, "");
        assert_eq!(response.status, status, "{target}: {}", response.text());
    }
    let sent: Vec<String> = backend.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(sent, ["/a/b", "/a/b/", "/a/b//c", "/a/b/C%2Fd"]);
}

#[test]
fn the_prefix_to_strip_holds_in_every_reading() {
    let backend = Upstream::start();
    let config = upstream("app", &backend.url(), "")
        + &route("app", "/app", "app", "access = \"public\"\nstrip_prefix = \"/app\"")
        + &route(
            "admin",
            "/app/admin",
            "app",
            "roles_any = [\"admin\"]\nstrip_prefix = \"/app\"",
        );
    let gate = Gate::start(&config);
    for target in [
        "/app//admin",
        "/app/ADMIN",
        "/app/%61dmin",
        "/app/admin%2fx",
        "/app;/admin",
    ] {
        let response = gate.get(target, "");
        assert!(
            matches!(response.status, 400 | 401 | 404),
            "{target}: {}",
            response.status
        );
    }
    assert!(backend.requests().is_empty());
    for (target, sent) in [("/app/x//y", "/x//y"), ("/app/X%2Fy", "/X%2Fy"), ("/app;v=1/x", "")] {
        let response = gate.get(target, "");
        if sent.is_empty() {
            assert_ne!(response.status, 200, "{target}");
        } else {
            assert_eq!(
                (response.status, last(&backend).target.as_str()),
                (200, sent),
                "{target}"
            );
        }
    }
}

/// Never right, whoever asks and whatever the routes are.
const NEVER: [&str; 35] = [
    "/public/../admin/secret",
    "/public/..",
    "/..",
    "/.",
    "/./admin",
    "/admin/.",
    "/a/./b",
    "/public/%2e%2e/admin",
    "/public/%2E%2e/admin",
    "/public/.%2e/admin",
    "/public/%2e./admin",
    "/public/%2e/admin",
    "/public/..%2fadmin",
    "/public/..%2Fadmin",
    "/public%2f..%2fadmin",
    "/public/..%5cadmin",
    "/public/..;/admin",
    "/public/..;x=1/admin",
    "/public/.;/admin",
    "/public/..%3b/admin",
    "/public/%252e%252e/admin",
    "/public/%25252e%25252e/admin",
    "/public/..%252fadmin",
    "/public%3f/../admin",
    "/public%23/../admin",
    "/admin%00",
    "/admin%00.png",
    "/a%0d%0aX-User:%20evil",
    "/a%0a",
    "/a%7f",
    "/a%1F",
    "/%",
    "/a%2",
    "/a%zz",
    "/a%-1",
];

#[test]
fn some_targets_are_never_right() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&two_sided(&backend.url(), ""));
    let admin = gate.token("eve", &["admin"]);
    let http2 = gate.tls_client(Protocol::Http2);
    let mut client = gate.connect();
    for target in NEVER {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {admin}\r\n\r\n");
        let response = client.send(request).response();
        assert_eq!(response.status, 400, "{target}");
        let code = response.json()["error"].as_str().unwrap().to_owned();
        assert!(
            code == "invalid_target" || code == "ambiguous_target",
            "{target}: {code}"
        );
        let over = http2.request(Method::GET, target).bearer(&admin).send();
        assert_eq!(
            (over.status, over.json()["error"].as_str().unwrap()),
            (400, code.as_str()),
            "{target} over HTTP/2"
        );
    }
    // What no client library sends, on a connection each: these end it.
    for target in [
        "/a#b",
        "/admin#/public",
        "/public\\..\\admin",
        "/a\\b",
        "/a\u{1}b",
        "/a\u{7f}",
        "/\u{e4}",
        "/a<b",
        "/a b",
    ] {
        let response = gate.get(target, "");
        assert_eq!(response.status, 400, "{target:?}");
    }
    assert!(backend.requests().is_empty(), "{:#?}", backend.requests());
}

#[test]
fn the_query_has_no_say_in_the_route() {
    let backend = Upstream::start();
    let gate = Gate::start(&two_sided(&backend.url(), ""));
    for (target, status) in [
        ("/admin?/public", 401),
        ("/admin?x=/../public", 401),
        ("/public?x=/admin", 200),
        ("/public?/../admin", 200),
        ("/?//admin", 200),
    ] {
        assert_eq!(gate.get(target, "").status, status, "{target}");
    }
}

#[test]
fn options_for_the_server_as_a_whole_goes_to_nobody() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    let mut client = gate.connect();
    let response = client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert!(response.status < 500, "{}", response.text());
    let response = gate.ask("GET * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_problem(&response, 400, "invalid_target");
    assert!(
        backend
            .requests()
            .iter()
            .all(|request| request.method == "OPTIONS" && request.target == "*")
    );
}
