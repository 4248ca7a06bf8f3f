//! A page of another site sets off no request that changes something, whatever cookie the browser adds to it.

use super::{cookie, form};
use crate::support::gateway::{TestGateway, password_of};
use crate::support::raw::{RawClient, RawResponse};
use crate::support::upstream::Upstream;

/// What a browser says of where a request comes from, and whether that is here.
const ORIGINS: &[(&str, bool)] = &[
    ("Sec-Fetch-Site: same-origin\r\n", true),
    ("Sec-Fetch-Site: none\r\n", true),
    ("Sec-Fetch-Site: same-origin\r\nOrigin: https://localhost\r\n", true),
    ("Origin: https://localhost\r\n", true),
    ("Origin: https://localhost:443\r\n", true),
    ("Origin: https://friend.example\r\n", true),
    ("Sec-Fetch-Site: cross-site\r\nOrigin: https://friend.example\r\n", true),
    ("", false),
    ("Sec-Fetch-Site: cross-site\r\n", false),
    ("Sec-Fetch-Site: same-site\r\n", false),
    ("Sec-Fetch-Site: \r\n", false),
    ("Sec-Fetch-Site: Same-Origin\r\n", false),
    ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Site: same-origin\r\n", false),
    ("Sec-Fetch-Site: same-site\r\nOrigin: https://shop.localhost\r\n", false),
    ("Origin: https://evil.example\r\n", false),
    ("Origin: null\r\n", false),
    ("Origin: http://localhost\r\n", false),
    ("Origin: https://localhost:8443\r\n", false),
    ("Origin: https://localhost.evil.example\r\n", false),
    ("Origin: https://localhost\r\nOrigin: https://evil.example\r\n", false),
    ("Referer: https://localhost/app\r\n", false),
];

fn ask(raw: &mut RawClient, method: &str, path: &str, more: &str) -> RawResponse {
    let length = if method == "GET" || method == "HEAD" {
        ""
    } else {
        "Content-Length: 0\r\n"
    };
    raw.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}{more}\r\n"
    ));
    if method == "HEAD" {
        raw.response_to_head()
    } else {
        raw.response()
    }
}

#[test]
fn cookies_alone_change_nothing_from_elsewhere() {
    let backend = Upstream::start();
    let gateway = TestGateway::with(&backend)
        .route_with("/app", "")
        .route_with("/free", "cross_site = \"allow\"")
        .route_with("/open", "access = \"optional\"")
        .public("/public")
        .config("[cors]\nallowed_origins = [\"https://friend.example\"]\nallow_credentials = true")
        .user("alice", &["user"])
        .start();
    let jar = cookie(gateway.https(), "alice", &password_of("alice"));
    let token = gateway.login("alice");
    let (with_cookie, with_token) = (
        format!("Cookie: {jar}\r\n"),
        format!("Authorization: Bearer {token}\r\n"),
    );
    let both = format!("{with_cookie}{with_token}");
    const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    let mut raw = gateway.raw();
    for (origin, is_ours) in ORIGINS {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
            let safe = matches!(method, "GET" | "HEAD" | "OPTIONS");
            for (path, credential, guarded) in [
                ("/app", &with_cookie, true),
                ("/open", &with_cookie, true),
                ("/free", &with_cookie, false),
                ("/public", &with_cookie, false),
                ("/app", &with_token, false),
                ("/app", &both, false),
            ] {
                let answer = ask(&mut raw, method, path, &format!("{origin}{credential}"));
                let refused = guarded && !safe && !is_ours;
                assert_eq!(
                    answer.status,
                    if refused { 403 } else { 200 },
                    "{method} {path} {origin:?}"
                );
                if refused {
                    assert_eq!(answer.json()["error"], "cross_site_request");
                }
            }
        }
        // A tunnel is more than a read, whatever the method.
        let answer = ask(
            &mut gateway.raw(),
            "GET",
            "/app",
            &format!("{origin}{with_cookie}{UPGRADE}"),
        );
        assert_eq!(answer.status, if *is_ours { 200 } else { 403 }, "upgrade, {origin:?}");
    }
}

#[test]
fn nobody_is_logged_in_or_out_from_elsewhere() {
    let gateway = TestGateway::alone()
        .user("alice", &["user"])
        .config("[cors]\nallowed_origins = [\"https://friend.example\"]")
        .start();
    let jar = cookie(gateway.https(), "alice", &password_of("alice"));
    let fields = form(&[("username", "alice"), ("password", &password_of("alice"))]);
    let mut raw = gateway.raw();
    for (origin, is_ours) in ORIGINS {
        for more in ["", "Content-Type: text/plain\r\n"] {
            let head = format!(
                "POST /auth/login HTTP/1.1\r\nHost: localhost\r\n{more}{origin}Content-Length: {}\r\n\r\n",
                fields.len()
            );
            let answer = raw.send(head + &fields).response();
            assert_eq!(answer.status, if *is_ours { 303 } else { 403 }, "{origin:?}");
            assert_eq!(answer.headers.all("set-cookie").is_empty(), !is_ours, "{origin:?}");
        }
        if !is_ours {
            let answer = ask(&mut raw, "POST", "/auth/logout", &format!("{origin}Cookie: {jar}\r\n"));
            assert_eq!(answer.status, 403, "{origin:?}");
            let answer = ask(&mut raw, "POST", "/auth/logout", origin);
            assert_eq!(answer.status, 403, "{origin:?}");
            assert!(answer.headers.all("set-cookie").is_empty());
            let answer = ask(&mut raw, "POST", "/api/logout", &format!("{origin}Cookie: {jar}\r\n"));
            assert_eq!(answer.status, 403, "{origin:?}");
        }
    }
    let me = super::get_with(gateway.https(), "/api/me", &jar).expect(200);
    assert_eq!(me.json()["username"], "alice");
}
