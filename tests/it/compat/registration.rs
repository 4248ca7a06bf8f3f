//! `POST /api/registration` of that server: whoever shows an account's name and password logs in.

use serde_json::json;

use super::told::{COMPAT, INCORRECT, REVOKED, error, error_of, flask_gateway, flask_world, token_of};
use crate::accounts::world::{Gateway, Kind, PASSWORD, World, at_once};
use crate::support::smtp::Smtp;

on_both!(
    a_new_name_gets_an_account_that_the_old_server_can_read,
    an_account_that_is_there_is_logged_in_to,
    new_names_and_passwords_that_will_not_do,
    a_name_that_headers_hardly_carry_is_somebody,
    what_is_no_address_is_taken_as_it_is,
    of_several_at_once_one_makes_the_row,
    what_the_table_itself_refuses_is_no_fault_of_the_gateway,
    an_address_is_taken_where_the_table_wants_one,
    what_only_the_old_server_fills_is_told_before_anybody_registers,
    a_table_that_is_not_where_it_was_looked_for_is_told,
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
        &"x".repeat(20_000),
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

fn a_name_that_headers_hardly_carry_is_somebody(kind: Kind) {
    let world = flask_world(kind);
    let gateway = flask_gateway(&world);
    for name in ["x".repeat(10_000), "\u{1f600}".repeat(4_000), "jo\u{200b}e".to_owned()] {
        token_of(&gateway.register_with(&name, PASSWORD));
        let token = token_of(&gateway.login_with(&name, PASSWORD));
        let answer = gateway.get_as("/api/protected", &token).expect(200);
        assert_eq!(
            answer.json()["message"],
            format!("protected endpoint (allowed usr {name})")
        );
        // A backend hears the name as it is, or nobody asks it.
        let answer = gateway.get_as("/app/x", &token);
        assert!([200, 403, 502].contains(&answer.status), "{}", answer.text());
        error(
            &gateway.register_with(&name, "wrong"),
            401,
            "AuthenticationError",
            INCORRECT,
        );
    }
    token_of(&gateway.login_with("alice", PASSWORD));
}

#[test]
fn a_name_that_the_table_does_not_take_is_no_fault_of_ours() {
    let world = World::new(Kind::Postgres);
    world.sql("CREATE TABLE users (id serial PRIMARY KEY, username varchar(300), password text, roles text, is_active boolean)");
    let gateway = flask_gateway(&world);
    error_of(
        &gateway.register_with(&"x".repeat(301), PASSWORD),
        400,
        "InvalidUsername",
    );
    gateway
        .process
        .wait_for_line(|line| line.contains("refused a new account"));
    token_of(&gateway.register_with(&"x".repeat(300), PASSWORD));
}

fn what_is_no_address_is_taken_as_it_is(kind: Kind) {
    let (world, smtp) = (flask_world(kind), Smtp::plain(""));
    let config = format!(
        "[accounts]\nregistration = 'verify_email'\n{}{COMPAT}",
        smtp.config("smtp", "")
    );
    let gateway = world.gateway(&config);
    let register = |name: &str, email: &str| {
        let body = json!({ "username": name, "password": PASSWORD, "email": email });
        gateway.client.post_json("/api/registration", &body)
    };
    let reset = |email: &str| gateway.client.post_json("/api/reset", &json!({ "email": email }));
    register("bob", "no address").expect(201);
    let given_up = |line: &str| line.contains("a mail was given up") && line.contains("the address is none");
    let line = gateway.process.wait_for_line(given_up);
    assert!(!line.contains("no address"), "{line}");
    assert_eq!(
        world.sql("SELECT email FROM users WHERE username = 'bob'"),
        "no address"
    );
    register("eve", "no address").expect(303);
    reset("no address").expect(403);
    // Somebody whom the old server has let in so.
    world.sql("UPDATE users SET email = 'nobody @ nowhere' WHERE username = 'alice'");
    register("eve", "nobody @ nowhere").expect(303);
    reset("nobody @ nowhere").expect(200);
    reset("somebody @ nowhere").expect(404);
    for nobody in ["a\u{0}b", "a@b.example\r\nBcc: c@d.example", &"x".repeat(60_000)] {
        reset(nobody).expect(404);
    }
    let count = |email: &str| register("eve", email).status;
    for bad in [
        "a@b.example\r\nBcc: c@d.example",
        "a\u{0}b",
        "",
        "a\tb",
        &"x".repeat(3_000),
    ] {
        assert_eq!(count(bad), 400, "{bad:?}");
    }
    assert_eq!(world.sql("SELECT count(*) FROM users WHERE username = 'eve'"), "0");
    // Others are not held up.
    register("carol", "carol@example.org").expect(201);
    assert_eq!(smtp.mail(0).to, "carol@example.org");
    assert_eq!(smtp.count(), 1);
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

/// Whoever migrates is warned, unless nobody may register anyway, and so is who serves.
fn warned(world: &World<'_>, warning: &str) -> Gateway {
    let (status, _, said) = world.run_with(COMPAT, &["migrate"]);
    let line = said.lines().find(|line| line.starts_with("warning: "));
    assert!(status == 0 && line.is_some_and(|line| line.contains(warning)), "{said}");
    let (_, _, said) = world.run_with("[accounts]\nregistration = 'closed'\n", &["migrate"]);
    assert!(!said.contains(warning), "{said}");
    let gateway = flask_gateway(world);
    gateway
        .process
        .wait_for_line(|line| line.contains("WARN") && line.contains(warning));
    gateway
}

fn what_only_the_old_server_fills_is_told_before_anybody_registers(kind: Kind) {
    let world = strict_world(kind, ", created_at TIMESTAMP NOT NULL");
    let warning = "the table `users` wants a value in created_at that only another program gives";
    let gateway = warned(&world, warning);
    let body = json!({ "username": "bob", "password": PASSWORD });
    let refused = error_of(
        &gateway.client.post_json("/api/registration", &body),
        400,
        "InvalidUsername",
    );
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("a value that is not ours to give"),
        "{refused}"
    );
    gateway.process.wait_for_line(|line| line.contains("created_at"));
}

fn a_table_that_is_not_where_it_was_looked_for_is_told(kind: Kind) {
    let world = World::new(kind);
    let warning = "an empty one was made there, and nobody of the old server's can log in";
    let (status, _, said) = world.run_with(COMPAT, &["migrate"]);
    assert!(status == 0 && said.contains(warning), "{said}");
    // Once: from then on it is the table.
    let (_, _, said) = world.run_with(COMPAT, &["migrate"]);
    assert!(!said.contains(warning), "{said}");
    // Where no other server's table is meant, that is how it begins.
    let other = World::new(kind);
    let (_, out, said) = other.run_with("", &["migrate"]);
    assert!(!said.contains(warning), "{said}");
    assert!(out.contains("There was no table \"users\""), "{out}");
    let third = World::new(kind);
    let gateway = flask_gateway(&third);
    gateway
        .process
        .wait_for_line(|line| line.contains("WARN") && line.contains(warning));
}

fn an_address_is_taken_where_the_table_wants_one(kind: Kind) {
    let world = strict_world(kind, ", email TEXT NOT NULL UNIQUE");
    let warning = "the column users.email wants an address of every account";
    let gateway = warned(&world, warning);
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
