//! Wycheproof's JWS and JWK vectors, where the folder that DOORWARD_VECTORS names holds them.

use std::path::PathBuf;

use super::super::compact::{Compact, Header};
use super::*;
use crate::keyring::{VerifyingKey, from_jwk_set};

fn vectors(file: &str) -> Option<Value> {
    let Some(folder) = std::env::var_os("DOORWARD_VECTORS") else {
        eprintln!("note: DOORWARD_VECTORS is not set, {file} is not run");
        return None;
    };
    let text = std::fs::read(PathBuf::from(folder).join(file)).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

/// The usable keys of a group: a set as it is, or one symmetric key as a secret would be given.
fn keys(group: &Value) -> Vec<VerifyingKey> {
    let set = group.get("public").or(group.get("private")).unwrap();
    let members = set["keys"].as_array().cloned().unwrap_or_else(|| vec![set.clone()]);
    if let [jwk] = &members[..]
        && (&jwk["kty"], &jwk["alg"]) == (&json!("oct"), &json!("HS256"))
    {
        let secret = URL_SAFE_NO_PAD.decode(jwk["k"].as_str().unwrap()).unwrap();
        return VerifyingKey::from_secret(&secret).into_iter().collect();
    }
    from_jwk_set(json!({ "keys": members }).to_string().as_bytes())
        .map(|read| read.keys)
        .unwrap_or_default()
}

/// As a token of an issuer with these keys, but for its claims, which these vectors have none of.
fn signature_counts(keys: &[VerifyingKey], token: &str) -> bool {
    let Ok(parts) = Compact::parse(token.as_bytes(), 65_536) else {
        return false;
    };
    let Ok(header) = Header::parse(&parts.header) else {
        return false;
    };
    keys.iter().any(|key| {
        (header.key.is_none() || key.id().is_none() || header.key.as_deref() == key.id())
            && key.algorithm().as_str() == header.algorithm
            && key.verify(parts.signed, &parts.signature)
    })
}

fn run(file: &str) {
    let Some(document) = vectors(file) else { return };
    let (mut refused, mut accepted, mut unsupported, mut stricter) = (0, 0, 0, Vec::new());
    let (key, issuer) = symmetric();
    drop(key);
    let verifier = trusting(issuer);
    for group in document["testGroups"].as_array().unwrap() {
        let keys = keys(group);
        let tests = group["tests"].as_array().unwrap();
        for test in tests {
            let Some(token) = test["jws"].as_str() else { continue };
            assert!(
                verifier.verify(token.as_bytes(), NOW).is_err(),
                "as a bearer token: {}",
                test["tcId"]
            );
            let good = signature_counts(&keys, token);
            match (test["result"].as_str().unwrap(), good) {
                ("invalid", false) => refused += 1,
                // The file has the same token twice, once as good and once as bad: its padding was lost.
                ("invalid", true) if tests.iter().any(|t| t["jws"] == token && t["result"] == "valid") => {}
                // A check of the key's primes (CVE-2017-15361) that is not made here: the operator chose the issuer.
                ("invalid", true) if group["comment"] == "jws_rsa_roca_key" => {}
                ("invalid", true) => panic!("{file} {}: {} was accepted", test["tcId"], test["comment"]),
                (_, true) => accepted += 1,
                (_, false) if keys.is_empty() => unsupported += 1,
                (_, false) => stricter.push(format!("{} {}", test["tcId"], test["comment"])),
            }
        }
    }
    eprintln!(
        "{file}: {refused} refused, {accepted} accepted, {unsupported} of algorithms not supported, stricter: {stricter:#?}"
    );
}

#[test]
fn wycheproof_jws() {
    run("json_web_signature_test.json");
}

#[test]
fn wycheproof_jwk() {
    run("json_web_key_test.json");
}
