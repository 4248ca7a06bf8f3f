//! `POST /api/registration`.

use serde_json::json;

use super::answers::{Tokens, problem};
use super::world::{Kind, PASSWORD, World, at_once};

on_both!(
    a_registration_makes_a_row_and_logs_in,
    fifty_registrations_of_one_name_make_one_row,
    names_that_fold_to_one_that_is_there_are_taken,
    names_and_passwords_that_will_not_do_are_refused_with_reasons,
    a_closed_gateway_registers_nobody,
    without_mail_there_is_nothing_of_it,
);

fn a_registration_makes_a_row_and_logs_in(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[accounts]\ndefault_roles = ['user', 'reader']");
    let body = json!({ "username": "alice", "password": PASSWORD, "email": "alice@example.com",
        "roles": "admin,doorward-admin", "is_active": false, "id": 77, "email_verified": true });
    let tokens = Tokens::of(&gateway.client.post_json("/api/registration", &body));
    let me = gateway.me(&tokens.access);
    assert_eq!(me["username"], "alice");
    assert_eq!(me["roles"], json!(["user", "reader"]));
    // Nobody has confirmed it yet.
    assert_eq!(me["email"], json!(null));
    let row = world.sql("SELECT username, roles, CASE WHEN is_active THEN 1 ELSE 0 END, email, CASE WHEN email_verified THEN 1 ELSE 0 END FROM users");
    assert_eq!(row, "alice|user,reader|1|alice@example.com|0");
    let hash = world.sql("SELECT password FROM users");
    assert!(hash.starts_with("$argon2id$v=19$m=1024,t=1,p=1$"), "{hash}");
    assert_eq!(world.count("SELECT count(*) FROM gateway_grants"), 0);
    gateway
        .process
        .wait_for_line(|line| line.contains("account registered") && line.contains("alice"));
    gateway.login("alice");
    // The same address for another name.
    let body = json!({ "username": "bob", "password": PASSWORD, "email": "Alice@example.com" });
    problem(
        &gateway.client.post_json("/api/registration", &body),
        409,
        "user_exists",
    );
    for email in [
        "not an address",
        "",
        "a\0@b.example",
        "a@b@c.example",
        "Bob <bob@example.com>",
    ] {
        let body = json!({ "username": "bob", "password": PASSWORD, "email": email });
        problem(
            &gateway.client.post_json("/api/registration", &body),
            400,
            "invalid_request",
        );
    }
    let body = json!({ "username": "bob", "password": PASSWORD, "email": 7 });
    problem(
        &gateway.client.post_json("/api/registration", &body),
        400,
        "invalid_request",
    );
    assert_eq!(world.count("SELECT count(*) FROM users"), 1);
}

fn fifty_registrations_of_one_name_make_one_row(kind: Kind) {
    let world = World::new(kind);
    // A table without UNIQUE as well as ours.
    for table in [
        "",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, password TEXT, roles TEXT, is_active BOOLEAN)",
    ] {
        let world = if table.is_empty() { &world } else { &World::new(kind) };
        if !table.is_empty() {
            let table = if kind == Kind::Postgres {
                table.replace("INTEGER", "serial")
            } else {
                table.to_owned()
            };
            world.sql(&table);
        }
        let gateway = world.gateway("");
        let spellings = ["alice", "Alice", "ALICE", "ａｌｉｃｅ"];
        let answers = at_once(50, |index| {
            gateway.register_with(spellings[index % spellings.len()], PASSWORD)
        });
        let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(made.len(), 1, "{answers:#?}");
        for answer in refused {
            problem(answer, 409, "user_exists");
        }
        assert_eq!(world.count("SELECT count(*) FROM users"), 1);
        assert_eq!(world.count("SELECT count(*) FROM gateway_sessions"), 1);
        let name = world.sql("SELECT username FROM users");
        gateway.login(&name);
    }
}

fn names_that_fold_to_one_that_is_there_are_taken(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    gateway.register("Straße");
    for name in ["Straße", "STRASSE", "straße", "Ｓtrasse"] {
        problem(&gateway.register_with(name, PASSWORD), 409, "user_exists");
        // Whoever knows the password does not get in this way either.
        problem(&gateway.register_with(name, "another password"), 409, "user_exists");
    }
    // A name that another program writes while we run counts as well.
    world.sql("INSERT INTO users (username, password, roles, is_active) VALUES ('  Carol ', 'x', 'user', TRUE)");
    problem(&gateway.register_with("carol", PASSWORD), 409, "user_exists");
    world.sql("UPDATE users SET username = 'Dave' WHERE username = '  Carol '");
    problem(&gateway.register_with("dave", PASSWORD), 409, "user_exists");
    gateway.register("carol");
    assert_eq!(world.count("SELECT count(*) FROM users"), 3);
}

fn names_and_passwords_that_will_not_do_are_refused_with_reasons(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    for name in [
        "",
        " ",
        " alice",
        "alice ",
        "alice\u{a0}",
        "ali\nce",
        "ali\0ce",
        "a,b",
        "idp:alice",
        "ali\u{200b}ce",
        "\u{202e}ecila",
    ] {
        let document = problem(&gateway.register_with(name, PASSWORD), 422, "invalid_username");
        assert!(
            !document["reasons"].as_array().unwrap().is_empty(),
            "{name:?}: {document}"
        );
    }
    problem(
        &gateway.register_with(&"n".repeat(256), PASSWORD),
        422,
        "invalid_username",
    );
    let short = "must have at least 8 characters";
    let common = "is one of the most common passwords";
    let like = "must not be the username, alone or with digits around it";
    for (name, password, reasons) in [
        ("alice", "", &[short][..]),
        ("alice", "x7#q", &[short]),
        ("alice", "iloveyou", &[common]),
        ("alice", "ILoveYou", &[common]),
        ("dragon", "Dragon", &[short, common, like]),
        ("aliceliddell", "!AliceLiddell1862", &[like]),
    ] {
        let response = gateway.register_with(name, password);
        let document = problem(&response, 422, "weak_password");
        assert_eq!(document["reasons"], json!(reasons), "{password}");
        // What was sent is not said again.
        assert!(password.is_empty() || !response.text().contains(password), "{document}");
    }
    let too_long = gateway.register_with("alice", &"x".repeat(4_097));
    assert!([400, 422].contains(&too_long.status), "{too_long:?}");
    assert_eq!(world.count("SELECT count(*) FROM users"), 0);
    for name in ["a", "Zoë", "山田 太郎", "O'Neil", "x@example.com"] {
        gateway.register(name);
    }
}

fn without_mail_there_is_nothing_of_it(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    for body in [
        json!({}),
        json!({ "email": "a@b.example", "password": PASSWORD, "token": "x" }),
    ] {
        for path in ["/api/reset", "/api/reset_finalize"] {
            problem(&gateway.client.post_json(path, &body), 404, "not_found");
        }
    }
    let finalize = gateway
        .client
        .request(http::Method::GET, "/api/finalize")
        .bearer("x")
        .send();
    problem(&finalize, 404, "not_found");
}

fn a_closed_gateway_registers_nobody(kind: Kind) {
    let world = World::new(kind);
    world.gateway("").register("alice");
    // Closed is the default.
    let gateway = world.gateway("[accounts]\nregistration = 'closed'");
    for name in ["alice", "bob", ""] {
        let answer = gateway.register_with(name, PASSWORD);
        problem(&answer, 403, "registration_closed");
    }
    assert_eq!(world.count("SELECT count(*) FROM users"), 1);
    gateway.login("alice");
}
