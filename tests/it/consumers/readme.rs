//! What the READMEs promise to those who type it in.

use std::fs;
use std::process::Command;

use super::shared::{Running, clean, example_files};
use crate::support::client::Client;
use crate::support::message::text;
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::until;

/// Runs the client's commands as they stand in the example's README; each prints what stands behind it.
pub fn tells_what_happens(running: &Running) {
    let readme = fs::read_to_string(running.folder().join("README.md")).unwrap();
    let mut blocks = readme
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let script = blocks
        .find(|block| block.starts_with("ask()"))
        .expect("commands for a client");
    let promised: Vec<&str> = script
        .lines()
        .filter_map(|line| Some(line.rsplit_once("  # ")?.1))
        .collect();
    assert!(promised.len() > 5, "{script}");

    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(running.folder());
    let output = clean(&mut command).output().unwrap();
    let printed = text(&output.stdout);
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed, promised, "{}", text(&output.stderr));
}

#[test]
fn the_application_of_the_examples_shows_what_it_receives() {
    let port = free_port();
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/backend.py"));
    command.arg(format!("127.0.0.1:{port}"));
    let _backend = Process::spawn("backend.py", command);
    let client = Client::new(([127, 0, 0, 1], port).into());
    let answer = until("an application that answers", || {
        let request = client.request(http::Method::POST, "/x?y").header("x-user", "alice");
        request.body("four").try_send().ok()
    });
    let shown = answer.expect(200);
    assert_eq!(shown.echoed("x-user").unwrap(), "alice");
    assert_eq!(
        (&shown.json()["target"], &shown.json()["body_bytes"]),
        (&"/x?y".into(), &4.into())
    );
    // As the READMEs look for it.
    assert!(
        shown.text().to_lowercase().contains("\"x-user\",\"alice\""),
        "{}",
        shown.text()
    );
}

/// Every folder tells how it is used, and every relative link in it leads somewhere.
#[test]
fn links_lead_somewhere() {
    let folders = [
        "",
        "nginx",
        "ingress-nginx",
        "traefik",
        "caddy",
        "envoy",
        "haproxy",
        "haproxy/in-front",
    ];
    for folder in folders.into_iter().chain(["haproxy/pass-through", "haproxy/lua"]) {
        let (_, readme) = example_files(format!("{folder}/README.md").trim_start_matches('/')).remove(0);
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples")
            .join(folder);
        for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(here.join(link).exists(), "{folder}: {link}");
        }
    }
}
