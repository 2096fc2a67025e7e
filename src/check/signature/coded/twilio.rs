//! Twilio: HMAC-SHA1 over the URL and the decoded form, or over a URL that holds the hash of any other body.
//!
//! A form is signed as the URL and then each name and value, sorted, repeated pairs once, nothing in between. A body of
//! another type has its SHA-256 in the URL, `bodySHA256`, which Twilio appends; only the URL is signed then. Which port and
//! which spelling of quotes are signed differs between Twilio's products, so the official library tries several: so do we.
//!
//! Nothing separates names, values and the URL, so whoever has seen one genuine request with its signature can cut the same
//! text in other places, for ever: there is no time in it either. What no genuine request needs is refused: names that do
//! not begin with a letter or have other characters than letters, digits and `_ - . [ ]`; forms in more than one spelling;
//! a hash that is not the last thing in the URL (text of the form could otherwise pose as one). What remains: text inside of
//! a value may be read as further names and values that sort behind it, and as the rest of the query of a request without a
//! form. Repeated pairs may be repeated more often, and all pairs come in any order. Signatures must not leak. Must never
//! take a body that is neither a form nor hashed.
//!
//! The SID names the message or the call, of which there are many deliveries: no duplicate can be told by it.
//! Sources: Twilio "Webhooks security" (twilio.com/docs/usage/webhooks/webhooks-security), twilio-node 6.2.0 `webhooks.ts`,
//! twilio-python 9.13.0 `request_validator.py`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use subtle::{Choice, ConstantTimeEq};

use super::form::{self, Field as FormField};
use super::media::Media;
use super::{Coded, Held, tags};
use crate::check::signature::flaw::SchemeProblem;
use crate::check::signature::key::{Key, LabeledKey};
use crate::check::signature::mac::{MacState, Tag, digest};
use crate::check::signature::scheme::{Algorithm, SchemeSpec, SignatureEncoding};
use crate::check::signature::sign::{Delivery, SignProblem, Signed, hex};
use crate::check::signature::template::single;
use crate::check::signature::verified::{Coverage, Field};
use crate::check::signature::{Failure, Head, Options, Proof, Window, is_presentable};
use crate::reject::Reject;

/// Bytes of a signature.
const LEN: usize = 20;
/// The query parameter that holds the body's hash.
const HASH: &str = "bodySHA256";
/// What a delivery is about, the most telling one first.
const SIDS: [&str; 3] = ["MessageSid", "SmsSid", "CallSid"];

#[derive(Debug)]
struct Twilio {
    header: HeaderName,
}

pub(super) fn compile(spec: &SchemeSpec, _options: &Options) -> Result<Box<dyn Coded>, Vec<SchemeProblem>> {
    let mut problems = Vec::new();
    tags::expect_algorithm(spec, Algorithm::HmacSha1, &mut problems);
    let header = tags::signature_header(spec, SignatureEncoding::Base64, &mut problems);
    match header {
        Some(header) if problems.is_empty() => Ok(Box::new(Twilio { header })),
        Some(_) | None => Err(problems),
    }
}

impl Twilio {
    fn shown(&self, headers: &http::HeaderMap) -> Result<[u8; LEN], Failure> {
        let value = single(headers, &self.header)?;
        tags::base64(value.as_bytes()).ok_or_else(|| Failure::at(Reject::HeaderMalformed, &self.header))
    }
}

impl Coded for Twilio {
    fn headers(&self) -> Vec<HeaderName> {
        vec![self.header.clone()]
    }

    fn coverage(&self) -> Coverage {
        Coverage::Partial
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
        let media = said(&held.headers)?;
        let url = held.url.as_deref().ok_or_else(mismatch)?;
        let params = signed_params(url, media.as_ref(), body).ok_or_else(mismatch)?;
        let spellings = spellings(url).ok_or_else(mismatch)?;
        let key = tags::first_that(keys, |state| {
            spellings.iter().fold(Choice::from(0), |fits, url| fits | tag(state, url, &params).is(&shown))
        })
        .ok_or_else(mismatch)?;
        let field = |name: &str| {
            let text = form::once(&params, name).filter(|text| is_presentable(text));
            Field::new(None, text.map(Into::into), true)
        };
        Ok(Proof {
            key,
            id: SIDS.iter().find_map(|name| field(name)),
            event_type: field("EventType"),
            timestamp: None,
            coverage: Coverage::Partial,
        })
    }

    fn sign(&self, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
        let state = tags::signing(key)?;
        let url = delivery.url.ok_or(SignProblem::Url)?;
        let media = said(delivery.headers).map_err(|_| SignProblem::Body)?;
        let is_hashed = !delivery.body.is_empty() && media != Some(Media::Form);
        let hashed = is_hashed.then(|| with_hash(url, delivery.body));
        let url = hashed.as_deref().unwrap_or(url);
        let problem = if is_hashed { SignProblem::Url } else { SignProblem::Body };
        let params = signed_params(url, media.as_ref(), delivery.body).ok_or(problem)?;
        let signature = STANDARD.encode(tag(state, url, &params).as_bytes());
        let signature = HeaderValue::try_from(signature).map_err(|_| SignProblem::Body)?;
        Ok(Signed { headers: vec![(self.header.clone(), signature)], body: None, url: hashed })
    }
}

/// What the body is. `None`: the sender does not say.
fn said(headers: &http::HeaderMap) -> Result<Option<Media>, Failure> {
    let media = Media::of(headers)?;
    Ok(headers.contains_key(http::header::CONTENT_TYPE).then_some(media))
}

/// The form's pairs as they are signed, none where the URL alone is. `None`: nothing that Twilio would sign.
fn signed_params(url: &str, media: Option<&Media>, body: &[u8]) -> Option<Vec<FormField>> {
    if url.contains('#') {
        return None;
    }
    if let Some(hash) = body_hash(url)? {
        let is_body = bool::from(digest(|update| update(body)).as_bytes().ct_eq(&hash));
        return is_body.then(Vec::new);
    }
    if body.is_empty() {
        return Some(Vec::new());
    }
    if media != Some(&Media::Form) {
        return None;
    }
    let mut params = form::read(body)?;
    if !params.iter().all(|(name, _)| is_name(name)) {
        return None;
    }
    params.sort_unstable();
    params.dedup();
    Some(params)
}

/// The hash at the end of the URL. Inner `None`: it has none. Outer `None`: it has one elsewhere, or a broken one.
#[expect(clippy::option_option, reason = "having none and having a wrong one are two answers")]
fn body_hash(url: &str) -> Option<Option<[u8; 32]>> {
    let (_, query) = url.split_once('?').unwrap_or_default();
    // Twilio's forms have an account. One whose parameters were moved into the URL, up to one that names a hash, has it there.
    if query.contains(HASH) && query.contains("AccountSid") {
        return None;
    }
    let count = query.split('&').filter(|parameter| parameter.split('=').next() == Some(HASH)).count();
    if count == 0 {
        return Some(None);
    }
    let last = query.rsplit('&').next()?.strip_prefix(HASH)?.strip_prefix('=')?;
    tags::hex(last.as_bytes()).filter(|_| count == 1).map(Some)
}

fn with_hash(url: &str, body: &[u8]) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{HASH}={}", hex(digest(|update| update(body)).as_bytes()))
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(is_plain)
}

fn tag(state: &MacState, url: &str, params: &[FormField]) -> Tag {
    state.tag(|update| {
        update(url.as_bytes());
        for (name, value) in params {
            update(name.as_bytes());
            update(value.as_bytes());
        }
    })
}

/// The URL without and with a port, and its query as it may have been spelled. `None`: not an absolute URL.
fn spellings(url: &str) -> Option<Vec<String>> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end)?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        Some(_) | None => (authority, if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" }),
    };
    let mut targets = vec![target.to_owned()];
    if let Some((path, query)) = target.split_once('?') {
        // A URL parser escapes the apostrophe, and the legacy serializer writes it plainly, among other differences.
        targets.push(format!("{path}?{}", query.replace('\'', "%27")));
        targets.extend(written_again(query).map(|query| format!("{path}?{query}")));
    }
    targets.dedup();
    let urls = targets
        .iter()
        .flat_map(|target| [format!("{scheme}://{host}{target}"), format!("{scheme}://{host}:{port}{target}")]);
    Some(urls.collect())
}

/// The query as Node's legacy `querystring` writes it again. `None`: not a query that every parser reads alike.
fn written_again(query: &str) -> Option<String> {
    let parameter = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let again = |text: &str| form::decode(text.as_bytes()).map(|text| form::escaped(&text, form::MARKS));
        Some(format!("{}={}", again(name)?, again(value)?))
    };
    query.split('&').map(parameter).collect::<Option<Vec<_>>>().map(|parameters| parameters.join("&"))
}

#[cfg(test)]
#[path = "tests/twilio.rs"]
mod tests;
