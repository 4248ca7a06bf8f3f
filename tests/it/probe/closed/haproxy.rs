//! HAProxy, with the Lua action of the examples.

use std::process::Command;

use super::super::chains::caddy_of;
use super::{Lines, Program, Scene};

const GLOBAL: &str = "global";
const FIRST: &str = "the frontend, before the check";
const CHECK: &str = "the frontend, behind all http-request lines";

const ASKS: &str = "http-request lua.ask_doorward";

/// What the action needs.
const TOLD: [&str; 4] = [
    "http-request set-header X-Forwarded-For %[src]",
    "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
    "http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
    "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
];

/// HAProxy with these lines before it asks, and where it does.
fn haproxy(scene: &Scene, lines: &Lines, first: &[&str], check: &[&str], to: std::net::SocketAddr) -> Program {
    let lua = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/haproxy/lua/doorward.lua");
    let lua = std::fs::read_to_string(lua)
        .unwrap()
        .replace("127.0.0.1:8000", &scene.doorward());
    let loads: &[&str] = if check.is_empty() {
        &[]
    } else {
        &["lua-load doorward.lua"]
    };
    let text = format!(
        "global\n  maxconn 200\n{}defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\nfrontend f\n  bind 127.0.0.1:PORT\n{}{}  default_backend b\nbackend b\n  server s {to}\n",
        lines.text(GLOBAL, loads, "  "),
        lines.text(FIRST, first, "  "),
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
            command
                .env("PATH", format!("{path}:/usr/sbin"))
                .args(["-db", "-f"])
                .arg(file);
            command
        },
    )
}

/// Behind a check that needs none of them.
#[test]
fn headers() {
    let scene = Scene::new();
    let check = format!(
        "http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str \"Bearer {}\" }}",
        scene.token
    );
    let kinds = [
        "identity_header",
        "look_alike_header",
        "forwarded_header",
        "method_override",
        "trailer",
        "upgrade",
    ];
    scene.closes("haproxy", &[], &kinds, |lines| {
        haproxy(&scene, lines, &[], &[&check], scene.echo.address)
    });
}

/// The action sets them all; whoever sets them himself, or asks for some paths alone, has to remove them.
#[test]
fn identity() {
    let scene = Scene::new();
    let some = format!("{ASKS} unless {{ path_beg /open }}");
    scene.closes("haproxy", &["--public", "/open"], &["identity_header"], |lines| {
        haproxy(&scene, lines, &TOLD, &[&some], scene.echo.address)
    });
}

/// Where it hands `Connection` on, the next proxy obeys.
#[test]
fn connection() {
    let scene = Scene::new();
    let caddy = caddy_of("localhost", "", &format!("  reverse_proxy {}", scene.echo.address));
    scene.closes("haproxy", &[], &["hop_by_hop_removal"], |lines| {
        haproxy(&scene, lines, &TOLD, &[ASKS], caddy.address)
    });
}

#[test]
fn a_check_for_some() {
    let scene = Scene::new();
    let some = format!("{ASKS} if {{ path_beg /staff }} !METH_OPTIONS");
    scene.closes(
        "haproxy",
        &["--public", "/open"],
        &["not_checked", "path_trick"],
        |lines| haproxy(&scene, lines, &TOLD, &[&some], scene.echo.address),
    );
}

#[test]
fn more_than_a_preflight() {
    let scene = Scene::new();
    scene.closes("haproxy", &[], &["preflight"], |lines| {
        haproxy(&scene, lines, &TOLD, &[ASKS], scene.echo.address)
    });
}

#[test]
fn no_check() {
    let scene = Scene::new();
    scene.closes("haproxy", &["--public", "/open"], &["no_check"], |lines| {
        haproxy(&scene, lines, &[], &[], scene.echo.address)
    });
}

#[test]
fn a_check_that_believes_the_client() {
    let scene = Scene::of_localhost();
    let kept: Vec<String> = TOLD
        .iter()
        .map(|line| {
            line.replace(
                "X-Forwarded-Host %[req.hdr(host)]",
                "X-Forwarded-Host %[req.hdr(host)] unless { req.hdr(x-forwarded-host) -m found }",
            )
        })
        .collect();
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    scene.closes("haproxy", &[], &["check_talked_past"], |lines| {
        haproxy(&scene, lines, &kept, &[ASKS], scene.echo.address)
    });
}

/// For these it has no line: there is no such hole.
#[test]
fn what_it_hands_on_of_nobody() {
    let scene = Scene::of_localhost();
    let chain = haproxy(&scene, &Lines::default(), &TOLD, &[ASKS], scene.echo.address);
    scene.probe("haproxy", &chain, &[]).has_none(&["host_header"]);
}
