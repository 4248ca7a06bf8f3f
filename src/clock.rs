//! The time of day, passed in wherever time decides, so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time in Unix milliseconds as RFC 3339 has it, in UTC, to the second; `None`: none that a calendar has.
pub fn rfc3339(unix_millis: i64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp(unix_millis.div_euclid(1000)).ok()?;
    moment.format(&Rfc3339).ok()
}

/// A source of the current time: the system's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `unix_millis` until [`Clock::advance`] or [`Clock::set`] moves it.
    /// Clones share their time.
    pub fn manual(unix_millis: i64) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(unix_millis))))
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_millis(&self) -> i64 {
        match &self.0 {
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Source::Manual(millis) => millis.load(Ordering::SeqCst),
        }
    }

    /// Whole seconds since the Unix epoch: what `iat`, `nbf` and `exp` count in (RFC 7519 section 2, NumericDate).
    pub fn unix_seconds(&self) -> i64 {
        self.unix_millis().div_euclid(1000)
    }

    /// Moves a manual clock forward; the system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(millis) = &self.0 {
            millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock, forwards or backwards; the system's clock is left alone.
    pub fn set(&self, unix_millis: i64) {
        if let Source::Manual(millis) = &self.0 {
            millis.store(unix_millis, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_is_shared_by_its_clones() {
        let clock = Clock::manual(1_999);
        let other = clock.clone();
        assert_eq!((clock.unix_millis(), clock.unix_seconds()), (1_999, 1));
        other.advance(Duration::from_millis(1));
        assert_eq!((clock.unix_millis(), clock.unix_seconds()), (2_000, 2));
        clock.set(-1);
        assert_eq!(other.unix_seconds(), -1);
    }
}
