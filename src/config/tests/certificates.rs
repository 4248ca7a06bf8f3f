//! Certificates, authorities, and what is asked of clients.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::tls::{Certificates, ClientAuth};

/// A folder with `a` and `b` (`.pem` and `.key`), an authority `ca.pem`, and `junk.pem`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: String| fs::write(folder.path().join(name), content).unwrap();
    for name in ["a", "b"] {
        let made = rcgen::generate_simple_self_signed([format!("{name}.test")]).unwrap();
        write(&format!("{name}.pem"), made.cert.pem());
        write(&format!("{name}.key"), made.signing_key.serialize_pem());
    }
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write(
        "ca.pem",
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().pem(),
    );
    write("junk.pem", "junk".to_owned());
    folder
}

fn read_in(folder: &TempDir, text: &str) -> Result<Loaded, Problems> {
    let path = folder.path().join("doorward.toml");
    fs::write(&path, text).unwrap();
    load(&Sources {
        files: vec![path],
        ..Sources::default()
    })
}

#[test]
fn files_that_are_no_certificates_are_told_with_their_line() {
    let folder = folder();
    let pair = |cert: &str, key: &str| format!("[tls]\ncertificates = [{{ cert = {cert:?}, key = {key:?} }}]\n");
    let upstream = |tls: &str| {
        format!(
            "{GOOD}\n[[upstreams]]\nname = \"b\"\nservers = [\"https://b\"]\ntls = {{ {tls} }}\n[[routes]]\nname = \"b\"\npath = \"/b\"\nupstream = \"b\"\n"
        )
    };
    for (text, line, key, hint) in [
        (
            pair("junk.pem", "a.key"),
            2,
            "tls.certificates[0].cert",
            "holds no certificate",
        ),
        (
            pair("a.pem", "junk.pem"),
            2,
            "tls.certificates[0].key",
            "holds no private key",
        ),
        (
            pair("a.pem", "b.key"),
            2,
            "tls.certificates[0].key",
            "is not the key of",
        ),
        (
            "[tls]\nclient_auth = \"optional\"\nclient_ca = \"junk.pem\"".to_owned(),
            3,
            "tls.client_ca",
            "holds no certificate",
        ),
        (
            upstream("ca = \"junk.pem\""),
            13,
            "upstreams[1].tls.ca",
            "holds no certificate",
        ),
        (
            upstream("ca = \"ca.pem\", client_cert = \"junk.pem\", client_key = \"a.key\""),
            13,
            "upstreams[1].tls.client_cert",
            "holds no certificate",
        ),
        (
            upstream("ca = \"ca.pem\", client_cert = \"a.pem\", client_key = \"b.key\""),
            13,
            "upstreams[1].tls.client_key",
            "cannot be used with",
        ),
    ] {
        let Err(Problems(problems)) = read_in(&folder, &text) else {
            panic!("accepted: {text}")
        };
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(place(&problems[0]), (line, key.to_owned()));
        assert!(problems[0].hint.as_deref().unwrap().contains(hint), "{problems:?}");
    }
    assert!(read_in(&folder, &pair("a.pem", "a.key")).is_ok());
}

#[test]
fn a_route_asks_for_what_it_says_and_else_for_what_tls_says() {
    let folder = folder();
    let asked = |whole: &str, route: &str| {
        let text = format!("[tls]\nclient_ca = \"ca.pem\"\nclient_auth = {whole:?}\n{GOOD}{route}");
        let config = read_in(&folder, &text).unwrap().config;
        assert_eq!(config.tls.client_ca, Some(folder.path().join("ca.pem")));
        config.routes[0].rule.client_auth
    };
    assert_eq!(asked("none", "client_auth = \"required\""), ClientAuth::Required);
    assert_eq!(asked("required", ""), ClientAuth::Required);
    assert_eq!(asked("optional", ""), ClientAuth::Optional);
    assert_eq!(asked("required", "client_auth = \"none\""), ClientAuth::None);
    assert_eq!(
        errors(&format!("{GOOD}client_auth = \"required\"")),
        [(9, "routes[0].client_auth".to_owned())]
    );
    for (listener, key) in [("", "tls.client_ca"), ("http", "tls.client_ca")] {
        let asking = if listener.is_empty() { "none" } else { "required" };
        let mut text = format!("[tls]\nclient_ca = \"ca.pem\"\nclient_auth = {asking:?}\n");
        if !listener.is_empty() {
            text += &format!("[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocol = {listener:?}\n");
        }
        let warnings = read_in(&folder, &text).unwrap().warnings;
        assert_eq!(warnings.iter().map(place).collect::<Vec<_>>(), [(2, key.to_owned())]);
    }
}

#[test]
fn without_https_no_certificate_is_made() {
    let listener = |protocol: &str| format!("[[listeners]]\naddress = \"127.0.0.1:0\"\nprotocol = {protocol:?}\n");
    assert_eq!(config(&listener("http")).tls.certificates, Certificates::Unused);
    let both = config(&(listener("http") + &listener("https")));
    assert!(matches!(both.tls.certificates, Certificates::SelfSigned(_)));
}
