//! How long it takes until everybody knows. One second is promised; the figures are printed, and beyond two a test fails, for the
//! machine that runs it may be busy.

use std::time::{Duration, Instant};

use super::{api_key, replicas};
use crate::accounts::answers::Tokens;
use crate::accounts::world::{Gateway, Kind, PASSWORD, Place, World};
use crate::postgres::Cluster;
use crate::support::issuer::Issuer;
use crate::support::pgbouncer::Bouncer;

on_both!(what_anybody_does_acts_at_every_replica_within_a_second);

/// One second is promised, and as much again for a busy machine.
const LIMIT: Duration = Duration::from_secs(2);

fn what_anybody_does_acts_at_every_replica_within_a_second(kind: Kind) {
    let world = World::new(kind);
    measure(&world, "");
}

/// Without a direct connection there are no notifications: polling alone keeps the promise.
#[test]
fn so_it_does_through_a_pooler_in_transaction_mode() {
    let world = World::new(Kind::Postgres);
    let Place::Postgres(database) = &world.place else {
        unreachable!()
    };
    let bouncer = Bouncer::start(Cluster::shared());
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", bouncer.port, database.name);
    measure(&world, &format!("[store]\nurl = \"{url}\"\n"));
}

fn measure(world: &World<'_>, store: &str) {
    let issuer = Issuer::new("https://idp.test").es256("k1");
    let configuration = format!(
        "{store}[[tokens.trusted_issuers]]\nissuer = {:?}\njwks_file = {:?}\nalgorithms = [\"ES256\"]\n\
        audience = [\"here\"]\nusers = \"as_is\"\nroles_claim = \"roles\"\nroles = \"as_is\"\n",
        issuer.name(),
        issuer.jwks_file()
    );
    let all = replicas(world, 2, &configuration);
    let (one, other) = (&all[0], &all[1]);
    let mut delays = Vec::new();
    let mut sample = |what: &str, name: &str, act: &dyn Fn(), path: &str, token: &str, status: u16| {
        assert_ne!(other.status_as(path, token), status, "{what} {name}: too early");
        act();
        let begun = Instant::now();
        // The last answer that was still the old one, at the latest, is when it had not acted yet.
        while other.status_as(path, token) != status {
            assert!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        delays.push((what.to_owned(), begun.elapsed()));
    };
    for round in 0..5_u8 {
        let name = format!("user{round}");
        let name = name.as_str();
        one.register(name);
        let tokens = one.login(name);
        let logout = || assert_eq!(one.logout(&tokens.access).status, 204);
        sample("logout", name, &logout, "/app/x", &tokens.access, 401);
        let tokens = other.login(name);
        let sql = |text: String| move || drop(world.sql(&text));
        let roles = sql(format!("UPDATE users SET roles = 'admin' WHERE username = '{name}'"));
        sample("roles", name, &roles, "/app/admin", &tokens.access, 200);
        let (key, id) = api_key(world, name, round);
        let revoke = sql(format!("UPDATE gateway_api_keys SET revoked_at = 1 WHERE id = '{id}'"));
        sample("API key", name, &revoke, "/app/x", &key, 401);
        let password = sql(format!("UPDATE users SET password = 'x' WHERE username = '{name}'"));
        sample("password", name, &password, "/app/x", &tokens.access, 401);
        for (what, change) in [
            ("deactivation", "UPDATE users SET is_active = FALSE"),
            ("deletion", "DELETE FROM users"),
        ] {
            let name = format!("{name}{what}");
            let tokens = one.register(&name);
            let change = sql(format!("{change} WHERE username = '{name}'"));
            sample(what, &name, &change, "/app/x", &tokens.access, 401);
        }
        let name = format!("{name}cli");
        let tokens = one.register(&name);
        let deactivate = || world.doorward(&["user", "deactivate", &name], PASSWORD);
        sample("command line", &name, &deactivate, "/app/x", &tokens.access, 401);
        let until = super::now() + 1_000_000;
        for (what, kind, banned) in [
            ("subject", "external_subject", "sub"),
            ("token", "external_token", "jti"),
        ] {
            let claims = issuer.claims("here", &format!("{what}{round}"));
            let token = issuer.sign("k1", &claims);
            let subject = serde_json::json!([issuer.name(), claims[banned]]);
            let ban = sql(format!(
                "INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('{kind}', '{subject}', {until}, {until})"
            ));
            sample(&format!("external {what}"), what, &ban, "/app/x", &token, 401);
        }
    }
    tell(&delays, all);
}

/// The statements of docs/scaling.md do what is said of them.
#[test]
fn the_statements_of_the_manual_act() {
    let world = World::new(Kind::Postgres);
    let gateway = world.gateway("");
    let (alice, bob) = (gateway.register("alice"), gateway.register("bob"));
    let manual = include_str!("../../../docs/scaling.md");
    let statements = manual
        .split("```sql\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let statements = statements.expect("an SQL block");
    assert!(statements.contains("user_id = 42"));
    let id = world.sql("SELECT id FROM users WHERE username = 'alice'");
    world.sql(&statements.replace("user_id = 42", &format!("user_id = {id}")));
    gateway.soon_answers("/app/x", &alice.access, 401);
    assert_eq!(gateway.refresh(&alice.refresh).status, 401);
    assert_eq!(gateway.status_as("/app/x", &bob.access), 200);
    assert_eq!(
        world.sql("SELECT kind, subject FROM gateway_changes WHERE kind LIKE 'external%'"),
        r#"external_subject|["https://idp.example","sub-of-the-person"]"#
    );
}

/// However many requests there are, and however many endings are known: deciding asks nobody.
#[test]
fn deciding_asks_the_store_nothing() {
    let world = World::new(Kind::Postgres);
    let gateway = world.gateway("");
    let (living, ended) = (gateway.register("alice"), gateway.login("alice"));
    assert_eq!(gateway.logout(&ended.access).status, 204);
    let asked = || -> Vec<String> {
        let metrics = gateway.admin.get("/metrics").text();
        let lines = metrics
            .lines()
            // What upkeep does now and then is not asked for a request.
            .filter(|line| line.starts_with("doorward_store_requests_total"))
            .filter(|line| {
                ["session", "user", "api_key", "lives"]
                    .iter()
                    .any(|word| line.contains(word))
            })
            .filter(|line| !line.contains("forget"));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let before = asked();
    assert!(!before.is_empty());
    for _ in 0..200 {
        assert_eq!(gateway.status_as("/app/x", &living.access), 200);
        assert_eq!(gateway.status_as("/app/x", &ended.access), 401);
    }
    assert_eq!(asked(), before);
}

/// A statement over so many users that they are all read anew, by everybody, is no reason to hear late of anything else.
#[test]
fn a_change_of_very_many_users_holds_up_nobody() {
    let world = World::new(Kind::Postgres);
    let all = replicas(&world, 2, "");
    let (one, other) = (&all[0], &all[1]);
    let first = one.register("first");
    world.sql(
        "INSERT INTO users (username, password, roles, is_active) \
        SELECT 'user' || i, NULL, 'user', TRUE FROM generate_series(1, 60000) i",
    );
    // The keys of so many names are computed in steps, with 503 meanwhile.
    let last = crate::support::until("a registration", || {
        let answer = one.register_with("last", PASSWORD);
        (answer.status == 200).then(|| Tokens::of(&answer))
    });
    let sessions: Vec<_> = (0..6).map(|_| one.login("first")).collect();
    world.sql("UPDATE users SET roles = 'admin'");
    let begun = Instant::now();
    let is_known = || other.status_as("/app/admin", &last.access) == 200;
    let mut meanwhile = Vec::new();
    for tokens in &sessions {
        assert_eq!(one.logout(&tokens.access).status, 204);
        let ended = Instant::now();
        while other.status_as("/app/x", &tokens.access) != 401 {
            assert!(ended.elapsed() < LIMIT, "not within {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        meanwhile.push(ended.elapsed());
    }
    crate::support::until("the last user's new roles", || is_known().then_some(()));
    println!(
        "60,000 users were read within {:?}, logouts meanwhile took {meanwhile:?}",
        begun.elapsed()
    );
    assert_eq!(other.status_as("/app/admin", &first.access), 200);
    // Such statements one after the other come to an end as well.
    for roles in ["user", "admin", "user"] {
        world.sql(&format!("UPDATE users SET roles = '{roles}'"));
    }
    crate::support::until("the last word", || {
        [&first, &last]
            .iter()
            .all(|tokens| other.status_as("/app/admin", &tokens.access) == 403)
            .then_some(())
    });
}

/// The median and the longest of each kind.
fn tell(delays: &[(String, Duration)], gateways: Vec<Gateway>) {
    drop(gateways);
    let mut kinds: Vec<&str> = delays.iter().map(|(what, _)| what.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let mut of_kind: Vec<Duration> = delays
            .iter()
            .filter(|(what, _)| what == kind)
            .map(|(_, delay)| *delay)
            .collect();
        of_kind.sort_unstable();
        let (median, longest) = (of_kind[of_kind.len() / 2], of_kind[of_kind.len() - 1]);
        println!(
            "{kind}: median {} ms, longest {} ms",
            median.as_millis(),
            longest.as_millis()
        );
    }
}
