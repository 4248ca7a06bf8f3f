//! What the answers here have to look like, and the table they are about.

use serde_json::{Value, json};

use crate::accounts::world::{Gateway, Kind, PASSWORD, World};
use crate::support::client::Response;

/// What makes a gateway one of these.
pub const COMPAT: &str =
    "[compat]\nflask_praetorian = true\nsecret = \"a secret of the Flask server, 0123456789abcdef\"\n";

/// passlib's `pbkdf2_sha512` of [`PASSWORD`], made with Python's hashlib.
pub const HASH: &str = "$pbkdf2-sha512$25000$MDEyMzQ1Njc4OWFiY2RlZg$Wg2LIbJ/64.wbM4Kg4ALTDaXdlOibai/XyEQ2mGVvKGMoZPJ/w3yweGD7nHx.Vnw0aNq5fb2XQJyEgKcY0lt.g";

pub const INCORRECT: &str = "The username and/or password are incorrect";
pub const REVOKED: &str = "The user is not valid or has had access revoked";

/// The table as that server's ORM makes it, without UNIQUE.
pub fn flask_world(kind: Kind) -> World<'static> {
    let world = World::new(kind);
    let id = if kind == Kind::Postgres { "serial" } else { "INTEGER" };
    world.sql(&format!(
        "CREATE TABLE users (id {id} NOT NULL, username TEXT, password TEXT, roles TEXT, is_active BOOLEAN, PRIMARY KEY (id))"
    ));
    for (name, password, active) in [
        ("alice", HASH, "TRUE"),
        ("off", HASH, "FALSE"),
        ("never-set", HASH, "NULL"),
        ("twin", HASH, "TRUE"),
        ("twin", HASH, "TRUE"),
        ("plain", PASSWORD, "TRUE"),
        ("", HASH, "TRUE"),
    ] {
        world.sql(&format!(
            "INSERT INTO users (username, password, roles, is_active) VALUES ('{name}', '{password}', 'user', {active})"
        ));
    }
    world
}

/// A gateway in that server's place.
pub fn flask_gateway(world: &World<'_>) -> Gateway {
    world.gateway(COMPAT)
}

/// Fails unless the answer is an error in that server's form, and says nothing more.
pub fn error(response: &Response, status: u16, class: &str, text: &str) {
    let document = error_of(response, status, class);
    assert_eq!(document["message"], text, "{document}");
}

/// The same, whatever the text says.
pub fn error_of(response: &Response, status: u16, class: &str) -> Value {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(response.headers.has("access-control-allow-origin"));
    assert!(!response.headers.has("set-cookie"));
    let document = response.json();
    let text = document["message"].as_str().unwrap_or_default();
    assert!(!text.is_empty(), "{document}");
    assert_eq!(
        document,
        json!({ "error": class, "message": text, "status_code": status })
    );
    document
}

/// The token of an answer that holds one and nothing else.
pub fn token_of(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(!response.headers.has("set-cookie"));
    let body = response.json();
    let token = body["access_token"].as_str().unwrap_or_default().to_owned();
    assert_eq!(body, json!({ "access_token": token }));
    assert_eq!(token.split('.').count(), 3, "{token}");
    token
}
