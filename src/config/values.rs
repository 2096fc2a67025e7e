//! The grammar of durations and sizes.
//!
//! Both are strict: one spelling of each unit, no signs, spaces or fractions, so that what is read is what was meant.
//! Must never clamp: a value that does not fit is refused.

use std::time::Duration;

/// Units of a duration in descending order, in milliseconds.
const DURATION_UNITS: &[(&str, u64)] = &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of a size. `k` alone is left out: it means 1000 to some and 1024 to others.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// `"250ms"`, `"5m"`, `"1h30m"`: numbers with a unit, larger units first, each unit once.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut total = 0_u64;
    let mut rest = text;
    let mut units = DURATION_UNITS;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(letters)?;
        let at = units.iter().position(|(name, _)| *name == unit)?;
        let (_, milliseconds) = units.get(at)?;
        total = total.checked_add(number.checked_mul(*milliseconds)?)?;
        units = units.get(at.checked_add(1)?..)?;
        rest = next;
    }
    Some(Duration::from_millis(total))
}

/// `"1MiB"`, `"350kB"`, `"512B"`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text)?;
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*bytes)
}

/// How a size should have been written, when only the spelling of its unit is wrong.
pub(crate) fn size_hint(text: &str) -> String {
    let unit = leading_number(text.trim()).map_or("", |(_, unit)| unit.trim());
    let meant: Vec<&str> = SIZE_UNITS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !unit.is_empty() && name.to_ascii_lowercase().starts_with(&unit.to_ascii_lowercase()))
        .collect();
    match (leading_number(text.trim()), meant.as_slice()) {
        (Some((number, _)), [one]) => format!("write \"{number}{one}\""),
        (Some((number, _)), [one, other]) => format!("write \"{number}{one}\" or \"{number}{other}\""),
        _ => "write a number of bytes, or a number with B, kB, KiB, MB, MiB, GB or GiB: \"1MiB\"".to_owned(),
    }
}

/// A duration as it would be typed.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut parts = Vec::new();
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    for (name, milliseconds) in DURATION_UNITS {
        let count = left.checked_div(*milliseconds).unwrap_or_default();
        if count > 0 {
            parts.push(format!("{count}{name}"));
            left = left.saturating_sub(count.saturating_mul(*milliseconds));
        }
    }
    parts.concat()
}

/// A size as it would be typed, in the largest unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    let fits = |unit: &&(&str, u64)| bytes > 0 && bytes.checked_rem(unit.1) == Some(0);
    let (name, unit) = SIZE_UNITS.iter().filter(fits).max_by_key(|(_, unit)| *unit).unwrap_or(&("B", 1));
    format!("{}{name}", bytes.checked_div(*unit).unwrap_or_default())
}

/// Plain digits and what follows. `str::parse` alone would take a leading `+`.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_in_descending_order_each_once() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h0m5s7ms", 3_605_007),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "+5s",
            "-5s",
            "5 s",
            "1.5h",
            "5S",
            "5min",
            "1d",
            "30m1h",
            "1s1s",
            "1h ",
            "99999999999999999999h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration("5124095576031h"), None, "overflows in milliseconds");
    }

    #[test]
    fn sizes_have_one_spelling() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("350kB", 350_000),
            ("16KiB", 16_384),
            ("1MiB", 1_048_576),
            ("2GB", 2_000_000_000),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "1", "1k", "1K", "1KB", "1mb", "1 MiB", "+1MiB", "1.5MiB", "MiB", "17179869184GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn a_hint_shows_the_spelling_that_was_meant() {
        assert_eq!(size_hint("1mb"), "write \"1MB\"");
        assert_eq!(size_hint("1 mib"), "write \"1MiB\"");
        assert_eq!(size_hint("1m"), "write \"1MB\" or \"1MiB\"");
        assert_eq!(size_hint("64k"), "write \"64kB\" or \"64KiB\"");
        assert!(size_hint("big").starts_with("write a number"));
    }

    #[test]
    fn what_is_shown_can_be_typed() {
        for milliseconds in [0, 1, 999, 1_000, 13_000, 300_000, 5_400_000, 3_605_007] {
            let shown = show_duration(Duration::from_millis(milliseconds));
            assert_eq!(duration(&shown), Some(Duration::from_millis(milliseconds)), "{shown}");
        }
        for bytes in [0, 1, 1_000, 1_024, 1_048_576, 67_108_864, 350_000, 1_500] {
            let shown = show_size(bytes);
            assert_eq!(size(&shown), Some(bytes), "{shown}");
        }
    }
}
