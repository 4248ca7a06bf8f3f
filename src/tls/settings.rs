//! `[tls]`, and the TLS of an upstream.

use std::path::PathBuf;

/// `[tls]`: how we are reached, with only valid values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Certificates, chosen by SNI; the first is the default.
    pub certificates: Certificates,
    /// The lowest version that is spoken.
    pub min_version: Version,
    /// PEM file with the authorities whose client certificates count; none: no client's does.
    pub client_ca: Option<PathBuf>,
    /// What is asked of clients where no route says otherwise.
    pub client_auth: ClientAuth,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They are asked and may have none; one that does not verify is refused.
    Optional,
    /// They must.
    Required,
}

/// Where the certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// PEM files.
    Files(Vec<CertificateFiles>),
    /// A self-signed certificate for localhost, made on first use and kept in this folder.
    SelfSigned(PathBuf),
    /// Nothing speaks TLS, so nothing is made or read.
    Unused,
}

/// A certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 5246, with the suites that are still good.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// The TLS towards an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file with the authorities to trust; none: the system's.
    pub ca: Option<PathBuf>,
    /// The name to expect and to send as SNI; none: the host of the server's URL.
    pub server_name: Option<String>,
    /// Our own certificate, for mutual TLS.
    pub client: Option<CertificateFiles>,
}
