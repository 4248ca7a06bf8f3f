//! Names that are longer than what carries them.

use http::Method;
use serde_json::json;

use super::told::{COMPAT, HASH, flask_world, token_of};
use crate::accounts::browser::{get_with, log_in, set_cookie};
use crate::accounts::world::{Kind, PASSWORD};

on_both!(a_name_that_no_cookie_holds_is_told_so_and_opens_no_session);

/// What browsers keep of a name and a value.
const KEPT: usize = 4096;

fn a_name_that_no_cookie_holds_is_told_so_and_opens_no_session(kind: Kind) {
    let world = flask_world(kind);
    let (fits, long) = ("f".repeat(2_500), "n".repeat(10_000));
    for name in [&fits, &long] {
        world.sql(&format!(
            "INSERT INTO users (username, password, roles, is_active) VALUES ('{name}', '{HASH}', 'user', TRUE)"
        ));
    }
    let gateway = world.gateway(COMPAT);
    let living = || world.count("SELECT count(*) FROM gateway_sessions WHERE revoked_at IS NULL");
    let jar = set_cookie(&log_in(&gateway.client, &fits, PASSWORD, None).expect(303));
    assert!(jar.len() <= KEPT, "{}", jar.len());
    let me = get_with(&gateway.client, "/api/me", &jar).expect(200).json();
    assert_eq!(me["username"], json!(fits));
    assert_eq!(living(), 1);
    let refused = log_in(&gateway.client, &long, PASSWORD, None);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(!refused.headers.has("set-cookie"));
    assert!(
        refused.text().contains("too long for a token or a cookie"),
        "{}",
        refused.text()
    );
    assert_eq!(living(), 1);
    let line = gateway.process.wait_for_line(|line| line.contains("no cookie was set"));
    assert!(
        line.contains("name.bytes=10000") && !line.contains("nnnnnnnn"),
        "{line}"
    );
    // The tokens of this format hold no name.
    let body = json!({ "username": long, "password": PASSWORD });
    let token = token_of(&gateway.client.request(Method::POST, "/api/login").json(&body).send());
    assert_eq!(
        gateway.get_as("/api/me", &token).expect(200).json()["username"],
        json!(long)
    );
}
