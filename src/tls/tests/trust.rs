//! Servers that show what was named as an authority itself.

use rcgen::ExtendedKeyUsagePurpose;
use rustls::{CertificateError, Error as TlsError};
use time::OffsetDateTime;

use super::*;

/// What `openssl req -x509` makes: signed by itself, and an authority by its own word.
fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> (CertificateDer<'static>, Arc<ServerConfig>) {
    let mut parameters = CertificateParams::new(vec!["internal.example".to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut parameters);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (certificate, Arc::new(server))
}

fn believing(trust: Trust) -> Arc<ClientConfig> {
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(trust.verifier())
        .with_no_client_auth();
    Arc::new(client)
}

fn refusal(outcome: Result<(ServerConnection, ClientConnection), TlsError>) -> Option<CertificateError> {
    match outcome {
        Ok(_) => None,
        Err(TlsError::InvalidCertificate(error)) => Some(error),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_server_may_show_the_very_certificate_that_was_named() {
    let (certificate, server) = self_signed(|_| {});
    let (other, _) = self_signed(|_| {});
    let named = |certificate: &CertificateDer<'static>| Trust::of_named(vec![certificate.clone()]).unwrap();
    let ask = |trust, name| refusal(handshake(server.clone(), believing(trust), name));

    assert_eq!(ask(named(&certificate), "internal.example"), None);
    assert_eq!(ask(named(&certificate).of_any_name(), "other.example"), None);
    let wrong_name = ask(named(&certificate), "other.example").unwrap();
    assert!(
        matches!(wrong_name, CertificateError::NotValidForNameContext { .. }),
        "{wrong_name:?}"
    );
    // Another one of the same name is another server, and what the system believes is as it was.
    assert!(ask(named(&other), "internal.example").is_some());
    assert!(ask(named(&other).of_any_name(), "internal.example").is_some());
    assert!(ask(Trust::of_system(vec![certificate.clone()]), "internal.example").is_some());
}

#[test]
fn also_such_a_certificate_counts_in_its_time_and_for_servers_only() {
    let day = time::Duration::days(1);
    let today = OffsetDateTime::now_utc();
    let outcome = |change: &dyn Fn(&mut CertificateParams)| {
        let (certificate, server) = self_signed(|parameters| change(parameters));
        let trust = Trust::of_named(vec![certificate]).unwrap();
        refusal(handshake(server, believing(trust), "internal.example"))
    };
    let ended = outcome(&|parameters| parameters.not_after = today - day);
    assert_eq!(ended, Some(CertificateError::Expired));
    let early = outcome(&|parameters| parameters.not_before = today + day);
    assert_eq!(early, Some(CertificateError::NotValidYet));
    for (usage, counts) in [
        (ExtendedKeyUsagePurpose::ClientAuth, false),
        (ExtendedKeyUsagePurpose::ServerAuth, true),
        (ExtendedKeyUsagePurpose::Any, true),
    ] {
        let refusal = outcome(&|parameters| parameters.extended_key_usages = vec![usage.clone()]);
        let expected = (!counts).then_some(CertificateError::InvalidPurpose);
        assert_eq!(refusal, expected, "{usage:?}");
    }
}
