//! Where our own keys are kept, and how they turn: `key_files`, `key_encryption_file` and `rotate_every` of `[tokens]`.

use std::time::Duration;

use super::field;
use crate::config::file;
use crate::config::key::KeyPath;
use crate::config::report::{Fault, Report};
use crate::keyring::{EncryptionKeys, Error, signing_key_from_pem};
use crate::secret::Secret;
use crate::token::Algorithm;

/// The shortest turn: a next key is published minutes before it signs, and an old one stays until its tokens have expired.
const SHORTEST_TURN: Duration = Duration::from_secs(3600);

/// What the keys say, checked.
pub struct Checked {
    /// `key_files`, read.
    pub files: Vec<Secret<Vec<u8>>>,
    /// `key_encryption_file`, read.
    pub encryption: Option<EncryptionKeys>,
    /// `rotate_every`; `None`: never.
    pub rotate_every: Option<Duration>,
}

/// All three.
pub fn keys(tokens: &file::Tokens, algorithm: Option<Algorithm>, report: &mut Report<'_>) -> Option<Checked> {
    let files = files(tokens, algorithm, report);
    let encryption = encryption(tokens, report);
    let rotate_every = rotate_every(tokens, report);
    Some(Checked {
        files: files?,
        encryption: encryption?,
        rotate_every: rotate_every?,
    })
}

/// Each a private key of its own; the first is what `algorithm` signs with.
fn files(tokens: &file::Tokens, algorithm: Option<Algorithm>, report: &mut Report<'_>) -> Option<Vec<Secret<Vec<u8>>>> {
    let key = KeyPath::of("tokens.key_files");
    let algorithm = algorithm?;
    if algorithm == Algorithm::Hs256 && !tokens.key_files.is_empty() {
        let fault = Fault::at(&key, "no key files, as tokens.algorithm is \"HS256\"");
        report.error(fault.hint("HS256 signs with the secret in tokens.secret_file"));
        return None;
    }
    let mut names: Vec<String> = Vec::new();
    field::each(&tokens.key_files, |index, file| {
        let place = key.index(index);
        let text = field::secret_file(report, &place, file)?;
        let accepted =
            "a PEM file with a private key for EdDSA (Ed25519), ES256 (P-256) or RS256 (RSA, 2048 to 8192 bits)";
        let read = signing_key_from_pem(text.expose()).and_then(|pair| Ok((pair.algorithm(), pair.id()?)));
        let (found, name) = match read {
            Ok(read) => read,
            Err(error) => {
                report.error(Fault::at(&place, accepted).hint(hint(&error, algorithm)));
                return None;
            }
        };
        if index == 0 && found != algorithm {
            let accepted = format!("first a key for tokens.algorithm, \"{}\"", algorithm.as_str());
            let hint = "the first key signs; keys of other algorithms may follow, to verify";
            report.error(
                Fault::at(&place, accepted)
                    .found(format!("a key for \"{}\"", found.as_str()))
                    .hint(hint),
            );
            return None;
        }
        if names.contains(&name) {
            report.error(Fault::at(&place, "a key that is listed once"));
            return None;
        }
        names.push(name);
        Some(text)
    })
}

fn hint(error: &Error, algorithm: Algorithm) -> String {
    let make = match algorithm {
        Algorithm::EdDsa | Algorithm::Hs256 => "openssl genpkey -algorithm ed25519",
        Algorithm::Es256 => "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        Algorithm::Rs256 => "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072",
    };
    match error {
        // Says once more what is accepted.
        Error::Unsupported(_) => format!("make one with `{make}`"),
        other => format!("{other}; make one with `{make}`"),
    }
}

fn encryption(tokens: &file::Tokens, report: &mut Report<'_>) -> Option<Option<EncryptionKeys>> {
    if tokens.key_encryption_file.is_empty() {
        return Some(None);
    }
    let key = KeyPath::of("tokens.key_encryption_file");
    let text = field::secret_file(report, &key, &tokens.key_encryption_file)?;
    match EncryptionKeys::parse(text.expose()) {
        Ok(keys) => Some(Some(keys)),
        Err(error) => {
            let fault = Fault::at(&key, "a file with a key of 32 bytes on each line, the first seals")
                .found("another content, which is not shown")
                .hint(format!("{error}; make one with `openssl rand -base64 32`"));
            report.error(fault);
            None
        }
    }
}

fn rotate_every(tokens: &file::Tokens, report: &mut Report<'_>) -> Option<Option<Duration>> {
    let every = tokens.rotate_every.0;
    if every.is_zero() {
        return Some(None);
    }
    if every < SHORTEST_TURN {
        let key = KeyPath::of("tokens.rotate_every");
        report.error(Fault::at(&key, "a duration of at least an hour, or \"0s\" for never"));
        return None;
    }
    Some(Some(every))
}
