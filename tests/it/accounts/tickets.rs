//! Tickets: one use, a few seconds, in a URL, and never at a backend.

use http::Method;
use serde_json::json;

use super::answers::problem;
use super::world::{Gateway, Kind, World};
use crate::support::client::Response;

on_both!(
    a_ticket_counts_once_and_is_taken_off,
    a_ticket_dies_with_what_fetched_it,
    of_many_uses_at_once_one_counts,
    a_ticket_gives_what_its_credential_gives,
);

fn fetch(gateway: &Gateway, token: &str) -> Response {
    gateway.client.request(Method::POST, "/api/ticket").bearer(token).send()
}

fn ticket(gateway: &Gateway, token: &str) -> String {
    let answer = fetch(gateway, token).expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()["ticket"].as_str().unwrap().to_owned()
}

fn target(echo: &Response) -> String {
    echo.json()["target"].as_str().unwrap().to_owned()
}

fn a_ticket_counts_once_and_is_taken_off(kind: Kind) {
    let world = World::new(kind);
    let (gateway, other) = (world.gateway(""), world.gateway(""));
    let alice = gateway.register("alice");
    let ticket = ticket(&gateway, &alice.access);
    let path = format!("/app/x?a=1&doorward_ticket={ticket}&b=2");
    let echo = other.client.get(&path).expect(200);
    assert_eq!(echo.echoed("x-user").as_deref(), Some("alice"));
    assert_eq!(target(&echo), "/app/x?a=1&b=2");
    for gateway in [&gateway, &other] {
        problem(&gateway.client.get(&path), 401, "invalid_token");
    }
    problem(
        &gateway.client.get("/app/x?doorward_ticket=dwt_x"),
        401,
        "invalid_token",
    );
    // Where nobody is asked for a credential it is taken off all the same.
    let echo = gateway.client.get("/public/x?doorward_ticket=dwt_x").expect(200);
    assert_eq!(target(&echo), "/public/x");
    problem(
        &gateway.client.request(Method::POST, "/api/ticket").send(),
        401,
        "credentials_required",
    );
}

fn a_ticket_dies_with_what_fetched_it(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let alice = gateway.register("alice");
    let unused = ticket(&gateway, &alice.access);
    assert_eq!(gateway.logout(&alice.access).status, 204);
    let answer = gateway.client.get(&format!("/app/x?doorward_ticket={unused}"));
    problem(&answer, 401, "invalid_token");
    let alice = gateway.login("alice");
    let unused = ticket(&gateway, &alice.access);
    world.sql("UPDATE gateway_tickets SET expires_at = 1");
    let answer = gateway.client.get(&format!("/app/x?doorward_ticket={unused}"));
    problem(&answer, 401, "invalid_token");
}

fn of_many_uses_at_once_one_counts(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let alice = gateway.register("alice");
    let path = format!("/app/x?doorward_ticket={}", ticket(&gateway, &alice.access));
    let clients: Vec<_> = (0..8).map(|_| gateway.another_client()).collect();
    let statuses = super::world::at_once(8, |index| clients[index].get(&path).status);
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 401).count(),
        7,
        "{statuses:?}"
    );
}

fn a_ticket_gives_what_its_credential_gives(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    gateway.register("alice");
    world.doorward(&["user", "roles", "alice", "user,admin,doorward-admin"], "");
    let alice = gateway.login("alice");
    let request = gateway.client.request(Method::POST, "/api/keys").bearer(&alice.access);
    let key = request
        .json(&json!({ "name": "ci", "roles": ["user"] }))
        .send()
        .expect(201);
    let key = key.json()["key"].as_str().unwrap().to_owned();
    let with = |path: &str, token: &str| {
        let ticket = ticket(&gateway, token);
        gateway.client.get(&format!("{path}?doorward_ticket={ticket}"))
    };
    assert_eq!(with("/app/admin", &alice.access).status, 200);
    assert_eq!(with("/app/admin", &key).status, 403);
    assert_eq!(
        with("/app/x", &key).expect(200).echoed("x-user-roles").as_deref(),
        Some("user")
    );
    // It stood in a URL: not enough to administer, to make keys, or to fetch another.
    problem(&with("/api/admin/users", &alice.access), 403, "credential_not_allowed");
    problem(&with("/api/keys", &alice.access), 403, "credential_not_allowed");
    let path = format!("/api/ticket?doorward_ticket={}", ticket(&gateway, &alice.access));
    problem(
        &gateway.client.request(Method::POST, &path).send(),
        403,
        "credential_not_allowed",
    );
}
