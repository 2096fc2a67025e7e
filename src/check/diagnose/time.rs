//! The signature is right, but the time is not: clocks, zones, units. And a time that was changed on the way.
//!
//! Must never call a clock wrong unless the signature fits the time that the delivery claims.

use http::{HeaderMap, HeaderValue};

use super::bench::Bench;
use crate::check::signature::scheme::{Engine, TimeUnit, TimestampSpec};
use crate::check::signature::{Scheme, SchemeSpec, Window};
use crate::check::window;
use crate::reject::Reject;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Offsets of time zones go this far (Line Islands, UTC+14).
const WIDEST_ZONE: u64 = 14 * HOUR;
/// A late retry rather than a clock: no machine with NTP is off by this much.
const LATE: u64 = 5 * HOUR;
/// A number of seconds above this (the year 5138) is one of milliseconds.
const MILLISECONDS: u64 = 100_000_000_000;

/// Whether the signature is right, so that only the time can be wrong.
pub(super) fn explains(bench: &mut Bench<'_, '_>) -> bool {
    let suspect = bench.suspect;
    if let Some(fit) = bench.as_it_is() {
        let is_limited = bench.scheme().and_then(Scheme::default_tolerance).is_some();
        let unit = suspect.spec.timestamp.as_ref().map_or(TimeUnit::S, |time| time.unit);
        if suspect.spec.engine == Engine::Jwt {
            say_token(bench);
        } else if let Some(timestamp) = fit.timestamp
            && is_limited
            && window::check(timestamp, suspect.window.now, suspect.window.tolerance).is_err()
        {
            say(bench, timestamp, unit);
        }
        return true;
    }
    let Some(time) = &suspect.spec.timestamp else { return false };
    let others = [TimeUnit::S, TimeUnit::Ms, TimeUnit::Rfc3339].into_iter().filter(|unit| *unit != time.unit);
    for other in others {
        let timestamp = Some(TimestampSpec { unit: other, ..time.clone() });
        let spec = SchemeSpec { timestamp, ..suspect.spec.clone() };
        if bench.spec_fits(&spec, suspect.head.headers).is_some() {
            bench.found(
                "timestamp_form",
                format!(
                    "The signature is right, but the timestamp is {}; {} is due.",
                    written(other),
                    written(time.unit)
                ),
                "Let the sender write it as documented, or set `timestamp.unit` in a scheme of your own.".to_owned(),
            );
            return true;
        }
    }
    false
}

fn written(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::S => "a number of seconds",
        TimeUnit::Ms => "a number of milliseconds",
        TimeUnit::Rfc3339 => "a date as in RFC 3339",
    }
}

fn say(bench: &mut Bench<'_, '_>, timestamp: u64, unit: TimeUnit) {
    let Window { now, tolerance } = bench.suspect.window;
    let skew = timestamp.abs_diff(now);
    let far = duration(skew);
    let own_unit = "set `timestamp.unit` in a scheme of your own";
    match unit {
        TimeUnit::S if timestamp >= MILLISECONDS => bench.found(
            "timestamp_in_milliseconds",
            "The signature is right, but the timestamp is in milliseconds, where seconds are due.".to_owned(),
            format!("Divide by 1,000 before signing, or {own_unit}."),
        ),
        TimeUnit::Ms if timestamp < MILLISECONDS / 1000 => bench.found(
            "timestamp_in_seconds",
            "The signature is right, but the timestamp is in seconds, where milliseconds are due.".to_owned(),
            format!("Multiply by 1,000 before signing, or {own_unit}."),
        ),
        TimeUnit::S | TimeUnit::Ms | TimeUnit::Rfc3339 => {
            let direction = if timestamp > now { "ahead of" } else { "behind" };
            let said = format!("its time is {far} {direction} this machine's clock");
            say_skew(bench, timestamp, (&said, "it was made"), tolerance);
        }
    }
}

/// The time of a token that is genuine: which of its limits this machine's clock is beyond.
fn say_token(bench: &mut Bench<'_, '_>) {
    let Some((failure, jwt)) = bench.refusal_now().zip(bench.suspect.spec.jwt.as_ref()) else { return };
    let Window { now, tolerance } = bench.suspect.window;
    let Some(limit) = failure.skew.map(|skew| now.saturating_add_signed(skew)) else { return };
    let far = duration(limit.abs_diff(now));
    let (what, when, allowed) = match (failure.reject, jwt.max_age) {
        (Reject::TimestampInFuture, _) => ("its token begins", "ahead of", jwt.leeway),
        (Reject::TimestampTooOld, Some(_)) if bench.suspect.spec.timestamp.is_some() => {
            ("its token was made", "before", tolerance)
        }
        (Reject::TimestampTooOld, Some(age)) => ("its token was made", "before", age),
        (Reject::TimestampTooOld, None) => ("its token expired", "before", jwt.leeway),
        _other => return,
    };
    let said = format!("{what} {far} {when} this machine's clock");
    say_skew(bench, limit, (&said, what), allowed);
}

/// What differs, first as the clocks show it, then as what happened; and how many seconds of it are allowed.
fn say_skew(bench: &mut Bench<'_, '_>, timestamp: u64, (said, happened): (&str, &str), allowed: u64) {
    let now = bench.suspect.window.now;
    let skew = timestamp.abs_diff(now);
    let off = skew.checked_add(HOUR / 2).map_or(skew, |skew| skew % HOUR).abs_diff(HOUR / 2);
    if (HOUR / 2..=WIDEST_ZONE).contains(&skew) && off <= 2 * MINUTE {
        bench.found(
            "clock_timezone",
            format!("The signature is right, but {said}, which looks like a time zone."),
            "Compare both clocks in UTC: one of them takes local time for UTC.".to_owned(),
        );
    } else if timestamp < now && skew > LATE {
        bench.found(
            "delivery_late",
            format!(
                "The signature is right, but {happened} {} ago: a late retry, a replay, or a saved request.",
                duration(skew)
            ),
            "Judge a saved request at its own time (`--now`); let the sender sign retries anew.".to_owned(),
        );
    } else {
        let (ours, theirs) = if timestamp > now { ("behind", "ahead") } else { ("ahead", "behind") };
        let allowed = if allowed == 0 { "nothing".to_owned() } else { duration(allowed) };
        bench.found(
            "clock_skew",
            format!("The signature is right, but {said}, and {allowed} is allowed."),
            format!(
                "This clock is {ours}, the sender's is {theirs}, or the delivery waited: check NTP on both sides first."
            ),
        );
    }
}

/// `7 minutes`, `2 hours 5 minutes`, `3 days`.
fn duration(seconds: u64) -> String {
    let unit = |count: u64, name: &str| match count {
        1 => format!("1 {name}"),
        count => format!("{count} {name}s"),
    };
    let (days, hours, minutes) = (seconds / (24 * HOUR), seconds / HOUR, seconds % HOUR / MINUTE);
    if days > 1 {
        unit(days, "day")
    } else if hours > 0 && minutes > 0 {
        format!("{} {}", unit(hours, "hour"), unit(minutes, "minute"))
    } else if hours > 0 {
        unit(hours, "hour")
    } else if minutes > 0 {
        unit(minutes, "minute")
    } else {
        unit(seconds, "second")
    }
}

/// The header says another time than the one that was signed.
pub(super) fn try_rewritten(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    let Some(time) = &suspect.spec.timestamp else { return };
    let (names, pair) = match (&time.header, &time.pair, &suspect.spec.signature) {
        (Some(names), _, _) => (names.all(), None),
        (None, Some(pair), Some(signature)) => (signature.header.all(), Some(pair.as_str())),
        (None, _, _) => return,
    };
    for name in names {
        let Some(value) = suspect.head.headers.get(name).and_then(|value| value.to_str().ok()) else { continue };
        let text = match pair {
            None => value,
            Some(pair) => match value.split_once(&format!("{pair}=")) {
                Some((_, rest)) => {
                    rest.split(|letter: char| !letter.is_ascii_digit() && letter != '.').next().unwrap_or(rest)
                }
                None => continue,
            },
        };
        for other in other_texts(text) {
            let value = match pair {
                None => other,
                Some(pair) => value.replacen(&format!("{pair}={text}"), &format!("{pair}={other}"), 1),
            };
            let Some(headers) = with_header(suspect.head.headers, name, &value) else { continue };
            if bench.head_fits(&headers, suspect.head.url) {
                bench.found(
                    "timestamp_rewritten",
                    format!("The sender signed its timestamp in another unit than `{name}` shows."),
                    format!("Find out who writes `{name}` anew, or let the sender sign the text that it sends."),
                );
            }
        }
    }
}

/// The same number in milliseconds, in seconds, and without a fraction.
fn other_texts(text: &str) -> Vec<String> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    if whole.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let mut texts = vec![format!("{whole}000"), whole.to_owned()];
    texts.extend(whole.len().checked_sub(3).and_then(|cut| whole.get(..cut)).map(str::to_owned));
    texts.retain(|other| other != text && !other.is_empty());
    texts
}

/// The headers, with one that has this value alone.
pub(super) fn with_header(headers: &HeaderMap, name: &str, value: &str) -> Option<HeaderMap> {
    let mut headers = headers.clone();
    let name = http::HeaderName::try_from(name).ok()?;
    headers.insert(name, HeaderValue::try_from(value).ok()?);
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::other_texts;

    #[test]
    fn only_whole_numbers_have_other_units() {
        let cases: &[(&str, &[&str])] = &[
            ("1700000000", &["1700000000000", "1700000"]),
            ("1700000000.25", &["1700000000000", "1700000000", "1700000"]),
            ("1700", &["1700000", "1"]),
            ("123", &["123000"]),
            ("12", &["12000"]),
            ("", &[]),
            (".5", &[]),
            ("12a", &[]),
            ("2023-11-14T22:13:20Z", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(other_texts(text), *expected, "{text}");
        }
    }
}
