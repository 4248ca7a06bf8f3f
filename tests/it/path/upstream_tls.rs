//! TLS towards upstreams: whom we believe, what we show, and what a client learns when it does not work.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::assert_problem;
use super::gate::{Gate, route, upstream};
use crate::support::PATIENCE;
use crate::support::certificates::{Authority, Certificate};
use crate::support::until;

/// A server that answers one request on each connection with the common name that the client showed, until the test ends.
fn serve(config: ServerConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let config = Arc::clone(&config);
            thread::spawn(move || {
                let stream = stream.ok()?;
                stream.set_read_timeout(Some(PATIENCE)).ok()?;
                let mut stream = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
                let mut seen = Vec::new();
                while !seen.ends_with(b"\r\n\r\n") {
                    let mut buffer = [0; 1024];
                    let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
                    seen.extend_from_slice(&buffer[..count]);
                }
                let shown = stream.conn.peer_certificates().map_or(0, <[_]>::len);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{shown}");
                stream.write_all(answer.as_bytes()).ok()?;
                stream.conn.send_close_notify();
                stream.flush().ok()
            });
        }
    });
    address
}

fn keys(ca: &str, name: &str, client: &str) -> String {
    let client = match client {
        "" => String::new(),
        client => format!(", client_cert = \"{client}.crt\", client_key = \"{client}.key\""),
    };
    format!("tls = {{ ca = {ca:?}, server_name = {name:?}{client} }}")
}

fn write(gate_folder: &std::path::Path, name: &str, authority: &Authority) {
    fs::write(gate_folder.join(name), authority.pem()).unwrap();
}

#[test]
fn both_sides_are_verified_and_a_failure_is_the_logs_affair() {
    let (servers, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let mutual = serve(servers.server(&["backend.test"]).mutual_server_config(&clients));
    let expired = serve(servers.expired_server(&["backend.test"]).server_config(&[]));
    let folder = tempfile::tempdir().unwrap();
    for (name, authority) in [("servers.pem", &servers), ("stranger.pem", &stranger)] {
        write(folder.path(), name, authority);
    }
    for (name, certificate) in [
        ("me", clients.client("gateway")),
        ("eve", stranger.client("gateway")),
        ("old", clients.expired_client("gateway")),
    ] {
        certificate.write(folder.path(), name);
    }
    let cases = [
        ("good", mutual, keys("servers.pem", "backend.test", "me"), None),
        (
            "nothing",
            mutual,
            keys("servers.pem", "backend.test", ""),
            Some("CertificateRequired"),
        ),
        (
            "eve",
            mutual,
            keys("servers.pem", "backend.test", "eve"),
            Some("fatal alert"),
        ),
        (
            "old",
            mutual,
            keys("servers.pem", "backend.test", "old"),
            Some("CertificateExpired"),
        ),
        (
            "ca",
            mutual,
            keys("stranger.pem", "backend.test", "me"),
            Some("invalid peer certificate"),
        ),
        (
            "name",
            mutual,
            keys("servers.pem", "other.test", "me"),
            Some("not valid for name"),
        ),
        (
            "expired",
            expired,
            keys("servers.pem", "backend.test", ""),
            Some("expired"),
        ),
    ];
    let config: String = cases
        .iter()
        .map(|(name, address, tls, _)| {
            upstream(name, &format!("https://{address}"), tls)
                + &route(name, &format!("/{name}"), name, "access = \"public\"")
        })
        .collect();
    let gate = Gate::start_in(folder, &config);
    for (name, _, _, wrong) in &cases {
        let mark = gate.process().mark();
        let answer = gate.get(&format!("/{name}"), "");
        let Some(cause) = wrong else {
            assert_eq!((answer.status, answer.text().as_str()), (200, "1"), "{name}");
            continue;
        };
        assert_problem(&answer, 502, "upstream_failed");
        for word in ["ertificate", "TLS", "handshake", "127.0.0.1", "alert"] {
            assert!(!answer.text().contains(word), "{name}: {}", answer.text());
        }
        let path = format!("path=\"/{name}\"");
        let line = gate
            .process()
            .wait_for_line_after(mark, |line| line.contains("doorward::access") && line.contains(&path));
        assert!(line.contains("cause=") && line.contains(cause), "{line}");
        assert!(!line.contains("PRIVATE"), "{line}");
    }
}

#[test]
fn authorities_and_certificates_that_change_are_taken_up_by_themselves() {
    let (servers, clients, newer) = (Authority::new(), Authority::new(), Authority::new());
    let address = serve(servers.server(&["backend.test"]).mutual_server_config(&clients));
    let later = serve(newer.server(&["backend.test"]).mutual_server_config(&clients));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "servers.pem", &servers);
    Authority::new().client("gateway").write(folder.path(), "me");
    let tls = keys("servers.pem", "backend.test", "me");
    let config = upstream("app", &format!("https://{address}"), &tls)
        + &upstream("later", &format!("https://{later}"), &tls)
        + &route("app", "/", "app", "access = \"public\"")
        + &route("later", "/later", "later", "access = \"public\"");
    let gate = Gate::start_in(folder, &config);
    let statuses = || (gate.get("/", "").status, gate.get("/later", "").status);
    assert_eq!(statuses(), (502, 502));
    let good: Certificate = clients.client("gateway");
    good.write(gate.folder(), "me");
    until("our certificate is accepted", || {
        (statuses() == (200, 502)).then_some(())
    });
    write(gate.folder(), "servers.pem", &newer);
    until("the other authority is believed", || {
        (statuses() == (502, 200)).then_some(())
    });
    fs::write(gate.folder().join("servers.pem"), "junk").unwrap();
    until("junk is refused", || {
        (gate.metric(r#"doorward_certificate_reloads_total{result="refused"}"#) == 1.0).then_some(())
    });
    assert_eq!(statuses(), (502, 200));
}
