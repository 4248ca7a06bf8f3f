//! What the operator is told: not to change what a client has done.

use super::*;

#[test]
fn what_a_client_may_have_sent_is_not_blamed_on_the_wiring() {
    const CLIENT: &str = "a client may have sent this, and nothing is to be changed if ordinary requests pass";
    let gate = gate("");
    let odd = |asker: Asker, from: &str, to: &[u8]| {
        let question = about("/public").by(asker);
        let (before, after) = question.split_once(from).unwrap();
        [before.as_bytes(), to, after.as_bytes()].concat()
    };
    for (question, fault) in [
        (odd(Asker::Nginx, "/public", b"/\x80"), "X-Original-URL is malformed"),
        (
            odd(Asker::Caddy, ": app.test", b": app.test:99999"),
            "X-Forwarded-Host is malformed",
        ),
        (odd(Asker::Traefik, "/public", b"/\x80"), "X-Forwarded-Uri is malformed"),
        (
            odd(Asker::Envoy, ": app.test", b": app.test:99999"),
            "Host is malformed",
        ),
    ] {
        assert_refused(&gate.ask(question), 403, "invalid_question");
        let line = gate
            .process()
            .wait_for_line(|line| line.contains(fault) && line.contains("hint="));
        assert!(line.contains(CLIENT), "{line}");
    }
    // What no client can do is the wiring's.
    for lines in ["", "X-Original-Method: GET\r\nX-Original-Method: GET\r\n"] {
        gate.get("/auth/nginx", lines);
        let fault = if lines.is_empty() {
            "X-Original-Method is missing"
        } else {
            "X-Original-Method is repeated"
        };
        let line = gate
            .process()
            .wait_for_line(|line| line.contains(fault) && line.contains("hint="));
        assert!(
            !line.contains(CLIENT) && line.contains("proxy_set_header X-Original-Method"),
            "{line}"
        );
    }
}

/// Where the pages were moved, or a letter is wrong, a route or a page would answer whoever has logged in with 200, and that would be
/// taken for the decision.
#[test]
fn a_question_that_is_put_beside_its_address_is_refused_and_told() {
    for (pages, targets, hint) in [
        (
            None,
            ["/auth/nginxx", "/auth/login", "/AUTH/verify?a=b"],
            "ask /auth/nginx",
        ),
        (Some("/sso"), ["/auth/nginx", "/sso/check", "/sso/"], "ask /sso/nginx"),
        (Some(""), ["/auth/nginx", "/auth/", "/auth/x"], "set endpoints.pages"),
    ] {
        let backend = crate::support::upstream::Upstream::start();
        let pages = pages.map(|pages| format!("[endpoints]\npages = \"{pages}\"\n"));
        let all = route("all", "/", "all", "access = \"public\"");
        let gate = gate(&(upstream("all", &backend.url(), "") + &all + &pages.unwrap_or_default()));
        let from_nginx = "X-Original-Method: GET\r\nX-Original-URL: https://app.test/admin\r\n";
        let from_traefik = "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /admin\r\n";
        for target in targets {
            for lines in [from_nginx, from_traefik] {
                assert_refused(&gate.get(target, lines), 403, "invalid_question");
            }
        }
        assert!(backend.requests().is_empty());
        let line = gate
            .process()
            .wait_for_line(|line| line.contains("is addressed to no endpoint") && line.contains("nginx"));
        assert!(line.contains(hint), "{line}");
        // What says of a request nothing but what it is, and what says less or is elsewhere, is no question.
        for (target, lines) in [
            (
                "/auth/x",
                "X-Original-Method: GET\r\nX-Original-URL: https://app.test/auth/x\r\n",
            ),
            (
                "/auth/x?a=b",
                "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /auth/x?a=b\r\n",
            ),
            ("/auth/x", "X-Original-URL: https://app.test/admin\r\n"),
            ("/auth/x", "X-Forwarded-Uri: /admin\r\n"),
            ("/author", from_nginx),
            ("/x/auth/nginxx", from_nginx),
        ] {
            assert_eq!(gate.get(target, lines).status, 200, "{target} {lines}");
            assert_eq!(backend.requests().pop().unwrap().target, target);
        }
    }
}

#[test]
fn a_check_names_the_gateways_urls_with_one_slash() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorward.toml");
    let config = upstream("app", "http://127.0.0.1:9", "") + &route("all", "/", "app", "");
    std::fs::write(&file, config).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"));
    command
        .args(["check", "--config"])
        .arg(&file)
        .current_dir(folder.path());
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(
        text.contains("DELETE /api/sessions/*") && !text.contains("//*"),
        "{text}"
    );
}

/// Every consumer, every header that it needs, missing and repeated: each is refused, and one line says what to add where,
/// however many questions come.
#[test]
fn each_fault_of_each_consumer_is_told_once_with_its_line() {
    const TRAEFIK: [(&str, &str); 4] = [
        (
            "X-Forwarded-Method",
            "add `http-request set-header X-Forwarded-Method %[method]`",
        ),
        (
            "X-Forwarded-Proto",
            "add `http-request set-header X-Forwarded-Proto https`",
        ),
        (
            "X-Forwarded-Host",
            "add `http-request set-header X-Forwarded-Host %[req.hdr(Host)]`",
        ),
        (
            "X-Forwarded-Uri",
            "add `http-request set-header X-Forwarded-Uri %[pathq]`",
        ),
    ];
    const CADDY: [(&str, &str); 4] = [
        ("X-Forwarded-Method", "add `header_up X-Forwarded-Method {method}`"),
        ("X-Forwarded-Proto", "take out the line `header_up -X-Forwarded-Proto`"),
        ("X-Forwarded-Host", "take out the line `header_up -X-Forwarded-Host`"),
        ("X-Forwarded-Uri", "add `header_up X-Forwarded-Uri {uri}`"),
    ];
    const NGINX: [(&str, &str); 2] = [
        (
            "X-Original-Method",
            "add `proxy_set_header X-Original-Method $request_method;`",
        ),
        (
            "X-Original-URL",
            "add `proxy_set_header X-Original-URL $scheme://$host$request_uri;`",
        ),
    ];
    const ENVOY: [(&str, &str); 1] = [(
        "X-Forwarded-Proto",
        "list `exact: x-forwarded-proto` once in authorization_request.allowed_headers",
    )];
    let gate = gate("");
    let mut expected = 0;
    for (asker, name, table) in [
        (Asker::Nginx, "nginx", &NGINX[..]),
        (Asker::Traefik, "traefik", &TRAEFIK),
        (Asker::Caddy, "caddy", &CADDY),
        (Asker::Envoy, "envoy", &ENVOY),
    ] {
        for (field, advice) in table {
            let good = about("/public").by(asker);
            let line = good.lines().find(|line| line.starts_with(field)).unwrap();
            let faults = [
                ("missing", String::new()),
                ("repeated", format!("{line}\r\n{line}\r\n")),
            ];
            for (kind, with) in faults {
                let question = good.replacen(&format!("{line}\r\n"), &with, 1);
                if asker == Asker::Envoy && kind == "missing" {
                    assert_allowed(&gate.ask(question), "");
                    continue;
                }
                for _ in 0..20 {
                    assert_refused(&gate.ask(&question), 403, "invalid_question");
                }
                let fault = format!("{field} is {kind}");
                let ours = |line: &str| {
                    line.contains("hint=") && line.contains(&fault) && line.contains(&format!("dialect=\"{name}\""))
                };
                let line = gate.process().wait_for_line(ours);
                assert!(line.contains(advice) && line.contains("peer=127.0.0.1"), "{line}");
                assert_eq!(
                    gate.process().lines().iter().filter(|line| ours(line)).count(),
                    1,
                    "{line}"
                );
                expected += 1;
            }
        }
    }
    // Envoy's two others, which have a place of their own each.
    for (question, advice) in [
        ("GET /auth/envoy HTTP/1.1\r\nHost: app.test\r\n\r\n", "set path_prefix"),
        (
            "GET /auth/envoy/x HTTP/1.1\r\nHost: app.test:99999\r\n\r\n",
            "take `host` out of authorization_request.headers_to_add",
        ),
    ] {
        for _ in 0..20 {
            assert_refused(&gate.ask(question), 403, "invalid_question");
        }
        gate.process()
            .wait_for_line(|line| line.contains("hint=") && line.contains(advice));
        expected += 1;
    }
    let said = gate.process().lines();
    let hints = said.iter().filter(|line| line.contains("hint=")).count();
    assert_eq!(hints, expected, "{said:#?}");
}
