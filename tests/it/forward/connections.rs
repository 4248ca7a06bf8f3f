//! Questions as they come over connections: what each program sends by default, one after another without a pause, with bodies, over
//! HTTP/1.0 and HTTP/2, behind the PROXY protocol; and the forms in which an original request may be told.

use super::*;
use crate::support::client::Protocol;

/// What each program sends where nothing is configured but the question itself, byte for byte in its own spelling and order.
#[test]
fn each_program_asks_with_its_default_settings() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user"]);
    let token = token.as_str();
    let questions = [
        // nginx: HTTP/1.0 by default, everything of the client's copied, the length of a body that is not sent emptied.
        format!(
            "GET /auth/nginx HTTP/1.0\r\nX-Original-Method: POST\r\nX-Original-URL: http://app.test/app/x?y=%zz\r\nHost: 127.0.0.1:9\r\nConnection: close\r\nuser-agent: Mozilla/5.0\r\naccept: text/html\r\nif-none-match: \"x\"\r\nrange: bytes=0-9\r\ncontent-type: text/plain\r\n{token}\r\n"
        ),
        // The same without a Host at all.
        format!(
            "GET /auth/nginx HTTP/1.0\r\nX-Original-Method: GET\r\nX-Original-URL: https://app.test/app\r\n{token}\r\n"
        ),
        // ingress-nginx.
        format!(
            "GET /auth/nginx HTTP/1.1\r\nX-Request-ID: 0123456789abcdef\r\nHost: doorward.auth.svc\r\nX-Original-URL: https://app.test/app\r\nX-Original-Method: GET\r\nX-Sent-From: nginx-ingress-controller\r\nX-Real-IP: 192.0.2.7\r\nX-Forwarded-For: 192.0.2.7\r\nX-Auth-Request-Redirect: /app\r\n{token}\r\n"
        ),
        // Traefik.
        format!(
            "GET /auth/traefik HTTP/1.1\r\nHost: doorward:8000\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n{token}X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: app.test\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Server: traefik-0\r\nX-Forwarded-Uri: /app?a=b\r\nX-Real-Ip: 192.0.2.7\r\nAccept-Encoding: gzip\r\n\r\n"
        ),
        // Traefik with preserveRequestMethod and forwardBody.
        format!(
            "POST /auth/traefik HTTP/1.1\r\nHost: doorward:8000\r\nContent-Length: 4\r\n{token}X-Forwarded-Host: app.test\r\nX-Forwarded-Method: POST\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Uri: /app\r\n\r\nbody"
        ),
        // Traefik before a WebSocket: Connection and Upgrade are taken out, the scheme stays.
        format!(
            "GET /auth/traefik HTTP/1.1\r\nHost: doorward:8000\r\nSec-Websocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-Websocket-Version: 13\r\n{token}X-Forwarded-Host: app.test\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: wss\r\nX-Forwarded-Uri: /app\r\n\r\n"
        ),
        // HAProxy's auth-request.
        format!(
            "GET /auth/traefik HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nx-forwarded-method: GET\r\nx-forwarded-proto: https\r\nx-forwarded-host: app.test\r\nx-forwarded-uri: /app\r\nx-forwarded-for: 192.0.2.7\r\n{token}\r\n"
        ),
        // Caddy, before a WebSocket: Upgrade is sent along.
        format!(
            "GET /auth/caddy HTTP/1.1\r\nHost: app.test\r\nUser-Agent: curl\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-Websocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-Websocket-Version: 13\r\n{token}X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: app.test\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Uri: /app\r\nVia: 1.1 Caddy\r\n\r\n"
        ),
        // Envoy without allowed_headers: neither scheme nor client nor cookie.
        format!(
            "GET /auth/envoy/app?a=b HTTP/1.1\r\nhost: app.test\r\ncontent-length: 0\r\n{token}x-envoy-expected-rq-timeout-ms: 200\r\nx-envoy-internal: true\r\n\r\n"
        ),
        // With a part of the body.
        format!(
            "PUT /auth/envoy/app HTTP/1.1\r\nhost: app.test\r\ncontent-length: 4\r\nx-envoy-auth-partial-body: false\r\n{token}\r\nbody"
        ),
    ];
    for question in &questions {
        assert_allowed(&gate.ask(question), "alice");
        let anonymous = question.replace(token, "");
        let answer = gate.ask(&anonymous);
        // A plain `Accept: text/html` is a browser's.
        assert_refused(&answer, 401, "credentials_required");
        assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
    }
}

/// What looks like an upgrade opens nothing: the next question on the connection is one.
#[test]
fn a_question_about_a_web_socket_leaves_the_connection_to_http() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user"]);
    let lines = format!(
        "{token}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    );
    for asker in ASKERS {
        let upgrade = about("/app").with(&lines).by(asker);
        let plain = about("/admin").with(&token).by(asker);
        let mut client = gate.connect();
        for _ in 0..3 {
            let answer = client.send(&upgrade).response();
            assert_allowed(&answer, "alice");
            assert_eq!(answer.header("upgrade"), None);
            assert_refused(&client.send(&plain).response(), 403, "insufficient_scope");
        }
    }
}

#[test]
fn questions_without_a_pause_are_answered_in_order_with_bodies_between_them() {
    let gate = gate("");
    let (alice, bob) = (gate.bearer("alice", &["user"]), gate.bearer("bob", &["admin"]));
    for asker in ASKERS {
        let with = |token: &str, target: &str, lines: &str, body: &str| {
            about(target).with(&format!("{token}{lines}")).by(asker) + body
        };
        let all = [
            with(&alice, "/app", "", ""),
            with(&bob, "/admin", "Content-Length: 4\r\n", "GET "),
            with(
                &alice,
                "/admin",
                "Transfer-Encoding: chunked\r\n",
                "4\r\nbody\r\n0\r\n\r\n",
            ),
            with("", "/app", "Content-Length: 0\r\n", ""),
            with(&alice, "/closed", "Expect: x\r\n", ""),
            with(&bob, "/app", "Connection: X-Original-URL, X-Forwarded-Uri\r\n", ""),
        ];
        let mut client = gate.connect();
        client.send(all.concat());
        assert_allowed(&client.response(), "alice");
        assert_allowed(&client.response(), "bob");
        assert_refused(&client.response(), 403, "insufficient_scope");
        assert_refused(&client.response(), 401, "credentials_required");
        assert_refused(&client.response(), 403, "access_denied");
        assert_allowed(&client.response(), "bob");
        // Byte for byte, so that nothing depends on what came together.
        let mut client = gate.connect();
        for byte in all[1].bytes() {
            client.send([byte]);
        }
        assert_eq!(client.response().header("x-user"), Some("bob"));
    }
}

/// A body that comes in part, or not as announced, is nothing: neither waited for nor taken for a question.
#[test]
fn an_unfinished_body_is_no_question() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user"]);
    for asker in ASKERS {
        for (lines, part) in [
            ("Content-Length: 100\r\n", "GET /auth/nginx HTTP/1.1\r\n"),
            ("Transfer-Encoding: chunked\r\n", "4\r\nbo"),
            ("Transfer-Encoding: chunked\r\n", ""),
        ] {
            let question = about("/app").with(&format!("{token}{lines}")).by(asker) + part;
            let mut client = gate.connect();
            let answer = client.send(question).response();
            assert_allowed(&answer, "alice");
            assert!(!answer.keeps_alive());
            client.expect_close();
        }
    }
}

#[test]
fn the_original_host_and_scheme_are_told_in_any_form_that_means_them() {
    let six = route("six", "/", "app", "hosts = [\"[2001:db8::1]\"]\naccess = \"public\"");
    let four = route("four", "/", "app", "hosts = [\"192.0.2.1\"]\naccess = \"public\"");
    let gate = gate(&(six + &four));
    let name = "a".repeat(63);
    let longest = format!("{name}.{name}.{name}.{}:65535", "b".repeat(61));
    for (host, known) in [
        ("app.test", true),
        ("APP.Test", true),
        ("app.test.", true),
        ("app.test:", true),
        ("app.test:443", true),
        ("app.test:8443", true),
        ("[2001:db8::1]", true),
        ("[2001:DB8:0::1]:8443", true),
        ("192.0.2.1:80", true),
        ("192.0.2.2", false),
        ("[2001:db8::2]", false),
        ("other.test", false),
        ("app.test.evil.example", false),
        ("xn--app-test.example", false),
        (&longest, false),
    ] {
        for asker in ASKERS {
            let target = if host.starts_with("app.test") || host.starts_with("APP") {
                "/public"
            } else {
                "/"
            };
            let question = Question { host, ..about(target) };
            let answer = gate.ask(question.by(asker));
            match known {
                true => assert_allowed(&answer, ""),
                false => assert_refused(&answer, if asker == Asker::Nginx { 403 } else { 404 }, "not_found"),
            }
        }
    }
    for host in [
        "[2001:db8::1",
        "2001:db8::1",
        "[::1]x",
        "[fe80::1%25eth0]",
        "app.test:-1",
        "app.test:+80",
        &"a".repeat(300),
    ] {
        for asker in ASKERS {
            let question = Question {
                host,
                ..about("/public")
            };
            assert_refused(&gate.ask(question.by(asker)), 403, "invalid_question");
        }
    }
    for (scheme, is) in [
        ("HTTPS", true),
        ("Https", true),
        ("HTTP", true),
        ("WSS", true),
        ("Ws", true),
        ("h2", false),
        ("", false),
    ] {
        for asker in ASKERS {
            let question = Question {
                scheme,
                ..about("/public")
            };
            let answer = gate.ask(question.by(asker));
            match is {
                true => assert_allowed(&answer, ""),
                false => assert_refused(&answer, 403, "invalid_question"),
            }
        }
    }
}

/// Long, empty and bare: as the gateway takes its own.
#[test]
fn original_targets_may_be_long_and_short() {
    let root = route("root", "/", "app", "hosts = [\"root.test\"]\naccess = \"public\"");
    let gate = gate(&root);
    let path = format!("/{}", "x".repeat(15_900));
    let query = format!("/?{}", "x".repeat(15_900));
    let over = format!("/?{}", "x".repeat(16_384));
    for asker in ASKERS {
        for target in ["/", "/?", "/??", "/?/../", path.as_str(), &query] {
            let question = Question {
                host: "root.test",
                ..about(target)
            };
            assert_allowed(&gate.ask(question.by(asker)), "");
        }
        let question = Question {
            host: "root.test",
            ..about(&over)
        };
        let answer = gate.ask(question.by(asker));
        assert!([400, 403].contains(&answer.status), "{answer:?}");
        assert!(answer.header("x-auth-reason").is_some());
    }
}

/// A question's own target in absolute form (RFC 9112 section 3.2.2) is the same question.
#[test]
fn a_questions_own_target_may_be_absolute() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user"]);
    for asker in ASKERS {
        let question = about("/app").with(&token).by(asker);
        let host = if asker == Asker::Envoy { "app.test" } else { "doorward" };
        let absolute = question.replacen(" /auth", &format!(" http://{host}/auth"), 1);
        assert_allowed(&gate.ask(&absolute), "alice");
        // Hosts that differ are refused, in words that are understood.
        let status = if asker == Asker::Nginx || asker == Asker::Envoy {
            403
        } else {
            400
        };
        let other = question.replacen(" /auth", " http://other.test/auth", 1);
        assert_refused(&gate.ask(&other), status, "invalid_host");
    }
}

#[test]
fn every_dialect_is_spoken_over_http2() {
    let gate = Gate::with_tls(&config(""));
    let client = gate.tls_client(Protocol::Http2);
    let authorization = format!("Bearer {}", gate.token("alice", &["user"]));
    let ask = |asker: Asker, method: http::Method, target: &str, token: bool| {
        let own = method.clone();
        let request = match asker {
            Asker::Nginx => client
                .request(own, "/auth/nginx")
                .header("x-original-method", method.as_str())
                .header("x-original-url", &format!("https://app.test{target}")),
            Asker::Traefik | Asker::Caddy => client
                .request(
                    own,
                    if asker == Asker::Caddy {
                        "/auth/caddy"
                    } else {
                        "/auth/traefik"
                    },
                )
                .header("x-forwarded-method", method.as_str())
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "app.test")
                .header("x-forwarded-uri", target),
            Asker::Envoy => client.request(own, &format!("/auth/envoy{target}")).host("app.test"),
        };
        let request = request.header("x-forwarded-for", "192.0.2.7");
        match token {
            true => request.header("authorization", &authorization).send(),
            false => request.send(),
        }
    };
    for asker in ASKERS {
        for method in [http::Method::GET, http::Method::HEAD, http::Method::POST] {
            let answer = ask(asker, method.clone(), "/app?x=y", true).expect(200);
            assert_eq!(answer.header("x-user"), Some("alice"));
            assert_eq!(answer.header("x-user-email"), Some(""));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(answer.text().is_empty());
            let answer = ask(asker, method, "/app", false).expect(401);
            assert_eq!(answer.header("x-auth-reason"), Some("credentials_required"));
        }
        let status = match asker {
            Asker::Nginx | Asker::Envoy => 403,
            Asker::Traefik | Asker::Caddy => 405,
        };
        ask(asker, http::Method::TRACE, "/app", true).expect(status);
        ask(asker, http::Method::POST, "/read", true).expect(status);
    }
    let answer = client.request(http::Method::GET, "/auth/%6eginx").send().expect(403);
    assert_eq!(answer.header("x-auth-reason"), Some("invalid_question"));
}

/// Who asks is whom the PROXY protocol names; who names nobody is nobody to be trusted.
#[test]
fn behind_the_proxy_protocol_the_one_who_is_announced_asks() {
    let trusted = config("").replace("[\"127.0.0.1\"]", "[\"127.0.0.1\", \"10.0.0.0/8\"]");
    let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocol = \"http\"\nproxy_protocol = true\n";
    let gate = Gate::start(&(trusted + listener));
    let token = gate.bearer("alice", &["user"]);
    for asker in ASKERS {
        let question = about("/app").with(&token).by(asker);
        for (announced, passes) in [
            ("PROXY TCP4 10.0.0.7 198.51.100.7 56324 8443\r\n", true),
            ("PROXY TCP4 192.0.2.9 198.51.100.7 56324 8443\r\n", false),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 56324 8443\r\n", false),
            ("PROXY UNKNOWN\r\n", false),
        ] {
            let answer = gate.ask(format!("{announced}{question}"));
            match passes {
                true => assert_allowed(&answer, "alice"),
                false => assert_refused(&answer, 403, "untrusted_proxy"),
            }
        }
        // What is asked about is not that proxy's own client, but the one that it tells of.
        let inside = about("/inside").of_client(None).by(asker);
        let answer = gate.ask(format!("PROXY TCP4 10.0.0.7 198.51.100.7 56324 8443\r\n{inside}"));
        assert_refused(&answer, 403, "client_unknown");
    }
}
