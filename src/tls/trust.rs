//! Whom we believe to be the server that we called.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::provider;

/// Verifies the certificates of servers by authorities. A certificate that was itself named as an authority is good for the
/// server that shows it, though a CA's certificate is no server's by the rules (RFC 5280 section 4.2.1.9): `openssl req -x509`
/// makes such ones, and who names a server's own certificate means that server.
///
/// The handshake's signatures are always checked: the peer has the key of the certificate it shows.
#[derive(Debug)]
pub struct Trust {
    /// `None`: anybody is believed.
    authorities: Option<Authorities>,
    checks_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Authorities {
    roots: RootCertStore,
    /// Those that were named, to be known again as a server's own.
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Believes what the system's authorities signed.
    pub fn of_system(authorities: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        // What the system trusts and nobody can parse is no reason to stop.
        roots.add_parsable_certificates(authorities);
        Self::new(Some(Authorities {
            roots,
            named: Vec::new(),
        }))
    }

    /// Believes what these signed, and these themselves.
    pub fn of_named(named: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for certificate in &named {
            roots.add(certificate.clone())?;
        }
        Ok(Self::new(Some(Authorities { roots, named })))
    }

    /// Believes whoever answers.
    pub fn of_anybody() -> Self {
        Self::new(None).of_any_name()
    }

    fn new(authorities: Option<Authorities>) -> Self {
        Self {
            authorities,
            checks_name: true,
            algorithms: provider().signature_verification_algorithms,
        }
    }

    /// Whatever the name in the certificate is.
    pub fn of_any_name(mut self) -> Self {
        self.checks_name = false;
        self
    }

    /// Whether there is nobody to believe.
    pub fn is_empty(&self) -> bool {
        let nobody = |authorities: &Authorities| authorities.roots.is_empty();
        self.authorities.as_ref().is_some_and(nobody)
    }

    /// As the verifier of a configuration.
    pub fn verifier(self) -> Arc<dyn ServerCertVerifier> {
        Arc::new(self)
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(Authorities { roots, named }) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        let signed = verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms);
        match signed {
            Err(_) if named.contains(end_entity) => may_serve(end_entity, now)?,
            outcome => outcome?,
        }
        if self.checks_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate that is believed as it stands counts now, and for servers.
fn may_serve(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let unread = |_| CertificateError::BadEncoding;
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| unread(error.to_string()))?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let now = ASN1Time::from_timestamp(seconds).map_err(|error| unread(error.to_string()))?;
    if now < parsed.validity().not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > parsed.validity().not_after {
        return Err(CertificateError::Expired.into());
    }
    let usage = parsed.extended_key_usage().map_err(|error| unread(error.to_string()))?;
    match usage.is_none_or(|usage| usage.value.any || usage.value.server_auth) {
        true => Ok(()),
        false => Err(CertificateError::InvalidPurpose.into()),
    }
}
