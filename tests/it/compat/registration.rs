//! `POST /api/registration` of that server: whoever shows an account's name and password logs in.

use serde_json::json;

use super::told::{INCORRECT, REVOKED, error, error_of, flask_gateway, flask_world, token_of};
use crate::accounts::world::{Kind, PASSWORD, World, at_once};

on_both!(
    a_new_name_gets_an_account_that_the_old_server_can_read,
    an_account_that_is_there_is_logged_in_to,
    new_names_and_passwords_that_will_not_do,
    of_several_at_once_one_makes_the_row,
    what_the_table_itself_refuses_is_no_fault_of_the_gateway,
    an_address_is_taken_where_the_table_wants_one,
);

fn a_new_name_gets_an_account_that_the_old_server_can_read(kind: Kind) {
    let world = flask_world(kind);
    let gateway = flask_gateway(&world);
    // No rules of passwords there; other members are ignored.
    let body = json!({ "username": "bob", "password": "x", "roles": "admin", "is_active": false, "email": 7, "id": 1 });
    let token = token_of(&gateway.client.post_json("/api/registration", &body));
    let answer = gateway.get_as("/api/protected", &token).expect(200);
    assert_eq!(answer.json()["message"], "protected endpoint (allowed usr bob)");
    let active = "CASE WHEN is_active THEN 1 ELSE 0 END";
    let row = world.sql(&format!("SELECT roles, {active} FROM users WHERE username = 'bob'"));
    assert_eq!(row, "user|1");
    let hash = world.sql("SELECT password FROM users WHERE username = 'bob'");
    assert!(hash.starts_with("$pbkdf2-sha512$25000$"), "{hash}");
    token_of(&gateway.login_with("bob", "x"));
    for (name, password) in [("common", "password"), ("like", "like1"), ("a@b.example", "ü")] {
        token_of(&gateway.register_with(name, password));
    }
}

fn an_account_that_is_there_is_logged_in_to(kind: Kind) {
    let world = flask_world(kind);
    let gateway = flask_gateway(&world);
    let before = world.sql("SELECT id, username, password FROM users ORDER BY id");
    let token = token_of(&gateway.register_with("alice", PASSWORD));
    gateway.get_as("/api/protected", &token).expect(200);
    let wrong = gateway.register_with("alice", "wrong");
    error(&wrong, 401, "AuthenticationError", INCORRECT);
    for name in ["off", "never-set"] {
        error(&gateway.register_with(name, PASSWORD), 403, "InvalidUserError", REVOKED);
        error(
            &gateway.register_with(name, "wrong"),
            401,
            "AuthenticationError",
            INCORRECT,
        );
    }
    error(
        &gateway.register_with("twin", PASSWORD),
        401,
        "AuthenticationError",
        INCORRECT,
    );
    assert_eq!(
        world.sql("SELECT id, username, password FROM users ORDER BY id"),
        before
    );
}

fn new_names_and_passwords_that_will_not_do(kind: Kind) {
    let world = flask_world(kind);
    let gateway = flask_gateway(&world);
    let before = world.count("SELECT count(*) FROM users");
    for name in [
        " bob",
        "bob ",
        "b,ob",
        "b:ob",
        "b\nob",
        "ALICE",
        "ａlice",
        &"x".repeat(10_000),
    ] {
        error_of(&gateway.register_with(name, PASSWORD), 400, "InvalidUsername");
    }
    error_of(&gateway.register_with("bob", ""), 400, "WeakPassword");
    for body in [
        json!({ "password": PASSWORD }),
        json!({ "username": "bob" }),
        json!({ "username": null, "password": PASSWORD }),
        json!({ "username": "bob", "password": null }),
        json!({ "username": "bob", "password": 7 }),
        json!({}),
    ] {
        error_of(&gateway.client.post_json("/api/registration", &body), 400, "BadRequest");
    }
    assert_eq!(world.count("SELECT count(*) FROM users"), before);
}

fn of_several_at_once_one_makes_the_row(kind: Kind) {
    let world = flask_world(kind);
    let gateways = [flask_gateway(&world), flask_gateway(&world)];
    let same = at_once(8, |index| {
        gateways[index % 2]
            .another_client()
            .post_json("/api/registration", &json!({ "username": "bob", "password": PASSWORD }))
    });
    same.iter().for_each(|response| drop(token_of(response)));
    let other = at_once(8, |index| {
        gateways[index % 2].another_client().post_json(
            "/api/registration",
            &json!({ "username": "eve", "password": format!("password {index}") }),
        )
    });
    let (made, refused): (Vec<_>, Vec<_>) = other.iter().partition(|response| response.status == 200);
    assert_eq!(made.len(), 1);
    for response in refused {
        error(response, 401, "AuthenticationError", INCORRECT);
    }
    for name in ["bob", "eve"] {
        assert_eq!(
            world.count(&format!("SELECT count(*) FROM users WHERE username = '{name}'")),
            1
        );
    }
    token_of(&gateways[0].login_with("bob", PASSWORD));
}

/// A table with rules of its own.
fn strict_world(kind: Kind, more: &str) -> World<'static> {
    let world = World::new(kind);
    let (id, name) = match kind {
        Kind::Postgres => ("serial", "varchar(20)"),
        Kind::Sqlite => ("INTEGER", "TEXT CHECK (length(username) <= 20)"),
    };
    world.sql(&format!(
        "CREATE TABLE users (id {id} PRIMARY KEY, username {name}, password TEXT, roles TEXT, is_active BOOLEAN{more})"
    ));
    world
}

fn what_the_table_itself_refuses_is_no_fault_of_the_gateway(kind: Kind) {
    let world = strict_world(kind, "");
    let long = "a-name-of-more-than-twenty-characters";
    let gateway = flask_gateway(&world);
    error_of(&gateway.register_with(long, PASSWORD), 400, "InvalidUsername");
    let told = gateway
        .process
        .wait_for_line(|line| line.contains("the table of users refused a new account"));
    assert!(told.contains("reason=") && !told.contains(long), "{told}");
    token_of(&gateway.register_with("bob", PASSWORD));
    drop(gateway);
    // In the gateway's own form.
    let gateway = world.gateway("[accounts]\nregistration = \"open\"\n");
    let answer = gateway.register_with(long, PASSWORD);
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(answer.json()["error"], "invalid_username");
    assert_eq!(world.count("SELECT count(*) FROM users"), 1);
}

fn an_address_is_taken_where_the_table_wants_one(kind: Kind) {
    let world = strict_world(kind, ", email TEXT NOT NULL UNIQUE");
    let gateway = flask_gateway(&world);
    let register = |body: serde_json::Value| gateway.client.post_json("/api/registration", &body);
    let document = error_of(
        &register(json!({ "username": "bob", "password": PASSWORD })),
        400,
        "BadRequest",
    );
    assert!(
        document["message"].as_str().unwrap().contains("`email` is missing"),
        "{document}"
    );
    gateway
        .process
        .wait_for_line(|line| line.contains("users.email wants one of every account"));
    for email in [json!("no address"), json!(7)] {
        let body = json!({ "username": "bob", "password": PASSWORD, "email": email });
        error_of(&register(body), 400, "BadRequest");
    }
    token_of(&register(
        json!({ "username": "bob", "password": PASSWORD, "email": "bob@example.com" }),
    ));
    assert_eq!(
        world.sql("SELECT email FROM users WHERE username = 'bob'"),
        "bob@example.com"
    );
    let body = json!({ "username": "carol", "password": PASSWORD, "email": "BOB@example.com" });
    error_of(&register(body), 409, "Conflict");
    // Who is there logs in, with an address or without one.
    token_of(&register(json!({ "username": "bob", "password": PASSWORD })));
}
