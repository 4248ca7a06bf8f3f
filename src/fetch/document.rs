//! What is known of a document, and what keeps it known.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::{Notify, Semaphore, watch};

use super::{Answer, Error, Url, get};
use crate::telemetry::{FetchResult, Metrics};

/// How long a document counts as fresh, whatever its server says: not so short that we become a burden, not so long that
/// what was taken out of it goes on counting for a day.
const FRESH: (Duration, Duration) = (Duration::from_secs(5 * 60), Duration::from_secs(60 * 60));
/// How long where the server does not say.
const FRESH_UNSAID: Duration = Duration::from_secs(10 * 60);
/// After a failure, the first and the longest pause before the next attempt; it doubles in between.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Between two fetches that were made because somebody asked for something that is not in the document: whoever invents
/// names by the thousand causes one a minute.
const ASKED_APART: Duration = Duration::from_secs(60);
/// Who waits for one document at once. More are told at once that nothing is known.
const WAITING: usize = 256;

/// Makes something of a document, with one line about it for the log; an error is why nothing can be made of it.
pub type Read<T> = fn(&[u8]) -> Result<(T, String), String>;

/// A document that is kept up to date; a handle.
pub struct Document<T>(Arc<Inner<T>>);

struct Inner<T> {
    /// Whose it is.
    name: String,
    url: Url,
    read: Read<T>,
    current: ArcSwapOption<T>,
    /// Rises after every change of any document that shares it.
    generation: Arc<AtomicU64>,
    state: Mutex<State>,
    /// One fetch at a time; within it, what the last one brought.
    flight: tokio::sync::Mutex<Version>,
    /// Fetches that ended.
    ended: watch::Sender<u64>,
    wake: Notify,
    waiting: Semaphore,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// A fetch is under way, or called for.
    under_way: bool,
    /// The last fetch failed.
    failing: bool,
    /// When a question last led to a fetch.
    asked: Option<Instant>,
}

#[derive(Default)]
struct Version {
    etag: Option<String>,
    digest: Option<[u8; 32]>,
}

/// How a fetch went: well, and how long that counts, or not.
type Went = Result<Duration, Failed>;

/// Why there is nothing new.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] Error),
    /// Nothing can be made of it.
    #[error("{0}")]
    Unusable(String),
}

impl State {
    fn may_ask(&self, now: Instant) -> bool {
        self.asked
            .is_none_or(|asked| now.saturating_duration_since(asked) >= ASKED_APART)
    }
}

impl<T> Clone for Document<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Document<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { name, url, .. } = &*self.0;
        formatter
            .debug_struct("Document")
            .field("name", name)
            .field("url", url)
            .finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Document<T> {
    /// One of which nothing is known yet.
    pub fn new(name: &str, url: &Url, read: Read<T>, generation: Arc<AtomicU64>) -> Self {
        Self(Arc::new(Inner {
            name: name.to_owned(),
            url: url.clone(),
            read,
            current: ArcSwapOption::empty(),
            generation,
            // The first fetch is due: who comes before it has ended waits for it.
            state: Mutex::new(State {
                under_way: true,
                ..State::default()
            }),
            flight: tokio::sync::Mutex::default(),
            ended: watch::Sender::new(0),
            wake: Notify::new(),
            waiting: Semaphore::new(WAITING),
        }))
    }

    /// What was last known good.
    pub fn load(&self) -> Option<Arc<T>> {
        self.0.current.load_full()
    }

    /// Where it comes from.
    pub fn url(&self) -> &Url {
        &self.0.url
    }

    /// Whether what is missing in it may well be in the document by now: it was never fetched, the last fetch failed, one
    /// is under way, or one may be asked for.
    pub fn is_doubtful(&self) -> bool {
        let state = *self.state();
        self.0.current.load().is_none() || state.under_way || state.failing || state.may_ask(Instant::now())
    }

    /// Something is not in it: has it fetched anew, unless that was done lately, and waits for that or for one that is
    /// under way, at most for so long.
    pub async fn ask(&self, patience: Duration) {
        let Ok(_place) = self.0.waiting.try_acquire() else {
            return;
        };
        // Before the look at the state: an end that comes after it is seen.
        let mut ended = self.0.ended.subscribe();
        {
            let mut state = self.state();
            let now = Instant::now();
            let may_ask = state.may_ask(now);
            if !state.under_way && !may_ask {
                return;
            }
            if may_ask {
                state.asked = Some(now);
            }
            if !state.under_way {
                state.under_way = true;
                self.0.wake.notify_one();
            }
        }
        tokio::time::timeout(patience, ended.changed()).await.ok();
    }

    /// Fetches it now, once.
    pub async fn fetch(&self) -> Result<(), Failed> {
        self.attempt().await.1.map(|_| ())
    }

    /// Keeps it up to date, for ever.
    pub async fn keep(self, metrics: Arc<Metrics>) {
        let mut failures: u32 = 0;
        loop {
            let (result, went) = self.attempt().await;
            metrics.jwks_fetch(&self.0.name, result);
            self.tell(&went, failures);
            let pause = match went {
                Ok(fresh_for) => {
                    failures = 0;
                    fresh_for
                }
                Err(_) => {
                    failures = failures.saturating_add(1);
                    pause_after(failures)
                }
            };
            tokio::time::timeout(pause, self.0.wake.notified()).await.ok();
        }
    }

    async fn attempt(&self) -> (FetchResult, Went) {
        let mut version = self.0.flight.lock().await;
        self.state().under_way = true;
        let answer = get(&self.0.url, version.etag.as_deref()).await;
        let (result, went) = self.take(answer, &mut version);
        {
            let mut state = self.state();
            state.under_way = false;
            state.failing = went.is_err();
        }
        self.0.ended.send_modify(|ended| *ended += 1);
        (result, went)
    }

    /// What is known stays where nothing usable came.
    fn take(&self, answer: Result<Answer, Error>, version: &mut Version) -> (FetchResult, Went) {
        let (body, etag, fresh_for) = match answer {
            Err(error) => return (FetchResult::Failed, Err(error.into())),
            Ok(Answer::Unchanged { fresh_for }) => return (FetchResult::Unchanged, Ok(clamped(fresh_for))),
            Ok(Answer::Fresh { body, etag, fresh_for }) => (body, etag, clamped(fresh_for)),
        };
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &body).as_ref());
        if version.digest == Some(hash) {
            version.etag = etag;
            return (FetchResult::Unchanged, Ok(fresh_for));
        }
        match (self.0.read)(&body) {
            Err(why) => (FetchResult::Unusable, Err(Failed::Unusable(why))),
            Ok((new, line)) => {
                *version = Version {
                    etag,
                    digest: Some(hash),
                };
                // First the content, then the generation: what was made of the old one is remembered under the old number.
                self.0.current.store(Some(Arc::new(new)));
                self.0.generation.fetch_add(1, Ordering::Release);
                tracing::info!(of = self.0.name, url = %self.0.url, "fetched: {line}");
                (FetchResult::Ok, Ok(fresh_for))
            }
        }
    }

    /// Once when it begins to fail, once when that is over.
    fn tell(&self, went: &Went, failures: u32) {
        let Inner { name, url, .. } = &*self.0;
        match (went, failures) {
            (Ok(_), 0) => {}
            (Ok(_), failures) => tracing::info!(of = name, %url, failures, "it can be fetched again"),
            (Err(error), 0) if self.0.current.load().is_none() => {
                tracing::warn!(of = name, %url, %error, "it cannot be fetched, and nothing is known of it yet");
            }
            (Err(error), 0) => {
                tracing::warn!(of = name, %url, %error, "it cannot be fetched; what is known goes on counting");
            }
            (Err(error), _) => tracing::debug!(of = name, %url, %error, "it still cannot be fetched"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn clamped(fresh_for: Option<Duration>) -> Duration {
    let (shortest, longest) = FRESH;
    fresh_for.unwrap_or(FRESH_UNSAID).clamp(shortest, longest)
}

fn pause_after(failures: u32) -> Duration {
    let (first, longest) = PAUSE;
    let doublings = failures.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_fetched_again_neither_too_often_nor_too_seldom() {
        let clamped = |seconds| clamped(Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!([0, 299, 301, 4_000, u64::MAX].map(clamped), [300, 300, 301, 3600, 3600]);
        assert_eq!(super::clamped(None), FRESH_UNSAID);
        let pauses = [1, 2, 3, 4, 5, 6, 7, 8, u32::MAX].map(|failures| pause_after(failures).as_secs());
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_question_may_lead_to_a_fetch_once_a_minute() {
        let now = Instant::now();
        let asked = |asked| State {
            asked,
            ..State::default()
        };
        assert!(asked(None).may_ask(now));
        assert!(!asked(Some(now)).may_ask(now));
        assert!(!asked(Some(now)).may_ask(now + Duration::from_secs(59)));
        assert!(asked(Some(now)).may_ask(now + Duration::from_secs(60)));
    }
}
