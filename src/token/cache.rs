//! Verified tokens remembered, one memory per worker: no locks, `&mut self`.
//!
//! Only tokens whose signature was right enter, so an attacker with millions of bad ones neither fills it nor pushes
//! anything out. Every hit asks again what may have changed since: the clock, the keys (a change empties the memory), the
//! verifier (a reload brings another), the revocations (unless none was applied since the last look). A remembered token
//! therefore always gets the answer that verifying it anew would give.
//!
//! The key is a hash of the whole token and then the whole token byte for byte (Oathkeeper's CVE-2026-33496 was a key that
//! left something out). foldhash with a random seed per memory suffices: whoever found two good tokens with one hash
//! would make the two displace each other, no more, and every lookup of a bad token ends in the full comparison.
//!
//! Eviction is CLOCK: a hit sets a mark, the hand takes marks away and evicts what has none. A newcomer starts without a
//! mark, so a stream of tokens that are shown once passes through and leaves those in use where they are. O(1), amortised.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::principal::Person;
use crate::revocation::Revocations;

use super::verify::{Verified, Verifier};
use super::{Error, Kind};

/// What an entry costs beside its token: itself, the person with their texts, the index.
const ENTRY_BYTES: usize = 400;

/// The memory's bound in bytes for each entry of its capacity: many times a usual token, so that only a flood of giant
/// tokens meets it.
const BYTES_PER_ENTRY: usize = 2048;

/// A token that counts now.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted<T> {
    /// Who it is, with the name and roles in force.
    pub person: Arc<Person>,
    /// What the token is for.
    pub kind: Kind,
    /// What the caller prepared for this person, for example header values.
    pub prepared: T,
}

/// Where an answer came from: the `result` label of `doorward_token_cache_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The token was remembered.
    Hit,
    /// It had to be verified.
    Miss,
}

impl Source {
    /// The label's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }
}

/// The memory of one worker.
#[derive(Debug)]
pub struct Cache<T> {
    capacity: usize,
    max_bytes: usize,
    hasher: RandomState,
    index: HashMap<u64, usize, RandomState>,
    entries: Vec<Entry<T>>,
    hand: usize,
    bytes: usize,
    /// Whose results these are. Held, so that its address cannot come to mean another.
    verifier: Option<Arc<Verifier>>,
    keys: u64,
}

#[derive(Debug)]
struct Entry<T> {
    hash: u64,
    token: Box<[u8]>,
    verified: Verified,
    current: Result<Arc<Accepted<T>>, Error>,
    /// The revocations' generation that `current` was judged in.
    judged: u64,
    marked: bool,
}

impl<T> Cache<T> {
    /// A memory of at most `capacity` tokens; 0 remembers nothing.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            max_bytes: capacity.saturating_mul(BYTES_PER_ENTRY),
            hasher: RandomState::default(),
            index: HashMap::default(),
            entries: Vec::new(),
            hand: 0,
            bytes: 0,
            verifier: None,
            keys: 0,
        }
    }

    /// Who shows this token at `now` (Unix milliseconds), and whether that was remembered. `prepare` is called when a
    /// person is new here, or has other roles than before.
    pub fn verify(
        &mut self,
        verifier: &Arc<Verifier>,
        revocations: &Revocations,
        token: &[u8],
        now: i64,
        prepare: impl Fn(&Person) -> T,
    ) -> (Source, Result<Arc<Accepted<T>>, Error>) {
        self.forget_what_others_verified(verifier);
        let hash = self.hasher.hash_one(token);
        if let Some(at) = self.find(hash, token) {
            if self
                .entries
                .get(at)
                .is_some_and(|entry| entry.verified.window.contains(now))
            {
                return (Source::Hit, self.answer(at, revocations, &prepare));
            }
            // Expired, or the clock went back: verification finds the reason.
            self.remove(at);
        }
        let answer = verifier
            .verify_but(token, now, &|id| revocations.is_token_revoked(id))
            .and_then(|verified| {
                let (entry, answer) = Entry::new(hash, token, verified, revocations, &prepare);
                self.insert(entry);
                answer
            });
        (Source::Miss, answer)
    }

    /// How many tokens are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// About how much memory they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Another verifier or other keys: nothing that was found before counts. The generation is read here, before anything
    /// is verified, so that keys which change meanwhile empty the memory next time.
    fn forget_what_others_verified(&mut self, verifier: &Arc<Verifier>) {
        let keys = verifier.generation();
        let same = self.verifier.as_ref().is_some_and(|known| Arc::ptr_eq(known, verifier));
        if !same || self.keys != keys {
            self.index.clear();
            self.entries.clear();
            (self.hand, self.bytes) = (0, 0);
            self.verifier = Some(Arc::clone(verifier));
            self.keys = keys;
        }
    }

    fn find(&self, hash: u64, token: &[u8]) -> Option<usize> {
        let at = *self.index.get(&hash)?;
        self.entries
            .get(at)
            .is_some_and(|entry| *entry.token == *token)
            .then_some(at)
    }

    fn answer(
        &mut self,
        at: usize,
        revocations: &Revocations,
        prepare: &impl Fn(&Person) -> T,
    ) -> Result<Arc<Accepted<T>>, Error> {
        let entry = self.entries.get_mut(at).ok_or(Error::Revoked)?;
        entry.marked = true;
        let generation = revocations.generation();
        // Whoever is not known is looked up by somebody: that raises no number.
        if entry.judged != generation || matches!(entry.current, Err(Error::NotIdentified(_))) {
            entry.judge(revocations, prepare);
            entry.judged = generation;
        }
        entry.current.clone()
    }

    fn insert(&mut self, entry: Entry<T>) {
        let size = entry.bytes();
        if self.capacity == 0 || size > self.max_bytes {
            return;
        }
        // Another token with the same hash gives way.
        if let Some(at) = self.index.get(&entry.hash) {
            self.remove(*at);
        }
        while self.entries.len() >= self.capacity || self.bytes + size > self.max_bytes {
            self.evict();
        }
        self.bytes += size;
        self.index.insert(entry.hash, self.entries.len());
        self.entries.push(entry);
    }

    /// Moves the hand to the next entry without a mark, and takes that away. Ends: each step takes a mark away, and the
    /// callers have an entry at least.
    fn evict(&mut self) {
        loop {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            match self.entries.get_mut(self.hand) {
                Some(entry) if entry.marked => entry.marked = false,
                Some(_) => {
                    self.remove(self.hand);
                    // The last entry, the youngest, has moved here: it gets its full turn of the hand.
                    self.hand += 1;
                    return;
                }
                None => return,
            }
            self.hand += 1;
        }
    }

    fn remove(&mut self, at: usize) {
        if at >= self.entries.len() {
            return;
        }
        let gone = self.entries.swap_remove(at);
        self.bytes = self.bytes.saturating_sub(gone.bytes());
        self.index.remove(&gone.hash);
        if let Some(moved) = self.entries.get(at) {
            self.index.insert(moved.hash, at);
        }
    }
}

impl<T> Entry<T> {
    fn new(
        hash: u64,
        token: &[u8],
        verified: Verified,
        revocations: &Revocations,
        prepare: &impl Fn(&Person) -> T,
    ) -> (Self, Result<Arc<Accepted<T>>, Error>) {
        // The generation first: what is applied from here on raises it, and is looked at next time.
        let judged = revocations.generation();
        let mut entry = Self {
            hash,
            token: token.into(),
            verified,
            current: Err(Error::Revoked),
            judged,
            marked: false,
        };
        entry.judge(revocations, prepare);
        let answer = entry.current.clone();
        (entry, answer)
    }

    /// Asks what became of the person; prepares anew only where name or roles are others than before.
    fn judge(&mut self, revocations: &Revocations, prepare: &impl Fn(&Person) -> T) {
        let person = match self.verified.in_force(revocations) {
            Ok(person) => person,
            Err(error) => {
                self.current = Err(error);
                return;
            }
        };
        if !self.current.as_ref().is_ok_and(|current| current.person == person) {
            let prepared = prepare(&person);
            self.current = Ok(Arc::new(Accepted {
                person,
                kind: self.verified.kind,
                prepared,
            }));
        }
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.token.len()
    }
}
