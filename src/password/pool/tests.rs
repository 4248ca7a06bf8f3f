//! The pool under pressure, with jobs that end when the test says so.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::password::Cost;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// A pool of one thread and a queue of two, and a way to hold the thread.
struct Held {
    pool: Pool,
    finished: Arc<AtomicUsize>,
}

impl Held {
    fn new() -> Self {
        let finished = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&finished);
        let settings = Settings {
            queue: NonZeroUsize::new(2).unwrap(),
            cost: Cost::new(64, 2, 1).unwrap(),
            max_concurrent: NonZeroUsize::MIN,
            ..Settings::default()
        };
        let observer = Box::new(move |_: Duration| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        Self {
            pool: Pool::start(settings, observer).unwrap(),
            finished,
        }
    }
}

type Waiting<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// Polls once, which hands the job in.
fn hand_in<'a, T>(future: impl Future<Output = Result<T, Error>> + 'a) -> Waiting<'a, T> {
    let mut future: Waiting<'a, T> = Box::pin(future);
    assert!(matches!(
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        Poll::Pending
    ));
    future
}

fn secret() -> Secret<String> {
    Secret::new(String::from("secret"))
}

#[test]
fn a_full_queue_is_busy_at_once_and_an_abandoned_hash_keeps_its_slot() {
    let held = Held::new();
    let pool = &held.pool;
    let (release, gate) = mpsc::channel::<()>();
    let (begun, started) = mpsc::channel::<()>();
    let running = hand_in(pool.run(move |_| {
        begun.send(()).unwrap();
        gate.recv().unwrap();
    }));
    started.recv().unwrap();
    let first = hand_in(pool.hash(secret(), Scheme::Argon2id));
    let second = hand_in(pool.hash(secret(), Scheme::Argon2id));
    assert_eq!((pool.running(), pool.waiting()), (1, 2));
    assert_eq!(block_on(pool.hash(secret(), Scheme::Argon2id)), Err(Error::Busy));

    drop(running);
    assert_eq!(pool.running(), 1, "the caller went, the hash goes on");
    assert_eq!(block_on(pool.hash(secret(), Scheme::Argon2id)), Err(Error::Busy));

    drop(first);
    let third = hand_in(pool.hash(secret(), Scheme::Argon2id));
    assert_eq!(
        (pool.running(), pool.waiting()),
        (1, 2),
        "a waiting job whose caller went makes room"
    );
    assert_eq!(held.finished.load(Ordering::SeqCst), 0);

    release.send(()).unwrap();
    assert!(block_on(second).is_ok());
    assert!(block_on(third).is_ok());
    assert_eq!(
        (pool.running(), pool.waiting(), held.finished.load(Ordering::SeqCst)),
        (0, 0, 3),
        "the abandoned one was skipped"
    );
}

#[test]
fn jobs_whose_caller_went_are_skipped_when_their_turn_comes() {
    let held = Held::new();
    let (release, gate) = mpsc::channel::<()>();
    let running = hand_in(held.pool.run(move |_| gate.recv().unwrap()));
    drop(hand_in(held.pool.run(|_| panic!("nobody waits for this"))));
    let last = hand_in(held.pool.run(|_| 5));
    release.send(()).unwrap();
    assert_eq!(block_on(running), Ok(()));
    assert_eq!(block_on(last), Ok(5));
    assert_eq!(held.finished.load(Ordering::SeqCst), 2);
}

#[test]
fn a_hash_that_panics_costs_an_answer_and_no_thread() {
    let held = Held::new();
    let failed: Result<(), Error> = block_on(held.pool.run(|_| resume_unwind(Box::new("a bug"))));
    assert_eq!(failed, Err(Error::Unavailable));
    let hash = block_on(held.pool.hash(secret(), Scheme::Argon2id)).unwrap();
    assert!(block_on(held.pool.verify(secret(), &hash)).unwrap().is_right());
}

#[test]
fn dropping_the_pool_waits_for_what_runs_and_forgets_what_waits() {
    let Held { pool, finished } = Held::new();
    let (release, gate) = mpsc::channel::<()>();
    let (begun, started) = mpsc::channel::<()>();
    let running = hand_in(pool.run(move |_| {
        begun.send(()).unwrap();
        gate.recv().unwrap();
    }));
    started.recv().unwrap();
    drop(running);
    drop(hand_in(pool.run(|_| panic!("nobody waits for this"))));
    let dropper = thread::spawn(move || drop(pool));
    assert!(!dropper.is_finished(), "a hash runs");
    release.send(()).unwrap();
    dropper.join().unwrap();
    assert_eq!(finished.load(Ordering::SeqCst), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn hashing_threads_have_a_lower_priority_than_the_others() {
    let held = Held::new();
    let own = rustix::process::getpriority_process(None).unwrap();
    let theirs = block_on(held.pool.run(|_| rustix::process::getpriority_process(None).unwrap())).unwrap();
    assert_eq!(theirs, (own + 10).min(19));
    assert_eq!(rustix::process::getpriority_process(None).unwrap(), own);
}
