//! The only place that reads a clock.
//!
//! Everyone else takes `now` as an argument, so that every decision about time can be tested at its boundary.
//! Must never be imported by `check/`.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01T00:00:00Z by the machine's wall clock; 0 for a clock set before that.
#[expect(clippy::disallowed_methods, reason = "this module is the one reader of the wall clock")]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Milliseconds since 1970-01-01T00:00:00Z, for log lines.
#[expect(clippy::disallowed_methods, reason = "this module is the one reader of the wall clock")]
pub fn unix_now_millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A point on the monotonic clock, for durations and rates.
#[expect(clippy::disallowed_methods, reason = "this module is the one reader of the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970 as `2026-01-02T03:04:05.678Z` (RFC 3339).
#[derive(Debug, Clone, Copy)]
pub struct Rfc3339(pub u64);

impl std::fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, millis) = (self.0.wrapping_div(1000), self.0.wrapping_rem(1000));
        let (days, second) = (seconds.wrapping_div(86_400), seconds.wrapping_rem(86_400));
        let (hour, minute) = (second.wrapping_div(3600), second.wrapping_rem(3600).wrapping_div(60));
        // Days to a civil date (Hinnant, "chrono-compatible low-level date algorithms"), years from March.
        let shifted = days.wrapping_add(719_468);
        let (era, day_of_era) = (shifted.wrapping_div(146_097), shifted.wrapping_rem(146_097));
        let leap = |days: u64| days.wrapping_div(1460).wrapping_sub(days.wrapping_div(36_524)).wrapping_add(days.wrapping_div(146_096));
        let year_of_era = day_of_era.wrapping_sub(leap(day_of_era)).wrapping_div(365);
        let before = year_of_era
            .wrapping_mul(365)
            .wrapping_add(year_of_era.wrapping_div(4))
            .wrapping_sub(year_of_era.wrapping_div(100));
        let day_of_year = day_of_era.wrapping_sub(before);
        let shifted_month = day_of_year.wrapping_mul(5).wrapping_add(2).wrapping_div(153);
        let day = day_of_year.wrapping_sub(shifted_month.wrapping_mul(153).wrapping_add(2).wrapping_div(5)).wrapping_add(1);
        let month = if shifted_month < 10 { shifted_month.wrapping_add(3) } else { shifted_month.wrapping_sub(9) };
        let year = year_of_era.wrapping_add(era.wrapping_mul(400)).wrapping_add(u64::from(month <= 2));
        let second = second.wrapping_rem(60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_known_dates() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_614_265_330_123, "2021-02-25T15:02:10.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Rfc3339(millis).to_string(), text);
        }
    }
}
