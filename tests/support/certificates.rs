//! A certificate authority for tests, and clients that trust it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use time::{Duration, OffsetDateTime};

/// A certificate authority, made for one test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate of the authority and its key, as PEM.
#[derive(Clone)]
pub struct Certificate {
    pub certificate: String,
    pub key: String,
}

/// A certificate and its key in two files.
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
            .distinguished_name
            .push(DnType::CommonName, "Doorward test authority");
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's certificate for these DNS names and addresses.
    pub fn server(&self, names: &[&str]) -> Certificate {
        self.issue(names, names[0], ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate with this common name.
    pub fn client(&self, name: &str) -> Certificate {
        self.issue(&[], name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// The same, both ended yesterday.
    pub fn expired_server(&self, names: &[&str]) -> Certificate {
        self.issue_until(names, names[0], ExtendedKeyUsagePurpose::ServerAuth, Some(yesterday()))
    }

    pub fn expired_client(&self, name: &str) -> Certificate {
        self.issue_until(&[], name, ExtendedKeyUsagePurpose::ClientAuth, Some(yesterday()))
    }

    /// A client configuration that trusts only this authority, and offers these protocols.
    pub fn trusting_client(&self, protocols: &[&str]) -> ClientConfig {
        let builder = client_builder().with_root_certificates(self.roots());
        offering(builder.with_no_client_auth(), protocols)
    }

    /// The same, showing a client certificate.
    pub fn trusting_client_as(&self, certificate: &Certificate, protocols: &[&str]) -> ClientConfig {
        let (chain, key) = certificate.parsed();
        let builder = client_builder().with_root_certificates(self.roots());
        offering(builder.with_client_auth_cert(chain, key).unwrap(), protocols)
    }

    /// The same with these versions only, shared so that its sessions are.
    pub fn trusting_client_as_with(
        &self,
        certificate: &Certificate,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let (chain, key) = certificate.parsed();
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots())
            .with_client_auth_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    fn issue(&self, names: &[&str], common_name: &str, usage: ExtendedKeyUsagePurpose) -> Certificate {
        self.issue_until(names, common_name, usage, None)
    }

    fn issue_until(
        &self,
        names: &[&str],
        common_name: &str,
        usage: ExtendedKeyUsagePurpose,
        until: Option<OffsetDateTime>,
    ) -> Certificate {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        parameters.extended_key_usages.push(usage);
        if let Some(until) = until {
            parameters.not_before = until - Duration::days(9);
            parameters.not_after = until;
        }
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Certificate {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Certificate {
    /// Writes `NAME.crt` and `NAME.key` into the folder.
    pub fn write(&self, folder: &Path, name: &str) -> CertificateFiles {
        let files = CertificateFiles {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        fs::write(&files.certificate, &self.certificate).unwrap();
        fs::write(&files.key, &self.key).unwrap();
        files
    }

    /// A TLS server that shows this certificate, for the tests of the raw client.
    pub fn server_config(&self, protocols: &[&str]) -> ServerConfig {
        let (chain, key) = self.parsed();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// The same, for clients with a certificate of this authority only.
    pub fn mutual_server_config(&self, clients: &Authority) -> ServerConfig {
        let (chain, key) = self.parsed();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()), provider());
        ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap()
    }

    fn parsed(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }
}

fn yesterday() -> OffsetDateTime {
    OffsetDateTime::now_utc() - Duration::days(1)
}

fn client_builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
}

fn offering(mut config: ClientConfig, protocols: &[&str]) -> ClientConfig {
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
