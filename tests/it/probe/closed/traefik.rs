//! Traefik.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use super::{Lines, Program, Scene};
use crate::support::{until, venv};

const ENTRY_POINT: &str = "the static configuration, entryPoints.NAME";
const ROUTERS: &str = "http.routers";
const MIDDLEWARES: &str = "http.middlewares";
const CLEAN: &str = "http.middlewares.clean.";
const ON_ROUTERS: &str = "the middlewares of every router";
const CHECK: &str = "the check's forwardAuth";
const TAKEN: &str = "the check's forwardAuth.authResponseHeaders";

/// Traefik with these routers, of name, rule and middlewares.
fn traefik(
    scene: &Scene,
    lines: &Lines,
    forwards: &[&str],
    check: &[&str],
    routers: &[(&str, &str, &[&str])],
) -> Program {
    let clean = lines.at(CLEAN, &[]);
    let mut middlewares = format!(
        "    check:\n      forwardAuth:\n        address: \"http://{}/auth/traefik\"\n",
        scene.doorward()
    );
    let of_check = lines.lines.iter().filter(|(place, _)| place == CHECK);
    let of_check: Vec<&str> = of_check.map(|(_, line)| line.as_str()).collect();
    if !of_check.is_empty() {
        lines.at(CHECK, &[]);
    }
    for line in if of_check.is_empty() { check } else { &of_check } {
        middlewares += &format!("        {line}\n");
    }
    middlewares += &format!(
        "        authResponseHeaders: [{}]\n",
        lines.at(TAKEN, &["X-User"]).join(", ")
    );
    for (place, line) in &lines.lines {
        if place == MIDDLEWARES {
            middlewares += &format!("    {line}\n");
        }
    }
    lines.at(MIDDLEWARES, &[]);
    if !clean.is_empty() {
        middlewares += "    clean:\n      headers:\n        customRequestHeaders:\n";
        for line in &clean {
            middlewares += &format!("          {line}\n");
        }
    }
    let mut text = "http:\n  routers:\n".to_owned();
    for (name, rule, names) in routers {
        let first = if clean.is_empty() {
            None
        } else {
            Some("clean".to_owned())
        };
        let names: Vec<String> = first.into_iter().chain(lines.at(ON_ROUTERS, names)).collect();
        text += &format!(
            "    {name}:\n      rule: {rule}\n      service: app\n      middlewares: [{}]\n",
            names.join(", ")
        );
    }
    for line in lines.at(ROUTERS, &[]) {
        text += &format!("    {}\n", line.replace("BACKEND", "app"));
    }
    text += &format!(
        "  services:\n    app:\n      loadBalancer:\n        servers: [{{ url: \"http://{}\" }}]\n  middlewares:\n{middlewares}",
        scene.echo.address
    );
    let entry_point = lines.text(ENTRY_POINT, forwards, "    ");
    let program = Program::start(
        "traefik",
        "traefik.yml",
        move |port| {
            format!(
                "entryPoints:\n  web:\n    address: \"127.0.0.1:{port}\"\n{entry_point}providers:\n  file:\n    filename: dynamic.yml\nglobal:\n  checkNewVersion: false\n  sendAnonymousUsage: false\n"
            )
        },
        move |file, _| {
            std::fs::write(file.with_file_name("dynamic.yml"), &text).unwrap();
            let mut command = Command::new(venv::program("proxies", "traefik"));
            command.arg(format!("--configFile={}", file.display()));
            command
        },
    );
    // It listens before it has read its routes.
    until("Traefik knows its routes", || {
        let mut stream = TcpStream::connect(program.address).ok()?;
        let request = "GET /staff/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        (!answer.starts_with("HTTP/1.1 404")).then_some(())
    });
    program
}

#[test]
fn headers() {
    let scene = Scene::new();
    let kinds = [
        "identity_header",
        "look_alike_header",
        "forwarded_header",
        "method_override",
    ];
    scene.closes("traefik", &[], &kinds, |lines| {
        let all = [("all", "PathPrefix(`/`)", ["check"].as_slice())];
        traefik(&scene, lines, &["forwardedHeaders: { insecure: true }"], &[], &all)
    });
}

#[test]
fn a_check_for_some() {
    let scene = Scene::new();
    let kinds = ["not_checked", "path_trick"];
    scene.closes("traefik", &["--public", "/open"], &kinds, |lines| {
        let routers: [(&str, &str, &[&str]); 3] = [
            ("staff", "PathPrefix(`/staff`)", &["check"]),
            ("preflights", "Method(`OPTIONS`) && PathPrefix(`/`)", &[]),
            ("others", "PathPrefix(`/`)", &[]),
        ];
        traefik(&scene, lines, &[], &[], &routers)
    });
}

#[test]
fn more_than_a_preflight() {
    let scene = Scene::new();
    scene.closes("traefik", &[], &["preflight"], |lines| {
        let all = [("all", "PathPrefix(`/`)", ["check"].as_slice())];
        traefik(&scene, lines, &[], &[], &all)
    });
}

#[test]
fn no_check() {
    let scene = Scene::new();
    scene.closes("traefik", &["--public", "/open"], &["no_check"], |lines| {
        traefik(&scene, lines, &[], &[], &[("all", "PathPrefix(`/`)", &[])])
    });
}

#[test]
fn a_check_that_believes_the_client() {
    let scene = Scene::new();
    scene.closes("traefik", &["--public", "/open"], &["check_talked_past"], |lines| {
        let all = [("all", "PathPrefix(`/`)", ["check"].as_slice())];
        let insecure = ["forwardedHeaders: { insecure: true }"];
        traefik(&scene, lines, &insecure, &["trustForwardHeader: true"], &all)
    });
}

/// For these it has no line: there is no such hole.
#[test]
fn what_it_hands_on_of_nobody() {
    let scene = Scene::of_localhost();
    let all = [("all", "PathPrefix(`/`)", ["check"].as_slice())];
    let said = scene.probe("traefik", &traefik(&scene, &Lines::default(), &[], &[], &all), &[]);
    said.has_none(&["host_header", "trailer", "upgrade", "hop_by_hop_removal"]);
}
