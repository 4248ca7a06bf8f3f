//! A real browser in front of a real consumer: on one host, and with the application on one host and the login on another.

use serde_json::json;

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

#[test]
fn behind_nginx_on_one_host() {
    logs_in_and_out(NGINX, &[], "localhost", "localhost");
}

#[test]
fn behind_nginx_across_hosts() {
    logs_in_and_out(NGINX, &["several-hosts.toml"], APP_HOST, LOGIN_HOST);
}

#[test]
fn behind_traefik_across_hosts() {
    logs_in_and_out(TRAEFIK, &["several-hosts.toml"], APP_HOST, LOGIN_HOST);
}
