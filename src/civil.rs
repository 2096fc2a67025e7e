//! Dates in UTC, computed from unix time.
//!
//! Must never read a clock. Source: Hinnant, "chrono-compatible low-level date algorithms".

/// A date and time of day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Civil {
    pub year: u64,
    pub month: u64,
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
    pub milli: u64,
}

impl Civil {
    /// From milliseconds since 1970 (Hinnant, "chrono-compatible low-level date algorithms": years begin in March).
    pub const fn of(millis: u64) -> Self {
        let (seconds, milli) = (millis.wrapping_div(1000), millis.wrapping_rem(1000));
        let (days, second) = (seconds.wrapping_div(86_400), seconds.wrapping_rem(86_400));
        let shifted = days.wrapping_add(719_468);
        let (era, day_of_era) = (shifted.wrapping_div(146_097), shifted.wrapping_rem(146_097));
        let leap_days = day_of_era
            .wrapping_div(1460)
            .wrapping_sub(day_of_era.wrapping_div(36_524))
            .wrapping_add(day_of_era.wrapping_div(146_096));
        let year_of_era = day_of_era.wrapping_sub(leap_days).wrapping_div(365);
        let before = year_of_era
            .wrapping_mul(365)
            .wrapping_add(year_of_era.wrapping_div(4))
            .wrapping_sub(year_of_era.wrapping_div(100));
        let day_of_year = day_of_era.wrapping_sub(before);
        let march_month = day_of_year.wrapping_mul(5).wrapping_add(2).wrapping_div(153);
        let month = if march_month < 10 { march_month.wrapping_add(3) } else { march_month.wrapping_sub(9) };
        let year = year_of_era.wrapping_add(era.wrapping_mul(400));
        Self {
            year: if month <= 2 { year.wrapping_add(1) } else { year },
            month,
            day: day_of_year
                .wrapping_sub(march_month.wrapping_mul(153).wrapping_add(2).wrapping_div(5))
                .wrapping_add(1),
            hour: second.wrapping_div(3600),
            minute: second.wrapping_rem(3600).wrapping_div(60),
            second: second.wrapping_rem(60),
            milli,
        }
    }
}

/// `2026-01-02 03:04:05 UTC`.
impl std::fmt::Display for Civil {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { year, month, day, hour, minute, second, .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

/// `2026-01-02T03:04:05Z` (RFC 3339), of unix seconds.
pub fn rfc3339(unix_seconds: u64) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::of(unix_seconds.saturating_mul(1000));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days from 1970-01-01 to a date. Years begin in March here, so that a leap day is the last of its year.
pub(crate) const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year.wrapping_sub(1) } else { year };
    let era = year.wrapping_div(400);
    let year_of_era = year.wrapping_sub(era.wrapping_mul(400));
    let march_month = if month > 2 { month.wrapping_sub(3) } else { month.wrapping_add(9) };
    let day_of_year = march_month.wrapping_mul(153).wrapping_add(2).wrapping_div(5).wrapping_add(day).wrapping_sub(1);
    let day_of_era = year_of_era
        .wrapping_mul(365)
        .wrapping_add(year_of_era.wrapping_div(4))
        .wrapping_sub(year_of_era.wrapping_div(100))
        .wrapping_add(day_of_year);
    era.wrapping_mul(146_097).wrapping_add(day_of_era).wrapping_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_known_dates() {
        for (millis, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_614_265_330_123, "2021-02-25 15:02:10 UTC"),
            (4_107_542_399_999, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(Civil::of(millis).to_string(), text);
        }
        assert_eq!(rfc3339(1_614_265_330), "2021-02-25T15:02:10Z");
    }
}
