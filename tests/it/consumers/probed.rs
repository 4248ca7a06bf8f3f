//! `doorward probe` through every example, as the README says it is typed in.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::caddy::CADDY;
use super::envoy::ENVOY;
use super::haproxy::{IN_FRONT, LUA, PASS_THROUGH};
use super::nginx::NGINX;
use super::shared::{Example, HOST, clean};
use super::traefik::TRAEFIK;
use crate::probe::Echo;
use crate::support::message::text;

/// The names of the identity headers are those of the example's `doorward.toml`.
fn probed(example: Example) {
    let echo = Echo::start();
    let running = example.start_before(Some(echo.address), &[]);
    fs::write(running.folder().join("token.jwt"), running.login("alice")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(["probe", "--config", "doorward.toml", "--json"]);
    command.arg(format!("https://{HOST}:{}/hello", running.port()));
    command.args(["--token-file", "token.jwt", "--public", "/public/hello", "--insecure"]);
    command.args(["--resolve", &format!("{HOST}:{}:127.0.0.1", running.port())]);
    let output = clean(&mut command).current_dir(running.folder()).output().unwrap();
    let said = text(&output.stdout);
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said} {}", text(&output.stderr)));
    assert_eq!(report["holes"], serde_json::json!([]), "{report:#}");
    assert_eq!(report["complete"], true, "{report:#}");
    assert_eq!(report["http2"], true, "{report:#}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn nginx() {
    probed(NGINX);
}

#[test]
fn traefik() {
    probed(TRAEFIK);
}

#[test]
fn caddy() {
    probed(CADDY);
}

#[test]
fn envoy() {
    probed(ENVOY);
}

#[test]
fn haproxy_in_front() {
    probed(IN_FRONT);
}

#[test]
fn haproxy_pass_through() {
    probed(PASS_THROUGH);
}

#[test]
fn haproxy_that_asks_by_lua() {
    probed(LUA);
}
