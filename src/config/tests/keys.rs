//! Our own keys: files that hold them, the file that seals them, how they turn.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::keyring::{Algorithm, SigningKey};

/// RSA with 1024 bits.
const WEAK: &str = "
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAKIsgY+Bbdxz5BBQ
mRrTOnSsF8v1tn9AGtX5ePlEjHCvzt84g1/CxfK1CJuQJ9brXCQUaZQ1QpT6gOU0
5L6WIlwL+7ABBunmCYeVRpBJKlAtrNCDHlx7ixEwvcpUf2BEg++GbLSuGMZn3VxO
locwqe+h7PeFZFcbTNKx2vVueaJPAgMBAAECgYEAiXfSh1O+TY3LN+0qKyv8NCQg
s9pfzTQIy3KCEkICDg9o+5zK9+SBqP++ASfMLYkqfMb0zBXtj51cn24brFZVXnmP
BUez94E603bxX+xW3NZj7sZUtosAaYBi7PyUs0Eog/sLZ9dzgKw2TaUxAyO0kXAw
Ft+AJIAUTGIoKrdltTkCQQDR6fp+ykIWJCcRdYVbPmjqlwDKYo74Lez69LONvlpv
u3cXYoseLQ18LC07c4Xay9lXPTEEGx51qzYKUj9ZxH2tAkEAxcdWe+wsER5+GvUb
b/PQmjDQlQbk6QyBL7IywU777vMXVg1caOys+Q+HSZfzbdv2R5U2oRsMB34BupYh
hfrnawJBAIl8IiDhAB/YVe5NdqaoXbcoZ9AmdVV/XvOPSfrQbhM4SWv7kvqUr3xg
ws9pfoYrdZJ59Zym1nBjTuW7sNpuo5ECQEDpyiLmQxhjT7R9WkIGXiMdfnhLSPqM
liIXdL0ptVqaAsDFpdzyQVuFkzu+WbFnDpA0EzgRboNPAjZBbENTNH0CQAguKGsb
4GRMEE+J+zx2cSgCfxniYGtw0OmV+PcFVNlJ2RBd0FlDXhZjpfCDwKV9YclVOU+V
SRLxxENHXG8AXGg=
";

fn pem(algorithm: Algorithm) -> String {
    let (_, der) = SigningKey::generate(algorithm).unwrap();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(&der[..])
    )
}

fn in_folder(folder: &tempfile::TempDir, text: &str) -> Result<Loaded, Problems> {
    let path = folder.path().join("doorward.toml");
    fs::write(&path, text).unwrap();
    load(&Sources {
        files: vec![path],
        ..Sources::default()
    })
}

#[test]
fn keys_of_files_are_read_beside_the_configuration_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    put("ed", &pem(Algorithm::EdDsa));
    put("es", &pem(Algorithm::Es256));
    put("rs", &pem(Algorithm::Rs256));
    put(
        "weak",
        &format!("-----BEGIN PRIVATE KEY-----{WEAK}-----END PRIVATE KEY-----\n"),
    );
    put("text", "hunter2\n");
    for (text, files) in [
        ("key_files = [\"ed\", \"es\", \"rs\"]", 3),
        ("algorithm = \"ES256\"\nkey_files = [\"es\"]", 1),
        ("algorithm = \"RS256\"\nkey_files = [\"rs\", \"ed\"]", 2),
    ] {
        let config = in_folder(&folder, &format!("[tokens]\n{text}\n")).unwrap().config;
        assert_eq!(config.tokens.key_files.len(), files, "{text}");
    }
    for (text, line, key, says) in [
        (
            "key_files = [\"es\"]",
            2,
            "tokens.key_files[0]",
            "found a key for \"ES256\"",
        ),
        (
            "key_files = [\"ed\", \"weak\"]",
            2,
            "tokens.key_files[1]",
            "2048 to 8192 bits",
        ),
        (
            "key_files = [\"ed\", \"text\"]",
            2,
            "tokens.key_files[1]",
            "no PEM section PRIVATE KEY",
        ),
        (
            "key_files = [\"none\"]",
            2,
            "tokens.key_files[0]",
            "a file that can be read",
        ),
        ("key_files = [\"ed\", \"ed\"]", 2, "tokens.key_files[1]", "listed once"),
        (
            "\nkey_encryption_file = \"text\"",
            3,
            "tokens.key_encryption_file",
            "openssl rand -base64 32",
        ),
        (
            "key_encryption_file = \"none\"",
            2,
            "tokens.key_encryption_file",
            "a file that can be read",
        ),
        ("rotate_every = \"59m\"", 2, "tokens.rotate_every", "\"0s\" for never"),
    ] {
        let Err(problems) = in_folder(&folder, &format!("[tokens]\n{text}\n")) else {
            panic!("accepted: {text}")
        };
        assert_eq!(problems.0.len(), 1, "{problems}");
        assert_eq!((problems.0[0].line, problems.0[0].key.as_str()), (Some(line), key));
        let told = problems.to_string();
        assert!(told.contains(says) && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn keys_turn_every_ninety_days_unless_told_otherwise_and_seal_where_a_file_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(86_400);
    for (text, every) in [
        ("", Some(90 * day)),
        ("rotate_every = \"0s\"", None),
        ("rotate_every = \"1h\"", Some(day / 24)),
    ] {
        let tokens = in_folder(&folder, &format!("[tokens]\n{text}\n"))
            .unwrap()
            .config
            .tokens;
        assert_eq!((tokens.rotate_every, tokens.key_encryption.is_some()), (every, false));
    }
    fs::write(
        folder.path().join("key"),
        format!("{}\n{}\n", STANDARD.encode([1; 32]), "02".repeat(32)),
    )
    .unwrap();
    let tokens = in_folder(&folder, "[tokens]\nkey_encryption_file = \"key\"\n")
        .unwrap()
        .config
        .tokens;
    assert!(tokens.key_encryption.is_some());
}
