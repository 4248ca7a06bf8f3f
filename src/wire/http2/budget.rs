//! How much a client may ask for without bringing work along.

use std::time::{Duration, Instant};

/// Tokens that are spent one at a time and come back with time and with useful work. The clock is read only when all are
/// spent, which an ordinary connection never comes to.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    full: u32,
    /// Tokens that come back each second.
    per_second: u32,
    /// When time was last turned into tokens.
    since: Instant,
}

impl Budget {
    /// Frames that ask for work and bring none: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, RST_STREAM of what is over,
    /// GOAWAY, unknown types. A browser sends some dozen at the start and a few with each request. What belongs to data is
    /// paid by it: see [`Budget::earn`].
    pub(super) fn control() -> Self {
        Self::new(1000, 100)
    }

    /// Requests that the client takes back while they are served. A browser that leaves a page takes back what is under way,
    /// at most a hundred and some at once; a page of thumbnails that is scrolled takes back a few each second.
    pub(super) fn resets() -> Self {
        Self::new(500, 20)
    }

    fn new(full: u32, per_second: u32) -> Self {
        Self {
            left: full,
            full,
            per_second,
            since: Instant::now(),
        }
    }

    /// Takes one; false: all are spent.
    pub(super) fn spend(&mut self) -> bool {
        if self.left == 0 {
            let now = Instant::now();
            self.refill(now.saturating_duration_since(self.since));
            self.since = now;
        }
        let taken = self.left.checked_sub(1);
        self.left = taken.unwrap_or(0);
        taken.is_some()
    }

    /// Gives so many back: work was done.
    pub(super) fn earn(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.full);
    }

    fn refill(&mut self, elapsed: Duration) {
        let tokens = elapsed.as_millis().saturating_mul(self.per_second.into()) / 1000;
        self.earn(u32::try_from(tokens).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_work_refill_what_was_spent() {
        let mut budget = Budget::new(3, 2);
        // Only the test's own refills count.
        let far = Instant::now() + Duration::from_secs(3600);
        budget.since = far;
        assert!((0..3).all(|_| budget.spend()));
        budget.since = far;
        assert!(!budget.spend());
        budget.refill(Duration::from_millis(900));
        assert_eq!(budget.left, 1);
        budget.refill(Duration::from_secs(3600));
        assert_eq!(budget.left, 3, "never more than full");
        budget.left = 0;
        budget.earn(2);
        assert!(budget.spend() && budget.spend());
    }
}
