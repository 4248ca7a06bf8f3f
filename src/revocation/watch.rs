//! What long-lived streams stand on. A stream shows its credential once; what becomes of its session or API key afterwards is
//! asked on its behalf: soon after it opened, when a life that is not renewed would be over, and whenever something may have
//! been missed. In between nobody asks anything, however many streams are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use foldhash::fast::RandomState;
use papaya::HashMap;

use crate::principal::{CredentialKind, Issuer, Person};
use crate::store::{Lasting, Life};

/// How long what no sweep has met any more is remembered: sweeps come four times a second.
const FORGET_MS: i64 = 10_000;

/// The shared handle.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<HashMap<Lasting, Entry, RandomState>>);

#[derive(Debug)]
struct Entry {
    /// When a stream that stands on it was last met.
    met_at: AtomicI64,
    /// When it ends, or has ended.
    ends: AtomicI64,
    /// When the store is to be asked.
    ask_at: AtomicI64,
}

impl Watch {
    /// Whether what this person's credential has opened must end, as far as is known; who is met here for the first time is
    /// asked about. Times are Unix milliseconds.
    pub fn is_over(&self, person: &Person, now: i64) -> bool {
        let Some(lasting) = lasting(person) else { return false };
        let watched = self.0.pin();
        let entry = watched.get_or_insert_with(lasting, || Entry {
            met_at: AtomicI64::new(now),
            ends: AtomicI64::new(i64::MAX),
            ask_at: AtomicI64::new(i64::MIN),
        });
        entry.met_at.store(now, Ordering::Relaxed);
        now >= entry.ends.load(Ordering::Relaxed)
    }

    /// What the store is to be asked about, at most so much at once. Forgets what nothing stands on any more.
    pub fn due(&self, now: i64, at_most: usize) -> Vec<Lasting> {
        let watched = self.0.pin();
        watched.retain(|_, entry| now.saturating_sub(entry.met_at.load(Ordering::Relaxed)) < FORGET_MS);
        let due = watched
            .iter()
            .filter(|(_, entry)| entry.ask_at.load(Ordering::Relaxed) <= now);
        due.take(at_most).map(|(lasting, _)| lasting.clone()).collect()
    }

    /// What the store said to a question at `now`: who is not in its answer has ended.
    pub fn learn(&self, asked: &[Lasting], living: &[(Lasting, Life)], now: i64) {
        let watched = self.0.pin();
        let set = |lasting: &Lasting, life: Life| {
            if let Some(entry) = watched.get(lasting) {
                entry.ends.store(life.ends, Ordering::Relaxed);
                entry.ask_at.store(life.ask_at, Ordering::Relaxed);
            }
        };
        let ended = Life {
            ends: now,
            ask_at: i64::MAX,
        };
        let living: std::collections::HashMap<_, _> = living.iter().map(|(lasting, life)| (lasting, *life)).collect();
        for lasting in asked {
            set(lasting, living.get(lasting).copied().unwrap_or(ended));
        }
    }

    /// Something about this API key changed.
    pub fn doubt_key(&self, id: &str) {
        if let Some(entry) = self.0.pin().get(&Lasting::ApiKey(id.to_owned())) {
            entry.ask_at.store(i64::MIN, Ordering::Relaxed);
        }
    }

    /// Changes may have been missed: everything is asked about again.
    pub fn doubt(&self) {
        for (_, entry) in &self.0.pin() {
            entry.ask_at.store(i64::MIN, Ordering::Relaxed);
        }
    }
}

/// What a person's streams stand on. Those of other issuers stand on their token alone, which says itself when it ends.
fn lasting(person: &Person) -> Option<Lasting> {
    match (&person.issuer, person.session) {
        (Issuer::External(_), _) => None,
        (Issuer::Local, Some(session)) => Some(Lasting::Session(session)),
        (Issuer::Local, None) => match person.credential {
            // A ticket without a session was fetched with a key, and carries its name.
            CredentialKind::ApiKey | CredentialKind::Ticket => person.token_id.clone().map(Lasting::ApiKey),
            CredentialKind::Bearer | CredentialKind::ExternalBearer | CredentialKind::Session => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{Roles, SessionId, UserId};

    fn person(session: Option<u8>, key: Option<&str>) -> Person {
        Person {
            issuer: Issuer::Local,
            subject: "1".to_owned(),
            user: Some(UserId(1)),
            name: "alice".to_owned(),
            roles: Roles::default(),
            email: None,
            session: session.map(|byte| SessionId([byte; 16])),
            token_id: key.map(str::to_owned),
            issued_at: 0,
            expires_at: i64::MAX,
            credential: CredentialKind::ApiKey,
            limit: None,
            subject_prefix: 0,
        }
    }

    #[test]
    fn what_is_met_is_asked_about_once_and_again_when_its_time_may_be_over() {
        let (watch, alice) = (Watch::default(), person(Some(1), None));
        assert!(!watch.is_over(&alice, 0));
        let asked = watch.due(0, 10);
        assert_eq!(asked, [Lasting::Session(SessionId([1; 16]))]);
        let life = |ends, ask_at| [(asked[0].clone(), Life { ends, ask_at })];
        watch.learn(&asked, &life(9_000, 2_000), 0);
        assert!(watch.due(1_999, 10).is_empty());
        // Nobody has renewed it as far as we know; the store may know better, and until it answers nothing ends.
        assert_eq!(watch.due(2_000, 10), asked);
        assert!(!watch.is_over(&alice, 2_500));
        watch.learn(&asked, &life(9_000, 9_000), 2_500);
        assert!(watch.due(8_999, 10).is_empty() && !watch.is_over(&alice, 8_999));
        // Its last day needs no question.
        assert!(watch.is_over(&alice, 9_000));
        // Whoever says no says it for good.
        watch.learn(&asked, &[], 9_000);
        assert!(watch.due(9_001, 10).is_empty() && watch.is_over(&alice, 9_001));
    }

    #[test]
    fn what_may_have_been_missed_is_asked_again_and_nothing_is_kept_for_nobody() {
        let watch = Watch::default();
        let people = [
            person(None, Some("one")),
            person(None, Some("two")),
            person(Some(3), None),
        ];
        for person in &people {
            watch.is_over(person, 0);
        }
        let asked = watch.due(0, 10);
        assert_eq!(asked.len(), 3);
        assert_eq!(watch.due(0, 2).len(), 2);
        let life = Life {
            ends: i64::MAX,
            ask_at: i64::MAX,
        };
        let living: Vec<_> = asked.iter().map(|lasting| (lasting.clone(), life)).collect();
        watch.learn(&asked, &living, 0);
        watch.doubt_key("two");
        watch.doubt_key("never met");
        assert_eq!(watch.due(1, 10), [Lasting::ApiKey("two".to_owned())]);
        watch.doubt();
        assert_eq!(watch.due(1, 10).len(), 3);
        assert!(watch.due(FORGET_MS, 10).is_empty());
        assert!(watch.0.is_empty());
        let stranger = Person {
            issuer: Issuer::External("https://idp".into()),
            ..person(None, Some("jti"))
        };
        assert!(!watch.is_over(&stranger, 0) && watch.0.is_empty());
    }
}
