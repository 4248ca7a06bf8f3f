//! Traefik as `examples/traefik` configures it.

use std::path::Path;
use std::process::Command;

use super::shared::{Example, example_files};
use super::{across_hosts, cases};
use crate::support::venv;

fn command(_: &Path) -> Command {
    let mut command = Command::new(venv::program("proxies", "traefik"));
    command.arg("--configFile=traefik.yml");
    command
}

pub const TRAEFIK: Example = Example {
    folder: "traefik",
    files: example_files,
    command,
    beside: None,
    asks: true,
    // It has no means to.
    hides_cookie: false,
    passes_dots: false,
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
