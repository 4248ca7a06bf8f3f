//! Tests of tokens, by what they are about; here what they share.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    reason = "tests"
)]

mod agreement;
mod external;
mod hostile;
mod memory;
mod ours;
mod praetorian;
mod refresh;
mod vectors;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::keyring::{KeyRing, RingKey, SigningKey};
use crate::principal::{Roles, SessionId, UserId};
use crate::secret::Secret;

/// Noon of some day, in seconds and milliseconds.
const NOON: i64 = 1_800_000_000;
const NOW: i64 = NOON * 1000;
const OURS: &str = "https://gate.example.com";
const THEIRS: &str = "https://idp.example.com";
const ADMIN: &str = "doorward-admin";
const ALL: [Algorithm; 4] = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256, Algorithm::Hs256];

fn settings() -> Settings {
    Settings {
        issuer: OURS.into(),
        audience: vec![OURS.into()],
        algorithm: Algorithm::EdDsa,
        access_ttl: Duration::from_secs(900),
        refresh_idle: Duration::from_secs(7 * 86_400),
        refresh_ttl: Duration::from_secs(30 * 86_400),
        leeway: Duration::ZERO,
        key_files: Vec::new(),
        key_encryption: None,
        rotate_every: None,
        secret: None,
        max_length: 8192,
        cache: 100,
        trusted_issuers: Vec::new(),
        praetorian: None,
    }
}

fn generate(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm).unwrap().0
}

fn ring(key: SigningKey) -> KeyRing {
    let (ring, algorithm) = (KeyRing::new(), key.algorithm());
    ring.publish(vec![RingKey::new(key, 0, 0, None).unwrap()], algorithm);
    ring
}

fn verifier(settings: &Settings, ring: &KeyRing) -> Verifier {
    Verifier::new(settings, ring.clone(), ADMIN).unwrap().0
}

fn part(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Signs any two texts, whatever they are.
fn forge(key: &SigningKey, header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", part(header), part(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// The header and claims of a good token of ours.
fn our_header(key: &SigningKey) -> Value {
    json!({"alg": key.algorithm().as_str(), "typ": "at+jwt", "kid": key.id().unwrap()})
}

fn our_claims() -> Value {
    json!({
        "iss": OURS, "sub": "7", "aud": OURS, "iat": NOON, "exp": NOON + 900, "jti": "j1",
        "sid": SessionId([7; 16]).to_string(), "username": "alice", "roles": ["user", "ops"],
    })
}

/// A copy with one member set, or taken away.
fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.clone();
    object[name] = value;
    object
}

fn without(object: &Value, name: &str) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove(name);
    object
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

fn roles(list: &str) -> Roles {
    Roles::from_column(list)
}

fn subject<'a>(roles: &'a Roles) -> Subject<'a> {
    Subject {
        user: UserId(7),
        username: "alice",
        roles,
        email: None,
        session: SessionId([7; 16]),
        session_ends: i64::MAX,
    }
}

fn issue(mint: &Mint, now: i64) -> String {
    let roles = roles("user,ops");
    mint.access(&subject(&roles), &SystemRandom::new(), now)
        .unwrap()
        .token
        .expose()
        .clone()
}

fn trusted(keys: KeySource, algorithms: &[Algorithm]) -> TrustedIssuer {
    TrustedIssuer {
        issuer: THEIRS.into(),
        keys,
        algorithms: algorithms.to_vec(),
        audience: vec!["orders".into()],
        user_claim: vec!["preferred_username".into()],
        users: UserMapping::Prefixed("idp:".into()),
        roles_claim: Some(vec!["realm_access".into(), "roles".into()]),
        roles: RoleMapping::AsIs,
        leeway: Duration::ZERO,
    }
}

fn their_claims() -> Value {
    json!({
        "iss": THEIRS, "sub": "u-1", "aud": "orders", "exp": NOON + 300, "preferred_username": "alice",
        "realm_access": {"roles": ["staff", "shop-admins"]},
    })
}

/// A trusted issuer of one symmetric key: the cheapest way to sign what is to be tried.
fn symmetric() -> (SigningKey, TrustedIssuer) {
    let secret = [9; 32];
    let key = SigningKey::from_material(Algorithm::Hs256, &secret).unwrap();
    (
        key,
        trusted(KeySource::Secret(Secret::new(secret.to_vec())), &[Algorithm::Hs256]),
    )
}

fn trusting(issuer: TrustedIssuer) -> Verifier {
    let settings = Settings {
        trusted_issuers: vec![issuer],
        ..settings()
    };
    verifier(&settings, &ring(generate(Algorithm::EdDsa)))
}

fn shared(verifier: Verifier) -> Arc<Verifier> {
    Arc::new(verifier)
}
