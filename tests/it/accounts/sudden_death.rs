//! What was acknowledged is there after `kill -9`, of the gateway and of PostgreSQL.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::answers::{Tokens, problem};
use super::world::{Gateway, Kind, PASSWORD, World};
use crate::postgres::Cluster;
use crate::support::client::Response;
use crate::support::until;

on_both!(a_killed_gateway_forgets_nothing_it_said);

/// What one busy client was told.
#[derive(Default)]
pub struct Told {
    /// Names whose registration was acknowledged.
    pub names: Vec<String>,
    /// Sessions whose logout was acknowledged.
    pub ended: Vec<Tokens>,
    /// Sessions that go on, with the newest tokens that were given out.
    pub living: Vec<Tokens>,
}

/// So many rounds: a few, or with `DOORWARD_LONG=1` as many as the contract's own test has.
fn rounds() -> usize {
    if std::env::var_os("DOORWARD_LONG").is_some_and(|value| value == "1") {
        20
    } else {
        3
    }
}

fn a_killed_gateway_forgets_nothing_it_said(kind: Kind) {
    let world = World::new(kind);
    let mut gateway = world.gateway("");
    for round in 0..rounds() {
        let told = while_busy(&gateway, round, || {
            // By the signal alone: nothing of the gateway's is asked to end well.
            rustix::process::kill_process(pid(&gateway), rustix::process::Signal::KILL).unwrap();
        });
        gateway.kill();
        gateway = world.gateway("");
        check(&gateway, &world, &told);
    }
}

#[test]
fn a_crash_of_the_store_forgets_nothing_that_was_said() {
    let cluster = Cluster::start(&[]);
    let world = World::in_cluster(&cluster);
    let gateway = world.gateway("");
    for round in 0..rounds() {
        let told = while_busy(&gateway, round, || cluster.stop());
        cluster.start_again();
        until("a login", || {
            let name = told.iter().find_map(|told| told.names.first()).expect("a registration");
            (gateway.login_with(name, PASSWORD).status == 200).then_some(())
        });
        gateway.wait_until_ready();
        check(&gateway, &world, &told);
    }
}

/// Four clients register, refresh and log out as fast as they can; in the middle of it the catastrophe happens.
pub fn while_busy(gateway: &Gateway, round: usize, catastrophe: impl FnOnce()) -> Vec<Told> {
    let (acknowledged, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (acknowledged, over) = (&acknowledged, &over);
        let clients: Vec<_> = (0..4)
            .map(|client| {
                scope.spawn(move || {
                    let mut told = Told::default();
                    let mut number = 0;
                    while !over.load(Ordering::SeqCst)
                        && live(
                            gateway,
                            &format!("user-{round}-{client}-{number}"),
                            &mut told,
                            acknowledged,
                        )
                        .is_some()
                    {
                        number += 1;
                    }
                    told
                })
            })
            .collect();
        until("some acknowledged lives", || {
            (acknowledged.load(Ordering::SeqCst) >= 40).then_some(())
        });
        catastrophe();
        over.store(true, Ordering::SeqCst);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

/// One account's life; `None`: the end came before the answer.
fn live(gateway: &Gateway, name: &str, told: &mut Told, acknowledged: &AtomicUsize) -> Option<()> {
    let client = gateway.another_client();
    let post = |path: &str, body: serde_json::Value| {
        let response = client.request(http::Method::POST, path).json(&body).try_send().ok()?;
        // The store may be away before the gateway notices; then nothing was acknowledged.
        if response.status == 503 {
            return None;
        }
        acknowledged.fetch_add(1, Ordering::SeqCst);
        Some(Tokens::of(&response))
    };
    let first = post(
        "/api/registration",
        serde_json::json!({ "username": name, "password": PASSWORD }),
    )?;
    told.names.push(name.to_owned());
    told.living.push(first.clone());
    let second = post("/api/refresh", serde_json::json!({ "refresh_token": first.refresh }))?;
    told.living.pop();
    told.living.push(second.clone());
    // From here on nobody knows, until it is acknowledged.
    let another = post(
        "/api/login",
        serde_json::json!({ "username": name, "password": PASSWORD }),
    )?;
    let logout = client
        .request(http::Method::POST, "/api/logout")
        .bearer(&another.access)
        .try_send()
        .ok()?;
    if logout.status == 503 {
        return None;
    }
    assert_eq!(logout.status, 204);
    acknowledged.fetch_add(1, Ordering::SeqCst);
    told.ended.push(another);
    Some(())
}

pub fn check(gateway: &Gateway, world: &World<'_>, told: &[Told]) {
    let names: Vec<String> = told
        .iter()
        .flat_map(|told| &told.names)
        .map(|name| format!("'{name}'"))
        .collect();
    let there = world.count(&format!(
        "SELECT count(*) FROM users WHERE username IN ({})",
        names.join(", ")
    ));
    assert_eq!(there, names.len() as u64);
    for told in told {
        if let Some(name) = told.names.last() {
            Tokens::of(&answered(|| gateway.login_with(name, PASSWORD)));
        }
        for tokens in &told.ended {
            problem(&gateway.get_as("/app/x", &tokens.access), 401, "invalid_token");
            problem(&answered(|| gateway.refresh(&tokens.refresh)), 401, "invalid_grant");
        }
        for tokens in &told.living {
            assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
            // The current one, or, where an answer was lost, the one before it.
            Tokens::of(&answered(|| gateway.refresh(&tokens.refresh)));
        }
    }
}

/// What a store that has just come back says when it says something: on a busy machine it may be late once more.
fn answered(ask: impl Fn() -> Response) -> Response {
    until("an answer of the store", || {
        Some(ask()).filter(|answer| answer.status != 503)
    })
}

fn pid(gateway: &Gateway) -> rustix::process::Pid {
    let id = i32::try_from(gateway.process.id()).unwrap();
    rustix::process::Pid::from_raw(id).unwrap()
}

/// A program that looks at the store from outside and goes away again must not take the gateway's hold on the file with it:
/// once the last look from outside folded the log in and unlinked it, and what came after was lost.
#[test]
fn a_look_from_outside_loses_nothing() {
    let world = World::new(Kind::Sqlite);
    let mut gateway = world.gateway("");
    gateway.register("before");
    world.doorward(&["user", "list"], "");
    gateway.register("after");
    assert_eq!(
        world.count("SELECT count(*) FROM users WHERE username IN ('before', 'after')"),
        2
    );
    gateway.kill();
    gateway = world.gateway("");
    gateway.login("before");
    gateway.login("after");
}
