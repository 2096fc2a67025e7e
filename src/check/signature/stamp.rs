//! A timestamp: the text that is signed, and the seconds that it means.
//!
//! Strict on purpose: one text per moment and unit, so that nothing can be signed one way and read another. Must never trim,
//! round or accept a sign. Source: RFC 3339 §5.6 (without lower-case letters and leap seconds).

use super::scheme::TimeUnit;
use crate::civil::Civil;

/// Most digits of a number: unix milliseconds until the year 2286.
const MAX_DIGITS: usize = 13;
/// Longest text: a date with nine digits of fraction and an offset.
const MAX_TEXT: usize = 35;
const DAY: u64 = 86_400;

/// A timestamp as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    text: [u8; MAX_TEXT],
    len: usize,
    seconds: u64,
}

impl Stamp {
    /// `None`: not exactly what the unit asks for.
    pub(super) fn parse(text: &[u8], unit: TimeUnit) -> Option<Self> {
        let seconds = match unit {
            TimeUnit::S => number(text)?,
            TimeUnit::Ms => number(text)? / 1000,
            TimeUnit::Rfc3339 => date(text)?,
        };
        let mut copy = [0; MAX_TEXT];
        copy.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { text: copy, len: text.len(), seconds })
    }

    /// As received.
    pub(super) fn text(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }

    /// Whether it is of this age: unix time has ten digits from 2001 to 2286.
    pub(super) fn is_whole(&self, unit: TimeUnit) -> bool {
        match unit {
            TimeUnit::S => self.len == 10,
            TimeUnit::Ms => self.len == 13,
            TimeUnit::Rfc3339 => true,
        }
    }

    /// Unix time.
    pub(super) fn seconds(&self) -> u64 {
        self.seconds
    }
}

/// How a moment, in unix seconds, is written in a unit.
pub fn write(seconds: u64, unit: TimeUnit) -> String {
    match unit {
        TimeUnit::S => seconds.to_string(),
        TimeUnit::Ms => seconds.saturating_mul(1000).to_string(),
        TimeUnit::Rfc3339 => {
            let Civil { year, month, day, hour, minute, second, .. } = Civil::of(seconds.saturating_mul(1000));
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        }
    }
}

/// Plain digits without sign, space, fraction or leading zero.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > MAX_DIGITS || (text.starts_with(b"0") && text.len() > 1) {
        return None;
    }
    digits(text)
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |value, byte| {
        byte.is_ascii_digit().then(|| value.checked_mul(10)?.checked_add(u64::from(byte & 0x0f)))?
    })
}

/// `2021-02-19T23:47:00.8091512Z` or with an offset `-07:00`.
fn date(text: &[u8]) -> Option<u64> {
    let (day, rest) = text.split_at_checked(10)?;
    let (clock, rest) = rest.split_at_checked(9)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = day else { return None };
    let [b'T', h1, h2, b':', n1, n2, b':', s1, s2] = clock else { return None };
    let year = digits(&[*y1, *y2, *y3, *y4])?;
    let month = digits(&[*m1, *m2])?;
    let date = digits(&[*d1, *d2])?;
    let (hour, minute, second) = (digits(&[*h1, *h2])?, digits(&[*n1, *n2])?, digits(&[*s1, *s2])?);
    let days = days_since_1970(year, month, date)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let local = days.checked_mul(DAY)?.checked_add(of_day(hour, minute, second)?)?;
    let zone = match rest.strip_prefix(b".") {
        None => rest,
        Some(fraction) => {
            let count = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            fraction.get(count..).filter(|_| (1..=9).contains(&count))?
        }
    };
    match zone {
        b"Z" => Some(local),
        [sign @ (b'+' | b'-'), h1, h2, b':', n1, n2] => {
            let (hour, minute) = (digits(&[*h1, *h2])?, digits(&[*n1, *n2])?);
            let offset = (hour <= 23 && minute <= 59).then_some(of_day(hour, minute, 0)?)?;
            if *sign == b'+' { local.checked_sub(offset) } else { local.checked_add(offset) }
        }
        _ => None,
    }
}

/// Seconds since midnight.
fn of_day(hour: u64, minute: u64, second: u64) -> Option<u64> {
    hour.checked_mul(60)?.checked_add(minute)?.checked_mul(60)?.checked_add(second)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_month(year: u64, month: u64) -> Option<u64> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap(year) { 29 } else { 28 }),
        _ => None,
    }
}

/// `None`: no such day, or before 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if day == 0 || day > days_of_month(year, month)? {
        return None;
    }
    let before = year.checked_sub(1)?;
    let leap_days = (before / 4).checked_sub(before / 100)?.checked_add(before / 400)?;
    let since_zero = before.checked_mul(365)?.checked_add(leap_days)?;
    let this_year = (1..month).filter_map(|month| days_of_month(year, month)).sum::<u64>();
    // 719,163 days lie before 1970-01-01 if 0001-01-01 is the first.
    since_zero.checked_add(this_year)?.checked_add(day)?.checked_sub(719_163)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str, unit: TimeUnit) -> Option<u64> {
        Stamp::parse(text.as_bytes(), unit).map(|stamp| {
            assert_eq!(stamp.text(), text.as_bytes());
            stamp.seconds()
        })
    }

    #[test]
    fn reads_a_date_with_any_fraction_and_offset() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2021-02-19T23:47:00.8091512Z", 1_613_778_420),
            ("2020-01-01T00:00:00-07:00", 1_577_862_000),
            ("2020-01-01T05:30:00.123456789+05:30", 1_577_836_800),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(seconds(text, TimeUnit::Rfc3339), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_almost_a_date() {
        for text in [
            "",
            "2020-01-01",
            "2020-01-01T00:00:00",
            "2020-01-01 00:00:00Z",
            "2020-01-01t00:00:00z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00.1234567890Z",
            "2020-01-01T00:00:00+0000",
            "2020-01-01T00:00:00+24:00",
            "2020-01-01T00:00:00Z ",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:60:00Z",
            "2016-12-31T23:59:60Z",
            "2021-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2020-00-01T00:00:00Z",
            "2020-13-01T00:00:00Z",
            "2020-01-00T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "+020-01-01T00:00:00Z",
            "20200-01-01T00:00:00Z",
        ] {
            assert_eq!(seconds(text, TimeUnit::Rfc3339), None, "{text}");
        }
    }

    #[test]
    fn reads_plain_digits_alone() {
        assert_eq!(seconds("1614265330", TimeUnit::S), Some(1_614_265_330));
        assert_eq!(seconds("1614265330999", TimeUnit::Ms), Some(1_614_265_330));
        for text in ["", "01", "+1", "-1", "1 ", "1.0", "0x1", "1e3", "12345678901234", "٣"] {
            assert_eq!(seconds(text, TimeUnit::S), None, "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for moment in [0, 951_825_600, 1_613_778_420, 4_107_542_400] {
            for unit in [TimeUnit::S, TimeUnit::Ms, TimeUnit::Rfc3339] {
                let text = write(moment, unit);
                assert_eq!(seconds(&text, unit), Some(moment), "{text}");
            }
        }
    }
}
