//! A certificate for localhost, for those who have none yet.
//!
//! It is not an authority (CA:FALSE), so trusting it trusts nothing else, and it is its own trust anchor:
//! `curl --cacert <folder>/localhost.pem https://localhost:8443`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use time::{Duration, OffsetDateTime};

use super::certificate::Certificate;
use super::{CertificateFiles, Error, provider};
use crate::clock::Clock;

/// Browsers refuse more than 398 days (CA/Browser Forum baseline requirements, section 6.3.2).
const LIFETIME: Duration = Duration::days(397);
/// Clocks of clients may be behind ours.
const BACKDATED: Duration = Duration::days(1);
/// With less left than this, a new one is made.
const RENEWED_BEFORE: Duration = Duration::days(30);

/// The certificate under this folder; made if there is none, or none that lasts.
pub(super) fn ensure(folder: &Path, clock: &Clock) -> Result<CertificateFiles, Error> {
    let files = CertificateFiles {
        cert: folder.join("localhost.pem"),
        key: folder.join("localhost.key"),
    };
    if lasts(&files, clock) {
        return Ok(files);
    }
    // Several that start at once on one folder: one makes them, the others find them made.
    let _alone = alone(folder).map_err(|error| unwritable(&files, &error))?;
    if !lasts(&files, clock) {
        let (cert, key) = make(clock)
            .map_err(|error| Error::in_file(&files.cert, format!("cannot be made: {error}"), "set tls.certificates"))?;
        store(folder, &files, &cert, &key).map_err(|error| unwritable(&files, &error))?;
    }
    Ok(files)
}

/// Holds the folder for as long as what this returns lives.
fn alone(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join("localhost.lock"))?;
    lock.lock()?;
    Ok(lock)
}

fn unwritable(files: &CertificateFiles, error: &io::Error) -> Error {
    Error::in_file(
        &files.cert,
        format!("cannot be written: {error}"),
        "make data_dir writable for the user the gateway runs as, or set tls.certificates",
    )
}

/// Whether the certificate and key exist, belong together, and have time left. What a crash left half written does not.
fn lasts(files: &CertificateFiles, clock: &Clock) -> bool {
    Certificate::load(files, &provider()).is_ok_and(|certificate| {
        let now = clock.unix_seconds();
        certificate.not_before <= now && certificate.not_after > now.saturating_add(RENEWED_BEFORE.whole_seconds())
    })
}

/// Certificate and key, as PEM.
fn make(clock: &Clock) -> Result<(String, String), Box<dyn std::error::Error>> {
    let begin = OffsetDateTime::from_unix_timestamp(clock.unix_seconds())? - BACKDATED;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut parameters = CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(String::from))?;
    parameters
        .distinguished_name
        .push(DnType::CommonName, "Doorward on localhost");
    parameters.not_before = begin;
    parameters.not_after = begin + LIFETIME;
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = parameters.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn store(folder: &Path, files: &CertificateFiles, cert: &str, key: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    write(&files.key, 0o600, key)?;
    write(&files.cert, 0o644, cert)
}

/// Written beside its place and moved there, so that nobody ever reads half a file.
fn write(file: &Path, mode: u32, content: &str) -> io::Result<()> {
    let draft = file.with_extension(format!("{}.tmp", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)?;
    opened.write_all(content.as_bytes())?;
    opened.sync_all()?;
    fs::rename(&draft, file)
}
