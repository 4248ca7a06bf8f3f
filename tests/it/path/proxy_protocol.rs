//! Listeners behind a proxy that announces its clients before their first byte.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::gate::{Gate, open_to, route, upstream};
use super::last;
use crate::support::PATIENCE;
use crate::support::raw::RawClient;
use crate::support::until;
use crate::support::upstream::Upstream;

/// A gateway with two listeners that are told of their clients, http and https.
fn behind_a_proxy(config: &str) -> Gate {
    let config = Gate::with_tls_config(config).replace("protocol = \"http", "proxy_protocol = true\nprotocol = \"http");
    Gate::started(&config)
}

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 198.51.100.7 56324 8443\r\n").into_bytes()
}

fn v2(command: u8, client: [u8; 4], more: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + more.len()).unwrap().to_be_bytes();
    let addresses = [
        &client[..],
        &[198, 51, 100, 7],
        &56324_u16.to_be_bytes(),
        &8443_u16.to_be_bytes(),
    ]
    .concat();
    [SIGNATURE, &[command, 0x11], &length, &addresses, more].concat()
}

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n";

fn results(gate: &Gate, result: &str) -> f64 {
    gate.metric(&format!("doorward_proxy_headers_total{{result={result:?}}}"))
}

#[test]
fn the_announced_address_is_the_clients() {
    let backend = Upstream::start();
    let gate = behind_a_proxy(&(TRUSTED.to_owned() + &open_to(&backend.url())));
    let unknown = b"PROXY UNKNOWN\r\n".to_vec();
    let local = v2(0x20, [192, 0, 2, 5], &[]);
    for (header, chain, real, port) in [
        (v1("192.0.2.1"), "192.0.2.1", "192.0.2.1", "8443"),
        (v2(0x21, [192, 0, 2, 2], &[]), "192.0.2.2", "192.0.2.2", "8443"),
        (v2(0x21, [192, 0, 2, 3], &[0xe0; 900]), "192.0.2.3", "192.0.2.3", "8443"),
        // A proxy in front of that proxy: what it forwards counts.
        (v1("10.0.0.7"), "203.0.113.9, 10.0.0.7", "203.0.113.9", "8443"),
        // Who is not named is not believed either.
        (unknown, "127.0.0.1", "127.0.0.1", ""),
        (local, "127.0.0.1", "127.0.0.1", ""),
    ] {
        let port = match port {
            "" => gate.address().port().to_string(),
            port => port.to_owned(),
        };
        for bytewise in [false, true] {
            let mut client = gate.connect();
            let bytes = [&header[..], GET].concat();
            if bytewise {
                for byte in &bytes {
                    client.send([*byte]);
                }
            } else {
                client.send(&bytes);
            }
            assert_eq!(client.response().status, 200, "{}", header.escape_ascii());
            for round in 0..2 {
                let request = last(&backend);
                assert_eq!(request.header("x-forwarded-for"), Some(chain), "{round}");
                assert_eq!(request.header("x-real-ip"), Some(real));
                assert_eq!(request.header("x-forwarded-port"), Some(port.as_str()));
                if round == 0 {
                    assert_eq!(client.send(GET).response().status, 200);
                }
            }
        }
    }
    gate.process()
        .wait_for_line(|line| line.contains("doorward::access") && line.contains("192.0.2.3"));
    assert_eq!(results(&gate, "ok"), 12.0);
    assert_eq!(results(&gate, "malformed"), 0.0);
}

#[test]
fn it_comes_before_the_handshake_and_stands_for_the_client_there_too() {
    let backend = Upstream::start();
    let config = TRUSTED.to_owned()
        + &upstream("app", &backend.url(), "")
        + &route("near", "/", "app", "access = \"public\"\nnetworks = [\"192.0.2.0/28\"]");
    let gate = behind_a_proxy(&config);
    for (client, status) in [("192.0.2.1", "200"), ("192.0.2.99", "403")] {
        let mut stream = TcpStream::connect(gate.listener(1)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&v1(client)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let config = gate.authority().trusting_client(&["http/1.1"]);
        let session = ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{client}: {answer}");
    }
    assert_eq!(last(&backend).header("x-forwarded-proto"), Some("https"));
}

#[test]
fn without_a_good_header_nobody_is_served() {
    let backend = Upstream::start();
    let gate = behind_a_proxy(&(TRUSTED.to_owned() + "[log]\nlevel = \"debug\"\n" + &open_to(&backend.url())));
    let bad: [&[u8]; 12] = [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 8443\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
        b"PROXY TCP4 192.0.2.1,10.0.0.1 198.51.100.7 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 8443",
        b"PROXY TCP6 192.0.2.1 198.51.100.7 56324 8443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x12\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x00\x01\x00\x02",
        b"\r\n\r\n\0\r\nQUIT\n\x11\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\x00\x01\x00\x02",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x04\xc0\x00\x02\x01",
        b"\r\n",
    ];
    for (count, bytes) in bad.into_iter().enumerate() {
        let mut stream = TcpStream::connect(gate.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.write_all(GET).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut answer = Vec::new();
        // The end, or a reset, as something was left unread.
        stream.read_to_end(&mut answer).ok();
        assert_eq!(answer, b"", "{}", bytes.escape_ascii());
        until("the refusal is counted", || {
            (results(&gate, "malformed") == (count + 1) as f64).then_some(())
        });
    }
    assert!(backend.requests().is_empty());
    gate.process()
        .wait_for_line(|line| line.contains("DEBUG") && line.contains("without a good PROXY header"));
}

#[test]
fn who_is_no_trusted_proxy_is_not_listened_to() {
    let backend = Upstream::start();
    let gate = behind_a_proxy(&("trusted_proxies = [\"192.0.2.0/24\"]\n".to_owned() + &open_to(&backend.url())));
    let refused = |gate: &Gate| {
        let mut client = gate.connect();
        client.try_send([&v1("192.0.2.1")[..], GET].concat()).ok();
        assert!(client.try_response().is_err());
    };
    refused(&gate);
    until("it is counted", || (results(&gate, "untrusted") == 1.0).then_some(()));
    let config = gate.config();
    let trusting = config.replace("192.0.2.0/24", "127.0.0.1");
    std::fs::write(gate.folder().join("doorward.toml"), trusting).unwrap();
    assert!(gate.reload());
    let mut client = gate.connect();
    assert_eq!(client.send([&v1("192.0.2.1")[..], GET].concat()).response().status, 200);
    std::fs::write(gate.folder().join("doorward.toml"), config).unwrap();
    assert!(gate.reload());
    refused(&gate);
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_header_that_does_not_come_to_its_end_is_not_waited_for() {
    let backend = Upstream::start();
    let config = TRUSTED.to_owned() + &open_to(&backend.url()) + "[timeouts]\nfirst_byte = \"1s\"\n";
    let gate = behind_a_proxy(&config);
    for bytes in [&b""[..], b"PROXY TCP4 192.0.2.1 ", SIGNATURE] {
        let mut client = gate.connect();
        client.send(bytes);
        client.expect_close();
    }
    until("they are counted", || (results(&gate, "timeout") == 3.0).then_some(()));
    // The header alone is not the first byte that is waited for.
    let mut client = gate.connect();
    client.send(v1("192.0.2.1"));
    client.expect_close();
}

#[test]
fn connections_are_counted_by_the_announced_address() {
    let backend = Upstream::start();
    let config = TRUSTED.to_owned() + &open_to(&backend.url()) + "[limits]\nconnections_per_address = 2\n";
    let gate = behind_a_proxy(&config);
    let open = |client: &str| -> Option<RawClient> {
        let mut stream = gate.connect();
        stream.try_send([&v1(client)[..], GET].concat()).ok()?;
        (stream.try_response().ok()?.status == 200).then_some(stream)
    };
    let held: Vec<_> = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3"]
        .map(|client| open(client).expect(client))
        .into();
    assert!(open("192.0.2.1").is_none());
    until("it is counted", || (results(&gate, "over_limit") == 1.0).then_some(()));
    drop(held);
    until("a place is free again", || open("192.0.2.1"));
}
