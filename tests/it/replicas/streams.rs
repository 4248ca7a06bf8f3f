//! What is open closes within two seconds of the end of what it stands on, whatever that is and wherever it was ended.

use std::time::{Duration, Instant};

use doorward::authn::write_ticket;

use super::{api_key, hex, literal, now, replicas, session_of};
use crate::accounts::answers::Tokens;
use crate::accounts::world::{Gateway, Kind, Place, World};
use crate::postgres::Cluster;
use crate::streams::{WEBSOCKET, get};
use crate::support::issuer::Issuer;
use crate::support::raw::RawClient;
use crate::support::relay::Relay;
use crate::support::reply::{Gate as Barrier, Reply};

on_both!(
    a_stream_of_an_api_key_ends_with_the_key_and_with_its_owner,
    a_stream_of_a_ticket_ends_with_what_fetched_it,
    a_stream_ends_with_its_sessions_time_unless_somebody_renews_it,
    events_and_downloads_end_too,
    streams_of_banned_strangers_end,
);

/// The close frame of a policy violation (RFC 6455 section 7.4.1).
const CLOSED: &[u8] = &[0x88, 2, 0x03, 0xf0];
/// What is promised, and as much again for a busy machine.
const SOON: Duration = Duration::from_secs(4);

fn open(world: &World<'_>, gateway: &Gateway, target: &str, lines: &str) -> RawClient {
    world.backend.next(Reply::upgrade_and_echo("websocket"));
    let mut client = RawClient::connect(gateway.address);
    let answer = client.send(get(target, &format!("{WEBSOCKET}{lines}"))).response();
    assert_eq!(answer.status, 101, "{}", answer.text());
    assert_lives(&mut client);
    client
}

fn open_as(world: &World<'_>, gateway: &Gateway, token: &str) -> RawClient {
    open(world, gateway, "/app/ws", &format!("Authorization: Bearer {token}\r\n"))
}

fn assert_lives(client: &mut RawClient) {
    client.send(b"\x82\x01a");
    assert_eq!(client.take(3).unwrap(), b"\x82\x01a");
}

/// How long after the act the stream closed.
fn closes(client: &mut RawClient, what: &str, act: impl FnOnce()) {
    act();
    let begun = Instant::now();
    assert_eq!(client.take_all().unwrap(), CLOSED, "{what}");
    println!("{what}: {} ms", begun.elapsed().as_millis());
    assert!(begun.elapsed() < SOON, "{what}: {:?}", begun.elapsed());
}

fn a_stream_of_an_api_key_ends_with_the_key_and_with_its_owner(kind: Kind) {
    let world = World::new(kind);
    let all = replicas(&world, 2, "");
    for name in ["alice", "bob", "carol"] {
        all[1].register(name);
    }
    let keys = [("alice", 1), ("alice", 2), ("alice", 3), ("bob", 4), ("carol", 5)];
    let keys = keys.map(|(user, number)| api_key(&world, user, number));
    let mut streams = keys.each_ref().map(|(text, _)| open_as(&world, &all[0], text));
    let [revoked, deleted, kept, of_bob, of_carol] = &mut streams;
    let sql = |text: String| world.sql(&text);
    closes(revoked, "a revoked key", || {
        sql(format!(
            "UPDATE gateway_api_keys SET revoked_at = 1 WHERE id = '{}'",
            keys[0].1
        ));
    });
    closes(deleted, "a deleted key", || {
        sql(format!("DELETE FROM gateway_api_keys WHERE id = '{}'", keys[1].1));
    });
    closes(of_bob, "an inactive owner", || {
        world.doorward(&["user", "deactivate", "bob"], "");
    });
    closes(of_carol, "a deleted owner", || {
        sql("DELETE FROM users WHERE username = 'carol'".to_owned());
    });
    // A change that takes nothing away ends nothing.
    sql(format!(
        "UPDATE gateway_api_keys SET name = 'other' WHERE id = '{}'",
        keys[2].1
    ));
    all[0].soon_answers("/app/x", &keys[2].0, 200);
    assert_lives(kept);
}

/// Puts a ticket into the store, as if it had been fetched with a session or a key; its text.
fn ticket(world: &World<'_>, number: u8, user: &str, columns: &str, values: &str) -> String {
    let (text, hash) = write_ticket(&[number; 32]);
    let hash = literal(world, &hex(&hash));
    let later = now() + 3_600_000;
    world.sql(&format!(
        "INSERT INTO gateway_tickets (hash, user_id, not_after, expires_at, {columns}) \
        SELECT {hash}, u.id, {later}, {later}, {values} FROM users u WHERE u.username = '{user}'"
    ));
    text
}

fn a_stream_of_a_ticket_ends_with_what_fetched_it(kind: Kind) {
    let world = World::new(kind);
    let all = replicas(&world, 2, "");
    let tokens = all[1].register("alice");
    let (_, key) = api_key(&world, "alice", 1);
    let session = session_of(&world, &tokens).replace("id = ", "");
    let by_session = ticket(
        &world,
        1,
        "alice",
        "credential, session_id",
        &format!("'bearer', {session}"),
    );
    let by_key = ticket(
        &world,
        2,
        "alice",
        "credential, api_key",
        &format!("'api_key', '{key}'"),
    );
    let mut streams = [by_session, by_key].map(|ticket| {
        let target = format!("/app/ws?doorward_ticket={ticket}");
        open(&world, &all[0], &target, "")
    });
    closes(&mut streams[0], "a ticket of a session that logs out", || {
        assert_eq!(all[1].logout(&tokens.access).status, 204);
    });
    assert_lives(&mut streams[1]);
    closes(&mut streams[1], "a ticket of a key that is revoked", || {
        world.sql("UPDATE gateway_api_keys SET revoked_at = 1");
    });
}

fn a_stream_ends_with_its_sessions_time_unless_somebody_renews_it(kind: Kind) {
    let world = World::new(kind);
    let all = replicas(&world, 2, "[tokens]\nrefresh_idle = \"3s\"\naccess_ttl = \"2s\"\n");
    let (idle, busy) = (all[1].register("idle"), all[1].register("busy"));
    let (absolute, bystander) = (all[1].login("idle"), all[1].register("bystander"));
    // Its last day is today; nobody is told.
    let end = now() + 5_000;
    let session = session_of(&world, &absolute);
    world.sql(&format!(
        "UPDATE gateway_sessions SET expires_at = {end}, idle_until = {end} WHERE {session}"
    ));
    world.sql(&format!(
        "UPDATE gateway_sessions SET idle_until = idle_until + 600000 WHERE {}",
        session_of(&world, &bystander)
    ));
    let mut of_idle = open_as(&world, &all[0], &idle.access);
    let mut of_busy = open_as(&world, &all[0], &busy.access);
    let mut of_absolute = open_as(&world, &all[0], &absolute.access);
    let mut of_bystander = open_as(&world, &all[0], &bystander.access);
    let renewed = Tokens::of(&all[1].refresh(&busy.refresh));
    let closed_at = |client: &mut RawClient| {
        assert_eq!(client.take_all().unwrap(), CLOSED);
        now()
    };
    let idle_end = world.count(&format!(
        "SELECT idle_until FROM gateway_sessions WHERE {}",
        session_of(&world, &idle)
    ));
    let closed = closed_at(&mut of_idle);
    assert!(closed >= idle_end, "{} ms early", idle_end - closed);
    println!("a session nobody renewed: {} ms", closed - idle_end);
    assert!(closed - idle_end < 4_000);
    let closed = closed_at(&mut of_absolute);
    assert!(closed >= end, "{} ms early", end - closed);
    println!("a session's last day: {} ms", closed - end);
    assert!(closed - end < 4_000);
    // The renewed one ends later, with its new time; the other goes on.
    let renewed_end = world.count(&format!(
        "SELECT idle_until FROM gateway_sessions WHERE {}",
        session_of(&world, &renewed)
    ));
    assert!(renewed_end > idle_end);
    assert!(closed_at(&mut of_busy) >= renewed_end);
    assert_lives(&mut of_bystander);
}

fn events_and_downloads_end_too(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    gateway.register("alice");
    let never = Barrier::new();
    let events =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
    let download = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin";
    for (number, reply) in [(1, events), (2, download)] {
        let (key, id) = api_key(&world, "alice", number);
        world.backend.next(Reply::bytes(reply).then_after(&never, "x"));
        let mut client = RawClient::connect(gateway.address);
        client.send(get("/app/stream", &format!("Authorization: Bearer {key}\r\n")));
        world.backend.wait_for_heads(usize::from(number));
        world.sql(&format!("UPDATE gateway_api_keys SET revoked_at = 1 WHERE id = '{id}'"));
        let begun = Instant::now();
        let broken = client.try_response().expect_err("the answer is broken off");
        assert!(broken.to_string().contains("200 without its whole body"), "{broken}");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    never.open();
}

fn streams_of_banned_strangers_end(kind: Kind) {
    let world = World::new(kind);
    let issuer = Issuer::new("https://idp.test").es256("k1");
    let gateway = world.gateway(&format!(
        "[[tokens.trusted_issuers]]\nissuer = {:?}\njwks_file = {:?}\nalgorithms = [\"ES256\"]\n\
        audience = [\"here\"]\nusers = \"as_is\"\nroles_claim = \"roles\"\nroles = \"as_is\"\n",
        issuer.name(),
        issuer.jwks_file()
    ));
    for (kind, banned) in [("external_subject", "sub"), ("external_token", "jti")] {
        let claims = ["good", "bad"].map(|name| issuer.claims("here", &format!("{name} {kind}")));
        let mut streams = claims
            .each_ref()
            .map(|claims| open_as(&world, &gateway, &issuer.sign("k1", claims)));
        let subject = serde_json::json!([issuer.name(), claims[1][banned]]);
        let (at, until) = (now() + 1_000, now() + 1_000_000);
        closes(&mut streams[1], kind, || {
            world.sql(&format!(
                "INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('{kind}', '{subject}', {at}, {until})"
            ));
        });
        assert_lives(&mut streams[0]);
    }
}

/// The replica was cut off for so long that what happened meanwhile is told no more.
#[test]
fn what_was_missed_altogether_is_found_out_when_the_store_is_back() {
    let world = World::new(Kind::Postgres);
    let Place::Postgres(database) = &world.place else {
        unreachable!()
    };
    let relay = Relay::to(([127, 0, 0, 1], Cluster::shared().port).into());
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", relay.port(), database.name);
    let gateway = world.gateway(&format!("[store]\nurl = \"{url}\"\n"));
    let (alice, bob) = (gateway.register("alice"), gateway.register("bob"));
    let (key, id) = api_key(&world, "bob", 1);
    let mut of_alice = open_as(&world, &gateway, &alice.access);
    let mut of_key = open_as(&world, &gateway, &key);
    let mut of_bob = open_as(&world, &gateway, &bob.access);
    relay.silence();
    crate::support::until("a gateway that is cut off", || {
        (gateway.admin.get("/readyz").status == 503).then_some(())
    });
    world.sql(&format!(
        "UPDATE gateway_sessions SET revoked_at = 1 WHERE {}",
        session_of(&world, &alice)
    ));
    world.sql(&format!("UPDATE gateway_api_keys SET revoked_at = 1 WHERE id = '{id}'"));
    world.sql("DELETE FROM gateway_changes");
    assert_lives(&mut of_alice);
    relay.speak();
    assert_eq!(of_alice.take_all().unwrap(), CLOSED);
    assert_eq!(of_key.take_all().unwrap(), CLOSED);
    assert_lives(&mut of_bob);
    // Nor is the key good for anything new.
    gateway.soon_answers("/app/x", &key, 401);
}
