//! What needs no credentials: paths that lead nowhere, folders that are taken off, and another host.

use std::net::SocketAddr;

use super::chains::NGINX_FORWARDING;
use super::closed::nginx::{OTHER_HOST, nginx, two_hosts};
use super::closed::{Lines, Scene};
use super::{Echo, Program, Said, TOKEN, checked, probe};
use crate::support::reply::Reply;
use crate::support::upstream::Upstream;

const GOOD: [&str; 2] = [
    "proxy_set_header X-Original-URL $scheme://$host$request_uri;",
    "proxy_set_header X-Original-Method $request_method;",
];

fn asked_about_both(scene: &Scene, open: SocketAddr, which: &str) -> Said {
    let asked = [which, GOOD[1]];
    let chain = two_hosts(scene, &Lines::default(), &asked, open);
    let more = ["--public", OTHER_HOST, "--resolve", "static.localhost:PORT:127.0.0.1"];
    scene.probe("nginx", &chain, &more)
}

/// Whatever the public host has behind it, its own backend or an echo of its own.
#[test]
fn a_host_in_the_request_line_and_another_in_host() {
    let scene = Scene::of_two_hosts();
    let own = Upstream::answering(|_| Reply::new(200, &[], "static"));
    let bad = "proxy_set_header X-Original-URL $scheme://$http_host$request_uri;";
    let said = asked_about_both(&scene, own.address(), bad);
    said.found(&[("check_talked_past", "the request line's host")]);
    let report = said.report.to_string();
    assert!(report.contains("with Host: static.localhost:"), "{report}");
    assert!(report.contains("$scheme://$host$request_uri;"), "{report}");
    assert!(report.contains("a backend of its own"), "{report}");
    assert_eq!(said.report["complete"], true, "{report}");
    let said = asked_about_both(&scene, own.address(), GOOD[0]);
    said.has_none(&["check_talked_past"]);
    assert_eq!(said.report["complete"], true, "{}", said.report);
}

/// Which of two that are one was reached, nobody knows.
#[test]
fn two_hosts_before_one_echo() {
    let scene = Scene::of_two_hosts();
    let said = asked_about_both(&scene, scene.echo.address, GOOD[0]);
    said.has_none(&["check_talked_past"]);
    assert_eq!((said.status, &said.report["complete"]), (1, &false.into()));
    let incomplete = said.report["incomplete"].to_string();
    assert!(incomplete.contains("leads to the same echo backend"), "{incomplete}");
}

/// An nginx whose `/public/` leads there.
fn stripping(echo: &Echo, gateway: &str, to: &str) -> Program {
    let clean = "proxy_set_header X-User \"\"; proxy_set_header X-User-Roles \"\"; proxy_set_header Upgrade \"\";";
    nginx(
        "",
        &format!(
            "set $asks \"$request_method:$http_upgrade:$http_content_length:$http_transfer_encoding\";\n\
             if ($asks ~ \"^OPTIONS:(?!:0?:$)\") {{ return 400; }}\n\
             location = /check {{ internal; proxy_pass http://{gateway}/auth/nginx; proxy_pass_request_body off; proxy_set_header Content-Length \"\"; proxy_set_header X-Forwarded-For $remote_addr; {} }}\n\
             location /public/ {{ auth_request /check; {clean} {NGINX_FORWARDING} proxy_pass http://{}{to}; }}\n\
             location / {{ auth_request /check; {clean} {NGINX_FORWARDING} proxy_pass http://{}; }}",
            GOOD.join(" "),
            echo.address,
            echo.address
        ),
    )
}

#[test]
fn a_public_folder_that_is_taken_off() {
    let echo = Echo::start();
    let gateway = crate::support::gateway::TestGateway::with(&echo)
        .config("trusted_proxies = [\"127.0.0.1\"]\n")
        .route("/staff", "user")
        .public("/public")
        .user("alice", &["user"])
        .start();
    let token = gateway.login("alice");
    let address = gateway.http_address().to_string();
    let said = |to: &str, public: &str| {
        let chain = stripping(&echo, &address, to);
        probe(&[&chain.url("/staff/x"), "--token", &token, "--public", public])
    };
    for public in ["/public/", "/public/x"] {
        let bad = said("/", public);
        bad.found(&[("path_trick", "the target")]);
        let report = bad.report.to_string();
        assert!(report.contains("GET /public/staff/x"), "{report}");
        said("", public).clean();
    }
}

/// Nothing was played through it, which is not the same as that nothing came through.
#[test]
fn a_public_path_that_leads_elsewhere_is_told() {
    let echo = Echo::start();
    let (gateway, token) = checked::gateway(&echo);
    let address = gateway.http_address().to_string();
    let chain = stripping(&echo, &address, "");
    for (public, words) in [
        ("/nowhere", "it was answered HTTP/1.1 40"),
        ("/public", "it leads to http://"),
    ] {
        let said = probe(&[&chain.url("/staff/x"), "--token", &token, "--public", public]);
        assert_eq!((said.status, said.holes()), (1, Vec::new()), "{}", said.report);
        assert_eq!(said.report["complete"], false);
        let incomplete = said.report["incomplete"].to_string();
        assert!(incomplete.contains("does not lead to the echo backend"), "{incomplete}");
        assert!(incomplete.contains(words), "{incomplete}");
    }
}

#[test]
fn a_public_url_of_the_same_host_is_a_path() {
    let echo = Echo::start();
    let chain = nginx("", &format!("location / {{ proxy_pass http://{}; }}", echo.address));
    let url = chain.url("/staff/x");
    let requests = |public: &str| probe(&[&url, "--token", TOKEN, "--public", public]).report["requests"].clone();
    assert_eq!(requests("/open/x"), requests(&chain.url("/open/x")));
    for wrong in ["open", "https://127.0.0.1/", "ftp://h/", "http://"] {
        let said = probe(&[&url, "--token", TOKEN, "--public", wrong]);
        assert_eq!(said.status, 2, "{wrong}: {}", said.error);
        assert!(said.error.contains("static.example.com"), "{}", said.error);
    }
}
