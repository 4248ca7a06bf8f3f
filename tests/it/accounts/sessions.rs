//! The list of one's sessions, their end, a new password; and the same from the command line.

use http::Method;
use serde_json::{Value, json};

use super::answers::{Tokens, problem};
use super::world::{Gateway, Kind, PASSWORD, World, soon};
use crate::support::client::Response;
use crate::support::issuer::claims_of;

on_both!(
    a_session_is_listed_as_it_was_opened,
    a_session_that_is_ended_is_dead_on_the_other_replica,
    nobody_ends_another_ones_session,
    a_new_password_ends_all_other_sessions,
    a_wrong_current_password_counts_as_a_failed_login,
    the_command_lists_and_ends_sessions,
);

const NEW: &str = "terns over a green lagoon";

fn ask(gateway: &Gateway, method: Method, path: &str, token: &str) -> Response {
    gateway.client.request(method, path).bearer(token).send()
}

fn sessions(gateway: &Gateway, token: &str) -> Vec<Value> {
    let answer = gateway.get_as("/api/sessions", token).expect(200).json();
    answer["sessions"].as_array().unwrap().clone()
}

fn change(gateway: &Gateway, token: &str, current: &str, new: &str) -> Response {
    let request = gateway.client.request(Method::POST, "/api/password").bearer(token);
    request.json(&json!({ "current": current, "new": new })).send()
}

fn id_of(tokens: &Tokens) -> String {
    claims_of(&tokens.access)["sid"].as_str().unwrap().to_owned()
}

fn a_session_is_listed_as_it_was_opened(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let first = gateway.register("alice");
    let agent = format!("Browser\t{}", "x".repeat(300));
    let body = json!({ "username": "alice", "password": PASSWORD });
    let login = gateway.client.request(Method::POST, "/api/login");
    let second = Tokens::of(&login.header("user-agent", &agent).json(&body).send());
    gateway.register("bob");
    let listed = sessions(&gateway, &second.access);
    assert_eq!(listed.len(), 2);
    let of = |tokens: &Tokens| listed.iter().find(|session| session["id"] == id_of(tokens)).unwrap();
    assert_eq!(of(&first)["client"], Value::Null);
    let session = of(&second);
    let members: Vec<_> = session.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        members,
        [
            "address",
            "client",
            "created_at",
            "current",
            "expires_at",
            "id",
            "idle_until",
            "kind",
            "seen_at"
        ]
    );
    assert_eq!(
        (&session["kind"], &session["address"], &session["current"]),
        (&json!("token"), &json!("127.0.0.1"), &json!(true))
    );
    assert_eq!(of(&first)["current"], false);
    let client = session["client"].as_str().unwrap();
    assert!(client.starts_with("Browserxxx") && client.len() == 200, "{client}");
    for time in ["created_at", "seen_at", "expires_at", "idle_until"] {
        let time = session[time].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    }
    problem(&gateway.client.get("/api/sessions"), 401, "credentials_required");
    let post = ask(&gateway, Method::POST, "/api/sessions", &second.access);
    problem(&post, 405, "method_not_allowed");
    assert_eq!(post.header("allow"), Some("GET, HEAD"));
}

fn a_session_that_is_ended_is_dead_on_the_other_replica(kind: Kind) {
    let world = World::new(kind);
    let (gateway, other) = (world.gateway(""), world.gateway(""));
    let (kept, ended) = (gateway.register("alice"), gateway.login("alice"));
    assert_eq!(other.status_as("/app/x", &ended.access), 200);
    let path = format!("/api/sessions/{}", id_of(&ended));
    let answer = ask(&gateway, Method::DELETE, &path, &kept.access);
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    // Here before it is acknowledged.
    assert_eq!(gateway.status_as("/app/x", &ended.access), 401);
    other.soon_answers("/app/x", &ended.access, 401);
    problem(&other.refresh(&ended.refresh), 401, "invalid_grant");
    assert_eq!(other.status_as("/app/x", &kept.access), 200);
    assert_eq!(sessions(&other, &kept.access).len(), 1);
    problem(&ask(&gateway, Method::DELETE, &path, &kept.access), 404, "not_found");
    gateway
        .process
        .wait_for_line(|line| line.contains("session ended by its owner") && line.contains("alice"));
    // One's own session, too.
    let path = format!("/api/sessions/{}", id_of(&kept));
    assert_eq!(ask(&gateway, Method::DELETE, &path, &kept.access).status, 204);
    problem(&gateway.get_as("/api/me", &kept.access), 401, "invalid_token");
}

fn nobody_ends_another_ones_session(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let (alice, bob) = (gateway.register("alice"), gateway.register("bob"));
    for id in [&id_of(&bob), "AAAAAAAAAAAAAAAAAAAAAA", "x", "", "..%2fme", "a/b"] {
        let answer = ask(&gateway, Method::DELETE, &format!("/api/sessions/{id}"), &alice.access);
        assert!(
            matches!((answer.status, id), (404, _) | (400, "..%2fme") | (405, "")),
            "{id}: {answer:?}"
        );
    }
    assert_eq!(gateway.status_as("/app/x", &bob.access), 200);
    Tokens::of(&gateway.refresh(&bob.refresh));
}

fn a_new_password_ends_all_other_sessions(kind: Kind) {
    let world = World::new(kind);
    let (gateway, other) = (world.gateway(""), world.gateway(""));
    let (mine, theirs) = (gateway.register("alice"), other.login("alice"));
    for (new, reason) in [("short", "at least"), ("password", "common"), ("alice", "at least")] {
        let document = problem(&change(&gateway, &mine.access, PASSWORD, new), 422, "weak_password");
        let reasons = document["reasons"].to_string();
        assert!(reasons.contains(reason), "{new}: {reasons}");
    }
    assert_eq!(other.status_as("/app/x", &theirs.access), 200);
    let answer = change(&gateway, &mine.access, PASSWORD, NEW);
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(gateway.status_as("/app/x", &theirs.access), 401);
    other.soon_answers("/app/x", &theirs.access, 401);
    problem(&other.refresh(&theirs.refresh), 401, "invalid_grant");
    assert_eq!(other.status_as("/app/x", &mine.access), 200);
    Tokens::of(&gateway.refresh(&mine.refresh));
    problem(&other.login_with("alice", PASSWORD), 401, "invalid_credentials");
    Tokens::of(&other.login_with("alice", NEW));
}

fn a_wrong_current_password_counts_as_a_failed_login(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[throttle]\nlogin_failures = 3\n");
    let alice = gateway.register("alice");
    for _ in 0..3 {
        problem(
            &change(&gateway, &alice.access, "wrong", NEW),
            401,
            "invalid_credentials",
        );
    }
    problem(
        &change(&gateway, &alice.access, PASSWORD, NEW),
        429,
        "too_many_attempts",
    );
    problem(&gateway.login_with("alice", PASSWORD), 429, "too_many_attempts");
    assert_eq!(gateway.status_as("/app/x", &alice.access), 200);
}

fn the_command_lists_and_ends_sessions(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let (first, second, bob) = (
        gateway.register("alice"),
        gateway.login("alice"),
        gateway.register("bob"),
    );
    let list = world.said(&["session", "list"]);
    assert_eq!(list.lines().count(), 4, "{list}");
    let of_bob = world.said(&["session", "list", "--user", "bob", "--json"]);
    let of_bob: Value = serde_json::from_str(&of_bob).unwrap();
    assert_eq!(of_bob[0]["id"], id_of(&bob));
    assert_eq!(of_bob[0]["username"], "bob");
    assert_eq!(of_bob.as_array().unwrap().len(), 1);
    world.doorward(&["session", "revoke", &id_of(&first)], "");
    gateway.soon_answers("/app/x", &first.access, 401);
    assert_eq!(gateway.status_as("/app/x", &second.access), 200);
    world.doorward(&["session", "revoke", "--user", "alice"], "");
    gateway.soon_answers("/app/x", &second.access, 401);
    soon("no sessions of alice", || {
        world
            .said(&["session", "list", "--user", "alice"])
            .contains("No sessions")
    });
    assert_eq!(gateway.status_as("/app/x", &bob.access), 200);
    for (arguments, status, words) in [
        (
            &["session", "revoke", &id_of(&first)][..],
            1,
            "there is no such session",
        ),
        (&["session", "revoke", "nonsense"][..], 2, "not a session id"),
        (
            &["session", "revoke", "--user", "nobody"][..],
            1,
            "there is no such account",
        ),
        (&["session", "revoke"][..], 2, "neither a session nor a user"),
    ] {
        let (code, said) = world.refused(arguments);
        assert!(code == status && said.contains(words), "{arguments:?}: {code} {said}");
    }
}
