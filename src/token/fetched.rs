//! The keys of trusted issuers that are fetched from a URL.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::{KeySource, TrustedIssuer};
use crate::fetch::{Document, Url};
use crate::keyring::{self, VerifyingKey};
use crate::office::Office;
use crate::telemetry::Metrics;

/// Notes that are logged of one set: what an issuer writes does not fill the log.
const NOTES: usize = 8;

/// The keys of one issuer, kept up to date.
pub type IssuerKeys = Document<KeySet>;

/// What a JWK Set held that can be used.
#[derive(Debug)]
pub struct KeySet(pub(super) Vec<VerifyingKey>);

/// The keys of all issuers that are fetched; a handle. They stand while configurations come and go.
#[derive(Clone, Default)]
pub struct FetchedKeys(Arc<Shared>);

#[derive(Default)]
struct Shared {
    generation: Arc<AtomicU64>,
    issuers: Mutex<BTreeMap<Source, Followed>>,
}

/// Issuer and URL: another URL is another source, of which nothing is known.
type Source = (String, String);

struct Followed {
    keys: IssuerKeys,
    task: Option<AbortHandle>,
}

impl fmt::Debug for FetchedKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FetchedKeys").finish_non_exhaustive()
    }
}

impl FetchedKeys {
    /// The keys of this issuer from this URL: the same ones for as long as it is followed.
    pub(super) fn of(&self, issuer: &str, url: &Url) -> IssuerKeys {
        let mut issuers = self.issuers();
        let followed = issuers
            .entry((issuer.to_owned(), url.as_str().to_owned()))
            .or_insert_with(|| Followed {
                keys: Document::new(issuer, url, read, Arc::clone(&self.0.generation)),
                task: None,
            });
        followed.keys.clone()
    }

    /// Keeps the keys of these issuers up to date from now on, and those of no others.
    pub fn follow(&self, trusted: &[TrustedIssuer], office: &Office, metrics: &Arc<Metrics>) {
        let mut wanted: Vec<Source> = Vec::new();
        for issuer in trusted {
            if let KeySource::JwksUrl(url) = &issuer.keys {
                self.of(&issuer.issuer, url);
                wanted.push((issuer.issuer.clone(), url.as_str().to_owned()));
            }
        }
        self.issuers().retain(|source, followed| {
            let stays = wanted.contains(source);
            match (&followed.task, stays) {
                (Some(task), false) => task.abort(),
                (None, true) => {
                    let keeping = followed.keys.clone().keep(Arc::clone(metrics));
                    followed.task = Some(office.spawn(keeping).abort_handle());
                }
                (Some(_), true) | (None, false) => {}
            }
            stays
        });
    }

    /// Rises whenever the keys of any of them changed.
    pub(super) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    fn issuers(&self) -> MutexGuard<'_, BTreeMap<Source, Followed>> {
        self.0.issuers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A JWK Set; one without a usable key takes nothing's place.
fn read(json: &[u8]) -> Result<(KeySet, String), String> {
    let imported = keyring::from_jwk_set(json).map_err(|error| error.to_string())?;
    for note in imported.notes.iter().take(NOTES) {
        tracing::info!(note, "a key of a trusted issuer");
    }
    let mut algorithms: Vec<&str> = imported.keys.iter().map(|key| key.algorithm().as_str()).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    let line = format!(
        "{} keys ({}), {} notes",
        imported.keys.len(),
        algorithms.join(", "),
        imported.notes.len()
    );
    Ok((KeySet(imported.keys), line))
}
