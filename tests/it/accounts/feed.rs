//! What others do to users and sessions acts at every gateway: plain SQL, the command line, another replica.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use super::answers::{Tokens, problem};
use super::world::{Gateway, Kind, PASSWORD, Place, World, at_once, soon};

on_both!(
    roles_changed_by_sql_count_for_living_tokens,
    deactivation_deletion_and_a_new_password_end_sessions,
    the_command_line_acts_on_a_running_gateway,
    replicas_act_on_what_each_other_does,
    a_statement_over_all_users_acts_on_all_of_them,
    what_happened_before_a_start_is_known_after_it,
);

fn roles_changed_by_sql_count_for_living_tokens(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let alice = gateway.register("alice");
    let bob = gateway.register("bob");
    let refused = gateway.get_as("/app/admin", &alice.access);
    problem(&refused, 403, "insufficient_scope");
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains("insufficient_scope")
    );
    for _ in 0..2 {
        world.sql("UPDATE users SET roles = 'user, admin' WHERE username = 'alice'");
        gateway.soon_answers("/app/admin", &alice.access, 200);
        let echo = gateway.get_as("/app/admin", &alice.access).expect(200);
        assert_eq!(echo.echoed("x-user-roles").as_deref(), Some("user,admin"));
        world.sql("UPDATE users SET roles = NULL WHERE username = 'alice'");
        gateway.soon_answers("/app/admin", &alice.access, 403);
        let echo = gateway.get_as("/app/x", &alice.access).expect(200);
        assert_eq!(echo.echoed("x-user-roles").as_deref(), Some(""));
    }
    assert_eq!(gateway.status_as("/app/admin", &bob.access), 403);
    // None of it was the end of a session.
    Tokens::of(&gateway.refresh(&alice.refresh));
}

fn deactivation_deletion_and_a_new_password_end_sessions(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let bystander = gateway.register("bystander");
    for (name, change) in [
        ("off", "UPDATE users SET is_active = FALSE WHERE username = 'off'"),
        ("unset", "UPDATE users SET is_active = NULL WHERE username = 'unset'"),
        ("gone", "DELETE FROM users WHERE username = 'gone'"),
        ("changed", "UPDATE users SET password = 'x' WHERE username = 'changed'"),
    ] {
        let first = gateway.register(name);
        let second = gateway.login(name);
        assert_eq!(gateway.status_as("/app/x", &first.access), 200);
        world.sql(change);
        for tokens in [&first, &second] {
            gateway.soon_answers("/app/x", &tokens.access, 401);
            problem(&gateway.get_as("/app/x", &tokens.access), 401, "invalid_token");
            problem(&gateway.get_as("/api/me", &tokens.access), 401, "invalid_token");
            problem(&gateway.refresh(&tokens.refresh), 401, "invalid_grant");
        }
    }
    // Who may come in again begins a new session; the old ones stay ended.
    let before = gateway.register("back");
    world.sql("UPDATE users SET is_active = FALSE WHERE username = 'back'");
    gateway.soon_answers("/app/x", &before.access, 401);
    world.sql("UPDATE users SET is_active = TRUE WHERE username = 'back'");
    let after = gateway.login("back");
    gateway.soon_answers("/app/x", &after.access, 200);
    assert_eq!(gateway.status_as("/app/x", &before.access), 401);
    assert_eq!(gateway.status_as("/app/x", &bystander.access), 200);
}

/// A transaction that began before others were read and ended after them is not overlooked.
#[test]
fn a_late_commit_acts_as_well() {
    let world = World::new(Kind::Postgres);
    let gateway = world.gateway("");
    let (late, early) = (gateway.register("late"), gateway.register("early"));
    let Place::Postgres(database) = &world.place else {
        unreachable!()
    };
    let mut psql = database.cluster.psql_command(&database.name);
    let mut session = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = session.stdin.take().unwrap();
    let mut output = BufReader::new(session.stdout.take().unwrap()).lines();
    let mut say = |sql: &str| {
        writeln!(input, "{sql} SELECT 'done';").unwrap();
        assert_eq!(output.next().unwrap().unwrap(), "done");
    };
    say("BEGIN; UPDATE users SET roles = 'admin' WHERE username = 'late';");
    for roles in ["admin", "user", "admin"] {
        world.sql(&format!("UPDATE users SET roles = '{roles}' WHERE username = 'early'"));
        let status = if roles == "admin" { 200 } else { 403 };
        gateway.soon_answers("/app/admin", &early.access, status);
    }
    assert_eq!(gateway.status_as("/app/admin", &late.access), 403);
    say("COMMIT;");
    gateway.soon_answers("/app/admin", &late.access, 200);
    drop(input);
    session.wait().unwrap();
}

fn the_command_line_acts_on_a_running_gateway(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    world.doorward(
        &[
            "user",
            "add",
            "alice",
            "--roles",
            "user",
            "--email",
            "alice@example.com",
            "--password-stdin",
        ],
        PASSWORD,
    );
    let tokens = gateway.login("alice");
    assert_eq!(gateway.me(&tokens.access)["email"], "alice@example.com");
    world.doorward(&["user", "roles", "alice", "user,admin"], "");
    gateway.soon_answers("/app/admin", &tokens.access, 200);
    world.doorward(&["user", "deactivate", "alice"], "");
    gateway.soon_answers("/app/x", &tokens.access, 401);
    problem(&gateway.login_with("alice", PASSWORD), 403, "account_inactive");
    world.doorward(&["user", "activate", "alice"], "");
    let tokens = gateway.login("alice");
    world.doorward(
        &["user", "passwd", "alice", "--password-stdin"],
        "another long password",
    );
    gateway.soon_answers("/app/x", &tokens.access, 401);
    problem(&gateway.login_with("alice", PASSWORD), 401, "invalid_credentials");
    let tokens = Tokens::of(&gateway.login_with("alice", "another long password"));
    world.doorward(&["user", "delete", "alice", "--yes"], "");
    gateway.soon_answers("/app/x", &tokens.access, 401);
    problem(
        &gateway.login_with("alice", "another long password"),
        401,
        "invalid_credentials",
    );
}

fn replicas_act_on_what_each_other_does(kind: Kind) {
    let world = World::new(kind);
    // All at once, on an empty store: schema and keys are made once.
    let mut all = at_once(4, |_| world.gateway(""));
    let (one, other) = (all.remove(0), all.remove(0));
    drop(all);
    for (algorithm, count) in [("EdDSA", 1), ("A256GCM", 1)] {
        let sql = format!("SELECT count(*) FROM gateway_keys WHERE algorithm = '{algorithm}'");
        assert_eq!(world.count(&sql), count, "{algorithm}");
    }
    let tokens = one.register("alice");
    let kept = other.login("alice");
    for gateway in [&one, &other] {
        assert_eq!(gateway.status_as("/app/x", &tokens.access), 200);
        assert_eq!(gateway.status_as("/app/x", &kept.access), 200);
    }
    // Rotated at one, said again by the other, rotated there.
    let second = Tokens::of(&one.refresh(&tokens.refresh));
    assert_eq!(Tokens::of(&other.refresh(&tokens.refresh)).refresh, second.refresh);
    let third = Tokens::of(&other.refresh(&second.refresh));
    assert_eq!(one.logout(&third.access).status, 204);
    for token in [&tokens.access, &second.access, &third.access] {
        assert_eq!(one.status_as("/app/x", token), 401);
        other.soon_answers("/app/x", token, 401);
    }
    problem(&other.refresh(&third.refresh), 401, "invalid_grant");
    // Reuse that one sees ends the session at the other.
    let first = one.login("alice");
    let second = Tokens::of(&one.refresh(&first.refresh));
    world.sql("UPDATE gateway_sessions SET rotated_at = rotated_at - 11000");
    problem(&other.refresh(&first.refresh), 401, "invalid_grant");
    one.soon_answers("/app/x", &second.access, 401);
    for gateway in [&one, &other] {
        assert_eq!(gateway.status_as("/app/x", &kept.access), 200);
    }
}

fn a_statement_over_all_users_acts_on_all_of_them(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) \
        INSERT INTO users (username, password, roles, is_active) SELECT 'user' || i, NULL, 'user', TRUE FROM n";
    let first = gateway.register("first");
    world.sql(many);
    let last = gateway.register("last");
    let both = |what: &str, is_so: &dyn Fn(&Gateway, &Tokens) -> bool| {
        soon(what, || is_so(&gateway, &first) && is_so(&gateway, &last));
    };
    world.sql("UPDATE users SET roles = 'admin'");
    both("admins", &|gateway, tokens| {
        gateway.status_as("/app/admin", &tokens.access) == 200
    });
    world.sql("UPDATE users SET roles = 'user'");
    both("users", &|gateway, tokens| {
        gateway.status_as("/app/admin", &tokens.access) == 403
    });
    world.sql("UPDATE users SET is_active = FALSE WHERE username <> 'first'");
    gateway.soon_answers("/app/x", &last.access, 401);
    assert_eq!(gateway.status_as("/app/x", &first.access), 200);
    world.sql("DELETE FROM users");
    gateway.soon_answers("/app/x", &first.access, 401);
}

fn what_happened_before_a_start_is_known_after_it(kind: Kind) {
    let world = World::new(kind);
    let gateway = world.gateway("");
    let out = gateway.register("out");
    let off = gateway.register("off");
    let promoted = gateway.register("promoted");
    assert_eq!(gateway.logout(&out.access).status, 204);
    gateway.kill();
    world.sql("UPDATE users SET is_active = FALSE WHERE username = 'off'");
    world.sql("UPDATE users SET roles = 'admin' WHERE username = 'promoted'");
    let gateway = world.starting_gateway("");
    // Not even for a moment: until it knows, it serves no protected route.
    for tokens in [&out, &off] {
        soon("a refusal that is about the token", || {
            match gateway.status_as("/app/x", &tokens.access) {
                503 => false,
                status => {
                    assert_eq!(status, 401);
                    true
                }
            }
        });
    }
    assert_eq!(gateway.status_as("/app/admin", &promoted.access), 200);
}
