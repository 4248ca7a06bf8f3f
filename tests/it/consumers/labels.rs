//! Traefik as the labels of `examples/traefik/compose.yaml` configure it. There is no Docker: the real Traefik, with the
//! command line of the file, is told about the containers of the file by a stand-in for Docker's API.
//!
//! What a network between containers would do is done by replacing their names and the one fixed address by 127.0.0.1, and
//! a certificate that the clients know takes the place of the one that Traefik makes.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::cases;
use super::shared::{Example, example_files};
use super::traefik::TRAEFIK;
use super::yaml::documents;
use crate::support::reply::{Gate, Reply};
use crate::support::upstream::{Request, Upstream};
use crate::support::venv;

const CERTIFICATE: &str = "
tls:
  stores:
    default:
      defaultCertificate:
        certFile: server.crt
        keyFile: server.key
";

/// The compose file with its names replaced, the Doorward configuration in it, and the README.
fn files(folder: &str) -> Vec<(String, String)> {
    let mut files = example_files(folder);
    files.retain(|(name, _)| name == "README.md" || name == "compose.yaml");
    for (_, text) in files.iter_mut().filter(|(name, _)| name == "compose.yaml") {
        for (name, here) in [
            ("http://app:", "http://127.0.0.1:"),
            ("http://doorward:", "http://127.0.0.1:"),
            ("172.30.0.2", "127.0.0.1"),
        ] {
            *text = text.replace(name, here);
        }
    }
    let compose = &documents(&files.iter().find(|(name, _)| name == "compose.yaml").unwrap().1)[0];
    let doorward = compose["configs"]["doorward"]["content"].as_str().unwrap().to_owned();
    files.push(("doorward.toml".to_owned(), doorward));
    files.push(("certificate.yml".to_owned(), CERTIFICATE.to_owned()));
    files
}

fn compose(folder: &Path) -> Value {
    documents(&fs::read_to_string(folder.join("compose.yaml")).unwrap()).remove(0)
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(venv::program("proxies", "traefik"));
    for argument in compose(folder)["services"]["traefik"]["command"].as_array().unwrap() {
        command.arg(argument.as_str().unwrap());
    }
    command.arg(format!(
        "--providers.docker.endpoint=unix://{}",
        folder.join("docker.sock").display()
    ));
    command.arg("--providers.file.filename=certificate.yml");
    command
}

fn docker(folder: &Path) -> Upstream {
    let compose = compose(folder);
    let never = Gate::new();
    Upstream::unix_answering(&folder.join("docker.sock"), move |request| {
        answer(&compose, request, &never)
    })
}

/// As much of Docker's API as Traefik asks for.
fn answer(compose: &Value, request: &Request, never: &Gate) -> Reply {
    let path = request.target.split('?').next().unwrap();
    let path = path
        .strip_prefix("/v")
        .and_then(|rest| rest.find('/').map(|at| &rest[at..]))
        .unwrap_or(path);
    match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["_ping"] => Reply::new(200, &[("Api-Version", "1.44"), ("Content-Type", "text/plain")], "OK"),
        ["version"] => Reply::json(&json!({ "Version": "25.0.0", "ApiVersion": "1.44", "MinAPIVersion": "1.24" })),
        ["containers", "json"] => Reply::json(&json!([{ "Id": "doorward" }, { "Id": "app" }])),
        ["containers", id, "json"] => Reply::json(&container(compose, id)),
        // Nothing ever happens to them.
        ["events"] => {
            Reply::bytes("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
                .then_after(never, "")
        }
        _ => Reply::new(404, &[], ""),
    }
}

fn container(compose: &Value, id: &str) -> Value {
    // `$$` is how compose writes `$`.
    let labels: Value = compose["services"][id]["labels"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), json!(value.as_str().unwrap().replace("$$", "$"))))
        .collect();
    json!({
        "Id": id,
        "Name": format!("/{id}"),
        "State": { "Status": "running", "Running": true },
        "Config": { "Labels": labels },
        "HostConfig": { "NetworkMode": "inside" },
        "NetworkSettings": { "Ports": {}, "Networks": { "inside": { "NetworkID": "inside", "IPAddress": "127.0.0.1" } } },
    })
}

const LABELS: Example = Example {
    files,
    command,
    beside: Some(docker),
    // Labels have no way to name such a header; the README says so.
    passes_dots: true,
    ..TRAEFIK
};

#[test]
fn everything_holds() {
    cases::play(&mut LABELS.start());
}
