//! Caddy as `examples/caddy` configures it.

use std::path::Path;
use std::process::Command;

use super::shared::{Example, example_files};
use super::{across_hosts, cases};
use crate::support::venv;

fn command(_: &Path) -> Command {
    let mut command = Command::new(venv::program("proxies", "caddy"));
    command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]);
    command
}

pub const CADDY: Example = Example {
    folder: "caddy",
    files: example_files,
    command,
    beside: None,
    asks: true,
    hides_cookie: true,
    passes_dots: false,
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
