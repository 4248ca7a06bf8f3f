//! The `users` table of a Flask server that is there before us.

use serde_json::json;

use super::answers::{Tokens, problem};
use super::world::{Gateway, Kind, PASSWORD, World, soon};
use crate::support::issuer::claims_of;
use crate::support::until;

on_both!(
    a_table_is_taken_over_as_it_is,
    a_login_upgrades_the_hash_and_nothing_else,
    hashes_stay_where_upgrades_are_off,
    the_other_server_goes_on_beside_us,
    two_users_of_one_name_are_nobody,
    a_table_that_wants_addresses_gets_them,
    a_table_that_is_none_of_users_is_left_alone,
);

/// passlib's `pbkdf2_sha512` of [`PASSWORD`], made with Python's hashlib.
const HASH: &str = "$pbkdf2-sha512$25000$MDEyMzQ1Njc4OWFiY2RlZg$Wg2LIbJ/64.wbM4Kg4ALTDaXdlOibai/XyEQ2mGVvKGMoZPJ/w3yweGD7nHx.Vnw0aNq5fb2XQJyEgKcY0lt.g";

/// The columns that were there, as they stand.
const ALL: &str = "SELECT id, username, password, roles, is_active FROM users ORDER BY id";

/// A table as the Flask server's ORM makes it, without UNIQUE; with what years leave in it.
fn old_world(kind: Kind, email: bool) -> World<'static> {
    let world = World::new(kind);
    let id = if kind == Kind::Postgres { "serial" } else { "INTEGER" };
    let email_column = if email { ", email VARCHAR" } else { "" };
    world.sql(&format!(
        "CREATE TABLE users (id {id} NOT NULL, username TEXT, password TEXT, roles TEXT, is_active BOOLEAN{email_column}, PRIMARY KEY (id))"
    ));
    for (name, password, roles, active) in [
        ("'alice'", format!("'{HASH}'"), "'admin,user'", "TRUE"),
        ("'Alice'", format!("'{HASH}'"), "'user'", "TRUE"),
        ("'no-password'", "NULL".to_owned(), "'user'", "TRUE"),
        ("NULL", format!("'{HASH}'"), "'admin'", "TRUE"),
        ("'no-roles'", format!("'{HASH}'"), "NULL", "TRUE"),
        ("'never-set'", format!("'{HASH}'"), "'user'", "NULL"),
        ("'off'", format!("'{HASH}'"), "'user'", "FALSE"),
        ("'twin'", format!("'{HASH}'"), "'user'", "TRUE"),
        ("'twin'", format!("'{HASH}'"), "'admin'", "TRUE"),
        ("'plain'", format!("'{PASSWORD}'"), "'admin'", "TRUE"),
        ("''", "''".to_owned(), "''", "TRUE"),
        (
            "'  blanks, and a comma '",
            format!("'{HASH}'"),
            "' user , admin,'",
            "TRUE",
        ),
    ] {
        world.sql(&format!(
            "INSERT INTO users (username, password, roles, is_active) VALUES ({name}, {password}, {roles}, {active})"
        ));
    }
    world
}

fn a_table_is_taken_over_as_it_is(kind: Kind) {
    for email in [false, true] {
        let world = old_world(kind, email);
        let before = world.sql(ALL);
        let columns = columns(&world, kind);
        let gateway = world.gateway("[passwords]\nupgrade = false");
        assert_eq!(world.sql(ALL), before);
        // Columns are only added, behind those that are there.
        let now = self::columns(&world, kind);
        assert!(now.starts_with(&columns), "{now}");
        for (name, roles) in [
            ("alice", json!(["admin", "user"])),
            ("Alice", json!(["user"])),
            ("no-roles", json!([])),
        ] {
            assert_eq!(gateway.me(&gateway.login(name).access)["roles"], roles, "{name}");
        }
        let blanks = claims_of(&gateway.login("  blanks, and a comma ").access);
        assert_eq!(
            (&blanks["username"], &blanks["roles"]),
            (&json!("  blanks, and a comma "), &json!(["user", "admin"]))
        );
        for name in ["never-set", "off"] {
            problem(&gateway.login_with(name, PASSWORD), 403, "account_inactive");
        }
        // Hashes that are none are never compared as text.
        for (name, password) in [
            ("no-password", ""),
            ("no-password", "NULL"),
            ("no-password", PASSWORD),
            ("plain", PASSWORD),
            ("", ""),
            ("", PASSWORD),
            ("NULL", PASSWORD),
        ] {
            problem(&gateway.login_with(name, password), 401, "invalid_credentials");
        }
        assert_eq!(world.sql(ALL), before);
        // A second start finds what the first one left.
        gateway.kill();
        let gateway = world.gateway("");
        gateway.login("no-roles");
    }
}

fn a_login_upgrades_the_hash_and_nothing_else(kind: Kind) {
    let world = old_world(kind, false);
    let gateway = world.gateway("");
    let others = "SELECT id, username, password, roles, is_active FROM users WHERE username IS NULL OR username <> 'alice' ORDER BY id";
    let before = world.sql(others);
    let rest = "SELECT id, username, roles, is_active FROM users WHERE username = 'alice'";
    let alice = world.sql(rest);
    problem(
        &gateway.login_with("alice", "not her password"),
        401,
        "invalid_credentials",
    );
    assert_eq!(hash_of(&world, "alice"), HASH);
    let first = gateway.login("alice");
    let upgraded = until("the upgraded hash", || {
        Some(hash_of(&world, "alice")).filter(|hash| hash != HASH)
    });
    assert!(upgraded.starts_with("$argon2id$v=19$m=1024,t=1,p=1$"), "{upgraded}");
    assert_eq!((world.sql(rest), world.sql(others)), (alice, before));
    // It is no change of the password: the session goes on, also after the feed has told what came later.
    world.sql("UPDATE users SET roles = 'user' WHERE username = 'alice'");
    gateway.soon_answers("/app/admin", &first.access, 403);
    assert_eq!(gateway.status_as("/app/x", &first.access), 200);
    Tokens::of(&gateway.refresh(&first.refresh));
    // And the new hash is of the same password.
    gateway.login("alice");
    problem(
        &gateway.login_with("alice", "not her password"),
        401,
        "invalid_credentials",
    );
    assert_eq!(hash_of(&world, "alice"), upgraded);
    assert_eq!(world.count("SELECT count(*) FROM gateway_rehash"), 0);
    // A dearer setting upgrades once more.
    let gateway = world.gateway("[passwords]\niterations = 2");
    gateway.login("alice");
    until("a dearer hash", || {
        hash_of(&world, "alice").contains("t=2").then_some(())
    });
}

fn hashes_stay_where_upgrades_are_off(kind: Kind) {
    let world = old_world(kind, true);
    let gateway = world.gateway("[passwords]\nupgrade = false");
    for _ in 0..2 {
        gateway.login("alice");
    }
    // What comes later would have to wait behind an upgrade.
    gateway.register("bob");
    assert_eq!(hash_of(&world, "alice"), HASH);
}

fn the_other_server_goes_on_beside_us(kind: Kind) {
    let world = old_world(kind, true);
    let gateway = world.gateway("");
    // It inserts what it knows, and changes what it knows.
    world.sql(&format!(
        "INSERT INTO users (username, password, roles, is_active) VALUES ('new', '{HASH}', 'user', TRUE)"
    ));
    let tokens = gateway.login("new");
    problem(&gateway.register_with("NEW", PASSWORD), 409, "user_exists");
    world.sql("UPDATE users SET username = 'newer' WHERE username = 'new'");
    soon("the new name", || gateway.me(&tokens.access)["username"] == "newer");
    let echo = gateway.get_as("/app/x", &tokens.access).expect(200);
    assert_eq!(echo.echoed("x-user").as_deref(), Some("newer"));
    // Our rows are rows of its own: everything that it reads is there.
    gateway.register("ours");
    let active = if kind == Kind::Postgres { "t" } else { "1" };
    let row = world.sql("SELECT username, roles, is_active FROM users WHERE username = 'ours'");
    assert_eq!(row, format!("ours|user|{active}"));
    // It empties the table.
    world.sql(if kind == Kind::Postgres {
        "TRUNCATE users"
    } else {
        "DELETE FROM users"
    });
    gateway.soon_answers("/app/x", &tokens.access, 401);
}

fn two_users_of_one_name_are_nobody(kind: Kind) {
    let world = old_world(kind, false);
    let gateway = world.gateway("");
    problem(&gateway.login_with("twin", PASSWORD), 401, "invalid_credentials");
    gateway
        .process
        .wait_for_line(|line| line.contains("ERROR") && line.contains("two users have one name"));
    problem(&gateway.register_with("twin", PASSWORD), 409, "user_exists");
    world.sql("UPDATE users SET username = 'other twin' WHERE username = 'twin' AND roles = 'admin'");
    assert_eq!(gateway.me(&gateway.login("twin").access)["roles"], json!(["user"]));
    assert_eq!(
        gateway.me(&gateway.login("other twin").access)["roles"],
        json!(["admin"])
    );
    check_alive(&gateway);
}

fn a_table_that_wants_addresses_gets_them(kind: Kind) {
    let world = World::new(kind);
    let id = if kind == Kind::Postgres { "serial" } else { "INTEGER" };
    world.sql(&format!(
        "CREATE TABLE users (id {id} PRIMARY KEY, username VARCHAR NOT NULL UNIQUE, password VARCHAR NOT NULL, \
         roles VARCHAR NOT NULL, is_active BOOLEAN NOT NULL, email VARCHAR NOT NULL)"
    ));
    let gateway = world.gateway("");
    let refused = problem(&gateway.register_with("alice", PASSWORD), 400, "invalid_request");
    assert!(refused["detail"].as_str().unwrap().contains("email"), "{refused}");
    let body = json!({ "username": "alice", "password": PASSWORD, "email": "alice@example.com" });
    Tokens::of(&gateway.client.post_json("/api/registration", &body));
    assert_eq!(
        world.sql("SELECT username, roles, email FROM users"),
        "alice|user|alice@example.com"
    );
    gateway.login("alice");
}

fn a_table_that_is_none_of_users_is_left_alone(kind: Kind) {
    let world = World::new(kind);
    world.sql("CREATE TABLE users (number INTEGER, nick TEXT)");
    let before = columns(&world, kind);
    let (status, said) = world.refused(&["migrate"]);
    assert_eq!(status, 1);
    for column in ["username", "password"] {
        assert!(said.contains(column), "{said}");
    }
    assert_eq!(columns(&world, kind), before);
    // A gateway over it serves nothing that needs users, and says so.
    let gateway = world.starting_gateway("");
    assert_eq!(gateway.client.get("/public/x").status, 200);
    problem(&gateway.get_as("/app/x", "a.b.c"), 503, "not_ready");
    assert_eq!(gateway.login_with("alice", PASSWORD).status, 503);
    assert_eq!(gateway.admin.get("/readyz").status, 503);
    assert_eq!(columns(&world, kind), before);
}

fn check_alive(gateway: &Gateway) {
    assert_eq!(gateway.client.get("/public/x").status, 200);
}

fn hash_of(world: &World<'_>, name: &str) -> String {
    world.sql(&format!("SELECT password FROM users WHERE username = '{name}'"))
}

fn columns(world: &World<'_>, kind: Kind) -> String {
    world.sql(match kind {
        Kind::Postgres => {
            "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns \
             WHERE table_name = 'users' ORDER BY ordinal_position"
        }
        Kind::Sqlite => "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('users') ORDER BY cid",
    })
}
