//! HAProxy as `examples/haproxy` configures it: in front of Doorward in two ways, and asking it by Lua.

use std::path::Path;
use std::process::Command;

use super::shared::{Example, example_files};
use super::{across_hosts, attacks, cases, people};

fn command(_: &Path) -> Command {
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f", "haproxy.cfg"]);
    command
}

pub const IN_FRONT: Example = Example {
    folder: "haproxy/in-front",
    files: example_files,
    command,
    beside: None,
    asks: false,
    hides_cookie: true,
    passes_dots: false,
    keeps_connections: true,
};

pub const PASS_THROUGH: Example = Example {
    folder: "haproxy/pass-through",
    ..IN_FRONT
};

pub const LUA: Example = Example {
    folder: "haproxy/lua",
    asks: true,
    ..IN_FRONT
};

#[test]
fn everything_holds_behind_it() {
    cases::play(&mut IN_FRONT.start());
}

#[test]
fn everything_holds_where_it_passes_connections_through() {
    cases::play(&mut PASS_THROUGH.start());
}

#[test]
fn everything_holds_where_it_asks_by_lua() {
    cases::play(&mut LUA.start());
}

/// Else what `foreign_web_socket` plays over HTTP/2 would prove nothing.
#[test]
fn websockets_over_http2_open_for_its_own_pages() {
    let running = LUA.start();
    let jar = people::cookie(&running, "alice");
    let own = format!("https://localhost:{}", running.port());
    let before = running.backend.requests().len();
    assert_eq!(attacks::extended_connect(&running, &jar, &own), Some(200));
    let seen = running.backend.wait_for(before + 2).pop().unwrap();
    assert_eq!(
        (seen.target.as_str(), seen.header("x-user")),
        ("/app/ws", Some("alice"))
    );
}

#[test]
fn one_login_for_several_hosts() {
    across_hosts(IN_FRONT);
    across_hosts(LUA);
}
