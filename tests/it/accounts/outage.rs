//! The store is away: what is known goes on, what needs it says so, and it heals by itself.

use std::time::{Duration, Instant};

use super::answers::{Tokens, problem, retry_after};
use super::world::{Gateway, Kind, PASSWORD, World};
use crate::postgres::Cluster;
use crate::support::client::Response;
use crate::support::until;

#[test]
fn a_gateway_outlives_its_store() {
    let cluster = Cluster::start(&[]);
    let world = World::in_cluster(&cluster);
    let gateway = world.gateway("");
    let seen = gateway.register("alice");
    let unseen = gateway.login("alice");
    let out = gateway.login("alice");
    assert_eq!(gateway.status_as("/app/x", &seen.access), 200);
    assert_eq!(gateway.logout(&out.access).status, 204);
    cluster.stop();
    for token in [&seen.access, &unseen.access] {
        assert_eq!(gateway.status_as("/app/x", token), 200);
        assert_eq!(gateway.status_as("/api/me", token), 200);
    }
    assert_eq!(gateway.client.get("/public/x").status, 200);
    // What is known of ended sessions is known on.
    assert_eq!(gateway.status_as("/app/x", &out.access), 401);
    needs_the_store(&gateway, &seen);
    let not_ready = until("a gateway that says it is not ready", || {
        let answer = gateway.admin.get("/readyz");
        (answer.status == 503).then_some(answer)
    });
    assert!(not_ready.text().contains("store"), "{not_ready:?}");
    assert_eq!(gateway.admin.get("/healthz").status, 200);
    let metrics = gateway.admin.get("/metrics").text();
    let age = metrics
        .lines()
        .find_map(|line| line.strip_prefix("doorward_revocation_age_seconds "));
    assert!(age.unwrap().parse::<f64>().unwrap() >= 1.0, "{metrics}");
    gateway
        .process
        .wait_for_line(|line| line.contains("WARN") && line.contains("the store cannot be read"));
    assert_eq!(gateway.status_as("/app/x", &seen.access), 200);
    // A logout that was not acknowledged ended nothing; the next one does.
    cluster.start_again();
    gateway.wait_until_ready();
    until("a login", || {
        (gateway.login_with("alice", PASSWORD).status == 200).then_some(())
    });
    Tokens::of(&gateway.refresh(&seen.refresh));
    assert_eq!(gateway.logout(&seen.access).status, 204);
    assert_eq!(gateway.status_as("/app/x", &seen.access), 401);
    // The feed is followed again.
    world.sql("UPDATE users SET roles = 'admin'");
    gateway.soon_answers("/app/admin", &unseen.access, 200);
}

#[test]
fn a_gateway_starts_without_its_store() {
    let cluster = Cluster::start(&[]);
    let world = World::in_cluster(&cluster);
    let gateway = world.gateway("");
    let tokens = gateway.register("alice");
    let out = gateway.login("alice");
    assert_eq!(gateway.logout(&out.access).status, 204);
    gateway.kill();
    cluster.stop();
    let gateway = world.starting_gateway("");
    assert_eq!(gateway.client.get("/public/x").status, 200);
    assert_eq!(gateway.client.get("/api/").status, 200);
    // Nobody could say whether it was revoked.
    for token in [&tokens.access, &out.access] {
        for path in ["/app/x", "/api/me"] {
            let refused = gateway.get_as(path, token);
            problem(&refused, 503, "not_ready");
            retry_after(&refused);
        }
    }
    // Who shows nothing is told what is missing.
    problem(&gateway.client.get("/app/x"), 401, "credentials_required");
    store_unavailable(&gateway.login_with("alice", PASSWORD));
    let ready = gateway.admin.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(!ready.text().trim().is_empty());
    cluster.start_again();
    gateway.wait_until_ready();
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
    assert_eq!(gateway.status_as("/app/x", &out.access), 401);
    gateway.login("alice");
}

#[test]
fn a_store_that_falls_silent_is_noticed() {
    let cluster = Cluster::start(&[]);
    let world = World::in_cluster(&cluster);
    let gateway = world.gateway("");
    let tokens = gateway.register("alice");
    cluster.freeze();
    // Two seconds for the first, a tenth of one for each of the rest; the margin is the busy machine's.
    let begun = Instant::now();
    store_unavailable(&gateway.login_with("alice", PASSWORD));
    let (first, begun) = (begun.elapsed(), Instant::now());
    needs_the_store(&gateway, &tokens);
    let five = begun.elapsed();
    assert!(
        first < Duration::from_secs(4) && five < Duration::from_secs(2),
        "{first:?} {five:?}"
    );
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
    cluster.thaw();
    until("a login", || {
        (gateway.login_with("alice", PASSWORD).status == 200).then_some(())
    });
    assert_eq!(gateway.logout(&tokens.access).status, 204);
}

#[test]
fn a_file_that_another_program_holds_is_waited_for_and_then_unavailable() {
    let world = World::new(Kind::Sqlite);
    let gateway = world.gateway("");
    let tokens = gateway.register("alice");
    let super::world::Place::Sqlite(path) = &world.place else {
        unreachable!()
    };
    let holder = rusqlite::Connection::open(path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    store_unavailable(&gateway.login_with("alice", PASSWORD));
    assert!(begun.elapsed() < Duration::from_secs(6));
    store_unavailable(&gateway.logout(&tokens.access));
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
    holder.execute_batch("ROLLBACK").unwrap();
    gateway.login("alice");
    assert_eq!(gateway.logout(&tokens.access).status, 204);
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 401);
}

fn needs_the_store(gateway: &Gateway, tokens: &Tokens) {
    store_unavailable(&gateway.login_with("alice", PASSWORD));
    store_unavailable(&gateway.login_with("nobody", PASSWORD));
    store_unavailable(&gateway.refresh(&tokens.refresh));
    store_unavailable(&gateway.register_with("bob", PASSWORD));
    store_unavailable(&gateway.logout(&tokens.access));
}

fn store_unavailable(response: &Response) {
    let document = problem(response, 503, "store_unavailable");
    retry_after(response);
    // Why is nobody's business but the log's.
    assert_eq!(
        document["detail"],
        "The user store does not answer. Try again in a moment."
    );
}
