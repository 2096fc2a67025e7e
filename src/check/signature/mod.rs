//! Is this delivery genuine? [`present`] looks at the headers before the body is read, [`verify`] at everything.
//!
//! The order is fixed: a complete set of headers, each once and well-formed; the timestamp inside the window; the MAC over
//! the raw bytes; the window again with a fresh `now`; only then is anything believed, and the JSON looked at. [`Verified`]
//! is the proof, and nothing but [`verify`] makes one. Must never read a clock, decode or rewrite what is signed, leave a
//! loop early because of secret bytes, or print a signature.
//! Sources: RFC 2104 (HMAC), RFC 8032 (Ed25519), the Standard Webhooks specification 1.0.0, and the vendors' pages named in
//! `src/providers/catalog.toml`.

mod compile;
mod content;
mod family;
mod foreign;
mod grammar;
mod json;
mod key;
mod mac;
pub mod scheme;
mod sign;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::compile::{SchemeFlaw, SchemeProblem};
pub use self::foreign::ForeignHeaders;
pub use self::key::{Key, KeyProblem, KeyWarning, LabeledKey};
pub use self::scheme::SchemeSpec;
pub use self::sign::{Delivery, SignProblem, sign};

use self::content::Template;
use self::family::{Family, Source, TimeSource};
use self::grammar::{Grammar, Stamp, Summary};
use self::key::KeyForms;
use self::scheme::TimeUnit;
use crate::check::window;
use crate::reject::Reject;

/// Longest signature header, in bytes: room for [`grammar::MAX_ENTRIES`] signatures.
const MAX_SIGNATURE_HEADER: usize = 8 * 1024;
/// Longest id, event type or timestamp header, in bytes.
const MAX_FIELD: usize = 256;

/// How a provider signs, compiled: made once at load by [`Scheme::compile`].
#[derive(Debug)]
pub struct Scheme {
    name: Box<str>,
    /// Never empty.
    families: Vec<Family>,
    /// Every header of every family, once.
    headers: Vec<HeaderName>,
    grammar: Grammar,
    time: Option<Time>,
    content: Template,
    keys: KeyForms,
    id: Option<Source>,
    event_type: Option<Source>,
    refuse_empty_body: bool,
}

/// Where the signed time is, and how far off it may be.
#[derive(Debug)]
struct Time {
    source: TimeSource,
    unit: TimeUnit,
    /// Seconds.
    tolerance: u64,
}

impl Scheme {
    /// The provider's or custom scheme's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds either way that the scheme itself allows. `None`: nothing says when a delivery was signed.
    pub fn default_tolerance(&self) -> Option<u64> {
        self.time.as_ref().map(|time| time.tolerance)
    }

    /// Whether the body is part of what is signed.
    pub fn signs_body(&self) -> bool {
        self.content.has_body()
    }

    /// Whether the delivery's id is part of what is signed, so that a duplicate can be told by it.
    pub fn signs_id(&self) -> bool {
        match self.id {
            Some(Source::Header) => self.content.has_id(),
            Some(Source::Json(_)) => self.content.has_body(),
            None => false,
        }
    }

    /// Every header that the scheme reads, of all families: signature, timestamp, id, type and required ones.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> + Clone {
        self.headers.iter()
    }

    /// The number of header families; [`Verified::family`] is below it.
    pub fn families(&self) -> usize {
        self.families.len()
    }
}

/// Why a delivery is refused, with what the log may say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The row of the reject table.
    pub reject: Reject,
    /// The header that is to blame.
    pub header: Option<HeaderName>,
    /// Timestamp minus now, in seconds: negative for an old one.
    pub skew: Option<i64>,
}

impl Failure {
    fn of(reject: Reject) -> Self {
        Self { reject, header: None, skew: None }
    }

    fn at(reject: Reject, header: &HeaderName) -> Self {
        Self { reject, header: Some(header.clone()), skew: None }
    }
}

/// The signature headers of one request, complete and well-formed, but not yet believed.
///
/// Holds cheap clones, so the request's headers may change afterwards.
#[derive(Clone)]
pub struct Presented {
    family: usize,
    signature: HeaderValue,
    stamp: Option<Stamp>,
    id: Option<HeaderValue>,
    event_type: Option<HeaderValue>,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.stamp.as_ref().map(Stamp::seconds);
        f.debug_struct("Presented").field("family", &self.family).field("timestamp", &seconds).finish_non_exhaustive()
    }
}

/// Looks at the headers alone, so that a hopeless request is refused before its body is read.
///
/// `now` in unix seconds, `tolerance` in seconds either way.
///
/// # Errors
/// `header_missing`, `header_repeated`, `header_malformed`, `timestamp_malformed`, `timestamp_too_old`,
/// `timestamp_in_future`; `signature_mismatch` when every signature is of a version that the scheme does not know.
pub fn present(scheme: &Scheme, headers: &HeaderMap, now: u64, tolerance: u64) -> Result<Presented, Failure> {
    let (index, family) = choose_family(scheme, headers)?;

    // Presence of all before the form of any: "missing" is the more useful answer.
    let signature = single(headers, &family.signature)?;
    let time_header =
        family.timestamp.as_ref().map(|name| single(headers, name).map(|value| (name, value))).transpose()?;
    let signed_id = match &family.id {
        Some(name) if scheme.content.has_id() => Some((name, single(headers, name)?)),
        _ => None,
    };
    for name in &family.required {
        if single(headers, name)?.is_empty() {
            return Err(Failure::at(Reject::HeaderMalformed, name));
        }
    }

    if !is_plain(signature, MAX_SIGNATURE_HEADER) {
        return Err(Failure::at(Reject::HeaderMalformed, &family.signature));
    }
    let summary = scheme
        .grammar
        .summarize(signature.as_bytes())
        .ok_or_else(|| Failure::at(Reject::HeaderMalformed, &family.signature))?;
    if let Some((name, value)) = signed_id
        && !(is_plain(value, MAX_FIELD) && scheme.content.takes_id(value.as_bytes()))
    {
        return Err(Failure::at(Reject::HeaderMalformed, name));
    }
    let stamp = scheme.time.as_ref().map(|time| read_stamp(time, family, time_header, &summary)).transpose()?;
    check_window(stamp.as_ref(), now, tolerance)?;
    if !summary.usable {
        // Well-formed, but nothing that any key of this scheme could have made: the body cannot change that.
        return Err(Failure::at(Reject::SignatureMismatch, &family.signature));
    }

    let id = match signed_id {
        Some((_, value)) => Some(value.clone()),
        None => hint(headers, family.id.as_ref())?,
    };
    let event_type = hint(headers, family.event_type.as_ref())?;
    Ok(Presented { family: index, signature: signature.clone(), stamp, id, event_type })
}

/// The first family of which any header is present. It must then be complete: never a mix.
fn choose_family<'s>(scheme: &'s Scheme, headers: &HeaderMap) -> Result<(usize, &'s Family), Failure> {
    let mut families = scheme.families.iter().enumerate();
    let first = families.next().ok_or_else(|| Failure::of(Reject::HeaderMissing))?;
    if scheme.families.len() == 1 || first.1.is_named_in(headers) {
        return Ok(first);
    }
    families
        .find(|(_, family)| family.is_named_in(headers))
        .ok_or_else(|| Failure::at(Reject::HeaderMissing, &first.1.signature))
}

/// The header's only value.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h HeaderValue, Failure> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| Failure::at(Reject::HeaderMissing, name))?;
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Failure::at(Reject::HeaderRepeated, name)),
    }
}

/// An unsigned header's value, if it is there and fit for a log line. Two of them are refused: the app might read the other.
fn hint(headers: &HeaderMap, name: Option<&HeaderName>) -> Result<Option<HeaderValue>, Failure> {
    let Some(name) = name.filter(|name| headers.contains_key(*name)) else { return Ok(None) };
    let value = single(headers, name)?;
    let text = std::str::from_utf8(value.as_bytes()).ok();
    Ok(text.filter(|text| is_presentable(text)).map(|_| value.clone()))
}

/// Whether a value is neither empty nor too long, and printable ASCII with spaces.
fn is_plain(value: &HeaderValue, longest: usize) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty() && bytes.len() <= longest && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether an id or type may be passed on: bounded, and without characters that could break a line.
fn is_presentable(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_FIELD && !text.chars().any(char::is_control)
}

fn read_stamp(
    time: &Time,
    family: &Family,
    header: Option<(&HeaderName, &HeaderValue)>,
    summary: &Summary<'_>,
) -> Result<Stamp, Failure> {
    let (name, text) = match (&time.source, header) {
        (TimeSource::Header, Some((name, value))) => {
            if !is_plain(value, MAX_FIELD) {
                return Err(Failure::at(Reject::HeaderMalformed, name));
            }
            (name, value.as_bytes())
        }
        (TimeSource::Pair, _) => {
            let text = summary.time.ok_or_else(|| Failure::at(Reject::HeaderMalformed, &family.signature))?;
            (&family.signature, text)
        }
        (TimeSource::Header, None) => return Err(Failure::of(Reject::HeaderMissing)),
    };
    Stamp::parse(text, time.unit).ok_or_else(|| Failure::at(Reject::TimestampMalformed, name))
}

fn check_window(stamp: Option<&Stamp>, now: u64, tolerance: u64) -> Result<(), Failure> {
    let Some(seconds) = stamp.map(Stamp::seconds) else { return Ok(()) };
    window::check(seconds, now, tolerance).map_err(|reject| {
        let skew = i128::from(seconds).saturating_sub(i128::from(now));
        Failure { reject, header: None, skew: i64::try_from(skew).ok() }
    })
}

/// Decides. `body` is the received chunks in order; they are hashed as they are, without joining.
///
/// # Errors
/// `signature_mismatch`; `timestamp_too_old` or `timestamp_in_future` when the body took too long to arrive;
/// `body_incomplete` when there is no body though the sender never sends none.
pub fn verify(
    scheme: &Scheme,
    keys: &[LabeledKey],
    presented: &Presented,
    body: &[Bytes],
    now: u64,
    tolerance: u64,
) -> Result<Verified, Failure> {
    if scheme.refuse_empty_body && body.iter().all(Bytes::is_empty) {
        return Err(Failure::of(Reject::BodyIncomplete));
    }
    let signed = mac::Signed { scheme, presented, body };
    let matching = signed.matching_key(keys).ok_or_else(|| match scheme.families.get(presented.family) {
        Some(family) => Failure::at(Reject::SignatureMismatch, &family.signature),
        None => Failure::of(Reject::SignatureMismatch),
    })?;
    // The body may have taken its time: what was fresh with the head may be stale now.
    check_window(presented.stamp.as_ref(), now, tolerance)?;

    let wanted = [&scheme.id, &scheme.event_type].map(|source| match source {
        Some(Source::Json(member)) => Some(&**member),
        Some(Source::Header) | None => None,
    });
    let [json_id, json_type] = json::read(body, wanted);
    Ok(Verified {
        family: presented.family,
        label: Arc::clone(&matching.label),
        id: Field::new(presented.id.as_ref(), json_id, scheme.signs_id()),
        event_type: Field::new(
            presented.event_type.as_ref(),
            json_type,
            json_is_signed(scheme, scheme.event_type.as_ref()),
        ),
        timestamp: presented.stamp.as_ref().map(Stamp::seconds),
        signs_body: scheme.signs_body(),
    })
}

fn json_is_signed(scheme: &Scheme, source: Option<&Source>) -> bool {
    matches!(source, Some(Source::Json(_))) && scheme.signs_body()
}

/// Proof that a delivery is genuine, and what it says about itself. Only [`verify`] makes one.
#[derive(Debug)]
pub struct Verified {
    family: usize,
    label: Arc<str>,
    id: Option<Field>,
    event_type: Option<Field>,
    timestamp: Option<u64>,
    signs_body: bool,
}

impl Verified {
    /// The delivery's id.
    pub fn id(&self) -> Option<Member<'_>> {
        self.id.as_ref().and_then(Field::member)
    }

    /// The event's type.
    pub fn event_type(&self) -> Option<Member<'_>> {
        self.event_type.as_ref().and_then(Field::member)
    }

    /// When the attempt was signed, in unix seconds.
    pub fn timestamp(&self) -> Option<u64> {
        self.timestamp
    }

    /// The label of the first configured secret that fits.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The header family that was used: chooses the [`ForeignHeaders`].
    pub fn family(&self) -> usize {
        self.family
    }

    /// Whether the body was part of what is signed.
    pub fn signs_body(&self) -> bool {
        self.signs_body
    }
}

/// A fact about a verified delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'v> {
    /// Its text: bounded, never empty, without control characters, not necessarily ASCII.
    pub text: &'v str,
    /// Whether the signature covers it. An unsigned one is the sender's word, passed on by whoever was in between.
    pub signed: bool,
}

#[derive(Debug)]
struct Field {
    value: FieldValue,
    signed: bool,
}

#[derive(Debug)]
enum FieldValue {
    Header(HeaderValue),
    Json(Box<str>),
}

impl Field {
    fn new(header: Option<&HeaderValue>, json: Option<Box<str>>, signed: bool) -> Option<Self> {
        let value = match (header, json) {
            (Some(value), _) => FieldValue::Header(value.clone()),
            (None, Some(text)) => FieldValue::Json(text),
            (None, None) => return None,
        };
        Some(Self { value, signed })
    }

    fn member(&self) -> Option<Member<'_>> {
        let text = match &self.value {
            FieldValue::Header(value) => std::str::from_utf8(value.as_bytes()).ok()?,
            FieldValue::Json(text) => text,
        };
        Some(Member { text, signed: self.signed })
    }
}
