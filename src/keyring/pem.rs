//! PEM files (RFC 7468): public keys and certificates of other issuers, private keys of ours.
//!
//! Read with rustls' PEM reader and x509-parser rather than jsonwebtoken's loaders: those ask the caller for the kind of key
//! and do not look at the curve, and a key's algorithm must come out of the key.

use rustls::pki_types::pem::{self, SectionKind};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Algorithm, Error, Imported, SigningKey, VerifyingKey, jwk};

const OID_ED25519: &str = "1.3.101.112"; // RFC 8410
const OID_EC: &str = "1.2.840.10045.2.1"; // RFC 5480
const OID_P256: &str = "1.2.840.10045.3.1.7";
const OID_RSA: &str = "1.2.840.113549.1.1.1"; // RFC 8017; RSASSA-PSS has another and is no key for RS256

/// The keys of a file with `PUBLIC KEY` sections, or of the first `CERTIFICATE` (the others of a chain are authorities').
/// Of a certificate only the key counts: it is the operator who vouches for the file.
pub fn public_keys_from_pem(text: &[u8]) -> Result<Imported, Error> {
    let mut imported = Imported {
        keys: Vec::new(),
        notes: Vec::new(),
    };
    let mut certificates = 0_u32;
    for (kind, der) in sections(text)? {
        match kind {
            SectionKind::PublicKey => imported.keys.push(from_spki(&der)?),
            SectionKind::Certificate => {
                certificates += 1;
                if certificates == 1 {
                    imported.keys.push(from_certificate(&der)?);
                }
            }
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(Error::Malformed(
                    "holds a private key: give the public one, and keep that one secret".into(),
                ));
            }
            _ => {}
        }
    }
    if certificates > 1 {
        imported
            .notes
            .push("only the first certificate's key is used, the rest of the chain is passed over".into());
    }
    match imported.keys.is_empty() {
        false => Ok(imported),
        true => Err(Error::Malformed("no PEM section PUBLIC KEY or CERTIFICATE".into())),
    }
}

/// The private key of a file: PKCS#8 (`PRIVATE KEY`), or the older forms `EC PRIVATE KEY` and `RSA PRIVATE KEY`.
pub fn signing_key_from_pem(text: &[u8]) -> Result<SigningKey, Error> {
    for (kind, der) in sections(text)? {
        match kind {
            SectionKind::PrivateKey => return from_pkcs8(&der),
            SectionKind::EcPrivateKey => return SigningKey::from_sec1(&der),
            SectionKind::RsaPrivateKey => return SigningKey::from_pkcs1(&der),
            _ => {}
        }
    }
    Err(Error::Malformed("no PEM section PRIVATE KEY".into()))
}

fn sections(mut text: &[u8]) -> Result<Vec<(SectionKind, Vec<u8>)>, Error> {
    let mut found = Vec::new();
    while let Some(section) =
        pem::from_buf(&mut text).map_err(|why| Error::Malformed(format!("not a PEM file: {why:?}")))?
    {
        found.push(section);
    }
    Ok(found)
}

fn from_certificate(der: &[u8]) -> Result<VerifyingKey, Error> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|why| Error::Malformed(format!("not an X.509 certificate: {why}")))?;
    from_spki(certificate.public_key().raw)
}

fn from_spki(der: &[u8]) -> Result<VerifyingKey, Error> {
    let (_, info) =
        SubjectPublicKeyInfo::from_der(der).map_err(|why| Error::Malformed(format!("not a public key: {why}")))?;
    match info.algorithm.algorithm.to_id_string().as_str() {
        OID_ED25519 => VerifyingKey::public(Algorithm::EdDsa, der, 64),
        OID_EC => {
            let curve = info
                .algorithm
                .parameters
                .as_ref()
                .and_then(|parameters| parameters.as_oid().ok());
            match curve.map(|oid| oid.to_id_string()) {
                Some(curve) if curve == OID_P256 => VerifyingKey::public(Algorithm::Es256, der, 64),
                Some(curve) => Err(Error::Unsupported(format!("the curve {curve}"))),
                None => Err(Error::Unsupported("a curve without a name".into())),
            }
        }
        OID_RSA => match info.parsed() {
            Ok(PublicKey::RSA(key)) => jwk::rsa_verifying_key(key.modulus, key.exponent),
            _ => Err(Error::Malformed("not an RSA public key".into())),
        },
        other => Err(Error::Unsupported(format!("a key of type {other}"))),
    }
}

/// Each family's reader checks the type inside, so the first that takes the bytes is the right one.
fn from_pkcs8(der: &[u8]) -> Result<SigningKey, Error> {
    [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256]
        .into_iter()
        .find_map(|algorithm| SigningKey::from_material(algorithm, der).ok())
        .ok_or_else(|| Error::Unsupported("this private key".into()))
}
