//! The few threads on which passwords are hashed, with a bounded queue in front of them.
//!
//! Threads of its own, because a hash takes tens of milliseconds of a whole core: on a thread that carries traffic it would hold
//! up everybody, and tokio's blocking pool has neither a small bound nor a lower priority. A slot belongs to the hash that runs,
//! not to the request that waits for it: a caller that hangs up does not make room for the next hash before its own is done.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::secret::Secret;

use super::argon::Memory;
use super::stored::StoredHash;
use super::{Error, Scheme, Settings, Verdict, hash, is_bounded};

/// Told how long each finished hash took, on the thread that computed it; it must be quick and must not panic.
pub type Observer = Box<dyn Fn(Duration) + Send + Sync>;

/// Nice value added to the hashing threads: about a tenth of the processor time of a traffic thread when both want it.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// The hashing threads. Dropping it waits for the hashes that run, forgets those that wait, and ends the threads.
pub struct Pool {
    settings: Settings,
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Pool {
    /// Starts the threads.
    pub fn start(settings: Settings, observer: Observer) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                running: 0,
                closed: false,
            }),
            changed: Condvar::new(),
            observer,
        });
        let mut pool = Self {
            settings,
            shared,
            threads: Vec::new(),
        };
        for number in 0..pool.settings.max_concurrent.get() {
            let (shared, memory) = (Arc::clone(&pool.shared), Memory::for_cost(pool.settings.cost));
            let builder = thread::Builder::new().name(format!("password-{number}"));
            // On failure `pool` is dropped, which ends the threads that were started.
            pool.threads.push(builder.spawn(move || shared.work(memory))?);
        }
        Ok(pool)
    }

    /// Compares a password with a hash as the table holds it, and says whether the hash should be replaced.
    pub async fn verify(&self, password: Secret<String>, stored: &str) -> Result<Verdict, Error> {
        check_bound(&password)?;
        let stored = StoredHash::parse(stored)?;
        if self.settings.only_praetorian && !stored.is_praetorian() {
            return Err(Error::UnknownScheme);
        }
        self.compare(password, stored).await
    }

    /// The same work for a stand-in, whose result nobody needs.
    pub async fn spend(&self, password: Secret<String>, stand_in: &str) -> Result<(), Error> {
        check_bound(&password)?;
        self.compare(password, StoredHash::parse(stand_in)?).await.map(drop)
    }

    async fn compare(&self, password: Secret<String>, stored: StoredHash) -> Result<Verdict, Error> {
        let upgrade = stored.needs_upgrade(&self.settings);
        let right = self
            .run(move |memory| stored.verify(password.expose().as_bytes(), memory))
            .await??;
        Ok(if right {
            Verdict::Right { upgrade }
        } else {
            Verdict::Wrong
        })
    }

    /// Hashes a new password.
    pub async fn hash(&self, password: Secret<String>, scheme: Scheme) -> Result<String, Error> {
        if !is_bounded(password.expose()) {
            return Err(Error::TooLong);
        }
        let cost = self.settings.cost;
        self.run(move |memory| hash::create(password.expose().as_bytes(), scheme, cost, memory))
            .await?
    }

    /// The settings it was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Hashes that wait for a thread.
    pub fn waiting(&self) -> usize {
        self.shared.lock().waiting.len()
    }

    /// Hashes that are being computed.
    pub fn running(&self) -> usize {
        self.shared.lock().running
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut Memory) -> T + Send + 'static) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let slots = self.threads.len().saturating_add(self.settings.queue.get());
        self.shared.submit(Box::new(Task { work, reply }), slots)?;
        answer.await.map_err(|_| Error::Unavailable)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A thread cannot panic outside a hash, and a hash that panics is caught.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Pool")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn check_bound(password: &Secret<String>) -> Result<(), Error> {
    match is_bounded(password.expose()) {
        true => Ok(()),
        false => Err(Error::TooLong),
    }
}

struct Shared {
    state: Mutex<State>,
    /// A job came or the pool closed.
    changed: Condvar,
    observer: Observer,
}

struct State {
    waiting: VecDeque<Box<dyn Job>>,
    running: usize,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding the lock; if it did, the queue would still be a queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in if fewer than `slots` run or wait.
    fn submit(&self, job: Box<dyn Job>, slots: usize) -> Result<(), Error> {
        let mut state = self.lock();
        if state.running.saturating_add(state.waiting.len()) >= slots {
            // Those nobody waits for any more would be skipped anyway; their places are free. Running ones keep theirs.
            state.waiting.retain(|job| !job.abandoned());
        }
        if state.running.saturating_add(state.waiting.len()) >= slots {
            return Err(Error::Busy);
        }
        state.waiting.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.changed.notify_all();
    }

    /// The life of a thread.
    fn work(&self, mut memory: Memory) {
        lower_priority();
        while let Some(job) = self.next() {
            let started = Instant::now();
            job.run(&mut memory, &|| {
                self.lock().running -= 1;
                (self.observer)(started.elapsed());
            });
        }
    }

    /// The next job that somebody waits for, counted as running; none when the pool is closed.
    fn next(&self) -> Option<Box<dyn Job>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            match state.waiting.pop_front() {
                Some(job) if job.abandoned() => {}
                Some(job) => {
                    state.running += 1;
                    return Some(job);
                }
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Something to compute and somebody who may be waiting for it.
trait Job: Send {
    /// Whether nobody waits for it any more.
    fn abandoned(&self) -> bool;
    /// Computes it, calls `finished`, then answers, so that who has the answer finds the slot free and the figures right.
    fn run(self: Box<Self>, memory: &mut Memory, finished: &dyn Fn());
}

struct Task<W, T> {
    work: W,
    reply: oneshot::Sender<T>,
}

impl<W: FnOnce(&mut Memory) -> T + Send, T: Send> Job for Task<W, T> {
    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(self: Box<Self>, memory: &mut Memory, finished: &dyn Fn()) {
        let Self { work, reply } = *self;
        // A bug in one hash must not cost the pool a thread. Its memory holds plain numbers that every hash writes anew.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(memory)));
        finished();
        if let Ok(outcome) = outcome {
            // The caller may have gone meanwhile.
            let _ = reply.send(outcome);
        }
    }
}

/// Lets threads that carry traffic go first. Only Linux has a nice value per thread; elsewhere this would slow the process.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    // Refused by some sandboxes; then hashing competes on equal terms, within its number of threads.
    let _ = rustix::process::nice(NICENESS);
}

#[cfg(test)]
mod tests;
