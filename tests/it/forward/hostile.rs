//! Questions that somebody tampered with, and proxies that are wired wrong: what a client can add to its own request, and what
//! an operator forgets. Each has exactly one answer.

use super::*;

/// What the client has sent along and the proxy passes on. Nothing of it is the dialect's own.
const SPOOFED: &[&str] = &[
    "X-Rewrite-URL: /public\r\n",
    "X-Original-URI: /public\r\n",
    "X-Original-Host: app.test\r\n",
    "X-Original-Uri: /public\r\n",
    "X-Forwarded-Path: /public\r\n",
    "X-Forwarded-Prefix: /public\r\n",
    "X-Forwarded-Port: 80\r\n",
    "X-Forwarded-Server: public\r\n",
    "X-Forwarded-Scheme: http\r\n",
    "X-Forwarded-Ssl: on\r\n",
    "X-Url-Scheme: http\r\n",
    "X-Real-IP: 10.0.0.1\r\n",
    "X-Client-IP: 10.0.0.1\r\n",
    "True-Client-IP: 10.0.0.1\r\n",
    "Forwarded: for=10.0.0.1;host=app.test;proto=https\r\n",
    "X-HTTP-Method-Override: GET\r\n",
    "X-Method-Override: GET\r\n",
    "X-User: root\r\nX-User-Roles: admin\r\n",
    "X_User: root\r\nx.user.roles: admin\r\n",
    "X_Original_URL: https://app.test/public\r\nX_Original_Method: GET\r\n",
    "X.Original.URL: https://app.test/public\r\n",
    "X_Forwarded_Uri: /public\r\nX_Forwarded_Host: app.test\r\n",
    "X.Forwarded.Uri: /public\r\n",
    "X-Forwarded-Uri_: /public\r\n",
    "X_Forwarded_For: 10.0.0.1\r\n",
    "X-Auth-Request-Redirect: /public\r\n",
    "X-Auth-Request-User: root\r\n",
    "X-Envoy-Original-Path: /public\r\n",
    "X-Envoy-External-Address: 10.0.0.1\r\n",
    "X-Replaced-Path: /public\r\n",
    "Destination: /public\r\n",
    "Referer: https://app.test/public\r\n",
    "Connection: X-Original-URL, X-Original-Method, X-Forwarded-Uri, X-Forwarded-Host, X-Forwarded-For\r\n",
    "Connection: close, X-User, x-user-roles\r\n",
    "Cookie: X-User=root; doorward=x\r\n",
    "Proxy-Authorization: Basic cm9vdDpyb290\r\n",
];

#[test]
fn nothing_that_a_client_adds_changes_the_decision() {
    let gate = gate("");
    let user = gate.bearer("alice", &["user"]);
    for spoofed in SPOOFED {
        let with_user = format!("{spoofed}{user}");
        for asker in ASKERS {
            let answer = gate.ask(about("/app").with(spoofed).by(asker));
            assert_refused(&answer, 401, "credentials_required");
            let answer = gate.ask(about("/admin").with(&with_user).by(asker));
            assert_refused(&answer, 403, "insufficient_scope");
            let answer = gate.ask(about("/inside").with(spoofed).by(asker));
            assert_refused(&answer, 403, "network_not_allowed");
            let answer = gate.ask(about("/app").with(&with_user).by(asker));
            assert_allowed(&answer, "alice");
            assert_eq!(answer.header("x-user-roles"), Some("user"));
        }
    }
}

/// The headers of another dialect, as a client would send them: all that would make a good question of their own.
#[test]
fn another_dialects_headers_are_nothing() {
    const NGINX: &str = "X-Original-Method: GET\r\nX-Original-URL: https://app.test/public\r\n";
    const FORWARDED: &str = "X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: app.test\r\nX-Forwarded-Uri: /public\r\n";
    let gate = gate("");
    for (asker, foreign) in [
        (Asker::Nginx, FORWARDED),
        (Asker::Traefik, NGINX),
        (Asker::Caddy, NGINX),
        (Asker::Envoy, NGINX),
        (
            Asker::Envoy,
            "X-Forwarded-Method: GET\r\nX-Forwarded-Host: other.test\r\nX-Forwarded-Uri: /public\r\n",
        ),
    ] {
        let answer = gate.ask(about("/app").with(foreign).by(asker));
        assert_refused(&answer, 401, "credentials_required");
    }
    // Alone they make no question.
    for (path, foreign) in [
        ("/auth/nginx", FORWARDED),
        ("/auth/traefik", NGINX),
        ("/auth/caddy", NGINX),
        ("/auth/nginx", ""),
        ("/auth/traefik", ""),
        ("/auth/caddy", ""),
        ("/auth/nginx?/public", ""),
        ("/auth/caddy?X-Forwarded-Uri=/public", ""),
        ("/auth/envoy", FORWARDED),
        ("/auth/envoy?x=/public", ""),
    ] {
        let answer = gate.ask(format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n{foreign}\r\n"));
        assert_refused(&answer, 403, "invalid_question");
    }
    // Next to the endpoint's path there is nothing, and no route's answer stands in for it either.
    for path in [
        "/auth/nginx/",
        "/auth/traefik/x",
        "/Auth/nginx",
        "/auth//nginx",
        "/auth%2fnginx",
    ] {
        let answer = gate.ask(format!(
            "GET {path} HTTP/1.1\r\nHost: app.test\r\n{NGINX}{FORWARDED}\r\n"
        ));
        assert_refused(&answer, 403, "invalid_question");
        assert_eq!(answer.header("x-user"), None);
    }
}

#[test]
fn what_is_missing_repeated_or_malformed_is_refused() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user", "admin"]);
    let good = about("/public").with(&token);
    // Of whom; the line; what stands in its place.
    let forwarded: &[(&str, &[&str])] = &[
        (
            "X-Forwarded-Method: GET",
            &[
                "",
                "X-Forwarded-Method: GET\r\nX-Forwarded-Method: GET",
                "X-Forwarded-Method: GET\r\nx-forwarded-method: POST",
                "X-Forwarded-Method:",
                "X-Forwarded-Method: GET, POST",
                "X-Forwarded-Method: G ET",
                "X-Forwarded-Method: GET/",
                "X-Forwarded-Method: ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMN",
            ],
        ),
        (
            "X-Forwarded-Proto: https",
            &[
                "",
                "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https",
                "X-Forwarded-Proto:",
                "X-Forwarded-Proto: https, http",
                "X-Forwarded-Proto: https,http",
                "X-Forwarded-Proto: https://",
                "X-Forwarded-Proto: ftp",
                "X-Forwarded-Proto: on",
            ],
        ),
        (
            "X-Forwarded-Host: app.test",
            &[
                "",
                "X-Forwarded-Host: app.test\r\nX-Forwarded-Host: app.test",
                "X-Forwarded-Host:",
                "X-Forwarded-Host: app.test, evil.test",
                "X-Forwarded-Host: user@app.test",
                "X-Forwarded-Host: evil.test@app.test",
                "X-Forwarded-Host: app.test/public",
                "X-Forwarded-Host: app.test?x",
                "X-Forwarded-Host: app.test#x",
                "X-Forwarded-Host: app.test:99999",
                "X-Forwarded-Host: app.test:80:80",
                "X-Forwarded-Host: app..test",
                "X-Forwarded-Host: https://app.test",
                "X-Forwarded-Host: app.test\\evil",
                "X-Forwarded-Host: app%2etest",
                "X-Forwarded-Host: b\u{fc}cher.test",
            ],
        ),
        (
            "X-Forwarded-Uri: /public",
            &[
                "",
                "X-Forwarded-Uri: /public\r\nX-Forwarded-Uri: /public",
                "X-Forwarded-Uri:",
                "X-Forwarded-Uri: public",
                "X-Forwarded-Uri: https://app.test/public",
                "X-Forwarded-Uri: *",
                "X-Forwarded-Uri: ?x",
                "X-Forwarded-Uri: \\public",
                "X-Forwarded-Uri: /public\u{e4}",
            ],
        ),
    ];
    let nginx: &[(&str, &[&str])] = &[
        (
            "X-Original-Method: GET",
            &[
                "",
                "X-Original-Method: GET\r\nX-Original-Method: GET",
                "X-Original-Method:",
                "X-Original-Method: GET,HEAD",
                "X-Original-Method: GET HTTP/1.1",
            ],
        ),
        (
            "X-Original-URL: https://app.test/public",
            &[
                "",
                "X-Original-URL: https://app.test/public\r\nX-Original-URL: https://app.test/public",
                "X-Original-URL: https://app.test/public\r\nx-original-url: https://app.test/app",
                "X-Original-URL:",
                "X-Original-URL: /public",
                "X-Original-URL: //app.test/public",
                "X-Original-URL: https:/app.test/public",
                "X-Original-URL: https:app.test/public",
                "X-Original-URL: https://",
                "X-Original-URL: https://app.test",
                "X-Original-URL: https://app.test?/public",
                "X-Original-URL: https://app.test#/public",
                "X-Original-URL: https:///public",
                "X-Original-URL: https://user@app.test/public",
                "X-Original-URL: https://user:x@app.test/public",
                "X-Original-URL: https://app.test:x/public",
                "X-Original-URL: https://app.test\\@evil.test/public",
                "X-Original-URL: https://app.test, https://app.test/public",
                "X-Original-URL: ftp://app.test/public",
                "X-Original-URL: javascript://app.test/public",
                "X-Original-URL: ://app.test/public",
            ],
        ),
    ];
    let envoy: &[(&str, &[&str])] = &[
        (
            "X-Forwarded-Proto: https",
            &[
                "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https",
                "X-Forwarded-Proto: https, http",
                "X-Forwarded-Proto: gopher",
                "X-Forwarded-Proto:",
            ],
        ),
        ("/auth/envoy/public", &["/auth/envoy", "/auth/envoy?/public"]),
    ];
    let mut count = 0;
    for (asker, table) in [
        (Asker::Nginx, nginx),
        (Asker::Traefik, forwarded),
        (Asker::Caddy, forwarded),
        (Asker::Envoy, envoy),
    ] {
        let question = good.by(asker);
        assert_allowed(&gate.ask(&question), "");
        for (line, others) in table {
            assert!(question.contains(line), "{question}");
            for other in *others {
                let end = if other.is_empty() { "\r\n" } else { "" };
                let tampered = question.replacen(&format!("{line}{end}"), other, 1);
                assert_refused(&gate.ask(tampered), 403, "invalid_question");
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count}");
}

/// Targets that are read in several ways: decided as the proxy decides about them, the same in every dialect.
#[test]
fn targets_are_read_as_the_gateway_reads_its_own() {
    let gate = gate("");
    let token = gate.bearer("alice", &["user"]);
    for (target, code) in [
        ("/public/../admin", 400),
        ("/public/%2e%2e/admin", 400),
        ("/public/.%2e/admin", 400),
        ("/public/..;/admin", 400),
        ("/public/%252e%252e/admin", 400),
        ("/public/..%2fadmin", 400),
        ("/public/..%5cadmin", 400),
        ("/public\\..\\admin", 400),
        ("/public%00", 400),
        ("/public%0d%0a", 400),
        ("/public%", 400),
        ("/public%2", 400),
        ("/public#/admin", 400),
        ("/public?x#y", 400),
        ("/./admin", 400),
        ("//evil.test/public", 404),
        ("///public", 404),
        ("/ADMIN", 404),
        ("/publicx", 404),
        ("/public;x=/admin", 404),
        ("/public%2fadmin", 404),
        ("/public/%2e", 400),
        ("/public//x", 200),
        ("/public/x%20y", 200),
        ("/public?/../admin", 200),
        ("/public?url=https://evil.test/%zz", 200),
    ] {
        for asker in ASKERS {
            // A raw `#` never gets so far as a target of the question itself: the connection's own rules refuse it.
            if asker == Asker::Envoy && target.contains(['#', '\\']) {
                continue;
            }
            let answer = gate.ask(about(target).with(&token).by(asker));
            let expected = match (asker, code) {
                (Asker::Nginx | Asker::Envoy, 400) | (Asker::Nginx, 404) => 403,
                (Asker::Nginx | Asker::Traefik | Asker::Caddy | Asker::Envoy, code) => code,
            };
            assert_eq!(answer.status, expected, "{target} {asker:?}: {answer:?}");
        }
        // As it is without another proxy.
        if !target.contains(['#', '\\']) && code != 200 {
            assert_eq!(gate.get(target, &token).status, code, "{target}");
        }
    }
}

#[test]
fn the_client_is_what_trusted_proxies_say_from_the_right() {
    let config = config("").replace("[\"127.0.0.1\"]", "[\"127.0.0.1\", \"172.16.0.0/12\"]");
    let gate = Gate::start(&config);
    for (lines, reason) in [
        ("X-Forwarded-For: 10.0.0.1\r\n", None),
        ("X-Forwarded-For: 10.0.0.1, 172.16.0.1\r\n", None),
        ("X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 172.16.0.1\r\n", None),
        ("X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\n", None),
        ("X-Forwarded-For: garbage, 10.0.0.1:4711\r\n", None),
        ("X-Forwarded-For: ::ffff:10.0.0.1\r\n", None),
        ("X-Forwarded-For: 10.0.0.1, 192.0.2.1\r\n", Some("network_not_allowed")),
        (
            "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 192.0.2.1\r\n",
            Some("network_not_allowed"),
        ),
        (
            "X-Forwarded-For: 10.0.0.1, garbage, 172.16.0.1\r\n",
            Some("network_not_allowed"),
        ),
        ("X-Forwarded-For: 10.0.0.1, garbage\r\n", Some("client_unknown")),
        ("X-Forwarded-For: unknown\r\n", Some("client_unknown")),
        ("X-Forwarded-For:\r\n", Some("client_unknown")),
        ("", Some("client_unknown")),
    ] {
        for asker in ASKERS {
            let answer = gate.ask(about("/inside").of_client(None).with(lines).by(asker));
            match reason {
                None => assert_allowed(&answer, ""),
                Some(reason) => assert_refused(&answer, 403, reason),
            }
        }
    }
}

#[test]
fn a_stranger_learns_nothing_and_the_operator_what_to_change() {
    let config = config("").replace("[\"127.0.0.1\"]", "[\"198.51.100.0/24\"]");
    let gate = Gate::start(&config);
    let token = gate.bearer("alice", &["admin"]);
    for asker in ASKERS {
        for question in [
            about("/public"),
            about("/admin").with(&token),
            about("/nowhere").with(NAVIGATION),
        ] {
            let answer = gate.ask(question.by(asker));
            assert_refused(&answer, 403, "untrusted_proxy");
            assert_eq!(answer.header("location"), None);
        }
    }
    let line = gate
        .process()
        .wait_for_line(|line| line.contains("untrusted_proxy") && line.contains("hint"));
    for part in ["peer=127.0.0.1", "trusted_proxies"] {
        assert!(line.contains(part), "{line}");
    }
    // What was said is not said again for each question that follows.
    for _ in 0..50 {
        gate.ask(about("/public").by(Asker::Nginx));
    }
    let said = gate.process().lines();
    assert_eq!(said.iter().filter(|line| line.contains("hint=")).count(), 1, "{said:?}");
}

#[test]
fn a_miswired_proxy_is_told_which_line_to_add() {
    let gate = gate("");
    let foreign =
        "X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: app.test\r\nX-Forwarded-Uri: /\r\n";
    let nginx = "X-Original-Method: GET\r\nX-Original-URL: https://app.test/\r\n";
    for (path, lines, fault, advice) in [
        (
            "/auth/nginx",
            "",
            "X-Original-Method is missing",
            "proxy_set_header X-Original-Method $request_method;",
        ),
        (
            "/auth/nginx",
            "X-Original-Method: GET\r\n",
            "X-Original-URL is missing",
            "proxy_set_header X-Original-URL $scheme://$host$request_uri;",
        ),
        (
            "/auth/nginx",
            "X-Original-Method: GET\r\nX-Original-URL: /app\r\n",
            "X-Original-URL is malformed",
            "$scheme://$host$request_uri",
        ),
        (
            "/auth/traefik",
            "",
            "X-Forwarded-Method is missing",
            "`forwardAuth` whose address ends in /traefik",
        ),
        (
            "/auth/traefik",
            nginx,
            "X-Forwarded-Method is missing",
            "`forwardAuth` whose address ends in /traefik",
        ),
        (
            "/auth/traefik",
            "X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: app.test\r\n",
            "X-Forwarded-Uri is missing",
            "X-Forwarded-Uri",
        ),
        ("/auth/caddy", nginx, "X-Forwarded-Method is missing", "nginx"),
        (
            "/auth/caddy",
            "X-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\n",
            "X-Forwarded-Host is missing",
            "header_up",
        ),
        (
            "/auth/envoy",
            "",
            "the path behind the endpoint's is missing",
            "path_prefix",
        ),
        (
            "/auth/envoy/app",
            "X-Forwarded-Proto: a\r\n",
            "X-Forwarded-Proto is malformed",
            "allowed_headers",
        ),
    ] {
        let answer = gate.ask(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"));
        assert_refused(&answer, 403, "invalid_question");
        let line = gate
            .process()
            .wait_for_line(|line| line.contains(fault) && line.contains("hint="));
        assert!(
            line.contains("invalid_question") && line.contains("peer=127.0.0.1"),
            "{line}"
        );
        assert!(line.contains(advice) || lines == nginx, "{line}");
    }
    let gate = self::gate("");
    for (path, lines, advice) in [
        (
            "/auth/nginx",
            foreign,
            "one as traefik or caddy asks it: ask /auth/traefik or /auth/caddy instead",
        ),
        ("/auth/caddy", nginx, "one as nginx asks it: ask /auth/nginx instead"),
        ("/auth/traefik", nginx, "one as nginx asks it: ask /auth/nginx instead"),
    ] {
        gate.ask(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"));
        gate.process()
            .wait_for_line(|line| line.contains("hint=") && line.contains(advice));
    }
}
