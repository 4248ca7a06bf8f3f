//! `doorward probe` through real chains: wired badly in known ways, whose holes it has to find and name, and wired well.

mod chains;
mod checked;
mod closed;
mod hosts;
mod limits;
mod over_h2;
mod said;
mod talk;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::message::text;
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::upstream::Upstream;
use crate::support::{reply::Reply, until};

/// The token that [`check`] lets through.
const TOKEN: &str = "a-good-token";

/// `doorward probe --echo`.
pub struct Echo {
    process: Process,
    pub address: SocketAddr,
}

impl Echo {
    pub fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(["probe", "--echo", "127.0.0.1:0"]);
        let process = Process::spawn("echo", command);
        let line = process.wait_for_line(|line| line.contains("http://"));
        let (_, rest) = line.split_once("http://").unwrap();
        let address = rest.split(". ").next().unwrap().parse().unwrap();
        Self { process, address }
    }
}

impl crate::support::gateway::Backend for Echo {
    fn server(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// What a probe says.
struct Said {
    status: i32,
    report: Value,
    error: String,
}

fn run(arguments: &[&str]) -> Output {
    let names = ["--identity-header", "X-User", "--identity-header", "X-User-Roles"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.arg("probe").args(names).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

/// Probes with these arguments, for the identity headers X-User and X-User-Roles.
fn probe(arguments: &[&str]) -> Said {
    let output = run(&[&["--json"], arguments].concat());
    Said {
        status: output.status.code().expect("an exit, not a signal"),
        report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        error: text(&output.stderr),
    }
}

impl Said {
    fn holes(&self) -> Vec<(String, String)> {
        let holes = self.report["holes"]
            .as_array()
            .unwrap_or_else(|| panic!("{}", self.error));
        let word = |hole: &Value, name: &str| hole[name].as_str().unwrap().to_owned();
        holes
            .iter()
            .map(|hole| (word(hole, "kind"), word(hole, "about")))
            .collect()
    }

    /// Fails unless these are among its holes, each with a line that closes it.
    fn found(&self, wanted: &[(&str, &str)]) -> &Self {
        let holes = self.holes();
        for (kind, about) in wanted {
            assert!(
                holes.iter().any(|(k, a)| k == kind && a.eq_ignore_ascii_case(about)),
                "{kind} {about} is not among {holes:#?}"
            );
        }
        for hole in self.report["holes"].as_array().unwrap() {
            let lines = hole["close"].as_object().unwrap();
            assert!(
                !lines.is_empty() && lines.values().all(|line| !line.as_str().unwrap().is_empty()),
                "{hole}"
            );
        }
        assert_eq!(self.status, 1);
        self
    }

    /// Fails where there is a hole of one of these kinds.
    fn has_none(&self, kinds: &[&str]) {
        let holes = self.holes();
        assert!(
            !holes.iter().any(|(kind, _)| kinds.contains(&kind.as_str())),
            "{holes:#?}"
        );
    }

    fn clean(&self) {
        assert_eq!(
            (self.holes(), self.status),
            (Vec::new(), 0),
            "{:#} {}",
            self.report,
            self.error
        );
        assert_eq!(self.report["complete"], true);
    }
}

/// A service that lets [`TOKEN`] through as alice, whatever is asked about.
fn check() -> Upstream {
    Upstream::answering(|request| match request.header("authorization") {
        Some(shown) if shown == format!("Bearer {TOKEN}") => {
            Reply::new(200, &[("X-User", "alice"), ("X-User-Roles", "user")], "")
        }
        _ => Reply::new(401, &[("WWW-Authenticate", "Bearer")], ""),
    })
}

/// A program that listens on a free port.
struct Program {
    _process: Process,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Program {
    /// `configuration` makes the file of this port; `command` gets the file.
    fn start(
        name: &str,
        file: &str,
        configuration: impl Fn(u16) -> String,
        command: impl Fn(&std::path::Path, u16) -> Command,
    ) -> Self {
        for _ in 0..5 {
            let port = free_port();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(file);
            std::fs::write(&path, configuration(port)).unwrap();
            let mut command = command(&path, port);
            command.current_dir(folder.path()).env("HOME", folder.path());
            let mut process = Process::spawn(name, command);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let is_up = until(&format!("{name} listens, or has ended"), || {
                if process.has_exited().is_some() {
                    return Some(false);
                }
                TcpStream::connect(address).is_ok().then_some(true)
            });
            if is_up {
                return Self {
                    _process: process,
                    address,
                    _folder: folder,
                };
            }
            let said = process.lines().join("\n");
            assert!(
                said.contains("in use") || said.contains("cannot bind"),
                "{name} does not start: {said}"
            );
        }
        panic!("{name} found no free port");
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
