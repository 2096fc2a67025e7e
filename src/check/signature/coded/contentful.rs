//! Contentful: HMAC-SHA256 over method, path, the headers that the sender lists, and the body.
//!
//! Signed is `METHOD\nPATH\nNAME:VALUE;NAME:VALUE\nBODY`, the headers sorted by name, among them the list itself and the time.
//! The official library escapes the query and then the whole path once more, and so do we; a path behind a second `?` it
//! drops, so such a request is refused. Of the URL only path and query count, as the sender saw them: a prefix that an
//! ingress removed has to be put back by whoever fills in [`Head::url`]. Bytes of a header beyond ASCII are signed as
//! Latin-1, as Node reads them. A value that holds `;NAME:` of a listed name could be cut in two places and is refused. Headers
//! that are not listed are not signed: the id counts only when it is.
//! Sources: Contentful "Request verification", @contentful/node-apps-toolkit 3.16.1 `src/requests`.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::form::{MARKS, escaped};
use super::{Coded, Held, tags};
use crate::check::signature::flaw::{SchemeFlaw, SchemeProblem};
use crate::check::signature::key::{Key, LabeledKey};
use crate::check::signature::mac::{Tag, digest};
use crate::check::signature::scheme::{Algorithm, FieldSpec, SchemeSpec, SignatureEncoding, TimeUnit};
use crate::check::signature::sign::{Delivery, SignProblem, Signed, hex};
use crate::check::signature::stamp::{self, Stamp};
use crate::check::signature::template::single;
use crate::check::signature::verified::{Coverage, Field};
use crate::check::signature::{Failure, Head, Options, Proof, Window, is_presentable};
use crate::reject::Reject;

/// Lists the signed headers.
static LIST: HeaderName = HeaderName::from_static("x-contentful-signed-headers");
/// Most headers of a list, and its longest text in bytes.
const MAX_LISTED: usize = 64;
const MAX_LIST: usize = 4096;
/// What `encodeURI` keeps beside letters and digits.
const WHOLE: &[u8] = b";,/?:@&=+$-_.!~*'()#";

#[derive(Debug)]
struct Contentful {
    signature: HeaderName,
    timestamp: HeaderName,
    id: Option<HeaderName>,
    event_type: Option<HeaderName>,
}

pub(super) fn compile(spec: &SchemeSpec, _options: &Options) -> Result<Box<dyn Coded>, Vec<SchemeProblem>> {
    let mut problems = Vec::new();
    tags::expect_algorithm(spec, Algorithm::HmacSha256, &mut problems);
    let signature = tags::signature_header(spec, SignatureEncoding::Hex, &mut problems);
    let time = spec.timestamp.as_ref();
    let names = time.and_then(|time| time.header.as_ref());
    if names.is_none() {
        problems.push(SchemeProblem { field: "timestamp.header", flaw: SchemeFlaw::Missing });
    }
    let timestamp = names.and_then(|names| tags::header(names, "timestamp.header", &mut problems));
    if time.is_some_and(|time| time.unit != TimeUnit::Ms) {
        problems.push(SchemeProblem { field: "timestamp.unit", flaw: SchemeFlaw::NotThisAlgorithm });
    }
    let mut optional = |spec: Option<&FieldSpec>, field: &'static str| {
        spec.and_then(|spec| spec.header.as_ref()).and_then(|names| tags::header(names, field, &mut problems))
    };
    let id = optional(spec.id.as_ref(), "id.header");
    let event_type = optional(spec.event_type.as_ref(), "event_type.header");
    match (signature, timestamp) {
        (Some(signature), Some(timestamp)) if problems.is_empty() => {
            Ok(Box::new(Contentful { signature, timestamp, id, event_type }))
        }
        (Some(_) | None, Some(_) | None) => Err(problems),
    }
}

/// What the head shows, complete and well-formed.
struct Shown {
    signature: [u8; 32],
    stamp: Stamp,
    /// Sorted by name, with their values as they are signed.
    listed: Vec<(HeaderName, String)>,
}

impl Contentful {
    fn shown(&self, headers: &HeaderMap) -> Result<Shown, Failure> {
        let malformed = |name: &HeaderName| Failure::at(Reject::HeaderMalformed, name);
        let signature = single(headers, &self.signature)?;
        let list = single(headers, &LIST)?;
        let stamp = single(headers, &self.timestamp)?;
        for name in self.id.iter().chain(&self.event_type).filter(|name| headers.contains_key(*name)) {
            single(headers, name)?;
        }
        let signature = tags::hex(signature.as_bytes()).ok_or_else(|| malformed(&self.signature))?;
        let stamp = Stamp::parse(stamp.as_bytes(), TimeUnit::Ms)
            .ok_or_else(|| Failure::at(Reject::TimestampMalformed, &self.timestamp))?;
        let names = self.names(list).ok_or_else(|| malformed(&LIST))?;
        let sorted_list = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(",");
        let mut listed = Vec::with_capacity(names.len());
        for name in names {
            let value = latin1(single(headers, &name)?);
            let value = if name == LIST { sorted_list.clone() } else { value };
            listed.push((name, value));
        }
        let holds_another = |value: &str| listed.iter().any(|(name, _)| value.contains(&format!(";{name}:")));
        if let Some((name, _)) = listed.iter().find(|(_, value)| holds_another(value)) {
            return Err(malformed(name));
        }
        Ok(Shown { signature, stamp, listed })
    }

    /// The names of a list, sorted. `None`: not plain lower-case names, one twice, or one missing that must be signed.
    fn names(&self, list: &HeaderValue) -> Option<Vec<HeaderName>> {
        let list = list.to_str().ok().filter(|list| list.len() <= MAX_LIST)?;
        let mut names: Vec<HeaderName> = Vec::new();
        for text in list.split(',') {
            let name = HeaderName::try_from(text).ok().filter(|name| name.as_str() == text)?;
            if names.len() >= MAX_LISTED || names.contains(&name) || name == self.signature {
                return None;
            }
            names.push(name);
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        (names.contains(&LIST) && names.contains(&self.timestamp)).then_some(names)
    }

    fn field(headers: &HeaderMap, name: Option<&HeaderName>, is_signed: bool) -> Option<Field> {
        let value = headers.get(name?)?;
        let is_fit = std::str::from_utf8(value.as_bytes()).is_ok_and(is_presentable);
        Field::new(Some(value).filter(|_| is_fit), None, is_signed)
    }
}

impl Coded for Contentful {
    fn headers(&self) -> Vec<HeaderName> {
        [&self.signature, &LIST, &self.timestamp].into_iter().chain(&self.id).chain(&self.event_type).cloned().collect()
    }

    fn coverage(&self) -> Coverage {
        Coverage::Body
    }

    fn signs_id(&self) -> bool {
        self.id.is_some()
    }

    fn signs_url(&self) -> bool {
        true
    }

    fn present(&self, head: Head<'_>, _window: Window) -> Result<Option<u64>, Failure> {
        self.shown(head.headers).map(|shown| Some(shown.stamp.seconds()))
    }

    fn verify(&self, held: &Held, body: &[u8], keys: &[LabeledKey], _window: Window) -> Result<Proof, Failure> {
        let mismatch = || Failure::of(Reject::SignatureMismatch);
        let shown = self.shown(&held.headers)?;
        let path = held.url.as_deref().and_then(canonical_path).ok_or_else(mismatch)?;
        let key = tags::first_that(keys, |state| {
            state.tag(|update| feed(&held.method, &path, &shown.listed, body, update)).is(&shown.signature)
        })
        .ok_or_else(mismatch)?;
        let is_listed = |name: &&HeaderName| shown.listed.iter().any(|(listed, _)| listed == *name);
        let signed_id = self.id.as_ref().filter(is_listed);
        let is_type_signed = self.event_type.as_ref().is_some_and(|name| is_listed(&name));
        Ok(Proof {
            key,
            id: Self::field(&held.headers, signed_id, true),
            event_type: Self::field(&held.headers, self.event_type.as_ref(), is_type_signed),
            timestamp: Some(shown.stamp.seconds()),
            coverage: Coverage::Body,
        })
    }

    /// As it is signed: not the URL, of which several have one canonical path, nor a header that is not listed.
    fn content_digest(&self, held: &Held, body: &[u8]) -> Option<Tag> {
        let shown = self.shown(&held.headers).ok()?;
        let path = canonical_path(held.url.as_deref()?)?;
        Some(digest(|update| feed(&held.method, &path, &shown.listed, body, update)))
    }

    fn sign(&self, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
        let state = tags::signing(key)?;
        let path = delivery.url.and_then(canonical_path).ok_or(SignProblem::Url)?;
        let value = |text: &str| HeaderValue::try_from(text).map_err(|_| SignProblem::Id);
        let mut added = vec![(self.timestamp.clone(), value(&stamp::write(delivery.timestamp, TimeUnit::Ms))?)];
        if let Some(name) = &self.id {
            added.push((name.clone(), value(delivery.id)?));
        }
        let given = self.event_type.iter().filter(|name| delivery.headers.contains_key(*name));
        let mut names: Vec<&str> = added.iter().map(|(name, _)| name.as_str()).collect();
        names.push(LIST.as_str());
        names.extend(given.map(HeaderName::as_str));
        names.sort_unstable();
        let list = value(&names.join(","))?;
        added.push((LIST.clone(), list));

        let mut headers = delivery.headers.clone();
        headers.extend(added.iter().map(|(name, value)| (Some(name.clone()), value.clone())));
        // The head is judged as the receiver would, with a signature that only has the right form.
        headers.insert(self.signature.clone(), value(&hex(&[0; 32]))?);
        let shown = self.shown(&headers).map_err(|_| SignProblem::Id)?;
        let tag = state.tag(|update| feed(delivery.method, &path, &shown.listed, delivery.body, update));
        let signature = hex(tag.as_bytes());
        added.insert(0, (self.signature.clone(), value(&signature)?));
        Ok(Signed::by_headers(added))
    }
}

/// What is signed.
fn feed(method: &Method, path: &str, listed: &[(HeaderName, String)], body: &[u8], update: &mut dyn FnMut(&[u8])) {
    update(method.as_str().as_bytes());
    update(b"\n");
    update(path.as_bytes());
    for (index, (name, value)) in listed.iter().enumerate() {
        update(if index == 0 { b"\n" } else { b";" });
        update(name.as_str().as_bytes());
        update(b":");
        update(value.as_bytes());
    }
    update(b"\n");
    update(body);
}

fn latin1(value: &HeaderValue) -> String {
    let text: String = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    text.trim_matches([' ', '\t']).to_owned()
}

/// Path and query as the library writes them. `None`: not an absolute URL, or one of which it would drop a part.
fn canonical_path(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let target = rest.get(rest.find(['/', '?'])?..)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !path.starts_with('/') || query.contains('?') || target.contains('#') {
        return None;
    }
    let mut canonical = escaped(path, WHOLE);
    if !query.is_empty() {
        canonical.push('?');
        canonical.push_str(&escaped(&escaped(query, MARKS), WHOLE));
    }
    Some(canonical)
}

#[cfg(test)]
#[path = "tests/contentful.rs"]
mod tests;
