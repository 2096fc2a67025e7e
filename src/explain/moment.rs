//! Moments and spans of time as people type and read them.
//!
//! Must never read a clock. Source: RFC 3339 §5.6; days by Hinnant, "chrono-compatible low-level date algorithms".

use toml::value::{Datetime, Offset};

use crate::civil;

/// Unix seconds beyond this are milliseconds (the year 5138).
pub(super) const LATEST: u64 = 100_000_000_000;
/// Unix seconds before this are something else (the year 2001): no sender of webhooks is as old.
pub(super) const EARLIEST: u64 = 978_307_200;
/// Units of a span in seconds, with the word for one of them.
const UNITS: &[(&str, u64)] = &[("year", 31_536_000), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)];

/// Reads unix seconds or a date with its offset, such as `2026-01-02T03:04:05Z`.
///
/// # Errors
/// What to write instead.
pub(crate) fn parse(text: &str) -> Result<u64, &'static str> {
    const FORMS: &str = "write unix seconds, or a date such as 2026-01-02T03:04:05Z";
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse() {
            Ok(seconds) if seconds < LATEST => Ok(seconds),
            Ok(_) => Err("these look like milliseconds: leave out the last three digits"),
            Err(_) => Err(FORMS),
        };
    }
    text.parse().ok().and_then(|date: Datetime| seconds(&date)).ok_or(FORMS)
}

/// Reads a span: `300`, `300s`, `5m` or `1h`, in seconds.
///
/// # Errors
/// What to write instead.
pub(crate) fn parse_span(text: &str) -> Result<u64, &'static str> {
    let (digits, unit) = match text.as_bytes() {
        [digits @ .., b'm'] => (digits, 60),
        [digits @ .., b'h'] => (digits, 3600),
        [digits @ .., b's'] | digits => (digits, 1),
    };
    // `parse` alone would take a leading `+`.
    let number = str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = number.and_then(|number| number.parse::<u64>().ok()).and_then(|number| number.checked_mul(unit));
    seconds.ok_or("write seconds, or a number with s, m or h: \"5m\"")
}

/// A span in the two largest units that it has: `3 hours 20 minutes`.
pub(crate) fn span(seconds: u64) -> String {
    let mut left = seconds;
    let mut parts = Vec::new();
    for (name, unit) in UNITS {
        let count = left.checked_div(*unit).unwrap_or_default();
        left = left.saturating_sub(count.saturating_mul(*unit));
        if count > 0 {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        } else if !parts.is_empty() {
            // After `1 year`, ten seconds are not worth a word.
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
}

/// `None`: no offset, so it is not known which moment is meant, or before 1970.
fn seconds(date: &Datetime) -> Option<u64> {
    let (day, time, offset) = (date.date?, date.time?, date.offset?);
    let east = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes).checked_mul(60)?,
    };
    let days = civil::days_since_1970(i64::from(day.year), i64::from(day.month), i64::from(day.day));
    let hours = days.checked_mul(24)?.checked_add(i64::from(time.hour))?;
    let minutes = hours.checked_mul(60)?.checked_add(i64::from(time.minute))?;
    let seconds = minutes.checked_mul(60)?.checked_add(i64::from(time.second.unwrap_or_default()))?;
    u64::try_from(seconds.checked_sub(east)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_seconds_and_dates() {
        for (text, expected) in [
            ("0", 0),
            ("1614265330", 1_614_265_330),
            ("2021-02-25T15:02:10Z", 1_614_265_330),
            ("2021-02-25T16:02:10.5+01:00", 1_614_265_330),
            ("2021-02-25 15:02:10Z", 1_614_265_330),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_one_moment() {
        for text in ["", "now", "+1614265330", "-1", "1.5", "2021-02-25", "2021-02-25T15:02:10", "2021-02-30T00:00:00Z"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("1969-12-31T23:59:59Z").is_err());
        assert!(parse("1614265330123").unwrap_err().contains("milliseconds"));
    }

    #[test]
    fn a_date_is_what_the_clock_would_show() {
        for seconds in [0, 951_825_600, 1_614_265_330, 1_709_164_800, 4_107_542_400] {
            let shown = crate::civil::Civil::of(seconds * 1000).to_string();
            let typed = shown.replace(" UTC", "Z").replace(' ', "T");
            assert_eq!(parse(&typed), Ok(seconds), "{typed}");
        }
    }

    #[test]
    fn reads_spans() {
        for (text, expected) in [("300", 300), ("300s", 300), ("5m", 300), ("1h", 3600), ("0", 0)] {
            assert_eq!(parse_span(text), Ok(expected), "{text}");
        }
        for text in ["", "s", "+5", "5 m", "5d", "1.5h", "99999999999999999999", "9999999999999999999h"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shows_at_most_two_units() {
        for (seconds, expected) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (840, "14 minutes"),
            (12_010, "3 hours 20 minutes"),
            (86_401, "1 day"),
            (31_536_000 * 5 + 86_400 * 3, "5 years 3 days"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }
}
