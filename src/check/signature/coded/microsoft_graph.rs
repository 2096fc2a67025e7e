//! Microsoft Graph: the word `clientState` that was agreed on when the subscription was made, in every item of the body.
//!
//! Nothing is signed: whoever learns the word can send anything, so the proof is that of a token. One body carries the items
//! of many subscriptions, and one of them without the word, or with another, refuses the whole body: the app reads them all.
//! Must never accept a body without an item, nor one that two readers read differently.
//! Source: Microsoft Graph, "Receive change notifications through webhooks", `changeNotificationCollection`.

use http::HeaderName;
use subtle::ConstantTimeEq;

use super::media::Media;
use super::strict_json::{self, Json};
use super::{Coded, Held, tags};
use crate::check::signature::flaw::SchemeProblem;
use crate::check::signature::key::{Check, Key, LabeledKey};
use crate::check::signature::scheme::{Algorithm, SchemeSpec};
use crate::check::signature::sign::{Delivery, SignProblem, Signed};
use crate::check::signature::verified::{Coverage, Field};
use crate::check::signature::{Failure, Head, Options, Proof, Window};
use crate::reject::Reject;

/// The list of items.
const ITEMS: &str = "value";
/// The word.
const WORD: &str = "clientState";
/// What happened: `created`, `updated`, `deleted`.
const KIND: &str = "changeType";

#[derive(Debug)]
struct MicrosoftGraph;

pub(super) fn compile(spec: &SchemeSpec, _options: &Options) -> Result<Box<dyn Coded>, Vec<SchemeProblem>> {
    let mut problems = Vec::new();
    tags::expect_algorithm(spec, Algorithm::Token, &mut problems);
    if problems.is_empty() { Ok(Box::new(MicrosoftGraph)) } else { Err(problems) }
}

impl Coded for MicrosoftGraph {
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
        if Media::of(&held.headers)? != Media::Json {
            return Err(mismatch());
        }
        let document = strict_json::read(body).filter(|it| it.is_plain_about(&[ITEMS])).ok_or_else(mismatch)?;
        let items = document.get(ITEMS).and_then(Json::elements).unwrap_or_default();
        let words: Option<Vec<&str>> = items
            .iter()
            .map(|item| item.get(WORD).and_then(Json::text).filter(|_| item.is_plain_about(&[WORD, KIND])))
            .collect();
        let words = words.filter(|words| !words.is_empty()).ok_or_else(mismatch)?;
        let key = first_that_fits(keys, &words).ok_or_else(mismatch)?;
        let mut kinds = items.iter().map(|item| item.get(KIND).and_then(Json::text));
        let kind = kinds.next().flatten().filter(|first| kinds.all(|other| other == Some(*first)));
        Ok(Proof {
            key,
            id: None,
            event_type: Field::new(None, kind.map(Into::into), false),
            timestamp: None,
            coverage: Coverage::Token,
        })
    }

    fn sign(&self, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
        let Some(Check::Text(word)) = key.map(|key| &key.check) else { return Err(SignProblem::PublicKey) };
        let word = std::str::from_utf8(word).map_err(|_| SignProblem::Body)?;
        let mut document = strict_json::read(delivery.body).ok_or(SignProblem::Body)?;
        let items = document.get_mut(ITEMS).and_then(Json::elements_mut).ok_or(SignProblem::Body)?;
        for item in items {
            item.set_text(WORD, word).ok_or(SignProblem::Body)?;
        }
        Ok(Signed { headers: Vec::new(), body: Some(document.write().ok_or(SignProblem::Body)?), url: None })
    }
}

/// The first key that is the word of every item. All keys and items are compared either way.
fn first_that_fits(keys: &[LabeledKey], words: &[&str]) -> Option<usize> {
    let mut first = None;
    for (index, labeled) in keys.iter().enumerate() {
        let Check::Text(secret) = &labeled.key.check else { continue };
        let fits = words.iter().fold(subtle::Choice::from(1), |all, word| all & word.as_bytes().ct_eq(secret));
        first = first.or(bool::from(fits).then_some(index));
    }
    first
}

#[cfg(test)]
#[path = "tests/microsoft_graph.rs"]
mod tests;
