//! `POST /api/refresh`: rotation, repetition, reuse.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::answers::{Tokens, problem};
use super::world::{Kind, World, at_once};
use crate::support::issuer::claims_of;

on_both!(
    a_refresh_rotates_and_says_the_same_for_ten_seconds,
    a_spent_token_that_comes_late_ends_the_session,
    a_forged_token_ends_nothing,
    fifty_refreshes_of_one_token_log_nobody_out,
    tokens_of_other_kinds_are_no_refresh_tokens_and_the_other_way_round,
    a_refresh_follows_the_users_row,
    a_session_ends_by_time,
);

fn a_refresh_rotates_and_says_the_same_for_ten_seconds(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let first = gateway.register("alice");
    let second = Tokens::of(&gateway.refresh(&first.refresh));
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(claims_of(&second.access)["sid"], claims_of(&first.access)["sid"]);
    assert_ne!(claims_of(&second.access)["jti"], claims_of(&first.access)["jti"]);
    // The client lost the answer.
    let again = Tokens::of(&gateway.refresh(&first.refresh));
    assert_eq!(again.refresh, second.refresh);
    world.sql("UPDATE gateway_sessions SET rotated_at = rotated_at - 5000");
    assert_eq!(Tokens::of(&gateway.refresh(&first.refresh)).refresh, second.refresh);
    let third = Tokens::of(&gateway.refresh(&second.refresh));
    // Two turns back within the ten seconds: a client that retries fast is no thief.
    problem(&gateway.refresh(&first.refresh), 401, "invalid_grant");
    // Neither the old access token nor the newest refresh token suffered.
    assert_eq!(gateway.status_as("/app/x", &first.access), 200);
    assert_eq!(gateway.status_as("/app/x", &again.access), 200);
    let fourth = Tokens::of(&gateway.refresh(&third.refresh));
    assert_eq!(gateway.status_as("/app/x", &fourth.access), 200);
    // Only hashes are at rest.
    let rows = world.sql("SELECT * FROM gateway_sessions");
    for token in [&first, &second, &third, &fourth] {
        assert!(!rows.contains(&token.refresh));
    }
}

fn a_spent_token_that_comes_late_ends_the_session(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let other = gateway.register("alice");
    let first = gateway.login("alice");
    let second = Tokens::of(&gateway.refresh(&first.refresh));
    world.sql("UPDATE gateway_sessions SET rotated_at = rotated_at - 11000 WHERE rotated_at IS NOT NULL");
    let refused = gateway.refresh(&first.refresh);
    problem(&refused, 401, "invalid_grant");
    // RFC 6750 section 3.1: no error code there, since no bearer token was sent.
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"doorward\""));
    // It is over at once: for the thief's tokens and the owner's.
    for token in [&first.access, &second.access] {
        problem(&gateway.get_as("/app/x", token), 401, "invalid_token");
    }
    problem(&gateway.refresh(&second.refresh), 401, "invalid_grant");
    gateway
        .process
        .wait_for_line(|line| line.contains("audit") && line.contains("refresh_reuse"));
    let metrics = gateway.admin.get("/metrics").text();
    assert!(metrics.contains("\ndoorward_refresh_reuse_total 1\n"), "{metrics}");
    // The same person's other session goes on.
    assert_eq!(gateway.status_as("/app/x", &other.access), 200);
    Tokens::of(&gateway.refresh(&other.refresh));
}

fn a_forged_token_ends_nothing(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let first = gateway.register("alice");
    let second = Tokens::of(&gateway.refresh(&first.refresh));
    world.sql("UPDATE gateway_sessions SET rotated_at = rotated_at - 11000");
    let bytes = URL_SAFE_NO_PAD.decode(&first.refresh).unwrap();
    let forged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    };
    // sid (16 bytes, no secret), generation (4), family (16), secret (32).
    let all = [
        forged(&|bytes| bytes[16 + 4] ^= 1),
        forged(&|bytes| bytes[20..36].fill(0)),
        forged(&|bytes| bytes[20..].fill(7)),
        forged(&|bytes| bytes[0] ^= 1),
        forged(&|bytes| bytes[16] = 0xff),
        forged(&|bytes| bytes.push(0)),
        forged(&|bytes| bytes.truncate(67)),
        format!("{}=", first.refresh),
        first.refresh.to_uppercase(),
        "x".repeat(60_000),
        String::new(),
    ];
    for token in all {
        problem(&gateway.refresh(&token), 401, "invalid_grant");
    }
    assert_eq!(gateway.status_as("/app/x", &second.access), 200);
    Tokens::of(&gateway.refresh(&second.refresh));
}

fn fifty_refreshes_of_one_token_log_nobody_out(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let tokens = gateway.register("alice");
    let all = at_once(50, |_| Tokens::of(&gateway.refresh(&tokens.refresh)));
    let next = &all[0].refresh;
    assert!(all.iter().all(|tokens| tokens.refresh == *next));
    for tokens in &all {
        assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
    }
    let after = Tokens::of(&gateway.refresh(next));
    assert_eq!(gateway.status_as("/app/x", &after.access), 200);
    assert_eq!(
        world.count("SELECT count(*) FROM gateway_sessions WHERE generation = 2"),
        1
    );
}

fn tokens_of_other_kinds_are_no_refresh_tokens_and_the_other_way_round(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let tokens = gateway.register("alice");
    // The contract: access tokens of other formats than the praetorian one are a bad request or a bad grant, never good.
    let response = gateway.refresh(&tokens.access);
    assert!([400, 401].contains(&response.status), "{response:?}");
    problem(&gateway.get_as("/api/me", &tokens.refresh), 401, "invalid_token");
    problem(&gateway.get_as("/app/x", &tokens.refresh), 401, "invalid_token");
    // A raw access token as the body, as the old clients send it: 400 (section 3).
    let request = gateway
        .client
        .request(http::Method::POST, "/api/refresh")
        .bearer(&tokens.access);
    problem(&request.send(), 400, "invalid_request");
    let request = gateway
        .client
        .request(http::Method::POST, "/api/refresh")
        .body(tokens.access.clone());
    problem(&request.send(), 400, "invalid_request");
}

fn a_refresh_follows_the_users_row(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let first = gateway.register("alice");
    world.sql("UPDATE users SET roles = 'user,admin' WHERE username = 'alice'");
    let second = Tokens::of(&gateway.refresh(&first.refresh));
    assert_eq!(claims_of(&second.access)["roles"], serde_json::json!(["user", "admin"]));
    world.sql("UPDATE users SET is_active = FALSE WHERE username = 'alice'");
    problem(&gateway.refresh(&second.refresh), 401, "invalid_grant");
    world.sql("UPDATE users SET is_active = TRUE WHERE username = 'alice'");
    problem(&gateway.refresh(&second.refresh), 401, "invalid_grant");
    let third = gateway.login("alice");
    world.sql("DELETE FROM users");
    problem(&gateway.refresh(&third.refresh), 401, "invalid_grant");
}

fn a_session_ends_by_time(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("[tokens]\nrefresh_idle = '1h'\nrefresh_ttl = '2h'");
    let idle = gateway.register("alice");
    world.sql("UPDATE gateway_sessions SET idle_until = idle_until - 3600000");
    problem(&gateway.refresh(&idle.refresh), 401, "invalid_grant");
    let old = gateway.login("alice");
    world.sql("UPDATE gateway_sessions SET expires_at = expires_at - 7200000");
    problem(&gateway.refresh(&old.refresh), 401, "invalid_grant");
    // No refresh carries a session beyond its absolute end, and no token outlives its session.
    let last = gateway.login("alice");
    world.sql("UPDATE gateway_sessions SET expires_at = expires_at - 7140000 WHERE expires_at = (SELECT max(expires_at) FROM gateway_sessions)");
    let response = gateway.refresh(&last.refresh);
    let tokens = Tokens::of(&response);
    let left = |name: &str| response.json()[name].as_i64().unwrap();
    assert!(left("refresh_expires_in") <= 60, "{}", response.text());
    assert!(left("expires_in") <= 60, "{}", response.text());
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
}
