//! Mailgun: HMAC-SHA256 over a time and a random token, all three inside of the body. Nothing else of the body is signed.
//!
//! They are in the JSON member `signature`, or in the form fields `timestamp`, `token` and `signature` of older webhooks and of
//! inbound routes. An event of a subaccount has a second signature, `parent-signature`, by the main account's key. Time and
//! token are joined without a separator: the time has ten digits, so no digit can be moved into the token. Whoever has seen
//! one genuine delivery can put its signature under any event until the time is up; the token as the id makes that once at
//! most. Must never call anything but token and time signed.
//! Source: Mailgun "Securing webhooks".

use http::HeaderName;
use subtle::Choice;

use super::media::Media;
use super::strict_json::{self, Json};
use super::{Coded, Held, form, multipart, tags};
use crate::check::signature::flaw::SchemeProblem;
use crate::check::signature::key::{Key, LabeledKey};
use crate::check::signature::mac::{MacState, Tag, digest};
use crate::check::signature::scheme::{Algorithm, SchemeSpec};
use crate::check::signature::sign::{Delivery, SignProblem, Signed, hex};
use crate::check::signature::verified::{Coverage, Field};
use crate::check::signature::{Failure, Head, Options, Proof, Window, is_presentable, stamp};
use crate::reject::Reject;

/// Digits of a time until the year 2286.
const TIME_DIGITS: usize = 10;
/// Characters of a token: Mailgun's own have fifty.
const TOKEN_CHARS: usize = 50;

#[derive(Debug)]
struct Mailgun;

pub(super) fn compile(spec: &SchemeSpec, _options: &Options) -> Result<Box<dyn Coded>, Vec<SchemeProblem>> {
    let mut problems = Vec::new();
    tags::expect_algorithm(spec, Algorithm::HmacSha256, &mut problems);
    if problems.is_empty() { Ok(Box::new(Mailgun)) } else { Err(problems) }
}

impl Coded for Mailgun {
    fn headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    fn coverage(&self) -> Coverage {
        Coverage::Token
    }

    fn signs_id(&self) -> bool {
        true
    }

    fn signs_url(&self) -> bool {
        false
    }

    fn present(&self, head: Head<'_>, _window: Window) -> Result<Option<u64>, Failure> {
        Media::of(head.headers)?;
        Ok(None)
    }

    fn verify(&self, held: &Held, body: &[u8], keys: &[LabeledKey], _window: Window) -> Result<Proof, Failure> {
        let mismatch = || Failure::of(Reject::SignatureMismatch);
        let claims = Claims::read(&Media::of(&held.headers)?, body).ok_or_else(mismatch)?;
        let seconds = seconds(&claims.timestamp).ok_or_else(|| Failure::of(Reject::TimestampMalformed))?;
        let key = tags::first_that(keys, |state| {
            let tag = tag(state, &claims.timestamp, &claims.token);
            claims.signatures.iter().fold(Choice::from(0), |fits, signature| fits | tag.is(signature))
        })
        .ok_or_else(mismatch)?;
        let event = claims.event.filter(|event| is_presentable(event));
        Ok(Proof {
            key,
            id: Field::new(None, Some(claims.token.into()), true),
            event_type: Field::new(None, event.map(Into::into), false),
            timestamp: Some(seconds),
            coverage: Coverage::Token,
        })
    }

    fn sign(&self, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
        let state = tags::signing(key)?;
        let timestamp = delivery.timestamp.to_string();
        let token = token_of(delivery.id);
        let body = seconds(&timestamp)
            .and_then(|_| strict_json::read(delivery.body))
            .and_then(|mut document| {
                let signature = hex(tag(state, &timestamp, &token).as_bytes());
                let block = document.object_mut("signature")?;
                block.set_text("token", &token)?;
                block.set_text("timestamp", &timestamp)?;
                block.set_text("signature", &signature)?;
                document.write()
            })
            .ok_or(SignProblem::Body)?;
        Ok(Signed { headers: Vec::new(), body: Some(body), url: None })
    }
}

/// What a body says of itself.
struct Claims {
    timestamp: String,
    /// Of the documented shape.
    token: String,
    /// Never empty.
    signatures: Vec<[u8; 32]>,
    event: Option<String>,
}

impl Claims {
    /// `None`: incomplete, or in a form that could be read in two ways.
    fn read(media: &Media, body: &[u8]) -> Option<Self> {
        let (timestamp, token, signatures, event) = match media {
            Media::Json => {
                let document = strict_json::read(body)?;
                let block = document.get("signature")?;
                let parts = ["timestamp", "token", "signature", "parent-signature"];
                if !(document.is_plain_about(&["signature"]) && block.is_plain_about(&parts)) {
                    return None;
                }
                let text = |name: &str| block.get(name).and_then(Json::text).map(str::to_owned);
                let timestamp = match block.get("timestamp")? {
                    Json::Integer(seconds) => seconds.to_string(),
                    other => other.text()?.to_owned(),
                };
                let event = document.get("event-data").and_then(|data| data.get("event")).and_then(Json::text);
                let signatures = [text("signature"), text("parent-signature")];
                (Some(timestamp), text("token"), signatures, event.map(str::to_owned))
            }
            Media::Form => {
                let fields = form::read(body)?;
                let once = |name: &str| form::once(&fields, name).map(str::to_owned);
                (once("timestamp"), once("token"), [once("signature"), None], once("event"))
            }
            Media::Multipart(boundary) => {
                let parts = multipart::read(body, boundary)?;
                let once = |name: &str| multipart::once(&parts, name).map(str::to_owned);
                (once("timestamp"), once("token"), [once("signature"), None], once("event"))
            }
            Media::Text | Media::Other => return None,
        };
        let signatures: Vec<_> = signatures.iter().flatten().filter_map(|text| tags::hex(text.as_bytes())).collect();
        let is_usable = !signatures.is_empty() && token.as_deref().is_some_and(is_token);
        is_usable.then_some(Self { timestamp: timestamp?, token: token?, signatures, event })
    }
}

fn seconds(timestamp: &str) -> Option<u64> {
    stamp::number(timestamp.as_bytes()).filter(|_| timestamp.len() == TIME_DIGITS)
}

fn is_token(text: &str) -> bool {
    (32..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The id itself where it is a token, otherwise one that only this id has.
fn token_of(id: &str) -> String {
    if is_token(id) {
        return id.to_owned();
    }
    let mut token = hex(digest(|update| update(id.as_bytes())).as_bytes());
    token.truncate(TOKEN_CHARS);
    token
}

fn tag(state: &MacState, timestamp: &str, token: &str) -> Tag {
    state.tag(|update| {
        update(timestamp.as_bytes());
        update(token.as_bytes());
    })
}

#[cfg(test)]
#[path = "tests/mailgun.rs"]
mod tests;
