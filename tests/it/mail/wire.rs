//! What is on the wire to a mail server: TLS, logins, and certificates that are not trusted.

use std::fs;

use super::{VERIFY, register};
use crate::accounts::world::{Kind, World};
use crate::support::certificates::Authority;
use crate::support::smtp::Smtp;

/// Over TLS from the first byte and by STARTTLS, with a login; the authority is the system's.
#[test]
fn mail_goes_over_verified_tls_with_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let certificate = authority.server(&["127.0.0.1", "localhost"]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("ca.pem"), authority.pem()).unwrap();
    fs::write(path("cert.pem"), &certificate.certificate).unwrap();
    fs::write(path("key.pem"), &certificate.key).unwrap();
    fs::write(path("password"), "pa ss:word\n").unwrap();
    for (security, scheme) in [("tls", "smtps"), ("starttls", "smtp+starttls")] {
        let smtp = Smtp::start(&[
            "--security",
            security,
            "--cert",
            &path("cert.pem"),
            "--key",
            &path("key.pem"),
            "--user",
            "gate",
            "--password",
            "pa ss:word",
        ]);
        let config = format!(
            "{VERIFY}{}password_file = '{}'\n",
            smtp.config(scheme, "gate@"),
            path("password")
        );
        let world = World::new(Kind::Sqlite);
        let gateway = world.gateway_with(&config, &[("SSL_CERT_FILE", &path("ca.pem"))]);
        register(&gateway, "alice", "alice@example.org").expect(201);
        let mail = smtp.mail(0);
        assert!(mail.tls && mail.authenticated, "{mail:?}");
        let id = mail.header("Message-ID");
        assert!(id.starts_with('<') && id.ends_with("@gateway.test>"), "{id}");
        assert!(
            mail.header("Content-Type").starts_with("multipart/alternative"),
            "{}",
            mail.raw
        );
        assert!(
            mail.raw.contains("text/plain") && mail.raw.contains("text/html"),
            "{}",
            mail.raw
        );
        for field in ["Date", "From", "To", "MIME-Version"] {
            assert!(!mail.header(field).is_empty());
        }
        drop(gateway);
        // Nobody vouches for it: no mail, and no password either.
        let world = World::new(Kind::Sqlite);
        let gateway = world.gateway(&config);
        register(&gateway, "alice", "alice@example.org").expect(201);
        gateway
            .process
            .wait_for_line(|line| line.contains("a mail was not sent and is tried again"));
        assert_eq!(
            smtp.process
                .lines()
                .iter()
                .filter(|line| line.starts_with("login"))
                .count(),
            1
        );
        assert_eq!(smtp.count(), 1);
    }
}
