//! JSON Web Keys (RFC 7517): our public keys written, other issuers' read.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, EllipticCurveKeyType, Jwk,
    KeyAlgorithm, KeyOperations, OctetKeyPairParameters, OctetKeyPairType, PublicKeyUse, RSAKeyParameters, RSAKeyType,
};
use serde::Deserialize;
use serde_json::Value;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use super::{Algorithm, Error, VerifyingKey};

/// The most keys that are read from one set.
const MAX_KEYS: usize = 256;

/// What a set held.
#[derive(Debug)]
pub struct Imported {
    /// The usable keys, in their order.
    pub keys: Vec<VerifyingKey>,
    /// One line for each that was passed over, and for what an operator should know.
    pub notes: Vec<String>,
}

/// Reads a JWK Set (RFC 7517 section 5). Keys of unknown kinds or for other purposes are passed over with a note; a set
/// without a usable key is an error.
pub fn from_jwk_set(json: &[u8]) -> Result<Imported, Error> {
    let malformed = |why: String| Error::Malformed(format!("not a JWK Set: {why}"));
    let document: Value = serde_json::from_slice(json).map_err(|why| malformed(why.to_string()))?;
    let Some(Value::Array(members)) = document.get("keys") else {
        return Err(malformed("no array \"keys\"".into()));
    };
    let mut imported = Imported {
        keys: Vec::new(),
        notes: Vec::new(),
    };
    for (index, member) in members.iter().enumerate() {
        let name = member.get("kid").and_then(Value::as_str);
        let label = name.map_or_else(|| format!("key {index}"), |kid| format!("key {index} ({kid:?})"));
        if index >= MAX_KEYS {
            imported
                .notes
                .push(format!("{label} and all that follow: only {MAX_KEYS} keys are read"));
            break;
        }
        match from_jwk(member) {
            Ok(key) => {
                if member.get("d").is_some() {
                    imported
                        .notes
                        .push(format!("{label}: holds a private key, which has no business here"));
                }
                imported.keys.push(match name {
                    Some(kid) => key.named(kid),
                    None => key,
                });
            }
            Err(why) => imported.notes.push(format!("{label}: {why}")),
        }
    }
    match imported.keys.is_empty() {
        false => Ok(imported),
        true if imported.notes.is_empty() => Err(Error::NoneUsable(vec!["the set is empty".into()])),
        true => Err(Error::NoneUsable(imported.notes)),
    }
}

fn from_jwk(member: &Value) -> Result<VerifyingKey, Error> {
    let jwk = Jwk::deserialize(member).map_err(|why| Error::Malformed(format!("not a JWK: {why}")))?;
    // RFC 7517 sections 4.2 and 4.3: both say what a key is for, and only verifying will do.
    if jwk
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
    {
        return Err(Error::Unsupported("a key whose \"use\" is not \"sig\"".into()));
    }
    if jwk
        .common
        .key_operations
        .as_ref()
        .is_some_and(|operations| !operations.contains(&KeyOperations::Verify))
    {
        return Err(Error::Unsupported("a key whose \"key_ops\" lack \"verify\"".into()));
    }
    match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            curve: EllipticCurve::Ed25519,
            x,
            ..
        }) => {
            only(&jwk, KeyAlgorithm::EdDSA)?;
            VerifyingKey::public(Algorithm::EdDsa, &coordinate(x)?, 64)
        }
        AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
            curve: EllipticCurve::P256,
            x,
            y,
            ..
        }) => {
            only(&jwk, KeyAlgorithm::ES256)?;
            let mut point = vec![0x04]; // uncompressed (SEC 1 section 2.3.3)
            point.extend(coordinate(x)?);
            point.extend(coordinate(y)?);
            VerifyingKey::public(Algorithm::Es256, &point, 64)
        }
        AlgorithmParameters::RSA(RSAKeyParameters { n, e, .. }) => {
            only(&jwk, KeyAlgorithm::RS256)?;
            rsa_verifying_key(&decode(n)?, &decode(e)?)
        }
        AlgorithmParameters::OctetKey(_) => Err(Error::Unsupported("a symmetric key in a set".into())),
        _ => Err(Error::Unsupported(format!(
            "kty {} with crv {}",
            member.get("kty").unwrap_or(&Value::Null),
            member.get("crv").unwrap_or(&Value::Null)
        ))),
    }
}

/// A key says at most which of its family's algorithms it is for: RS256 only, not RS512 or PS256, for an RSA key here.
fn only(jwk: &Jwk, wanted: KeyAlgorithm) -> Result<(), Error> {
    match jwk.common.key_algorithm {
        Some(other) if other != wanted => Err(Error::Unsupported(format!("\"alg\" {other}"))),
        _ => Ok(()),
    }
}

fn decode(text: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Error::Malformed("a member is not base64url without padding".into()))
}

/// RFC 7518 section 6.2.1.2, RFC 8037 section 2: the full 32 bytes, no more and no fewer.
fn coordinate(text: &str) -> Result<[u8; 32], Error> {
    decode(text)?
        .try_into()
        .map_err(|_| Error::Malformed("a coordinate is not 32 bytes long".into()))
}

/// An RSA key from modulus and exponent, big-endian.
pub(super) fn rsa_verifying_key(n: &[u8], e: &[u8]) -> Result<VerifyingKey, Error> {
    let (n, e) = (without_zeros(n), without_zeros(e));
    if n.len() < 256 || n.first().is_none_or(|top| n.len() == 256 && *top < 0x80) {
        return Err(Error::Weak(
            "an RSA key needs at least 2048 bits (RFC 7518 section 3.3)",
        ));
    }
    if n.len() > 1024 {
        return Err(Error::Unsupported("an RSA key of more than 8192 bits".into()));
    }
    if e.last().is_none_or(|low| low % 2 == 0) || e == [1] {
        return Err(Error::Weak("the exponent of an RSA key must be odd and larger than 1"));
    }
    let key = RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|why| Error::Malformed(format!("not a usable RSA key: {why}")))?;
    Ok(VerifyingKey::parsed(Algorithm::Rs256, key, n.len()))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The JWK of an Ed25519 public key (RFC 8037 section 2).
pub(super) fn ed25519(public: &[u8]) -> Jwk {
    jwk(
        KeyAlgorithm::EdDSA,
        AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x: URL_SAFE_NO_PAD.encode(public),
        }),
    )
}

/// The JWK of an uncompressed P-256 point (RFC 7518 section 6.2).
pub(super) fn p256(point: &[u8]) -> Result<Jwk, Error> {
    let (Some(x), Some(y), 65) = (point.get(1..33), point.get(33..65), point.len()) else {
        return Err(Error::Library("show a public key"));
    };
    Ok(jwk(
        KeyAlgorithm::ES256,
        AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
            key_type: EllipticCurveKeyType::EC,
            curve: EllipticCurve::P256,
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
        }),
    ))
}

/// The JWK of an RSA key in PKCS#1 form (RFC 7518 section 6.3).
pub(super) fn rsa(pkcs1: &[u8]) -> Result<Jwk, Error> {
    let (_, key) = RSAPublicKey::from_der(pkcs1).map_err(|_| Error::Library("show a public key"))?;
    Ok(jwk(
        KeyAlgorithm::RS256,
        AlgorithmParameters::RSA(RSAKeyParameters {
            key_type: RSAKeyType::RSA,
            n: URL_SAFE_NO_PAD.encode(without_zeros(key.modulus)),
            e: URL_SAFE_NO_PAD.encode(without_zeros(key.exponent)),
        }),
    ))
}

fn jwk(algorithm: KeyAlgorithm, parameters: AlgorithmParameters) -> Jwk {
    Jwk {
        common: CommonParameters {
            public_key_use: Some(PublicKeyUse::Signature),
            key_algorithm: Some(algorithm),
            ..CommonParameters::default()
        },
        algorithm: parameters,
    }
}
