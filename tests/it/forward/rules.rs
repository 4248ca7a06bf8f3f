//! Questions that break a rule of HTTP, and what a client may expect of its own request: whoever asks is answered in words that
//! it understands. nginx makes 500 of anything but 200, 401 and 403; Envoy may be set to let a request pass where the answer is
//! 5xx, and asks with its client's method.

use super::*;

/// A client's expectation is its own request's: the question is answered as if it were not there, and nobody is asked for a body.
#[test]
fn an_expectation_says_nothing_about_a_question() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user"]);
    for expectation in [
        "Expect: 200-ok\r\n",
        "Expect: 100-continue, x\r\n",
        "Expect:\r\n",
        "Expect: 100-continue\r\n",
        "Expect: 100-Continue\r\n",
        "Expect: 100-continue\r\nExpect: x\r\n",
        "Expect: x\r\nExpect: 100-continue\r\n",
    ] {
        for asker in ASKERS {
            // Without a body the connection goes on.
            let lines = format!("{token}{expectation}");
            let mut client = gate.connect();
            let good = about("/app").with(&lines).by(asker);
            let refused = about("/app").with(expectation).by(asker);
            for _ in 0..2 {
                assert_allowed(&client.send(&good).response(), "alice");
                assert_refused(&client.send(&refused).response(), 401, "credentials_required");
            }
            // A body that is announced and not sent is not asked for, and ends the connection.
            for body in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"] {
                let lines = format!("{token}{expectation}{body}");
                let mut client = gate.connect();
                let answer = client.send(about("/app").with(&lines).by(asker)).response();
                assert_allowed(&answer, "alice");
                assert_eq!(answer.header("connection"), Some("close"));
                client.expect_close();
            }
        }
    }
    // Next to a question it counts as ever.
    for target in ["/public", "/auth/login", "/auth/nginxx", "/nowhere"] {
        assert_eq!(gate.get(target, "Expect: 200-ok\r\n").status, 400, "{target}");
    }
}

#[test]
fn an_expectation_says_nothing_over_http2_either() {
    use crate::support::client::Protocol;
    let gate = Gate::with_tls(&config(""));
    let client = gate.tls_client(Protocol::Http2);
    let authorization = format!("Bearer {}", gate.token("alice", &["user"]));
    for expectation in ["200-ok", "100-continue"] {
        let answer = client
            .request(http::Method::GET, "/auth/traefik")
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "app.test")
            .header("x-forwarded-uri", "/app")
            .header("authorization", &authorization)
            .header("expect", expectation)
            .send()
            .expect(200);
        assert_eq!(answer.header("x-user"), Some("alice"));
    }
    let answer = client.request(http::Method::GET, "/public").header("expect", "200-ok");
    answer.send().expect(400);
}

/// Every method that a client may think of, as Envoy asks with it: never anything that it might let pass.
#[test]
fn methods_that_are_not_served_are_refused_in_the_dialects_form() {
    let gate = gate("");
    let token = gate.bearer("alice", &["admin"]);
    let long = "M".repeat(33);
    let longer = "M".repeat(60_000);
    for (method, reason) in [
        ("CONNECT", "method_not_allowed"),
        ("connect", "method_not_allowed"),
        ("TRACE", "method_not_allowed"),
        ("trace", "method_not_allowed"),
        ("PRI", "invalid_request"),
        (long.as_str(), "not_implemented"),
        (longer.as_str(), "not_implemented"),
    ] {
        for target in ["/public", "/app", "/nowhere", "/public?x=/auth/nginx"] {
            let answer = gate.ask(about(target).method(method).with(&token).by(Asker::Envoy));
            assert_refused(&answer, 403, reason);
            assert_eq!(answer.body, b"", "{method}");
        }
    }
    // One that is longer than any head is no 5xx either.
    let longest = "M".repeat(70_000);
    let answer = gate.ask(about("/public").method(&longest).by(Asker::Envoy));
    assert_eq!(answer.status, 431);
    // Odd ones are the route's to say.
    for method in ["M-SEARCH", "PROPFIND", "get", "!#$%&'*+-.^_`|~09aZ", &"M".repeat(32)] {
        assert_allowed(&gate.ask(about("/public").method(method).by(Asker::Envoy)), "");
        let answer = gate.ask(about("/read").method(method).by(Asker::Envoy));
        assert_refused(&answer, 403, "method_not_allowed");
    }
}

/// The question's own method says nothing; but no 2xx answers a CONNECT, for it would mean a tunnel.
#[test]
fn a_question_that_is_itself_a_connect_opens_nothing() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user"]);
    for (asker, status) in [(Asker::Nginx, 403), (Asker::Traefik, 405), (Asker::Caddy, 405)] {
        let question = about("/app").with(&token).by(asker);
        for (own, expected) in [("TRACE", 200), ("OPTIONS", 200), ("DELETE", 200), ("CONNECT", status)] {
            let answer = gate.ask(question.replacen("GET /auth", &format!("{own} /auth"), 1));
            match expected {
                200 => assert_allowed(&answer, "alice"),
                status => {
                    assert_refused(&answer, status, "method_not_allowed");
                    assert_eq!(answer.header("allow").is_some(), status == 405);
                    assert!(!answer.keeps_alive());
                }
            }
        }
    }
    // What no target of a CONNECT is, is no question.
    let answer = gate.ask("CONNECT app.test:443 HTTP/1.1\r\nHost: app.test:443\r\n\r\n");
    assert_eq!((answer.status, answer.header("x-auth-reason")), (405, None));
}

/// What no service sees of an ordinary request, a proxy that asks is told in its own words.
#[test]
fn what_breaks_a_rule_of_http_is_refused_in_the_dialects_form() {
    let gate = gate("");
    let many = "X-A: b\r\n".repeat(101);
    let large = format!("X-A: {}\r\n", "b".repeat(70_000));
    for (lines, reason, traefik) in [
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "invalid_framing",
            400,
        ),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", "invalid_framing", 400),
        ("Content-Length: x\r\n", "invalid_framing", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", "not_implemented", 403),
        ("Host: other.test\r\n", "invalid_host", 400),
        ("A : b\r\n", "invalid_framing", 400),
        ("A: b\r\n c\r\n", "invalid_framing", 400),
        ("A: \0\r\n", "invalid_framing", 400),
        (&many, "headers_too_large", 403),
        (&large, "headers_too_large", 403),
    ] {
        for asker in ASKERS {
            let status = match asker {
                Asker::Nginx | Asker::Envoy => 403,
                Asker::Traefik | Asker::Caddy => traefik,
            };
            let mut client = gate.connect();
            let answer = client.send(about("/public").with(lines).by(asker)).response();
            assert_refused(&answer, status, reason);
            assert!(answer.body.is_empty() && !answer.keeps_alive());
            client.expect_close();
        }
    }
    for (question, reason) in [
        ("GET /auth/envoy/x HTTP/2.5\r\n\r\n", "version_not_supported"),
        ("GET /auth/nginx HTTP/1.1\r\n\r\n", "invalid_host"),
        (
            "GET /auth/envoy/x#y HTTP/1.1\r\nHost: app.test\r\n\r\n",
            "invalid_target",
        ),
        (
            "GET /auth/envoy/x\\y HTTP/1.1\r\nHost: app.test\r\n\r\n",
            "invalid_target",
        ),
        ("GET /auth/nginx\0 HTTP/1.1\r\nHost: app.test\r\n\r\n", "invalid_target"),
        (
            "GET http://app.test/auth/nginx HTTP/1.1\r\nHost: b.test\r\nHost: app.test\r\n\r\n",
            "invalid_host",
        ),
    ] {
        assert_refused(&gate.ask(question), 403, reason);
    }
    let long = format!("/{}", "x".repeat(17_000));
    assert_refused(&gate.ask(about(&long).by(Asker::Envoy)), 403, "target_too_long");
    // A line of another host's page, or next to a question, is answered as ever.
    for target in ["/auth/nginxx#", "/public?/auth/nginx#", "http://app.test/public"] {
        let answer = gate.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"));
        assert_eq!((answer.status, answer.header("x-auth-reason")), (400, None), "{target}");
    }
    // Whose question it is, is known before it is looked at.
    let config = config("").replace("[\"127.0.0.1\"]", "[\"198.51.100.0/24\"]");
    let gate = Gate::start(&config);
    for question in [
        "CONNECT /auth/envoy/public HTTP/1.1\r\nHost: app.test\r\n\r\n",
        "GET /auth/nginx HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    ] {
        assert_refused(&gate.ask(question), 403, "untrusted_proxy");
    }
}

/// Whatever is at or below a question's address for some reader is no route's, with a public route for everything beside it.
#[test]
fn a_misspelt_address_of_a_question_never_gets_a_routes_answer() {
    use crate::support::upstream::Upstream;
    /// Decoded, folded, merged or cut short they are an address.
    const MISSPELT: &[&str] = &[
        "/auth%2fnginx",
        "/auth%2Fnginx",
        "/auth%252fnginx",
        "/auth%25252fnginx",
        "/auth/%6eginx",
        "/auth/%4eginx",
        "/auth/%256eginx",
        "/%61uth/nginx",
        "/%61%75%74%68/%6e%67%69%6e%78",
        "%2fauth/nginx",
        "/%2fauth/nginx",
        "//auth/%6eginx",
        "/auth%2f%2fnginx",
        "/auth;x/nginx",
        "/auth;/nginx",
        "/auth/nginx;x",
        "/auth/nginx%3bx",
        "/auth/nginx%3fx",
        "/auth/nginx%23x",
        "/auth/nginx%3f",
        "/auth/nginx%23",
        "/auth/nginx%2f",
        "/auth/nginx%2fx",
        "/auth/nginx.",
        "/auth/NGINX..",
        "/auth/nginx./x",
        "/auth/nginx.?x",
        "/auth/nginx%2e",
        "/auth/nginx%20",
        "/auth/nginx%20%2e%20",
        "/auth/%6eginx%20;x",
        "/auth/;x/nginx",
        "/auth/%ef%bd%8eginx",
        "/auth/env%6fy/admin",
        "/auth/%45nvoy/admin",
        "/auth/envoy%2fadmin",
        "/auth/%65nvoy%2fpublic",
        "/auth/envoy./admin",
        "/auth/%EF%BD%8Eginx",
        "/auth/%EF%BC%AEginx",
        "/auth/traef%C4%B1k",
        "/auth/traef%69k",
        "/auth/TRAEF%49K/x",
        "/auth/%63addy",
        "/auth/caddy%2f..%3b",
        "/auth/%65nvoy/public",
        "/auth%2fenvoy/public",
        "/auth/env%6fy/public?x=1",
        "/Auth/Envo%79/x",
        // With a path that can never be right.
        "/auth/./nginx",
        "/auth/../auth/nginx",
        "/x/../auth/nginx",
        "/auth/%2e/nginx",
        "/auth/x/%2e%2e/nginx",
        "/auth/x/..;/nginx",
        "/auth/nginx/..",
        "/auth/nginx%00",
        "/auth%00/nginx",
        "/auth/nginx%0a",
        "/auth/nginx%",
        "/auth/nginx%5c",
        "/auth%5cnginx",
        "/auth\\nginx",
        "/auth/nginx\\",
        "/auth/nginx#x",
        "/auth/ngi\u{e9}nx/../nginx",
    ];
    const ALL: &str = "X-Original-Method: GET\r\nX-Original-URL: https://open.test/\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: open.test\r\nX-Forwarded-Uri: /\r\n";
    let backend = Upstream::start();
    let open = upstream("open", &backend.url(), "") + &route("open", "/", "open", "access = \"public\"");
    let gate = gate(&open);
    assert_eq!(gate.get("/", "").status, 200);
    let mut recognised = 0;
    for target in MISSPELT {
        for method in ["GET", "POST", "OPTIONS", "HEAD"] {
            for lines in ["", ALL] {
                let request = format!("{method} {target} HTTP/1.1\r\nHost: open.test\r\n{lines}\r\n");
                let mut client = gate.connect();
                let answer = match method {
                    "HEAD" => client.send(request).response_to_head(),
                    _ => client.send(request).response(),
                };
                assert!([400, 403].contains(&answer.status), "{method} {target}: {answer:?}");
                match answer.status {
                    403 => {
                        let reason = answer.header("x-auth-reason").unwrap();
                        assert!(
                            ["invalid_question", "invalid_target"].contains(&reason),
                            "{target}: {reason}"
                        );
                        recognised += 1;
                    }
                    _ => assert_eq!(answer.header("x-user"), None),
                }
            }
        }
        // Nor is it anything that one could ask about.
        for asker in ASKERS {
            let question = Question {
                host: "open.test",
                ..about(target)
            };
            let answer = gate.ask(question.by(asker));
            assert!(
                [400, 403, 404].contains(&answer.status),
                "{target} {asker:?}: {answer:?}"
            );
        }
    }
    assert!(recognised > 8 * 30, "{recognised}");
    // What only resembles it is the route's, as before.
    let beside = [
        "/auth/nginx.x",
        "/auth/nginx%20x",
        "/auth/nginxx",
        "/auth/%6eginxx",
        "/authx/nginx",
        "/x/auth/nginx",
        "/auth%20/nginx",
        "/nginx",
    ];
    for target in beside {
        assert_eq!(gate.get(target, "").status, 200, "{target}");
    }
    assert_eq!(backend.requests().len(), 1 + beside.len());
    // One line for each dialect says what to write.
    for (name, address) in [
        ("nginx", "/auth/nginx"),
        ("traefik", "/auth/traefik"),
        ("caddy", "/auth/caddy"),
        ("envoy", "/auth/envoy/…"),
    ] {
        let hint = format!("ask {address}, to the letter");
        gate.process().wait_for_line(|line| line.contains(&hint));
        let ours = |line: &&String| line.contains("to the letter") && line.contains(&format!("dialect=\"{name}\""));
        let said = gate.process().lines();
        assert_eq!(said.iter().filter(ours).count(), 1, "{said:?}");
    }
    // A stranger learns nothing, and gets no route's answer either.
    let config = config(&open).replace("[\"127.0.0.1\"]", "[\"198.51.100.0/24\"]");
    let gate = Gate::start(&config);
    for target in ["/auth/%6eginx", "/auth%2fcaddy", "/%61uth/envoy/public"] {
        assert_refused(&gate.get(target, ""), 403, "untrusted_proxy");
    }
}

/// Who wants to know beforehand is told the same.
#[test]
fn a_misspelt_address_is_explained_as_it_is_answered() {
    use crate::support::upstream::Upstream;
    let backend = Upstream::start();
    let open = upstream("open", &backend.url(), "") + &route("open", "/", "open", "access = \"public\"");
    let gate = gate(&open);
    let explained = |target: &str, client: &str| {
        let mut explain = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"));
        explain
            .args([
                "explain",
                "GET",
                &format!("http://open.test{target}"),
                "--client",
                client,
            ])
            .args(["--config", "doorward.toml"])
            .current_dir(gate.folder());
        String::from_utf8(explain.output().unwrap().stdout).unwrap()
    };
    for target in ["/auth/nginx/", "/auth/%6eginx", "/auth%2fnginx"] {
        let told = explained(target, "127.0.0.1");
        assert!(
            told.contains("invalid_question") && told.contains("to the letter"),
            "{told}"
        );
        assert!(explained(target, "192.0.2.1").contains("untrusted_proxy"));
        assert_refused(&gate.get(target, ""), 403, "invalid_question");
    }
    let told = explained("/auth/nginx", "127.0.0.1");
    assert!(
        told.contains("forward-auth question of a trusted proxy") && !told.contains("to the letter"),
        "{told}"
    );
    let told = explained("/auth/nginxx", "127.0.0.1");
    assert!(!told.contains("question"), "{told}");
}

/// The same over HTTP/2, but that what is larger than any head may be is refused before anybody knows whose it is: by 431, which
/// nobody who asks over HTTP/2 takes for a fault of ours.
#[test]
fn too_many_or_too_large_fields_over_http2_let_nothing_pass() {
    use crate::support::client::Protocol;
    let gate = Gate::with_tls(&config(""));
    for (count, bytes, status) in [(40, 10, 200), (150, 10, 403), (2, 40_000, 431)] {
        let client = gate.tls_client(Protocol::Http2);
        let traefik = client
            .request(http::Method::GET, "/auth/traefik")
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "app.test")
            .header("x-forwarded-uri", "/public");
        let envoy = client.request(http::Method::GET, "/auth/envoy/public").host("app.test");
        for request in [traefik, envoy] {
            let value = "b".repeat(bytes);
            let request = (0..count).fold(request, |request, number| {
                request.header(&format!("a-{number}"), &value)
            });
            let answer = request.send().expect(status);
            assert_eq!(answer.headers.has("x-user"), status == 200, "{answer:?}");
        }
    }
}
