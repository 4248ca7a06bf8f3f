//! `[[policy_tests]]`: on check, at start, at reload.

use super::Place;
use crate::path::gate::{Gate, route, upstream};
use crate::support::upstream::Upstream;

fn test(request: &str, who: &str, expect: &str) -> String {
    format!("[[policy_tests]]\nrequest = {request:?}\n{who}\nexpect = {expect:?}\n")
}

fn house(url: &str) -> String {
    [
        upstream("app", url, ""),
        route("app", "/app", "app", "roles_any = [\"user\"]"),
        route(
            "inside",
            "/inside",
            "app",
            "access = \"public\"\nnetworks = [\"10.0.0.0/8\"]",
        ),
        route("read", "/read", "app", "access = \"public\"\nmethods = [\"GET\"]"),
        route("closed", "/closed", "app", "access = \"deny\""),
        route("shop", "/shop", "app", "hosts = [\"shop.test\"]\naccess = \"public\""),
        route("trial", "/trial", "app", "shadow = true"),
    ]
    .concat()
}

const ANYBODY: &str = "anonymous = true";

#[test]
fn every_word_says_what_comes_of_a_request() {
    let tests: Vec<String> = [
        ("GET /app", "roles = [\"user\"]", "allow"),
        ("GET https://any.test/app/x", ANYBODY, "challenge"),
        ("GET /app", "roles = []", "forbid"),
        ("GET /inside", ANYBODY, "forbid"),
        ("GET /inside", "anonymous = true\nclient = \"10.1.2.3\"", "allow"),
        ("GET /inside", "anonymous = true\nclient = \"192.0.2.1\"", "forbid"),
        ("HEAD /read", ANYBODY, "allow"),
        ("PUT /read", ANYBODY, "forbid"),
        ("GET /closed", "roles = [\"user\"]", "forbid"),
        ("GET /shop", ANYBODY, "not_found"),
        ("GET https://shop.test/shop", ANYBODY, "allow"),
        ("GET http://SHOP.test:8080/shop", ANYBODY, "allow"),
        ("GET /App", "roles = [\"user\"]", "not_found"),
        ("GET /app/..%2fclosed", "roles = [\"user\"]", "forbid"),
        ("GET /trial", ANYBODY, "allow"),
        ("GET /api/me", ANYBODY, "challenge"),
        ("POST /api/login", ANYBODY, "allow"),
        ("GET /auth/nginx", ANYBODY, "forbid"),
        ("GET /auth/%6eginx", ANYBODY, "forbid"),
        ("GET /api/admin/users", "roles = [\"user\"]", "forbid"),
    ]
    .iter()
    .map(|(request, who, expect)| test(request, who, expect))
    .collect();
    let place = Place::with(&(house("http://127.0.0.1:9") + &tests.concat()));
    let ended = place.run(&["check"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.out.contains("policy tests: 20 passed\n"), "{ended:?}");
    assert!(
        ended
            .err
            .contains("routes[5].shadow: found true: this route is not enforced"),
        "{ended:?}"
    );
}

#[test]
fn a_test_that_does_not_hold_is_told_with_its_place_and_the_trace() {
    let place = Place::with(&format!(
        "{}{}{}",
        upstream("app", "http://127.0.0.1:9", ""),
        route("app", "/app", "app", "roles_any = [\"user\", \"ops\"]"),
        test("GET https://any.test/app", "roles = [\"guest\"]", "allow") + &test("GET /nowhere", ANYBODY, "challenge"),
    ));
    for command in ["check", "serve"] {
        let ended = place.run(&[command]);
        assert_eq!(ended.status, 2, "{ended:?}");
        for part in [
            "error: doorward.toml:10: policy_tests[0] does not hold: GET https://any.test/app (roles guest) is expected to be \"allow\" and is \"forbid\"\n",
            "policy_tests[1] does not hold: GET /nowhere (anonymous) is expected to be \"challenge\" and is \"not_found\"\n",
            "falls to route app (/app on any host)",
            "no   roles_any: one of the roles [user, ops]",
            "lacks ops",
            "hint: ",
        ] {
            assert!(ended.err.contains(part), "{command}: {part:?} is not in {}", ended.err);
        }
    }
}

#[test]
fn a_test_that_does_not_hold_moves_no_cursor() {
    let request = "[[policy_tests]]\nrequest = \"GET https://a.test/x\\u001b[2J\\nerror: none\"\nanonymous = true\nexpect = \"allow\"\n";
    let place = Place::with(request);
    let ended = place.run(&["check"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.err.contains("policy_tests[0]"), "{ended:?}");
    assert!(
        !ended.err.contains('\u{1b}') && !ended.err.contains("\nerror: none"),
        "{ended:?}"
    );
}

#[test]
fn malformed_tests_are_errors_with_their_place() {
    for (text, key) in [
        (
            "request = \"GET\"\nanonymous = true\nexpect = \"allow\"",
            "2:11: policy_tests[0].request",
        ),
        (
            "request = \"get /\"\nanonymous = true\nexpect = \"allow\"",
            "2:11: policy_tests[0].request",
        ),
        (
            "request = \"GET ftp://x/\"\nanonymous = true\nexpect = \"allow\"",
            "2:11: policy_tests[0].request",
        ),
        (
            "request = \"GET https://a b/\"\nanonymous = true\nexpect = \"allow\"",
            "2:11: policy_tests[0].request",
        ),
        ("anonymous = true\nexpect = \"allow\"", "policy_tests[0].request"),
        ("request = \"GET /\"\nexpect = \"allow\"", "policy_tests[0]"),
        (
            "request = \"GET /\"\nroles = [\"a\"]\nanonymous = true\nexpect = \"allow\"",
            "4:13: policy_tests[0].anonymous",
        ),
        (
            "request = \"GET /\"\nroles = [\"a,b\"]\nexpect = \"allow\"",
            "policy_tests[0].roles[0]",
        ),
        (
            "request = \"GET /\"\nanonymous = true\nclient = \"here\"\nexpect = \"allow\"",
            "4:10: policy_tests[0].client",
        ),
        (
            "request = \"GET /\"\nanonymous = true\nexpect = \"alow\"",
            "4:10: policy_tests[0].expect",
        ),
        ("request = \"GET /\"\nanonymous = true", "policy_tests[0].expect"),
    ] {
        let place = Place::with(&format!("[[policy_tests]]\n{text}\n"));
        let ended = place.run(&["check"]);
        assert_eq!(ended.status, 2, "{text}: {ended:?}");
        assert!(ended.err.contains(key), "{text}: {key} is not in {}", ended.err);
    }
}

#[test]
fn a_reload_whose_tests_fail_is_refused_and_the_old_routes_stay() {
    let backend = Upstream::start();
    let tests = test("GET /app", "roles = [\"user\"]", "allow") + &test("GET /app", ANYBODY, "challenge");
    let gate = Gate::start(&(house(&backend.url()) + &tests));
    assert_eq!(gate.get("/app", "").status, 401);
    let open = house(&backend.url()).replace("roles_any = [\"user\"]", "access = \"public\"");
    gate.write_config(&(open.clone() + &tests));
    assert!(!gate.reload());
    assert_eq!(gate.get("/app", "").status, 401, "the old one stays");
    assert_eq!(gate.metric(r#"doorward_config_reloads_total{result="refused"}"#), 1.0);
    gate.write_config(&open);
    assert!(gate.reload());
    assert_eq!(gate.get("/app", "").status, 200);
}
