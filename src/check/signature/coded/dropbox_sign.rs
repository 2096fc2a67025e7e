//! Dropbox Sign (HelloSign): HMAC-SHA256 over the time and the type of the event, inside of the body. Nothing else is signed.
//!
//! The JSON is the field `json` of a `multipart/form-data` body, or of a form, or the body itself. The time is the event's own,
//! not the attempt's: retries keep it for three days, so there is no window, and whoever has seen one genuine delivery can put its
//! hash under any event of the same type for ever. Time and type are joined without a separator: the one is digits, the other
//! begins with a letter. Two events of one type in the same second have the same hash, so it is no id. Must never call
//! anything but time and type signed.
//! Source: Dropbox Sign "Events walkthrough", `@dropbox/sign` 1.11.0 `EventCallbackHelper`.

use http::HeaderName;

use super::media::Media;
use super::strict_json::{self, Json};
use super::{Coded, Held, form, multipart, tags};
use crate::check::signature::flaw::SchemeProblem;
use crate::check::signature::key::{Key, LabeledKey};
use crate::check::signature::mac::{MacState, Tag};
use crate::check::signature::scheme::{Algorithm, SchemeSpec};
use crate::check::signature::sign::{Delivery, SignProblem, Signed, hex};
use crate::check::signature::verified::{Coverage, Field};
use crate::check::signature::{Failure, Head, Options, Proof, Window, is_presentable, stamp};
use crate::reject::Reject;

/// The field that has the JSON.
const FIELD: &str = "json";

#[derive(Debug)]
struct DropboxSign;

pub(super) fn compile(spec: &SchemeSpec, _options: &Options) -> Result<Box<dyn Coded>, Vec<SchemeProblem>> {
    let mut problems = Vec::new();
    tags::expect_algorithm(spec, Algorithm::HmacSha256, &mut problems);
    if problems.is_empty() { Ok(Box::new(DropboxSign)) } else { Err(problems) }
}

impl Coded for DropboxSign {
    fn headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    fn coverage(&self) -> Coverage {
        Coverage::Token
    }

    fn signs_id(&self) -> bool {
        false
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
        let document = document(&Media::of(&held.headers)?, body).ok_or_else(mismatch)?;
        let event = document.get("event").ok_or_else(mismatch)?;
        if !(document.is_plain_about(&["event"]) && event.is_plain_about(&["event_hash", "event_time", "event_type"])) {
            return Err(mismatch());
        }
        let text = |name: &str| event.get(name).and_then(Json::text).ok_or_else(mismatch);
        let hash: [u8; 32] = tags::hex(text("event_hash")?.as_bytes()).ok_or_else(mismatch)?;
        let (time, kind) = (text("event_time")?, text("event_type")?);
        if stamp::number(time.as_bytes()).is_none() {
            return Err(Failure::of(Reject::TimestampMalformed));
        }
        if !is_kind(kind) {
            return Err(mismatch());
        }
        let key = tags::first_that(keys, |state| tag(state, time, kind).is(&hash)).ok_or_else(mismatch)?;
        Ok(Proof {
            key,
            id: None,
            event_type: Field::new(None, Some(kind.into()), true),
            timestamp: None,
            coverage: Coverage::Token,
        })
    }

    fn sign(&self, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
        let state = tags::signing(key)?;
        let time = delivery.timestamp.to_string();
        let body = strict_json::read(delivery.body)
            .filter(|_| stamp::number(time.as_bytes()).is_some())
            .and_then(|mut document| {
                let event = document.get_mut("event")?;
                let kind = event.get("event_type")?.text().filter(|kind| is_kind(kind))?;
                let hash = hex(tag(state, &time, kind).as_bytes());
                event.set_text("event_time", &time)?;
                event.set_text("event_hash", &hash)?;
                document.write()
            })
            .ok_or(SignProblem::Body)?;
        Ok(Signed { headers: Vec::new(), body: Some(body), url: None })
    }
}

/// The JSON. `None`: not there, there twice, or not JSON.
fn document(media: &Media, body: &[u8]) -> Option<Json> {
    match media {
        Media::Json => strict_json::read(body),
        Media::Form => strict_json::read(form::once(&form::read(body)?, FIELD)?.as_bytes()),
        Media::Multipart(boundary) => {
            strict_json::read(multipart::once(&multipart::read(body, boundary)?, FIELD)?.as_bytes())
        }
        Media::Text | Media::Other => None,
    }
}

/// Whether a type is written as all of them are, so that no digit of the time fits at its start.
fn is_kind(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    is_presentable(text) && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(is_plain)
}

fn tag(state: &MacState, time: &str, kind: &str) -> Tag {
    state.tag(|update| {
        update(time.as_bytes());
        update(kind.as_bytes());
    })
}

#[cfg(test)]
#[path = "tests/dropbox_sign.rs"]
mod tests;
