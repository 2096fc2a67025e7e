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
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A point on the monotonic clock, for durations and rates.
#[expect(clippy::disallowed_methods, reason = "this module is the one reader of the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}
