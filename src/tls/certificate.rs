//! One certificate with its chain and key, ready to be served.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CertificateFiles, Error, pem};

/// A certificate, its key, and what it says about itself.
pub(super) struct Certificate {
    pub(super) certified: Arc<CertifiedKey>,
    /// The DNS names of the subject alternative name (RFC 6125 section 6.4.4: the common name does not count), in lower
    /// case; `*.` in front of a wildcard.
    pub(super) names: Vec<String>,
    /// What people call it: its first name, else its subject.
    pub(super) label: String,
    /// Seconds since the Unix epoch.
    pub(super) not_before: i64,
    /// Seconds since the Unix epoch.
    pub(super) not_after: i64,
}

impl Certificate {
    /// Reads a chain and its key and checks that they belong together.
    pub(super) fn load(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, Error> {
        let chain = pem::certificates(&files.cert, &pem::read(&files.cert)?)?;
        let key = pem::private_key(&files.key, &pem::read(&files.key)?)?;
        let leaf = chain
            .first()
            .map(|leaf| Facts::of(leaf, &files.cert))
            .transpose()?
            .unwrap_or_default();
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| unusable(files, &error))?;
        Ok(Self {
            certified: Arc::new(certified),
            label: leaf.names.first().cloned().unwrap_or(leaf.subject),
            names: leaf.names,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
        })
    }
}

fn unusable(files: &CertificateFiles, error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InconsistentKeys(_) => Error::in_file(
            &files.key,
            format!("is not the key of {}", files.cert.display()),
            "give the private key that the certificate was issued for; the leaf must be the first certificate of its file",
        ),
        error => Error::in_file(
            &files.key,
            format!("cannot be used: {error}"),
            "use an RSA (2048 bits or more), ECDSA (P-256, P-384, P-521) or Ed25519 key",
        ),
    }
}

/// What a leaf says about itself.
#[derive(Default)]
struct Facts {
    subject: String,
    names: Vec<String>,
    not_before: i64,
    not_after: i64,
}

impl Facts {
    fn of(der: &[u8], file: &Path) -> Result<Self, Error> {
        let malformed = |error: String| {
            Error::in_file(
                file,
                format!("the first certificate cannot be read: {error}"),
                "expected an X.509 version 3 certificate",
            )
        };
        let (_, leaf) = X509Certificate::from_der(der).map_err(|error| malformed(error.to_string()))?;
        let alternatives = leaf
            .subject_alternative_name()
            .map_err(|error| malformed(error.to_string()))?;
        let names = alternatives
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
                // Addresses send no SNI (RFC 6066 section 3), the other kinds name no host.
                _ => None,
            })
            .collect();
        Ok(Self {
            subject: leaf.subject().to_string(),
            names,
            not_before: leaf.validity().not_before.timestamp(),
            not_after: leaf.validity().not_after.timestamp(),
        })
    }
}
