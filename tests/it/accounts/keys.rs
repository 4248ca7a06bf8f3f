//! API keys: for machines, with roles no wider than their owner's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::answers::problem;
use super::world::{Gateway, Kind, World};
use crate::support::client::Response;

on_both!(
    a_key_is_shown_once_and_counts_as_bearer_and_basic,
    a_revoked_key_is_dead_on_the_other_replica,
    a_key_is_never_wider_than_its_owner,
    a_key_ends_when_it_says,
    nobody_sees_or_revokes_another_ones_keys,
);

/// A route where machines may come with Basic.
const BASIC: &str = r#"
[[routes]]
name = "git"
path = "/git"
credentials = ["basic"]
upstream = "app"
[[routes]]
name = "app"
path = "/app"
upstream = "app"
[[routes]]
name = "admin"
path = "/app/admin"
roles_any = ["admin"]
upstream = "app"
"#;

fn make(gateway: &Gateway, token: &str, wanted: &Value) -> Response {
    gateway
        .client
        .request(Method::POST, "/api/keys")
        .bearer(token)
        .json(wanted)
        .send()
}

fn made(gateway: &Gateway, token: &str, wanted: &Value) -> (String, String) {
    let made = make(gateway, token, wanted).expect(201).json();
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

fn basic(gateway: &Gateway, path: &str, user: &str, key: &str) -> Response {
    let value = format!("Basic {}", STANDARD.encode(format!("{user}:{key}")));
    let request = gateway.client.request(Method::GET, path);
    request.header("authorization", &value).send()
}

fn a_key_is_shown_once_and_counts_as_bearer_and_basic(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway(BASIC);
    let alice = gateway.register("alice");
    let answer = make(&gateway, &alice.access, &json!({ "name": "build server" })).expect(201);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let key = answer.json();
    let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["created_at", "expires_at", "id", "key", "name", "roles"]);
    assert_eq!(
        (&key["name"], &key["roles"], &key["expires_at"]),
        (&json!("build server"), &Value::Null, &Value::Null)
    );
    let (id, text) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    assert!(text.starts_with(&format!("dwk_{id}")));
    let list = gateway.get_as("/api/keys", &alice.access).expect(200);
    assert!(!list.text().contains(text) && !list.text().contains("hash"));
    assert_eq!(list.json()["keys"][0]["id"], id);
    // At rest there is a hash.
    let rows = world.sql("SELECT * FROM gateway_api_keys");
    assert!(rows.contains("build server") && !rows.contains(&text[16..]), "{rows}");

    let echo = gateway.get_as("/app/x", text).expect(200);
    assert_eq!(echo.echoed("x-user").as_deref(), Some("alice"));
    assert_eq!(echo.echoed("x-user-roles").as_deref(), Some("user"));
    assert_eq!(echo.echoed("authorization"), None);
    let echo = basic(&gateway, "/git/x", "whoever", text).expect(200);
    assert_eq!(echo.echoed("x-user").as_deref(), Some("alice"));
    assert_eq!(echo.echoed("authorization"), None);
    // Basic where the route does not say so, a bearer where it says only Basic.
    problem(&basic(&gateway, "/app/x", "alice", text), 401, "credentials_required");
    let challenged = gateway.get_as("/git/x", text);
    assert_eq!(challenged.status, 401);
    let challenges = challenged
        .headers
        .0
        .iter()
        .filter(|(name, _)| name == "www-authenticate");
    let challenges: Vec<_> = challenges.map(|(_, value)| value.split(' ').next().unwrap()).collect();
    assert_eq!(challenges, ["Bearer", "Basic"]);
    problem(
        &basic(&gateway, "/git/x", "alice", super::world::PASSWORD),
        401,
        "invalid_token",
    );
    problem(&gateway.get_as("/app/x", &format!("{text}x")), 401, "invalid_token");
    // A key is for applications: it makes no keys.
    problem(
        &make(&gateway, text, &json!({ "name": "more" })),
        403,
        "credential_not_allowed",
    );
    problem(&gateway.get_as("/api/sessions", text), 403, "credential_not_allowed");
    assert_eq!(gateway.me(text)["username"], "alice");
    gateway
        .process
        .wait_for_line(|line| line.contains("API key made") && line.contains("build server"));
}

fn a_revoked_key_is_dead_on_the_other_replica(kind: Kind) {
    let world = World::new(kind);
    let (gateway, other) = (world.gateway(""), world.gateway(""));
    let alice = gateway.register("alice");
    let (id, key) = made(&gateway, &alice.access, &json!({ "name": "ci" }));
    let (_, kept) = made(&gateway, &alice.access, &json!({ "name": "kept" }));
    for gateway in [&gateway, &other] {
        assert_eq!(gateway.status_as("/app/x", &key), 200);
    }
    let revoke = || {
        let request = gateway.client.request(Method::DELETE, &format!("/api/keys/{id}"));
        request.bearer(&alice.access).send()
    };
    assert_eq!(revoke().status, 204);
    assert_eq!(gateway.status_as("/app/x", &key), 401);
    other.soon_answers("/app/x", &key, 401);
    problem(&revoke(), 404, "not_found");
    assert_eq!(other.status_as("/app/x", &kept), 200);
    let listed = other.get_as("/api/keys", &alice.access).expect(200).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1);
    // The end of its owner is the end of the key.
    world.doorward(&["user", "deactivate", "alice"], "");
    other.soon_answers("/app/x", &kept, 401);
}

fn a_key_is_never_wider_than_its_owner(kind: Kind) {
    let world = World::new(kind);
    let (gateway, other) = (world.gateway(""), world.gateway(""));
    gateway.register("alice");
    world.doorward(&["user", "roles", "alice", "user,admin,doorward-admin"], "");
    let alice = gateway.login("alice");
    let (_, all) = made(&gateway, &alice.access, &json!({ "name": "all" }));
    let (_, one) = made(&gateway, &alice.access, &json!({ "name": "one", "roles": ["user"] }));
    let wanted = json!({ "name": "wide", "roles": ["user", "root"] });
    problem(&make(&gateway, &alice.access, &wanted), 422, "invalid_roles");
    let wanted = json!({ "name": "wide", "roles": ["doorward-admin"] });
    problem(&make(&gateway, &alice.access, &wanted), 422, "invalid_roles");
    let roles = |gateway: &Gateway, key: &str| gateway.get_as("/app/x", key).expect(200).echoed("x-user-roles");
    assert_eq!(roles(&other, &all).as_deref(), Some("user,admin"));
    assert_eq!(roles(&other, &one).as_deref(), Some("user"));
    assert_eq!(other.status_as("/app/admin", &all), 200);
    assert_eq!(other.status_as("/app/admin", &one), 403);
    // The gateway's own role is no machine's.
    for path in ["/app/gateway", "/api/admin/users"] {
        assert_eq!(other.status_as(path, &alice.access), 200);
        assert_eq!(other.status_as(path, &all), 403);
    }
    world.doorward(&["user", "roles", "alice", "user"], "");
    other.soon_answers("/app/admin", &all, 403);
    assert_eq!(roles(&other, &all).as_deref(), Some("user"));
    world.doorward(&["user", "roles", "alice", "admin"], "");
    other.soon_answers("/app/admin", &all, 200);
    super::world::soon("the narrow key has no role left", || {
        roles(&other, &one).unwrap_or_default().is_empty()
    });
    assert_eq!(other.status_as("/app/admin", &one), 403);
}

fn a_key_ends_when_it_says(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let alice = gateway.register("alice");
    let (_, key) = made(&gateway, &alice.access, &json!({ "name": "ci", "expires_in": 1 }));
    let (_, long) = made(&gateway, &alice.access, &json!({ "name": "ci", "expires_in": 3600 }));
    super::world::soon("the end of the key", || gateway.status_as("/app/x", &key) == 401);
    assert_eq!(gateway.status_as("/app/x", &long), 200);
}

fn nobody_sees_or_revokes_another_ones_keys(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let (alice, bob) = (gateway.register("alice"), gateway.register("bob"));
    let (id, key) = made(&gateway, &alice.access, &json!({ "name": "ci" }));
    let listed = gateway.get_as("/api/keys", &bob.access).expect(200).json();
    assert_eq!(listed, json!({ "keys": [] }));
    for id in [&id, "unknown", "%00", "a%2Fb"] {
        let request = gateway.client.request(Method::DELETE, &format!("/api/keys/{id}"));
        let status = request.bearer(&bob.access).send().status;
        assert!(status == 404 || (status == 400 && id.contains('%')), "{id}: {status}");
    }
    assert_eq!(gateway.status_as("/app/x", &key), 200);
}
