//! Several servers, and servers that are not plain TCP.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::tls::provider;

#[tokio::test]
async fn what_cannot_be_connected_to_is_passed_over_while_there_are_retries() {
    let (listener, server) = listen(Protocol::Http).await;
    tokio::spawn(async move {
        loop {
            tokio::spawn(answer_all(accept(&listener).await));
        }
    });
    let mut settings = settings(vec![nobody().await, nobody().await, server]);
    settings.retries = 2;
    let upstream = build(settings.clone());
    for _ in 0..6 {
        assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");
    }
    settings.retries = 1;
    let upstream = build(settings);
    let error = failed(upstream.send(get("/"), 0).await);
    assert_eq!(
        (error.kind, error.fault(), error.started),
        (Kind::Connect, Fault::Upstream, false),
        "{error}"
    );
    assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");
    assert!(upstream.peers().iter().all(|peer| peer.in_flight() == 0));
}

#[tokio::test]
async fn servers_take_turns() {
    let mut servers = Vec::new();
    let mut counts = Vec::new();
    for _ in 0..3 {
        let (listener, server) = listen(Protocol::Http).await;
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        counts.push(count.clone());
        tokio::spawn(async move {
            let mut stream = accept(&listener).await;
            loop {
                head(&mut stream).await;
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        });
        servers.push(server);
    }
    let upstream = build(settings(servers));
    for _ in 0..9 {
        upstream.send(get("/"), 0).await.unwrap();
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|count| count.load(std::sync::atomic::Ordering::SeqCst))
        .collect();
    assert_eq!(counts, [3, 3, 3]);
}

#[tokio::test]
async fn names_are_resolved_and_all_their_addresses_tried() {
    let (listener, mut server) = listen(Protocol::Http).await;
    let Place::Tcp { host, port } = &mut server.place else {
        panic!()
    };
    // Where this is ::1 as well, nobody listens there.
    *host = "localhost".into();
    let authority = format!("http://localhost:{port}");
    tokio::spawn(async move { answer_all(accept(&listener).await).await });
    let upstream = build(settings(vec![server.clone()]));
    assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");
    assert_eq!(upstream.peers()[0].to_string(), authority);

    if let Place::Tcp { host, .. } = &mut server.place {
        *host = "no-such-host.invalid".into();
    }
    let error = failed(build(settings(vec![server])).send(get("/"), 0).await);
    assert_eq!((error.kind, error.started), (Kind::Connect, false), "{error}");
}

#[tokio::test]
async fn a_unix_socket_is_a_server_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let place = Place::Unix(path.clone());
    let upstream = build(settings(vec![Server {
        protocol: Protocol::Http,
        place,
    }]));
    let (response, mut stream) = tokio::join!(upstream.send(get("/x"), 0), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(head(&mut stream).await, "GET /x HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        stream
    });
    assert_eq!(text(response.unwrap()).await, "ok");
    assert_eq!(idle(&upstream.peers()[0]), 1);
    stream.shutdown().await.unwrap();
    drop((listener, stream));
    until_idle(&upstream, 0).await;
    fs::remove_file(&path).unwrap();
    let error = failed(upstream.send(get("/"), 0).await);
    assert_eq!(error.kind, Kind::Connect);
    assert!(error.to_string().contains("unix:"), "{error}");
}

/// A TLS server for `internal.example`, and a file with its authority.
pub(super) fn tls_server(folder: &Path, alpn: &[&[u8]]) -> TlsAcceptor {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("ca.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(parameters, key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["internal.example".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

pub(super) fn trusting(folder: &Path, server: Server) -> Settings {
    Settings {
        tls: UpstreamTls {
            ca: Some(folder.join("ca.pem")),
            server_name: Some("internal.example".into()),
            client: None,
        },
        ..settings(vec![server])
    }
}

#[tokio::test]
async fn https_with_an_authority_and_a_name_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let acceptor = tls_server(folder.path(), &[]);
    let (listener, server) = listen(Protocol::Https).await;
    let trusting = trusting(folder.path(), server);
    let upstream = build(trusting.clone());
    let answering = async {
        let mut stream = acceptor.accept(accept(&listener).await).await.unwrap();
        assert_eq!(stream.get_ref().1.server_name(), Some("internal.example"));
        for _ in 0..2 {
            head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
            stream.flush().await.unwrap();
        }
        stream
    };
    let asking = async {
        for _ in 0..2 {
            assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");
        }
    };
    let (_stream, ()) = tokio::join!(answering, asking);

    // Another name, then another authority.
    let mut misnamed = trusting.clone();
    misnamed.tls.server_name = None;
    let other = tempfile::tempdir().unwrap();
    tls_server(other.path(), &[]);
    let mut distrusting = trusting;
    distrusting.tls.ca = Some(other.path().join("ca.pem"));
    for settings in [misnamed, distrusting] {
        let upstream = build(settings);
        let (result, _) = tokio::join!(upstream.send(get("/"), 0), async {
            acceptor.accept(accept(&listener).await).await
        });
        let error = failed(result);
        assert_eq!((error.kind, error.started), (Kind::Connect, false), "{error}");
        assert!(error.to_string().contains("the TLS handshake failed"), "{error}");
    }
}

#[tokio::test]
async fn http2_is_chosen_in_the_handshake_and_its_connection_shared() {
    let folder = tempfile::tempdir().unwrap();
    let acceptor = tls_server(folder.path(), &[b"h2", b"http/1.1"]);
    let (listener, server) = listen(Protocol::Https).await;
    let upstream = build(trusting(folder.path(), server));
    tokio::spawn(async move {
        let stream = acceptor.accept(accept(&listener).await).await.unwrap();
        super::http2::serve(stream).await;
    });
    let (one, two) = tokio::join!(upstream.send(get("/1"), 0), upstream.send(get("/2"), 0));
    assert_eq!(text(one.unwrap()).await, "HTTP/2.0 https://shop.example/1");
    assert_eq!(text(two.unwrap()).await, "HTTP/2.0 https://shop.example/2");
}

#[tokio::test]
async fn the_handshake_counts_as_connecting() {
    // It accepts, and says nothing.
    let (silent, server) = listen(Protocol::Https).await;
    let folder = tempfile::tempdir().unwrap();
    let acceptor = tls_server(folder.path(), &[]);
    let (listener, other) = listen(Protocol::Https).await;
    let mut settings = trusting(folder.path(), server);
    settings.connect_timeout = Duration::from_millis(500);
    settings.retries = 0;
    let upstream = build(settings.clone());
    let error = failed(upstream.send(get("/"), 0).await);
    assert_eq!((error.kind, error.started), (Kind::Timeout, false), "{error}");

    settings.servers.push(other);
    settings.retries = 1;
    let upstream = build(settings);
    tokio::spawn(async move {
        let mut stream = acceptor.accept(accept(&listener).await).await.unwrap();
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        closed(&mut stream).await;
    });
    assert_eq!(text(upstream.send(get("/"), 0).await.unwrap()).await, "ok");
    drop(silent);
}

#[tokio::test]
async fn another_authority_makes_another_peer() {
    let folder = tempfile::tempdir().unwrap();
    tls_server(folder.path(), &[]);
    let (_listener, server) = listen(Protocol::Https).await;
    let settings = [trusting(folder.path(), server)];
    let first = rebuild(&Upstreams::default(), &settings).unwrap();
    let same = rebuild(&first, &settings).unwrap();
    tls_server(folder.path(), &[]);
    let other = rebuild(&same, &settings).unwrap();
    let peer = |upstreams: &Upstreams| upstreams.get("test").unwrap().peers()[0].clone();
    assert!(Arc::ptr_eq(&peer(&first), &peer(&same)));
    assert!(!Arc::ptr_eq(&peer(&first), &peer(&other)));

    fs::write(folder.path().join("ca.pem"), "nothing").unwrap();
    let error = rebuild(&other, &settings).unwrap_err();
    assert!(error.to_string().contains("ca.pem"), "{error}");
}
