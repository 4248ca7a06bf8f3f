//! The database is away, and comes back: what that server's clients see, and that nothing is lost or there twice.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use serde_json::json;

use super::forge::{Person, forge};
use super::told::{COMPAT, error_of, token_of};
use super::{SERVED, with_secret};
use crate::accounts::answers::{problem, retry_after};
use crate::accounts::world::{Gateway, PASSWORD, World};
use crate::mail::{VERIFY, ask_reset, finalize, register, set_password};
use crate::postgres::Cluster;
use crate::support::client::Response;
use crate::support::smtp::Smtp;
use crate::support::until;

fn refresh(gateway: &Gateway, token: &str) -> Response {
    let request = gateway.client.request(Method::POST, "/api/refresh");
    request.body(token.to_owned()).send()
}

fn reset_password(gateway: &Gateway, token: &str) -> Response {
    let request = gateway.client.request(Method::POST, "/api/reset_finalize");
    request
        .bearer(token)
        .json(&json!({ "password": "herons under a bridge" }))
        .send()
}

/// In that server's form, with CORS, and when to come again.
fn unavailable(response: &Response) {
    error_of(response, 503, "ServiceUnavailable");
    retry_after(response);
}

fn back(cluster: &Cluster, gateway: &Gateway) {
    cluster.start_again();
    gateway.wait_until_ready();
}

#[test]
fn logins_registrations_and_refreshes_come_back_with_the_store() {
    let cluster = Cluster::start(&[]);
    let world = World::in_cluster(&cluster);
    let gateway = world.gateway(&with_secret(&world, SERVED));
    let token = token_of(&gateway.register_with("alice", PASSWORD));
    let id = world.sql("SELECT id FROM users").parse().unwrap();
    let person = |_: &str| Person {
        id,
        roles: "user".to_owned(),
    };
    let expired = forge("iat=@-100;exp=@-10", "an-old-one", person).token;
    // What was seen is known on.
    assert_eq!(gateway.status_as("/app/x", &token), 200);
    cluster.stop();
    for name in ["alice", "nobody"] {
        unavailable(&gateway.login_with(name, PASSWORD));
        unavailable(&gateway.login_with(name, "wrong"));
        unavailable(&gateway.register_with(name, PASSWORD));
    }
    unavailable(&refresh(&gateway, &expired));
    // What can be told without it is.
    error_of(&refresh(&gateway, &token), 425, "EarlyRefreshError");
    error_of(&refresh(&gateway, "nonsense"), 401, "InvalidTokenHeader");
    error_of(&gateway.client.get("/api/protected"), 401, "MissingToken");
    assert_eq!(gateway.client.get("/api/").status, 200);
    assert_eq!(gateway.status_as("/app/x", &token), 200);
    back(&cluster, &gateway);
    until("a refresh", || {
        (refresh(&gateway, &expired).status == 200).then_some(())
    });
    token_of(&gateway.login_with("alice", PASSWORD));
    token_of(&gateway.register_with("nobody", PASSWORD));
    assert_eq!(world.count("SELECT count(*) FROM users"), 2);
}

#[test]
fn what_was_mailed_counts_after_the_outage_and_nothing_is_mailed_twice() {
    let cluster = Cluster::start(&[]);
    let (world, smtp) = (World::in_cluster(&cluster), Smtp::plain(""));
    let gateway = world.gateway(&format!("{COMPAT}{VERIFY}{}", smtp.config("smtp", "")));
    for (index, name) in ["alice", "bob"].into_iter().enumerate() {
        register(&gateway, name, &format!("{name}@example.org")).expect(201);
        smtp.mail(index);
    }
    let tokens = [smtp.mail(0), smtp.mail(1)].map(|mail| (mail.to.clone(), mail.code()));
    let of = |name: &str| tokens.iter().find(|(to, _)| to.starts_with(name)).unwrap().1.clone();
    finalize(&gateway, &of("alice")).expect(200);
    ask_reset(&gateway, "alice@example.org").expect(200);
    let reset = smtp.mail(2).code();
    // A mail of which nobody wrote down that it was sent would be sent again, as docs/mail.md says.
    settled(&world);
    cluster.stop();
    unavailable(&finalize(&gateway, &of("bob")));
    unavailable(&reset_password(&gateway, &reset));
    unavailable(&ask_reset(&gateway, "alice@example.org"));
    unavailable(&register(&gateway, "carol", "carol@example.org"));
    back(&cluster, &gateway);
    until("a confirmation", || {
        (finalize(&gateway, &of("bob")).status == 200).then_some(())
    });
    reset_password(&gateway, &reset).expect(200);
    error_of(&reset_password(&gateway, &reset), 401, "InvalidResetToken");
    register(&gateway, "carol", "carol@example.org").expect(201);
    assert_eq!(smtp.mail(3).to, "carol@example.org");
    settled(&world);
    assert_eq!((smtp.count(), world.count("SELECT count(*) FROM users")), (4, 3));
}

#[test]
fn codes_of_our_own_count_once_after_the_outage() {
    let cluster = Cluster::start(&[]);
    let (world, smtp) = (World::in_cluster(&cluster), Smtp::plain(""));
    let gateway = world.gateway(&format!("{VERIFY}{}", smtp.config("smtp", "")));
    register(&gateway, "alice", "alice@example.org").expect(201);
    let code = smtp.mail(0).code();
    settled(&world);
    cluster.stop();
    let new = "herons under a quiet bridge";
    for response in [
        finalize(&gateway, &code),
        set_password(&gateway, &code, new),
        ask_reset(&gateway, "alice@example.org"),
        ask_reset(&gateway, "nobody@example.org"),
        register(&gateway, "bob", "bob@example.org"),
    ] {
        problem(&response, 503, "store_unavailable");
        retry_after(&response);
    }
    back(&cluster, &gateway);
    until("a confirmation", || {
        (finalize(&gateway, &code).status == 200).then_some(())
    });
    problem(&finalize(&gateway, &code), 401, "invalid_code");
    ask_reset(&gateway, "alice@example.org").expect(200);
    let code = smtp.mail(1).code();
    set_password(&gateway, &code, new).expect(200);
    problem(&set_password(&gateway, &code, new), 401, "invalid_code");
    settled(&world);
    assert_eq!((smtp.count(), world.count("SELECT count(*) FROM users")), (2, 1));
}

fn settled(world: &World<'_>) {
    until("nothing that waits", || {
        (world.count("SELECT count(*) FROM gateway_outbox WHERE settled_at IS NULL") == 0).then_some(())
    });
}

#[test]
fn who_was_told_to_be_registered_is_once_whenever_the_store_fell() {
    let cluster = Cluster::start(&[]);
    let world = World::in_cluster(&cluster);
    let gateway = world.gateway(COMPAT);
    let over = AtomicBool::new(false);
    let told: Vec<(String, u16)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (client, over) = (gateway.another_client(), &over);
                scope.spawn(move || {
                    let mut told = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let name = format!("user{thread}-{}", told.len());
                        let body = json!({ "username": name, "password": PASSWORD });
                        told.push((name, client.post_json("/api/registration", &body).status));
                    }
                    told
                })
            })
            .collect();
        let rows = |least| {
            until("registrations", || {
                (world.count("SELECT count(*) FROM users") >= least).then_some(())
            })
        };
        rows(8);
        cluster.stop();
        unavailable(&gateway.login_with("user0-0", PASSWORD));
        back(&cluster, &gateway);
        rows(world.count("SELECT count(*) FROM users") + 8);
        over.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(told.iter().any(|(_, status)| *status == 503), "{told:?}");
    for (name, status) in &told {
        let rows = world.count(&format!("SELECT count(*) FROM users WHERE username = '{name}'"));
        match status {
            200 => assert_eq!(rows, 1, "{name}"),
            // Whether it was done before the answer was lost, nobody was told; asked again, it is done.
            503 => {
                assert!(rows <= 1, "{name}");
                token_of(&gateway.register_with(name, PASSWORD));
            }
            other => panic!("{name}: {other}"),
        }
    }
    let (rows, names) = (
        told.len() as u64,
        world.count("SELECT count(DISTINCT username) FROM users"),
    );
    assert_eq!((world.count("SELECT count(*) FROM users"), names), (rows, rows));
}
