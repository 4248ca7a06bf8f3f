//! Traefik as `examples/traefik` configures it.

use std::path::Path;
use std::process::Command;

use super::shared::{Example, example_files};
use super::{across_hosts, attacks, cases, people};
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

/// The files with the names that the README says such a list must have at least.
fn with_a_list(folder: &str) -> Vec<(String, String)> {
    let mut files = example_files(folder);
    let readme = files.iter().find(|(name, _)| name == "README.md").unwrap().1.clone();
    let (_, from) = readme.split_once("it holds at least").unwrap();
    let (said, _) = from.split_once(':').unwrap();
    let names: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    assert!(names.contains(&"Sec-WebSocket-Version") && names.len() > 6, "{names:?}");
    let file = files.iter_mut().find(|(name, _)| name == "dynamic.yml").unwrap();
    let before = "        trustForwardHeader: false\n";
    let list = format!("{before}        authRequestHeaders: [{}]\n", names.join(", "));
    file.1 = file.1.replace(before, &list);
    assert_eq!(file.1.matches("authRequestHeaders").count(), 2);
    files
}

#[test]
fn a_list_of_what_doorward_is_shown_is_long_enough() {
    let running = Example {
        files: with_a_list,
        ..TRAEFIK
    }
    .start();
    attacks::foreign_web_socket(&running);
    attacks::more_than_a_preflight(&running);
    cases::head_and_options(&running);
    people::logs_in_and_comes_back(&running);
}
