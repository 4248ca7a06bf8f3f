//! Holes that are there over HTTP/2 alone.

use super::chains::haproxy;
use super::{Echo, TOKEN, probe};

/// A rule that names versions forgets one.
#[test]
fn a_check_for_one_version() {
    let echo = Echo::start();
    let rules = format!(
        "  http-request deny deny_status 401 if HTTP_1.1 !{{ req.hdr(authorization) -m str \"Bearer {TOKEN}\" }}"
    );
    let chain = haproxy(&rules, &echo);
    let said = probe(&[&chain.url("/staff/x"), "--token", TOKEN, "--consumer", "haproxy"]);
    said.found(&[("not_checked", "HTTP/2"), ("not_checked", "HTTP/1.0")]);
    assert_eq!(said.report["http2"], true);
    assert!(
        !said.holes().iter().any(|(_, about)| about == "OPTIONS"),
        "{:?}",
        said.holes()
    );
}

/// A rule about names in the case in which people write them forgets those of HTTP/2.
#[test]
fn headers_in_small_letters() {
    let echo = Echo::start();
    let rules = format!(
        "  http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str \"Bearer {TOKEN}\" }}\n\
         \x20 http-request del-header ^X-User$ -m reg\n  http-request del-header (?i)^x-user$ -m reg if HTTP_1.1"
    );
    let chain = haproxy(&rules, &echo);
    let said = probe(&[&chain.url("/staff/x"), "--token", TOKEN, "--consumer", "haproxy"]);
    said.found(&[("identity_header", "X-User")]);
    let hole = said.report["holes"].as_array().unwrap();
    let hole = hole
        .iter()
        .find(|hole| hole["kind"] == "identity_header" && hole["about"] == "X-User")
        .unwrap();
    assert!(
        hole["sent"].as_str().unwrap().starts_with("over HTTP/2: x-user:"),
        "{hole}"
    );
}

#[test]
fn who_does_not_speak_it_is_told() {
    let echo = Echo::start();
    let said = probe(&[&format!("http://{}/", echo.address), "--token", "a"]);
    assert_eq!(said.report["http2"], false);
    assert!(
        said.report["notes"].to_string().contains("HTTP/2"),
        "{}",
        said.report["notes"]
    );
}
