//! Is a timestamp inside the tolerance, on both sides of the clock?
//!
//! Source: Standard Webhooks specification, "Verifying webhook authenticity"; several SDKs check only the past, which
//! lets a signed request from the future be kept and replayed later, so both sides are always checked here.
//! Must never read a clock.

use crate::reject::Reject;

/// Checks `timestamp` against `now`, both in unix seconds, with an inclusive `tolerance` in seconds.
///
/// # Errors
/// [`Reject::TimestampTooOld`] or [`Reject::TimestampInFuture`].
pub const fn check(timestamp: u64, now: u64, tolerance: u64) -> Result<(), Reject> {
    if now.saturating_sub(timestamp) > tolerance {
        Err(Reject::TimestampTooOld)
    } else if timestamp.saturating_sub(now) > tolerance {
        Err(Reject::TimestampInFuture)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    #[test]
    fn accepts_both_edges_of_the_window() {
        assert_eq!(check(NOW - 300, NOW, 300), Ok(()));
        assert_eq!(check(NOW + 300, NOW, 300), Ok(()));
    }

    #[test]
    fn rejects_a_timestamp_one_second_past_the_window() {
        assert_eq!(check(NOW - 301, NOW, 300), Err(Reject::TimestampTooOld));
        assert_eq!(check(NOW + 301, NOW, 300), Err(Reject::TimestampInFuture));
    }

    #[test]
    fn cannot_be_overflowed() {
        assert_eq!(check(u64::MAX, NOW, 300), Err(Reject::TimestampInFuture));
        assert_eq!(check(0, u64::MAX, 300), Err(Reject::TimestampTooOld));
    }
}
