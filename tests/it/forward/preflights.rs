//! What is no preflight: anything that speaks of an upgrade or has a body, whatever the method and the headers of a preflight.
//! It is judged as any other OPTIONS, as it would be without another proxy.

use super::*;

/// With these headers an OPTIONS passes without credentials (CORS-preflight request, Fetch section 4.8).
const ASKS: &str = "Origin: https://friend.example\r\nAccess-Control-Request-Method: POST\r\n";

/// What the original request asked for, as far as it comes to the question.
const UPGRADES: &[&str] = &[
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "Connection: Upgrade\r\nUpgrade: foo\r\n",
    "Connection: keep-alive, upgrade\r\nUpgrade: foo/2, bar\r\n",
    // What is left where a proxy took the one or the other out.
    "Upgrade: websocket\r\n",
    "Upgrade: foo\r\n",
    "Upgrade:\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Key: x\r\n",
    "Sec-WebSocket-Protocol: x\r\n",
    "Sec-WebSocket-Extensions: x\r\n",
    "Sec-Fetch-Mode: websocket\r\n",
];

const BODIES: &[(&str, &str)] = &[
    ("Content-Length: 5\r\n", "hello"),
    ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    // Announced, and never sent.
    ("Content-Length: 5\r\n", ""),
];

/// Fails unless this is judged as an ordinary OPTIONS, with nobody's credential and with somebody's.
fn assert_ordinary(gate: &Gate, scheme: &str, lines: &str, body: &str) {
    let token = gate.bearer("alice", &["user"]);
    for asker in ASKERS {
        let ask = |target, more: &str| {
            let lines = format!("{ASKS}{lines}{more}");
            let question = Question {
                scheme,
                ..about(target).method("OPTIONS").with(&lines)
            };
            gate.ask(question.by(asker) + body)
        };
        assert_refused(&ask("/app", ""), 401, "credentials_required");
        assert_refused(&ask("/admin", ""), 401, "credentials_required");
        assert_refused(&ask("/admin", &token), 403, "insufficient_scope");
        assert_allowed(&ask("/app", &token), "alice");
        assert_allowed(&ask("/public", ""), "");
    }
}

#[test]
fn what_speaks_of_an_upgrade_is_no_preflight() {
    let gate = gate("");
    for lines in UPGRADES {
        assert_ordinary(&gate, "https", lines, "");
    }
    for scheme in ["ws", "wss", "WSS"] {
        assert_ordinary(&gate, scheme, "", "");
    }
}

#[test]
fn what_has_a_body_is_no_preflight() {
    let gate = gate("");
    for (lines, body) in BODIES {
        assert_ordinary(&gate, "https", lines, body);
    }
    for asker in ASKERS {
        for lines in [
            "",
            "Content-Length: 0\r\n",
            "Sec-Fetch-Mode: cors\r\n",
            "Connection: close\r\n",
        ] {
            let lines = format!("{ASKS}{lines}");
            let answer = gate.ask(about("/app").method("OPTIONS").with(&lines).by(asker));
            assert_allowed(&answer, "");
        }
    }
}

/// Over HTTP/2 nothing but the stream says that there is a body.
#[test]
fn a_body_over_http2_is_seen_too() {
    use crate::support::client::Protocol;
    let gate = Gate::with_tls(&config(""));
    let client = gate.tls_client(Protocol::Http2);
    let ask = |asker: Asker, body: &str| {
        let options = http::Method::OPTIONS;
        let request = match asker {
            Asker::Nginx => client
                .request(options, "/auth/nginx")
                .header("x-original-method", "OPTIONS")
                .header("x-original-url", "https://app.test/app"),
            Asker::Traefik | Asker::Caddy => client
                .request(
                    options,
                    if asker == Asker::Caddy {
                        "/auth/caddy"
                    } else {
                        "/auth/traefik"
                    },
                )
                .header("x-forwarded-method", "OPTIONS")
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "app.test")
                .header("x-forwarded-uri", "/app"),
            Asker::Envoy => client.request(options, "/auth/envoy/app").host("app.test"),
        };
        let request = request
            .header("origin", "https://friend.example")
            .header("access-control-request-method", "POST");
        match body {
            "" => request.send(),
            body => request.body(body).unannounced().send(),
        }
    };
    for asker in ASKERS {
        ask(asker, "").expect(200);
        let answer = ask(asker, "hello").expect(401);
        assert_eq!(answer.header("x-auth-reason"), Some("credentials_required"));
    }
}

/// The same request at the gateway itself, so that both are one decision.
#[test]
fn it_is_the_gateways_own_judgement() {
    let gate = gate("");
    for lines in &UPGRADES[..5] {
        let head = format!("OPTIONS /app HTTP/1.1\r\nHost: app.test\r\n{ASKS}{lines}\r\n");
        assert_eq!(gate.ask(head).status, 401, "{lines}");
    }
    for (lines, body) in &BODIES[..3] {
        let head = format!("OPTIONS /app HTTP/1.1\r\nHost: app.test\r\n{ASKS}{lines}\r\n{body}");
        assert_eq!(gate.ask(head).status, 401, "{lines}");
    }
    // Nothing listens behind the route.
    let head = format!("OPTIONS /app HTTP/1.1\r\nHost: app.test\r\n{ASKS}\r\n");
    assert_eq!(gate.ask(head).status, 502);
}
