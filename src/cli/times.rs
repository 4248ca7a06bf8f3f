//! Times for people: RFC 3339 in UTC, and how far away.

use std::time::Duration;

pub use crate::clock::rfc3339;

/// A time as RFC 3339 has it, for a table: a dash where there is none.
pub fn or_dash(unix_millis: Option<i64>) -> String {
    unix_millis.and_then(rfc3339).unwrap_or_else(|| "-".to_owned())
}

/// How far from `now`: `in 12m 3s`, `5days 2h ago`, `now`. Two units are enough.
pub fn distance(unix_millis: i64, now: i64) -> String {
    let seconds = unix_millis.div_euclid(1000).saturating_sub(now.div_euclid(1000));
    let span = humantime::format_duration(Duration::from_secs(seconds.unsigned_abs())).to_string();
    let short = span.split(' ').take(2).collect::<Vec<_>>().join(" ");
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {short}"),
        _ => format!("{short} ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc_and_by_distance() {
        assert_eq!(rfc3339(1_500).as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!((rfc3339(i64::MIN), or_dash(None).as_str()), (None, "-"));
        assert_eq!(distance(3_723_000, 0), "in 1h 2m");
        assert_eq!(distance(0, 90_061_000), "1day 1h ago");
        assert_eq!(distance(900, 0), "now");
    }
}
