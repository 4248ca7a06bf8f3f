//! When to try again.

use std::time::Duration;

/// The longest wait between two attempts.
const AT_MOST: Duration = Duration::from_secs(3600);

/// How long to wait after the attempt of this number (the first is 1): `first`, then twice as long each time, an hour at
/// most; of that between three quarters and the whole, as `luck` (0 to 255) has it, so that what failed together does not
/// come again together.
pub fn backoff(first: Duration, attempt: i64, luck: u8) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1).clamp(0, 30)).unwrap_or(30);
    let whole = first
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(AT_MOST.max(first));
    whole
        .saturating_mul(3)
        .saturating_add(whole.saturating_mul(u32::from(luck)) / 255)
        / 4
}
