//! Every line that is printed closes its hole: each real program is started with holes, is told exactly the lines that the probe
//! prints for it, and is probed again.

mod caddy;
mod envoy;
mod haproxy;
pub mod nginx;
mod traefik;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Echo, Program, Said, probe};
use crate::support::gateway::TestGateway;

/// What stands behind a consumer, and whom it asks.
pub struct Scene {
    pub echo: Echo,
    gateway: TestGateway,
    token: String,
}

impl Scene {
    /// `/staff` is for alice, `/open` for everybody.
    fn new() -> Self {
        let echo = Echo::start();
        let (gateway, token) = super::checked::gateway(&echo);
        Self { echo, gateway, token }
    }

    /// The same for one host alone, and without a public path.
    fn of_localhost() -> Self {
        let echo = Echo::start();
        let (gateway, token) = super::checked::gateway_of_localhost(&echo);
        Self { echo, gateway, token }
    }

    /// The same, and all of every other host is for everybody.
    pub fn of_two_hosts() -> Self {
        let echo = Echo::start();
        let gateway = TestGateway::with(&echo)
            .config("trusted_proxies = [\"127.0.0.1\"]\n")
            .route_with("/staff", "hosts = [\"localhost\"]\nroles_any = [\"user\"]")
            .public("/")
            .user("alice", &["user"])
            .start();
        let token = gateway.login("alice");
        Self { echo, gateway, token }
    }

    /// As the lines name it.
    fn doorward(&self) -> String {
        self.gateway.http_address().to_string()
    }

    pub fn probe(&self, consumer: &str, chain: &Program, more: &[&str]) -> Said {
        let port = chain.address.port();
        let resolve = format!("localhost:{port}:127.0.0.1");
        let url = format!("http://localhost:{port}/staff/x");
        let token = ["--token", &self.token, "--consumer", consumer, "--resolve", &resolve];
        let more: Vec<String> = more
            .iter()
            .map(|word| word.replace("PORT", &port.to_string()))
            .collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        probe(&[&[url.as_str()], token.as_slice(), more.as_slice()].concat())
    }

    /// Probes what `start` makes of no lines, expects holes of these kinds among others, and none when it is told the lines that
    /// close them.
    fn closes(&self, consumer: &str, more: &[&str], kinds: &[&str], start: impl Fn(&Lines) -> Program) {
        let bad = self.probe(consumer, &start(&Lines::default()), more);
        let mut lines = Lines::default();
        let mut found = BTreeSet::new();
        for hole in bad.report["holes"]
            .as_array()
            .unwrap_or_else(|| panic!("{}", bad.error))
        {
            let kind = hole["kind"].as_str().unwrap();
            if kinds.contains(&kind) {
                found.insert(kind);
                lines.add(
                    hole["lines"].as_object().unwrap().values().next().unwrap(),
                    &self.doorward(),
                );
            }
        }
        let wanted: BTreeSet<&str> = kinds.iter().copied().collect();
        assert_eq!(
            found,
            wanted,
            "{consumer}: {:?} {}",
            bad.holes(),
            bad.report["incomplete"]
        );
        let good = self.probe(consumer, &start(&lines), more);
        let left: Vec<(String, String)> = good.holes();
        assert!(
            !left.iter().any(|(kind, _)| kinds.contains(&kind.as_str())),
            "{consumer}: with {:#?} there is still {:#?}",
            lines.lines,
            good.report["holes"]
        );
        assert_eq!(good.report["complete"], true, "{:#}", good.report);
        lines.all_used();
    }
}

/// Lines that were printed, with their places.
#[derive(Default)]
pub struct Lines {
    lines: Vec<(String, String)>,
    used: RefCell<BTreeSet<String>>,
}

impl Lines {
    fn add(&mut self, steps: &Value, doorward: &str) {
        for step in steps.as_array().unwrap() {
            let line = step["line"].as_str().unwrap();
            let line = line.replace("DOORWARD", doorward).replace("PROXIES", "192.0.2.0/24");
            let line = if line == "CHECK" { "check".to_owned() } else { line };
            let step = (step["place"].as_str().unwrap().to_owned(), line);
            if !self.lines.contains(&step) {
                self.lines.push(step);
            }
        }
    }

    /// What stands in a place whose name begins so: the lines for it, and what stood there, but for what they replace.
    fn at(&self, place: &str, there: &[&str]) -> Vec<String> {
        let mut new = Vec::new();
        for (at, line) in &self.lines {
            if at.starts_with(place) {
                self.used.borrow_mut().insert(at.clone());
                new.push(line.clone());
            }
        }
        let keys: BTreeSet<String> = new.iter().map(|line| key(line)).collect();
        let kept = there.iter().filter(|line| !keys.contains(&key(line)));
        let kept: Vec<String> = kept.map(|line| (*line).to_owned()).collect();
        [new, kept].concat()
    }

    fn text(&self, place: &str, there: &[&str], indent: &str) -> String {
        let lines = self.at(place, there);
        let lines = lines.iter().flat_map(|line| line.lines());
        lines.map(|line| format!("{indent}{line}\n")).collect()
    }

    fn all_used(&self) {
        let all: BTreeSet<String> = self.lines.iter().map(|(place, _)| place.clone()).collect();
        assert_eq!(all, *self.used.borrow(), "places of lines that were not filled in");
    }
}

/// What a line is about: another one about the same is replaced.
fn key(line: &str) -> String {
    let mut words = line.split([' ', '\n']);
    let first = words.next().unwrap();
    match first {
        "proxy_set_header" | "auth_request_set" => format!("{first} {}", words.next().unwrap()),
        "location" => "location".to_owned(),
        "http-request" | "request_header" | "copy_headers" | "respond" | "map" | "{" | "-" => line.to_owned(),
        other if other.starts_with('@') => line.to_owned(),
        other => other.to_owned(),
    }
}

fn nginx_command(file: &Path, _: u16) -> Command {
    let mut command = Command::new("nginx");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"));
    command
        .arg("-p")
        .arg(file.parent().unwrap())
        .args(["-e", "stderr", "-c", "nginx.conf"]);
    command
}
