//! Wycheproof's vectors, where the folder that DOORWARD_VECTORS names holds them (they are not part of the project).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn vectors(file: &str) -> Option<Value> {
    let Some(folder) = std::env::var_os("DOORWARD_VECTORS") else {
        eprintln!("note: DOORWARD_VECTORS is not set, {file} is not run");
        return None;
    };
    let text = std::fs::read(PathBuf::from(folder).join(file)).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

fn run(file: &str) {
    let Some(document) = vectors(file) else { return };
    let mut count = 0;
    for group in document["testGroups"].as_array().unwrap() {
        let pem = group["publicKeyPem"].as_str().unwrap();
        let key = public_keys_from_pem(pem.as_bytes()).unwrap().keys.remove(0);
        for test in group["tests"].as_array().unwrap() {
            let good = key.verify(&bytes(&test["msg"]), &bytes(&test["sig"]));
            match test["result"].as_str().unwrap() {
                "valid" => assert!(good, "{file} {}", test["tcId"]),
                "invalid" => assert!(!good, "{file} {}", test["tcId"]),
                _ => eprintln!("{file} {} ({}): {good}", test["tcId"], test["comment"]),
            }
            count += 1;
        }
    }
    eprintln!("{file}: {count} run");
    assert_eq!(count, document["numberOfTests"]);
}

#[test]
fn wycheproof_ed25519() {
    run("ed25519_test.json");
}

#[test]
fn wycheproof_es256() {
    run("ecdsa_secp256r1_sha256_p1363_test.json");
}

#[test]
fn wycheproof_rs256() {
    run("rsa_signature_2048_sha256_test.json");
}
