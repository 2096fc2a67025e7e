//! Signed tokens: their times, and what they name.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::token::Times;
use super::cases::{BODY, Case, NOW, hex};
use crate::check::signature::scheme::{FieldSpec, OneOrMany, TimeUnit, TimestampSpec};

const URL: &str = "https://a.example/in?k=1234567";

fn hash(content: &[u8]) -> Vec<u8> {
    Sha256::digest(content).to_vec()
}

fn with(mut claims: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!() };
    let members = claims.as_object_mut().unwrap();
    members.extend(more);
    members.retain(|_, value| !value.is_null());
    claims
}

/// `more` replaces claims; null removes one.
fn livekit(more: Value, before: &str) -> Case {
    let claims = json!({ "iss": "APIabc", "nbf": NOW, "exp": NOW + 300, "sha256": STANDARD.encode(hash(BODY)) });
    Case::token("livekit", &with(claims, more), BODY, before).with_option("api_key", "APIabc")
}

fn qstash(more: Value) -> Case {
    let body = STANDARD.encode(hash(BODY)).replace('+', "-").replace('/', "_");
    let claims = json!({
        "iss": "Upstash", "sub": URL, "nbf": NOW, "iat": NOW, "exp": NOW + 300, "jti": "jwt_1", "body": body,
    });
    Case::token("qstash", &with(claims, more), BODY, "").with_url(URL)
}

fn messagebird(more: Value) -> Case {
    let claims = json!({
        "iss": "MessageBird", "nbf": NOW, "iat": NOW, "exp": NOW + 60, "jti": "1",
        "url_hash": hex(&hash(URL.as_bytes())), "payload_hash": hex(&hash(BODY)),
    });
    Case::token("messagebird", &with(claims, more), BODY, "").with_url(URL)
}

fn moved(by: u64) -> Value {
    let begin = NOW.saturating_add(by);
    json!({ "nbf": begin, "iat": begin, "exp": begin.saturating_add(60) })
}

fn past(by: u64) -> Value {
    let end = NOW.saturating_sub(by);
    let begin = end.saturating_sub(300);
    json!({ "nbf": begin, "iat": begin, "exp": end })
}

pub(super) fn cases() -> Vec<(&'static str, Case, Case)> {
    let other = || json!({ "body": "AAAA" });
    let elsewhere = |path: &str| json!({ "sub": format!("https://a.example{path}?k=1234567") });
    let forged = || {
        let mut case = livekit(json!({ "sha256": "" }), "");
        case.secrets[0].1 = b"another secret of some length".to_vec();
        case
    };
    vec![
        ("clock_skew", qstash(past(300)), qstash(with(past(300), other()))),
        ("clock_skew", messagebird(moved(120)), messagebird(moved(5))),
        ("clock_skew", messagebird(past(60)), messagebird(past(4))),
        ("clock_skew", livekit(past(60), ""), livekit(with(past(60), json!({ "sha256": "AAAA" })), "")),
        // Begins after its end: good at no time, and still signed by whom it says.
        ("clock_skew", livekit(json!({ "exp": NOW - 600 }), ""), livekit(json!({ "exp": NOW + 600 }), "")),
        ("delivery_late", qstash(past(72 * 3600)), qstash(with(past(72 * 3600), other()))),
        (
            "token_issuer",
            livekit(json!({ "iss": "APIother" }), ""),
            livekit(json!({ "iss": "APIother", "sha256": "A" }), ""),
        ),
        ("token_issuer", qstash(json!({ "iss": null })), qstash(json!({ "sub": "https://b.example/" }))),
        ("token_issuer", qstash(with(past(300), json!({ "iss": "x" }))), qstash(past(300))),
        (
            "token_claim_missing",
            messagebird(json!({ "jti": null })),
            messagebird(json!({ "jti": null, "payload_hash": "" })),
        ),
        ("url_differs", qstash(elsewhere("/other")), qstash(with(elsewhere("/other"), other()))),
        (
            "url_differs",
            messagebird(json!({ "url_hash": "00" })),
            messagebird(json!({ "url_hash": "00", "payload_hash": "00" })),
        ),
        ("token_body_differs", qstash(other()), qstash(elsewhere("/other"))),
        ("token_body_differs", livekit(json!({ "sha256": "" }), ""), forged()),
        ("header_prefix_other", livekit(json!({}), "Bearer "), livekit(json!({ "sha256": "AAAA" }), "Bearer ")),
    ]
}

#[test]
fn the_url_of_a_token_is_shown_without_its_query() {
    let found = qstash(json!({ "sub": "https://a.example/other?k=7654321" })).diagnosed().remove(0);
    assert_eq!(
        found.finding,
        "The token's signature and body are right, but it is for `https://a.example/other?…`, and was compared with \
         `https://a.example/in?…`: the path is `/other`, not `/in`, and the query is another one."
    );
}

#[test]
fn all_that_a_token_names_wrongly_is_told_at_once() {
    let case = qstash(json!({ "iss": "Upsta", "jti": null, "sub": "https://b.example/x" }));
    assert_eq!(case.codes(), ["token_issuer", "token_claim_missing", "url_differs"]);
}

#[test]
fn an_expired_token_is_told_by_its_end_and_an_early_one_by_its_beginning() {
    let said = |case: Case| case.diagnosed().remove(0).finding;
    let early = said(messagebird(json!({ "nbf": NOW + 120, "iat": NOW + 120, "exp": NOW + 180 })));
    let due = "its token begins 2 minutes ahead of this machine's clock, and 5 seconds is allowed";
    assert!(early.contains(due), "{early}");
    let late = said(qstash(json!({ "nbf": NOW - 900, "iat": NOW - 900, "exp": NOW - 600 })));
    let due = "its token expired 10 minutes before this machine's clock, and nothing is allowed";
    assert!(late.contains(due), "{late}");
}

#[test]
fn an_expired_token_is_late_at_its_very_end() {
    let found = qstash(past(0)).diagnosed().remove(0);
    assert!(found.finding.contains("its token expired 0 seconds before"), "{}", found.finding);
    assert!(found.fix.contains("This clock is ahead, the sender's is behind"), "{}", found.fix);
}

#[test]
fn the_age_of_a_token_without_an_end_is_told_with_its_limit() {
    let mut case = livekit(json!({ "nbf": null, "exp": null, "iat": NOW - 600 }), "");
    case.spec.jwt.as_mut().unwrap().max_age = Some(420);
    case.window.tolerance = 60;
    let made = "its token was made 10 minutes before this machine's clock, and";
    let found = case.diagnosed().remove(0).finding;
    assert!(found.contains(&format!("{made} 7 minutes is allowed.")), "{found}");
    case.spec.timestamp = Some(TimestampSpec {
        header: None,
        pair: None,
        json: None,
        unit: TimeUnit::S,
        tolerance: 300,
        insecure_any_age: false,
    });
    let found = case.diagnosed().remove(0).finding;
    assert!(found.contains(&format!("{made} 1 minute is allowed.")), "{found}");
}

#[test]
fn an_issuer_is_only_shown_if_it_is_short_and_plain() {
    let (short, long) = ("x".repeat(64), "x".repeat(65));
    for (issuer, is) in [
        (json!("APIother"), "is `APIother`,"),
        (json!(short), &format!("is `{short}`,")),
        (json!(long), "is another,"),
        (json!("a\u{7}b"), "is another,"),
        (json!(null), "is not there,"),
        (json!(1), "is not there,"),
    ] {
        let found = livekit(json!({ "iss": issuer }), "").diagnosed().remove(0).finding;
        assert!(found.contains(&format!("its `iss` {is} and `APIabc` is due.")), "{found}");
    }
}

#[test]
fn a_token_is_good_from_its_latest_beginning_to_its_end() {
    for (issued, starts, expires, inside) in [
        (Some(5), Some(7), Some(9), Some(7)),
        (Some(7), Some(5), Some(9), Some(7)),
        (Some(5), None, None, Some(5)),
        (None, Some(5), None, Some(5)),
        (None, None, Some(9), Some(8)),
        (Some(8), None, Some(9), Some(8)),
        (Some(9), None, Some(9), None),
        (Some(10), None, Some(9), None),
        (None, None, None, None),
    ] {
        assert_eq!(Times { issued, starts, expires }.inside(), inside, "{issued:?} {starts:?} {expires:?}");
    }
}

#[test]
fn times_are_read_from_the_first_token() {
    let names = ["x-a", "x-b"].map(HeaderName::from_static);
    let token = |claims: Value| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let times = |lines: &[(&'static str, String)]| {
        let lines =
            lines.iter().map(|(name, text)| (HeaderName::from_static(name), HeaderValue::try_from(text).unwrap()));
        Times::of(&names, &lines.collect::<HeaderMap>())
    };
    let all = Times { issued: Some(1), starts: Some(2), expires: Some(3) };
    let claims = || json!({ "iat": 1, "nbf": 2, "exp": 3 });
    assert_eq!(times(&[("x-a", token(claims()))]), Some(all));
    assert_eq!(times(&[("x-a", "none".into()), ("x-b", format!("Bearer {}", token(claims())))]), Some(all));
    assert_eq!(
        times(&[("x-a", token(json!({ "iat": "1" })))]),
        Some(Times { issued: None, starts: None, expires: None })
    );
    assert_eq!(times(&[("x-a", token(json!([])))]), None);
    assert_eq!(times(&[("x-a", token(claims()).replace(".c2ln", ""))]), None);
    let padded = |length: usize| format!("{:>length$}", token(claims()));
    assert_eq!(times(&[("x-a", padded(8 * 1024))]), Some(all));
    assert_eq!(times(&[("x-a", padded(8 * 1024 + 1))]), None);
}

#[test]
fn a_repeated_header_hides_no_wrong_issuer() {
    let field = || Some(FieldSpec { header: Some(OneOrMany::One("x-twice".to_owned())), json: None });
    for is_id in [true, false] {
        let mut case = livekit(json!({ "iss": "APIother" }), "");
        if is_id {
            case.spec.id = field();
        } else {
            case.spec.event_type = field();
        }
        for value in ["1", "2"] {
            case.headers.append("x-twice", HeaderValue::from_static(value));
        }
        assert_eq!(case.codes().first(), Some(&"token_issuer"), "{is_id}");
    }
}
