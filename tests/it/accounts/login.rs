//! `POST /api/login`.

use http::Method;
use serde_json::{Value, json};

use super::answers::{Tokens, problem};
use super::world::{Gateway, Kind, PASSWORD, World};
use crate::support::client::Response;
use crate::support::gateway::Metrics;
use crate::support::issuer::{claims_of, unix_time};

on_both!(
    a_login_gives_tokens_that_say_who_one_is,
    unknown_names_and_wrong_passwords_get_the_same_answer,
    every_refusal_costs_one_hash,
    a_deactivated_account_says_so_only_to_its_owner,
    a_body_counts_by_what_it_holds,
    names_and_passwords_are_compared_exactly,
);

fn a_login_gives_tokens_that_say_who_one_is(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    gateway.register("alice");
    let before = unix_time();
    let response = gateway.login_with("alice", PASSWORD);
    let tokens = Tokens::of(&response);
    let body = response.json();
    assert_eq!(body["expires_in"], 900);
    assert_eq!(body["refresh_expires_in"], 7 * 86_400);
    let id = world.sql("SELECT id FROM users WHERE username = 'alice'");
    let claims = claims_of(&tokens.access);
    assert_eq!(claims["iss"], "https://gateway.test");
    assert_eq!(claims["aud"], "https://gateway.test");
    assert_eq!(claims["sub"], id);
    assert_eq!(claims["username"], "alice");
    assert_eq!(claims["roles"], json!(["user"]));
    let issued = claims["iat"].as_u64().unwrap();
    assert!((before..=unix_time()).contains(&issued));
    assert_eq!(claims["exp"], issued + 900);
    assert!(claims["jti"].is_string() && claims["sid"].is_string());
    // RFC 9068 section 2.1.
    assert_eq!(header_of(&tokens.access)["typ"], "at+jwt");
    assert_eq!(header_of(&tokens.access)["alg"], "EdDSA");
    // What the token gives at a backend.
    let echo = gateway.get_as("/app/x", &tokens.access).expect(200);
    assert_eq!(echo.echoed("x-user").as_deref(), Some("alice"));
    assert_eq!(echo.echoed("x-user-id"), Some(id));
    assert_eq!(echo.echoed("x-user-roles").as_deref(), Some("user"));
    assert_eq!(echo.echoed("authorization"), None);
    // Each login is a session of its own.
    let other = claims_of(&gateway.login("alice").access);
    assert_ne!(other["sid"], claims["sid"]);
    assert_ne!(other["jti"], claims["jti"]);
}

fn unknown_names_and_wrong_passwords_get_the_same_answer(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    gateway.register("alice");
    let wrong = gateway.login_with("alice", "not her password");
    let document = problem(&wrong, 401, "invalid_credentials");
    assert_eq!(document["detail"], "The username and/or password are incorrect.");
    // RFC 6750 section 3.1: no error code where no token was sent.
    assert_eq!(wrong.header("www-authenticate"), Some("Bearer realm=\"doorward\""));
    for (name, password) in [
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("a\0b", PASSWORD),
        ("alice' OR '1'='1", PASSWORD),
        ("alice", ""),
        ("alice", &"long ".repeat(800)),
        (&"n".repeat(10_000), PASSWORD),
    ] {
        let other = gateway.login_with(name, password);
        assert_eq!(alike(&other), alike(&wrong), "{name:.40?} {password:.40?}");
    }
    // More than any password may have is no password, whoever is asked for.
    let too_long = gateway.login_with("alice", &"x".repeat(4_097));
    problem(&too_long, 400, "invalid_request");
    assert_eq!(
        alike(&too_long),
        alike(&gateway.login_with("nobody", &"x".repeat(4_097)))
    );
}

/// What the time of an answer would tell apart, told by the number of hashes.
fn every_refusal_costs_one_hash(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    for name in ["alice", "off", "empty", "foreign"] {
        gateway.register(name);
    }
    world.sql("UPDATE users SET is_active = FALSE WHERE username = 'off'");
    world.sql("UPDATE users SET password = NULL WHERE username = 'empty'");
    world.sql("UPDATE users SET password = '$md5$of$another$server' WHERE username = 'foreign'");
    for (name, password) in [
        ("alice", PASSWORD),
        ("alice", "not the password"),
        ("off", PASSWORD),
        ("off", "not the password"),
        ("empty", PASSWORD),
        ("foreign", PASSWORD),
        ("nobody", PASSWORD),
        ("", ""),
        ("no\0body", PASSWORD),
    ] {
        let before = hashes(&gateway);
        gateway.login_with(name, password);
        assert_eq!(hashes(&gateway), before + 1.0, "{name:?} {password:?}");
    }
}

fn a_deactivated_account_says_so_only_to_its_owner(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    gateway.register("off");
    gateway.register("never-set");
    world.sql("UPDATE users SET is_active = FALSE WHERE username = 'off'");
    world.sql("UPDATE users SET is_active = NULL WHERE username = 'never-set'");
    for name in ["off", "never-set"] {
        let right = gateway.login_with(name, PASSWORD);
        problem(&right, 403, "account_inactive");
        let wrong = gateway.login_with(name, "not the password");
        problem(&wrong, 401, "invalid_credentials");
        assert_eq!(alike(&wrong), alike(&gateway.login_with("nobody", "not the password")));
    }
    assert_eq!(
        world.count("SELECT count(*) FROM gateway_sessions WHERE revoked_at IS NULL"),
        0
    );
    world.sql("UPDATE users SET is_active = TRUE");
    gateway.login("off");
}

fn a_body_counts_by_what_it_holds(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    gateway.register("alice");
    let good = json!({ "username": "alice", "password": PASSWORD, "remember": true }).to_string();
    for content_type in [
        "application/json",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "nonsense",
    ] {
        let request = gateway
            .client
            .request(Method::POST, "/api/login")
            .header("content-type", content_type);
        Tokens::of(&request.body(good.clone()).send());
    }
    Tokens::of(&post(&gateway, "/api/login", good.as_bytes()));
    Tokens::of(&post(&gateway, "/api/login", format!("\u{feff}{good}").as_bytes()));
    Tokens::of(&post(&gateway, "/api/login", format!(" \r\n{good}\n").as_bytes()));
    let bad: [&[u8]; 15] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\"alice\"",
        b"username=alice&password=x",
        b"{\"username\":\"alice\"}",
        b"{\"password\":\"x\"}",
        b"{\"username\":1,\"password\":\"x\"}",
        b"{\"username\":\"alice\",\"password\":null}",
        b"{\"username\":[\"alice\"],\"password\":{}}",
        b"{\"username\":\"alice\",\"username\":\"root\",\"password\":\"x\"}",
        b"{\"username\":\"alice\",\"password\":\"x\"} {}",
        b"{\"username\":\"\xff\",\"password\":\"x\"}",
        b"{\"username\":\"\\ud800\",\"password\":\"x\"}",
    ];
    for path in ["/api/login", "/api/registration"] {
        for body in bad {
            problem(&post(&gateway, path, body), 400, "invalid_request");
        }
        let large = json!({ "username": "alice", "password": "x".repeat(70_000) }).to_string();
        problem(&post(&gateway, path, large.as_bytes()), 413, "body_too_large");
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        problem(&post(&gateway, path, deep.as_bytes()), 400, "invalid_request");
    }
    for body in [
        &b""[..],
        b"[]",
        b"{}",
        b"{\"refresh_token\":1}",
        b"{\"refresh_token\":\"a\",\"refresh_token\":\"b\"}",
    ] {
        problem(&post(&gateway, "/api/refresh", body), 400, "invalid_request");
    }
    let response = gateway.client.get("/api/login");
    problem(&response, 405, "method_not_allowed");
    assert_eq!(response.header("allow"), Some("POST"));
}

fn names_and_passwords_are_compared_exactly(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    // Longer than bcrypt's 72 bytes, with what others trim or fold.
    let password = format!(" Ünïcode \u{e9}\u{301} {}\t", "and more of it ".repeat(10));
    Tokens::of(&gateway.register_with("Zoë", &password));
    Tokens::of(&gateway.login_with("Zoë", &password));
    let shortened = &password[..password.len() - 1];
    for (name, password) in [
        ("zoë", password.as_str()),
        ("Zoe\u{308}", &password),
        ("Zoë ", &password),
        ("Zoë", shortened),
        ("Zoë", password.trim()),
        ("Zoë", &password.to_lowercase()),
        ("Zoë", &format!("{password}\0")),
    ] {
        problem(&gateway.login_with(name, password), 401, "invalid_credentials");
    }
}

/// How many passwords were hashed so far.
fn hashes(gateway: &Gateway) -> f64 {
    let page = gateway.admin.get("/metrics").expect(200).text();
    Metrics::parse(&page).sum("doorward_password_hash_duration_seconds_count", &[])
}

/// What a client could tell answers apart by.
fn alike(response: &Response) -> (u16, Vec<(String, String)>, Value) {
    let mut headers = response.headers.0.clone();
    headers.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
    (response.status, headers, response.json())
}

fn post(gateway: &Gateway, path: &str, body: &[u8]) -> Response {
    gateway.client.request(Method::POST, path).body(body).send()
}

fn header_of(token: &str) -> Value {
    // The helper reads the second part of what it is given.
    claims_of(&format!(".{token}"))
}
