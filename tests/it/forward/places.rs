//! Our own URLs as another proxy may ask about them: what of them is ours there, and what is the routes' to say.

use super::*;
use crate::support::upstream::Upstream;

/// URLs of the API, which the proxy that asks need not send here: a backend of its own may be behind them.
const API: &[(&str, &str)] = &[
    ("GET", "/api"),
    ("GET", "/api/"),
    ("POST", "/api/login"),
    ("POST", "/api/refresh"),
    ("POST", "/api/registration"),
    ("POST", "/api/introspect"),
    ("POST", "/api/revoke"),
    ("GET", "/api/finalize"),
    ("POST", "/api/reset"),
    ("PUT", "/api/keys"),
    ("DELETE", "/api/sessions/1"),
    ("GET", "/api/admin/users"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("POST", "/API/login"),
    ("POST", "//api/login"),
    ("POST", "/api/%6cogin"),
];

fn all_of(more: &str) -> Gate {
    gate(&(route("all", "/", "app", "hosts = [\"all.test\"]") + more))
}

fn on<'a>(host: &'a str, method: &'a str, target: &'a str) -> Question<'a> {
    Question {
        host,
        ..about(target).method(method)
    }
}

#[test]
fn the_api_is_the_routes_to_say() {
    let gate = all_of("");
    let token = gate.bearer("alice", &["user"]);
    for (method, target) in API {
        for asker in ASKERS {
            let question = on("all.test", method, target);
            assert_refused(&gate.ask(question.by(asker)), 401, "credentials_required");
            assert_allowed(&gate.ask(question.with(&token).by(asker)), "alice");
            let status = if asker == Asker::Nginx { 403 } else { 404 };
            // Neither a host without a route for it nor one that nobody has named.
            for host in ["app.test", "nobody.test"] {
                let answer = gate.ask(on(host, method, target).with(&token).by(asker));
                assert_refused(&answer, status, "not_found");
            }
        }
    }
    // Who wants to know beforehand is told the same.
    let mut explain = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"));
    explain
        .args([
            "explain",
            "POST",
            "https://all.test/api/login",
            "--config",
            "doorward.toml",
        ])
        .current_dir(gate.folder());
    let told = String::from_utf8(explain.output().unwrap().stdout).unwrap();
    assert!(told.contains("POST") && told.contains("forward-auth answers"), "{told}");
    let (_, answers) = told.split_once("forward-auth answers").unwrap();
    assert!(answers.contains("401 ") && !answers.contains("200 "), "{told}");
    // Without another proxy it is ours as ever.
    assert_eq!(gate.get("/.well-known/jwks.json", "").status, 200);
    assert_eq!(gate.get("/api/", "").status, 200);
}

#[test]
fn pages_are_ours_as_far_as_they_are_served() {
    let gate = all_of("");
    for asker in ASKERS {
        for (method, target) in [
            ("GET", "/auth/login"),
            ("POST", "/auth/login"),
            ("POST", "/auth/logout"),
            ("GET", "/auth/"),
            ("GET", "/auth/assets/style.css"),
        ] {
            for host in ["all.test", "nobody.test"] {
                assert_allowed(&gate.ask(on(host, method, target).by(asker)), "");
            }
        }
        // Registration is closed, and no mail is sent.
        for target in ["/auth/register", "/auth/confirm", "/auth/forgot", "/auth/reset"] {
            for method in ["GET", "POST"] {
                let answer = gate.ask(on("all.test", method, target).by(asker));
                assert_refused(&answer, 401, "credentials_required");
                let status = if asker == Asker::Nginx { 403 } else { 404 };
                assert_refused(&gate.ask(on("app.test", method, target).by(asker)), status, "not_found");
            }
        }
    }
    let gate = all_of("[accounts]\nregistration = \"open\"\n");
    for asker in ASKERS {
        assert_allowed(&gate.ask(on("app.test", "GET", "/auth/register").by(asker)), "");
    }
}

#[test]
fn the_api_is_ours_on_hosts_that_are_named() {
    let gate = all_of("[endpoints]\nhosts = [\"all.test\"]\n");
    for asker in ASKERS {
        assert_allowed(&gate.ask(on("all.test", "POST", "/api/login").by(asker)), "");
        let answer = gate.ask(on("all.test", "PUT", "/api/keys").by(asker));
        let status = match asker {
            Asker::Nginx | Asker::Envoy => 403,
            Asker::Traefik | Asker::Caddy => 405,
        };
        assert_refused(&answer, status, "method_not_allowed");
        let status = if asker == Asker::Nginx { 403 } else { 404 };
        for target in ["/api/login", "/auth/login"] {
            let answer = gate.ask(on("app.test", "POST", target).by(asker));
            assert_refused(&answer, status, "not_found");
        }
    }
}

/// What Doorward itself would refuse to everybody is not let pass in a question either: whatever serves it there is a backend's.
#[test]
fn of_the_api_only_what_is_served_is_ours() {
    const HOSTS: &str = "[endpoints]\nhosts = [\"all.test\"]\n";
    let closed = all_of(HOSTS);
    let open = all_of(&format!("{HOSTS}[accounts]\nregistration = \"open\"\n"));
    let token = closed.bearer("alice", &["user"]);
    for asker in ASKERS {
        let registration = on("all.test", "POST", "/api/registration");
        assert_refused(&closed.ask(registration.by(asker)), 401, "credentials_required");
        // The route's to say, as of any other path.
        assert_allowed(&closed.ask(registration.clone().with(&token).by(asker)), "alice");
        assert_allowed(&open.ask(registration.by(asker)), "");
        // No mail is sent, so nothing that comes by mail is to be finished.
        for (method, target) in [
            ("GET", "/api/finalize"),
            ("POST", "/api/reset"),
            ("POST", "/api/reset_finalize"),
        ] {
            for gate in [&closed, &open] {
                let answer = gate.ask(on("all.test", method, target).by(asker));
                assert_refused(&answer, 401, "credentials_required");
            }
        }
        for (method, target) in [
            ("POST", "/api/refresh"),
            ("GET", "/api/"),
            ("GET", "/.well-known/jwks.json"),
        ] {
            assert_allowed(&closed.ask(on("all.test", method, target).by(asker)), "");
        }
    }
    // Asked for itself it says so.
    let request = "POST /api/registration HTTP/1.1\r\nHost: all.test\r\nContent-Type: application/json\r\nContent-Length: 38\r\n\r\n{\"username\":\"a\",\"password\":\"bbbbbbbb\"}";
    let answer = closed.ask(request);
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("registration_closed"), "{}", answer.text());
}

/// Behind the Flask server's dialect every URL answers OPTIONS; one that is not served does not in a question.
#[test]
fn options_of_what_is_not_served_is_the_routes_to_say() {
    const FLASK: &str =
        "[endpoints]\nhosts = [\"all.test\"]\n[compat]\nflask_praetorian = true\nsecret_file = \"secret\"\n";
    let flask = |registration: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "top secret of that server, long enough").unwrap();
        let all = route("all", "/", "app", "hosts = [\"all.test\"]");
        let more = format!("{all}{FLASK}[accounts]\nregistration = \"{registration}\"\n");
        Gate::start_in(folder, &config(&more))
    };
    let (closed, open) = (flask("closed"), flask("open"));
    for asker in ASKERS {
        let question = on("all.test", "OPTIONS", "/api/registration");
        assert_refused(&closed.ask(question.by(asker)), 401, "credentials_required");
        assert_allowed(&open.ask(question.by(asker)), "");
        assert_allowed(&closed.ask(on("all.test", "OPTIONS", "/api/login").by(asker)), "");
    }
}

/// A proxy whose configuration is off by one character must not get the answer of a route that happens to be public.
#[test]
fn a_question_that_is_addressed_wrongly_gets_no_answer_of_a_route() {
    const WRONG: &[(&str, &str)] = &[
        ("/auth/nginx/", "ask /auth/nginx, to the letter"),
        ("/auth/nginx/x", "ask /auth/nginx, to the letter"),
        ("/auth/NGINX", "ask /auth/nginx, to the letter"),
        ("//auth/nginx", "ask /auth/nginx, to the letter"),
        ("/auth//nginx", "ask /auth/nginx, to the letter"),
        ("/auth/traefik/", "ask /auth/traefik, to the letter"),
        ("/auth/caddy/", "ask /auth/caddy, to the letter"),
        ("/Auth/caddy", "ask /auth/caddy, to the letter"),
        ("/auth/Envoy/public", "ask /auth/envoy/…, to the letter"),
    ];
    const ALL: &str = "X-Original-Method: GET\r\nX-Original-URL: https://open.test/\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: open.test\r\nX-Forwarded-Uri: /\r\n";
    let backend = Upstream::start();
    let open = upstream("open", &backend.url(), "") + &route("open", "/", "open", "access = \"public\"");
    let gate = gate(&open);
    assert_eq!(gate.get("/", "").status, 200);
    for (path, _) in WRONG {
        for lines in ["", ALL] {
            let answer = gate.ask(format!("GET {path} HTTP/1.1\r\nHost: open.test\r\n{lines}\r\n"));
            assert_refused(&answer, 403, "invalid_question");
            assert_eq!(answer.body, b"");
        }
        // Nor is it anything that one could ask about.
        let asker = Asker::Traefik;
        let answer = gate.ask(on("open.test", "GET", path).by(asker));
        assert_refused(&answer, 404, "not_found");
    }
    assert_eq!(backend.requests().len(), 1);
    // One line for each dialect, and not one for each question.
    for name in ["nginx", "traefik", "caddy", "envoy"] {
        let ours = |line: &&String| line.contains("to the letter") && line.contains(&format!("dialect=\"{name}\""));
        let hint = WRONG.iter().find(|(_, hint)| hint.contains(name)).unwrap().1;
        let line = gate.process().wait_for_line(|line| line.contains(hint));
        assert!(
            line.contains("peer=127.0.0.1") && line.contains("invalid_question"),
            "{line}"
        );
        let said = gate.process().lines();
        assert_eq!(said.iter().filter(ours).count(), 1, "{said:?}");
    }
    // A stranger learns nothing.
    let config = config(&open).replace("[\"127.0.0.1\"]", "[\"198.51.100.0/24\"]");
    let gate = Gate::start(&config);
    for (path, _) in WRONG {
        assert_refused(&gate.get(path, ""), 403, "untrusted_proxy");
    }
}

#[test]
fn a_route_that_would_be_taken_for_a_question_is_refused() {
    for path in [
        "/auth/nginx",
        "/auth/nginx/x",
        "/auth/Traefik",
        "/AUTH/caddy",
        "/auth/ｎginx",
        "/auth/traefık/x",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("doorward.toml");
        let config = upstream("app", "http://127.0.0.1:9", "") + &route("mine", path, "app", "");
        std::fs::write(&file, config).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"));
        command
            .args(["check", "--config"])
            .arg(&file)
            .current_dir(folder.path());
        let out = command.output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(
            !out.status.success() && text.contains("a path that is not the gateway's own"),
            "{path}: {text}"
        );
    }
}
