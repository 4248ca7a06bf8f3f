//! Whether a server is fit for requests: what active checks say of it, and what requests themselves ran into.
//!
//! Requests notice a dead server before any check does, and checks notice one that accepts connections and answers with
//! faults. Both keep their own verdict here; a server is fit if neither is against it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::HealthCheck;

/// How long a server that failed is left alone: at first, doubled with each failure that follows, and at most. A restart of
/// a backend takes seconds; one that is gone for good should cost a request now and then, no more.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Fresh connections that broke before any byte of an answer, without an answer between them, until a server counts as
/// failing. One may be the fault of the request that was on it: whoever sends such a request must not take servers out.
const BREAKS_IN_A_ROW: u32 = 3;

/// What is known about the fitness of one server.
#[derive(Debug)]
pub(super) struct Health {
    /// Whether there is anything in the state that a good server has not: nothing else is read for each request.
    trouble: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What the checks say.
    passing: bool,
    /// Checks in a row that say otherwise.
    against: u32,
    pause: Option<Pause>,
    /// Fresh connections in a row that broke without an answer.
    breaks: u32,
}

/// A server that is left alone because requests failed.
#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    /// How often in a row.
    times: u32,
    /// Whether it could not be connected to: then a connection is proof enough that it is back.
    unreachable: bool,
}

/// Whether a request should go to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitness {
    /// Nothing is against it.
    Fit,
    /// It failed, and its pause is over: one request may find out.
    Doubtful,
    /// It fails its checks, or its pause is not over.
    Unfit,
}

/// Who is talked about in the log.
#[derive(Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) upstream: &'a str,
    pub(super) server: &'a (dyn fmt::Display + Sync),
}

impl Default for Health {
    fn default() -> Self {
        Self {
            trouble: AtomicBool::new(false),
            state: Mutex::new(State {
                passing: true,
                against: 0,
                pause: None,
                breaks: 0,
            }),
        }
    }
}

impl Health {
    pub(super) fn fitness(&self) -> Fitness {
        if !self.trouble.load(Ordering::Relaxed) {
            return Fitness::Fit;
        }
        let state = self.state();
        match state.pause {
            _ if !state.passing => Fitness::Unfit,
            None => Fitness::Fit,
            Some(pause) if now() < pause.until => Fitness::Unfit,
            Some(_) => Fitness::Doubtful,
        }
    }

    /// Whether it is fit as far as is known, as the metric tells it: a pause that is over proves nothing yet.
    pub(super) fn is_good(&self) -> bool {
        self.state().is_good()
    }

    /// Takes the right to be the one request that finds out about a doubtful server. It lapses by itself after `lease`, for
    /// a request may go away before it knows.
    pub(super) fn claim(&self, lease: Duration) -> bool {
        let mut state = self.state();
        let now = now();
        match &mut state.pause {
            Some(pause) if pause.until <= now => {
                pause.until = now + lease.max(FIRST_PAUSE);
                true
            }
            Some(_) | None => false,
        }
    }

    /// It could not be connected to. Of many requests that fail together, the first one counts; `probing` tells the one that
    /// was sent to find out.
    pub(super) fn unreachable(&self, probing: bool, who: Who<'_>, why: &dyn fmt::Display) {
        self.change(who, |state| state.fail(probing, true), why);
    }

    /// A fresh connection broke before any byte of an answer.
    pub(super) fn broke(&self, probing: bool, who: Who<'_>, why: &dyn fmt::Display) {
        let fail = |state: &mut State| {
            state.breaks = state.breaks.saturating_add(1);
            if probing || state.breaks >= BREAKS_IN_A_ROW {
                state.fail(probing, false);
            }
        };
        self.change(who, fail, why);
    }

    /// It was connected to.
    pub(super) fn connected(&self, who: Who<'_>) {
        if self.trouble.load(Ordering::Relaxed) {
            let clear = |state: &mut State| {
                state.pause.take_if(|pause| pause.unreachable);
            };
            self.change(who, clear, &"it can be connected to again");
        }
    }

    /// It answered, whatever the answer.
    pub(super) fn answered(&self, who: Who<'_>) {
        if self.trouble.load(Ordering::Relaxed) {
            let clear = |state: &mut State| {
                state.pause = None;
                state.breaks = 0;
            };
            self.change(who, clear, &"it answers again");
        }
    }

    /// A check was made. One that passes also ends the pause of a server that passes its checks.
    pub(super) fn checked(&self, passed: bool, settings: &HealthCheck, who: Who<'_>, why: &dyn fmt::Display) {
        if passed && !self.trouble.load(Ordering::Relaxed) {
            return;
        }
        let count = |state: &mut State| {
            if state.passing == passed {
                state.against = 0;
            } else {
                state.against = state.against.saturating_add(1);
                let enough = if passed {
                    settings.healthy_after
                } else {
                    settings.unhealthy_after
                };
                if state.against >= enough {
                    state.passing = passed;
                    state.against = 0;
                }
            }
            if passed && state.passing {
                state.pause = None;
                state.breaks = 0;
            }
        };
        self.change(who, count, why);
    }

    /// There are no checks any more: what they said is forgotten.
    pub(super) fn unchecked(&self, who: Who<'_>) {
        if self.trouble.load(Ordering::Relaxed) {
            let forget = |state: &mut State| {
                state.passing = true;
                state.against = 0;
            };
            self.change(who, forget, &"it is not checked any more");
        }
    }

    /// Changes the state; says so where the server became fit or unfit by it.
    fn change(&self, who: Who<'_>, change: impl FnOnce(&mut State), why: &dyn fmt::Display) {
        let mut state = self.state();
        let before = state.is_good();
        change(&mut state);
        let after = state.is_good();
        let clean = after && state.against == 0 && state.breaks == 0;
        self.trouble.store(!clean, Ordering::Relaxed);
        drop(state);
        let Who { upstream, server } = who;
        match (before, after) {
            (true, false) => tracing::warn!(upstream, %server, reason = %why, "a server is unhealthy"),
            (false, true) => tracing::info!(upstream, %server, reason = %why, "a server is healthy again"),
            (true, true) | (false, false) => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time. Tests skip some of it, each on its own thread.
fn now() -> Instant {
    #[cfg(test)]
    return Instant::now() + SKIPPED.get();
    #[cfg(not(test))]
    Instant::now()
}

#[cfg(test)]
thread_local! {
    static SKIPPED: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
}

/// Lets this much time pass, as far as the fitness of servers goes.
#[cfg(test)]
pub(super) fn skip(time: Duration) {
    SKIPPED.set(SKIPPED.get() + time);
}

impl State {
    fn is_good(&self) -> bool {
        self.passing && self.pause.is_none()
    }

    fn fail(&mut self, probing: bool, unreachable: bool) {
        let now = now();
        let times = match self.pause {
            // It is left alone already: this one was under way before that was known.
            Some(pause) if !probing && now < pause.until => return,
            Some(pause) => pause.times.saturating_add(1),
            None => 1,
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << (times - 1).min(5)).min(LONGEST_PAUSE);
        self.pause = Some(Pause {
            until: now + pause,
            times,
            unreachable,
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const WHO: Who<'static> = Who {
        upstream: "test",
        server: &"server",
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_server_that_fails_is_left_alone_for_longer_and_longer() {
        let health = Health::default();
        assert_eq!(health.fitness(), Fitness::Fit);
        // Many fail together: that is one failure.
        for _ in 0..100 {
            health.unreachable(false, WHO, &"refused");
        }
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(health.fitness(), Fitness::Unfit, "{pause}");
            assert!(!health.claim(seconds(1)));
            skip(seconds(pause) - Duration::from_millis(50));
            assert_eq!(health.fitness(), Fitness::Unfit, "{pause}");
            skip(Duration::from_millis(50));
            assert_eq!(health.fitness(), Fitness::Doubtful, "{pause}");
            assert!(!health.is_good());
            // One finds out, the others stay away from it meanwhile.
            assert!(health.claim(seconds(5)));
            assert!(!health.claim(seconds(5)));
            assert_eq!(health.fitness(), Fitness::Unfit);
            health.unreachable(false, WHO, &"a straggler");
            health.unreachable(true, WHO, &"refused");
        }
        health.connected(WHO);
        assert_eq!((health.fitness(), health.is_good()), (Fitness::Fit, true));
        health.unreachable(false, WHO, &"refused");
        skip(seconds(1));
        assert_eq!(health.fitness(), Fitness::Doubtful, "it begins anew");
    }

    #[test]
    fn a_request_that_went_away_while_it_found_out_is_followed_by_another() {
        let health = Health::default();
        health.unreachable(false, WHO, &"refused");
        skip(seconds(1));
        assert!(health.claim(seconds(5)));
        skip(seconds(5));
        assert_eq!(health.fitness(), Fitness::Doubtful);
        assert!(health.claim(seconds(5)));
        health.answered(WHO);
        assert_eq!(health.fitness(), Fitness::Fit);
    }

    #[test]
    fn one_broken_connection_proves_nothing_and_several_in_a_row_do() {
        let health = Health::default();
        for _ in 0..5 {
            health.broke(false, WHO, &"reset");
            health.broke(false, WHO, &"reset");
            assert_eq!(health.fitness(), Fitness::Fit);
            health.answered(WHO);
        }
        for _ in 0..3 {
            health.broke(false, WHO, &"reset");
        }
        assert_eq!(health.fitness(), Fitness::Unfit);
        // That it can be connected to is no news.
        health.connected(WHO);
        assert_eq!(health.fitness(), Fitness::Unfit);
        skip(seconds(1));
        assert!(health.claim(seconds(1)));
        health.broke(true, WHO, &"reset");
        skip(seconds(1));
        assert_eq!(health.fitness(), Fitness::Unfit, "two seconds this time");
        skip(seconds(1));
        assert_eq!(health.fitness(), Fitness::Doubtful);
    }

    #[test]
    fn checks_count_in_a_row() {
        let health = Health::default();
        let settings = HealthCheck {
            path: "/up".parse().unwrap(),
            interval: seconds(5),
            timeout: seconds(1),
            unhealthy_after: 3,
            healthy_after: 2,
        };
        let check = |passed| {
            health.checked(passed, &settings, WHO, &"503");
            health.fitness() == Fitness::Fit
        };
        assert_eq!([false, false, true, false, false].map(check), [true; 5]);
        assert!(!check(false));
        // No pause ends this, and no answer.
        skip(seconds(100));
        health.answered(WHO);
        assert_eq!(health.fitness(), Fitness::Unfit);
        assert_eq!([true, false, true].map(check), [false; 3]);
        assert!(check(true));
        // A check that passes ends a pause.
        health.unreachable(false, WHO, &"refused");
        assert!(check(true));
        for _ in 0..3 {
            check(false);
        }
        assert!(!health.is_good());
        health.unchecked(WHO);
        assert!(health.is_good());
    }
}
