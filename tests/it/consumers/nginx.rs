//! nginx as `examples/nginx` configures it.

use std::path::Path;
use std::process::Command;

use super::shared::{Example, example_files};
use super::{across_hosts, cases};
use crate::support::raw::RawResponse;

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

/// As its README says for several hosts: a `server` for each. What the second one serves is for everybody.
fn two_servers(folder: &str) -> Vec<(String, String)> {
    let mut files = example_files(folder);
    let mut change = |name: &str, change: &dyn Fn(&str) -> String| {
        let file = files.iter_mut().find(|(file, _)| file == name).unwrap();
        file.1 = change(&file.1);
    };
    change("nginx.conf", &|text| {
        let (before, server) = text.split_once("    server {\n").unwrap();
        let names = "server_name localhost *.doorward.localhost;";
        assert_eq!(server.matches(names).count(), 1);
        let first = server.replace(names, "server_name localhost;");
        let (first, end) = first.rsplit_once("}\n").unwrap();
        let second = "listen 127.0.0.1:8443 ssl http2; server_name open.doorward.localhost;\n\
            ssl_certificate server.crt; ssl_certificate_key server.key;\n\
            location / { return 200 open; }";
        format!("{before}    server {{\n{first}    server {{\n{second}\n}}\n}}\n{end}")
    });
    change("doorward.toml", &|text| {
        format!(
            "{text}\n[[routes]]\nname = \"open\"\nhosts = [\"open.doorward.localhost\"]\npath = \"/\"\naccess = \"public\"\n\
            upstream = \"app\"\n"
        )
    });
    files
}

#[test]
fn a_request_line_that_names_another_host_is_judged_by_it() {
    let running = Example {
        files: two_servers,
        ..NGINX
    }
    .start();
    let port = running.port();
    let ask = |target: &str, host: &str, lines: &str| -> RawResponse {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n");
        running.raw().send(head).response()
    };
    let absolute = format!("https://localhost:{port}/admin/x");
    let open = format!("open.doorward.localhost:{port}");
    assert_eq!(ask("/admin/x", &open, "").text(), "open");
    let token = format!("Authorization: Bearer {}\r\n", running.login("alice"));
    let before = running.backend.requests().len();
    for host in [
        open.as_str(),
        "open.doorward.localhost",
        "OPEN.doorward.localhost.",
        "localhost",
    ] {
        for target in [
            absolute.as_str(),
            "https://localhost/admin/x",
            "http://LOCALHOST./admin/x",
        ] {
            assert_eq!(ask(target, host, "").status, 401, "{target} {host}");
            assert_eq!(ask(target, host, &token).status, 403, "{target} {host}");
        }
    }
    assert_eq!(running.backend.requests().len(), before);
    // What may pass is the same for everybody.
    let hello = format!("https://localhost:{port}/hello");
    assert_eq!(ask(&hello, &open, &token).status, 200);
    let seen = running.backend.wait_for(before + 1).pop().unwrap();
    let told = ["host", "x-forwarded-host", "x-user"].map(|name| seen.header(name));
    assert!(
        told[0].unwrap().starts_with("localhost") && told[0] == told[1],
        "{told:?}"
    );
    assert_eq!(told[2], Some("alice"));
}

#[test]
fn one_login_for_several_hosts() {
    across_hosts(NGINX);
}
