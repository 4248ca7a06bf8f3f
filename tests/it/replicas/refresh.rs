//! One refresh token at several replicas at once.

use super::{hex, replicas, session_of};
use crate::accounts::answers::{Tokens, problem};
use crate::accounts::world::{Kind, World, at_once, soon};
use crate::support::client::Client;

on_both!(
    fifty_clients_at_three_replicas_log_nobody_out,
    a_thief_and_an_owner_at_different_replicas_end_the_session_everywhere,
);

fn fifty_clients_at_three_replicas_log_nobody_out(kind: Kind) {
    let world = World::new(kind);
    let gateways = replicas(&world, 3, "");
    let mut tokens = gateways[0].register("alice");
    let bystander = gateways[1].register("bob");
    let clients: Vec<Client> = (0..50).map(|number| gateways[number % 3].another_client()).collect();
    for generation in 1..=2_u64 {
        let all = at_once(50, |number| {
            let body = serde_json::json!({ "refresh_token": tokens.refresh });
            Tokens::of(&clients[number].post_json("/api/refresh", &body))
        });
        // One successor for all of them, whoever answered, and access tokens of their own that are good everywhere.
        assert!(all.iter().all(|other| other.refresh == all[0].refresh));
        assert_ne!(all[0].refresh, tokens.refresh);
        for (number, tokens) in all.iter().enumerate() {
            assert_eq!(gateways[number % 3].status_as("/app/x", &tokens.access), 200);
        }
        let session = session_of(&world, &tokens);
        let rotated = world.count(&format!("SELECT generation FROM gateway_sessions WHERE {session}"));
        assert_eq!(rotated, generation);
        nothing_but_hashes(&world, &[&tokens.refresh, &all[0].refresh]);
        tokens = all[0].clone();
    }
    let reuses: f64 = gateways
        .iter()
        .map(|gateway| {
            let metrics = gateway.admin.get("/metrics").text();
            let line = metrics
                .lines()
                .find_map(|line| line.strip_prefix("doorward_refresh_reuse_total "));
            line.map_or(0.0, |count| count.parse().unwrap())
        })
        .sum();
    assert_eq!(reuses.to_bits(), 0.0_f64.to_bits());
    assert_eq!(gateways[2].status_as("/app/x", &bystander.access), 200);
}

/// Looks for the parts of these tokens that are secret in every table, as text and as bytes.
fn nothing_but_hashes(world: &World<'_>, tokens: &[&String]) {
    use base64::Engine as _;
    let blob = match world.place {
        crate::accounts::world::Place::Sqlite(_) => "hex",
        crate::accounts::world::Place::Postgres(_) => "",
    };
    let columns = [
        "id",
        "family_hash",
        "current_hash",
        "previous_hash",
        "salt",
        "previous_salt",
    ];
    let columns = columns.map(|name| format!("{blob}({name})")).join(", ");
    let rows = world
        .sql(&format!("SELECT {columns} FROM gateway_sessions"))
        .to_lowercase();
    let rest = world.sql("SELECT * FROM gateway_changes") + &world.sql("SELECT * FROM gateway_sessions");
    assert!(!rows.is_empty());
    for token in tokens {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token).unwrap();
        // sid and generation are no secrets; the family and the token's own half are.
        for secret in [&bytes[20..36], &bytes[36..]] {
            assert!(!rows.contains(&hex(secret)), "{rows}");
        }
        assert!(!rest.contains(token.as_str()));
    }
}

fn a_thief_and_an_owner_at_different_replicas_end_the_session_everywhere(kind: Kind) {
    let world = World::new(kind);
    let gateways = replicas(&world, 3, "");
    let first = gateways[0].register("alice");
    let other = gateways[0].login("alice");
    let second = Tokens::of(&gateways[1].refresh(&first.refresh));
    // A forged token of the session ends nothing, at whichever replica.
    let forged = first.refresh.split_at(30).0.to_owned() + &"A".repeat(first.refresh.len() - 30);
    for gateway in &gateways {
        problem(&gateway.refresh(&forged), 401, "invalid_grant");
        assert_eq!(gateway.status_as("/app/x", &second.access), 200);
    }
    world.sql("UPDATE gateway_sessions SET rotated_at = rotated_at - 11000 WHERE rotated_at IS NOT NULL");
    problem(&gateways[2].refresh(&first.refresh), 401, "invalid_grant");
    gateways[2]
        .process
        .wait_for_line(|line| line.contains("audit") && line.contains("refresh_reuse"));
    soon("the end of the session everywhere", || {
        gateways
            .iter()
            .all(|gateway| gateway.status_as("/app/x", &second.access) == 401)
    });
    for gateway in &gateways {
        problem(&gateway.refresh(&second.refresh), 401, "invalid_grant");
        assert_eq!(gateway.status_as("/app/x", &other.access), 200);
    }
}
