//! A real browser in front of a real consumer: on one host, and with the application on one host and the login on another.

use serde_json::json;

use super::caddy::CADDY;
use super::envoy::ENVOY;
use super::haproxy::{IN_FRONT, LUA, PASS_THROUGH};
use super::nginx::NGINX;
use super::shared::{APP_HOST, Example, LOGIN_HOST};
use super::traefik::TRAEFIK;
use crate::support::chromium::Chromium;
use crate::support::gateway::password_of;
use crate::support::until;

/// Goes to a page that needs a login, logs in, comes back, logs out, and is asked again.
fn logs_in_and_out(example: Example, more: &[&str], app: &str, login: &str) {
    let running = example.start_with(more);
    let port = running.port();
    let page = format!("https://{app}:{port}/app/page?a=1&b=%2F");
    let mut browser = Chromium::start();
    browser.open(&page);
    let at_login = format!("https://{login}:{port}/auth/login");
    until("the login page", || {
        let place = browser.evaluate("document.readyState + ' ' + location.origin + location.pathname");
        (place == format!("complete {at_login}")).then_some(())
    });
    assert!(
        running
            .backend
            .requests()
            .iter()
            .all(|request| !request.target.starts_with("/app"))
    );

    let fill = format!(
        "document.querySelector('#username').value = 'alice'; document.querySelector('#password').value = {}",
        json!(password_of("alice"))
    );
    browser.evaluate(&fill);
    browser.click();
    let text = browser.lands_on(&page);
    assert!(text.contains("\"alice\""), "{text}");
    assert_eq!(browser.evaluate("document.cookie"), "", "no script sees the cookie");

    browser.open(&format!("https://{login}:{port}/auth/"));
    let home = browser.lands_on(&format!("https://{login}:{port}/auth/"));
    assert!(home.contains("alice") && home.contains("Log out"), "{home}");
    browser.click();
    browser.lands_on(&at_login);
    let before = running.backend.requests().len();
    browser.open(&page);
    until("the login page again", || {
        let place = browser.evaluate("location.origin + location.pathname + location.search");
        place.as_str()?.starts_with(&format!("{at_login}?rd=")).then_some(())
    });
    // A browser asks for the icon of whatever it shows.
    let asked = running.backend.requests().split_off(before);
    assert!(
        asked.iter().all(|request| !request.target.starts_with("/app")),
        "{asked:#?}"
    );
}

fn on_one_host(example: Example) {
    logs_in_and_out(example, &[], "localhost", "localhost");
}

fn across_hosts(example: Example) {
    logs_in_and_out(example, &["several-hosts.toml"], APP_HOST, LOGIN_HOST);
}

#[test]
fn behind_nginx() {
    on_one_host(NGINX);
    across_hosts(NGINX);
}

#[test]
fn behind_traefik() {
    on_one_host(TRAEFIK);
    across_hosts(TRAEFIK);
}

#[test]
fn behind_caddy() {
    on_one_host(CADDY);
    across_hosts(CADDY);
}

#[test]
fn behind_envoy() {
    on_one_host(ENVOY);
    across_hosts(ENVOY);
}

#[test]
fn behind_haproxy_that_asks() {
    on_one_host(LUA);
    across_hosts(LUA);
}

#[test]
fn behind_haproxy_in_front() {
    on_one_host(IN_FRONT);
}

#[test]
fn behind_haproxy_that_passes_through() {
    on_one_host(PASS_THROUGH);
}
