//! An issuer of tokens that is not the gateway: well-behaved, or as hostile as a test wants.

use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// An issuer with its keys and the folder where its JWKS stands.
pub struct Issuer {
    name: String,
    keys: Vec<Key>,
    folder: tempfile::TempDir,
}

/// One signing key.
pub struct Key {
    pub id: String,
    material: Material,
}

enum Material {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
    Hs256(Vec<u8>),
}

impl Issuer {
    /// An issuer whose `iss` is this, without keys.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            keys: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn es256(self, key_id: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        self.with(key_id, Material::Es256(key))
    }

    pub fn eddsa(self, key_id: &str) -> Self {
        self.with(key_id, Material::EdDsa(Ed25519KeyPair::generate().unwrap()))
    }

    pub fn rs256(self, key_id: &str) -> Self {
        self.with(key_id, Material::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub fn hs256(self, key_id: &str) -> Self {
        let mut secret = vec![0; 32];
        rand::fill(&mut secret).unwrap();
        // In a file, a line's end behind a secret is none of it.
        secret[31] |= 0x80;
        self.with(key_id, Material::Hs256(secret))
    }

    fn with(mut self, key_id: &str, material: Material) -> Self {
        self.keys.push(Key {
            id: key_id.to_owned(),
            material,
        });
        self.write_jwks();
        self
    }

    /// The `iss` of its tokens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JWKS with its public keys, as a file that stays as long as the issuer.
    pub fn jwks_file(&self) -> PathBuf {
        self.folder.path().join("jwks.json")
    }

    /// The secret of an HS256 key, in a file.
    pub fn secret_file(&self, key_id: &str) -> PathBuf {
        let Material::Hs256(secret) = &self.key(key_id).material else {
            panic!("{key_id} is no HS256 key");
        };
        self.file(&format!("{key_id}.secret"), secret)
    }

    /// The public key as PEM, in a file.
    pub fn public_key_file(&self, key_id: &str) -> PathBuf {
        self.file(&format!("{key_id}.pem"), self.key(key_id).public_pem().as_bytes())
    }

    pub fn key(&self, key_id: &str) -> &Key {
        let found = self.keys.iter().find(|key| key.id == key_id);
        found.unwrap_or_else(|| panic!("no key {key_id}"))
    }

    /// Claims that a gateway accepts: from this issuer, for this audience and subject, for the next ten minutes.
    pub fn claims(&self, audience: &str, subject: &str) -> Value {
        let now = unix_time();
        json!({ "iss": self.name, "aud": audience, "sub": subject, "iat": now, "exp": now + 600, "jti": random_id() })
    }

    /// A token of these claims with an ordinary header.
    pub fn sign(&self, key_id: &str, claims: &Value) -> String {
        let key = self.key(key_id);
        let header = json!({ "alg": key.algorithm(), "kid": key.id, "typ": "JWT" });
        self.sign_with_header(key_id, &header, claims)
    }

    /// A token with exactly this header, whatever the key is.
    pub fn sign_with_header(&self, key_id: &str, header: &Value, claims: &Value) -> String {
        self.sign_raw(key_id, header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// A token whose header and payload are exactly these bytes: no JSON, JSON with repeated members, anything.
    pub fn sign_raw(&self, key_id: &str, header: &[u8], payload: &[u8]) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.key(key_id).signature(signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    /// An HS256 token whose secret is the text of a public key: the confusion that must not work.
    pub fn sign_with_public_key_as_secret(&self, key_id: &str, claims: &Value) -> String {
        let header = json!({ "alg": "HS256", "kid": key_id });
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.key(key_id).public_pem().as_bytes());
        format!("{signed}.{}", encode(hmac::sign(&secret, signed.as_bytes()).as_ref()))
    }

    /// A token without a signature.
    pub fn unsigned(claims: &Value) -> String {
        let header = json!({ "alg": "none" }).to_string();
        format!(
            "{}.{}.",
            encode(header.as_bytes()),
            encode(claims.to_string().as_bytes())
        )
    }

    /// The public keys; symmetric ones are never among them.
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self.keys.iter().filter_map(Key::jwk).collect();
        json!({ "keys": keys })
    }

    /// Writes other content than the keys into the JWKS file.
    pub fn write_jwks_text(&self, text: &str) {
        std::fs::write(self.jwks_file(), text).unwrap();
    }

    fn write_jwks(&self) {
        self.write_jwks_text(&self.jwks().to_string());
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path: &Path = self.folder.path();
        let path = path.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Key {
    pub fn algorithm(&self) -> &'static str {
        match self.material {
            Material::Es256(_) => "ES256",
            Material::EdDsa(_) => "EdDSA",
            Material::Rs256(_) => "RS256",
            Material::Hs256(_) => "HS256",
        }
    }

    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.material {
            Material::Es256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Material::EdDsa(key) => key.sign(message).as_ref().to_vec(),
            Material::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Material::Hs256(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message)
                .as_ref()
                .to_vec(),
        }
    }

    /// RFC 7517, RFC 7518 section 6, RFC 8037.
    fn jwk(&self) -> Option<Value> {
        let mut jwk = match &self.material {
            Material::Es256(key) => {
                // The uncompressed point: 4, x, y.
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..65]) })
            }
            Material::EdDsa(key) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref()) }),
            Material::Rs256(key) => {
                let (modulus, exponent) = rsa_numbers(key.public_key().as_ref());
                json!({ "kty": "RSA", "n": encode(modulus), "e": encode(exponent) })
            }
            Material::Hs256(_) => return None,
        };
        jwk["kid"] = json!(self.id);
        jwk["alg"] = json!(self.algorithm());
        jwk["use"] = json!("sig");
        Some(jwk)
    }

    fn public_pem(&self) -> String {
        let der = match &self.material {
            Material::Es256(key) => key.public_key().as_der(),
            Material::EdDsa(key) => key.public_key().as_der(),
            Material::Rs256(key) => key.public_key().as_der(),
            Material::Hs256(_) => panic!("{} has no public key", self.id),
        };
        let text = STANDARD.encode(der.unwrap().as_ref());
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }
}

/// The current time, for claims.
pub fn unix_time() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// The claims of a token, without any verification.
pub fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn random_id() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).unwrap();
    encode(&bytes)
}

/// Modulus and exponent of `RSAPublicKey ::= SEQUENCE { INTEGER, INTEGER }` (RFC 8017 appendix A.1.1).
fn rsa_numbers(der: &[u8]) -> (&[u8], &[u8]) {
    let (sequence, _) = der_content(der);
    let (modulus, rest) = der_content(sequence);
    let (exponent, _) = der_content(rest);
    (strip_sign(modulus), strip_sign(exponent))
}

fn strip_sign(number: &[u8]) -> &[u8] {
    number.strip_prefix(&[0]).unwrap_or(number)
}

/// The content of the first element, and what follows it.
fn der_content(der: &[u8]) -> (&[u8], &[u8]) {
    let (start, length) = match usize::from(der[1]) {
        short @ 0..0x80 => (2, short),
        long => {
            let count = long & 0x7f;
            let length = der[2..2 + count]
                .iter()
                .fold(0, |length, &byte| length << 8 | usize::from(byte));
            (2 + count, length)
        }
    };
    (&der[start..start + length], &der[start + length..])
}
