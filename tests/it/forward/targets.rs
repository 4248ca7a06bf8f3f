//! Targets that no request line could hold: the gateway itself refuses them, so it says nothing good about them to others.

use super::*;

/// Every character in every place: what is refused of a request is refused in a question about it.
#[test]
fn what_no_request_could_ask_for_no_question_passes() {
    let gate = gate("");
    let mut refused = 0;
    for byte in (1..=0x7f_u8).filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        let character = char::from(byte);
        for target in [
            format!("/public/x{character}y"),
            format!("/public/x?{character}y"),
            format!("/public/x?y=/{character}"),
        ] {
            let direct = gate
                .ask(format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n\r\n"))
                .status;
            for asker in [Asker::Nginx, Asker::Traefik, Asker::Caddy] {
                let status = gate.ask(about(&target).by(asker)).status;
                // Nothing listens behind the route.
                if direct == 502 {
                    // White space at the end of a field does not belong to it.
                    assert_eq!(status, 200, "{target:?} {asker:?}");
                } else if !target.ends_with([' ', '\t']) {
                    assert!((400..500).contains(&status), "{target:?} {asker:?}: {direct}, {status}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 200, "{refused}");
    for target in [
        "/public/<x",
        "/public/>x",
        "/public/`x",
        "/public?<x",
        "/public?>x",
        "/public?\"x",
    ] {
        assert_refused(&gate.ask(about(target).by(Asker::Nginx)), 403, "invalid_target");
        assert_refused(&gate.ask(about(target).by(Asker::Traefik)), 400, "invalid_target");
        assert_refused(&gate.ask(about(target).by(Asker::Caddy)), 400, "invalid_target");
    }
    let long = format!("/public?{}", "x".repeat(17_000));
    assert_refused(&gate.ask(about(&long).by(Asker::Caddy)), 400, "invalid_target");
}
