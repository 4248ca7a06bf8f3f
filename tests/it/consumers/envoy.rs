//! Envoy as `examples/envoy` configures it.

use std::path::Path;
use std::process::Command;

use super::shared::{Example, example_files};
use super::{across_hosts, cases};
use crate::support::venv;

fn command(_: &Path) -> Command {
    let mut command = Command::new(venv::program("proxies", "envoy"));
    // Others run beside it here.
    command.args([
        "-c",
        "envoy.yaml",
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "-l",
        "warning",
    ]);
    command
}

pub const ENVOY: Example = Example {
    folder: "envoy",
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
    cases::play(&mut ENVOY.start());
}

#[test]
fn one_login_for_several_hosts() {
    across_hosts(ENVOY);
}
