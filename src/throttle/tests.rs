//! Tests of this part.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::fake::Fake;
use super::*;

const HOME: &str = "192.0.2.1";

struct Bench {
    fake: Arc<Fake>,
    clock: Clock,
    throttle: LoginThrottle,
}

fn bench(settings: Settings) -> Bench {
    let (fake, clock) = (Arc::new(Fake::default()), Clock::manual(1_000_000));
    let store: Arc<dyn Store> = Arc::<Fake>::clone(&fake);
    let throttle = LoginThrottle::new(store, settings, clock.clone());
    Bench { fake, clock, throttle }
}

impl Bench {
    async fn admit(&self, name: &str, from: &str) -> Result<Attempt, Refused> {
        self.throttle.admit(name, from.parse().unwrap()).await
    }

    async fn fail(&self, name: &str, from: &str) {
        self.admit(name, from).await.unwrap().failed().await.unwrap();
    }
}

fn few(account: u32, address: u32) -> Settings {
    Settings {
        login_failures: account,
        login_failures_per_address: address,
        ..Settings::default()
    }
}

fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(test)
}

#[test]
fn an_account_is_closed_after_its_failures_in_every_spelling_and_opens_as_they_age() {
    run(async {
        let bench = bench(few(3, 100));
        for name in ["alice", "Alice", " ALICE"] {
            bench.fail(name, HOME).await;
            bench.clock.advance(Duration::from_secs(10));
        }
        // From anywhere; 30 s of 900 are over, half a second less is still a whole one.
        bench.clock.advance(Duration::from_millis(500));
        for name in ["alice", "ａlice"] {
            match bench.admit(name, "2001:db8::1").await {
                Err(Refused::TooMany {
                    scope: Scope::Account,
                    retry_after: 870,
                }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(bench.admit("bob", HOME).await.is_ok());
        bench.clock.advance(Duration::from_millis(869_499));
        assert!(bench.admit("alice", HOME).await.is_err());
        bench.clock.advance(Duration::from_millis(1));
        bench.fail("alice", HOME).await;
        assert!(bench.admit("alice", HOME).await.is_err());
    });
}

#[test]
fn an_address_is_closed_whatever_names_it_tries() {
    run(async {
        let bench = bench(few(10, 4));
        for (name, last) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            bench.fail(name, &format!("2001:db8::{last}")).await;
        }
        match bench.admit("e", "2001:db8::5").await {
            Err(Refused::TooMany {
                scope: Scope::Address,
                retry_after: 900,
            }) => {}
            other => panic!("{other:?}"),
        }
        assert!(bench.admit("e", "2001:db8:0:1::5").await.is_ok());
    });
}

#[test]
fn a_right_password_clears_the_account_not_the_address() {
    run(async {
        let bench = bench(few(3, 3));
        bench.fail("alice", HOME).await;
        bench.fail("alice", HOME).await;
        bench.admit("alice", HOME).await.unwrap().succeeded().await.unwrap();
        bench.fail("alice", HOME).await;
        match bench.admit("alice", HOME).await {
            Err(Refused::TooMany {
                scope: Scope::Address, ..
            }) => {}
            other => panic!("{other:?}"),
        }
        assert!(bench.admit("alice", "192.0.2.2").await.is_ok());
    });
}

#[test]
fn a_success_without_failures_writes_nothing() {
    run(async {
        let bench = bench(few(3, 3));
        bench.admit("alice", HOME).await.unwrap().succeeded().await.unwrap();
        assert_eq!(bench.fake.calls.load(Ordering::SeqCst), 1, "one reading");
    });
}

/// Fifty at once: each admitted one holds its place over some turns of the scheduler, as a hash would.
async fn fifty(bench: &Bench, right: bool) -> (usize, usize, usize) {
    let (tried, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let under_way = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..50 {
        let throttle = bench.throttle.clone();
        let (tried, most, under_way) = (Arc::clone(&tried), Arc::clone(&most), Arc::clone(&under_way));
        tasks.push(tokio::spawn(async move {
            let attempt = throttle.admit("alice", HOME.parse().unwrap()).await?;
            tried.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            under_way.fetch_sub(1, Ordering::SeqCst);
            if right {
                attempt.succeeded().await.unwrap();
            } else {
                attempt.failed().await.unwrap();
            }
            Ok::<(), Refused>(())
        }));
    }
    let mut refused = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => {}
            Err(Refused::TooMany { .. }) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    (tried.load(Ordering::SeqCst), refused, most.load(Ordering::SeqCst))
}

#[test]
fn fifty_parallel_guesses_get_exactly_the_limit() {
    run(async {
        for _ in 0..20 {
            let bench = bench(few(10, 1000));
            bench.fail("alice", HOME).await;
            assert_eq!(fifty(&bench, false).await.0, 9);
            assert_eq!(
                bench.throttle.0.places.len(),
                0,
                "nothing is remembered of who has left"
            );
        }
    });
}

#[test]
fn fifty_parallel_right_passwords_all_come_in_in_turns() {
    run(async {
        for _ in 0..20 {
            let bench = bench(few(10, 1000));
            for _ in 0..4 {
                bench.fail("alice", HOME).await;
            }
            let (tried, refused, most) = fifty(&bench, true).await;
            assert_eq!((tried, refused), (50, 0));
            assert!(most <= 10, "{most}");
        }
    });
}

#[test]
fn who_goes_away_gives_up_the_place() {
    run(async {
        let bench = bench(few(1, 1000));
        let first = bench.admit("alice", HOME).await.unwrap();
        let throttle = bench.throttle.clone();
        let second = tokio::spawn(async move { throttle.admit("alice", HOME.parse().unwrap()).await });
        while bench.fake.calls.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        drop(first);
        assert!(second.await.unwrap().is_ok());
        assert!(bench.fake.lock().failures.is_empty());
    });
}

#[test]
fn a_crowd_on_one_account_is_bounded() {
    run(async {
        let bench = bench(few(1, 1000));
        let first = bench.admit("alice", HOME).await.unwrap();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let throttle = bench.throttle.clone();
                tokio::spawn(async move { throttle.admit("alice", HOME.parse().unwrap()).await.map(drop) })
            })
            .collect();
        while tasks.iter().filter(|task| task.is_finished()).count() < 36 {
            tokio::task::yield_now().await;
        }
        first.failed().await.unwrap();
        let mut results = [0, 0];
        for task in tasks {
            match task.await.unwrap() {
                Err(Refused::Busy) => results[0] += 1,
                Err(Refused::TooMany { .. }) => results[1] += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(results, [36, 64]);
    });
}

#[test]
fn a_store_that_is_down_lets_nobody_try() {
    run(async {
        let bench = bench(few(3, 3));
        let attempt = bench.admit("alice", HOME).await.unwrap();
        bench.fake.down.store(true, Ordering::SeqCst);
        assert!(matches!(bench.admit("alice", HOME).await, Err(Refused::Store(_))));
        assert!(attempt.failed().await.is_err());
        bench.fake.down.store(false, Ordering::SeqCst);
        assert!(bench.admit("alice", HOME).await.is_ok());
    });
}

#[test]
fn old_failures_are_forgotten() {
    run(async {
        let bench = bench(Settings::default());
        bench.fail("alice", HOME).await;
        bench.clock.advance(Duration::from_secs(901));
        bench.fail("bob", HOME).await;
        assert_eq!(bench.throttle.forget().await.unwrap(), 2);
        assert_eq!(bench.fake.lock().failures.len(), 2);
    });
}
