//! libpq's `sslmode`s, on rustls.

use std::path::Path;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::super::Error;
use crate::tls::{Trust, provider};

/// How far the server's certificate is looked at (libpq's `sslmode`, less what is about whether to use TLS at all).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verification {
    /// Not at all: `prefer` and `require` keep listeners out, not impostors.
    None,
    /// It must be signed by one of the roots, whatever its name.
    Authority,
    /// And it must be the server's name.
    Full,
}

/// The TLS side of a connection. `roots`: a PEM file, or the system's.
pub(super) fn client_config(verification: Verification, roots: Option<&Path>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Refused(format!("TLS: {error}")))?;
    let verifier = match verification {
        Verification::None => Trust::of_anybody().verifier(),
        Verification::Authority => trust(roots)?.of_any_name().verifier(),
        Verification::Full => trust(roots)?.verifier(),
    };
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn trust(file: Option<&Path>) -> Result<Trust, Error> {
    let trust = match file {
        Some(file) => {
            let refused = |error: &dyn std::fmt::Display| {
                Error::Refused(format!(
                    "sslrootcert: cannot read certificates from {}: {error}",
                    file.display()
                ))
            };
            let certificates = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect)
                .map_err(|error| refused(&error))?;
            Trust::of_named(certificates).map_err(|error| refused(&error))?
        }
        None => Trust::of_system(rustls_native_certs::load_native_certs().certs),
    };
    match trust.is_empty() {
        true => Err(Error::Refused(
            "sslrootcert: no certificate authority to trust was found".to_owned(),
        )),
        false => Ok(trust),
    }
}
