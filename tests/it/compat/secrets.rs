//! The secrets of `[compat]` while the gateway runs, and clocks that differ.

use rustix::process::Signal;

use super::forge::{Person, forge};
use super::told::{error_of, flask_world};
use super::with_secret;
use crate::accounts::world::{Gateway, Kind, World};
use crate::support::flask::SECRET;

on_both!(
    another_secret_waits_for_a_restart_and_says_so,
    a_clock_ahead_is_told_to_whoever_can_set_it,
);

const OLDER: &str = "the secret of last year, 0123456789abcdef";

/// A token of alice's, and its status here.
fn shown(gateway: &Gateway, edits: &str, jti: &str) -> u16 {
    let person = |_: &str| Person {
        id: 1,
        roles: "user".to_owned(),
    };
    gateway.status_as("/api/protected", &forge(edits, jti, person).token)
}

/// With this in `compat.older_secret_files`.
fn with_older(world: &World<'_>, secret: &str) -> String {
    let file = world.folder().join("older_key");
    std::fs::write(&file, secret).unwrap();
    with_secret(world, "") + &format!("older_secret_files = [\"{}\"]\n", file.display())
}

fn another_secret_waits_for_a_restart_and_says_so(kind: Kind) {
    let world = flask_world(kind);
    // The tokens below are signed with `SECRET`, which is the older one here.
    let configuration = with_older(&world, SECRET);
    let key = world.folder().join("secret_key");
    std::fs::write(&key, OLDER).unwrap();
    let gateway = world.gateway(&configuration);
    assert_eq!(shown(&gateway, "", "one"), 200);
    let reload = |expected: &[&str]| {
        let mark = gateway.process.mark();
        gateway.process.signal(Signal::HUP);
        gateway
            .process
            .wait_for_line_after(mark, |line| line.contains("the configuration was"));
        let lines = gateway.process.lines().split_off(mark);
        let told: Vec<&str> = lines
            .iter()
            .filter(|line| line.contains("needs a restart"))
            .filter_map(|line| line.split("section=").nth(1)?.split_whitespace().next())
            .map(|section| section.trim_matches('"'))
            .collect();
        assert_eq!(told, expected, "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains("secret of")), "{lines:?}");
    };
    reload(&[]);
    for (file, secret) in [
        ("older_key", "quite another older secret, 0123456789"),
        ("secret_key", "a new secret of this year, 0123456789"),
    ] {
        let before = std::fs::read_to_string(world.folder().join(file)).unwrap();
        std::fs::write(world.folder().join(file), secret).unwrap();
        reload(&["compat"]);
        // What was counts on.
        assert_eq!(shown(&gateway, "", file), 200);
        std::fs::write(world.folder().join(file), before).unwrap();
        reload(&[]);
    }
    std::fs::write(world.folder().join("older_key"), OLDER).unwrap();
    reload(&["compat"]);
    gateway.kill();
    let gateway = world.gateway(&configuration);
    assert_eq!(shown(&gateway, "", "two"), 401);
}

fn a_clock_ahead_is_told_to_whoever_can_set_it(kind: Kind) {
    let world = flask_world(kind);
    let gateway = world.gateway(&with_secret(&world, ""));
    let quiet = gateway.process.mark();
    assert_eq!(shown(&gateway, "iat=@+30", "near"), 200);
    assert_eq!(shown(&gateway, "iat=@+3600;sig=other", "forged"), 401);
    let lines = gateway.process.lines().split_off(quiet);
    assert!(
        lines.iter().all(|line| !line.contains("issued in the future")),
        "{lines:?}"
    );
    for jti in ["one", "two"] {
        assert_eq!(shown(&gateway, "iat=@+3600", jti), 200);
    }
    let line = gateway
        .process
        .wait_for_line(|line| line.contains("WARN") && line.contains("issued in the future"));
    let ahead = line.split("ahead_seconds=").nth(1).unwrap_or_else(|| panic!("{line}"));
    let ahead: u32 = ahead.split_whitespace().next().unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&ahead), "{line}");
    // Nobody knows when it was issued: what ends the tokens of its user ends it.
    world.sql("UPDATE users SET is_active = FALSE WHERE username = 'alice'");
    world.sql("UPDATE users SET is_active = TRUE WHERE username = 'alice'");
    gateway.soon_answers("/api/protected", &forge_ahead(), 401);
    let response = gateway.get_as("/api/protected", &forge_ahead());
    error_of(&response, 401, "InvalidUserError");
}

fn forge_ahead() -> String {
    let person = |_: &str| Person {
        id: 1,
        roles: "user".to_owned(),
    };
    forge("iat=@+3600", "late", person).token
}
