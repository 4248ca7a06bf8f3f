//! TLS towards PostgreSQL.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

#[tokio::test]
async fn every_tls_mode_keeps_its_word() {
    // A CA, a certificate of it for `localhost`, and a CA that has nothing to do with either.
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = parameters.self_signed(&authority).unwrap();
    let issuer = rcgen::Issuer::new(parameters.clone(), authority);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let stranger = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (root, stranger) = (file("root.pem", root.pem()), file("stranger.pem", stranger.pem()));
    let (cert, key) = (file("cert.pem", leaf.pem()), file("key.pem", key.serialize_pem()));
    hand_to_server(folder.path(), &key);
    let server = own_cluster(&[
        "ssl=on",
        &format!("ssl_cert_file={cert}"),
        &format!("ssl_key_file={key}"),
    ]);
    let plain = Cluster::shared();

    let full = format!("sslmode=verify-full&sslrootcert={root}");
    for (host, port, query, tls) in [
        ("localhost", server.port, "", Some(true)),
        ("localhost", server.port, "sslmode=disable", Some(false)),
        ("127.0.0.1", server.port, "sslmode=require", Some(true)),
        (
            "127.0.0.1",
            server.port,
            &format!("sslmode=verify-ca&sslrootcert={root}"),
            Some(true),
        ),
        (
            "127.0.0.1",
            server.port,
            &format!("sslmode=verify-ca&sslrootcert={stranger}"),
            None,
        ),
        (
            "127.0.0.1",
            server.port,
            &format!("sslmode=require&sslrootcert={stranger}"),
            None,
        ),
        ("localhost", server.port, &full, Some(true)),
        ("127.0.0.1", server.port, &full, None),
        (
            "localhost",
            server.port,
            &format!("sslmode=verify-full&sslrootcert={stranger}"),
            None,
        ),
        ("127.0.0.1", plain.port, "sslmode=prefer", Some(false)),
        ("127.0.0.1", plain.port, "sslmode=require", None),
    ] {
        let store = at_url(format!(
            "postgres://postgres@{host}:{port}/postgres?application_name=t&{query}"
        ))
        .await;
        let outcome = store.ping().await;
        assert_eq!(outcome.is_ok(), tls.is_some(), "{host}:{port} {query}: {outcome:?}");
        if let Some(tls) = tls.filter(|_| port == server.port) {
            let sql =
                "SELECT bool_or(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 't'";
            assert_eq!(server.psql("postgres", sql), if tls { "t" } else { "f" }, "{query}");
        }
        drop(store);
        eventually("its connections end", async || {
            server.psql(
                "postgres",
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 't'",
            ) == "0"
        })
        .await;
    }
}

/// The server insists that the key is its user's or root's, and nobody else's to read.
fn hand_to_server(folder: &Path, key: &str) {
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
        assert!(
            Command::new("chown")
                .args(["-R", "postgres"])
                .arg(folder)
                .status()
                .unwrap()
                .success()
        );
    }
}

/// What people do who have no authority: `openssl req -x509` calls its certificate one, and the server's own is named as the root.
#[tokio::test]
async fn a_server_that_signed_itself_is_known_by_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let request = [
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
        ][..],
        &["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
    ];
    let made = Command::new("openssl").args(request.concat()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    hand_to_server(folder.path(), key);
    let server = own_cluster(&[
        "ssl=on",
        &format!("ssl_cert_file={cert}"),
        &format!("ssl_key_file={key}"),
    ]);
    let port = server.port;
    for (host, mode, is_let_in) in [
        ("localhost", "verify-full", true),
        ("127.0.0.1", "verify-full", false),
        ("127.0.0.1", "verify-ca", true),
    ] {
        let query = format!("sslmode={mode}&sslrootcert={cert}");
        let store = at_url(format!("postgres://postgres@{host}:{port}/postgres?{query}")).await;
        let outcome = store.ping().await;
        assert_eq!(outcome.is_ok(), is_let_in, "{host} {mode}: {outcome:?}");
    }
}
