//! A store that is gone, or that nobody hears of any more: what is known goes on at full speed, what needs the store says so
//! soon, and everything heals by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::accounts::answers::{Tokens, problem, retry_after};
use crate::accounts::world::{Gateway, Kind, PASSWORD, Place, World, soon};
use crate::postgres::Cluster;
use crate::support::pgbouncer::Bouncer;
use crate::support::relay::Relay;
use crate::support::until;

/// A gateway whose way to the store is a relay.
fn behind_a_relay(world: &World<'_>, more: &str) -> (Relay, Gateway) {
    let Place::Postgres(database) = &world.place else {
        unreachable!()
    };
    let relay = Relay::to(([127, 0, 0, 1], database.cluster.port).into());
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", relay.port(), database.name);
    let gateway = world.gateway(&format!("[store]\nurl = \"{url}\"\n{more}"));
    (relay, gateway)
}

#[test]
fn a_dead_wire_to_the_store_is_noticed_and_slows_nobody_down() {
    let world = World::new(Kind::Postgres);
    let (relay, gateway) = behind_a_relay(&world, "");
    let tokens = gateway.register("alice");
    let unseen = gateway.login("alice");
    let out = gateway.login("alice");
    assert_eq!(gateway.logout(&out.access).status, 204);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| traffic(&gateway, &tokens, &over));
        relay.silence();
        let mut took = Vec::new();
        for _ in 0..6 {
            let begun = Instant::now();
            let refused = gateway.login_with("alice", PASSWORD);
            problem(&refused, 503, "store_unavailable");
            retry_after(&refused);
            took.push(begun.elapsed());
        }
        let rest = took.split_off(1);
        println!("the first {took:?}, the others {rest:?}");
        // Two seconds, then a tenth of one; what is above is for a busy machine.
        assert!(took[0] < Duration::from_secs(4), "{took:?}");
        assert!(rest.iter().sum::<Duration>() < Duration::from_secs(2), "{rest:?}");
        for refused in [
            gateway.refresh(&tokens.refresh),
            gateway.logout(&tokens.access),
            gateway.register_with("bob", PASSWORD),
        ] {
            problem(&refused, 503, "store_unavailable");
        }
        // Tokens that this replica never saw are judged, and so is what had ended.
        assert_eq!(gateway.status_as("/app/x", &unseen.access), 200);
        assert_eq!(gateway.status_as("/app/x", &out.access), 401);
        tells_that_it_is_cut_off(&gateway);
        // Meanwhile, elsewhere.
        world.sql("UPDATE users SET roles = 'admin'");
        assert_eq!(gateway.status_as("/app/admin", &unseen.access), 403);
        relay.speak();
        until("a login", || {
            (gateway.login_with("alice", PASSWORD).status == 200).then_some(())
        });
        gateway.wait_until_ready();
        soon("what happened meanwhile", || {
            gateway.status_as("/app/admin", &unseen.access) == 200
        });
        over.store(true, Ordering::SeqCst);
        let (count, longest) = traffic.join().unwrap();
        println!("{count} requests meanwhile, the longest {longest:?}");
        assert!(count > 0 && longest < Duration::from_secs(1), "{count} {longest:?}");
    });
    // A logout that was refused has ended nothing.
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
    Tokens::of(&gateway.refresh(&tokens.refresh));
}

/// Requests with a known token, one after the other: how many, and how long the longest took.
fn traffic(gateway: &Gateway, tokens: &Tokens, over: &AtomicBool) -> (usize, Duration) {
    let (client, mut count, mut longest) = (gateway.another_client(), 0, Duration::ZERO);
    while !over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        let answer = client
            .request(http::Method::GET, "/app/x")
            .bearer(&tokens.access)
            .send();
        assert_eq!(answer.status, 200, "{}", answer.text());
        longest = longest.max(begun.elapsed());
        count += 1;
    }
    (count, longest)
}

fn tells_that_it_is_cut_off(gateway: &Gateway) {
    let not_ready = until("a gateway that says it is not ready", || {
        let answer = gateway.admin.get("/readyz");
        (answer.status == 503).then_some(answer)
    });
    assert!(not_ready.text().contains("store"), "{}", not_ready.text());
    let grows = |above: f64| {
        until("an age that grows", || {
            let metrics = gateway.admin.get("/metrics").text();
            let age = metrics
                .lines()
                .find_map(|line| line.strip_prefix("doorward_revocation_age_seconds "));
            age.unwrap().parse::<f64>().ok().filter(|age| *age > above)
        })
    };
    let age = grows(1.0);
    grows(age);
}

#[test]
fn what_is_known_counts_for_max_staleness_and_no_longer() {
    let world = World::new(Kind::Postgres);
    let (relay, gateway) = behind_a_relay(&world, "max_staleness = \"3s\"\n");
    let tokens = gateway.register("alice");
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
    relay.silence();
    let begun = Instant::now();
    assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
    let refused = until("a refusal", || {
        let answer = gateway.get_as("/app/x", &tokens.access);
        (answer.status != 200).then_some(answer)
    });
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    problem(&refused, 503, "store_unavailable");
    retry_after(&refused);
    problem(&gateway.get_as("/api/me", &tokens.access), 503, "store_unavailable");
    until("the readiness to say so", || {
        (gateway.admin.get("/readyz").status == 503).then_some(())
    });
    assert_eq!(gateway.client.get("/public/x").status, 200);
    relay.speak();
    until("what is known to count again", || {
        (gateway.status_as("/app/x", &tokens.access) == 200).then_some(())
    });
}

#[test]
fn a_gateway_behind_a_pooler_lives_through_a_restart_of_the_server() {
    let cluster = Cluster::start(&[]);
    let world = World::in_cluster(&cluster);
    let Place::Postgres(database) = &world.place else {
        unreachable!()
    };
    let bouncer = Bouncer::start(&cluster);
    let pooled = format!("postgres://postgres@127.0.0.1:{}/{}", bouncer.port, database.name);
    for listen in ["", &format!("listen_url = \"{}\"\n", database.url())] {
        let gateway = world.gateway(&format!("[store]\nurl = \"{pooled}\"\n{listen}"));
        let name = if listen.is_empty() { "polling" } else { "listening" };
        let tokens = gateway.register(name);
        let second = Tokens::of(&gateway.refresh(&tokens.refresh));
        let other = gateway.login(name);
        cluster.stop();
        assert_eq!(gateway.status_as("/app/x", &second.access), 200);
        until("a refusal", || {
            (gateway.login_with(name, PASSWORD).status == 503).then_some(())
        });
        cluster.start_again();
        until("a login", || {
            (gateway.login_with(name, PASSWORD).status == 200).then_some(())
        });
        gateway.wait_until_ready();
        Tokens::of(&gateway.refresh(&second.refresh));
        world.sql(&format!("UPDATE users SET roles = 'admin' WHERE username = '{name}'"));
        gateway.soon_answers("/app/admin", &other.access, 200);
        assert_eq!(gateway.logout(&other.access).status, 204);
        assert_eq!(gateway.status_as("/app/x", &other.access), 401);
    }
}

/// A store that comes and goes must not cut machines off: what is told again at its return is no news about their keys.
#[test]
fn a_known_api_key_goes_on_through_one_outage_after_another() {
    let world = World::new(Kind::Postgres);
    let (relay, gateway) = behind_a_relay(&world, "");
    let tokens = gateway.register("alice");
    // Something about the owner stands in the feed for as long as a token lives.
    world.sql("UPDATE users SET roles = 'user,ops'");
    let made = gateway
        .client
        .request(http::Method::POST, "/api/keys")
        .bearer(&tokens.access)
        .json(&serde_json::json!({ "name": "build" }))
        .send();
    let key = made.expect(201).json()["key"].as_str().unwrap().to_owned();
    soon("the key counts", || gateway.status_as("/app/x", &key) == 200);
    for _ in 0..2 {
        relay.silence();
        until("the outage is noticed", || {
            (gateway.login_with("alice", PASSWORD).status == 503).then_some(())
        });
        assert_eq!(gateway.status_as("/app/x", &key), 200);
        relay.speak();
        until("a login", || {
            (gateway.login_with("alice", PASSWORD).status == 200).then_some(())
        });
        gateway.wait_until_ready();
    }
}
