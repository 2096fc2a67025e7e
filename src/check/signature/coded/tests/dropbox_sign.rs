//! A vector made with the vendor's library, and what could be made of a genuine delivery.

use super::super::trial::{Request, Trial, tamperings};
use super::*;

const SPEC: &str = "engine = \"dropbox-sign\"";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=XX";
const EVENT: &str = r#"{"event": {"event_type": "signature_request_sent", "event_time": "1348177752", "event_hash": "1f84982876edaf4b7e84e5e3d1e06f6ffc65c553521261314c5306a68083a001", "event_metadata": {"related_signature_id": "ad4d8a769b555fa5ef38691465d426682bf2c992"}}, "signature_request": {"title": "x"}}"#;

fn trial() -> Trial {
    Trial::new(SPEC, &["apikey123"])
}

fn request(media: &str, body: &str) -> Request {
    Request::post("https://example.com/webhook", media, body)
}

fn json(body: &str) -> Request {
    request("application/json", body)
}

fn refusal(body: &str) -> Option<Reject> {
    trial().refusal(&json(body))
}

fn part(name: &str, value: &str) -> String {
    format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

fn encoded(text: &str) -> String {
    text.bytes().flat_map(|byte| ["%".to_owned(), hex(&[byte])]).collect()
}

#[test]
fn accepts_the_event_in_each_of_its_wrappings() {
    for request in [
        json(EVENT),
        request(MULTIPART, &format!("{}--XX--\r\n", part("json", EVENT))),
        request(MULTIPART, &format!("{}{}--XX--", part("other", "1"), part("json", EVENT))),
        request(FORM, &format!("json={}", encoded(EVENT))),
    ] {
        let verified = trial().verify(&request).unwrap();
        assert_eq!(verified.event_type().map(|kind| (kind.text, kind.signed)), Some(("signature_request_sent", true)));
        assert!(verified.id().is_none());
        assert_eq!(verified.timestamp(), None);
        assert_eq!(verified.coverage(), Coverage::Token);
    }
}

#[test]
fn every_byte_of_what_is_signed_counts() {
    let end = EVENT.find(", \"event_metadata\"").unwrap();
    let signed = |document: &Json| {
        let event = document.get("event")?;
        Some(["event_type", "event_time", "event_hash"].map(|name| event.get(name).cloned()))
    };
    let original = strict_json::read(EVENT.as_bytes()).as_ref().and_then(signed);
    let mut tried = 0;
    for tampered in tamperings(&EVENT.as_bytes()[..end]) {
        let body = [&tampered, &EVENT.as_bytes()[end..]].concat();
        if strict_json::read(&body).as_ref().and_then(signed) != original {
            assert!(trial().refusal(&json(EVENT).holding(body)).is_some(), "{}", String::from_utf8_lossy(&tampered));
            tried += 1;
        }
    }
    assert!(tried > 4 * end - 100, "{tried}");
    let mismatch = Some(Reject::SignatureMismatch);
    assert_eq!(Trial::new(SPEC, &["x"]).refusal(&json(EVENT)), mismatch);
    assert_eq!(Trial::new(SPEC, &["x", "apikey123"]).verify(&json(EVENT)).unwrap().label(), "apikey123");
    assert_eq!(refusal(&EVENT.replace("1f8498", "1F8498")), mismatch);
    // Known: the rest can be exchanged. That is what the coverage says.
    assert_eq!(refusal(&EVENT.replace("\"title\": \"x\"", "\"title\": \"y\"")), None);
}

#[test]
fn what_is_missing_or_there_twice_is_refused() {
    for body in [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        EVENT.replace("event_hash", "hash"),
        EVENT.replace("\"event_type\"", "\"type\""),
        EVENT.replace("event_time", "time"),
        EVENT.replace("\"1348177752\"", "1348177752"),
        EVENT.replace("{\"event\":", "{\"event\": null, \"event\":"),
        EVENT.replace("\"event_type\":", "\"event_type\": \"x\", \"event_type\":"),
        EVENT.replace("\"title\":", "\"title\": 1, \"t\\u0069tle\":"),
        format!("{EVENT}{EVENT}"),
        format!("\u{feff}{EVENT}"),
    ] {
        assert_eq!(refusal(&body), Some(Reject::SignatureMismatch), "{body}");
    }
    let twice = format!("{}{}--XX--", part("json", EVENT), part("json", EVENT));
    assert_eq!(trial().refusal(&request(MULTIPART, &twice)), Some(Reject::SignatureMismatch));
    let file = part("json", EVENT).replace("\"json\"", "\"json\"; filename=\"x\"") + "--XX--";
    assert_eq!(trial().refusal(&request(MULTIPART, &file)), Some(Reject::SignatureMismatch));
    let twice = format!("json={}&json=x", encoded(EVENT));
    assert_eq!(trial().refusal(&request(FORM, &twice)), Some(Reject::SignatureMismatch));
    assert_eq!(trial().refusal(&json(EVENT).and("content-type", FORM)), Some(Reject::HeaderRepeated));
}

#[test]
fn the_content_type_says_where_the_event_is() {
    let mismatch = Some(Reject::SignatureMismatch);
    for media in [FORM, MULTIPART, "text/plain", "multipart/form-data", "multipart/form-data; boundary=YY"] {
        assert_eq!(trial().refusal(&request(media, EVENT)), mismatch, "{media}");
    }
    let wrapped = format!("{}--XX--", part("json", EVENT));
    for media in ["application/json", FORM, "multipart/form-data; boundary=X"] {
        assert_eq!(trial().refusal(&request(media, &wrapped)), mismatch, "{media}");
    }
    let invalid = [wrapped.trim_end_matches("\r\n--XX--").as_bytes(), b"\xff\r\n--XX--"].concat();
    assert_eq!(trial().refusal(&request(MULTIPART, "").holding(invalid)), mismatch);
}

#[test]
fn digits_cannot_be_moved_between_time_and_type() {
    let (key, _) = trial().scheme().key(b"apikey123").unwrap();
    let state = tags::signing(Some(&key)).unwrap();
    let body = |time: &str, kind: &str| {
        let hash = hex(tag(state, time, kind).as_bytes());
        format!(r#"{{"event":{{"event_type":"{kind}","event_time":"{time}","event_hash":"{hash}"}}}}"#)
    };
    assert_eq!(refusal(&body("1348177752", "callback_test")), None);
    for (time, kind) in [("134817775", "2callback_test"), ("1348177752", ""), ("1348177752", "callback test")] {
        assert_eq!(refusal(&body(time, kind)), Some(Reject::SignatureMismatch), "{time} {kind}");
    }
    for time in ["1348177752c", "", "+1348177752", "01348177752", "1348177752 ", "13481777520000"] {
        assert_eq!(refusal(&body(time, "callback_test")), Some(Reject::TimestampMalformed), "{time}");
    }
    let long = "a".repeat(257);
    assert_eq!(refusal(&body("1348177752", &long)), Some(Reject::SignatureMismatch));
}

#[test]
fn retries_keep_the_time_of_the_event_so_there_is_no_window() {
    let days_later = trial().at(1_348_177_752 + 3 * 86_400).within(0);
    assert_eq!(days_later.refusal(&json(EVENT)), None);
    assert_eq!(trial().scheme().default_tolerance(), None);
    assert!(!trial().scheme().signs_id());
}

#[test]
fn signs_by_setting_time_and_hash_and_keeping_the_rest() {
    let then = trial().at(1_348_177_752);
    let blank = EVENT.replace("1348177752", "1").replace("1f8498", "000000");
    let signed = then.sign("", &json(&blank)).unwrap();
    assert_eq!(strict_json::read(&signed.body), strict_json::read(EVENT.as_bytes()));
    let bare = then.sign("", &json(r#"{"event":{"event_type":"callback_test"}}"#)).unwrap();
    assert_eq!(then.refusal(&bare), None);
    for body in ["", "{}", "[]", r#"{"event":{}}"#, r#"{"event":{"event_type":"A b"}}"#, r#"{"event":1}"#] {
        assert_eq!(then.sign("", &json(body)).unwrap_err(), SignProblem::Body, "{body}");
    }
}

#[test]
fn what_a_reader_who_ignores_case_would_take_for_signed_is_refused() {
    let beside = EVENT.replacen('{', r#"{"Event":{"event_type":"signature_request_all_signed"},"#, 1);
    assert_eq!(refusal(&beside), Some(Reject::SignatureMismatch));
    let inside = EVENT.replacen(r#""event_type""#, r#""Event_Type":"x","event_type""#, 1);
    assert_eq!(refusal(&inside), Some(Reject::SignatureMismatch));
}
