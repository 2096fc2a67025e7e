//! Schemes that data can say: headers, an encoding, and a content that is a template.
//!
//! [`present`] looks at the head, [`verify`] at everything; the order of the checks is theirs. Every key is tried against
//! every signature of its kind, and no loop ends early because of what a comparison said. Must never read a clock, decode or
//! rewrite what is signed, or print a signature.
//! Sources: RFC 2104 (HMAC), RFC 8032 (Ed25519, verified strictly: canonical, no small order), FIPS 186-5 (ECDSA), the
//! Standard Webhooks specification 1.0.0, and the vendors' pages named in `src/providers/catalog.toml`.

use bytes::Bytes;
use ed25519_dalek::Signature;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use subtle::{Choice, ConstantTimeEq};

use super::content::{Piece, Template};
use super::family::{Family, Source, TimeSource};
use super::grammar::{Decoded, Grammar, Summary};
use super::json::{self, Scalar};
use super::key::{Check, Key, LabeledKey};
use super::scheme::TimeUnit;
use super::stamp::Stamp;
use super::verified::{Coverage, Field};
use super::{Failure, Head, MAX_FIELD, Proof, Window, is_presentable, mac};
use crate::reject::Reject;

/// Longest signature header, in bytes: room for [`super::grammar::MAX_ENTRIES`] signatures.
const MAX_SIGNATURE_HEADER: usize = 8 * 1024;
/// Longest id in a header, in bytes. One that is too long to be shown is known by its hash.
const MAX_ID: usize = 16 * 1024;

/// A compiled scheme of this kind.
#[derive(Debug)]
pub(super) struct TemplateScheme {
    /// Never empty.
    pub(super) families: Vec<Family>,
    pub(super) grammar: Grammar,
    pub(super) time: Option<Time>,
    pub(super) content: Template,
    pub(super) id: Option<Source>,
    pub(super) event_type: Option<Source>,
    pub(super) required_values: Vec<(HeaderName, HeaderValue)>,
    pub(super) refuse_empty_body: bool,
    /// The content is hashed without a key, so it must not be possible to lengthen it.
    pub(super) unkeyed: bool,
}

/// Where the signed time is.
#[derive(Debug)]
pub(super) struct Time {
    pub(super) source: TimeSource,
    pub(super) unit: TimeUnit,
    /// No window keeps a time from being cut short, so its length is fixed.
    pub(super) any_age: bool,
}

/// What the head of one request claims, complete and well-formed, but not yet believed.
#[derive(Clone)]
pub(super) struct Claims {
    pub(super) family: usize,
    /// The value of the family's own signature header, and of those that may be there besides.
    signature: Option<HeaderValue>,
    also: Vec<HeaderValue>,
    pub(super) stamp: Option<Stamp>,
    id: Option<HeaderValue>,
    event_type: Option<HeaderValue>,
    method: Option<Method>,
    url: Option<Box<str>>,
}

impl TemplateScheme {
    /// Whether the delivery's id is part of what is signed, so that a duplicate can be told by it.
    pub(super) fn signs_id(&self) -> bool {
        match self.id {
            Some(Source::Header) => self.content.has(&Piece::Id),
            Some(Source::Json(_)) => self.content.has(&Piece::Body),
            None => false,
        }
    }

    pub(super) fn signs_url(&self) -> bool {
        self.content.has(&Piece::Url)
    }

    pub(super) fn coverage(&self) -> Coverage {
        if self.content.has(&Piece::Body) { Coverage::Body } else { Coverage::Token }
    }
}

/// Looks at the head alone, so that a hopeless request is refused before its body is read.
pub(super) fn present(scheme: &TemplateScheme, head: Head<'_>, window: Window) -> Result<Claims, Failure> {
    let headers = head.headers;
    let (index, family) = choose_family(scheme, headers)?;

    // Presence of all before the form of any: "missing" is the more useful answer.
    let also: Vec<HeaderValue> = family
        .also
        .iter()
        .filter(|name| headers.contains_key(*name))
        .map(|name| single(headers, name).cloned())
        .collect::<Result<_, _>>()?;
    let signature = match single(headers, &family.signature) {
        Ok(value) => Some(value),
        Err(failure) if failure.reject == Reject::HeaderMissing && !also.is_empty() => None,
        Err(failure) => return Err(failure),
    };
    let time_header =
        family.timestamp.as_ref().map(|name| single(headers, name).map(|value| (name, value))).transpose()?;
    let signed_id = match &family.id {
        Some(name) if scheme.content.has(&Piece::Id) => Some((name, single(headers, name)?)),
        _ => None,
    };
    for name in &family.required {
        if single(headers, name)?.is_empty() {
            return Err(Failure::at(Reject::HeaderMalformed, name));
        }
    }
    for (name, value) in &scheme.required_values {
        if !bool::from(single(headers, name)?.as_bytes().ct_eq(value.as_bytes())) {
            return Err(Failure::at(Reject::HeaderMalformed, name));
        }
    }

    let mut usable = false;
    let mut time_pair = None;
    for value in signature.into_iter().chain(&also) {
        let malformed = || Failure::at(Reject::HeaderMalformed, &family.signature);
        if !is_plain(value, MAX_SIGNATURE_HEADER) {
            return Err(malformed());
        }
        let summary = scheme.grammar.summarize(value.as_bytes()).ok_or_else(malformed)?;
        usable |= summary.usable;
        time_pair = time_pair.or(summary.time);
    }
    if let Some((name, value)) = signed_id
        && !(is_plain(value, MAX_ID) && scheme.content.takes_id(value.as_bytes()))
    {
        return Err(Failure::at(Reject::HeaderMalformed, name));
    }
    let summary = Summary { usable, time: time_pair };
    let stamp = match &scheme.time {
        Some(time) => read_stamp(time, family, time_header, &summary)?,
        None => None,
    };
    window.check(stamp.as_ref().map(Stamp::seconds))?;
    if !usable {
        // Well-formed, but nothing that any key of this scheme could have made: the body cannot change that.
        return Err(Failure::at(Reject::SignatureMismatch, &family.signature));
    }

    let id = match signed_id {
        Some((_, value)) => Some(value.clone()),
        None => hint(headers, family.id.as_ref())?,
    };
    let event_type = hint(headers, family.event_type.as_ref())?;
    let url = match head.url {
        Some(url) if scheme.signs_url() => Some(scheme.content.spelling(url).into()),
        // A URL that nobody told cannot be compared.
        None if scheme.signs_url() => return Err(Failure::of(Reject::SignatureMismatch)),
        Some(_) | None => None,
    };
    let method = scheme.content.has(&Piece::Method).then(|| head.method.clone());
    Ok(Claims { family: index, signature: signature.cloned(), also, stamp, id, event_type, method, url })
}

/// Decides. `body` is the received chunks in order; they are hashed as they are, without joining.
pub(super) fn verify(
    scheme: &TemplateScheme,
    keys: &[LabeledKey],
    claims: &Claims,
    body: &[Bytes],
    window: Window,
) -> Result<Proof, Failure> {
    if scheme.refuse_empty_body && body.iter().all(Bytes::is_empty) {
        return Err(Failure::of(Reject::BodyIncomplete));
    }
    let mismatch = || match scheme.families.get(claims.family) {
        Some(family) => Failure::at(Reject::SignatureMismatch, &family.signature),
        None => Failure::of(Reject::SignatureMismatch),
    };
    if !shows_its_borders(scheme, claims, body) {
        return Err(mismatch());
    }
    let key = Signed { scheme, claims, body }.matching_key(keys).ok_or_else(mismatch)?;
    // The body may have taken its time: what was fresh with the head may be stale now.
    window.check(claims.stamp.as_ref().map(Stamp::seconds))?;

    let wanted = [&scheme.id, &scheme.event_type].map(|source| match source {
        Some(Source::Json(path)) => Some(path),
        Some(Source::Header) | None => None,
    });
    let time_path = scheme.time.as_ref().and_then(|time| match &time.source {
        TimeSource::Json(path) => Some((path, time.unit)),
        TimeSource::Header | TimeSource::Pair => None,
    });
    let [id_path, type_path] = wanted;
    let [json_id, json_type, json_time] = json::read(body, [id_path, type_path, time_path.map(|(path, _)| path)]);
    let timestamp = match time_path {
        Some((_, unit)) => {
            let seconds = seconds(json_time, unit).ok_or_else(|| Failure::of(Reject::TimestampMalformed))?;
            window.check(Some(seconds))?;
            Some(seconds)
        }
        None => claims.stamp.as_ref().map(Stamp::seconds),
    };
    let json_type = json_type.and_then(Scalar::into_text);
    let type_is_signed = matches!(scheme.event_type, Some(Source::Json(_))) && scheme.content.has(&Piece::Body);
    Ok(Proof {
        key,
        id: match &claims.id {
            Some(value) if value.len() > MAX_FIELD => Some(Field::unfit(value.as_bytes(), scheme.signs_id())),
            Some(value) => Field::new(Some(value), None, scheme.signs_id()),
            None => json_id.map(|found| Field::id(found, scheme.signs_id())),
        },
        event_type: Field::new(claims.event_type.as_ref(), json_type, type_is_signed),
        timestamp,
        coverage: scheme.coverage(),
    })
}

/// SHA-256 over what is signed.
pub(super) fn digest(scheme: &TemplateScheme, claims: &Claims, body: &[Bytes]) -> mac::Tag {
    Signed { scheme, claims, body }.digest()
}

/// A number of seconds or milliseconds, or the text of a date.
fn seconds(found: Option<Scalar>, unit: TimeUnit) -> Option<u64> {
    match (found?, unit) {
        (Scalar::Number(number), TimeUnit::S | TimeUnit::Ms) => Stamp::parse(number.to_string().as_bytes(), unit),
        (Scalar::Text(text), TimeUnit::Rfc3339) => Stamp::parse(text.as_bytes(), unit),
        (Scalar::Number(_), TimeUnit::Rfc3339)
        | (Scalar::Text(_), TimeUnit::S | TimeUnit::Ms)
        | (Scalar::Unfit(_), TimeUnit::S | TimeUnit::Ms | TimeUnit::Rfc3339) => None,
    }
    .map(|stamp| stamp.seconds())
}

/// Whether nothing but the one reading of the content is possible.
fn shows_its_borders(scheme: &TemplateScheme, claims: &Claims, body: &[Bytes]) -> bool {
    let first = body.iter().flatten().find(|byte| !byte.is_ascii_whitespace());
    let last = body.iter().rev().flat_map(|chunk| chunk.iter().rev()).find(|byte| !byte.is_ascii_whitespace());
    let borders = scheme.content.takes(claims.url.as_deref().unwrap_or_default(), first.copied(), last.copied());
    // A bare hash can be lengthened by whoever knows one (Merkle–Damgård): the padding in between has zero bytes. And what
    // one version hashes as method and URL must not be another version's body: that begins as JSON does.
    let is_plain = || matches!(first, None | Some(b'{' | b'[')) && !body.iter().flatten().any(|byte| *byte == 0);
    borders && (!scheme.unkeyed || is_plain())
}

/// What a request claims was signed.
struct Signed<'r> {
    scheme: &'r TemplateScheme,
    claims: &'r Claims,
    body: &'r [Bytes],
}

impl Signed<'_> {
    /// The first key that made one of the signatures. All keys and all signatures are tried either way.
    fn matching_key(&self, keys: &[LabeledKey]) -> Option<usize> {
        let mut joined = None;
        let mut matching = None;
        for (index, labeled) in keys.iter().enumerate() {
            let made_it = self.is_made_by(&labeled.key, &mut joined);
            matching = matching.or(made_it.then_some(index));
        }
        matching
    }

    fn is_made_by(&self, key: &Key, joined: &mut Option<Vec<u8>>) -> bool {
        // Never `any`: one entry's fate does not decide whether the next is looked at.
        match &key.check {
            Check::Mac(state) => self.presents(key.slot, &state.tag(|update| self.feed(update, b""))),
            Check::Text(secret) if self.scheme.unkeyed => {
                self.presents(key.slot, &mac::digest(|update| self.feed(update, secret)))
            }
            Check::Text(credential) => self
                .signatures(key.slot)
                .fold(Choice::from(0), |matches, shown| matches | shown.as_bytes().ct_eq(credential))
                .into(),
            Check::Ed25519(public) => {
                let content = joined.get_or_insert_with(|| self.join());
                self.signatures(key.slot).fold(false, |matches, signature| {
                    let signature = Signature::from_slice(signature.as_bytes());
                    matches | signature.is_ok_and(|signature| public.verify_strict(content, &signature).is_ok())
                })
            }
            Check::Public(public) => {
                let content = joined.get_or_insert_with(|| self.join());
                self.signatures(key.slot)
                    .fold(false, |matches, signature| matches | public.verifies(content, signature.as_bytes()))
            }
        }
    }

    fn presents(&self, slot: usize, tag: &mac::Tag) -> bool {
        self.signatures(slot).fold(Choice::from(0), |matches, signature| matches | tag.is(signature.as_bytes())).into()
    }

    fn signatures(&self, slot: usize) -> impl Iterator<Item = Decoded> {
        let values = self.claims.signature.iter().chain(&self.claims.also);
        values.flat_map(move |value| self.scheme.grammar.signatures(slot, value.as_bytes()))
    }

    fn feed(&self, update: &mut dyn FnMut(&[u8]), secret: &[u8]) {
        for piece in self.scheme.content.pieces() {
            match piece {
                Piece::Literal(bytes) => update(bytes),
                Piece::Id => update(self.claims.id.as_ref().map_or(&[], |id| id.as_bytes())),
                Piece::Timestamp => update(self.claims.stamp.as_ref().map_or(&[], Stamp::text)),
                Piece::Method => update(self.claims.method.as_ref().map_or("", Method::as_str).as_bytes()),
                Piece::Url => update(self.claims.url.as_deref().unwrap_or_default().as_bytes()),
                Piece::Body => self.body.iter().for_each(|chunk| update(chunk)),
                Piece::Secret => update(secret),
            }
        }
    }

    /// SHA-256 over the content.
    fn digest(&self) -> mac::Tag {
        mac::digest(|update| self.feed(update, b""))
    }

    /// The content in one piece, which public keys need.
    fn join(&self) -> Vec<u8> {
        let mut content = Vec::new();
        self.feed(&mut |piece| content.extend_from_slice(piece), b"");
        content
    }
}

/// The first family of which any header is present. It must then be complete: never a mix.
fn choose_family<'s>(scheme: &'s TemplateScheme, headers: &HeaderMap) -> Result<(usize, &'s Family), Failure> {
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
pub(super) fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h HeaderValue, Failure> {
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
pub(super) fn is_plain(value: &HeaderValue, longest: usize) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty() && bytes.len() <= longest && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

fn read_stamp(
    time: &Time,
    family: &Family,
    header: Option<(&HeaderName, &HeaderValue)>,
    summary: &Summary<'_>,
) -> Result<Option<Stamp>, Failure> {
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
        (TimeSource::Json(_), _) => return Ok(None),
    };
    Stamp::parse(text, time.unit)
        .filter(|stamp| !time.any_age || stamp.is_whole(time.unit))
        .map(Some)
        .ok_or_else(|| Failure::at(Reject::TimestampMalformed, name))
}
