//! Traefik as `examples/traefik` configures it.

use std::process::Command;

use super::shared::Example;
use super::{across_hosts, cases};
use crate::support::venv;

fn command() -> Command {
    let mut command = Command::new(venv::program("proxies", "traefik"));
    command.arg("--configFile=traefik.yml");
    command
}

pub const TRAEFIK: Example = Example {
    folder: "traefik",
    command,
    asks: true,
    // It has no means to.
    hides_cookie: false,
    passes_trailers: false,
    keeps_connections: true,
};

#[test]
fn everything_holds() {
    cases::play(&mut TRAEFIK.start());
}

#[test]
fn one_login_for_several_hosts() {
    across_hosts(TRAEFIK);
}
