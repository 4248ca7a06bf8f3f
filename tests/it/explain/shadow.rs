//! `shadow = true`: decided, told and counted, and not enforced.

use crate::path::gate::{Gate, route, upstream};
use crate::support::upstream::Upstream;

fn house(url: &str) -> String {
    [
        upstream("app", url, ""),
        route("trial", "/trial", "app", "roles_any = [\"tester\"]\nshadow = true"),
        route("inside", "/inside", "app", "networks = [\"10.0.0.0/8\"]\nshadow = true"),
        route("closed", "/closed", "app", "access = \"deny\"\nshadow = true"),
        route("token", "/token", "app", "forward_token = true\nshadow = true"),
        route("strict", "/Mixed", "app", "roles_any = [\"admin\"]"),
        route("loose", "/mixed", "app", "shadow = true"),
        route("open", "/open", "app", "access = \"public\""),
        route("tried", "/OPEN", "app", "roles_any = [\"admin\"]\nshadow = true"),
    ]
    .concat()
}

#[test]
fn what_a_shadow_route_refuses_goes_on_and_is_told_and_counted() {
    let backend = Upstream::start();
    let gate = Gate::start(&house(&backend.url()));
    let forged = "X-User: root\r\nX_User_Roles: admin\r\n";
    let ann = gate.bearer("ann", &["user"]);
    let tess = gate.bearer("tess", &["tester"]);
    let bad = "Authorization: Bearer a.b.c\r\n";
    // Nobody, and nobody's forged name; a role is missing, and the name is proved; all is well; a token is no good.
    for (path, lines, user, roles, decision, reason) in [
        (
            "/trial/nobody",
            String::new(),
            None,
            None,
            "would_refuse",
            "credentials_required",
        ),
        (
            "/trial/ann",
            ann.clone(),
            Some("ann"),
            Some("user"),
            "would_refuse",
            "insufficient_scope",
        ),
        ("/trial/tess", tess, Some("tess"), Some("tester"), "permit", "ok"),
        (
            "/trial/bad",
            bad.to_owned(),
            None,
            None,
            "would_refuse",
            "invalid_token",
        ),
        (
            "/inside/ann",
            ann.clone(),
            Some("ann"),
            Some("user"),
            "would_refuse",
            "network_not_allowed",
        ),
        ("/closed/ann", ann.clone(), None, None, "would_refuse", "access_denied"),
    ] {
        assert_eq!(gate.get(path, &(lines + forged)).status, 200, "{path}");
        let got = backend.requests().pop().unwrap();
        assert_eq!(
            (got.header("x-user"), got.header("x-user-roles")),
            (user, roles),
            "{path}"
        );
        assert_eq!(got.header("x_user_roles"), None, "{path}");
        let line = gate.access_line(path);
        assert!(
            line.contains(&format!("decision={decision} reason={reason} ")),
            "{line}"
        );
    }
    for (route, reason, count) in [
        ("trial", "credentials_required", 1.0),
        ("trial", "insufficient_scope", 1.0),
        ("trial", "invalid_token", 1.0),
        ("inside", "network_not_allowed", 1.0),
        ("closed", "access_denied", 1.0),
    ] {
        let series = format!(
            "doorward_access_decisions_total{{route=\"{route}\",decision=\"would_refuse\",reason=\"{reason}\"}}"
        );
        assert_eq!(gate.metric(&series), count, "{series}");
    }
    assert_eq!(
        gate.metric(r#"doorward_access_decisions_total{route="trial",decision="permit",reason="ok"}"#),
        1.0
    );
}

#[test]
fn a_bad_token_of_a_trusted_issuer_is_not_sent_on() {
    let backend = Upstream::start();
    let gate = Gate::start(&house(&backend.url()));
    let good = gate.token("ann", &[]);
    let (head, _) = good.rsplit_once('.').unwrap();
    for (token, sent_on) in [(good.clone(), true), (format!("{head}.AAAA"), false)] {
        assert_eq!(
            gate.get("/token", &format!("Authorization: Bearer {token}\r\n")).status,
            200
        );
        let got = backend.requests().pop().unwrap();
        assert_eq!(got.header("authorization").is_some(), sent_on);
        assert_eq!(got.header("x-user").is_some(), sent_on);
    }
}

#[test]
fn a_bearer_token_that_did_not_count_is_not_sent_on_whatever_it_looks_like() {
    let backend = Upstream::start();
    let gate = Gate::start(&house(&backend.url()));
    let long = "a".repeat(7_000);
    for token in ["zz", "aaa.bbb.ccc", "a b", "", &long] {
        for path in ["/trial", "/token", "/closed"] {
            let answer = gate.get(path, &format!("Authorization: Bearer {token}\r\n"));
            assert_eq!(answer.status, 200, "{path} {token}");
            let got = backend.requests().pop().unwrap();
            assert_eq!(got.header("authorization"), None, "{path} {token}");
        }
    }
    // Where nobody is asked who they are, it is the backend's own affair.
    assert_eq!(gate.get("/open", "Authorization: Bearer zz\r\n").status, 200);
    assert_eq!(
        backend.requests().pop().unwrap().header("authorization"),
        Some("Bearer zz")
    );
}

#[test]
fn a_shadow_route_opens_nothing_beside_it_and_nothing_that_no_route_may_let_pass() {
    let backend = Upstream::start();
    let gate = Gate::start(&house(&backend.url()));
    let ann = gate.bearer("ann", &["user"]);
    let root = gate.bearer("root", &["admin"]);
    // `/mixed` may be `/Mixed` to a backend that folds letters, and that route is enforced.
    for (path, lines, status) in [
        ("/mixed", "", 400),
        ("/mixed", ann.as_str(), 400),
        ("/mixed", root.as_str(), 200),
        ("/Mixed", ann.as_str(), 403),
        ("/trial/../open", "", 400),
        ("/trial%00", "", 400),
        ("/trial#x", "", 400),
        ("/nowhere", "", 404),
        // The other way round: the shadow's word is counted.
        ("/open", "", 200),
    ] {
        assert_eq!(gate.get(path, lines).status, status, "{path} {lines}");
    }
    assert_eq!(
        gate.metric(
            r#"doorward_access_decisions_total{route="open",decision="would_refuse",reason="ambiguous_target"}"#
        ),
        1.0
    );
    assert_eq!(
        gate.ask("GET /trial HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").status,
        400
    );
}

#[test]
fn whoever_asks_by_forward_auth_is_answered_200() {
    let backend = Upstream::start();
    let gate = Gate::start(&format!("trusted_proxies = [\"127.0.0.1\"]\n{}", house(&backend.url())));
    let ask = |path: &str, lines: &str| {
        gate.get(
            "/auth/nginx",
            &format!("X-Original-Method: GET\r\nX-Original-URL: https://app.test{path}\r\n{lines}"),
        )
    };
    let nobody = ask("/trial", "");
    assert_eq!((nobody.status, nobody.header("x-user")), (200, Some("")));
    let ann = ask("/trial", &gate.bearer("ann", &["user"]));
    assert_eq!((ann.status, ann.header("x-user")), (200, Some("ann")));
    assert_eq!(ask("/Mixed", "").status, 401);
    assert_eq!(backend.requests().len(), 0);
}
