//! Rate limits of routes: how often one client, or one user, may ask.
//!
//! Each replica counts for itself. The rule is the generic cell rate algorithm (ITU-T I.371), a token bucket that needs one
//! number for each who asks: when its bucket will be full again. Who has not asked for `per` has a full bucket, and is
//! forgotten.

mod key;
mod shard;

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use key::Key;
use key::Keys;
use shard::Shard;

/// Parts with a lock each, so that workers seldom meet.
const SHARDS: usize = 16;

/// `routes[].rate_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many requests, at once or spread …
    pub requests: NonZeroU32,
    /// … in this time.
    pub per: Duration,
    /// Who is counted apart.
    pub by: By,
}

/// Who is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Each client address; of IPv6, each network of 64 bits, for that is what one client has.
    Client,
    /// Each user; who is nobody in particular, by the client's address.
    User,
}

/// A route's limit, with who has asked of late.
#[derive(Debug)]
pub struct Limiter {
    settings: Settings,
    /// Times are counted from here.
    began: Instant,
    keys: Keys,
    shards: [Mutex<Shard>; SHARDS],
}

impl Limiter {
    /// A limit that nobody has used yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            began: Instant::now(),
            keys: Keys::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// What it limits.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Counts a request that came at this time. If it is one too many: the seconds until the next one may come.
    ///
    /// # Errors
    /// It is one too many.
    pub fn count(&self, key: Key<'_>, now: Instant) -> Result<(), u32> {
        let now = nanos(now.saturating_duration_since(self.began));
        let per = nanos(self.settings.per).max(1);
        // What one request costs, and how far ahead of time one may be: all but one of the requests at once.
        let cost = (per / u64::from(self.settings.requests.get())).max(1);
        let slack = per.saturating_sub(cost);
        let (shard, key) = self.keys.place(key, SHARDS);
        let Some(shard) = self.shards.get(shard) else {
            return Ok(());
        };
        let wait = shard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(key, now, cost, slack);
        match wait {
            0 => Ok(()),
            nanos => Err(u32::try_from(nanos.div_ceil(1_000_000_000)).unwrap_or(u32::MAX)),
        }
    }

    /// How many are remembered.
    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn limiter(requests: u32, per: Duration) -> Limiter {
        Limiter::new(Settings {
            requests: NonZeroU32::new(requests).unwrap(),
            per,
            by: By::Client,
        })
    }

    fn client(text: &str) -> Key<'static> {
        Key::Client(text.parse().ok())
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_passes_and_then_one_at_a_time() {
        let limiter = limiter(4, SECOND);
        let start = limiter.began + 100 * SECOND;
        let ask = |millis| limiter.count(client("10.0.0.1"), start + Duration::from_millis(millis));
        assert_eq!([0, 0, 0, 0].map(ask), [Ok(()); 4]);
        assert_eq!(ask(0), Err(1));
        assert_eq!(ask(249), Err(1));
        // Refused ones cost nothing.
        assert_eq!([250, 250].map(ask), [Ok(()), Err(1)]);
        assert_eq!([500, 750, 1000].map(ask), [Ok(()); 3]);
        // After a quiet time the burst is there again, and no more than it.
        assert_eq!([90_000; 5].map(ask), [Ok(()), Ok(()), Ok(()), Ok(()), Err(1)]);
        // In any second that begins after a burst no more than the rate passes.
        let passed = (0..1000).filter(|millis| ask(91_000 + millis).is_ok()).count();
        assert!((4..=8).contains(&passed), "{passed}");
    }

    #[test]
    fn who_waits_is_told_for_how_long() {
        let limiter = limiter(2, 60 * SECOND);
        let start = limiter.began + SECOND;
        let ask = |seconds| limiter.count(client("10.0.0.1"), start + seconds * SECOND);
        assert_eq!([0, 10].map(ask), [Ok(()), Ok(())]);
        assert_eq!(ask(10), Err(20));
        assert_eq!(ask(29), Err(1));
        assert_eq!(ask(30), Ok(()));
        // A clock that stands still or turns back gives nothing away.
        assert_eq!(ask(0), Err(60));
    }

    #[test]
    fn everybody_has_a_bucket_of_their_own() {
        let limiter = limiter(1, SECOND);
        let now = limiter.began + SECOND;
        let user = |issuer, subject| Key::User { issuer, subject };
        for key in [
            client("10.0.0.1"),
            client("10.0.0.2"),
            client("2001:db8::1"),
            client("2001:db8:0:1::1"),
            Key::Client(None),
            user(None, "1"),
            user(None, "2"),
            user(Some("https://idp.example"), "1"),
            user(Some("https://idp.exampl"), "e1"),
        ] {
            assert_eq!(limiter.count(key, now), Ok(()), "{key:?}");
            assert_eq!(limiter.count(key, now), Err(1), "{key:?}");
        }
        // One client has a whole network of addresses, or is seen through a mapped one.
        assert_eq!(limiter.count(client("2001:db8::ffff:1"), now), Err(1));
        assert_eq!(limiter.count(client("::ffff:10.0.0.1"), now), Err(1));
    }

    #[test]
    fn memory_is_bounded_and_the_busiest_are_not_forgotten() {
        let limiter = limiter(1, SECOND);
        let now = limiter.began + SECOND;
        let address = |number: u32| Key::Client(Some(IpAddr::V4(Ipv4Addr::from_bits(number))));
        for number in 0..200_000 {
            limiter.count(address(number), now).unwrap();
        }
        let full = limiter.remembered();
        assert!(full <= SHARDS * shard::AT_MOST, "{full}");
        // They are idle now, and make room.
        for number in 300_000..310_000 {
            limiter.count(address(number), now + 5 * SECOND).unwrap();
        }
        assert!(limiter.remembered() <= 30_000, "{}", limiter.remembered());
    }

    #[test]
    fn workers_together_let_no_more_pass() {
        let limiter = limiter(100, 3600 * SECOND);
        let now = limiter.began + SECOND;
        let passed: usize = std::thread::scope(|scope| {
            let ask = || {
                (0..100)
                    .filter(|_| limiter.count(client("10.0.0.1"), now).is_ok())
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 100);
    }
}
