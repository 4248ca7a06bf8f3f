//! HAProxy, with the Lua action of the examples.

use std::process::Command;

use super::super::chains::caddy as behind;
use super::{Lines, Program, Scene};

const GLOBAL: &str = "global";
const FIRST: &str = "the frontend, before the check";
const CHECK: &str = "the frontend, behind all http-request lines";

const ASKS: &str = "http-request lua.ask_doorward";

/// HAProxy with these lines where it asks.
fn haproxy(scene: &Scene, lines: &Lines, check: &[&str], to: std::net::SocketAddr) -> Program {
    let lua = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/haproxy/lua/doorward.lua");
    let lua = std::fs::read_to_string(lua).unwrap().replace("127.0.0.1:8000", &scene.doorward());
    let loads: &[&str] = if check.is_empty() { &[] } else { &["lua-load doorward.lua"] };
    let text = format!(
        "global\n  maxconn 200\n{}defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\nfrontend f\n  bind 127.0.0.1:PORT\n{}{}  default_backend b\nbackend b\n  server s {to}\n",
        lines.text(GLOBAL, loads, "  "),
        lines.text(FIRST, &[], "  "),
        lines.text(CHECK, check, "  "),
    );
    Program::start(
        "haproxy",
        "haproxy.cfg",
        move |port| text.replace("PORT", &port.to_string()),
        move |file, _| {
            std::fs::write(file.with_file_name("doorward.lua"), &lua).unwrap();
            let mut command = Command::new("haproxy");
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{path}:/usr/sbin")).args(["-db", "-f"]).arg(file);
            command
        },
    )
}

#[test]
fn headers() {
    let scene = Scene::new();
    let kinds = ["look_alike_header", "forwarded_header", "method_override", "trailer", "upgrade"];
    scene.closes("haproxy", &[], &kinds, |lines| haproxy(&scene, lines, &[ASKS], scene.echo.address));
}

/// The action sets them all; whoever sets them himself, or asks for some paths alone, has to remove them.
#[test]
fn identity() {
    let scene = Scene::new();
    let some = format!("{ASKS} unless {{ path_beg /open }}");
    scene.closes("haproxy", &["--public", "/open"], &["identity_header"], |lines| {
        haproxy(&scene, lines, &[&some], scene.echo.address)
    });
}

/// Where it hands `Connection` on, the next proxy obeys.
#[test]
fn connection() {
    let scene = Scene::new();
    let caddy = behind(&format!("  reverse_proxy {}", scene.echo.address));
    scene.closes("haproxy", &[], &["hop_by_hop_removal"], |lines| haproxy(&scene, lines, &[ASKS], caddy.address));
}

#[test]
fn a_check_for_some() {
    let scene = Scene::new();
    let some = format!("{ASKS} if {{ path_beg /staff }} !METH_OPTIONS");
    scene.closes("haproxy", &["--public", "/open"], &["not_checked", "path_trick"], |lines| {
        haproxy(&scene, lines, &[&some], scene.echo.address)
    });
}

#[test]
fn no_check() {
    let scene = Scene::new();
    scene.closes("haproxy", &["--public", "/open"], &["no_check"], |lines| {
        haproxy(&scene, lines, &[], scene.echo.address)
    });
}

#[test]
fn a_check_that_believes_the_client() {
    let scene = Scene::of_localhost();
    scene.closes("haproxy", &[], &["check_talked_past"], |lines| haproxy(&scene, lines, &[ASKS], scene.echo.address));
}

#[test]
fn one_host_alone() {
    let scene = Scene::of_localhost();
    let said = scene.probe("haproxy", &haproxy(&scene, &Lines::default(), &[ASKS], scene.echo.address), &[]);
    assert!(!said.holes().iter().any(|(kind, _)| kind == "host_header"), "{:?}", said.holes());
}
