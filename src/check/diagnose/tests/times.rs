//! Clocks, zones and units.

use super::cases::{BODY, Case, KEY, NOW, PLAIN, base64, hex, sha256};

const HOUR: u64 = 3600;
const DATED: &str = r#"
content = "{timestamp}.{body}"
signature = { header = "x-test-signature", encoding = "hex" }
timestamp = { header = "x-time", unit = "rfc3339" }
"#;
const MILLISECONDS: &str = r#"
content = "{timestamp}.{body}"
signature = { header = "x-test-signature", encoding = "base64" }
timestamp = { header = "x-time", unit = "ms" }
"#;

fn at(time: u64) -> Case {
    Case::svix_body(KEY, time, BODY, BODY)
}

fn custom(scheme: &str, signed: &str, sent: &str) -> Case {
    let tag = sha256(PLAIN.as_bytes(), &[signed.as_bytes(), b".", BODY].concat());
    let signature = if scheme == DATED { hex(&tag) } else { base64(&tag) };
    Case::custom(scheme, PLAIN.as_bytes(), &signature).with_headers([("x-time", sent)])
}

fn sent_as(signed: &str, sent: &str) -> Case {
    Case::svix_time(KEY, signed, BODY, BODY).with_headers([("svix-timestamp", sent)])
}

pub(super) fn cases() -> Vec<(&'static str, Case, Case)> {
    let (seconds, milliseconds) = (NOW.to_string(), format!("{NOW}000"));
    let wrong = |time: u64| Case::svix_body(b"another key", time, BODY, BODY);
    vec![
        ("clock_skew", at(NOW - 301), at(NOW - 300)),
        ("clock_skew", at(NOW + 301), at(NOW + 300)),
        ("clock_skew", at(NOW - 420), wrong(NOW - 420)),
        ("clock_skew", at(NOW + 20 * HOUR), wrong(NOW + 20 * HOUR)),
        ("clock_timezone", at(NOW - 2 * HOUR), wrong(NOW - 2 * HOUR)),
        ("clock_timezone", at(NOW + 7 * HOUR - 60), at(NOW + 7 * HOUR - 150)),
        ("delivery_late", at(NOW - 5 * HOUR - 900), at(NOW - 4 * HOUR - 900)),
        ("delivery_late", at(NOW - 900 * HOUR), wrong(NOW - 900 * HOUR)),
        (
            "timestamp_in_milliseconds",
            Case::svix_time(KEY, &milliseconds, BODY, BODY),
            Case::svix_time(KEY, "9999999999", BODY, BODY),
        ),
        (
            "timestamp_in_seconds",
            custom(MILLISECONDS, &seconds, &seconds),
            custom(MILLISECONDS, &milliseconds, &milliseconds),
        ),
        ("timestamp_form", custom(DATED, &seconds, &seconds), custom(DATED, "1", &seconds)),
        (
            "timestamp_form",
            sent_as("2023-11-14T22:13:20Z", "2023-11-14T22:13:20Z"),
            sent_as("1", "2023-11-14T22:13:20Z"),
        ),
        ("timestamp_rewritten", sent_as(&milliseconds, &seconds), sent_as(&format!("{NOW}001"), &seconds)),
        ("timestamp_rewritten", sent_as(&seconds, &milliseconds), sent_as("170000000", &milliseconds)),
        ("timestamp_rewritten", sent_as(&seconds, &format!("{NOW}.123")), sent_as("1700000001", &format!("{NOW}.123"))),
        ("timestamp_rewritten", stripe(&milliseconds, &seconds), stripe(&format!("{NOW}001"), &seconds)),
    ]
}

fn stripe(signed: &str, sent: &str) -> Case {
    let key = super::cases::SECRET.as_bytes();
    let tag = hex(&sha256(key, &[signed.as_bytes(), b".", BODY].concat()));
    Case::stripe(key, |_| format!("t={sent},v1={tag}"))
}

/// The time, and how and what is said of it.
fn said(mut case: Case, tolerance: u64) -> (&'static str, String, String) {
    case.window.tolerance = tolerance;
    let found = case.diagnosed().remove(0);
    (found.code, found.finding, found.fix)
}

#[test]
fn the_skew_is_said_with_its_direction() {
    for (time, code, far, fix) in [
        (NOW - 1, "clock_skew", "1 second behind", "This clock is ahead, the sender's is behind"),
        (NOW + 1, "clock_skew", "1 second ahead of", "This clock is behind, the sender's is ahead"),
        (NOW - 59, "clock_skew", "59 seconds behind", "NTP"),
        (NOW - 60, "clock_skew", "1 minute behind", "NTP"),
        (NOW - 420, "clock_skew", "7 minutes behind", "NTP"),
        (NOW + 330, "clock_skew", "5 minutes ahead of", "NTP"),
        (NOW - HOUR / 2 - 1, "clock_skew", "30 minutes behind", "NTP"),
        (NOW - HOUR + 120, "clock_timezone", "58 minutes behind", "UTC"),
        (NOW - HOUR + 121, "clock_skew", "57 minutes behind", "NTP"),
        (NOW - HOUR, "clock_timezone", "1 hour behind", "UTC"),
        (NOW - HOUR - 60, "clock_timezone", "1 hour 1 minute behind", "UTC"),
        (NOW - HOUR - 120, "clock_timezone", "1 hour 2 minutes behind", "UTC"),
        (NOW - HOUR - 121, "clock_skew", "1 hour 2 minutes behind", "NTP"),
        (NOW - 2 * HOUR, "clock_timezone", "2 hours behind", "UTC"),
        (NOW + 14 * HOUR, "clock_timezone", "14 hours ahead of", "UTC"),
        (NOW + 15 * HOUR, "clock_skew", "15 hours ahead of", "NTP"),
        (NOW - 5 * HOUR + 900, "clock_skew", "4 hours 45 minutes behind", "NTP"),
        (NOW - 5 * HOUR - 900, "delivery_late", "5 hours 15 minutes ago", "--now"),
        (NOW - 24 * HOUR, "delivery_late", "24 hours ago", "--now"),
        (NOW - 47 * HOUR, "delivery_late", "47 hours ago", "--now"),
        (NOW - 48 * HOUR, "delivery_late", "2 days ago", "--now"),
        (NOW - 72 * HOUR, "delivery_late", "3 days ago", "--now"),
    ] {
        let found = said(at(time), 0);
        assert!(found.0 == code && found.1.contains(far) && found.2.contains(fix), "{time}: {found:?}");
    }
    let allowed = said(at(NOW - 301), 300).1;
    assert!(allowed.ends_with(", and 5 minutes is allowed."), "{allowed}");
}

#[test]
fn a_unit_is_told_by_its_size() {
    for (time, code) in [("99999999999", "timestamp_in_seconds"), ("100000000000", "delivery_late")] {
        assert_eq!(said(custom(MILLISECONDS, time, time), 300).0, code, "{time}");
    }
    for (time, code) in [(99_999_999_999, "clock_skew"), (100_000_000_000, "timestamp_in_milliseconds")] {
        assert_eq!(said(at(time), 300).0, code, "{time}");
    }
}

#[test]
fn both_forms_of_a_timestamp_are_named() {
    let (seconds, date) = (NOW.to_string(), "2023-11-14T22:13:20Z");
    for (case, is, due) in [
        (custom(DATED, &seconds, &seconds), "a number of seconds", "a date as in RFC 3339"),
        (custom(MILLISECONDS, date, date), "a date as in RFC 3339", "a number of milliseconds"),
    ] {
        let expected = format!("The signature is right, but the timestamp is {is}; {due} is due.");
        assert_eq!(said(case, 300).1, expected);
    }
}
