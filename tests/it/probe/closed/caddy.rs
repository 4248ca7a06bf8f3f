//! Caddy.

use super::super::chains::caddy_of;
use super::{Lines, Program, Scene};

const FIRST: &str = "route { } around the whole site";
const FORWARD_AUTH: &str = "forward_auth { }";
const SERVERS: &str = "the global options, servers { }";

fn caddy(scene: &Scene, lines: &Lines, matcher: &str, check: bool, servers: &[&str]) -> Program {
    let servers = lines.text(SERVERS, servers, "    ");
    let options = if servers.is_empty() {
        String::new()
    } else {
        format!("servers {{\n{servers}  }}")
    };
    let forward_auth = match check {
        true => format!(
            "    forward_auth {matcher} {} {{\n      uri /auth/caddy\n{}    }}\n",
            scene.doorward(),
            lines.text(FORWARD_AUTH, &["copy_headers X-User"], "      ")
        ),
        false => String::new(),
    };
    let site = format!(
        "  route {{\n{}{forward_auth}    reverse_proxy {}\n  }}",
        lines.text(FIRST, &[], "    "),
        scene.echo.address
    );
    caddy_of("localhost", &options, &site)
}

#[test]
fn headers() {
    let scene = Scene::new();
    let kinds = [
        "identity_header",
        "forwarded_header",
        "method_override",
        "upgrade",
        "hop_by_hop_removal",
    ];
    scene.closes("caddy", &[], &kinds, |lines| {
        caddy(&scene, lines, "", true, &["trusted_proxies static 127.0.0.0/8"])
    });
}

#[test]
fn a_check_for_some() {
    let scene = Scene::new();
    let kinds = ["not_checked", "path_trick"];
    scene.closes("caddy", &["--public", "/open"], &kinds, |lines| {
        let checked = "@checked {\n      path_regexp ^/staff\n      not method OPTIONS\n    }";
        caddy_matching(&scene, lines, checked)
    });
}

/// A check for what is matched alone.
fn caddy_matching(scene: &Scene, lines: &Lines, matcher: &str) -> Program {
    let site = format!(
        "  route {{\n{}    {matcher}\n    forward_auth @checked {} {{\n      uri /auth/caddy\n      copy_headers X-User\n    }}\n    reverse_proxy {}\n  }}",
        lines.text(FIRST, &[], "    "),
        scene.doorward(),
        scene.echo.address
    );
    caddy_of("localhost", "", &site)
}

#[test]
fn more_than_a_preflight() {
    let scene = Scene::new();
    scene.closes("caddy", &[], &["preflight"], |lines| {
        caddy(&scene, lines, "", true, &[])
    });
}

#[test]
fn no_check() {
    let scene = Scene::new();
    scene.closes("caddy", &["--public", "/open"], &["no_check"], |lines| {
        caddy(&scene, lines, "", false, &[])
    });
}

#[test]
fn a_check_that_believes_the_client() {
    let scene = Scene::of_localhost();
    scene.closes("caddy", &[], &["check_talked_past"], |lines| {
        caddy(&scene, lines, "", true, &["trusted_proxies static 0.0.0.0/0"])
    });
}

/// For these it has no line: there is no such hole.
#[test]
fn what_it_hands_on_of_nobody() {
    let scene = Scene::of_localhost();
    let said = scene.probe("caddy", &caddy(&scene, &Lines::default(), "", true, &[]), &[]);
    said.has_none(&["host_header", "trailer", "look_alike_header"]);
}
