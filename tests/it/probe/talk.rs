//! What the probe says where it cannot begin, and what it makes of Doorward itself.

use super::{Echo, check, probe};
use crate::support::gateway::TestGateway;
use crate::support::nginx::Nginx;
use crate::support::ports::free_port;
use crate::support::reply::Reply;
use crate::support::upstream::Upstream;

#[test]
fn doorward_itself_lets_nothing_through() {
    let echo = Echo::start();
    let gateway = TestGateway::with(&echo)
        .route("/staff", "user")
        .public("/open")
        .user("alice", &["user"])
        .start();
    let token = gateway.login("alice");
    let ca = gateway.folder().join("ca.pem");
    std::fs::write(&ca, gateway.authority().pem()).unwrap();
    let url = format!("https://localhost:{}/staff/x", gateway.https_address().port());
    let resolve = format!("localhost:{}:127.0.0.1", gateway.https_address().port());
    let arguments = [url.as_str(), "--public", "/open/x", "--resolve", &resolve];
    let trust = ["--ca", ca.to_str().unwrap(), "--token", &token];
    probe(&[arguments.as_slice(), trust.as_slice()].concat()).clean();
    // A certificate that nobody vouches for is believed only where that is asked for.
    let said = probe(&[arguments.as_slice(), &["--token", &token]].concat());
    assert_eq!(said.status, 1, "{}", said.error);
    assert!(said.error.contains("--insecure"), "{}", said.error);
    probe(&[arguments.as_slice(), &["--insecure", "--token", &token]].concat()).clean();
    // With the names of the configuration, as text.
    let text = gateway.cli(&["probe", &url, "--insecure", "--token", &token, "--resolve", &resolve]);
    assert!(text.ends_with("No hole was found.\n"), "{text}");
}

#[test]
fn where_the_echo_is_not_reached_it_says_what_to_do() {
    let dead = format!("http://127.0.0.1:{}", free_port());
    let other = Upstream::start();
    let login = Upstream::answering(|_| Reply::new(302, &[("Location", "/login")], ""));
    let broken = Upstream::answering(|_| Reply::new(502, &[], ""));
    for (url, token, words) in [
        (dead.clone(), None, "--resolve"),
        (other.url(), None, "probe --echo"),
        (login.url(), None, "--token-file"),
        (check().url(), None, "--token-file"),
        (check().url(), Some("bad"), "token inspect"),
        (broken.url(), None, "probe --echo"),
    ] {
        let token: Vec<&str> = token.iter().flat_map(|token| ["--token", token]).collect();
        let said = probe(&[&[url.as_str()], token.as_slice()].concat());
        assert_eq!(said.status, 1, "{url}");
        assert!(
            said.error.contains("error:") && said.error.contains(words),
            "{url}: {}",
            said.error
        );
    }
}

#[test]
fn the_echo_ends_well_when_it_is_told_to() {
    for told in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut echo = Echo::start();
        echo.process.signal(told);
        let status = echo.process.wait();
        assert!(status.success(), "{status}");
    }
}

#[test]
fn wrong_usage_is_told() {
    for arguments in [
        &[][..],
        &["ftp://a/"],
        &["http://127.0.0.1/", "--public", "x"],
        &["http://127.0.0.1/", "--token", "a b"],
        &["http://127.0.0.1/", "--token-file", "/nowhere/at/all"],
        &["http://127.0.0.1/", "--identity-header", "a b"],
        &["http://127.0.0.1/", "--consumer", "apache"],
        &["http://127.0.0.1/", "--resolve", "nope"],
        &["http://127.0.0.1/", "--resolve", "other:443:here"],
        &["http://127.0.0.1/", "--resolve", "other:99999:127.0.0.1"],
        &["http://[::1]/", "--resolve", "[::1:80:127.0.0.1"],
        &["http://alice:secret@127.0.0.1/"],
        &["http://alice@127.0.0.1/", "--token", "a"],
    ] {
        let said = probe(arguments);
        assert_eq!(said.status, 2, "{arguments:?}: {}", said.error);
    }
    let said = probe(&["http://alice:secret@127.0.0.1/"]);
    assert!(said.error.contains("--token"), "{}", said.error);
    assert!(!said.error.contains("secret"), "{}", said.error);
}

#[test]
fn what_does_not_answer_is_not_called_clean() {
    let echo = Echo::start();
    // It answers the first request alone, and breaks off what has a trailer later: closed is refused, not unknown.
    let nginx = Nginx::serving(&format!("location / {{ proxy_pass http://{}; }}", echo.address));
    let said = probe(&[&nginx.url()]);
    said.found(&[("identity_header", "X-User")]);
    assert_eq!(said.report["consumer"], "nginx");
    // Nor is what nobody has to show a credential for, where nobody said that it is protected.
    let incomplete = said.report["incomplete"].to_string();
    assert!(incomplete.contains("needs no credentials"), "{incomplete}");
}
