//! Mandrill (Mailchimp Transactional): HMAC-SHA1 over the URL and the decoded form.
//!
//! The URL is the text that was entered at Mandrill, query and credentials included, and is taken as it is. Credentials come as
//! basic authorization, so the URL is tried with those too: only such as need no escape, or a path could pose as them. Then
//! come name and value of each field, sorted by name, nothing in between. There is one field, `mandrill_events`, a JSON
//! array. Nothing separates it from the URL: whoever has seen a genuine request can move the cut, but the field must be there
//! under its name, and quotes in the text of an event are escaped, so no other cut leaves an array with an event in it. Must
//! never take a field twice: the sender's PHP keeps only one. A batch has many events, so there is neither id nor type.
//! Source: Mandrill "How to Authenticate Webhook Requests"; django-anymail `webhooks/mandrill.py` and its issue 48 (credentials).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use subtle::Choice;

use super::form::{self, Field as FormField};
use super::media::Media;
use super::{Coded, Held, tags};
use crate::check::signature::flaw::SchemeProblem;
use crate::check::signature::key::{Key, LabeledKey};
use crate::check::signature::mac::{Tag, digest};
use crate::check::signature::scheme::{Algorithm, SchemeSpec, SignatureEncoding};
use crate::check::signature::sign::{Delivery, SignProblem, Signed};
use crate::check::signature::template::single;
use crate::check::signature::verified::Coverage;
use crate::check::signature::{Failure, Head, Options, Proof, Window};
use crate::reject::Reject;

/// Bytes of a signature.
const LEN: usize = 20;

#[derive(Debug)]
struct Mandrill {
    header: HeaderName,
}

pub(super) fn compile(spec: &SchemeSpec, _options: &Options) -> Result<Box<dyn Coded>, Vec<SchemeProblem>> {
    let mut problems = Vec::new();
    tags::expect_algorithm(spec, Algorithm::HmacSha1, &mut problems);
    let header = tags::signature_header(spec, SignatureEncoding::Base64, &mut problems);
    match header {
        Some(header) if problems.is_empty() => Ok(Box::new(Mandrill { header })),
        Some(_) | None => Err(problems),
    }
}

impl Mandrill {
    fn shown(&self, headers: &HeaderMap) -> Result<[u8; LEN], Failure> {
        let value = single(headers, &self.header)?;
        tags::base64(value.as_bytes()).ok_or_else(|| Failure::at(Reject::HeaderMalformed, &self.header))
    }
}

impl Coded for Mandrill {
    fn headers(&self) -> Vec<HeaderName> {
        vec![self.header.clone()]
    }

    fn coverage(&self) -> Coverage {
        Coverage::Body
    }

    fn signs_id(&self) -> bool {
        false
    }

    fn signs_url(&self) -> bool {
        true
    }

    fn present(&self, head: Head<'_>, _window: Window) -> Result<Option<u64>, Failure> {
        self.shown(head.headers)?;
        Media::of(head.headers)?;
        Ok(None)
    }

    fn verify(&self, held: &Held, body: &[u8], keys: &[LabeledKey], _window: Window) -> Result<Proof, Failure> {
        let mismatch = || Failure::of(Reject::SignatureMismatch);
        let shown = self.shown(&held.headers)?;
        let url = held.url.as_deref().ok_or_else(mismatch)?;
        let params = signed_params(&held.headers, body).ok_or_else(mismatch)?;
        let with_credentials = with_credentials(url, &held.headers);
        let key = tags::first_that(keys, |state| {
            [Some(url), with_credentials.as_deref()]
                .into_iter()
                .flatten()
                .fold(Choice::from(0), |fits, url| fits | state.tag(|update| feed(url, &params, update)).is(&shown))
        })
        .ok_or_else(mismatch)?;
        Ok(Proof { key, id: None, event_type: None, timestamp: None, coverage: Coverage::Body })
    }

    /// The URL and the decoded fields: not their order, nor how they are escaped, nor the method.
    fn content_digest(&self, held: &Held, body: &[u8]) -> Option<Tag> {
        let params = signed_params(&held.headers, body)?;
        let url = held.url.as_deref()?;
        Some(digest(|update| feed(url, &params, update)))
    }

    fn sign(&self, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
        let state = tags::signing(key)?;
        let url = delivery.url.ok_or(SignProblem::Url)?;
        let params = signed_params(delivery.headers, delivery.body).ok_or(SignProblem::Body)?;
        let signature = STANDARD.encode(state.tag(|update| feed(url, &params, update)).as_bytes());
        let signature = HeaderValue::try_from(signature).map_err(|_| SignProblem::Body)?;
        Ok(Signed::by_headers(vec![(self.header.clone(), signature)]))
    }
}

/// The fields, sorted, each once. `None`: not a form that Mandrill could have sent.
fn signed_params(headers: &HeaderMap, body: &[u8]) -> Option<Vec<FormField>> {
    if Media::of(headers) != Ok(Media::Form) {
        return None;
    }
    let mut params = form::read(body)?;
    params.sort_unstable();
    let repeats = params.iter().zip(params.iter().skip(1)).any(|((name, _), (next, _))| name == next);
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_genuine = !repeats && params.iter().all(|(name, _)| is_plain(name) && !name.is_empty());
    (is_genuine && form::once(&params, "mandrill_events").is_some()).then_some(params)
}

/// The URL as it was entered, where it holds a user and a password. Source: RFC 7617 §2 (Basic), RFC 3986 §2.3 (what needs no
/// escape).
fn with_credentials(url: &str, headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = single(headers, &AUTHORIZATION).ok()?.to_str().ok()?.split_once(' ')?;
    let credentials = STANDARD.decode(token).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (user, password) = std::str::from_utf8(&credentials).ok()?.split_once(':')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if ![user, password].iter().all(|part| !part.is_empty() && part.bytes().all(is_plain)) {
        return None;
    }
    let (origin, rest) = url.split_once("://")?;
    Some(format!("{origin}://{user}:{password}@{rest}"))
}

/// What is signed.
fn feed(url: &str, params: &[FormField], update: &mut dyn FnMut(&[u8])) {
    update(url.as_bytes());
    for (name, value) in params {
        update(name.as_bytes());
        update(value.as_bytes());
    }
}

#[cfg(test)]
#[path = "tests/mandrill.rs"]
mod tests;
