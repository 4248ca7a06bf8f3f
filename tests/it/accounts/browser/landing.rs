//! Where `rd` leads: to a path of this gateway or the host of a route, never anywhere else.

use super::{form, log_out, navigate, set_cookie};
use crate::support::gateway::{TestGateway, password_of};
use crate::support::upstream::Upstream;

/// What is sent as `rd`, decoded, and where it leads; `None`: home.
const TABLE: &[(&str, Option<&str>)] = &[
    ("/app/x", Some("/app/x")),
    ("/app/x?y=1&z=%2F#f", Some("/app/x?y=1&z=%2F#f")),
    ("/", Some("/")),
    ("/app/../y", Some("/y")),
    ("https://app.example.com/x", Some("https://app.example.com/x")),
    ("https://APP.example.com:8443/", Some("https://app.example.com:8443/")),
    ("", None),
    ("app", None),
    ("//evil.example", None),
    ("///evil.example", None),
    ("////evil.example", None),
    ("/\\evil.example", None),
    ("\\/evil.example", None),
    ("\\\\evil.example", None),
    ("/\t/evil.example", None),
    ("/\n/evil.example", None),
    ("/\u{b}/evil.example", None),
    ("/\u{0}/evil.example", None),
    ("/ /evil.example", None),
    ("/x\r\nSet-Cookie: a=b", None),
    ("/x\r\nLocation: https://evil.example", None),
    ("/../..//evil.example", None),
    ("/app/..//evil.example", None),
    ("/%2e%2E//evil.example", None),
    ("/.//evil.example", None),
    ("https:evil.example", None),
    ("https:/evil.example", None),
    ("https:///evil.example", None),
    ("https://evil.example/", None),
    ("https://app.example.com@evil.example/", None),
    ("https://app.example.com:x@evil.example/", None),
    ("https://x@app.example.com/", None),
    ("https://app.example.com.evil.example/", None),
    ("https://evilapp.example.com/", None),
    ("https://app.example.com%2eevil.example/", None),
    ("https://app.example.com%00.evil.example/", None),
    ("https://app.example.com\\.evil.example/", None),
    (
        "https://app.example.com#@evil.example/",
        Some("https://app.example.com/#@evil.example/"),
    ),
    (
        "https://app.example.com?@evil.example/",
        Some("https://app.example.com/?@evil.example/"),
    ),
    ("https://wild.example.net/", None),
    ("https://*.example.net/", None),
    ("https://localhost/", None),
    ("https://127.0.0.1/", None),
    ("http://app.example.com/", None),
    ("ftp://app.example.com/", None),
    ("javascript:alert(1)", None),
    ("JavaScript://app.example.com/%0aalert(1)", None),
    ("data:text/html,x", None),
    (" /app", None),
    ("\u{feff}/app", None),
];

fn gateway(backend: &Upstream) -> TestGateway {
    TestGateway::with(backend)
        .route_with("/x", "hosts = [\"app.example.com\", \"*.example.net\"]")
        .route_with("/", "")
        .user("alice", &["user"])
        .start()
}

#[test]
fn a_login_and_a_logout_lead_nowhere_else() {
    let backend = Upstream::start();
    let gateway = gateway(&backend);
    let mut raw = gateway.raw();
    for (rd, expected) in TABLE {
        let password = password_of("alice");
        let body = form(&[("username", "alice"), ("password", &password), ("rd", rd)]);
        let length = body.len();
        let head = format!(
            "POST /auth/login HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: evil.example\r\nOrigin: https://localhost\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = raw.send(head + &body).response();
        assert_eq!(answer.status, 303, "{rd:?}: {}", answer.text());
        assert_eq!(answer.headers.all("location"), [expected.unwrap_or("/auth/")], "{rd:?}");
        assert_eq!(answer.headers.all("set-cookie").len(), 1, "{rd:?}");
        assert!(answer.header("location").unwrap().is_ascii());

        let body = form(&[("rd", rd)]);
        let length = body.len();
        let head = format!(
            "POST /auth/logout HTTP/1.1\r\nHost: localhost\r\nOrigin: https://localhost\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = raw.send(head + &body).response();
        assert_eq!(answer.status, 303, "{rd:?}");
        assert_eq!(
            answer.headers.all("location"),
            [expected.unwrap_or("/auth/login")],
            "{rd:?}"
        );

        // The page repeats only what was written anew.
        let page = raw
            .send(format!("GET /auth/login?{body} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .response();
        assert_eq!(page.status, 200, "{rd:?}");
        assert_eq!(page.text().contains("name=\"rd\""), expected.is_some(), "{rd:?}");
        assert!(!page.text().contains("//evil.example\""), "{rd:?}");
    }
}

#[test]
fn raw_and_doubled_queries_lead_home() {
    let backend = Upstream::start();
    let gateway = gateway(&backend);
    for query in [
        "rd=/app&rd=/app",
        "rd=//evil.example",
        "rd=/%09/evil.example",
        "rd=%2F%2Fevil.example",
        "rd=%5C%5Cevil.example",
        "rd=https:evil.example",
        "rd=/%0d%0aSet-Cookie:%20a=b",
        "rd=/%ff%fe%00",
        "RD=/app",
        "xrd=/app",
    ] {
        let page = navigate(gateway.https(), &format!("/auth/login?{query}"), None).expect(200);
        assert!(!page.text().contains("name=\"rd\""), "{query}");
        assert_eq!(page.headers.all("set-cookie").len(), 0);
    }
    // Markup stays text.
    let page = navigate(gateway.https(), "/auth/login?rd=/%22%3E%3Cb%3E%27", None).expect(200);
    assert!(
        !page.text().contains("<b>") && !page.text().contains("\"><"),
        "{}",
        page.text()
    );
}

#[test]
fn a_host_the_client_made_up_has_no_say() {
    let backend = Upstream::start();
    let gateway = gateway(&backend);
    let mut raw = gateway.raw();
    let body = form(&[
        ("username", "alice"),
        ("password", &password_of("alice")),
        ("rd", "/app"),
    ]);
    let length = body.len();
    for host in ["evil.example", "evil.example:8443", "EVIL.example."] {
        let head = format!(
            "POST /auth/login HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = raw.send(head + &body).response();
        assert_eq!((answer.status, answer.header("location")), (303, Some("/app")));
        let sent = raw
            .send(format!(
                "GET /app HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Mode: navigate\r\n\r\n"
            ))
            .response();
        assert_eq!(sent.header("location"), Some("/auth/login?rd=%2Fapp"));
        let root = raw
            .send(format!("GET /auth HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .response();
        assert_eq!(root.header("location"), Some("/auth/"));
    }
    let sent = super::log_in(gateway.https(), "alice", &password_of("alice"), None).expect(303);
    let out = log_out(gateway.https(), &set_cookie(&sent)).expect(303);
    assert_eq!(out.header("location"), Some("/auth/login"));
}
