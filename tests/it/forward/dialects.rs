//! The four dialects, each as its program speaks it.

use super::*;

#[test]
fn a_good_token_passes_in_every_dialect_and_is_told_in_full() {
    let gate = gate("");
    let token = gate.bearer("zoë", &["user", "admin"]);
    for asker in ASKERS {
        let answer = gate.ask(about("/app/x?a=b").with(&token).by(asker));
        assert_allowed(&answer, "zoë");
        assert_eq!(answer.header("x-user-roles"), Some("user,admin"));
        assert_eq!(answer.header("x-user-email"), Some(""));
        assert_allowed(&gate.ask(about("/admin").with(&token).by(asker)), "zoë");
        assert_allowed(&gate.ask(about("/public/x").with(&token).by(asker)), "");
        assert_allowed(&gate.ask(about("/optional").by(asker)), "");
    }
}

#[test]
fn each_refusal_has_the_status_that_the_program_understands() {
    let gate = gate("");
    let (user, evil) = (gate.bearer("alice", &["user"]), gate.bearer("alice\r\nx", &["user"]));
    // What is asked about; the reason; the status to nginx, to Traefik and Caddy, to Envoy.
    let rows = [
        (about("/app"), "credentials_required", [401, 401, 401]),
        (
            about("/app").with("Authorization: Bearer a.b.c\r\n"),
            "invalid_token",
            [401, 401, 401],
        ),
        (about("/admin").with(&user), "insufficient_scope", [403, 403, 403]),
        (about("/closed").with(&user), "access_denied", [403, 403, 403]),
        (about("/app").with(&evil), "identity_not_representable", [403, 403, 403]),
        (about("/nowhere").with(&user), "not_found", [403, 404, 404]),
        (about("/auth/nginx").with(&user), "not_found", [403, 404, 404]),
        (about("/auth/envoy/app").with(&user), "not_found", [403, 404, 404]),
        (about("/read").method("POST"), "method_not_allowed", [403, 405, 403]),
        (about("/app").method("TRACE"), "method_not_allowed", [403, 405, 403]),
        (about("/inside"), "network_not_allowed", [403, 403, 403]),
        (about("/inside").of_client(None), "client_unknown", [403, 403, 403]),
        (
            about("/inside").of_client(Some("10.0.0.1, 192.0.2.7")),
            "network_not_allowed",
            [403, 403, 403],
        ),
        (about("/app/../public"), "invalid_target", [403, 400, 403]),
        (about("/app/%zz"), "invalid_target", [403, 400, 403]),
        (about("//public"), "not_found", [403, 404, 404]),
        (about("/public//../admin"), "invalid_target", [403, 400, 403]),
        (about("/PUBLIC"), "not_found", [403, 404, 404]),
        (about("/public/%2e%2e/admin"), "invalid_target", [403, 400, 403]),
    ];
    for (question, reason, statuses) in &rows {
        for asker in ASKERS {
            let status = match asker {
                Asker::Nginx => statuses[0],
                Asker::Traefik | Asker::Caddy => statuses[1],
                Asker::Envoy => statuses[2],
            };
            let answer = gate.ask(question.by(asker));
            assert_refused(&answer, status, reason);
            assert_eq!(answer.body, b"", "{answer:?}");
            let challenged = answer.headers.all("www-authenticate").len() == 1;
            assert_eq!(
                challenged,
                status == 401 || *reason == "insufficient_scope",
                "{answer:?}"
            );
            assert_eq!(answer.header("allow").is_some(), status == 405, "{answer:?}");
            assert_eq!(answer.header("location"), None);
        }
    }
}

#[test]
fn who_asks_too_often_is_told_when_to_come_again() {
    let gate = gate("");
    for (number, (asker, status)) in ASKERS.into_iter().zip([403, 429, 429, 429]).enumerate() {
        let client = format!("192.0.2.{number}");
        let question = about("/few").of_client(Some(&client));
        assert_allowed(&gate.ask(question.by(asker)), "");
        let answer = gate.ask(question.by(asker));
        assert_refused(&answer, status, "rate_limited");
        let seconds = answer.header("retry-after").unwrap().parse::<u32>().unwrap();
        assert!((1..=3600).contains(&seconds), "{seconds}");
        // Another client of the same proxy may come.
        let other = about("/few").of_client(Some("198.51.100.1, 203.0.113.77")).by(asker);
        assert_eq!(gate.ask(&other).status, if number == 0 { 200 } else { status });
    }
}

#[test]
fn a_condition_on_what_no_question_carries_does_not_hold() {
    use crate::support::certificates::Authority;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    std::fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    let certified = route(
        "certified",
        "/certified",
        "app",
        "access = \"public\"\nclient_auth = \"required\"",
    );
    let config = config("") + &certified + "[tls]\nclient_ca = \"ca.crt\"\n";
    let gate = Gate::start_in(folder, &config);
    for asker in ASKERS {
        assert_refused(&gate.ask(about("/certified").by(asker)), 403, "client_unknown");
        assert_allowed(&gate.ask(about("/public").by(asker)), "");
    }
}

#[test]
fn original_methods_are_decided_whatever_the_questions_own() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user"]);
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "get"] {
        for asker in ASKERS {
            let question = about("/app").method(method).with(&token).by(asker);
            // Traefik with `preserveRequestMethod` asks with the original method.
            let own = match asker {
                Asker::Envoy => question,
                Asker::Nginx | Asker::Traefik | Asker::Caddy => {
                    question.replacen("GET /auth", &format!("{method} /auth"), 1)
                }
            };
            let mut client = gate.connect();
            let answer = match method {
                "HEAD" => client.send(&own).response_to_head(),
                _ => client.send(&own).response(),
            };
            assert_allowed(&answer, "alice");
        }
    }
}

#[test]
fn a_connect_is_refused_whoever_asks() {
    let gate = gate("");
    for asker in [Asker::Nginx, Asker::Traefik, Asker::Caddy] {
        let status = if asker == Asker::Nginx { 403 } else { 405 };
        let answer = gate.ask(about("/app").method("CONNECT").by(asker));
        assert_refused(&answer, status, "method_not_allowed");
    }
}

#[test]
fn what_the_client_wants_of_its_answer_says_nothing_about_ours() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user"]);
    for wish in [
        "If-None-Match: *\r\n",
        "If-Match: \"x\"\r\n",
        "If-Modified-Since: Sat, 21 Nov 2026 10:00:00 GMT\r\nIf-Range: \"x\"\r\nRange: bytes=0-0\r\n",
        "Range: bytes=9999-\r\n",
        "Accept: nothing/atall\r\nAccept-Encoding: br, gzip\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "Connection: close, X-User, X-User-Roles\r\nX-User: root\r\n",
        "TE: trailers\r\nPriority: u=1\r\n",
    ] {
        let lines = format!("{token}{wish}");
        for asker in ASKERS {
            let answer = gate.ask(about("/app").with(&lines).by(asker));
            assert_allowed(&answer, "alice");
        }
    }
}

#[test]
fn a_body_is_not_waited_for() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user"]);
    for asker in ASKERS {
        // nginx with `proxy_pass_request_body off` alone: the length of a body that never comes. What comes next on the
        // connection would be taken for it.
        let lines = format!("{token}Content-Length: 5000000000\r\n");
        let mut client = gate.connect();
        let answer = client.send(about("/app").with(&lines).by(asker)).response();
        assert_allowed(&answer, "alice");
        assert_eq!(answer.header("connection"), Some("close"));
        client.expect_close();

        let lines = format!("{token}Expect: 100-continue\r\nContent-Length: 10\r\n");
        let mut client = gate.connect();
        let answer = client.send(about("/app").with(&lines).by(asker)).response();
        assert_allowed(&answer, "alice");
        client.expect_close();

        // A body that is there is no hindrance.
        let lines = format!("{token}Content-Length: 4\r\n");
        let mut client = gate.connect();
        let question = about("/app").with(&lines).by(asker) + "body";
        for _ in 0..3 {
            assert_allowed(&client.send(&question).response(), "alice");
        }
        let refused = about("/app").with("Content-Length: 4\r\n").by(asker) + "body";
        assert_refused(&client.send(&refused).response(), 401, "credentials_required");
        assert_allowed(&client.send(&question).response(), "alice");
    }
}

#[test]
fn questions_over_http2_are_answered_alike() {
    use crate::support::client::Protocol;
    let gate = Gate::with_tls(&config(""));
    let client = gate.tls_client(Protocol::Http2);
    let authorization = format!("Bearer {}", gate.token("alice", &["user"]));
    let answer = client
        .request(http::Method::GET, "/auth/traefik")
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "app.test")
        .header("x-forwarded-uri", "/app")
        .header("authorization", &authorization)
        .send()
        .expect(200);
    assert_eq!(answer.header("x-user"), Some("alice"));
    let answer = client.request(http::Method::POST, "/auth/nginx").send().expect(403);
    assert_eq!(answer.header("x-auth-reason"), Some("invalid_question"));
}
