//! Our own URLs as another proxy may ask about them: what of them is ours there, and what is the routes' to say.

use super::*;

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
