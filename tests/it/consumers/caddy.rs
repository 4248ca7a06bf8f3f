//! Caddy as `examples/caddy` configures it.

use std::process::Command;

use super::shared::Example;
use super::{across_hosts, cases};
use crate::support::venv;

fn command() -> Command {
    let mut command = Command::new(venv::program("proxies", "caddy"));
    command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]);
    command
}

pub const CADDY: Example = Example {
    folder: "caddy",
    command,
    asks: true,
    hides_cookie: true,
    passes_trailers: false,
    keeps_connections: true,
};

#[test]
fn everything_holds() {
    cases::play(&mut CADDY.start());
}

#[test]
fn one_login_for_several_hosts() {
    across_hosts(CADDY);
}
