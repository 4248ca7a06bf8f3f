//! Releases side by side: the schema of the next one under this one.

use crate::accounts::answers::{Tokens, problem};
use crate::accounts::world::{Kind, World, soon};

on_both!(a_schema_that_has_grown_is_served_and_one_that_says_no_is_not);

fn a_schema_that_has_grown_is_served_and_one_that_says_no_is_not(kind: Kind) {
    let world = World::new(kind);
    let old = world.gateway("");
    let before = old.register("alice");
    // What the next release does under the running one: it adds, and says who may stay.
    let known = world.count("SELECT max(version) FROM gateway_schema");
    world.sql("ALTER TABLE gateway_sessions ADD COLUMN device text");
    world.sql("ALTER TABLE users ADD COLUMN photo text DEFAULT 'none'");
    world.sql("CREATE TABLE gateway_devices (id text PRIMARY KEY)");
    world.sql(&format!(
        "INSERT INTO gateway_schema (version, name, checksum, min_compatible) VALUES (99, 'devices', 'x', {known})"
    ));
    world.sql("INSERT INTO gateway_changes (kind, subject, at, until) VALUES ('device', 'x', 0, 9000000000000)");
    let new = world.gateway("");
    for (one, other) in [(&old, &new), (&new, &old)] {
        assert_eq!(other.status_as("/app/x", &before.access), 200);
        let tokens = one.login("alice");
        let tokens = Tokens::of(&other.refresh(&tokens.refresh));
        assert_eq!(one.logout(&tokens.access).status, 204);
        other.soon_answers("/app/x", &tokens.access, 401);
        problem(&other.refresh(&tokens.refresh), 401, "invalid_grant");
    }
    world.sql("UPDATE users SET roles = 'admin' WHERE username = 'alice'");
    soon("the new roles at both", || {
        [&old, &new]
            .iter()
            .all(|gateway| gateway.status_as("/app/admin", &before.access) == 200)
    });
    // One that this release must not touch: whoever starts on it serves nobody, and says why.
    world.sql("UPDATE gateway_schema SET min_compatible = 99 WHERE version = 99");
    let refused = world.starting_gateway("");
    refused
        .process
        .wait_for_line(|line| line.contains("install a newer release"));
    assert_eq!(refused.admin.get("/readyz").status, 503);
    problem(&refused.get_as("/app/x", &before.access), 503, "not_ready");
}
