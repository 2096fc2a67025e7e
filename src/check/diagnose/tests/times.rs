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

#[test]
fn the_skew_is_said_with_its_direction() {
    let said = |time| at(time).diagnosed().remove(0).finding;
    assert!(said(NOW - 420).contains("7 minutes behind"), "{}", said(NOW - 420));
    assert!(said(NOW + 330).contains("5 minutes ahead of"), "{}", said(NOW + 330));
    assert!(said(NOW - 2 * HOUR).contains("2 hours behind"), "{}", said(NOW - 2 * HOUR));
    assert!(said(NOW - 72 * HOUR).contains("3 days ago"), "{}", said(NOW - 72 * HOUR));
}
