//! The admin API: accounts, sessions and keys of others, for those who were given the role by command.

use http::Method;
use serde_json::{Value, json};

use super::answers::{Tokens, problem};
use super::world::{Gateway, Kind, PASSWORD, World, soon};
use crate::support::client::Response;
use crate::support::issuer::claims_of;

on_both!(
    only_administrators_come_in_and_only_from_their_networks,
    accounts_are_made_listed_changed_and_deleted,
    the_role_of_administrators_is_not_to_be_had_here,
    what_an_administrator_does_acts_on_the_other_replica,
    sessions_and_keys_of_others,
);

fn ask(gateway: &Gateway, method: Method, path: &str, token: &str, body: &Value) -> Response {
    let request = gateway.client.request(method, &format!("/api/admin{path}"));
    match body {
        Value::Null => request.bearer(token).send(),
        body => request.bearer(token).json(body).send(),
    }
}

fn root(world: &World<'_>, gateway: &Gateway) -> Tokens {
    world.doorward(
        &[
            "user",
            "add",
            "root",
            "--roles",
            "user,doorward-admin",
            "--password-stdin",
        ],
        PASSWORD,
    );
    gateway.login("root")
}

fn id(world: &World<'_>, name: &str) -> i64 {
    let id = world.sql(&format!("SELECT id FROM users WHERE username = '{name}'"));
    id.parse().unwrap()
}

fn only_administrators_come_in_and_only_from_their_networks(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let root = root(&world, &gateway);
    let alice = gateway.register("alice");
    // The application's admin is not the gateway's.
    world.sql("UPDATE users SET roles = 'admin,doorward-admin' WHERE username = 'alice'");
    gateway.soon_answers("/app/admin", &alice.access, 200);
    for path in ["/users", "/sessions", "/users/1", "/nothing"] {
        let answer = ask(&gateway, Method::GET, path, &alice.access, &Value::Null);
        problem(&answer, 403, "insufficient_scope");
        let answer = gateway.client.get(&format!("/api/admin{path}"));
        problem(&answer, 401, "credentials_required");
    }
    ask(&gateway, Method::GET, "/users", &root.access, &Value::Null).expect(200);
    let elsewhere = world.gateway("[admin]\nnetworks = [\"192.0.2.0/24\"]\n");
    let answer = ask(&elsewhere, Method::GET, "/users", &root.access, &Value::Null);
    problem(&answer, 403, "network_not_allowed");
}

fn accounts_are_made_listed_changed_and_deleted(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let root = root(&world, &gateway);
    let ask = |method, path: &str, body: Value| ask(&gateway, method, path, &root.access, &body);
    let alice = json!({
        "username": "alice", "password": PASSWORD, "roles": ["user", "ops"], "email": "alice@example.com",
        // What nobody asked for is nothing.
        "id": 1, "grants": ["doorward-admin"], "is_admin": true, "email_verified": false
    });
    let made = ask(Method::POST, "/users", alice.clone()).expect(201);
    let id = id(&world, "alice");
    assert_eq!(made.header("location"), Some(format!("/api/admin/users/{id}").as_str()));
    let shown = json!({
        "id": id, "username": "alice", "roles": ["user", "ops"], "grants": [], "active": true,
        "email": "alice@example.com", "email_verified": true
    });
    assert_eq!(made.json(), shown);
    problem(&ask(Method::POST, "/users", alice), 409, "user_exists");
    let weak = json!({ "username": "bob", "password": "password" });
    problem(&ask(Method::POST, "/users", weak), 422, "weak_password");
    let bob = json!({ "username": "bob", "password": PASSWORD, "active": false });
    let bob = ask(Method::POST, "/users", bob).expect(201).json();
    assert_eq!((&bob["active"], &bob["roles"]), (&json!(false), &json!(["user"])));
    problem(&gateway.login_with("bob", PASSWORD), 403, "account_inactive");

    let path = format!("/users/{id}");
    assert_eq!(ask(Method::GET, &path, Value::Null).expect(200).json(), shown);
    let changed = ask(Method::PATCH, &path, json!({ "roles": ["user"], "email": null })).expect(200);
    assert_eq!(
        (&changed.json()["roles"], &changed.json()["email"]),
        (&json!(["user"]), &Value::Null)
    );
    assert_eq!(ask(Method::PATCH, &path, json!({})).expect(200).json(), changed.json());
    problem(
        &ask(Method::PATCH, &path, json!({ "roles": ["a,b"] })),
        400,
        "invalid_request",
    );
    problem(
        &ask(Method::PATCH, &path, json!({ "email": "nonsense" })),
        400,
        "invalid_request",
    );
    let bobs = format!("/users/{}", bob["id"]);
    ask(Method::PATCH, &bobs, json!({ "email": "bob@example.com" })).expect(200);
    let taken = ask(
        Method::PATCH,
        &path,
        json!({ "email": "bob@example.com", "roles": ["root"] }),
    );
    problem(&taken, 409, "user_exists");
    assert_eq!(
        ask(Method::GET, &path, Value::Null).json()["roles"],
        json!(["user"]),
        "all or nothing"
    );

    // In pages.
    let page = ask(Method::GET, "/users?limit=2", Value::Null).expect(200).json();
    let names = |page: &Value| -> Vec<String> {
        let users = page["users"].as_array().unwrap().iter();
        users
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&page), ["root", "alice"]);
    let next = ask(
        Method::GET,
        &format!("/users?limit=2&after={}", page["next"]),
        Value::Null,
    );
    assert_eq!(
        (names(&next.json()), &next.json()["next"]),
        (vec!["bob".to_owned()], &Value::Null)
    );

    assert_eq!(ask(Method::DELETE, &bobs, Value::Null).status, 204);
    problem(&ask(Method::DELETE, &bobs, Value::Null), 404, "not_found");
    assert_eq!(world.count("SELECT count(*) FROM users"), 2);
    for action in ["user_created", "roles_set", "email_set", "user_deleted"] {
        gateway
            .process
            .wait_for_line(|line| line.contains(action) && line.contains("root") && line.contains("127.0.0.1"));
    }
}

fn the_role_of_administrators_is_not_to_be_had_here(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let root = root(&world, &gateway);
    let alice = gateway.register("alice");
    let ask = |method, path: &str, body: Value| ask(&gateway, method, path, &root.access, &body);
    let path = format!("/users/{}", id(&world, "alice"));
    let grant = json!({ "roles": ["user", "doorward-admin"], "active": true });
    problem(&ask(Method::PATCH, &path, grant), 422, "invalid_roles");
    let new = json!({ "username": "eve", "password": PASSWORD, "roles": ["doorward-admin"] });
    problem(&ask(Method::POST, "/users", new), 422, "invalid_roles");
    assert_eq!(world.count("SELECT count(*) FROM users"), 2);
    // Nor does a change take it away, or make of it one of the application's roles.
    let roots = format!("/users/{}", id(&world, "root"));
    let shown = ask(Method::GET, &roots, Value::Null).expect(200).json();
    assert_eq!(
        (&shown["roles"], &shown["grants"]),
        (&json!(["user"]), &json!(["doorward-admin"]))
    );
    ask(Method::PATCH, &roots, json!({ "roles": shown["roles"] })).expect(200);
    assert_eq!(world.sql("SELECT roles FROM users WHERE username = 'root'"), "user");
    assert_eq!(gateway.login("root").access.split('.').count(), 3);
    assert_eq!(
        claims_of(&gateway.login("root").access)["roles"],
        json!(["user", "doorward-admin"])
    );
    assert_eq!(gateway.status_as("/app/gateway", &alice.access), 403);
}

fn what_an_administrator_does_acts_on_the_other_replica(kind: Kind) {
    let world = World::new(kind);
    let (gateway, other) = (world.gateway(""), world.gateway(""));
    let root = root(&world, &gateway);
    let alice = other.register("alice");
    let path = format!("/users/{}", id(&world, "alice"));
    let patch = |body: Value| ask(&gateway, Method::PATCH, &path, &root.access, &body).expect(200);
    patch(json!({ "roles": ["user", "admin"] }));
    other.soon_answers("/app/admin", &alice.access, 200);
    patch(json!({ "password": "terns over a green lagoon" }));
    other.soon_answers("/app/x", &alice.access, 401);
    problem(&other.login_with("alice", PASSWORD), 401, "invalid_credentials");
    let alice = Tokens::of(&other.login_with("alice", "terns over a green lagoon"));
    patch(json!({ "active": false }));
    other.soon_answers("/app/x", &alice.access, 401);
    problem(&other.refresh(&alice.refresh), 401, "invalid_grant");
}

fn sessions_and_keys_of_others(kind: Kind) {
    let world = World::new(kind);
    let (gateway, other) = (world.gateway(""), world.gateway(""));
    let root = root(&world, &gateway);
    let (first, second) = (other.register("alice"), other.login("alice"));
    let alice = id(&world, "alice");
    let ask = |method, path: &str, body: Value| ask(&gateway, method, path, &root.access, &body);
    let all = ask(Method::GET, "/sessions", Value::Null).expect(200).json();
    assert_eq!(all["sessions"].as_array().unwrap().len(), 3);
    let hers = ask(Method::GET, &format!("/sessions?user={alice}"), Value::Null)
        .expect(200)
        .json();
    let hers = hers["sessions"].as_array().unwrap();
    assert!(hers.len() == 2 && hers.iter().all(|session| session["user"] == alice));
    let page = ask(Method::GET, "/sessions?limit=2", Value::Null).expect(200).json();
    let rest = format!("/sessions?limit=2&after={}", page["next"].as_str().unwrap());
    let rest = ask(Method::GET, &rest, Value::Null).expect(200).json();
    assert_eq!(rest["sessions"].as_array().unwrap().len(), 1);

    let sid = claims_of(&first.access)["sid"].as_str().unwrap().to_owned();
    let end = || ask(Method::DELETE, &format!("/sessions/{sid}"), Value::Null);
    assert_eq!(end().status, 204);
    assert_eq!(gateway.status_as("/app/x", &first.access), 401);
    other.soon_answers("/app/x", &first.access, 401);
    problem(&end(), 404, "not_found");
    assert_eq!(other.status_as("/app/x", &second.access), 200);
    let of_alice = format!("/users/{alice}");
    assert_eq!(
        ask(Method::DELETE, &format!("{of_alice}/sessions"), Value::Null).status,
        204
    );
    other.soon_answers("/app/x", &second.access, 401);

    let keys = format!("{of_alice}/keys");
    let wide = json!({ "name": "ci", "roles": ["doorward-admin"] });
    problem(&ask(Method::POST, &keys, wide), 422, "invalid_roles");
    let made = ask(Method::POST, &keys, json!({ "name": "ci", "roles": ["user"] }))
        .expect(201)
        .json();
    let key = made["key"].as_str().unwrap();
    let echo = other.get_as("/app/x", key).expect(200);
    assert_eq!(echo.echoed("x-user").as_deref(), Some("alice"));
    let listed = ask(Method::GET, &keys, Value::Null).expect(200).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1);
    let made_id = made["id"].as_str().unwrap();
    // Of another user there is no such key.
    let wrong = format!("/users/{}/keys/{made_id}", id(&world, "root"));
    problem(&ask(Method::DELETE, &wrong, Value::Null), 404, "not_found");
    assert_eq!(
        ask(Method::DELETE, &format!("{keys}/{made_id}"), Value::Null).status,
        204
    );
    soon("the end of the key", || other.status_as("/app/x", key) == 401);
    problem(&ask(Method::GET, "/users/999999/keys", Value::Null), 404, "not_found");
}
