//! Credentials that the gateway gave out, shown to another proxy: cookies, tickets, API keys.

use http::Method;
use serde_json::json;

use super::*;
use crate::accounts::world::{Gateway, Kind, PASSWORD, World, soon};
use crate::support::gateway::Metrics;
use crate::support::raw::RawClient;

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1\"]\n";

fn ask(gateway: &Gateway, question: &str) -> RawResponse {
    RawClient::connect(gateway.address).send(question).response()
}

/// A login with a browser; what its jar holds then.
fn jar(gateway: &Gateway, name: &str) -> String {
    let form = format!("username={name}&password={}", PASSWORD.replace(' ', "+"));
    let answer = gateway
        .client
        .request(Method::POST, "/auth/login")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
        .header("x-forwarded-proto", "https")
        .body(form)
        .send()
        .expect(303);
    answer
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn a_cookie_counts_and_a_dead_one_leads_to_the_login() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(TRUSTED);
    gateway.register("alice");
    let jar = jar(&gateway, "alice");
    let lines = format!("Cookie: a=b; {jar}\r\n{NAVIGATION}");
    for asker in ASKERS {
        let answer = ask(&gateway, &about("/app").with(&lines).by(asker));
        assert_allowed(&answer, "alice");
        assert_eq!(answer.header("set-cookie"), None);
        let twice = format!("Cookie: {jar}\r\nCookie: {jar}\r\n");
        let status = if asker == Asker::Traefik || asker == Asker::Caddy {
            400
        } else {
            403
        };
        assert_refused(
            &ask(&gateway, &about("/app").with(&twice).by(asker)),
            status,
            "invalid_request",
        );
        let broken = format!("Cookie: __Host-doorward=%%%\r\n{NAVIGATION}");
        let answer = ask(&gateway, &about("/app").with(&broken).by(asker));
        assert!(answer.header("location").is_some(), "{answer:?}");
    }
    gateway
        .client
        .request(Method::POST, "/auth/logout")
        .header("cookie", &jar)
        .header("sec-fetch-site", "same-origin")
        .send()
        .expect(303);
    for asker in ASKERS {
        let answer = ask(&gateway, &about("/app").with(&lines).by(asker));
        assert_ne!(answer.status, 200);
        assert!(
            answer
                .header("location")
                .unwrap()
                .starts_with("https://app.test/auth/login"),
            "{answer:?}"
        );
    }
}

#[test]
fn a_cookie_that_is_due_is_renewed_with_the_answer() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(&format!(
        "{TRUSTED}[tokens]\nissuer = \"https://gateway.test\"\naccess_ttl = \"2s\"\n"
    ));
    gateway.register("alice");
    let jar = jar(&gateway, "alice");
    let lines = format!("Cookie: {jar}\r\n");
    for asker in ASKERS {
        soon("a renewed cookie", || {
            let answer = ask(&gateway, &about("/app").with(&lines).by(asker));
            assert_allowed(&answer, "alice");
            answer
                .headers
                .all("set-cookie")
                .iter()
                .any(|cookie| cookie.starts_with("__Host-doorward=") && !cookie.contains("Max-Age=0"))
        });
    }
}

#[test]
fn a_page_of_another_site_sets_nothing_off_with_a_cookie() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(TRUSTED);
    gateway.register("alice");
    let cookie = format!("Cookie: {}\r\n", jar(&gateway, "alice"));
    let web_socket = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    for (method, scheme, more, passes) in [
        ("GET", "https", "", true),
        ("POST", "https", "", false),
        ("POST", "https", "Sec-Fetch-Site: same-origin\r\n", true),
        ("POST", "https", "Sec-Fetch-Site: cross-site\r\n", false),
        ("POST", "https", "Origin: https://app.test\r\n", true),
        ("POST", "https", "Origin: https://doorward\r\n", false),
        ("POST", "https", "Origin: http://app.test\r\n", false),
        ("POST", "http", "Origin: http://app.test\r\n", true),
        ("DELETE", "https", "Origin: https://evil.example\r\n", false),
        // A WebSocket, however it shows.
        ("GET", "wss", "Origin: https://evil.example\r\n", false),
        ("GET", "wss", "Origin: https://app.test\r\n", true),
        ("GET", "ws", "Origin: http://app.test\r\n", true),
        ("GET", "ws", "Origin: https://app.test\r\n", false),
        (
            "GET",
            "https",
            "Origin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
            false,
        ),
        ("GET", "https", web_socket, false),
        (
            "GET",
            "https",
            "Sec-Fetch-Mode: websocket\r\nSec-Fetch-Site: cross-site\r\n",
            false,
        ),
        (
            "GET",
            "https",
            "Sec-Fetch-Mode: websocket\r\nSec-Fetch-Site: same-origin\r\n",
            true,
        ),
    ] {
        let lines = format!("{cookie}{more}");
        for asker in ASKERS {
            let question = Question {
                scheme,
                ..about("/app")
            }
            .method(method)
            .with(&lines);
            let answer = ask(&gateway, &question.by(asker));
            match passes {
                true => assert_allowed(&answer, "alice"),
                false => assert_refused(&answer, 403, "cross_site_request"),
            }
        }
    }
    // Where Envoy does not tell the scheme, no origin is known to be one's own.
    let lines = format!("{cookie}Origin: https://app.test\r\n");
    let question = about("/app").method("POST").with(&lines).by(Asker::Envoy);
    let question = question.replace("X-Forwarded-Proto: https\r\n", "");
    assert_refused(&ask(&gateway, &question), 403, "cross_site_request");
}

#[test]
fn a_ticket_in_the_original_url_counts_once() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(TRUSTED);
    let alice = gateway.register("alice");
    for asker in ASKERS {
        let fetched = gateway
            .client
            .request(Method::POST, "/api/ticket")
            .bearer(&alice.access)
            .send();
        let ticket = fetched.expect(200).json()["ticket"].as_str().unwrap().to_owned();
        // In the question's own URL it is nothing.
        let own = about("/app").by(asker);
        if asker != Asker::Envoy {
            let own = own.replacen(" HTTP/1.1", &format!("?doorward_ticket={ticket} HTTP/1.1"), 1);
            assert_refused(&ask(&gateway, &own), 401, "credentials_required");
        }
        let target = format!("/app?doorward_ticket={ticket}");
        assert_allowed(&ask(&gateway, &about(&target).by(asker)), "alice");
        assert_refused(&ask(&gateway, &about(&target).by(asker)), 401, "invalid_token");
    }
}

#[test]
fn api_keys_count_as_bearer_and_as_basic_where_the_route_says_so() {
    use base64::Engine as _;
    let world = World::new(Kind::Sqlite);
    let with_basic = route("machines", "/machines", "app", "credentials = [\"basic\"]");
    let both = ["public", "app"].map(|name| route(name, &format!("/{name}"), "app", ""));
    let gateway = world.gateway(&format!("{TRUSTED}{}{with_basic}", both.concat()));
    let alice = gateway.register("alice");
    let made = gateway
        .client
        .request(Method::POST, "/api/keys")
        .bearer(&alice.access)
        .json(&json!({ "name": "ci" }))
        .send();
    let key = made.json()["key"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", made.text()))
        .to_owned();
    let bearer = format!("Authorization: Bearer {key}\r\n");
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("alice:{key}"));
    let basic = format!("Authorization: Basic {pair}\r\n");
    for asker in ASKERS {
        assert_allowed(&ask(&gateway, &about("/app").with(&bearer).by(asker)), "alice");
        assert_allowed(&ask(&gateway, &about("/machines").with(&basic).by(asker)), "alice");
        assert_refused(
            &ask(&gateway, &about("/app").with(&basic).by(asker)),
            401,
            "credentials_required",
        );
    }
}

#[test]
fn a_known_token_asks_no_store_and_the_figures_are_of_the_original_request() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(TRUSTED);
    let alice = gateway.register("alice");
    let token = format!("Authorization: Bearer {}\r\n", alice.access);
    let metrics = || Metrics::parse(&gateway.admin.get("/metrics").text());
    let decisions = |reason: &str, route: &str| {
        metrics().sum(
            "doorward_access_decisions_total",
            &[("route", route), ("reason", reason)],
        )
    };
    for asker in ASKERS {
        assert_allowed(
            &ask(&gateway, &about("/app/y?secret=1").with(&token).by(asker)),
            "alice",
        );
        assert_eq!(
            ask(&gateway, &about("/app/admin").method("PUT").with(&token).by(asker)).status,
            403
        );
        assert_eq!(ask(&gateway, "GET /auth/caddy HTTP/1.1\r\nHost: a\r\n\r\n").status, 403);
    }
    assert_eq!(decisions("ok", "app"), 4.0);
    assert_eq!(decisions("insufficient_scope", "admin"), 4.0);
    assert_eq!(decisions("invalid_question", "(gateway)"), 4.0);
    let requests = metrics().sum(
        "doorward_http_requests_total",
        &[("route", "admin"), ("method", "PUT"), ("status", "403")],
    );
    assert_eq!(requests, 4.0);
    let line = gateway
        .process
        .wait_for_line(|line| line.contains("doorward::access") && line.contains("path=\"/app/y\""));
    for part in [
        "client=192.0.2.7",
        "user=\"alice\"",
        "method=\"GET\"",
        "host=\"app.test\"",
        "route=\"app\"",
        "decision=permit",
        "reason=ok",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains("secret"), "{line}");
}

/// Another process holds the database's file: who is known passes as ever, and what needs the store is refused without a queue of
/// those who wait for it.
#[test]
fn a_locked_database_keeps_nobody_waiting_and_known_tokens_pass() {
    use std::time::{Duration, Instant};
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(TRUSTED);
    let alice = gateway.register("alice");
    let token = format!("Authorization: Bearer {}\r\n", alice.access);
    let cookie = format!("Cookie: {}\r\n", jar(&gateway, "alice"));
    let ticket = || {
        let fetched = gateway
            .client
            .request(Method::POST, "/api/ticket")
            .bearer(&alice.access);
        fetched.send().expect(200).json()["ticket"].as_str().unwrap().to_owned()
    };
    let tickets = [(); 4].map(|()| ticket());
    let file = world.folder().join("accounts.db");
    assert!(file.exists(), "{file:?}");
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begun = Instant::now();
    for round in 0..10 {
        for (asker, ticket) in ASKERS.into_iter().zip(&tickets) {
            let status = match asker {
                Asker::Nginx | Asker::Envoy => 403,
                Asker::Traefik | Asker::Caddy => 503,
            };
            let target = format!("/app?doorward_ticket={ticket}");
            let answer = ask(&gateway, &about(&target).by(asker));
            assert_refused(&answer, status, "store_unavailable");
            assert!(answer.header("retry-after").is_some(), "{round}");
            assert_eq!(answer.body, b"");
            // Whom memory knows nothing keeps waiting.
            assert_allowed(&ask(&gateway, &about("/app").with(&token).by(asker)), "alice");
            assert_allowed(&ask(&gateway, &about("/app").with(&cookie).by(asker)), "alice");
            assert_allowed(&ask(&gateway, &about("/public").by(asker)), "");
        }
    }
    // One after the other they would have waited for 40 s.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // An ordinary request is told the same.
    let refused = gateway.login_with("alice", PASSWORD);
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    other.execute_batch("COMMIT").unwrap();
    // None was spent while the file was held.
    for (asker, ticket) in ASKERS.into_iter().zip(&tickets) {
        let target = format!("/app?doorward_ticket={ticket}");
        assert_allowed(&ask(&gateway, &about(&target).by(asker)), "alice");
    }
}
