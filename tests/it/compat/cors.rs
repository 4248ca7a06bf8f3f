//! Cross-origin answers as Flask-Cors gives them by default.

use http::Method;

use super::told::{COMPAT, flask_gateway};
use crate::accounts::world::{Gateway, Kind, World};
use crate::support::client::Response;
use crate::support::upstream::Upstream;

const ORIGIN: &str = "https://app.test";
const METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

fn preflight(gateway: &Gateway, path: &str, method: &str) -> Response {
    let request = gateway.client.request(Method::OPTIONS, path).header("origin", ORIGIN);
    request
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "content-type,authorization")
        .send()
}

fn allows_all(response: &Response) {
    assert_eq!(response.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(response.header("access-control-allow-methods"), Some(METHODS));
    assert_eq!(
        response.header("access-control-allow-headers"),
        Some("authorization, content-type")
    );
    assert!(response.headers.lists("vary", "Origin"));
    for name in ["access-control-max-age", "access-control-allow-credentials"] {
        assert!(!response.headers.has(name), "{response:?}");
    }
}

#[test]
fn every_answer_of_our_own_can_be_read_by_everybody() {
    let world = World::new(Kind::Sqlite);
    let gateway = flask_gateway(&world);
    for (method, path, status) in [
        (Method::GET, "/api/", 200),
        (Method::GET, "/api", 308),
        (Method::GET, "/api/protected", 401),
        (Method::POST, "/api/login", 400),
        (Method::PUT, "/api/login", 405),
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/app/x", 401),
        (Method::GET, "/a/../b", 400),
    ] {
        let request = || gateway.client.request(method.clone(), path);
        let plain = request().send();
        assert_eq!(plain.status, status, "{path}");
        assert_eq!(plain.header("access-control-allow-origin"), Some("*"));
        assert!(!plain.headers.has("vary"));
        for origin in [ORIGIN, "http://localhost:3000", "null"] {
            let named = request().header("origin", origin).send();
            assert_eq!(named.status, status, "{path}");
            assert_eq!(named.header("access-control-allow-origin"), Some(origin));
            assert_eq!(named.headers.all("vary"), ["Origin"]);
            let names = ["access-control-allow-credentials", "access-control-allow-methods"];
            assert!(names.iter().all(|name| !named.headers.has(name)), "{named:?}");
        }
    }
}

#[test]
fn a_preflight_is_answered_by_every_url_of_ours() {
    let world = World::new(Kind::Sqlite);
    let gateway = flask_gateway(&world);
    for (path, method, allow) in [
        ("/api/", "GET", "GET, HEAD, OPTIONS"),
        ("/api/login", "POST", "POST, OPTIONS"),
        ("/api/login", "DELETE", "POST, OPTIONS"),
        ("/api/protected", "GET", "GET, HEAD, OPTIONS"),
        ("/api/refresh", "POST", "POST, OPTIONS"),
        ("/api/keys", "POST", "GET, HEAD, POST, OPTIONS"),
        ("/api/sessions/7", "DELETE", "DELETE, OPTIONS"),
        ("/api/admin/users", "GET", "GET, HEAD, POST, PATCH, DELETE, OPTIONS"),
    ] {
        let response = preflight(&gateway, path, method);
        assert_eq!((response.status, response.body.len()), (200, 0), "{path}");
        assert_eq!(response.header("allow"), Some(allow), "{path}");
        allows_all(&response);
    }
    // A refused one says as much.
    for path in ["/nowhere", "/api/login/", "/api/nowhere"] {
        let response = preflight(&gateway, path, "GET");
        assert_eq!(response.status, 404);
        assert_eq!(response.json()["error"], "NotFound");
        allows_all(&response);
    }
}

#[test]
fn options_that_ask_for_nothing_are_answered_too() {
    let world = World::new(Kind::Sqlite);
    let gateway = flask_gateway(&world);
    for (path, allow) in [
        ("/api/", "GET, HEAD, OPTIONS"),
        ("/api/protected", "GET, HEAD, OPTIONS"),
        ("/api/login", "POST, OPTIONS"),
    ] {
        let response = gateway.client.request(Method::OPTIONS, path).send();
        assert_eq!((response.status, response.body.len()), (200, 0), "{path}");
        assert_eq!(response.header("allow"), Some(allow));
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert!(!response.headers.has("access-control-allow-methods"));
    }
    // Without compat there is no such thing.
    let gateway = world.gateway("");
    gateway.client.request(Method::OPTIONS, "/api/login").send().expect(405);
}

#[test]
fn routes_keep_what_they_say_of_preflights() {
    let world = World::new(Kind::Sqlite);
    let backend = Upstream::start();
    let gateway = world.gateway(&format!(
        "{COMPAT}
[[upstreams]]
name = 'app'
servers = ['{url}']
[[routes]]
name = 'pass'
path = '/pass'
upstream = 'app'
[[routes]]
name = 'answer'
path = '/answer'
upstream = 'app'
preflight = 'answer'
",
        url = backend.url()
    ));
    let passed = preflight(&gateway, "/pass", "PUT").expect(200);
    assert!(!passed.headers.has("access-control-allow-origin"), "the backend's own");
    let answered = preflight(&gateway, "/answer", "PUT");
    assert_eq!((answered.status, answered.body.len()), (200, 0));
    assert_eq!(answered.header("allow"), Some(METHODS));
    allows_all(&answered);
}

#[test]
fn what_is_configured_holds() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(&format!(
        "{COMPAT}[cors]\nallowed_origins = ['{ORIGIN}']\nmax_age = '5m'\n"
    ));
    let response = preflight(&gateway, "/api/login", "POST").expect(200);
    assert_eq!(response.header("access-control-allow-origin"), Some(ORIGIN));
    let request = gateway.client.request(Method::GET, "/api/");
    let response = request.header("origin", "https://evil.test").send();
    assert!(!response.headers.has("access-control-allow-origin"));
    let gateway = world.gateway(&format!("{COMPAT}[cors]\nmax_age = '5m'\n"));
    let response = preflight(&gateway, "/api/login", "POST").expect(200);
    assert_eq!(response.header("access-control-max-age"), Some("300"));
}
