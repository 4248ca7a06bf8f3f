//! What the operator is told: not to change what a client has done.

use super::*;

#[test]
fn what_a_client_may_have_sent_is_not_blamed_on_the_wiring() {
    const CLIENT: &str = "a client may have sent this, and nothing is to be changed if ordinary requests pass";
    let gate = gate("");
    let odd = |asker: Asker, from: &str, to: &[u8]| {
        let question = about("/public").by(asker);
        let (before, after) = question.split_once(from).unwrap();
        [before.as_bytes(), to, after.as_bytes()].concat()
    };
    for (question, fault) in [
        (odd(Asker::Nginx, "/public", b"/\x80"), "X-Original-URL is malformed"),
        (
            odd(Asker::Caddy, ": app.test", b": app.test:99999"),
            "X-Forwarded-Host is malformed",
        ),
        (odd(Asker::Traefik, "/public", b"/\x80"), "X-Forwarded-Uri is malformed"),
        (
            odd(Asker::Envoy, ": app.test", b": app.test:99999"),
            "Host is malformed",
        ),
    ] {
        assert_refused(&gate.ask(question), 403, "invalid_question");
        let line = gate
            .process()
            .wait_for_line(|line| line.contains(fault) && line.contains("hint="));
        assert!(line.contains(CLIENT), "{line}");
    }
    // What no client can do is the wiring's.
    for lines in ["", "X-Original-Method: GET\r\nX-Original-Method: GET\r\n"] {
        gate.get("/auth/nginx", lines);
        let fault = if lines.is_empty() {
            "X-Original-Method is missing"
        } else {
            "X-Original-Method is repeated"
        };
        let line = gate
            .process()
            .wait_for_line(|line| line.contains(fault) && line.contains("hint="));
        assert!(
            !line.contains(CLIENT) && line.contains("proxy_set_header X-Original-Method"),
            "{line}"
        );
    }
}

#[test]
fn a_check_names_the_gateways_urls_with_one_slash() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorward.toml");
    let config = upstream("app", "http://127.0.0.1:9", "") + &route("all", "/", "app", "");
    std::fs::write(&file, config).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_doorward"));
    command
        .args(["check", "--config"])
        .arg(&file)
        .current_dir(folder.path());
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(
        text.contains("DELETE /api/sessions/*") && !text.contains("//*"),
        "{text}"
    );
}
