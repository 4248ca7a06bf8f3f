//! Handshakes by peers who mean no good, or do not know what they do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection};

use super::gate::{Gate, open_to};
use crate::support::PATIENCE;
use crate::support::raw::RawClient;
use crate::support::until;
use crate::support::upstream::Upstream;

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The first flight of an honest client, and what becomes of it.
fn hello(config: ClientConfig) -> (ClientConnection, Vec<u8>) {
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut bytes).unwrap();
    }
    (session, bytes)
}

/// The same handshake message in records of this many bytes.
fn in_records_of(size: usize, hello: &[u8]) -> Vec<u8> {
    let (head, message) = hello.split_at(5);
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    assert_eq!(length, message.len(), "one record");
    let record = |piece: &[u8]| {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&head[..3], &length, piece].concat()
    };
    message.chunks(size).flat_map(record).collect()
}

fn handshakes(gate: &Gate, result: &str) -> f64 {
    gate.metric(&format!("doorward_tls_handshakes_total{{result={result:?}}}"))
}

fn is_served(gate: &Gate) {
    let config = gate.authority().trusting_client(&["http/1.1"]);
    let mut client = RawClient::connect_tls(gate.listener(1), "localhost", config);
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 200);
}

/// Both ways of beginning a handshake: where nobody is asked for a certificate, and where somebody may be.
fn gates(url: &str, more: &str) -> [Gate; 2] {
    let config = Gate::with_tls_config(&(open_to(url) + more));
    let asking = config.replace(
        "[tls]\n",
        "[tls]\nclient_ca = \"server.crt\"\nclient_auth = \"optional\"\n",
    );
    [Gate::started(&config), Gate::started(&asking)]
}

#[test]
fn a_hello_in_pieces_is_a_hello() {
    let backend = Upstream::start();
    for gate in gates(&backend.url(), "") {
        for (size, segment) in [(1, 4096), (7, 4096), (100, 1), (16_000, 1)] {
            let config = gate.authority().trusting_client(&["http/1.1"]);
            let (mut session, bytes) = hello(config);
            let bytes = in_records_of(size, &bytes);
            let mut stream = connect(gate.listener(1));
            for piece in bytes.chunks(segment) {
                stream.write_all(piece).unwrap();
            }
            while session.is_handshaking() {
                session.complete_io(&mut stream).unwrap();
            }
            let mut stream = rustls::StreamOwned::new(session, stream);
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{size} {segment}: {answer}");
        }
    }
}

#[test]
fn what_does_not_become_a_handshake_ends_in_time_and_costs_little() {
    const MANY: usize = 150;
    let backend = Upstream::start();
    let more = "[timeouts]\nhandshake = \"1s\"\nfirst_byte = \"1s\"\n";
    for gate in gates(&backend.url(), more) {
        is_served(&gate);
        let (memory, descriptors) = (gate.memory("VmRSS"), gate.descriptors());
        let (_, whole) = hello(gate.authority().trusting_client(&[]));
        // A record of 16 KiB that never ends, a hello that says it is 15 MiB long, half a hello, a hello and nothing more,
        // nothing at all.
        let never = [&[0x16, 3, 1, 0x40, 0][..], &[1, 0, 0x3f, 0xfc, 3, 3], &[0; 12_000]].concat();
        let endless = [
            &[0x16, 3, 1, 0x40, 0][..],
            &[1, 0xef, 0xff, 0xff, 3, 3],
            &vec![0; 0x4000 - 6],
        ]
        .concat();
        let hostile = [&never[..], &endless, &whole[..whole.len() / 2], &whole, b""];
        let mut open: Vec<TcpStream> = Vec::new();
        for bytes in hostile.iter().cycle().take(MANY) {
            let mut stream = connect(gate.listener(1));
            stream.write_all(bytes).ok();
            open.push(stream);
        }
        is_served(&gate);
        let grown = gate.memory("VmRSS").saturating_sub(memory);
        assert!(grown < 40 << 20, "{grown} bytes more for {MANY} handshakes");
        for mut stream in open {
            // Some get an answer or an alert; all get an end.
            stream.read_to_end(&mut Vec::new()).ok();
        }
        until("descriptors come back", || {
            (gate.descriptors() <= descriptors + 2).then_some(())
        });
        until("they are counted", || {
            (handshakes(&gate, "timeout") >= (MANY * 2 / 5) as f64).then_some(())
        });
        is_served(&gate);
    }
}

#[test]
fn handshakes_that_are_broken_off_leave_nothing_behind() {
    let backend = Upstream::start();
    for gate in gates(&backend.url(), "") {
        is_served(&gate);
        let descriptors = gate.descriptors();
        let (_, whole) = hello(gate.authority().trusting_client(&[]));
        for round in 0..300 {
            let mut stream = connect(gate.listener(1));
            let end = if round % 2 == 0 {
                whole.len()
            } else {
                round % whole.len()
            };
            stream.write_all(&whole[..end]).unwrap();
        }
        until("descriptors come back", || {
            (gate.descriptors() <= descriptors + 2).then_some(())
        });
        is_served(&gate);
        assert!(backend.requests().iter().all(|request| request.target == "/"));
    }
}

#[test]
fn a_hello_that_is_too_large_is_refused() {
    let backend = Upstream::start();
    for gate in gates(&backend.url(), "") {
        let mut stream = connect(gate.listener(1));
        // Records within their bound, of one message that is not within its own.
        let mut message = vec![1, 0x0f, 0xff, 0xff, 3, 3];
        message.resize(1 << 20, 0);
        for piece in message.chunks(0x4000) {
            let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
            let record = [&[0x16, 3, 1][..], &length, piece].concat();
            if stream.write_all(&record).is_err() {
                break;
            }
        }
        stream.read_to_end(&mut Vec::new()).ok();
        until("it is counted", || (handshakes(&gate, "failed") == 1.0).then_some(()));
        is_served(&gate);
    }
}

#[test]
fn refusals_are_alerts() {
    let backend = Upstream::start();
    for gate in gates(&backend.url(), "") {
        let (mut session, bytes) = hello(gate.authority().trusting_client(&["spdy/3"]));
        let mut stream = connect(gate.listener(1));
        stream.write_all(&bytes).unwrap();
        let error = loop {
            match session.complete_io(&mut stream) {
                Ok(_) if session.is_handshaking() => {}
                other => break other.unwrap_err(),
            }
        };
        let alert = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        assert_eq!(
            alert,
            Some(&rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)),
            "RFC 7301 section 3.2"
        );
        let mut stream = connect(gate.listener(1));
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        assert!(answer.is_empty() || answer.starts_with(&[0x15, 3]), "{answer:?}");
    }
}

/// What other stacks offer and ours does not take. Where there is no openssl there is nothing to ask with.
#[test]
fn old_versions_and_suites_are_not_spoken() {
    if Command::new("openssl").arg("version").output().is_err() {
        return;
    }
    let backend = Upstream::start();
    let [gate, _] = gates(&backend.url(), "");
    let address = gate.listener(1).to_string();
    let spoken = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &address, "-servername", "localhost"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).contains("Cipher is ") && output.status.success()
    };
    assert!(spoken(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]));
    assert!(spoken(&["-tls1_3"]));
    for refused in [
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"],
    ] {
        assert!(!spoken(refused), "{refused:?}");
    }
}
