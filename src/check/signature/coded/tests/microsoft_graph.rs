//! A notification as the documentation shows it, and what could be made of one by who does not know the word.

use super::super::trial::{Request, Trial};
use super::*;

const SPEC: &str = "engine = \"microsoft-graph\"\nalgorithm = \"token\"";
const SECRET: &str = "SecretClientState-0123";

fn item(word: &str, kind: &str) -> String {
    format!(
        r#"{{"subscriptionId":"7f105c7d","subscriptionExpirationDateTime":"2026-12-01T00:00:00Z","clientState":"{word}","changeType":"{kind}","resource":"users/1/messages/2"}}"#
    )
}

fn body(items: &[String]) -> String {
    format!(r#"{{"value":[{}]}}"#, items.join(","))
}

fn request(body: &str) -> Request {
    Request::post("https://example.com/webhook", "application/json", body)
}

fn refusal(body: &str) -> Option<Reject> {
    Trial::new(SPEC, &[SECRET, "the-older-word-4567"]).refusal(&request(body))
}

#[test]
fn every_item_has_to_carry_the_word() {
    let (good, other) = (item(SECRET, "created"), item("guessed", "created"));
    assert_eq!(refusal(&body(std::slice::from_ref(&good))), None);
    assert_eq!(refusal(&body(&[good.clone(), good.clone()])), None);
    for bad in [
        body(&[]),
        body(std::slice::from_ref(&other)),
        body(&[good.clone(), other.clone()]),
        body(&[other, good.clone()]),
        body(&[good.clone(), r#"{"changeType":"created"}"#.into()]),
        body(&[good.clone(), r#"{"clientState":null}"#.into()]),
        body(&[good.clone(), r#"["SecretClientState-0123"]"#.into()]),
        body(&[good.clone(), item("the-older-word-4567", "created")]),
        good.clone(),
        format!("[{good}]"),
        format!(r#"{{"value":{good}}}"#),
        format!(r#"{{"clientState":"{SECRET}"}}"#),
        "{".into(),
        String::new(),
        body(&[item(&SECRET.to_lowercase(), "created")]),
        body(&[item(&SECRET[1..], "created")]),
        body(&[item("", "created")]),
    ] {
        assert_eq!(refusal(&bad), Some(Reject::SignatureMismatch), "{bad}");
    }
}

#[test]
fn a_body_that_two_readers_read_differently_is_refused() {
    let good = item(SECRET, "created");
    let forged = r#"{"changeType":"created","resource":"forged"}"#;
    for bad in [
        format!(r#"{{"value":[{good}],"value":[{forged}]}}"#),
        format!(r#"{{"value":[{good}],"Value":[{forged}]}}"#),
        format!(r#"{{"value":[{good}],"VALUE":[{forged}]}}"#),
        body(&[format!(r#"{{"clientState":"x","clientState":"{SECRET}"}}"#)]),
        body(&[format!(r#"{{"ClientState":"x","clientState":"{SECRET}"}}"#)]),
    ] {
        assert_eq!(refusal(&bad), Some(Reject::SignatureMismatch), "{bad}");
    }
    let form = Request::post("https://example.com/webhook", "application/x-www-form-urlencoded", body(&[good]));
    assert_eq!(Trial::new(SPEC, &[SECRET]).refusal(&form), Some(Reject::SignatureMismatch));
}

#[test]
fn says_the_kind_that_all_items_share_and_that_it_is_a_token() {
    let kind = |kinds: &[&str]| {
        let items: Vec<String> = kinds.iter().map(|kind| item(SECRET, kind)).collect();
        let verified = Trial::new(SPEC, &[SECRET]).verify(&request(&body(&items))).unwrap();
        assert_eq!((verified.coverage(), verified.id().is_none(), verified.timestamp()), (Coverage::Token, true, None));
        verified.event_type().map(|kind| kind.text.to_owned())
    };
    assert_eq!(kind(&["updated"]).as_deref(), Some("updated"));
    assert_eq!(kind(&["updated", "updated"]).as_deref(), Some("updated"));
    assert_eq!(kind(&["updated", "deleted"]), None);
    let older = Trial::new(SPEC, &["the-newer-word-1", SECRET]);
    assert_eq!(older.verify(&request(&body(&[item(SECRET, "created")]))).unwrap().label(), SECRET);
}

#[test]
fn what_it_signs_it_accepts() {
    let trial = Trial::new(SPEC, &[SECRET]);
    let signed = trial.sign("", &request(&body(&[item("", "created"), item("x", "created")]))).unwrap();
    assert_eq!(trial.refusal(&signed), None);
    assert!(trial.sign("", &request("{}")).is_err());
}
