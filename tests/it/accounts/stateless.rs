//! Tokens of the praetorian format: no session stands behind them, and still they end everywhere when they should.

use http::Method;
use serde_json::json;

use super::answers::problem;
use super::world::{Gateway, Kind, PASSWORD, World, soon};
use crate::support::client::Response;
use crate::support::issuer::claims_of;
use crate::support::until;

on_both!(
    a_token_names_its_user_by_id_and_counts_everywhere,
    a_token_ends_by_logout_and_by_command,
    a_new_password_and_a_closed_account_end_all_tokens_and_no_later_one,
    the_flask_servers_header_is_read_and_taken_off,
    an_expired_token_is_refreshed_from_the_raw_body,
    an_old_token_gives_a_session_where_tokens_are_of_the_standard_format,
    a_refresh_that_is_none_is_told_as_that_server_tells_it,
);

const FORMAT: &str = "[compat]\nsecret = \"hunter2\"\naccept_until = \"2100-01-01T00:00:00Z\"\n\
    [tokens]\nformat = \"praetorian\"\nalgorithm = \"HS256\"\nsecret_file = \"SECRET\"\n";

fn seconds() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A file with the secret, and the configuration that names it.
fn configured() -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "x".repeat(32)).unwrap();
    let text = FORMAT.replace("SECRET", file.path().to_str().unwrap());
    (file, text)
}

fn token(gateway: &Gateway, path: &str) -> String {
    let body = json!({ "username": "alice", "password": PASSWORD });
    let answer = gateway
        .client
        .request(Method::POST, path)
        .json(&body)
        .send()
        .expect(200)
        .json();
    assert!(answer.get("refresh_token").is_none(), "{answer}");
    answer["access_token"].as_str().unwrap().to_owned()
}

fn a_token_names_its_user_by_id_and_counts_everywhere(kind: Kind) {
    let (_secret, format) = configured();
    let world = World::new(kind);
    let (one, other) = (world.gateway(&format), world.gateway(&format));
    let alice = token(&one, "/api/registration");
    let claims = claims_of(&alice);
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["exp", "iat", "id", "jti", "rf_exp", "rls"]);
    assert_eq!((claims["id"].as_i64(), claims["rls"].as_str()), (Some(1), Some("user")));
    for gateway in [&one, &other] {
        let me = gateway.me(&alice);
        assert_eq!((&me["username"], &me["roles"]), (&json!("alice"), &json!(["user"])));
    }
    world.sql("UPDATE users SET roles = 'user,ops'");
    for gateway in [&one, &other] {
        soon("the stored roles", || {
            gateway.me(&alice)["roles"] == json!(["user", "ops"])
        });
    }
    world.sql("DELETE FROM users");
    one.soon_answers("/api/me", &alice, 401);
    other.soon_answers("/api/me", &alice, 401);
}

fn a_token_ends_by_logout_and_by_command(kind: Kind) {
    let (_secret, format) = configured();
    let world = World::new(kind);
    let (one, other) = (world.gateway(&format), world.gateway(&format));
    let first = token(&one, "/api/registration");
    let second = token(&other, "/api/login");
    for gateway in [&one, &other] {
        assert_eq!(gateway.status_as("/api/me", &first), 200);
        assert_eq!(gateway.status_as("/api/me", &second), 200);
    }
    one.logout(&first).expect(204);
    assert_eq!(one.status_as("/api/me", &first), 401, "here at once");
    other.soon_answers("/api/me", &first, 401);
    let id = claims_of(&second)["jti"].as_str().unwrap().to_owned();
    let said = world.said_with(&format, &["token", "revoke", "--jti", &id]);
    assert!(said.contains("of this gateway"), "{said}");
    one.soon_answers("/api/me", &second, 401);
    other.soon_answers("/api/me", &second, 401);
    assert_eq!(world.count("SELECT count(*) FROM gateway_sessions"), 0);
    // Whoever starts later knows it as well.
    let third = world.gateway(&format);
    assert_eq!(third.status_as("/api/me", &second), 401);
    let (status, out, said) = world.run_with(&format, &["token", "inspect", &second]);
    assert_eq!(status, 1, "{out}{said}");
    assert!(said.contains("blacklisted"), "{said}");
    let good = token(&one, "/api/login");
    let said = world.said_with(&format, &["token", "inspect", &good]);
    assert!(said.contains("good: alice of this gateway"), "{said}");
}

fn a_new_password_and_a_closed_account_end_all_tokens_and_no_later_one(kind: Kind) {
    let (_secret, format) = configured();
    let world = World::new(kind);
    let (one, other) = (world.gateway(&format), world.gateway(&format));
    let mut old = token(&one, "/api/registration");
    for statement in [
        "UPDATE users SET password = password || ' '; UPDATE users SET password = rtrim(password)",
        "UPDATE users SET is_active = false; UPDATE users SET is_active = true",
    ] {
        assert_eq!(one.status_as("/api/me", &old), 200);
        assert_eq!(other.status_as("/api/me", &old), 200);
        if statement.contains("password") {
            // Of a password that another hand changes, what was issued in that second and the one before stays.
            let issued = claims_of(&old)["iat"].as_i64().unwrap();
            until("a later second", || (seconds() > issued + 1).then_some(()));
        }
        world.sql(statement);
        let new = token(&one, "/api/login");
        one.soon_answers("/api/me", &old, 401);
        other.soon_answers("/api/me", &old, 401);
        assert_eq!(one.status_as("/api/me", &new), 200, "issued right after: {statement}");
        assert_eq!(other.status_as("/api/me", &new), 200, "issued right after: {statement}");
        old = new;
    }
    world.sql("UPDATE users SET is_active = NULL");
    one.soon_answers("/api/me", &old, 401);
    other.soon_answers("/api/me", &old, 401);
}

/// Sends the token as the body, as it is.
fn refreshed(gateway: &Gateway, token: &str) -> Response {
    let request = gateway.client.request(Method::POST, "/api/refresh");
    request.body(token.to_owned()).send()
}

fn an_expired_token_is_refreshed_from_the_raw_body(kind: Kind) {
    let (_secret, format) = configured();
    let world = World::new(kind);
    let gateway = world.gateway(&format!("{format}access_ttl = \"2s\"\n"));
    let old = token(&gateway, "/api/registration");
    gateway.soon_answers("/api/me", &old, 401);
    for _ in 0..2 {
        let answer = refreshed(&gateway, &old).expect(200).json();
        assert_eq!(answer["token_type"], "Bearer");
        assert!(answer.get("refresh_token").is_none(), "{answer}");
        let fresh = answer["access_token"].as_str().unwrap();
        let (before, after) = (claims_of(&old), claims_of(fresh));
        assert_eq!((&before["jti"], &before["rf_exp"]), (&after["jti"], &after["rf_exp"]));
    }
    // Others are none: 400 as ever.
    for body in ["", "undefined", "a.b.c", "{}"] {
        problem(&refreshed(&gateway, body), 400, "invalid_request");
    }
    let broken = format!("{}.AAAA", old.rsplit_once('.').unwrap().0);
    problem(&refreshed(&gateway, &broken), 401, "invalid_grant");
    world.sql("UPDATE users SET is_active = FALSE");
    problem(&refreshed(&gateway, &old), 403, "account_inactive");
}

fn an_old_token_gives_a_session_where_tokens_are_of_the_standard_format(kind: Kind) {
    let secret = "[compat]\nsecret = \"hunter2\"\n";
    let world = World::new(kind);
    let before = world.gateway(&format!(
        "{secret}flask_praetorian = true\n[tokens]\naccess_ttl = \"2s\"\nrefresh_idle = \"1h\"\nrefresh_ttl = \"1h\"\n"
    ));
    let old = token(&before, "/api/registration");
    before.soon_answers("/api/me", &old, 401);
    let gateway = world.gateway(&format!("{secret}accept_until = \"2100-01-01T00:00:00Z\"\n"));
    let answer = refreshed(&gateway, &old).expect(200).json();
    let access = answer["access_token"].as_str().unwrap();
    assert_eq!(gateway.me(access)["username"], "alice");
    // Not for longer than the old one could be refreshed.
    assert!(answer["refresh_expires_in"].as_i64().unwrap() <= 3600, "{answer}");
    let body = json!({ "refresh_token": answer["refresh_token"] });
    gateway.client.post_json("/api/refresh", &body).expect(200);
    // A token of this format is no such grant.
    problem(&refreshed(&gateway, access), 400, "invalid_request");
}

fn a_refresh_that_is_none_is_told_as_that_server_tells_it(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[compat]\nflask_praetorian = true\nsecret = \"hunter2\"\n");
    let good = token(&gateway, "/api/registration");
    for body in [
        r#"{"refresh_token":"x"}"#.to_owned(),
        json!({ "refresh_token": good }).to_string(),
        "{}".to_owned(),
    ] {
        let answer = refreshed(&gateway, &body).expect(401).json();
        assert_eq!(answer["error"], "InvalidTokenHeader", "{answer}");
    }
}

fn the_flask_servers_header_is_read_and_taken_off(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[compat]\nflask_praetorian = true\nsecret = \"hunter2\"\n");
    let alice = token(&gateway, "/api/registration");
    assert!(
        world
            .sql("SELECT password FROM users")
            .starts_with("$pbkdf2-sha512$25000$")
    );
    for field in [
        format!("Bearer {alice}"),
        format!("Bearer{alice}"),
        format!("Bearer \t {alice}, x"),
    ] {
        let request = gateway.client.request(Method::GET, "/app/x");
        let answer = request.header("authorization", &field).send().expect(200);
        let seen = answer.text();
        assert!(seen.contains("alice") && !seen.contains(&alice), "{field}: {seen}");
    }
    for field in [
        format!("bearer {alice}"),
        "Bearer".to_owned(),
        "Bearer a.b.c".to_owned(),
    ] {
        let request = gateway.client.request(Method::GET, "/app/x");
        request.header("authorization", &field).send().expect(401);
    }
}
