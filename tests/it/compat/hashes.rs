//! Passwords: every scheme that the old server's passlib accepts, in rows as passlib makes them.

use serde_json::{Value, json};

use super::{SERVED, with_secret};
use crate::accounts::world::{PASSWORD, World};
use crate::postgres::Cluster;
use crate::support::client::Client;
use crate::support::flask::{Edition, Flask, Libraries};

/// Scheme, passlib's settings as cheap as they may be, and how the hash begins.
fn schemes() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("pbkdf2_sha512", json!({}), "$pbkdf2-sha512$25000$"),
        ("pbkdf2_sha512", json!({ "rounds": 1 }), "$pbkdf2-sha512$1$"),
        (
            "pbkdf2_sha512",
            json!({ "rounds": 999, "salt_size": 64 }),
            "$pbkdf2-sha512$999$",
        ),
        (
            "pbkdf2_sha512",
            json!({ "rounds": 2, "salt_size": 0 }),
            "$pbkdf2-sha512$2$$",
        ),
        ("bcrypt", json!({ "rounds": 4, "ident": "2a" }), "$2a$04$"),
        ("bcrypt", json!({ "rounds": 4, "ident": "2b" }), "$2b$04$"),
        ("bcrypt", json!({ "rounds": 5, "ident": "2y" }), "$2y$05$"),
        (
            "bcrypt_sha256",
            json!({ "rounds": 4, "version": 1 }),
            "$bcrypt-sha256$2b,4$",
        ),
        (
            "bcrypt_sha256",
            json!({ "rounds": 4, "version": 1, "ident": "2a" }),
            "$bcrypt-sha256$2a,4$",
        ),
        (
            "bcrypt_sha256",
            json!({ "rounds": 4, "version": 2 }),
            "$bcrypt-sha256$v=2,t=2b,r=4$",
        ),
        (
            "argon2",
            json!({ "rounds": 1, "memory_cost": 64, "parallelism": 1 }),
            "$argon2id$v=19$m=64,t=1,p=1$",
        ),
        (
            "argon2",
            json!({ "rounds": 2, "memory_cost": 512, "parallelism": 4, "type": "I" }),
            "$argon2i$v=19$m=512,t=2,p=4$",
        ),
        (
            "argon2",
            json!({ "rounds": 1, "memory_cost": 64, "parallelism": 2, "type": "D" }),
            "$argon2d$v=19$m=64,t=1,p=2$",
        ),
        (
            "argon2",
            json!({ "rounds": 1, "memory_cost": 64, "parallelism": 1, "digest_size": 64 }),
            "$argon2id$",
        ),
        ("sha512_crypt", json!({}), "$6$rounds=656000$"),
        ("sha512_crypt", json!({ "rounds": 5000 }), "$6$"),
        (
            "sha512_crypt",
            json!({ "rounds": 1000, "salt_size": 3 }),
            "$6$rounds=1000$",
        ),
        ("sha256_crypt", json!({ "rounds": 5000 }), "$5$"),
        ("sha256_crypt", json!({ "rounds": 1234 }), "$5$rounds=1234$"),
    ]
}

/// Passwords that show what a scheme does to its input.
fn passwords() -> [String; 5] {
    [
        PASSWORD.to_owned(),
        " Zoë \u{1f600} pa\u{308}\u{df} ".to_owned(),
        "x".to_owned(),
        "a password that is longer than the seventy-two bytes that bcrypt takes of it, and more".to_owned(),
        "y".repeat(300),
    ]
}

fn status(client: &Client, name: &str, password: &str) -> u16 {
    let body = json!({ "username": name, "password": password });
    client.post_json("/api/login", &body).status
}

#[test]
fn every_scheme_logs_in_at_both_and_stays_as_it_is() {
    let mut libraries = Libraries::start();
    let database = Cluster::shared().database();
    database.psql(Edition::Mended.table());
    database.psql("ALTER TABLE users ALTER password DROP NOT NULL");
    let mut people = Vec::new();
    for (index, (scheme, settings, beginning)) in schemes().into_iter().enumerate() {
        for (which, password) in passwords().into_iter().enumerate() {
            // The default costs of a real table, once is enough.
            if which > 0 && (beginning.contains("656000") || beginning.contains("25000")) {
                continue;
            }
            let hash = libraries.hash(scheme, &password, &settings);
            assert!(hash.starts_with(beginning), "{hash}");
            people.push((format!("{scheme}-{index}-{which}"), password, hash));
        }
    }
    let rows: Vec<String> = people
        .iter()
        .map(|(name, _, hash)| format!("('{name}', '{hash}', 'user', true)"))
        .collect();
    database.psql(&format!(
        "INSERT INTO users (username, password, roles, is_active) VALUES {}",
        rows.join(",")
    ));
    for (name, password) in [
        ("unknown", "'$unknown$1$abc'"),
        ("plain", "'plain'"),
        ("empty", "''"),
        ("null", "NULL"),
        ("cut", "'$pbkdf2-sha512$25000$abc'"),
        (
            "old-bcrypt",
            "'$2x$04$......................CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'",
        ),
        ("django", "'pbkdf2_sha256$1$c$d'"),
    ] {
        database.psql(&format!(
            "INSERT INTO users (username, password, roles, is_active) VALUES ('{name}', {password}, 'user', true)"
        ));
    }
    let before = database.psql("SELECT id, username, password, roles, is_active FROM users ORDER BY id");
    let flask = Flask::start(Edition::Mended, &database.url());
    let world = World::in_database(database);
    let gateway = world.gateway(&with_secret(&world, SERVED));
    let mut wrong = Vec::new();
    for (name, password, hash) in &people {
        let longer = format!("{password}z");
        // bcrypt by itself looks at 72 bytes.
        let cut = hash.starts_with("$2") && password.len() >= 72;
        for (whose, client) in [("Doorward", &gateway.client), ("Flask", &flask.client)] {
            let given = [
                status(client, name, password),
                status(client, name, &longer),
                status(client, name, ""),
            ];
            let wanted = [200, if cut { 200 } else { 401 }, 401];
            if given != wanted {
                wrong.push(format!(
                    "{whose}, {name} {password:?} {hash}: {given:?}, not {wanted:?}"
                ));
            }
        }
    }
    for name in ["unknown", "plain", "empty", "null", "cut", "old-bcrypt", "django"] {
        for password in [PASSWORD, name, "", "U*U"] {
            let given = status(&gateway.client, name, password);
            if given != 401 {
                wrong.push(format!("{name}: {given} for {password:?}"));
            }
        }
        let given = status(&flask.client, name, PASSWORD);
        if ![401, 500].contains(&given) {
            wrong.push(format!("{name}: {given} at Flask"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        people.len(),
        wrong.join("\n")
    );
    let after = world.sql("SELECT id, username, password, roles, is_active FROM users ORDER BY id");
    assert_eq!(before, after, "a login changes nothing");
    assert!(people.len() > 80, "{}", people.len());
}

#[test]
fn an_upgraded_hash_is_one_that_passlib_reads() {
    let mut libraries = Libraries::start();
    let database = Cluster::shared().database();
    database.psql(Edition::Mended.table());
    let long = &passwords()[3];
    for (name, scheme, settings, password) in [
        ("pbkdf2", "pbkdf2_sha512", json!({ "rounds": 2 }), PASSWORD),
        ("bcrypt", "bcrypt", json!({ "rounds": 4 }), PASSWORD),
        ("long-bcrypt", "bcrypt_sha256", json!({ "rounds": 4 }), long.as_str()),
        ("crypt", "sha512_crypt", json!({ "rounds": 1000 }), PASSWORD),
    ] {
        let hash = libraries.hash(scheme, password, &settings);
        database.psql(&format!(
            "INSERT INTO users (username, password, roles, is_active) VALUES ('{name}', '{hash}', 'user', true)"
        ));
    }
    let flask = Flask::start(Edition::Mended, &database.url());
    let world = World::in_database(database);
    let gateway = world.gateway(&with_secret(&world, &format!("{SERVED}[passwords]\nupgrade = true\n")));
    for (name, password) in [
        ("pbkdf2", PASSWORD),
        ("bcrypt", PASSWORD),
        ("long-bcrypt", long.as_str()),
        ("crypt", PASSWORD),
    ] {
        assert_eq!(status(&gateway.client, name, password), 200, "{name}");
        let hash = || world.sql(&format!("SELECT password FROM users WHERE username = '{name}'"));
        crate::accounts::world::soon("the upgrade", || hash().starts_with("$argon2id$"));
        assert!(libraries.verifies(password, &hash()), "{}", hash());
        for client in [&flask.client, &gateway.client] {
            assert_eq!(status(client, name, password), 200, "{name}");
            assert_eq!(status(client, name, "wrong"), 401, "{name}");
        }
    }
}
