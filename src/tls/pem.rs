//! Reading PEM files (RFC 7468).

use std::fs;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::Error;

/// The content of a file, wiped when dropped: it may be a key.
pub(super) fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    fs::read(file).map(Zeroizing::new).map_err(|error| {
        Error::in_file(
            file,
            format!("cannot be read: {error}"),
            "check the path and that the user the gateway runs as may read it",
        )
    })
}

/// The certificates in a file's content, in their order; at least one.
pub(super) fn certificates(file: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::in_file(
            file,
            "holds no certificate",
            "expected PEM: -----BEGIN CERTIFICATE-----, the leaf first, then its issuers",
        )),
        Err(error) => Err(Error::in_file(
            file,
            format!("is no valid PEM: {}", describe(&error)),
            "expected PEM: -----BEGIN CERTIFICATE-----, the leaf first, then its issuers",
        )),
    }
}

/// The private key in a file's content.
pub(super) fn private_key(file: &Path, content: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(content).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(content, b"ENCRYPTED PRIVATE KEY") => Error::in_file(
            file,
            "is an encrypted private key",
            "decrypt it once with `openssl pkey -in … -out …` and protect the file instead",
        ),
        pem::Error::NoItemsFound => Error::in_file(
            file,
            "holds no private key",
            "expected PEM: -----BEGIN PRIVATE KEY-----, EC PRIVATE KEY or RSA PRIVATE KEY",
        ),
        error => Error::in_file(
            file,
            format!("is no valid PEM: {}", describe(&error)),
            "expected PEM: -----BEGIN PRIVATE KEY-----, EC PRIVATE KEY or RSA PRIVATE KEY",
        ),
    })
}

/// Never the content itself: the file may be a key.
fn describe(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "the base64 is broken",
        pem::Error::SectionTooLarge => "a section is too large",
        // The enum is not ours and may grow.
        _ => "it cannot be parsed",
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
