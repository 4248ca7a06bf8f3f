//! What the log says of questions: what was asked for, as it was asked, by whom as far as anybody said; and of nobody else.

use serde_json::Value;

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn gate_with_documents() -> Gate {
    gate("[log]\nformat = \"json\"\n")
}

/// The line of the access log about this path.
fn of_path(gate: &Gate, path: &str) -> Value {
    let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let is_it = |line: &str| read(line)["event.dataset"] == "doorward.access" && read(line)["url.path"] == path;
    read(&gate.process().wait_for_line(is_it))
}

/// A `#` is why it was refused, so it is told; what stands behind it is as much a secret as a query.
#[test]
fn a_raw_hash_is_told_and_nothing_behind_it() {
    let gate = gate_with_documents();
    let named = format!("X-Request-Id: the-id-of-it\r\nTraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    for asker in ASKERS {
        let target = format!("/admin/{asker:?}#/public?secret");
        let answer = gate.ask(about(&target).with(&named).by(asker));
        assert!([400, 403].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("x-auth-reason"), Some("invalid_target"));
        // Of a head that broke a rule, nothing is taken for the original request.
        let below = if asker == Asker::Envoy { "/auth/envoy" } else { "" };
        let line = of_path(&gate, &format!("{below}/admin/{asker:?}#"));
        assert_eq!(line["event.action"], "forward_auth");
        assert_eq!(line["url.domain"], "app.test", "{line}");
        assert_eq!(line["http.request.id"], "the-id-of-it", "{line}");
        assert_eq!(line["trace.id"], TRACE, "{line}");
        assert_eq!(line["doorward.reason"], "invalid_target");
    }
    let head =
        format!("GET /admin/plain#secret HTTP/1.1\r\nHost: user:secret@App.Test:8443\r\n{named}\r\nHost: secret\r\n");
    assert_eq!(gate.ask(head).status, 400);
    let line = of_path(&gate, "/admin/plain#");
    assert_eq!(
        (&line["event.action"], &line["http.request.id"]),
        (&"request".into(), &"the-id-of-it".into())
    );
    assert_eq!(line["url.domain"], "App.Test", "{line}");
    // Two of a field say nothing.
    let head = format!("GET /admin/twice#secret HTTP/1.1\r\nHost: a\r\nhost: b\r\n{named}{named}\r\n");
    assert_eq!(gate.ask(head).status, 400);
    let line = of_path(&gate, "/admin/twice#");
    assert_eq!(line.get("url.domain"), None, "{line}");
    assert_eq!(line["http.request.id"].as_str().unwrap().len(), 32, "{line}");
    let said = gate.process().lines().join("\n");
    assert!(!said.contains("secret"), "{said}");
}

/// Whom nobody trusts chooses no id.
#[test]
fn a_strangers_broken_request_has_an_id_of_ours() {
    let config = config("[log]\nformat = \"json\"\n").replace("[\"127.0.0.1\"]", "[\"198.51.100.0/24\"]");
    let gate = Gate::start(&config);
    for (path, status) in [("/a", 400), ("/auth/envoy/a", 403)] {
        let head = format!("GET {path}#b HTTP/1.1\r\nHost: app.test\r\nX-Request-Id: the-id-of-it\r\n\r\n");
        assert_eq!(gate.ask(head).status, status);
        let line = of_path(&gate, &format!("{path}#"));
        assert_ne!(line["http.request.id"], "the-id-of-it");
        assert_eq!(line["client.ip"], "127.0.0.1", "{line}");
    }
}

/// Where a question does not say who the client is, nobody is: neither in the log nor for a rule; and whoever runs this is
/// told once what to add where.
#[test]
fn an_unknown_client_is_nobody() {
    let gate = gate_with_documents();
    for (number, asker) in ASKERS.into_iter().enumerate() {
        for (client, reason) in [
            (None, "client_unknown"),
            (Some("garbage"), "client_unknown"),
            (Some("192.0.2.1, unknown"), "client_unknown"),
            (Some("192.0.2.1"), "network_not_allowed"),
        ] {
            let target = format!("/inside/{number}/{}", client.map_or(0, str::len));
            let answer = gate.ask(about(&target).of_client(client).by(asker));
            assert_refused(&answer, 403, reason);
            let line = of_path(&gate, &target);
            let expected = (reason == "network_not_allowed").then(|| Value::from("192.0.2.1"));
            assert_eq!(line.get("client.ip"), expected.as_ref(), "{line}");
        }
    }
    let hints = |gate: &Gate, name: &str| {
        let lines = gate.process().lines().into_iter();
        lines
            .filter(|line| line.contains("hint") && line.contains("client_unknown") && line.contains(name))
            .count()
    };
    for (name, advice) in [
        ("nginx", "proxy_set_header X-Forwarded-For $remote_addr;"),
        ("traefik", "Traefik sends X-Forwarded-For by itself"),
        ("caddy", "reverse_proxy sends X-Forwarded-For by itself"),
        ("envoy", "`exact: x-forwarded-for`"),
    ] {
        gate.process()
            .wait_for_line(|line| line.contains("hint") && line.contains(advice));
        assert_eq!(hints(&gate, &format!("\"{name}\"")), 1, "{:?}", gate.process().lines());
    }
}

/// A limit by client counts all that nobody knows as one, beside those that are known; that is said too.
#[test]
fn clients_that_nobody_knows_share_one_limit() {
    for asker in ASKERS {
        let gate = gate("");
        let ask = |client| gate.ask(about("/few").of_client(client).by(asker));
        let status = if asker == Asker::Nginx { 403 } else { 429 };
        assert_allowed(&ask(None), "");
        assert_refused(&ask(None), status, "rate_limited");
        assert_refused(&ask(Some("garbage")), status, "rate_limited");
        for client in ["192.0.2.1", "192.0.2.2", "127.0.0.1"] {
            assert_allowed(&ask(Some(client)), "");
            assert_refused(&ask(Some(client)), status, "rate_limited");
        }
        gate.process()
            .wait_for_line(|line| line.contains("hint=") && line.contains("client_unknown"));
        // Where the address makes no difference, nothing is to be said.
        let gate = self::gate("");
        assert_allowed(&gate.ask(about("/public").of_client(None).by(asker)), "");
        gate.get("/auth/nginx/x", "");
        gate.process().wait_for_line(|line| line.contains("to the letter"));
        let said = gate.process().lines();
        assert!(!said.iter().any(|line| line.contains("client_unknown")), "{said:?}");
    }
}

/// What the asking proxy says is believed to the letter: an address that is its own, if that is where the client is.
#[test]
fn a_client_on_the_machine_of_the_proxy_has_its_address() {
    let inside = route(
        "here",
        "/here",
        "app",
        "access = \"public\"\nnetworks = [\"127.0.0.0/8\"]",
    );
    let gate = gate(&inside);
    for asker in ASKERS {
        for (client, reason) in [
            (Some("127.0.0.1"), None),
            (Some("127.0.0.1, 127.0.0.1"), None),
            (Some("192.0.2.1, 127.0.0.1"), Some("network_not_allowed")),
            (None, Some("client_unknown")),
            (Some("garbage"), Some("client_unknown")),
        ] {
            let answer = gate.ask(about("/here").of_client(client).by(asker));
            match reason {
                None => assert_allowed(&answer, ""),
                Some(reason) => assert_refused(&answer, 403, reason),
            }
        }
    }
}
