//! HTTP message signatures: the sender says which parts of the request it signed, and how.
//!
//! The route says which algorithm, and may say which signature and what it has to cover; the request never chooses. A digest
//! of the body (RFC 9530) is checked whenever there is one, and the body counts as signed only where a digest that we know is
//! covered. Must never take a value with two readings: repeated keys, parameters and components are refused, and so is what
//! is written in another way than RFC 9651 serialises it. Sources: RFC 9421, RFC 9530 §2, RFC 9651.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, FieldType as _, InnerList, ListEntry};
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::components::{Component, Message, combined, dictionary, parse_component};
use super::fields::Fields;
use super::{Coded, Held, first_key};
use crate::check::signature::flaw::{SchemeFlaw, SchemeProblem};
use crate::check::signature::key::{Check, Key, KeyKind, LabeledKey};
use crate::check::signature::mac::{Tag, digest};
use crate::check::signature::public_key::PublicAlgorithm;
use crate::check::signature::scheme::{Algorithm, KeyEncoding, SchemeSpec};
use crate::check::signature::sign::{Delivery, SignProblem, Signed};
use crate::check::signature::verified::Coverage;
use crate::check::signature::{Failure, Head, Options, Proof, Window};
use crate::reject::Reject;

const INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The digests that are safe (RFC 9530 §5).
const SHA_256: &str = "sha-256";
const SHA_512: &str = "sha-512";
const KNOWN_DIGESTS: [&str; 2] = [SHA_256, SHA_512];

/// Longest value of each header, in bytes.
const MAX_HEADER: usize = 8 * 1024;
/// Most components of a signature.
const MAX_COMPONENTS: usize = 24;

#[derive(Debug)]
struct MessageSignatures {
    /// Which signature. `None`: there must be one alone.
    label: Option<Box<str>>,
    algorithm: HttpAlgorithm,
    /// What must be covered: one alternative of each.
    required: Vec<Vec<Component>>,
    /// Whether the signature has to say when it was made.
    needs_created: bool,
    fields: Fields,
}

/// An algorithm of RFC 9421 §3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HttpAlgorithm {
    HmacSha256,
    RsaPssSha512,
    RsaSha256,
    EcdsaP256,
    EcdsaP384,
    Ed25519,
}

impl HttpAlgorithm {
    const ALL: [Self; 6] =
        [Self::HmacSha256, Self::RsaPssSha512, Self::RsaSha256, Self::EcdsaP256, Self::EcdsaP384, Self::Ed25519];

    fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::RsaSha256 => "rsa-v1_5-sha256",
            Self::EcdsaP256 => "ecdsa-p256-sha256",
            Self::EcdsaP384 => "ecdsa-p384-sha384",
            Self::Ed25519 => "ed25519",
        }
    }

    fn of(options: &Options) -> Option<Self> {
        let name = options.get("alg")?;
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// What the keys of a route with these options are.
pub(super) fn key_kind(spec: &SchemeSpec, options: &Options) -> Option<(KeyKind, KeyEncoding)> {
    let kind = match HttpAlgorithm::of(options)? {
        HttpAlgorithm::HmacSha256 => return Some((KeyKind::Mac(Algorithm::HmacSha256), spec.key.encoding)),
        HttpAlgorithm::RsaPssSha512 => KeyKind::Public(PublicAlgorithm::RsaPssSha512),
        HttpAlgorithm::RsaSha256 => KeyKind::Public(PublicAlgorithm::RsaSha256),
        HttpAlgorithm::EcdsaP256 => KeyKind::Public(PublicAlgorithm::EcdsaP256Fixed),
        HttpAlgorithm::EcdsaP384 => KeyKind::Public(PublicAlgorithm::EcdsaP384Fixed),
        HttpAlgorithm::Ed25519 => KeyKind::Ed25519,
    };
    Some((kind, KeyEncoding::Spki))
}

pub(super) fn compile(spec: &SchemeSpec, options: &Options) -> Result<Box<dyn Coded>, Vec<SchemeProblem>> {
    let mut problems = Vec::new();
    let fields = Fields::compile(spec, &mut problems);
    let mut problem = |flaw| problems.push(SchemeProblem { field: "options", flaw });
    let algorithm = HttpAlgorithm::of(options);
    match options.get("alg") {
        Some(_) if algorithm.is_some() => {}
        Some(_) => problem(SchemeFlaw::OptionUnusable(
            "alg",
            "is none of hmac-sha256, rsa-pss-sha512, rsa-v1_5-sha256, ecdsa-p256-sha256, ecdsa-p384-sha384 and ed25519",
        )),
        None => problem(SchemeFlaw::OptionMissing("alg".into(), "the algorithm that the sender signs with".into())),
    }
    let label = options.get("label").map(|label| label.as_str().into());
    if options.get("label").is_some_and(|label| sfv::KeyRef::from_str(label).is_err()) {
        problem(SchemeFlaw::OptionUnusable(
            "label",
            "is not a label: it has small letters, digits, `_`, `-`, `.` and `*`",
        ));
    }
    let required = options.get("components").map_or_else(|| Some(Vec::new()), |list| required(list));
    if required.is_none() {
        problem(SchemeFlaw::OptionUnusable("components", "is not a list of component names with commas between them"));
    }
    match (algorithm, required) {
        (Some(algorithm), Some(required)) if problems.is_empty() => Ok(Box::new(MessageSignatures {
            label,
            algorithm,
            required,
            needs_created: spec.timestamp.is_some(),
            fields,
        })),
        (Some(_) | None, Some(_) | None) => Err(problems),
    }
}

/// `@method, @target-uri|@path, content-digest`: commas between what must be covered, bars between alternatives.
fn required(list: &str) -> Option<Vec<Vec<Component>>> {
    list.split(',').map(|entry| entry.split('|').map(|name| parse_component(name.trim())).collect()).collect()
}

/// A signature that is well-formed, but not yet believed.
struct Claim {
    components: Vec<Component>,
    /// What `@signature-params` is.
    parameters: String,
    signature: Vec<u8>,
    /// Unix seconds.
    created: Option<u64>,
    expires: Option<u64>,
}

impl Coded for MessageSignatures {
    fn headers(&self) -> Vec<HeaderName> {
        let required = self.required.iter().filter_map(|entry| match entry.as_slice() {
            [only] => only.field().cloned(),
            _alternatives => None,
        });
        [INPUT, SIGNATURE].into_iter().chain(required).chain(self.fields.headers()).collect()
    }

    fn coverage(&self) -> Coverage {
        let is_digest = |entry: &Vec<Component>| entry.iter().all(covers_a_digest);
        if self.required.iter().any(is_digest) { Coverage::Body } else { Coverage::Token }
    }

    fn signs_id(&self) -> bool {
        self.fields.id_is_in_body() && self.coverage() == Coverage::Body
    }

    fn signs_url(&self) -> bool {
        true
    }

    fn present(&self, head: Head<'_>, window: Window) -> Result<Option<u64>, Failure> {
        let claim = self.claim(head.headers)?;
        claim.check_expiry(window)?;
        let message = Message { method: head.method, url: head.url, headers: head.headers };
        claim.base(&message).ok_or_else(mismatch)?;
        Ok(claim.created)
    }

    fn verify(&self, held: &Held, body: &[u8], keys: &[LabeledKey], window: Window) -> Result<Proof, Failure> {
        let claim = self.claim(&held.headers)?;
        let message = Message { method: &held.method, url: held.url.as_deref(), headers: &held.headers };
        let base = claim.base(&message).ok_or_else(mismatch)?;
        let key = first_key(keys, &base, &claim.signature).ok_or_else(mismatch)?;
        claim.check_expiry(window)?;
        let has_digest = has_digest(&held.headers, body)?;
        let covers_digest = claim.components.iter().any(covers_a_digest);
        let body_is_signed = match (covers_digest, has_digest) {
            (true, false) => return Err(mismatch()),
            (true, true) => true,
            (false, true | false) => false,
        };
        let covers = |name: &HeaderName| claim.components.iter().any(|component| component.is_all_of(name));
        let [id, event_type] = self.fields.read(&held.headers, body, body_is_signed, covers)?;
        let coverage = if body_is_signed { Coverage::Body } else { Coverage::Token };
        Ok(Proof { key, id, event_type, timestamp: claim.created, coverage })
    }

    /// The signature base, with the parameters, and the body that its digest binds: of method, URL and headers what is covered.
    /// Neither the label nor the signature: there are many of ECDSA and RSA-PSS over one base.
    fn content_digest(&self, held: &Held, body: &[u8]) -> Option<Tag> {
        let claim = self.claim(&held.headers).ok()?;
        if !claim.components.iter().any(covers_a_digest) {
            return None;
        }
        let message = Message { method: &held.method, url: held.url.as_deref(), headers: &held.headers };
        let base = claim.base(&message)?;
        Some(digest(|update| {
            update(&base);
            update(b"\n");
            update(body);
        }))
    }

    fn sign(&self, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
        let Some(Check::Mac(state)) = key.map(|key| &key.check) else { return Err(SignProblem::PublicKey) };
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(delivery.body)));
        let mut headers = delivery.headers.clone();
        let digest = HeaderValue::try_from(digest).map_err(|_| SignProblem::Body)?;
        headers.insert(DIGEST, digest.clone());
        let usual = ["@method", "@target-uri", "content-digest"].into_iter().filter_map(parse_component);
        let required = self.required.iter().filter_map(|entry| entry.first().cloned());
        let mut components: Vec<Component> =
            if self.required.is_empty() { usual.collect() } else { required.collect() };
        if headers.contains_key(http::header::CONTENT_TYPE) && self.required.is_empty() {
            components.extend(parse_component("content-type"));
        }
        let names = components.iter().map(Component::identifier).collect::<Vec<_>>().join(" ");
        let parameters = format!("({names});created={}", delivery.timestamp);
        let claim =
            Claim { components, parameters, signature: Vec::new(), created: Some(delivery.timestamp), expires: None };
        let message = Message { method: delivery.method, url: delivery.url, headers: &headers };
        let missing = if delivery.url.is_some() { SignProblem::Body } else { SignProblem::Url };
        let base = claim.base(&message).ok_or(missing)?;
        let signature = STANDARD.encode(state.tag(|update| update(&base)).as_bytes());
        let label = self.label.as_deref().unwrap_or("sig1");
        let value = |text: String| HeaderValue::try_from(text).map_err(|_| SignProblem::Url);
        Ok(Signed::by_headers(vec![
            (DIGEST, digest),
            (INPUT, value(format!("{label}={}", claim.parameters))?),
            (SIGNATURE, value(format!("{label}=:{signature}:"))?),
        ]))
    }
}

impl MessageSignatures {
    /// # Errors
    /// `header_missing`, `header_malformed`; `signature_mismatch` for another label or algorithm, or less than is required.
    fn claim(&self, headers: &HeaderMap) -> Result<Claim, Failure> {
        let read = |name: &HeaderName| {
            let value = combined(headers, name).ok_or_else(|| Failure::at(Reject::HeaderMissing, name))?;
            let value = Some(value).filter(|value| value.len() <= MAX_HEADER).and_then(|value| dictionary(&value));
            value.ok_or_else(|| Failure::at(Reject::HeaderMalformed, name))
        };
        let (inputs, signatures) = (read(&INPUT)?, read(&SIGNATURE)?);
        let input = match &self.label {
            Some(label) => inputs.get(&**label).map(|input| (&**label, input)),
            // Which of several is meant is not for the request to say.
            None if inputs.len() == 1 && signatures.len() == 1 => {
                inputs.first().map(|(label, input)| (label.as_str(), input))
            }
            None => None,
        };
        let (label, input) = input.ok_or_else(|| Failure::at(Reject::SignatureMismatch, &INPUT))?;
        let signature = signatures.get(label).ok_or_else(|| Failure::at(Reject::SignatureMismatch, &SIGNATURE))?;
        let ListEntry::InnerList(list) = input else { return Err(Failure::at(Reject::HeaderMalformed, &INPUT)) };
        let ListEntry::Item(sfv::Item { bare_item: BareItem::ByteSequence(signature), .. }) = signature else {
            return Err(Failure::at(Reject::HeaderMalformed, &SIGNATURE));
        };
        let claim = read_claim(list, signature).ok_or_else(|| Failure::at(Reject::HeaderMalformed, &INPUT))?;
        let is_meant = match list.params.get("alg") {
            Some(BareItem::String(name)) => name.as_str() == self.algorithm.name(),
            Some(_another_type) => false,
            None => true,
        };
        let covers = |entry: &Vec<Component>| {
            entry.iter().any(|wanted| claim.components.iter().any(|component| component.covers(wanted)))
        };
        if !is_meant || !self.required.iter().all(covers) {
            return Err(Failure::at(Reject::SignatureMismatch, &INPUT));
        }
        if self.needs_created && claim.created.is_none() {
            return Err(Failure::at(Reject::TimestampMalformed, &INPUT));
        }
        // A covered field that `Connection` takes away would not reach the app, though the signature is about it.
        let is_taken =
            |component: &Component| component.field().is_some_and(|name| is_named_by_connection(headers, name));
        if claim.components.iter().any(is_taken) {
            return Err(Failure::at(Reject::HeaderMalformed, &http::header::CONNECTION));
        }
        Ok(claim)
    }
}

/// `None`: a component that we cannot take, or one twice, or a parameter of another type.
fn read_claim(list: &InnerList, signature: &[u8]) -> Option<Claim> {
    if list.items.len() > MAX_COMPONENTS {
        return None;
    }
    let mut components = Vec::new();
    for item in &list.items {
        let component = Component::read(item)?;
        if components.contains(&component) {
            return None;
        }
        components.push(component);
    }
    let seconds = |name: &str| match list.params.get(name) {
        None => Some(None),
        Some(BareItem::Integer(seconds)) => u64::try_from(i64::from(*seconds)).ok().map(Some),
        Some(_another_type) => None,
    };
    let is_text = |name: &str| list.params.get(name).is_none_or(|value| value.as_string().is_some());
    if !["nonce", "alg", "keyid", "tag"].into_iter().all(is_text) {
        return None;
    }
    Some(Claim {
        parameters: vec![ListEntry::InnerList(list.clone())].serialize()?,
        signature: signature.to_vec(),
        created: seconds("created")?,
        expires: seconds("expires")?,
        components,
    })
}

impl Claim {
    /// What is signed (RFC 9421 §2.5). `None`: a covered component is not there, or not to be told.
    fn base(&self, message: &Message<'_>) -> Option<Vec<u8>> {
        let mut base = Vec::new();
        for component in &self.components {
            base.extend_from_slice(component.identifier().as_bytes());
            base.extend_from_slice(b": ");
            base.extend_from_slice(&component.value(message)?);
            base.push(b'\n');
        }
        base.extend_from_slice(b"\"@signature-params\": ");
        base.extend_from_slice(self.parameters.as_bytes());
        Some(base)
    }

    fn check_expiry(&self, window: Window) -> Result<(), Failure> {
        match self.expires {
            Some(expires) if expires < window.now => {
                let skew = i128::from(expires).saturating_sub(i128::from(window.now));
                let skew = i64::try_from(skew).ok();
                Err(Failure { reject: Reject::TimestampTooOld, header: Some(INPUT), skew })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether there is a digest that we know, once all of those fit the body.
fn has_digest(headers: &HeaderMap, body: &[u8]) -> Result<bool, Failure> {
    let Some(value) = combined(headers, &DIGEST) else { return Ok(false) };
    let malformed = || Failure::at(Reject::HeaderMalformed, &DIGEST);
    let digests = Some(value).filter(|value| value.len() <= MAX_HEADER).and_then(|value| dictionary(&value));
    let mut is_known = false;
    for (name, digest) in digests.ok_or_else(malformed)? {
        let ListEntry::Item(sfv::Item { bare_item: BareItem::ByteSequence(digest), .. }) = digest else {
            return Err(malformed());
        };
        let fits = match name.as_str() {
            SHA_256 => Sha256::digest(body).as_slice().ct_eq(&digest),
            SHA_512 => Sha512::digest(body).as_slice().ct_eq(&digest),
            _unknown => continue,
        };
        if !bool::from(fits) {
            return Err(Failure::at(Reject::SignatureMismatch, &DIGEST));
        }
        is_known = true;
    }
    Ok(is_known)
}

/// Whether a digest that [`has_digest`] checks is signed with this component.
fn covers_a_digest(component: &Component) -> bool {
    match component {
        Component::Member(name, key) => name == DIGEST && KNOWN_DIGESTS.contains(&key.as_str()),
        component => component.is_all_of(&DIGEST),
    }
}

fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    let lists = headers.get_all(http::header::CONNECTION).iter();
    lists
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|entry| entry.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
}

fn mismatch() -> Failure {
    Failure::at(Reject::SignatureMismatch, &SIGNATURE)
}

#[cfg(test)]
#[path = "tests/rfc9421.rs"]
mod tests;
