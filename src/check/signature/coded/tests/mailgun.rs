//! Known vectors, and what could be made of a genuine delivery.

use super::super::trial::{Request, Trial, tamperings};
use super::*;

const SPEC: &str = r#"
engine = "mailgun"
timestamp = { json = "signature.timestamp", tolerance = 300 }
"#;
const FORM: &str = "application/x-www-form-urlencoded";
const TOKEN: &str = "1234567890abcdef1234567890abcdef";
const SIGNATURE: &str = "38a8b96093be393b9c05d59a78043643dd198a4601afb26b146b206d94ae7bc9";
/// django-anymail, `tests/test_mailgun_webhooks.py`.
const EVENT: &str = r#"{"signature": {"token": "1234567890abcdef1234567890abcdef", "timestamp": "1461565291", "signature": "38a8b96093be393b9c05d59a78043643dd198a4601afb26b146b206d94ae7bc9"}, "event-data": {"event": "delivered", "timestamp": 1461565290.123, "id": "Ase7i2zsRYeDXztHGENqRA"}}"#;

fn trial() -> Trial {
    Trial::new(SPEC, &["TEST_WEBHOOK_SIGNING_KEY"]).at(1_461_565_300)
}

fn json(body: &str) -> Request {
    Request::post("https://example.com/webhook", "application/json", body)
}

fn refusal(body: &str) -> Option<Reject> {
    trial().refusal(&json(body))
}

fn legacy(media: &str, body: &str) -> Request {
    Request::post("https://example.com/webhook", media, body)
}

fn fields() -> String {
    format!("timestamp=1461565291&token={TOKEN}&signature={SIGNATURE}&event=delivered")
}

fn parts(names: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    names.iter().map(part).collect::<String>() + "--XX--\r\n"
}

#[test]
fn accepts_the_known_vectors() {
    assert_eq!(refusal(EVENT), None);
    assert_eq!(trial().refusal(&legacy(FORM, &fields())), None);
    let multipart = parts(&[("timestamp", "1461565291"), ("token", TOKEN), ("signature", SIGNATURE), ("event", "x")]);
    assert_eq!(trial().refusal(&legacy("multipart/form-data; boundary=XX", &multipart)), None);
    assert_eq!(refusal(&EVENT.replace("\"1461565291\"", "1461565291")), None);
}

#[test]
fn a_second_signature_may_be_the_same_and_a_second_spelling_of_a_name_may_not() {
    let twice = format!("\"parent-signature\": \"{SIGNATURE}\", \"signature\": \"{SIGNATURE}\"");
    assert_eq!(refusal(&EVENT.replace(&format!("\"signature\": \"{SIGNATURE}\""), &twice)), None);
    let outside = EVENT.replace("\"event-data\"", "\"Signature\": {}, \"event-data\"");
    let inside = EVENT.replace("\"timestamp\": \"", "\"Token\": \"x\", \"timestamp\": \"");
    for body in [outside, inside] {
        assert_ne!(body, EVENT);
        assert_eq!(refusal(&body), Some(Reject::SignatureMismatch), "{body}");
    }
}

#[test]
fn says_that_only_the_token_is_signed() {
    for request in [json(EVENT), legacy(FORM, &fields())] {
        let verified = trial().verify(&request).unwrap();
        assert_eq!(verified.id().map(|id| (id.text, id.signed)), Some((TOKEN, true)));
        assert_eq!(verified.event_type().map(|kind| (kind.text, kind.signed)), Some(("delivered", false)));
        assert_eq!(verified.timestamp(), Some(1_461_565_291));
        assert_eq!(verified.coverage(), Coverage::Token);
    }
    // Known: the event can be exchanged. That is what the coverage says, and what the token as the id is for.
    assert_eq!(refusal(&EVENT.replace("delivered", "complained")), None);
    let plain = trial().verify(&json(&EVENT.replace("\"delivered\"", "1"))).unwrap();
    assert!(plain.event_type().is_none());
}

#[test]
fn every_byte_of_the_signature_block_counts() {
    let end = EVENT.find(", \"event-data\"").unwrap();
    let original = strict_json::read(EVENT.as_bytes()).unwrap();
    for tampered in tamperings(&EVENT.as_bytes()[..end]) {
        let body = [&tampered, &EVENT.as_bytes()[end..]].concat();
        let is_same =
            strict_json::read(&body).is_some_and(|document| document.get("signature") == original.get("signature"));
        if !is_same {
            assert!(trial().refusal(&json(EVENT).holding(body)).is_some(), "{}", String::from_utf8_lossy(&tampered));
        }
    }
    let fields = fields();
    let end = fields.find("&event").unwrap();
    for tampered in tamperings(&fields.as_bytes()[..end]) {
        let body = [&tampered, &fields.as_bytes()[end..]].concat();
        assert!(trial().refusal(&legacy(FORM, "").holding(body)).is_some(), "{}", String::from_utf8_lossy(&tampered));
    }
    let mismatch = Some(Reject::SignatureMismatch);
    assert_eq!(Trial::new(SPEC, &["x"]).at(1_461_565_300).refusal(&json(EVENT)), mismatch);
    let rotated = Trial::new(SPEC, &["x", "TEST_WEBHOOK_SIGNING_KEY"]).at(1_461_565_300);
    assert_eq!(rotated.verify(&json(EVENT)).unwrap().label(), "TEST_WEBHOOK_SIGNING_KEY");
    assert_eq!(refusal(&EVENT.replace(SIGNATURE, "")), mismatch);
    assert_eq!(refusal(&EVENT.replace(SIGNATURE, &SIGNATURE.to_uppercase())), mismatch);
    assert_eq!(refusal("{}"), mismatch);
    assert_eq!(refusal(""), mismatch);
}

#[test]
fn the_time_must_be_inside_of_the_window() {
    let at = |now: u64| trial().at(now).refusal(&json(EVENT));
    assert_eq!(at(1_461_565_291 + 300), None);
    assert_eq!(at(1_461_565_291 + 301), Some(Reject::TimestampTooOld));
    assert_eq!(at(1_461_565_291 - 300), None);
    assert_eq!(at(1_461_565_291 - 301), Some(Reject::TimestampInFuture));
    for time in ["\"\"", "\"x\"", "\"+1461565291\"", "\" 1461565291\"", "\"1461565291.0\"", "\"01461565291\""] {
        assert_eq!(refusal(&EVENT.replace("\"1461565291\"", time)), Some(Reject::TimestampMalformed), "{time}");
    }
    for time in ["null", "1461565291.0", "[1461565291]"] {
        assert_eq!(refusal(&EVENT.replace("\"1461565291\"", time)), Some(Reject::SignatureMismatch), "{time}");
    }
}

#[test]
fn digits_cannot_be_moved_between_time_and_token() {
    // With a tolerance of ages, so that nothing but the shapes stands in the way.
    let ages = trial().within(u64::MAX);
    let moved = |time: &str, token: &str| {
        ages.refusal(&json(&EVENT.replace("1461565291\"", &format!("{time}\"")).replace(TOKEN, token)))
    };
    assert_eq!(moved("1461565291", TOKEN), None);
    let joined = format!("1461565291{TOKEN}");
    for cut in (1..joined.len()).filter(|cut| *cut != 10) {
        let (time, token) = joined.split_at(cut);
        assert!(moved(time, token).is_some(), "{time} {token}");
    }
}

#[test]
fn a_token_has_its_documented_shape() {
    let trial = trial();
    for token in ["a".repeat(32), "0".repeat(50), "f".repeat(64)] {
        let request = trial.sign(&token, &json("{}")).unwrap();
        assert!(request.text().contains(&token));
        assert_eq!(trial.verify(&request).unwrap().id().unwrap().text, token);
    }
    let (key, _) = trial.scheme().key(b"TEST_WEBHOOK_SIGNING_KEY").unwrap();
    let state = tags::signing(Some(&key)).unwrap();
    for token in ["a".repeat(31), "a".repeat(65), "A".repeat(50), "g".repeat(50), "a ".repeat(25), String::new()] {
        let signature = hex(tag(state, "1461565291", &token).as_bytes());
        let body = EVENT.replace(TOKEN, &token).replace(SIGNATURE, &signature);
        assert_eq!(trial.refusal(&json(&body)), Some(Reject::SignatureMismatch), "{token}");
    }
}

#[test]
fn a_subaccounts_event_may_be_signed_by_the_main_account() {
    let wrong = "0".repeat(64);
    let with_parent = |own: &str, parent: &str| {
        let own = EVENT.replace(SIGNATURE, own);
        own.replace("\"timestamp\": \"14", &format!("\"parent-signature\": \"{parent}\", \"timestamp\": \"14"))
    };
    assert_eq!(refusal(&with_parent(&wrong, SIGNATURE)), None);
    assert_eq!(refusal(&with_parent(SIGNATURE, &wrong)), None);
    assert_eq!(refusal(&with_parent(&wrong, &wrong)), Some(Reject::SignatureMismatch));
    assert_eq!(refusal(&with_parent("", "")), Some(Reject::SignatureMismatch));
}

#[test]
fn what_is_there_twice_is_refused() {
    let mismatch = Some(Reject::SignatureMismatch);
    let twice = [
        EVENT.replace("\"token\":", "\"token\": \"x\", \"token\":"),
        EVENT.replace("\"token\":", "\"\\u0074oken\": \"x\", \"token\":"),
        EVENT.replace("{\"signature\":", "{\"signature\": {}, \"signature\":"),
        EVENT.replace("\"event\":", "\"event\": \"x\", \"event\":"),
    ];
    for body in twice {
        assert_eq!(refusal(&body), mismatch, "{body}");
    }
    for extra in ["&token=x", "&timestamp=1461565291", &format!("&signature={SIGNATURE}")] {
        assert_eq!(trial().refusal(&legacy(FORM, &(fields() + extra))), mismatch, "{extra}");
    }
    let named = [("timestamp", "1461565291"), ("token", TOKEN), ("signature", SIGNATURE), ("Token", "x")];
    assert_eq!(trial().refusal(&legacy("multipart/form-data; boundary=XX", &parts(&named))), mismatch);
    assert_eq!(trial().refusal(&json(EVENT).and("content-type", FORM)), Some(Reject::HeaderRepeated));
}

#[test]
fn the_content_type_says_how_the_body_is_read() {
    let mismatch = Some(Reject::SignatureMismatch);
    assert_eq!(trial().refusal(&json(EVENT).with("content-type", FORM)), mismatch);
    assert_eq!(trial().refusal(&json(EVENT).with("content-type", "text/plain")), mismatch);
    assert_eq!(trial().refusal(&json(EVENT).without("content-type")), None);
    assert_eq!(trial().refusal(&legacy("application/json", &fields())), mismatch);
    assert_eq!(trial().refusal(&legacy("multipart/form-data; boundary=XX", &fields())), mismatch);
    for body in ["token=%zz", "token", "token=%FF", "&", "a=1;token=x"] {
        assert_eq!(trial().refusal(&legacy(FORM, &format!("{}&{body}", fields()))), mismatch, "{body}");
    }
}

#[test]
fn signs_by_setting_the_block_and_keeping_the_rest() {
    let signed = trial().sign("msg_1", &json(r#"{"event-data":{"event":"x"},"signature":{"k":1},"z":[1.5]}"#)).unwrap();
    let token = token_of("msg_1");
    assert_eq!(token.len(), 50);
    let start =
        format!(r#"{{"event-data":{{"event":"x"}},"signature":{{"k":1,"token":"{token}","timestamp":"1461565300","#);
    assert!(signed.text().starts_with(&start) && signed.text().ends_with(r#""},"z":[1.5]}"#), "{}", signed.text());
    assert_eq!(trial().verify(&signed).unwrap().id().unwrap().text, token);
    assert_ne!(token_of("msg_2"), token);
    for body in ["", "[]", "x", "{\"a\":1,\"a\":1}", "{\"signature\":1}"] {
        assert_eq!(trial().sign("m", &json(body)).unwrap_err(), SignProblem::Body, "{body}");
    }
    let early = trial().at(999_999_999);
    assert_eq!(early.sign("m", &json("{}")).unwrap_err(), SignProblem::Body);
}
