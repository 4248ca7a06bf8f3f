//! A primary that goes, and the standby that takes its place: nothing that was acknowledged is lost, and whoever follows the
//! change feed goes on following it.

use super::rounds;
use crate::accounts::answers::{Tokens, problem};
use crate::accounts::sudden_death::{Told, check, while_busy};
use crate::accounts::world::{Gateway, PASSWORD, Place, World};
use crate::postgres::{Cluster, Database};
use crate::support::until;

/// A primary, its standby, a gateway that knows both, and what it takes to lose the first.
fn lose(round: usize, go: impl FnOnce(&Cluster, &Cluster)) {
    let primary = Cluster::start(&[]);
    let world = World::in_cluster(&primary);
    let Place::Postgres(database) = &world.place else {
        unreachable!()
    };
    let standby = primary.standby();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port);
    let store = format!(
        "[store]\nurl = \"postgres://postgres@{hosts}/{}?target_session_attrs=read-write\"\n",
        database.name
    );
    let gateway = world.gateway(&store);
    let living = gateway.register("living");
    let ended = gateway.login("living");
    assert_eq!(gateway.logout(&ended.access).status, 204);
    let told = while_busy(&gateway, round, || go(&primary, &standby));
    standby.promote();
    until("a login at the new primary", || {
        (gateway.login_with("living", PASSWORD).status == 200).then_some(())
    });
    gateway.wait_until_ready();
    let after = World::in_database(Database {
        cluster: &standby,
        name: database.name.clone(),
    });
    // What this gateway remembers, and what one that comes to know it all from the new primary does.
    let fresh = world.gateway(&store);
    for gateway in [&gateway, &fresh] {
        holds(gateway, &after, &told, &living, &ended);
    }
    // The feed goes on, in both directions between the two.
    after.sql("UPDATE users SET roles = 'admin' WHERE username = 'living'");
    for gateway in [&gateway, &fresh] {
        gateway.soon_answers("/app/admin", &living.access, 200);
    }
    let tokens = fresh.login("living");
    assert_eq!(fresh.logout(&tokens.access).status, 204);
    gateway.soon_answers("/app/x", &tokens.access, 401);
}

fn holds(gateway: &Gateway, after: &World<'_>, told: &[Told], living: &Tokens, ended: &Tokens) {
    assert_eq!(gateway.status_as("/app/x", &living.access), 200);
    problem(&gateway.get_as("/app/x", &ended.access), 401, "invalid_token");
    check(gateway, after, told);
}

#[test]
fn a_promoted_standby_has_all_that_was_acknowledged() {
    for round in 0..rounds(1).min(5) {
        lose(round, |primary, _| primary.stop());
    }
}

/// It accepts connections, and nothing ever comes back.
#[test]
fn a_primary_that_only_falls_silent_is_left_for_the_standby() {
    lose(0, |primary, _| primary.freeze());
}
