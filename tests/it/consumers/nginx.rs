//! nginx as `examples/nginx` configures it.

use std::path::Path;
use std::process::Command;

use super::shared::{Example, example_files};
use super::{across_hosts, cases};

fn command(_: &Path) -> Command {
    let mut command = Command::new("nginx");
    // Its folder is the one it is started in.
    command.args(["-p", ".", "-c", "nginx.conf", "-e", "stderr"]);
    command
}

pub const NGINX: Example = Example {
    folder: "nginx",
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
    cases::play(&mut NGINX.start());
}

#[test]
fn one_login_for_several_hosts() {
    across_hosts(NGINX);
}
