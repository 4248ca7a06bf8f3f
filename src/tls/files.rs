//! The files that certificates, keys and authorities are read from: whether each is good, and whether it changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::authorities::Authorities;
use super::certificate::Certificate;
use super::{CertificateFiles, Certificates, ClientTls, Error, Settings, UpstreamTls, provider};

/// Whether a certificate and its key can be served. Blocks on files.
pub fn check_certificate(files: &CertificateFiles) -> Result<(), Error> {
    Certificate::load(files, &provider()).map(drop)
}

/// Whether these are authorities of clients. Blocks on the file.
pub fn check_authorities(file: &Path) -> Result<(), Error> {
    Authorities::load(file).map(drop)
}

/// Whether an upstream can be reached with these. Blocks on files.
pub fn check_upstream(settings: &UpstreamTls) -> Result<(), Error> {
    ClientTls::load(settings, &[]).map(drop)
}

impl Settings {
    /// Every file they name. The self-signed certificate is ours: nobody else changes it.
    pub fn files(&self) -> Vec<PathBuf> {
        let pairs = match &self.certificates {
            Certificates::Files(pairs) => pairs.as_slice(),
            Certificates::SelfSigned(_) | Certificates::Unused => &[],
        };
        let pairs = pairs.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]);
        pairs.chain(self.client_ca.clone()).collect()
    }
}

impl UpstreamTls {
    /// Every file they name.
    pub fn files(&self) -> Vec<PathBuf> {
        let client = self
            .client
            .iter()
            .flat_map(|pair| [pair.cert.clone(), pair.key.clone()]);
        self.ca.iter().cloned().chain(client).collect()
    }
}

/// What some files look like from outside: where they lie, how long they are, when they were last touched. Links are
/// followed, so a folder that is exchanged by its link (as Kubernetes does) shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<Option<[i128; 5]>>);

impl Fingerprint {
    /// Looks at them. Blocks on the file system.
    pub fn of(files: &[PathBuf]) -> Self {
        let look = |file: &PathBuf| {
            let found = fs::metadata(file).ok()?;
            Some([
                i128::from(found.dev()),
                i128::from(found.ino()),
                i128::from(found.size()),
                nanoseconds(found.mtime(), found.mtime_nsec()),
                nanoseconds(found.ctime(), found.ctime_nsec()),
            ])
        };
        Self(files.iter().map(look).collect())
    }
}

fn nanoseconds(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}
