//! Live connections and exchanges with their deadlines.
//!
//! A timer per request would cost more than the rest of the bookkeeping together. Instead each worker sweeps its own
//! registry every [`SWEEP`]: what has made no progress for longer than its phase allows is marked and woken, and finds
//! the mark when it is polled. Deadlines are therefore kept to within one sweep, always late, never early.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::principal::Person;

/// How often a registry is swept.
pub const SWEEP: Duration = Duration::from_millis(250);
/// How long a client may take to read an answer that ended its connection, before the rest is cut.
const LINGER: Duration = Duration::from_secs(2);
/// How long what a credential has opened is left alone, whatever becomes of the credential. Two seconds are promised, and an
/// ordinary answer that is under way when a token's time is up should come to its end.
const UNJUDGED: Duration = Duration::from_secs(1);
/// Between two looks whether a client that waits is still there.
const LOOK: Duration = Duration::from_secs(2);
/// How long after its cut an entry may still be found alive.
pub const GRACE: Duration = Duration::from_secs(1);

/// `[timeouts]`: how long each phase of a connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// A request's head, from its first byte.
    pub header_read: Duration,
    /// Without a byte of a body, in either direction.
    pub body_progress: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// From the signal to stop until what still runs is cut.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(10),
            body_progress: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            drain: Duration::from_secs(30),
        }
    }
}

/// What a connection or exchange is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, no byte yet.
    FirstByte,
    /// In the TLS handshake.
    Handshake,
    /// Inside a request's head.
    Head,
    /// A body moves, or should.
    Body,
    /// Between two requests.
    Idle,
    /// Our side is closed; what the client still sends is thrown away.
    Linger,
    /// Waiting for somebody who has a deadline of their own (the upstream's answer, the office).
    Elsewhere,
    /// The client is gone: nobody waits for anything.
    Gone,
}

/// Why an entry was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its phase took too long.
    Deadline,
    /// The upstream's answer took too long.
    Upstream,
    /// The process is stopping and the drain time is over.
    Drain,
    /// The session or the token that it was admitted by has ended.
    Ended,
}

/// What a registry asks a connection at each sweep: where it stands, and a figure that changes with each byte that moved.
pub trait Observed: Send + Sync {
    /// The phase, and the progress figure.
    fn observe(&self) -> (Phase, u64);

    /// Has whoever carries the entry find out, when it runs next, whether its client is still there; false: that is known.
    fn look(&self) -> bool {
        false
    }

    /// The mark was not heeded within [`GRACE`]: whoever carries this entry is to be ended. Told again at each sweep.
    fn overdue(&self) {}
}

/// The live entries of one worker.
#[derive(Debug, Default)]
pub struct Registry {
    tick: AtomicU32,
    draining: AtomicBool,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    live: Vec<Weak<Entry>>,
    /// Entries at which dead ones are next taken out, so that the vector stays within twice what lives.
    compact_at: usize,
}

/// One connection, or one exchange on a connection that carries several.
pub struct Entry {
    registry: Arc<Registry>,
    observed: Box<dyn Observed>,
    /// The last observation and when it was made.
    seen: AtomicU64,
    since: AtomicU32,
    /// The tick by which the upstream must have answered; 0: nobody waits.
    answer_by: AtomicU32,
    cut: AtomicU8,
    cut_at: AtomicU32,
    drain: AtomicBool,
    /// Whose credential admitted what is under way, where that may last: it ends with the credential.
    guard: Mutex<Option<Arc<Person>>>,
    guarded: AtomicBool,
    guarded_at: AtomicU32,
    wakers: Mutex<[Option<Waker>; 2]>,
}

/// Who waits: the task that owns the entry, or the one that reads the client's body for the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiter {
    /// The connection's (or stream's) own task.
    Owner,
    /// The task of the connection to the upstream.
    Reader,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Entry")
            .field("cut", &self.cut())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Registers something that lives: it is forgotten when the last [`Arc`] of its entry is gone.
    pub fn enter(self: &Arc<Self>, observed: Box<dyn Observed>) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            registry: Arc::clone(self),
            seen: AtomicU64::new(u64::MAX),
            since: AtomicU32::new(self.tick.load(Ordering::Relaxed)),
            answer_by: AtomicU32::new(0),
            cut: AtomicU8::new(0),
            drain: AtomicBool::new(false),
            cut_at: AtomicU32::new(0),
            guard: Mutex::new(None),
            guarded: AtomicBool::new(false),
            guarded_at: AtomicU32::new(0),
            wakers: Mutex::new([None, None]),
            observed,
        });
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.live.len() >= entries.compact_at {
            entries.live.retain(|entry| entry.strong_count() > 0);
            entries.compact_at = entries.live.len().saturating_mul(2).max(64);
        }
        entries.live.push(Arc::downgrade(&entry));
        // Under the lock: who is not told here stands in the list that is told.
        entry
            .drain
            .store(self.draining.load(Ordering::Relaxed), Ordering::Relaxed);
        entry
    }

    /// Looks at every entry once. Called every [`SWEEP`] by the worker that owns the registry. `ended` says whether what this
    /// person's credential has opened must end. It is asked at each sweep anew, so whoever registers before it was asked
    /// last is never missed.
    pub fn sweep(&self, deadlines: &Deadlines, ended: &dyn Fn(&Person) -> bool) {
        let now = self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        for entry in self.living() {
            entry.judge(now, deadlines, ended);
        }
    }

    /// Asks every connection to finish what it is at and take nothing new, now and from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        for entry in self.living() {
            entry.drain.store(true, Ordering::Relaxed);
            entry.wake();
        }
    }

    /// Cuts everything that still lives.
    pub fn cut_all(&self) {
        for entry in self.living() {
            entry.mark(Cut::Drain);
        }
    }

    /// How many entries live.
    pub fn len(&self) -> usize {
        self.living().len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn living(&self) -> Vec<Arc<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.live.retain(|entry| entry.strong_count() > 0);
        entries.live.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Entry {
    /// Remembers whom to wake. To be called at each poll of the task that waits.
    pub fn register(&self, waiter: Waiter, waker: &Waker) {
        let mut slots = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        let [owner, reader] = &mut *slots;
        let slot = match waiter {
            Waiter::Owner => owner,
            Waiter::Reader => reader,
        };
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Why this must end now, if it must.
    pub fn cut(&self) -> Option<Cut> {
        match self.cut.load(Ordering::Relaxed) {
            1 => Some(Cut::Deadline),
            2 => Some(Cut::Upstream),
            3 => Some(Cut::Drain),
            4 => Some(Cut::Ended),
            _ => None,
        }
    }

    /// Whether this was cut so long ago ([`GRACE`]) that whoever should have seen the mark never will: the connection is to
    /// be dropped as it is.
    pub fn is_overdue(&self) -> bool {
        let since = self
            .registry
            .tick
            .load(Ordering::Relaxed)
            .wrapping_sub(self.cut_at.load(Ordering::Relaxed));
        matches!(self.cut(), Some(Cut::Deadline | Cut::Drain | Cut::Ended)) && since >= ticks(GRACE)
    }

    /// Ends this as if its time were up, with no grace left.
    pub fn end(&self) {
        self.cut.store(3, Ordering::Relaxed);
        self.cut_at.store(
            self.registry.tick.load(Ordering::Relaxed).wrapping_sub(ticks(GRACE)),
            Ordering::Relaxed,
        );
        self.wake();
    }

    /// Runs a future for as long as this is not cut.
    pub async fn watch<F: Future>(&self, future: F) -> Result<F::Output, Cut> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            self.register(Waiter::Owner, cx.waker());
            match (future.as_mut().poll(cx), self.cut()) {
                (Poll::Ready(output), _) => Poll::Ready(Ok(output)),
                (Poll::Pending, Some(cut)) => Poll::Ready(Err(cut)),
                (Poll::Pending, None) => Poll::Pending,
            }
        })
        .await
    }

    /// Whether the connection should finish what it is at and take nothing new.
    pub fn is_draining(&self) -> bool {
        self.drain.load(Ordering::Relaxed)
    }

    /// From now on this ends with the session or the token of this person; [`Entry::unguard`] takes it back.
    pub fn guard(&self, person: &Arc<Person>) {
        *self.guard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(person));
        self.guarded_at
            .store(self.registry.tick.load(Ordering::Relaxed), Ordering::Relaxed);
        self.guarded.store(true, Ordering::Relaxed);
    }

    /// What the credential had opened is over.
    pub fn unguard(&self) {
        // Looked at first: nearly every exchange ends without one.
        if self.guarded.load(Ordering::Relaxed) && self.guarded.swap(false, Ordering::Relaxed) {
            *self.guard.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn is_forfeit(&self, now: u32, ended: &dyn Fn(&Person) -> bool) -> bool {
        self.guarded.load(Ordering::Relaxed)
            && now.wrapping_sub(self.guarded_at.load(Ordering::Relaxed)) >= ticks(UNJUDGED)
            && self.guardian().is_some_and(|person| ended(&person))
    }

    fn guardian(&self) -> Option<Arc<Person>> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts the wait for an upstream's answer; [`Entry::answered`] ends it.
    pub fn await_answer(&self, within: Duration) {
        // The tick that is under way has passed in part.
        let now = self.registry.tick.load(Ordering::Relaxed);
        let by = now.wrapping_add(ticks(within)).wrapping_add(1);
        self.answer_by.store(by.max(1), Ordering::Relaxed);
    }

    /// The upstream answered, or nobody waits any more.
    pub fn answered(&self) {
        self.answer_by.store(0, Ordering::Relaxed);
        self.cut
            .compare_exchange(2, 0, Ordering::Relaxed, Ordering::Relaxed)
            .ok();
    }

    fn judge(&self, now: u32, deadlines: &Deadlines, ended: &dyn Fn(&Person) -> bool) {
        if let Some(cut @ (Cut::Deadline | Cut::Drain | Cut::Ended)) = self.cut() {
            self.mark(cut);
            return;
        }
        if self.is_forfeit(now, ended) {
            self.mark(Cut::Ended);
            return;
        }
        let answer_by = self.answer_by.load(Ordering::Relaxed);
        if answer_by != 0 && now.wrapping_sub(answer_by) < u32::MAX / 2 {
            self.mark(Cut::Upstream);
            return;
        }
        let (phase, progress) = self.observed.observe();
        let figure = progress.wrapping_shl(3) | u64::from(phase.number());
        if self.seen.swap(figure, Ordering::Relaxed) != figure {
            self.since.store(now, Ordering::Relaxed);
            return;
        }
        let limit = match phase {
            Phase::FirstByte => deadlines.first_byte,
            Phase::Handshake => deadlines.handshake,
            Phase::Head => deadlines.header_read,
            Phase::Body => deadlines.body_progress,
            Phase::Idle => deadlines.idle,
            Phase::Linger => LINGER,
            Phase::Elsewhere => {
                self.look(now);
                return;
            }
            Phase::Gone => Duration::ZERO,
        };
        if now.wrapping_sub(self.since.load(Ordering::Relaxed)) >= ticks(limit) {
            self.mark(Cut::Deadline);
        }
    }

    /// Nobody reads from a client while its answer is waited for: now and then it is looked whether it is still there.
    fn look(&self, now: u32) {
        let waited = now.wrapping_sub(self.since.load(Ordering::Relaxed));
        if waited.is_multiple_of(ticks(LOOK)) && self.observed.look() {
            self.wake();
        }
    }

    fn mark(&self, cut: Cut) {
        let number = match cut {
            Cut::Deadline => 1,
            Cut::Upstream => 2,
            Cut::Drain => 3,
            Cut::Ended => 4,
        };
        if self.cut.swap(number, Ordering::Relaxed) == 0 {
            self.cut_at
                .store(self.registry.tick.load(Ordering::Relaxed), Ordering::Relaxed);
        } else if self.is_overdue() {
            self.observed.overdue();
        }
        self.wake();
    }

    fn wake(&self) {
        let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Phase {
    fn number(self) -> u8 {
        match self {
            Self::FirstByte => 0,
            Self::Handshake => 1,
            Self::Head => 2,
            Self::Body => 3,
            Self::Idle => 4,
            Self::Elsewhere => 5,
            Self::Linger => 6,
            Self::Gone => 7,
        }
    }
}

/// A duration in sweeps, rounded up; at least one.
fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(SWEEP.as_millis()))
        .unwrap_or(u32::MAX / 4)
        .max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    struct Scripted(Arc<AtomicU64>, Phase);

    impl Observed for Scripted {
        fn observe(&self) -> (Phase, u64) {
            (self.1, self.0.load(Ordering::Relaxed))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_makes_no_progress_is_cut_and_woken_and_what_moves_is_not() {
        let registry = Arc::new(Registry::default());
        let deadlines = Deadlines {
            body_progress: SWEEP * 2,
            ..Deadlines::default()
        };
        let (stuck, moving) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let slow = registry.enter(Box::new(Scripted(stuck, Phase::Body)));
        let fast = registry.enter(Box::new(Scripted(Arc::clone(&moving), Phase::Body)));
        let woken = Arc::new(Woken::default());
        slow.register(Waiter::Owner, &Waker::from(Arc::clone(&woken)));
        for _ in 0..5 {
            moving.fetch_add(1, Ordering::Relaxed);
            registry.sweep(&deadlines, &|_| false);
        }
        assert_eq!(slow.cut(), Some(Cut::Deadline));
        assert!(woken.0.load(Ordering::Relaxed) >= 1);
        assert_eq!(fast.cut(), None);
        drop((slow, fast));
        assert!(registry.is_empty());
    }

    #[test]
    fn an_upstream_that_answers_in_time_is_never_late() {
        let registry = Arc::new(Registry::default());
        let deadlines = Deadlines::default();
        let entry = registry.enter(Box::new(Scripted(Arc::default(), Phase::Elsewhere)));
        entry.await_answer(SWEEP);
        entry.answered();
        registry.sweep(&deadlines, &|_| false);
        registry.sweep(&deadlines, &|_| false);
        assert_eq!(entry.cut(), None);
        entry.await_answer(SWEEP);
        registry.sweep(&deadlines, &|_| false);
        assert_eq!(entry.cut(), None);
        registry.sweep(&deadlines, &|_| false);
        assert_eq!(entry.cut(), Some(Cut::Upstream));
        entry.answered();
        assert_eq!(entry.cut(), None);
    }

    #[test]
    fn what_a_credential_has_opened_ends_with_it_and_nothing_else_does() {
        let registry = Arc::new(Registry::default());
        let deadlines = Deadlines::default();
        let person = |name: &str| {
            Arc::new(Person {
                issuer: crate::principal::Issuer::Local,
                subject: name.to_owned(),
                user: None,
                name: name.to_owned(),
                roles: crate::principal::Roles::default(),
                email: None,
                session: None,
                token_id: None,
                issued_at: 0,
                expires_at: 0,
                credential: crate::principal::CredentialKind::Bearer,
                limit: None,
                subject_prefix: 0,
            })
        };
        let [ended, other, over, open] =
            [0; 4].map(|_| registry.enter(Box::new(Scripted(Arc::default(), Phase::Elsewhere))));
        ended.guard(&person("anna"));
        other.guard(&person("berta"));
        over.guard(&person("anna"));
        over.unguard();
        for sweep in 0..ticks(UNJUDGED) {
            assert_eq!(ended.cut(), None, "sweep {sweep}: an ordinary answer may end");
            registry.sweep(&deadlines, &|person| person.name == "anna");
        }
        assert_eq!(ended.cut(), Some(Cut::Ended));
        assert_eq!([other.cut(), over.cut(), open.cut()], [None; 3]);
    }

    #[test]
    fn who_comes_while_the_house_is_draining_is_told_so() {
        let registry = Arc::new(Registry::default());
        let early = registry.enter(Box::new(Scripted(Arc::default(), Phase::Idle)));
        assert!(!early.is_draining());
        registry.drain();
        let late = registry.enter(Box::new(Scripted(Arc::default(), Phase::Idle)));
        assert!(early.is_draining() && late.is_draining());
    }
}
