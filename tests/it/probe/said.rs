//! What the probe says, to the letter, and how it exits.

use serde_json::Value;

use super::chains::NGINX_FORWARDING;
use super::closed::nginx::nginx;
use super::{Echo, Program, TOKEN, check};
use crate::support::message::text;

const TEXTS: &str = include_str!("said.txt");

/// The text of this name in `said.txt`.
fn told(name: &str) -> &'static str {
    let (_, rest) = TEXTS
        .split_once(&format!("=== {name}\n"))
        .unwrap_or_else(|| panic!("{name}"));
    rest.split("=== ").next().unwrap()
}

/// An nginx that takes one of two identity headers from the check, and hands one forwarding header on.
fn chain(echo: &Echo, check: &crate::support::upstream::Upstream) -> Program {
    nginx(
        "",
        &format!(
            "location = /check {{ internal; proxy_pass {}; proxy_pass_request_body off; proxy_set_header Content-Length \"\"; }}\n\
             location / {{ auth_request /check; auth_request_set $u $upstream_http_x_user; proxy_set_header X-User $u; {} proxy_pass http://{}; }}",
            check.url(),
            NGINX_FORWARDING.replace("proxy_set_header X-Rewrite-URL \"\";", ""),
            echo.address
        ),
    )
}

/// Runs it; what differs from run to run is replaced. The status, what it said, and what it complained of.
fn run(port: u16, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = super::run(arguments);
    let same = |bytes: &[u8]| {
        let mut said = text(bytes).replace(&port.to_string(), "PORT");
        while let Some(at) = said.find("dwprobe") {
            said.replace_range(at..at + 15, "CANARY");
        }
        said
    };
    (output.status.code(), same(&output.stdout), same(&output.stderr))
}

#[test]
fn holes_and_none() {
    let (echo, check) = (Echo::start(), check());
    let chain = chain(&echo, &check);
    let (port, url) = (chain.address.port(), chain.url("/staff/x"));
    let (status, said, error) = run(port, &[&url, "--token", TOKEN]);
    assert_eq!((status, error.as_str()), (Some(1), ""));
    assert_eq!(said, told("holes"));

    let (status, said, _) = run(port, &[&url, "--token", TOKEN, "--json"]);
    assert_eq!(status, Some(1));
    let said: Value = serde_json::from_str(&said).unwrap();
    let wanted: Value = serde_json::from_str(told("holes as JSON")).unwrap();
    assert_eq!(said, wanted, "{said:#}");

    let everywhere: Vec<&str> = ["nginx", "traefik", "caddy", "envoy", "haproxy"].to_vec();
    for consumer in everywhere {
        let (status, said, _) = run(port, &[&url, "--token", TOKEN, "--consumer", consumer]);
        assert_eq!(status, Some(1));
        let close = said.lines().filter(|line| line.starts_with("  close:")).count();
        assert!(close >= 2, "{consumer}: {said}");
    }
}

#[test]
fn what_cannot_begin() {
    let check = check();
    let port = check.address().port();
    let (status, said, error) = run(port, &[&check.url(), "--token", "another"]);
    assert_eq!((status, said.as_str()), (Some(1), ""));
    assert_eq!(error, told("refused"));
    let closed = crate::support::ports::free_port();
    let (status, said, error) = run(closed, &[&format!("http://127.0.0.1:{closed}/")]);
    assert_eq!((status, said.as_str()), (Some(1), ""));
    assert_eq!(error, told("nobody there"));
}

/// A certificate that nobody vouches for.
#[test]
fn an_unknown_certificate() {
    let gateway = crate::support::gateway::TestGateway::with(&Echo::start())
        .route("/", "user")
        .start();
    let port = gateway.https_address().port();
    let url = format!("https://localhost:{port}/");
    let resolve = format!("localhost:{port}:127.0.0.1");
    let ca = gateway.folder().join("other.pem");
    std::fs::write(&ca, crate::support::certificates::Authority::new().pem()).unwrap();
    for more in [&["--ca", ca.to_str().unwrap()][..], &[]] {
        let (status, said, error) = run(port, &[&[url.as_str(), "--resolve", &resolve], more].concat());
        assert_eq!((status, said.as_str()), (Some(1), ""));
        assert!(error.contains("certificate") && error.contains("--insecure"), "{error}");
    }
}
