//! Tests of this part.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig};
use rustls::{ServerConnection, SignatureScheme};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::certificate::Certificate;
use super::resolver::Book;
use super::*;
use crate::clock::Clock;

mod trust;

/// An authority of its own and a folder to write certificates to.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("ca.pem"),
            parameters.self_signed(&key).unwrap().pem(),
        )
        .unwrap();
        Self {
            folder,
            issuer: Issuer::new(parameters, key),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes `<file>.pem` and `<file>.key` for these names.
    fn issue(&self, file: &str, names: &[&str]) -> CertificateFiles {
        self.issue_with(file, names, &KeyPair::generate().unwrap())
    }

    fn issue_with(&self, file: &str, names: &[&str], key: &KeyPair) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let parameters = CertificateParams::new(names).unwrap();
        let certificate = parameters.signed_by(key, &self.issuer).unwrap();
        let files = CertificateFiles {
            cert: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
        };
        fs::write(&files.cert, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn client(&self) -> Arc<ClientConfig> {
        let settings = UpstreamTls {
            ca: Some(self.path("ca.pem")),
            ..UpstreamTls::default()
        };
        client_config(&settings, &[ALPN_H2, ALPN_HTTP_1_1]).unwrap()
    }
}

fn of_files(files: Vec<CertificateFiles>) -> Settings {
    Settings {
        certificates: Certificates::Files(files),
        min_version: Version::Tls12,
        client_ca: None,
        client_auth: ClientAuth::None,
    }
}

fn leaf(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).unwrap()
}

/// A handshake in memory. The connections, when it is done and the server's tickets have arrived.
fn handshake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client, name)?;
    let mut server = ServerConnection::new(server)?;
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok((server, client))
}

fn served(server: &ServerTls, client: &Arc<ClientConfig>, name: &str) -> CertificateDer<'static> {
    let (_, client) = handshake(server.config(ClientAuth::None), client.clone(), name).unwrap();
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn the_certificate_is_chosen_by_exact_name_then_wildcard_then_the_first() {
    let authority = Authority::new();
    let first = authority.issue("first", &["default.example", "127.0.0.1"]);
    let exact = authority.issue("exact", &["Shop.Example.com"]);
    let wildcard = authority.issue("wildcard", &["*.example.com"]);
    let settings = of_files(vec![first.clone(), wildcard.clone(), exact.clone()]);
    let tls = ServerTls::new(&settings, Clock::system()).unwrap();
    let client = authority.client();

    assert_eq!(served(&tls, &client, "shop.example.com"), leaf(&exact.cert));
    assert_eq!(served(&tls, &client, "SHOP.example.com"), leaf(&exact.cert));
    assert_eq!(served(&tls, &client, "other.example.com"), leaf(&wildcard.cert));
    // An address sends no SNI.
    assert_eq!(served(&tls, &client, "127.0.0.1"), leaf(&first.cert));
    // A wildcard is one label: neither two nor none. The default is served, and this client does not accept it.
    for name in ["a.b.example.com", "example.com"] {
        let refused = handshake(tls.config(ClientAuth::None), client.clone(), name).unwrap_err();
        assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");
    }
}

#[test]
fn of_two_certificates_for_a_name_the_client_gets_the_one_it_can_verify() {
    let authority = Authority::new();
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let first = authority.issue_with("ed25519", &["a.example"], &ed25519);
    let second = authority.issue("ecdsa", &["a.example"]);
    let loaded = |files| Certificate::load(files, &provider()).unwrap();
    let book = Book::new(vec![loaded(&first), loaded(&second)]);
    let found = |schemes: &[SignatureScheme]| book.find(Some("a.example"), schemes).unwrap().cert[0].clone();
    assert_eq!(found(&[SignatureScheme::ED25519]), leaf(&first.cert));
    assert_eq!(found(&[SignatureScheme::ECDSA_NISTP256_SHA256]), leaf(&second.cert));
    assert_eq!(found(&[]), leaf(&first.cert));
}

#[test]
fn http2_is_preferred_and_versions_are_bounded() {
    let authority = Authority::new();
    let files = authority.issue("a", &["a.example"]);
    let mut settings = of_files(vec![files]);
    let tls = ServerTls::new(&settings, Clock::system()).unwrap();

    let (server, _) = handshake(tls.config(ClientAuth::None), authority.client(), "a.example").unwrap();
    assert_eq!(server.alpn_protocol(), Some(ALPN_H2));
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));

    let old = old_client(&authority);
    let (server, _) = handshake(tls.config(ClientAuth::None), old.clone(), "a.example").unwrap();
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(server.alpn_protocol(), None);

    settings.min_version = Version::Tls13;
    tls.reload(&settings).unwrap();
    assert!(handshake(tls.config(ClientAuth::None), old, "a.example").is_err());
    assert!(handshake(tls.config(ClientAuth::None), authority.client(), "a.example").is_ok());
}

/// TLS 1.2, no ALPN.
fn old_client(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(leaf(&authority.path("ca.pem"))).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn a_reload_exchanges_certificates_and_keeps_tickets() {
    let authority = Authority::new();
    let old = authority.issue("old", &["a.example"]);
    let new = authority.issue("new", &["a.example"]);
    let tls = ServerTls::new(&of_files(vec![old.clone()]), Clock::system()).unwrap();
    let before = tls.config(ClientAuth::None);
    for client in [authority.client(), old_client(&authority)] {
        assert_eq!(served(&tls, &client, "a.example"), leaf(&old.cert));
        tls.reload(&of_files(vec![new.clone()])).unwrap();
        assert!(Arc::ptr_eq(&before, &tls.config(ClientAuth::None)));
        let fresh = authority.client();
        assert_eq!(served(&tls, &fresh, "a.example"), leaf(&new.cert));
        let (server, _) = handshake(tls.config(ClientAuth::None), client, "a.example").unwrap();
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Resumed));
        tls.reload(&of_files(vec![old.clone()])).unwrap();
    }
}

#[test]
fn a_bad_new_certificate_keeps_the_old_one() {
    let authority = Authority::new();
    let good = authority.issue("good", &["a.example"]);
    let tls = ServerTls::new(&of_files(vec![good.clone()]), Clock::system()).unwrap();
    let other = authority.issue("other", &["a.example"]);
    let crossed = CertificateFiles {
        cert: good.cert.clone(),
        key: other.key.clone(),
    };
    let error = tls.reload(&of_files(vec![other, crossed.clone()])).unwrap_err();
    assert_eq!(error.file(), Some(crossed.key.as_path()));
    assert!(error.cause().contains("is not the key of"), "{error}");
    assert_eq!(served(&tls, &authority.client(), "a.example"), leaf(&good.cert));
    assert_eq!(tls.expiry()[0].name, "a.example");
}

#[test]
fn errors_name_the_file_and_never_show_a_key() {
    let authority = Authority::new();
    let good = authority.issue("good", &["a.example"]);
    let broken = |name: &str, content: &str| {
        fs::write(authority.path(name), content).unwrap();
        authority.path(name)
    };
    let with_cert = |cert: PathBuf| CertificateFiles {
        cert,
        key: good.key.clone(),
    };
    let with_key = |key: PathBuf| CertificateFiles {
        cert: good.cert.clone(),
        key,
    };
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let secret = "-----BEGIN PRIVATE KEY-----\n!hunter2!\n-----END PRIVATE KEY-----\n";
    let no_x509 = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
    for (files, name, cause) in [
        (with_cert(authority.path("none.pem")), "none.pem", "cannot be read"),
        (with_cert(good.key.clone()), "good.key", "holds no certificate"),
        (with_cert(broken("x.pem", no_x509)), "x.pem", "cannot be read"),
        (with_key(good.cert.clone()), "good.pem", "holds no private key"),
        (with_key(broken("enc.key", encrypted)), "enc.key", "encrypted"),
        (with_key(broken("bad.key", secret)), "bad.key", "base64"),
    ] {
        let Err(error) = ServerTls::new(&of_files(vec![files]), Clock::system()) else {
            panic!("{name} was accepted")
        };
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(cause), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(ServerTls::new(&of_files(Vec::new()), Clock::system()).is_err());
}

#[test]
fn the_self_signed_certificate_is_kept_until_it_is_close_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("data/tls");
    let clock = Clock::system();
    let settings = Settings {
        certificates: Certificates::SelfSigned(folder.clone()),
        ..of_files(Vec::new())
    };
    let (cert, key) = (folder.join("localhost.pem"), folder.join("localhost.key"));

    let tls = ServerTls::new(&settings, clock.clone()).unwrap();
    let first = leaf(&cert);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    let [expiry] = tls.expiry().try_into().unwrap();
    assert_eq!(expiry.name, "localhost");
    assert!(expiry.not_after > clock.unix_seconds() + 395 * 86_400);

    // It is its own trust anchor, by name and by both addresses.
    let trusting = UpstreamTls {
        ca: Some(cert.clone()),
        ..UpstreamTls::default()
    };
    let client = client_config(&trusting, &[]).unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        assert_eq!(served(&tls, &client, name), first);
    }

    tls.reload(&settings).unwrap();
    assert_eq!(leaf(&cert), first);

    let late = Clock::manual(clock.unix_millis());
    late.advance(Duration::from_secs(365 * 86_400));
    ServerTls::new(&settings, late.clone()).unwrap();
    assert_eq!(leaf(&cert), first);
    late.advance(Duration::from_secs(3 * 86_400));
    let renewed = ServerTls::new(&settings, late).unwrap();
    assert_ne!(leaf(&cert), first);
    assert!(renewed.expiry()[0].not_after > expiry.not_after);

    // What a crash left behind is made anew.
    fs::write(&cert, "-----BEGIN CERT").unwrap();
    ServerTls::new(&settings, clock).unwrap();
    PrivateKeyDer::from_pem_file(&key).unwrap();
    leaf(&cert);
}

/// Where these programs are not installed there is nothing to see; the test above holds everywhere.
#[tokio::test]
async fn curl_and_openssl_accept_the_self_signed_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        certificates: Certificates::SelfSigned(folder.path().to_owned()),
        ..of_files(Vec::new())
    };
    let tls = ServerTls::new(&settings, Clock::system()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(tls.config(ClientAuth::None));
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await?;
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi")
                    .await?;
                stream.shutdown().await
            });
        }
    });
    let cert = folder.path().join("localhost.pem");
    let run = async |program: &'static str, arguments: Vec<String>| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(std::process::Stdio::null());
        tokio::task::spawn_blocking(move || command.output().ok())
            .await
            .unwrap()
    };
    let cert = cert.to_str().unwrap().to_owned();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}/");
        let arguments = [
            "--http1.1",
            "-sS",
            "--resolve",
            &format!("localhost:{port}:127.0.0.1"),
            "--cacert",
            &cert,
            &url,
        ];
        if let Some(output) = run("curl", arguments.map(String::from).to_vec()).await {
            assert_eq!(String::from_utf8_lossy(&output.stdout), "hi", "{output:?}");
        }
    }
    let arguments = [
        "s_client",
        "-connect",
        &format!("127.0.0.1:{port}"),
        "-servername",
        "localhost",
    ];
    let checks = [
        "-verify_hostname",
        "localhost",
        "-verify_return_error",
        "-x509_strict",
        "-CAfile",
        &cert,
    ];
    let arguments = arguments.iter().chain(&checks).map(ToString::to_string).collect();
    if let Some(output) = run("openssl", arguments).await {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("Verify return code: 0 (ok)"), "{output:?}");
    }
    server.abort();
}

#[test]
fn towards_upstreams_the_authority_the_name_and_our_certificate_are_as_configured() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let files = theirs.issue("server", &["internal.example"]);
    let tls = ServerTls::new(&of_files(vec![files.clone()]), Clock::system()).unwrap();
    // Another authority is not trusted.
    let refused = handshake(tls.config(ClientAuth::None), ours.client(), "internal.example").unwrap_err();
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");

    let mut roots = RootCertStore::empty();
    roots.add(leaf(&ours.path("ca.pem"))).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .unwrap();
    let mutual = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![leaf(&files.cert)],
            PrivateKeyDer::from_pem_file(&files.key).unwrap(),
        )
        .unwrap();
    let mutual = Arc::new(mutual);
    let mut settings = UpstreamTls {
        ca: Some(theirs.path("ca.pem")),
        server_name: Some("internal.example".into()),
        client: None,
    };
    let without = ClientTls::load(&settings, &[ALPN_H2]).unwrap();
    settings.client = Some(ours.issue("me", &["gateway.example"]));
    let with = ClientTls::load(&settings, &[ALPN_H2]).unwrap();

    // The name of the settings counts, not the one of the URL.
    let ServerName::DnsName(name) = with.server_name("10.0.0.1").unwrap() else {
        panic!("an address")
    };
    assert_eq!(name.as_ref(), "internal.example");
    assert!(handshake(mutual.clone(), without.config().clone(), name.as_ref()).is_err());
    let (server, _) = handshake(mutual, with.config().clone(), name.as_ref()).unwrap();
    assert_eq!(server.peer_certificates().unwrap()[0], leaf(&ours.path("me.pem")));

    assert!(!with.is_same(&without));
    assert!(with.is_same(&ClientTls::load(&settings, &[ALPN_H2]).unwrap()));
    // The same path with another content is another authority.
    fs::copy(ours.path("ca.pem"), theirs.path("ca.pem")).unwrap();
    assert!(!with.is_same(&ClientTls::load(&settings, &[ALPN_H2]).unwrap()));
    assert!(!with.is_same(&ClientTls::load(&settings, &[ALPN_HTTP_1_1]).unwrap()));

    settings.ca = Some(theirs.path("server.key"));
    let error = ClientTls::load(&settings, &[]).unwrap_err();
    assert!(
        error.to_string().contains("server.key: holds no certificate"),
        "{error}"
    );
}

#[test]
fn a_clients_certificate_counts_while_it_lasts_and_under_its_own_authorities() {
    let (ours, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let now = Clock::system().unix_seconds();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.not_before = time::OffsetDateTime::from_unix_timestamp(now - 86_400).unwrap();
    parameters.not_after = time::OffsetDateTime::from_unix_timestamp(now + 86_400).unwrap();
    let key = KeyPair::generate().unwrap();
    let me = CertificateFiles {
        cert: ours.path("me.pem"),
        key: ours.path("me.key"),
    };
    fs::write(&me.cert, parameters.signed_by(&key, &clients.issuer).unwrap().pem()).unwrap();
    fs::write(&me.key, key.serialize_pem()).unwrap();
    let settings = Settings {
        client_ca: Some(clients.path("ca.pem")),
        ..of_files(vec![ours.issue("a", &["a.example"])])
    };
    let clock = Clock::manual(now * 1000);
    let tls = ServerTls::new(&settings, clock.clone()).unwrap();
    let mutual = UpstreamTls {
        ca: Some(ours.path("ca.pem")),
        client: Some(me),
        ..UpstreamTls::default()
    };
    let mutual = client_config(&mutual, &[ALPN_H2]).unwrap();
    for asked in [ClientAuth::None, ClientAuth::Optional, ClientAuth::Required] {
        let without = handshake(tls.config(asked), ours.client(), "a.example");
        assert_eq!(without.is_ok(), asked != ClientAuth::Required, "{asked:?}");
    }
    let (unasked, _) = handshake(tls.config(ClientAuth::None), mutual.clone(), "a.example").unwrap();
    assert!(ServerTls::shown(&unasked).is_none());
    let (server, _) = handshake(tls.config(ClientAuth::Optional), mutual, "a.example").unwrap();
    let certificate = ServerTls::shown(&server);
    // The session that began where nobody asked is not taken on where somebody does.
    assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
    let certificate = certificate.unwrap();
    let day = Duration::from_secs(86_400);
    assert!(tls.accepts(&certificate));
    clock.advance(day + Duration::from_secs(1));
    assert!(!tls.accepts(&certificate), "it has ended since");
    clock.set((now - 1000) * 1000);
    assert!(tls.accepts(&certificate));
    let before = tls.config(ClientAuth::Optional);
    tls.reload(&settings).unwrap();
    assert!(Arc::ptr_eq(&before, &tls.config(ClientAuth::Optional)));
    let elsewhere = Settings {
        client_ca: Some(others.path("ca.pem")),
        ..settings.clone()
    };
    tls.reload(&elsewhere).unwrap();
    assert!(!tls.accepts(&certificate), "signed by somebody else");
    fs::write(others.path("ca.pem"), "junk").unwrap();
    assert!(tls.reload(&elsewhere).is_err());
    let nobodys = Settings {
        client_ca: None,
        ..settings.clone()
    };
    tls.reload(&nobodys).unwrap();
    assert!(!tls.accepts(&certificate), "nobody's counts");
    tls.reload(&settings).unwrap();
    assert!(tls.accepts(&certificate));
}
