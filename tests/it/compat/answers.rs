//! What the endpoints answer, and every refusal.

use http::Method;
use serde_json::json;

use super::told::{COMPAT, INCORRECT, REVOKED, error, error_of, flask_gateway, flask_world, token_of};
use crate::accounts::answers::retry_after;
use crate::accounts::world::{Kind, PASSWORD, World};
use crate::support::raw::RawClient;

on_both!(
    a_login_answers_a_token_and_nothing_else,
    a_login_that_fails_says_what_that_server_said,
    input_that_nobody_can_use_is_no_fault_of_ours,
    a_stranger_and_a_wrong_password_are_one_answer,
    a_lost_role_and_a_lost_login_are_told_in_the_librarys_words,
    roles_that_no_token_can_hold_open_nothing,
);

fn a_login_answers_a_token_and_nothing_else(kind: Kind) {
    let world = flask_world(kind);
    let gateway = flask_gateway(&world);
    let good = json!({ "username": "alice", "password": PASSWORD }).to_string();
    for (content_type, body) in [
        ("application/json", good.clone()),
        ("text/plain;charset=UTF-8", good.clone()),
        ("application/x-www-form-urlencoded", good.clone()),
        ("nonsense", good.clone()),
        ("application/json; charset=latin-1", format!("\u{feff}{good}\r\n")),
        (
            "text/plain",
            format!(r#"{{"username":"bob","password":1,"x":[1],"username":"alice","password":"{PASSWORD}"}}"#),
        ),
    ] {
        let request = gateway.client.request(Method::POST, "/api/login");
        let response = request.header("content-type", content_type).body(body).send();
        let token = token_of(&response);
        let answer = gateway.get_as("/api/protected", &token).expect(200);
        assert_eq!(
            answer.json(),
            json!({ "message": "protected endpoint (allowed usr alice)" })
        );
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
}

fn a_login_that_fails_says_what_that_server_said(kind: Kind) {
    let world = flask_world(kind);
    let gateway = flask_gateway(&world);
    let login = |body: serde_json::Value| gateway.client.post_json("/api/login", &body);
    for body in [
        json!({ "username": "alice", "password": "wrong" }),
        json!({ "username": "alice", "password": "" }),
        json!({ "username": "nobody", "password": PASSWORD }),
        json!({ "username": "Alice", "password": PASSWORD }),
        json!({ "username": " alice", "password": PASSWORD }),
        json!({ "password": PASSWORD }),
        json!({ "username": null, "password": PASSWORD }),
        json!({ "username": "nobody" }),
        json!({ "username": "off", "password": "wrong" }),
        json!({}),
        // That server fails here; these credentials open nothing.
        json!({ "username": "alice" }),
        json!({ "username": "alice", "password": null }),
        json!({ "username": "alice", "password": 7 }),
        json!({ "username": "nobody", "password": [PASSWORD] }),
        json!({ "username": "plain", "password": PASSWORD }),
        json!({ "username": "twin", "password": PASSWORD }),
    ] {
        error(&login(body), 401, "AuthenticationError", INCORRECT);
    }
    let line = gateway
        .process
        .wait_for_line(|line| line.contains("two users have one name"));
    let ids = world.sql("SELECT id FROM users WHERE username = 'twin' ORDER BY id");
    for id in ids.lines() {
        assert!(line.contains(id), "{line}: {ids}");
    }
    for name in ["off", "never-set"] {
        let response = login(json!({ "username": name, "password": PASSWORD }));
        error(&response, 403, "InvalidUserError", REVOKED);
    }
    // The row of the empty name is somebody's.
    token_of(&login(json!({ "username": "", "password": PASSWORD })));
}

fn input_that_nobody_can_use_is_no_fault_of_ours(kind: Kind) {
    let world = flask_world(kind);
    let gateway = flask_gateway(&world);
    let long = "x".repeat(4097);
    for path in ["/api/login", "/api/registration"] {
        let post = |body: &[u8]| gateway.client.request(Method::POST, path).body(body).send();
        for body in [
            &b""[..],
            b" ",
            b"username=alice&password=x",
            b"{",
            b"{\"username\":\"\xff\",\"password\":\"x\"}",
            b"{\"username\":\"a\"} x",
        ] {
            let document = error_of(&post(body), 400, "BadRequest");
            let text = document["message"].as_str().unwrap();
            assert!(text.starts_with("Failed to decode JSON object: "), "{text}");
        }
        for body in [
            "[]".to_owned(),
            "null".to_owned(),
            "\"x\"".to_owned(),
            "7".to_owned(),
            json!({ "username": 7, "password": "x" }).to_string(),
            json!({ "username": ["alice"], "password": "x" }).to_string(),
            json!({ "username": "ali\0ce", "password": "x" }).to_string(),
            json!({ "username": "alice", "password": long }).to_string(),
            json!({ "username": "nobody", "password": long }).to_string(),
        ] {
            error_of(&post(body.as_bytes()), 400, "BadRequest");
        }
        error_of(&post(&vec![b' '; 70_000]), 413, "RequestEntityTooLarge");
    }
}

fn a_stranger_and_a_wrong_password_are_one_answer(kind: Kind) {
    let world = flask_world(kind);
    let gateway = world.gateway(&format!("{COMPAT}[throttle]\nlogin_failures = 3\n"));
    let fail = |name: &str| gateway.login_with(name, "wrong");
    for _ in 0..3 {
        let (known, unknown) = (fail("alice"), fail("nobody"));
        error(&known, 401, "AuthenticationError", INCORRECT);
        assert_eq!(known.body, unknown.body);
        assert_eq!(known.headers.names(), unknown.headers.names());
    }
    for name in ["alice", "nobody"] {
        let response = fail(name);
        error_of(&response, 429, "TooManyRequests");
        retry_after(&response);
    }
    // A registration under the name of somebody is a login, and counts as one.
    error_of(&gateway.register_with("alice", PASSWORD), 429, "TooManyRequests");
}

fn a_lost_role_and_a_lost_login_are_told_in_the_librarys_words(kind: Kind) {
    let world = flask_world(kind);
    let gateway = world.gateway(&format!(
        "{COMPAT}
[[routes]]
name = 'all'
path = '/all'
roles_all = ['ops', 'admin']
upstream = 'app'
[[routes]]
name = 'any'
path = '/any'
roles_any = ['ops', 'admin']
upstream = 'app'
[[routes]]
name = 'app'
path = '/app'
upstream = 'app'
"
    ));
    let token = token_of(&gateway.login_with("alice", PASSWORD));
    for (path, text) in [
        (
            "/all/x",
            "This endpoint requires all the following roles: ['ops, admin']",
        ),
        (
            "/any/x",
            "This endpoint requires one of the following roles: ['ops, admin']",
        ),
        (
            "/api/admin/users",
            "This endpoint requires all the following roles: ['doorward-admin']",
        ),
    ] {
        error(&gateway.get_as(path, &token), 403, "MissingRoleError", text);
    }
    gateway.get_as("/app/x", &token).expect(200);
    world.doorward(&["user", "deactivate", "alice"], "");
    gateway.soon_answers("/app/x", &token, 401);
    error(&gateway.get_as("/app/x", &token), 401, "InvalidUserError", REVOKED);
    error(
        &gateway.get_as("/api/protected", &token),
        401,
        "InvalidUserError",
        REVOKED,
    );
}

#[test]
fn where_nothing_is_and_where_nobody_may_go() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(&format!(
        "{COMPAT}
[[upstreams]]
name = 'gone'
servers = ['http://127.0.0.1:1']
[[routes]]
name = 'gone'
path = '/gone'
access = 'public'
upstream = 'gone'
[[routes]]
name = 'closed'
path = '/closed'
access = 'deny'
[[routes]]
name = 'near'
path = '/near'
access = 'public'
networks = ['10.0.0.0/8']
upstream = 'gone'
[[routes]]
name = 'few'
path = '/few'
access = 'public'
rate_limit = {{ requests = 1, per = '1h', by = 'client' }}
max_body = '1KiB'
upstream = 'gone'
"
    ));
    let get = |path: &str| gateway.client.get(path);
    let missing = "JWT token not found in headers under 'Authorization'";
    error(&get("/api/protected"), 401, "MissingToken", missing);
    error(&get("/api/me"), 401, "MissingToken", missing);
    for path in ["/nowhere", "/api/nowhere", "/api/login/", "/api/protected/"] {
        error_of(&get(path), 404, "NotFound");
    }
    // No mail is sent here, whatever is asked of it.
    let client = &gateway.client;
    for body in ["{}", "x", r#"{"email":"a@b.example","password":"x"}"#] {
        for path in ["/api/reset", "/api/reset_finalize"] {
            error_of(&client.request(Method::POST, path).body(body).send(), 404, "NotFound");
        }
    }
    error_of(&get("/api/finalize"), 404, "NotFound");
    error_of(&get("/closed"), 403, "Forbidden");
    error_of(&get("/near"), 403, "NetworkNotAllowed");
    error_of(&get("/gone"), 502, "BadGateway");
    error_of(&get("/a/../b"), 400, "BadRequest");
    get("/few");
    retry_after(&get("/few"));
    error_of(&get("/few"), 429, "TooManyRequests");
    for (method, path, allow) in [
        (Method::POST, "/api/", "GET, HEAD, OPTIONS"),
        (Method::DELETE, "/api", "GET, HEAD, OPTIONS"),
        (Method::GET, "/api/login", "POST, OPTIONS"),
        (Method::PUT, "/api/login", "POST, OPTIONS"),
        (Method::GET, "/api/refresh", "POST, OPTIONS"),
        (Method::PUT, "/api/registration", "POST, OPTIONS"),
        (Method::POST, "/api/protected", "GET, HEAD, OPTIONS"),
    ] {
        let response = gateway.client.request(method.clone(), path).send();
        error_of(&response, 405, "MethodNotAllowed");
        assert_eq!(response.header("allow"), Some(allow), "{method} {path}");
    }
}

#[test]
fn a_message_that_breaks_the_rules_is_refused_in_the_same_form() {
    let world = World::new(Kind::Sqlite);
    let gateway = flask_gateway(&world);
    for (request, status, class) in [
        ("GET / HTTP/1.1\r\n\r\n", 400, "BadRequest"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "BadRequest"),
        (
            "POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "BadRequest",
        ),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, "MethodNotAllowed"),
    ] {
        let response = RawClient::connect(gateway.address).send(request).response();
        assert_eq!(response.status, status, "{request}: {}", response.text());
        assert_eq!(response.header("content-type"), Some("application/json"), "{request}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"), "{request}");
        assert_eq!(response.json()["error"], class);
        assert_eq!(response.json()["status_code"], status);
    }
}

#[test]
fn the_servers_own_page_and_the_way_to_it() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway(&format!("trusted_proxies = ['127.0.0.1']\n{COMPAT}"));
    let answer = gateway.client.get("/api/").expect(200);
    assert_eq!(answer.json(), json!({ "JWT Server Application": "Running!" }));
    let ask = |host: &str, proto: &str, path: &str| {
        let request = gateway.client.request(Method::GET, path).host(host);
        let response = request.header("x-forwarded-proto", proto).send().expect(308);
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        response.header("location").unwrap().to_owned()
    };
    assert_eq!(ask("app.test:8080", "http", "/api"), "http://app.test:8080/api/");
    assert_eq!(ask("app.test", "https", "/api?a=b"), "https://app.test/api/?a=b");
    assert_eq!(ask("[::1]:80", "http", "/api"), "http://[::1]:80/api/");
}

#[test]
fn a_browser_still_finds_the_pages() {
    let world = World::new(Kind::Sqlite);
    let gateway = flask_gateway(&world);
    let request = gateway.client.request(Method::GET, "/app/x");
    let response = request.header("accept", "text/html").send();
    assert_eq!(response.status, 302);
    assert!(response.header("location").unwrap().contains("/auth/login?rd="));
    // Where no route claims it; a program is told that there is nothing, as by that server.
    let request = gateway.client.request(Method::GET, "/");
    let response = request.header("accept", "text/html").send().expect(302);
    assert_eq!(response.header("location"), Some("/auth/"));
    for (name, value) in [
        ("accept", "*/*"),
        ("accept", "application/json"),
        ("sec-fetch-mode", "cors"),
    ] {
        let response = gateway.client.request(Method::GET, "/").header(name, value).send();
        error_of(&response, 404, "NotFound");
    }
    let page = gateway.client.get("/auth/login");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
}

fn roles_that_no_token_can_hold_open_nothing(kind: Kind) {
    let world = flask_world(kind);
    let gateway = flask_gateway(&world);
    let old = token_of(&gateway.login_with("alice", PASSWORD));
    let roles = ["abcdefghi"; 1_000].join(",");
    world.sql(&format!("UPDATE users SET roles = '{roles}' WHERE username = 'alice'"));
    let refused = gateway.login_with("alice", PASSWORD);
    error_of(&refused, 403, "IdentityNotRepresentable");
    let line = gateway.process.wait_for_line(|line| line.contains("tokens.max_length"));
    let id = world.sql("SELECT id FROM users WHERE username = 'alice'");
    assert!(
        line.contains(&format!("user.id={id}")) || line.contains(&format!("user.id: {id}")),
        "{line}"
    );
    error(
        &gateway.login_with("alice", "wrong"),
        401,
        "AuthenticationError",
        INCORRECT,
    );
    // A token that there is already is as good as it was.
    gateway.get_as("/api/protected", &old).expect(200);
    world.sql("UPDATE users SET roles = 'user' WHERE username = 'alice'");
    token_of(&gateway.login_with("alice", PASSWORD));
}
