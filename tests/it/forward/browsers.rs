//! Browsers that have to log in: where they are sent, and when they are not.

use url::Url;

use super::*;

/// What a login leads to, from where: the Location of an answer, and the `rd` in it.
fn location(answer: &RawResponse) -> (String, Option<String>) {
    let text = answer.header("location").unwrap_or_else(|| panic!("{answer:?}"));
    let url = Url::parse(text).unwrap();
    let rd = url.query_pairs().find(|(name, _)| name == "rd");
    let rd = rd.map(|(_, value)| value.into_owned());
    (text.split(['?', '&']).next().unwrap().to_owned(), rd)
}

#[test]
fn a_browser_is_sent_to_the_login_as_its_proxy_can_tell_it() {
    let gate = gate("");
    let original = "https://app.test/app/x?a=%2F&b=1";
    for (method, statuses) in [
        ("GET", [401, 302, 302]),
        ("HEAD", [401, 302, 302]),
        ("POST", [401, 303, 302]),
    ] {
        for asker in ASKERS {
            let status = match asker {
                Asker::Nginx => statuses[0],
                Asker::Traefik | Asker::Caddy => statuses[1],
                Asker::Envoy => statuses[2],
            };
            let question = about("/app/x?a=%2F&doorward_ticket=&b=1").method(method);
            // A ticket is no credential of a browser's that is on its way to the login.
            let question = Question {
                target: "/app/x?a=%2F&b=1",
                ..question
            }
            .with(NAVIGATION)
            .by(asker);
            let mut client = gate.connect();
            client.send(&question);
            let answer = match (method, asker) {
                ("HEAD", Asker::Envoy) => client.response_to_head(),
                _ => client.response(),
            };
            assert_refused(&answer, status, "credentials_required");
            let (login, rd) = location(&answer);
            assert_eq!(
                (login.as_str(), rd.as_deref()),
                ("https://app.test/auth/login", Some(original))
            );
            let challenged = answer.header("www-authenticate").is_some();
            assert_eq!(challenged, status == 401, "{answer:?}");
            match (method, asker) {
                ("HEAD", _) | (_, Asker::Nginx | Asker::Traefik | Asker::Caddy) => assert_eq!(answer.body, b""),
                (_, Asker::Envoy) => assert_eq!(answer.text(), answer.header("location").unwrap()),
            }
        }
    }
}

#[test]
fn whoever_is_no_browser_or_would_gain_nothing_is_not_sent() {
    let gate = gate("");
    let bad = format!("{NAVIGATION}Authorization: Bearer a.b.c\r\n");
    for (question, status) in [
        (about("/app"), 401),
        (about("/app").with("Accept: */*\r\n"), 401),
        (
            about("/app").with("Accept: text/html\r\nX-Requested-With: XMLHttpRequest\r\n"),
            401,
        ),
        (about("/app").with("Accept: text/html\r\nSec-Fetch-Mode: cors\r\n"), 401),
        (about("/app").with("User-Agent: Mozilla/5.0\r\n"), 401),
        // A token that is no good, and one that alone would count, are not had from the login page.
        (about("/app").with(&bad), 401),
        (about("/tokens").with(NAVIGATION), 401),
        (about("/closed").with(NAVIGATION), 403),
        (about("/inside").with(NAVIGATION), 403),
    ] {
        for asker in ASKERS {
            let answer = gate.ask(question.by(asker));
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(answer.header("location"), None, "{answer:?}");
        }
    }
    // Without Fetch Metadata, what is accepted tells.
    let old = about("/app").with("Accept: text/html,*/*;q=0.8\r\n");
    assert_eq!(gate.ask(old.by(Asker::Caddy)).status, 302);
}

#[test]
fn basic_is_offered_where_it_counts() {
    let gate = gate("");
    for asker in ASKERS {
        let answer = gate.ask(about("/keys").by(asker));
        assert_refused(&answer, 401, "credentials_required");
        let offered = answer.headers.all("www-authenticate");
        assert_eq!(offered.len(), 2, "{offered:?}");
        assert!(
            offered[0].starts_with("Bearer ") && offered[1].starts_with("Basic "),
            "{offered:?}"
        );
    }
}

#[test]
fn our_own_pages_are_let_through_so_that_a_login_is_reached() {
    let gate = gate("");
    for target in ["/auth/login?rd=%2Fapp", "/auth/assets/style.css", "/auth/"] {
        for asker in ASKERS {
            assert_allowed(&gate.ask(about(target).with(NAVIGATION).by(asker)), "");
        }
    }
    // Every host has its own pages, if nothing else is said; then only those do.
    let elsewhere =
        Gate::start(&(config("[endpoints]\nhosts = [\"login.test\"]\n[cookies]\ndomain = \"test.example\"\n")));
    let answer = elsewhere.ask(about("/auth/login").with(NAVIGATION).by(Asker::Nginx));
    assert_refused(&answer, 403, "not_found");
    let there = Question {
        host: "login.test",
        ..about("/auth/login")
    };
    assert_allowed(&elsewhere.ask(there.by(Asker::Nginx)), "");
}

#[test]
fn one_login_for_all_hosts_of_a_domain() {
    let config = config(
        "[endpoints]\nhosts = [\"login.example.com\"]\n[cookies]\ndomain = \"example.com\"\n[forward_auth]\nallowed_redirect_hosts = [\"shop.example.com\"]\n",
    )
    .replace("\"app.test\"", "\"app.example.com\", \"*.example.com\"");
    let gate = Gate::start(&config);
    // Forward-auth answers on every host, whatever Host the question itself has.
    for (host, rd) in [
        ("app.example.com", Some("https://app.example.com/app")),
        ("APP.example.com.", Some("https://app.example.com/app")),
        ("app.example.com:8443", Some("https://app.example.com:8443/app")),
        ("shop.example.com", Some("https://shop.example.com/app")),
        ("other.example.com", None),
    ] {
        for asker in ASKERS {
            let question = Question { host, ..about("/app") }.with(NAVIGATION);
            let (login, found) = location(&gate.ask(question.by(asker)));
            let port = if host.ends_with("8443") { ":8443" } else { "" };
            assert_eq!(login, format!("https://login.example.com{port}/auth/login"));
            assert_eq!(found.as_deref(), rd);
            // The page itself takes what it was sent with.
            if let Some(rd) = rd {
                let target: String = url::form_urlencoded::byte_serialize(rd.as_bytes()).collect();
                let page = gate.ask(format!(
                    "GET /auth/login?rd={target} HTTP/1.1\r\nHost: login.example.com\r\nX-Forwarded-Proto: https\r\n\r\n"
                ));
                assert_eq!(page.status, 200, "{page:?}");
                assert!(page.text().contains(rd), "{}", page.text());
            }
        }
    }
}

#[test]
fn a_login_page_of_the_operators_own() {
    let config = config(
        "[cookies]\ndomain = \"example.com\"\n[forward_auth]\nlogin_url = \"https://sso.example.com/in?theme=dark\"\n",
    )
    .replace("\"app.test\"", "\"app.example.com\", \"sso.example.com\"");
    let config = config + &route("sso", "/in", "app", "hosts = [\"sso.example.com\"]");
    let gate = Gate::start(&config);
    for asker in ASKERS {
        let question = Question {
            host: "app.example.com",
            ..about("/app?x")
        }
        .with(NAVIGATION);
        let answer = gate.ask(question.by(asker));
        assert_eq!(
            answer.header("location"),
            Some("https://sso.example.com/in?theme=dark&rd=https%3A%2F%2Fapp.example.com%2Fapp%3Fx"),
        );
        // Where the page itself asks for a login, nobody is sent in circles.
        let question = Question {
            host: "sso.example.com",
            ..about("/in?theme=dark&rd=x")
        }
        .with(NAVIGATION);
        let answer = gate.ask(question.by(asker));
        assert_refused(&answer, 401, "credentials_required");
        assert_eq!(answer.header("location"), None);
    }
    let line = gate.process().wait_for_line(|line| line.contains("login_protected"));
    assert!(
        line.contains("forward_auth.login_url") && line.contains("public"),
        "{line}"
    );
}

#[test]
fn an_address_that_is_too_long_to_come_back_to_is_left_out() {
    let gate = gate("");
    let target = format!("/app/{}", "%41".repeat(640));
    for asker in ASKERS {
        let answer = gate.ask(about(&target).with(NAVIGATION).by(asker));
        assert_eq!(location(&answer), ("https://app.test/auth/login".to_owned(), None));
    }
}

#[test]
fn preflights_carry_no_credential_and_other_questions_of_scripts_may_be_read() {
    const ASKS: &str = "Origin: https://friend.example\r\nAccess-Control-Request-Method: POST\r\n";
    let gate = gate("[cors]\nallowed_origins = [\"https://friend.example\"]\n");
    let token = gate.bearer("alice", &["user"]);
    let with_token = format!("{ASKS}{token}");
    for asker in ASKERS {
        for target in ["/app", "/answered", "/admin"] {
            // It goes on without anybody's identity.
            let answer = gate.ask(about(target).method("OPTIONS").with(&with_token).by(asker));
            assert_allowed(&answer, "");
        }
        let closed = gate.ask(about("/closed").method("OPTIONS").with(ASKS).by(asker));
        assert_refused(&closed, 403, "access_denied");
        let inside = gate.ask(about("/inside").method("OPTIONS").with(ASKS).by(asker));
        assert_refused(&inside, 403, "network_not_allowed");
        // The route is that of the method it asks about.
        let status = if asker == Asker::Nginx || asker == Asker::Envoy {
            403
        } else {
            405
        };
        let read = gate.ask(about("/read").method("OPTIONS").with(ASKS).by(asker));
        assert_refused(&read, status, "method_not_allowed");
        // Any other OPTIONS is a request like all.
        assert_refused(
            &gate.ask(about("/app").method("OPTIONS").by(asker)),
            401,
            "credentials_required",
        );
        let answer = gate.ask(about("/app").with("Origin: https://friend.example\r\n").by(asker));
        assert_refused(&answer, 401, "credentials_required");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some("https://friend.example")
        );
        let answer = gate.ask(about("/app").with("Origin: https://evil.example\r\n").by(asker));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}
