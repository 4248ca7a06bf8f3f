//! TLS as clients see it, certificates that come and go, and the listener that only leads to https.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};

use super::assert_problem;
use super::gate::{Gate, open_to};
use crate::support::PATIENCE;
use crate::support::certificates::{Authority, Certificate, CertificateFiles};
use crate::support::client::{Client, Protocol};
use crate::support::raw::RawClient;
use crate::support::until;
use crate::support::upstream::Upstream;

/// Takes any certificate: which one is shown is what the tests are about.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];
const ONLY_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn client(versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn shake_hands(address: SocketAddr, name: &str, config: &ClientConfig) -> std::io::Result<Stream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(session, stream))
}

/// One request; the stream is then done with.
fn ask(stream: &mut Stream) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn shown(address: SocketAddr, name: &str, config: &ClientConfig) -> Vec<u8> {
    let stream = shake_hands(address, name, config).unwrap();
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn der(certificate: &Certificate) -> Vec<u8> {
    CertificateDer::from_pem_slice(certificate.certificate.as_bytes())
        .unwrap()
        .to_vec()
}

fn pair(files: &CertificateFiles) -> String {
    format!("{{ cert = {:?}, key = {:?} }}", files.certificate, files.key)
}

/// A gateway with an https listener that shows these certificates, in the folder as `one`, `two`, ….
fn showing(url: &str, certificates: &[&Certificate], more: &str) -> Gate {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<String> = certificates
        .iter()
        .enumerate()
        .map(|(index, certificate)| pair(&certificate.write(folder.path(), &index.to_string())))
        .collect();
    let config = open_to(url)
        + &format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocol = \"https\"\n[tls]\ncertificates = [{}]\n{more}\n",
            files.join(", ")
        );
    Gate::start_in(folder, &config)
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let backend = Upstream::start();
    let authority = Authority::new();
    let gate = showing(&backend.url(), &[&authority.server(&["localhost"])], "");
    for (versions, version) in [
        (ONLY_12, ProtocolVersion::TLSv1_2),
        (ONLY_13, ProtocolVersion::TLSv1_3),
        (BOTH, ProtocolVersion::TLSv1_3),
    ] {
        let mut stream = shake_hands(gate.address(), "localhost", &client(versions, &[])).unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(version));
        assert!(ask(&mut stream).starts_with("HTTP/1.1 200"));
    }
    let strict = showing(
        &backend.url(),
        &[&authority.server(&["localhost"])],
        "min_version = \"1.3\"",
    );
    assert!(shake_hands(strict.address(), "localhost", &client(ONLY_12, &[])).is_err());
    assert!(shake_hands(strict.address(), "localhost", &client(BOTH, &[])).is_ok());
    until("the refusal is counted", || {
        (strict.metric(r#"doorward_tls_handshakes_total{result="failed"}"#) == 1.0).then_some(())
    });
    // The verifying client of everybody else is content with the chain.
    let verified = Client::tls(
        gate.address(),
        "localhost",
        authority.trusting_client(&[]),
        Protocol::Http1,
    );
    verified.get("/").expect(200);
}

#[test]
fn the_certificate_is_chosen_by_name() {
    let backend = Upstream::start();
    let authority = Authority::new();
    let first = authority.server(&["one.test"]);
    let second = authority.server(&["two.test", "*.two.test"]);
    let gate = showing(&backend.url(), &[&first, &second], "");
    let named = client(BOTH, &[]);
    let mut nameless = client(BOTH, &[]);
    nameless.enable_sni = false;
    for (name, config, certificate) in [
        ("one.test", &named, &first),
        ("two.test", &named, &second),
        ("TWO.test", &named, &second),
        ("a.two.test", &named, &second),
        ("a.b.two.test", &named, &first),
        ("three.test", &named, &first),
        ("two.test", &nameless, &first),
        ("127.0.0.1", &named, &first),
    ] {
        assert!(shown(gate.address(), name, config) == der(certificate), "{name}");
    }
}

#[test]
fn the_protocol_is_agreed_on() {
    let backend = Upstream::start();
    let gate = showing(&backend.url(), &[&Authority::new().server(&["localhost"])], "");
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let mut stream = shake_hands(gate.address(), "localhost", &client(BOTH, offered)).unwrap();
        let protocol = stream
            .conn
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(protocol.as_deref(), agreed, "{offered:?}");
        if agreed != Some("h2") {
            assert!(ask(&mut stream).starts_with("HTTP/1.1 200"), "{offered:?}");
        }
    }
    assert!(
        shake_hands(gate.address(), "localhost", &client(BOTH, &["spdy/3"])).is_err(),
        "RFC 7301 section 3.2"
    );
}

#[test]
fn sessions_are_resumed_also_after_a_reload() {
    let backend = Upstream::start();
    let gate = showing(&backend.url(), &[&Authority::new().server(&["localhost"])], "");
    for versions in [ONLY_12, ONLY_13] {
        let config = client(versions, &[]);
        let kinds: Vec<HandshakeKind> = (0..3)
            .map(|round| {
                let mut stream = shake_hands(gate.address(), "localhost", &config).unwrap();
                assert!(ask(&mut stream).starts_with("HTTP/1.1 200"));
                if round == 1 {
                    assert!(gate.reload());
                }
                stream.conn.handshake_kind().unwrap()
            })
            .collect();
        assert_eq!(
            kinds,
            [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]
        );
    }
}

#[test]
fn what_is_no_tls_harms_nobody() {
    let backend = Upstream::start();
    let gate = showing(&backend.url(), &[&Authority::new().server(&["localhost"])], "");
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\x16\x03\x01\xff\xff",
        b"\0\0\0\0\0\0\0\0",
    ] {
        let mut stream = TcpStream::connect(gate.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // An alert, perhaps, and the end.
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    assert!(
        ask(&mut shake_hands(gate.address(), "localhost", &client(BOTH, &[])).unwrap()).starts_with("HTTP/1.1 200")
    );
    assert!(backend.requests().len() == 1);
}

#[test]
fn without_a_certificate_there_is_one_for_localhost() {
    let backend = Upstream::start();
    let config = open_to(&backend.url()) + "[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocol = \"https\"\n";
    let gate = Gate::start(&config);
    let mut stream = shake_hands(gate.address(), "localhost", &client(BOTH, &[])).unwrap();
    assert!(ask(&mut stream).starts_with("HTTP/1.1 200"));
    let keys = find(&gate.folder().join("data"), "key");
    assert!(!keys.is_empty());
    for key in keys {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&key).unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{} can be read by others", key.display());
    }
}

#[test]
fn without_a_listener_for_tls_no_certificate_is_made() {
    let backend = Upstream::start();
    let gate = Gate::start(&open_to(&backend.url()));
    assert_eq!(gate.get("/", "").status, 200);
    assert!(find(&gate.folder().join("data"), "localhost").is_empty());
    assert!(!gate.metrics().contains("doorward_certificate_expiry_seconds{"));
    assert!(gate.reload());
    assert!(find(&gate.folder().join("data"), "localhost").is_empty());
}

fn find(folder: &Path, part: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(find(&path, part));
        } else if path.file_name().unwrap().to_string_lossy().contains(part) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_new_certificate_is_shown_after_sighup_and_nobody_is_cut_off() {
    let backend = Upstream::start();
    let authority = Authority::new();
    let old = authority.server(&["localhost"]);
    let new = authority.server(&["localhost"]);
    let gate = showing(&backend.url(), &[&old], "");
    let config = client(BOTH, &["http/1.1"]);
    let mut open = RawClient::connect_tls(gate.address(), "localhost", config.clone());
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(open.send(request).response().status, 200);
    let http2 = Client::tls(
        gate.address(),
        "localhost",
        authority.trusting_client(&[]),
        Protocol::Http2,
    );
    http2.get("/").expect(200);

    assert!(shown(gate.address(), "localhost", &client(BOTH, &[])) == der(&old));
    new.write(gate.folder(), "0");
    assert!(gate.reload());
    assert!(shown(gate.address(), "localhost", &client(BOTH, &[])) == der(&new));
    // Two that stay and two that only looked; the last of them may still be counted.
    let handshakes = || gate.metric(r#"doorward_tls_handshakes_total{result="ok"}"#);
    until("all handshakes are counted", || (handshakes() == 4.0).then_some(()));
    assert_eq!(open.send(request).response().status, 200);
    http2.get("/").expect(200);
    assert_eq!(handshakes(), 4.0, "these were on the connections that were open");
}

#[test]
fn a_bad_new_certificate_leaves_the_old_one_in_place() {
    let backend = Upstream::start();
    let authority = Authority::new();
    let old = authority.server(&["localhost"]);
    let other = authority.server(&["localhost"]);
    let gate = showing(&backend.url(), &[&old], "");
    let broken = [
        (
            "no PEM",
            Certificate {
                certificate: "nonsense".into(),
                key: old.key.clone(),
            },
        ),
        (
            "another's key",
            Certificate {
                certificate: old.certificate.clone(),
                key: other.key.clone(),
            },
        ),
        (
            "empty",
            Certificate {
                certificate: String::new(),
                key: String::new(),
            },
        ),
    ];
    for (count, (case, certificate)) in broken.into_iter().enumerate() {
        certificate.write(gate.folder(), "0");
        let mark = gate.process().mark();
        assert!(!gate.reload(), "{case}");
        let lines = gate.process().lines().split_off(mark).join("\n");
        assert!(
            lines.contains("ERROR") && (lines.contains("0.crt") || lines.contains("0.key")),
            "{case}: {lines}"
        );
        assert!(!lines.contains("PRIVATE KEY"), "{case}: {lines}");
        assert!(
            shown(gate.address(), "localhost", &client(BOTH, &[])) == der(&old),
            "{case}"
        );
        assert_eq!(
            gate.metric(r#"doorward_config_reloads_total{result="refused"}"#),
            (count + 1) as f64,
            "{case}"
        );
    }
    fs::remove_file(gate.folder().join("0.crt")).unwrap();
    assert!(!gate.reload(), "gone");
    assert!(shown(gate.address(), "localhost", &client(BOTH, &[])) == der(&old));
    other.write(gate.folder(), "0");
    assert!(gate.reload());
    assert!(shown(gate.address(), "localhost", &client(BOTH, &[])) == der(&other));
}

#[test]
fn a_redirect_listener_leads_pages_to_https_and_refuses_what_may_be_secret() {
    let backend = Upstream::start();
    let listeners = ["", "redirect_port = 8443"]
        .map(|port| format!("[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocol = \"redirect\"\n{port}\n"));
    let gate = Gate::start(&(open_to(&backend.url()) + &listeners.concat()));
    for (index, port) in [(0, ""), (1, ":8443")] {
        let mut client = RawClient::connect(gate.listener(index));
        for (method, host, target) in [
            ("GET", "app.test", "/"),
            ("GET", "app.test:8080", "/a/B%2f?q=1&r=%20"),
            ("HEAD", "app.test", "/x"),
            ("GET", "App.Test", "//evil.test/"),
        ] {
            client.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            let response = if method == "HEAD" {
                client.response_to_head()
            } else {
                client.response()
            };
            assert!(matches!(response.status, 301 | 308), "{}", response.status);
            assert_eq!(
                response.header("location"),
                Some(format!("https://app.test{port}{target}").as_str())
            );
        }
        for (request, status, code) in [
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
                403,
                "https_required",
            ),
            ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 403, "https_required"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n",
                403,
                "https_required",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\n\r\n",
                403,
                "https_required",
            ),
            (
                "GET /?a=b&doorward_ticket=abc HTTP/1.1\r\nHost: a\r\n\r\n",
                403,
                "https_required",
            ),
            ("GET / HTTP/1.0\r\n\r\n", 403, "https_required"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "invalid_host"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "invalid_host"),
        ] {
            let response = RawClient::connect(gate.listener(index)).send(request).response();
            assert_problem(&response, status, code);
            assert!(!response.headers.has("location"));
        }
    }
    assert!(backend.requests().is_empty());
}
