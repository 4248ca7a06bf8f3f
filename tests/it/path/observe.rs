//! What an operator sees: figures and log lines.

use http::Method;

use super::gate::{Gate, route, upstream};
use crate::support::client::Protocol;
use crate::support::ports::free_port;
use crate::support::upstream::Upstream;

fn config(url: &str) -> String {
    let dead = format!("http://127.0.0.1:{}", free_port());
    [
        upstream("app", url, ""),
        upstream("dead", &dead, ""),
        route("app", "/app", "app", "roles_any = [\"user\"]"),
        route("open", "/open", "app", "access = \"public\""),
        route("dead", "/dead", "dead", "access = \"public\""),
    ]
    .concat()
}

#[test]
fn figures_of_requests_decisions_tokens_handshakes_and_connections() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&config(&backend.url()));
    let ann = gate.bearer("ann", &["user"]);
    let eve = gate.bearer("eve", &[]);
    for _ in 0..3 {
        assert_eq!(gate.get("/app", &ann).status, 200);
    }
    assert_eq!(gate.get("/app", &eve).status, 403);
    assert_eq!(gate.get("/app", "").status, 401);
    assert_eq!(gate.get("/app", "Authorization: Bearer a.b.c\r\n").status, 401);
    assert_eq!(gate.get("/secret-path", "").status, 404);
    assert_eq!(gate.ask("BREW /open HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    assert_eq!(gate.get("/dead", "").status, 502);
    gate.tls_client(Protocol::Http2).get("/open").expect(200);
    gate.tls_client(Protocol::Http1).get("/open").expect(200);
    for (series, value) in [
        (
            r#"doorward_http_requests_total{route="app",method="GET",status="200"}"#,
            3.0,
        ),
        (
            r#"doorward_http_requests_total{route="app",method="GET",status="403"}"#,
            1.0,
        ),
        (
            r#"doorward_http_requests_total{route="app",method="GET",status="401"}"#,
            2.0,
        ),
        (
            r#"doorward_http_requests_total{route="open",method="OTHER",status="200"}"#,
            1.0,
        ),
        (
            r#"doorward_http_requests_total{route="dead",method="GET",status="502"}"#,
            1.0,
        ),
        (r#"doorward_http_request_duration_seconds_count{route="app"}"#, 6.0),
        (
            r#"doorward_access_decisions_total{route="app",decision="permit",reason="ok"}"#,
            3.0,
        ),
        (
            r#"doorward_access_decisions_total{route="app",decision="refuse",reason="insufficient_scope"}"#,
            1.0,
        ),
        (
            r#"doorward_access_decisions_total{route="app",decision="refuse",reason="credentials_required"}"#,
            1.0,
        ),
        (
            r#"doorward_access_decisions_total{route="app",decision="refuse",reason="invalid_token"}"#,
            1.0,
        ),
        (
            r#"doorward_access_decisions_total{route="dead",decision="permit",reason="ok"}"#,
            1.0,
        ),
        (r#"doorward_tls_handshakes_total{result="ok"}"#, 2.0),
        (r#"doorward_token_verifications_total{result="malformed"}"#, 1.0),
    ] {
        assert_eq!(gate.metric(series), value, "{series}\n{}", gate.metrics());
    }
    let page = gate.metrics();
    // Each worker remembers for itself.
    let known = gate.metric(r#"doorward_token_cache_total{result="hit"}"#);
    let new = gate.metric(r#"doorward_token_verifications_total{result="ok"}"#);
    assert_eq!(known + new, 4.0, "{page}");
    for name in [
        "doorward_http_request_duration_seconds_bucket{",
        "doorward_connections{listener=",
        "doorward_certificate_expiry_seconds{name=\"localhost\"}",
        "doorward_config_reloads_total{",
        "doorward_revocation_age_seconds ",
        "doorward_store_requests_total{",
        "doorward_password_queue",
        "doorward_logins_total{",
        "doorward_log_dropped_total ",
        "doorward_build_info{version=\"",
    ] {
        assert!(page.lines().any(|line| line.starts_with(name)), "no {name} in\n{page}");
    }
    // Labels are bounded: no path, user, address or token is one.
    for secret in ["secret-path", "ann", "eve", "BREW"] {
        assert!(!page.contains(secret), "{secret} in\n{page}");
    }
    // One TYPE for each name, as the format wants it.
    let types: Vec<&str> = page.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let mut names: Vec<&str> = types.iter().filter_map(|line| line.split(' ').nth(2)).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "{types:#?}");
}

#[test]
fn refusals_at_our_own_urls_are_ours() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    assert_eq!(gate.get("/api/me", "").status, 401);
    assert_eq!(gate.get("/api/me", "Authorization: Bearer a.b.c\r\n").status, 401);
    assert_eq!(gate.get("/nowhere", "").status, 404);
    let refused = |route: &str, reason: &str| {
        gate.metric(&format!(
            "doorward_access_decisions_total{{route={route:?},decision=\"refuse\",reason={reason:?}}}"
        ))
    };
    assert_eq!(refused("(gateway)", "credentials_required"), 1.0);
    assert_eq!(refused("(gateway)", "invalid_token"), 1.0);
    assert_eq!(refused("(none)", "not_found"), 1.0);
}

#[test]
fn a_request_is_one_line_without_secrets() {
    let backend = Upstream::start();
    let gate = Gate::with_tls(&config(&backend.url()));
    let token = gate.token("ann", &["user"]);
    let lines = format!("Authorization: Bearer {token}\r\nCookie: session=of-ann\r\nReferer: /x?secret-in-referer\r\n");
    assert_eq!(gate.get("/app/One%20Two?password=hunter2", &lines).status, 200);
    let line = gate.access_line("/app/One%20Two");
    let id = crate::path::last(&backend).header("x-request-id").unwrap().to_owned();
    for part in [
        "client=127.0.0.1",
        "user=\"ann\"",
        "method=\"GET\"",
        "host=\"app.test\"",
        "status=200",
        "duration_us=",
        "route=\"app\"",
        "decision=permit",
        "reason=ok",
        &format!("id={id}"),
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert_eq!(
        gate.get("/app?token=abc", &format!("Authorization: Bearer {token}x\r\n"))
            .status,
        401
    );
    let line = gate.access_line("/app");
    assert!(
        line.contains("decision=refuse") && line.contains("reason=invalid_token") && line.contains("user=\"\""),
        "{line}"
    );
    gate.tls_client(Protocol::Http2)
        .request(Method::GET, "/open/h2?q=hunter2")
        .send()
        .expect(200);
    assert!(gate.access_line("/open/h2").contains("host=\"localhost"));
    let said = gate.process().lines().join("\n");
    for secret in [token.as_str(), "hunter2", "of-ann", "secret-in-referer", "token=abc"] {
        assert!(!said.contains(secret), "{secret} in\n{said}");
    }
}

#[test]
fn nobody_writes_a_log_line_of_their_own() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    // Neither by a name, nor by a host, nor by bytes that are no UTF-8.
    let name = "a\" status=200 \u{202e}\u{1b}[31m";
    let response = gate.get("/open/evil", &gate.bearer(name, &[]));
    assert_eq!(response.status, 200);
    assert_eq!(gate.get("/app/evil", &gate.bearer("a\" x=\"", &["user"])).status, 200);
    assert!(gate.access_line("/app/evil").contains(r#"user="a\" x=\"""#));
    gate.ask("GET /x HTTP/1.1\r\nHost: a\" status=200\r\n\r\n");
    gate.ask(b"GET /x HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n");
    gate.get("/after", "");
    gate.access_line("/after");
    let lines = gate.process().lines();
    assert!(
        lines.iter().all(|line| !line.contains(['\u{1b}', '\u{202e}'])),
        "{lines:#?}"
    );
    let access = lines.iter().filter(|line| line.contains("doorward::access"));
    assert!(
        access
            .clone()
            .all(|line| line.matches(" status=").count() == 1 || line.contains("\\\" status=")),
        "{lines:#?}"
    );
}

#[test]
fn the_log_of_requests_can_be_off_and_faults_are_still_told() {
    let backend = Upstream::start();
    let gate = Gate::start(&(config(&backend.url()) + "[log]\naccess = false\n"));
    assert_eq!(gate.get("/open", "").status, 200);
    assert_eq!(gate.get("/dead?secret", "").status, 502);
    let line = gate.process().wait_for_line(|line| line.contains("upstream_failed"));
    assert!(
        line.contains("WARN") && line.contains("route=\"dead\"") || line.contains("route=dead"),
        "{line}"
    );
    assert!(
        !gate
            .process()
            .lines()
            .iter()
            .any(|line| line.contains("doorward::access") || line.contains("secret"))
    );
}

#[test]
fn the_admin_address_answers_only_what_it_knows() {
    let backend = Upstream::start();
    let gate = Gate::start(&config(&backend.url()));
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/open", 404),
        ("/metrics/x", 404),
    ] {
        assert_eq!(gate.status_of(path), status, "{path}");
    }
    // And the public listener none of it.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(gate.get(path, "").status, 404, "{path}");
    }
}
