//! The commands of each README as they stand, typed in one after the other: a certificate and people, the three programs, the
//! client. Nothing else prepares them; only the numbers of the ports are others, in the README and in every file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::shared::{clean, example_files, with_ports};
use crate::support::message::text;
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::{until, venv};

/// The blocks of shell in a README.
fn blocks(readme: &str) -> Vec<String> {
    let blocks = readme.split("```sh\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// Bash in this folder, where the programs are found by their names.
fn bash(folder: &Path, admin: u16, script: &str) -> Command {
    let own = Path::new(env!("CARGO_BIN_EXE_doorward")).parent().unwrap().to_owned();
    let others = venv::program("proxies", "caddy").parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command.args(["-e", "-o", "pipefail", "-c", script]);
    clean(&mut command)
        .current_dir(folder)
        .env(
            "PATH",
            format!("{}:{}:{path}:/usr/sbin", own.display(), others.display()),
        )
        .env("DOORWARD_ADMIN__ADDRESS", format!("127.0.0.1:{admin}"))
        .env("HOME", folder);
    command
}

/// All of them, in a copy of `examples/`.
fn copied(name: &str, ports: &[(u16, u16)]) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let folder = root.path().join(name);
    fs::create_dir_all(&folder).unwrap();
    for (at, from) in [(root.path(), "backend.py"), (&folder, name)] {
        for (file, text) in example_files(from) {
            fs::write(at.join(file), with_ports(&text, ports)).unwrap();
        }
    }
    (root, folder)
}

/// Whether everything runs; none: somebody else took a port.
fn typed(name: &str) -> Option<()> {
    let (port, gateway, backend, admin) = (free_port(), free_port(), free_port(), free_port());
    let (_root, folder) = copied(name, &[(8443, port), (8000, gateway), (9001, backend)]);
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let blocks = blocks(&readme);
    let [before, programs, client] = blocks.as_slice() else {
        panic!("{name}: {blocks:#?}");
    };
    let prepared = bash(&folder, admin, before).output().unwrap();
    assert!(prepared.status.success(), "{name}: {}", text(&prepared.stderr));
    let mut running: Vec<Process> = programs
        .lines()
        .map(|line| Process::spawn("typed", bash(&folder, admin, &format!("exec {line}"))))
        .collect();
    assert_eq!(running.len(), 3, "{programs}");
    let url = format!("https://localhost:{port}/public/hello");
    let serves = until("the three programs serve, or one has ended", || {
        if running.iter_mut().any(|process| process.has_exited().is_some()) {
            return Some(false);
        }
        let asked = format!("curl -sk -o /dev/null -w '%{{http_code}}' {url} || true");
        let answer = bash(&folder, admin, &asked).output().unwrap();
        (text(&answer.stdout) == "200").then_some(true)
    });
    if serves {
        let output = bash(&folder, admin, client).output().unwrap();
        let printed = text(&output.stdout);
        let printed: Vec<&str> = printed.lines().collect();
        let promised: Vec<&str> = client
            .lines()
            .filter_map(|line| Some(line.rsplit_once("  # ")?.1))
            .collect();
        assert_eq!(printed, promised, "{name}: {}", text(&output.stderr));
    } else {
        let said: String = running
            .iter()
            .flat_map(Process::lines)
            .map(|line| line.to_lowercase() + "\n")
            .collect();
        assert!(
            said.contains("in use") || said.contains("cannot bind"),
            "{name}: {said}"
        );
    }
    for process in &mut running {
        if process.has_exited().is_none() {
            process.signal(Signal::TERM);
            process.wait();
        }
    }
    serves.then_some(())
}

fn works(name: &str) {
    let tried = (0..3).find_map(|_| typed(name));
    tried.unwrap_or_else(|| panic!("{name}: no free ports"));
}

#[test]
fn nginx() {
    works("nginx");
}

#[test]
fn traefik() {
    works("traefik");
}

#[test]
fn caddy() {
    works("caddy");
}

#[test]
fn envoy() {
    works("envoy");
}

#[test]
fn haproxy_in_front() {
    works("haproxy/in-front");
}

#[test]
fn haproxy_pass_through() {
    works("haproxy/pass-through");
}

#[test]
fn haproxy_lua() {
    works("haproxy/lua");
}
