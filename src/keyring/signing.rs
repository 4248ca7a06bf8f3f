//! A key that signs, parsed once and kept: parsing an RSA key anew doubles the cost of a signature.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use zeroize::Zeroizing;

use super::{Algorithm, Error, VerifyingKey, jwk};

/// A key pair, or the symmetric key of HS256.
pub struct SigningKey(Pair);

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Symmetric {
        key: Box<hmac::Key>,
        bytes: Zeroizing<Vec<u8>>,
    },
}

impl SigningKey {
    /// A new pair of this algorithm, and its PKCS#8 form to be stored. HS256 gets 32 random bytes.
    pub fn generate(algorithm: Algorithm) -> Result<(Self, Zeroizing<Vec<u8>>), Error> {
        let failed = |_| Error::Library("make a key");
        let random = SystemRandom::new();
        let material = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random)
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)
                    .map_err(failed)?
                    .as_ref()
                    .to_vec()
            }
            Algorithm::Hs256 => {
                let mut bytes = vec![0; 32];
                aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
                bytes
            }
        };
        let material = Zeroizing::new(material);
        Ok((Self::from_material(algorithm, &material)?, material))
    }

    /// The key in its stored form: PKCS#8 DER, or the bytes of a symmetric key.
    pub fn from_material(algorithm: Algorithm, material: &[u8]) -> Result<Self, Error> {
        let rejected = |why| Error::Malformed(format!("not a usable {} key pair: {why}", algorithm.as_str()));
        Ok(Self(match algorithm {
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(material).map_err(rejected)?),
            Algorithm::Es256 => {
                Pair::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, material).map_err(rejected)?)
            }
            Algorithm::Rs256 => Pair::Rsa(RsaKeyPair::from_pkcs8(material).map_err(rejected)?),
            Algorithm::Hs256 => {
                VerifyingKey::from_secret(material)?;
                let key = Box::new(hmac::Key::new(hmac::HMAC_SHA256, material));
                Pair::Symmetric {
                    key,
                    bytes: Zeroizing::new(material.to_vec()),
                }
            }
        }))
    }

    /// An RSA pair in the older PKCS#1 form (`RSA PRIVATE KEY`).
    pub(super) fn from_pkcs1(der: &[u8]) -> Result<Self, Error> {
        let rejected = |why| Error::Malformed(format!("not a usable RSA key pair: {why}"));
        RsaKeyPair::from_der(der)
            .map(|pair| Self(Pair::Rsa(pair)))
            .map_err(rejected)
    }

    /// A P-256 pair in SEC 1 form (`EC PRIVATE KEY`).
    pub(super) fn from_sec1(der: &[u8]) -> Result<Self, Error> {
        let rejected = |why| Error::Malformed(format!("not a usable P-256 key pair: {why}"));
        EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map(|pair| Self(Pair::P256(pair)))
            .map_err(rejected)
    }

    /// The one algorithm it is for.
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Pair::Ed25519(_) => Algorithm::EdDsa,
            Pair::P256(_) => Algorithm::Es256,
            Pair::Rsa(_) => Algorithm::Rs256,
            Pair::Symmetric { .. } => Algorithm::Hs256,
        }
    }

    /// Signs, in the form JWS wants (ES256: r‖s).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::Library("sign");
        match &self.0 {
            Pair::Ed25519(pair) => Ok(pair.try_sign(message).map_err(failed)?.as_ref().to_vec()),
            Pair::P256(pair) => Ok(pair
                .sign(&SystemRandom::new(), message)
                .map_err(failed)?
                .as_ref()
                .to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Pair::Symmetric { key, .. } => Ok(hmac::sign(key, message).as_ref().to_vec()),
        }
    }

    /// The key that verifies what this one signs, under its name.
    pub fn verifying_key(&self) -> Result<VerifyingKey, Error> {
        let key = match &self.0 {
            Pair::Ed25519(pair) => VerifyingKey::public(Algorithm::EdDsa, pair.public_key().as_ref(), 64),
            Pair::P256(pair) => VerifyingKey::public(Algorithm::Es256, pair.public_key().as_ref(), 64),
            Pair::Rsa(pair) => {
                VerifyingKey::public(Algorithm::Rs256, pair.public_key().as_ref(), pair.public_modulus_len())
            }
            Pair::Symmetric { bytes, .. } => VerifyingKey::from_secret(bytes),
        }?;
        Ok(key.named(self.id()?))
    }

    /// Its `kid`: the thumbprint of the public key (RFC 7638). A symmetric key's is derived from it by HMAC, so that all
    /// replicas that share a secret share its name; it says no more about the secret than any token signed with it.
    pub fn id(&self) -> Result<String, Error> {
        match (&self.0, self.public_jwk()?) {
            (_, Some(jwk)) => jwk
                .thumbprint(ThumbprintHash::SHA256)
                .map_err(|_| Error::Library("hash a key")),
            (Pair::Symmetric { key, .. }, None) => {
                let tag = hmac::sign(key, b"doorward key id");
                Ok(URL_SAFE_NO_PAD.encode(tag.as_ref().first_chunk::<16>().unwrap_or(&[0; 16])))
            }
            (Pair::Ed25519(_) | Pair::P256(_) | Pair::Rsa(_), None) => Err(Error::Library("show a public key")),
        }
    }

    /// The public half as a JWK, without a name; `None` for a symmetric key, which is never shown.
    pub(super) fn public_jwk(&self) -> Result<Option<Jwk>, Error> {
        match &self.0 {
            Pair::Ed25519(pair) => Ok(Some(jwk::ed25519(pair.public_key().as_ref()))),
            Pair::P256(pair) => jwk::p256(pair.public_key().as_ref()).map(Some),
            Pair::Rsa(pair) => jwk::rsa(pair.public_key().as_ref()).map(Some),
            Pair::Symmetric { .. } => Ok(None),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.algorithm().as_str())
    }
}
