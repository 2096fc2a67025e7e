//! What of an Amazon SNS message the gate does not take: there is no secret that could be wrong.
//!
//! The gate says no more than that a message is not for this route; it is asked again about the same message in another
//! form. Must never call a message genuine, nor use the network. Source: as `coded/aws_sns.rs`.

use super::case::Case;
use super::facts::{Fact, NOTHING_MATCHED};
use super::judge::Judge;
use crate::check::signature::{self, Head, Options, Scheme, Window};

/// Longest text out of a body that is shown, in characters.
const LONGEST_SHOWN: usize = 160;
/// An address that certificates of Amazon SNS have.
const SOME_CERTIFICATE: &str = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem";

/// What of an Amazon SNS message the gate does not take. Nobody but Amazon has signed it, so there is no secret to be wrong.
pub(super) fn facts(case: &Case, judge: &Judge) -> Vec<Fact> {
    let Ok(serde_json::Value::Object(message)) = serde_json::from_slice(&case.request.body) else { return Vec::new() };
    let text = |name: &str| message.get(name).and_then(serde_json::Value::as_str);
    let mut facts = Vec::new();
    let topics: Vec<&str> =
        judge.options.get("topics").into_iter().flat_map(|all| all.split(',')).map(str::trim).collect();
    if let Some(topic) = text("TopicArn").filter(|topic| !topics.is_empty() && !topics.contains(topic)) {
        facts.push(Fact::new(
            "topic_not_allowed",
            format!("The message is of the topic {}, which options.topics does not have.", plain(topic)),
            "Add it to options.topics if it is yours: anyone can have Amazon sign messages of their own topics.",
        ));
    }
    if let Some(address) = text("SigningCertURL").filter(|_| !could_be_amazons(case, judge, &message)) {
        let mut moved = message.clone();
        moved.insert("SigningCertURL".to_owned(), SOME_CERTIFICATE.into());
        if could_be_amazons(case, judge, &moved) {
            facts.push(Fact::new(
                "certificate_not_amazons",
                format!(
                    "The message's SigningCertURL is {}, and hookward takes certificates of https://sns.REGION.amazonaws.com/SimpleNotificationService-….pem alone.",
                    plain(address)
                ),
                "Amazon sends no other address: look for who sends this, or what rewrites the body.",
            ));
        }
    }
    if facts.is_empty() {
        facts.push(Fact::new(
            NOTHING_MATCHED,
            "Amazon did not sign this message as it is here, or not with this certificate. There is no secret to be wrong.",
            "Capture the body before anything rewrites it; with cert_file, take the certificate of SigningCertURL.",
        ));
    }
    facts
}

/// Whether the gate would go on to fetch the certificate of a message, of whatever topic it is.
fn could_be_amazons(case: &Case, judge: &Judge, message: &serde_json::Map<String, serde_json::Value>) -> bool {
    let request = &case.request;
    let head = Head { method: &request.method, url: None, headers: &request.headers };
    let window = Window { now: case.now, tolerance: judge.tolerance };
    let body = serde_json::to_vec(message).map(bytes::Bytes::from).unwrap_or_default();
    let Ok(scheme) = Scheme::compile(&judge.name, &judge.spec, &Options::new()) else { return false };
    signature::present(&scheme, head, window)
        .and_then(|presented| signature::wanted(&scheme, &presented, &[body]))
        .is_ok_and(|wanted| wanted.is_some())
}

/// A member of a body, for a sentence.
fn plain(text: &str) -> String {
    let bare = text.split(['?', '#']).next().unwrap_or_default();
    bare.chars().filter(char::is_ascii_graphic).take(LONGEST_SHOWN).collect()
}
