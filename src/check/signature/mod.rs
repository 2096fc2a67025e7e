//! Is this delivery genuine? [`present`] looks at the head before the body is read, [`verify`] at everything.
//!
//! The order is fixed: a complete set of headers, each once and well-formed; the timestamp inside the window; the MAC over
//! the raw bytes; the window again with a fresh `now`; only then is anything believed, and the JSON looked at. [`Verified`]
//! is the proof, and nothing but [`verify`] makes one. Most schemes are data (`template.rs`); what data cannot say is one
//! file each in `coded/`. Must never read a clock, decode or rewrite what is signed, or print a signature.

mod coded;
mod compile;
mod content;
mod family;
mod flaw;
mod foreign;
mod grammar;
pub(super) mod json;
mod key;
mod mac;
mod public_key;
pub mod scheme;
mod sign;
mod signer;
mod stamp;
mod template;
#[cfg(test)]
mod tests;
mod verified;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};

pub use self::coded::Wanted;
pub(super) use self::coded::form;
pub use self::flaw::{SchemeFlaw, SchemeProblem};
pub use self::foreign::ForeignHeaders;
pub use self::key::{Key, KeyProblem, KeyWarning, LabeledKey};
pub use self::scheme::SchemeSpec;
pub(super) use self::sign::hex;
pub use self::sign::{Delivery, SignProblem, Signed, sign, sign_as};
pub use self::signer::Signer;
pub use self::stamp::write as write_time;
pub use self::verified::{Coverage, Member, Verified};

use self::coded::{Coded, Held};
use self::key::KeyForms;
use self::template::{Claims, TemplateScheme};
use self::verified::Field;
use crate::check::{header_value, window};
use crate::reject::Reject;

/// Longest id, event type or timestamp, in bytes.
const MAX_FIELD: usize = 256;

/// What a route says in `options`, by name. An option that names a file has the file's content here.
pub type Options = BTreeMap<String, String>;

/// How a provider signs, compiled: made once at load by [`Scheme::compile`].
#[derive(Debug)]
pub struct Scheme {
    name: Box<str>,
    engine: Engine,
    /// Every header of every family, once.
    headers: Vec<HeaderName>,
    /// Seconds.
    tolerance: Option<u64>,
    keys: KeyForms,
}

#[derive(Debug)]
enum Engine {
    Template(Box<TemplateScheme>),
    Coded(Box<dyn Coded>),
}

impl Scheme {
    /// The provider's or custom scheme's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds either way that the scheme itself allows. `None`: nothing says when a delivery was signed.
    pub fn default_tolerance(&self) -> Option<u64> {
        self.tolerance
    }

    /// How much of the body is part of what is signed.
    pub fn coverage(&self) -> Coverage {
        match &self.engine {
            Engine::Template(scheme) => scheme.coverage(),
            Engine::Coded(scheme) => scheme.coverage(),
        }
    }

    /// Whether the delivery's id is part of what is signed, so that a duplicate can be told by it.
    pub fn signs_id(&self) -> bool {
        match &self.engine {
            Engine::Template(scheme) => scheme.signs_id(),
            Engine::Coded(scheme) => scheme.signs_id(),
        }
    }

    /// Whether each attempt of a delivery is signed with a time of its own, so that no two have the same signed content.
    pub fn signs_time(&self) -> bool {
        let in_scheme = match &self.engine {
            Engine::Template(_) => false,
            Engine::Coded(scheme) => scheme.signs_time(),
        };
        in_scheme || self.tolerance.is_some()
    }

    /// Whether the URL is signed, so that [`Head::url`] has to be known.
    pub fn signs_url(&self) -> bool {
        match &self.engine {
            Engine::Template(scheme) => scheme.signs_url(),
            Engine::Coded(scheme) => scheme.signs_url(),
        }
    }

    /// Whether deliveries are checked with a key that the route does not configure.
    pub fn needs_no_secret(&self) -> bool {
        match &self.engine {
            Engine::Template(_) => false,
            Engine::Coded(scheme) => scheme.needs_no_secret(),
        }
    }

    /// Every header that the scheme reads, of all families: signature, timestamp, id, type and required ones.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> + Clone {
        self.headers.iter()
    }

    /// The number of header families; [`Verified::family`] is below it.
    pub fn families(&self) -> usize {
        match &self.engine {
            Engine::Template(scheme) => scheme.families.len(),
            Engine::Coded(_) => 1,
        }
    }
}

/// The parts of a request's head that a signature may cover.
#[derive(Debug, Clone, Copy)]
pub struct Head<'r> {
    /// The method.
    pub method: &'r Method,
    /// The absolute URL as the sender wrote it. `None`: not known.
    pub url: Option<&'r str>,
    /// All headers.
    pub headers: &'r HeaderMap,
}

/// The time at which a delivery is judged, and how far off it may be.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Unix seconds.
    pub now: u64,
    /// Seconds either way.
    pub tolerance: u64,
}

impl Window {
    fn check(self, seconds: Option<u64>) -> Result<(), Failure> {
        let Some(seconds) = seconds else { return Ok(()) };
        window::check(seconds, self.now, self.tolerance).map_err(|reject| {
            let skew = i128::from(seconds).saturating_sub(i128::from(self.now));
            Failure { reject, header: None, skew: i64::try_from(skew).ok() }
        })
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
pub struct Presented(PresentedBy);

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and an allocation costs more")]
enum PresentedBy {
    Template(Claims),
    Coded(Box<Held>),
}

impl Presented {
    /// When the delivery claims to have been signed, in unix seconds, where the head says it.
    pub fn timestamp(&self) -> Option<u64> {
        match &self.0 {
            PresentedBy::Template(claims) => claims.stamp.as_ref().map(stamp::Stamp::seconds),
            PresentedBy::Coded(held) => held.timestamp,
        }
    }

    /// Hands over what [`wanted`] asked for.
    pub fn supply(&mut self, fetched: Bytes) {
        match &mut self.0 {
            PresentedBy::Template(_) => {}
            PresentedBy::Coded(held) => held.fetched = Some(fetched),
        }
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("timestamp", &self.timestamp()).finish_non_exhaustive()
    }
}

/// Looks at the head alone, so that a hopeless request is refused before its body is read.
///
/// # Errors
/// `header_missing`, `header_repeated`, `header_malformed`, `timestamp_malformed`, `timestamp_too_old`,
/// `timestamp_in_future`; `signature_mismatch` when nothing in the head could have been made by a key of this scheme.
pub fn present(scheme: &Scheme, head: Head<'_>, window: Window) -> Result<Presented, Failure> {
    match &scheme.engine {
        Engine::Template(scheme) => template::present(scheme, head, window).map(PresentedBy::Template),
        Engine::Coded(coded) => {
            let timestamp = coded.present(head, window)?;
            if scheme.tolerance.is_some() {
                window.check(timestamp)?;
            }
            let mut headers = head.headers.clone();
            // Some of them drop it as the sender's library does. What they sign and what they read must be the same.
            header_value::trim(&mut headers);
            let seen = Held {
                method: head.method.clone(),
                // What is not signed is not kept.
                url: head.url.filter(|_| coded.signs_url()).map(Into::into),
                headers,
                timestamp,
                fetched: None,
            };
            Ok(PresentedBy::Coded(Box::new(seen)))
        }
    }
    .map(Presented)
}

/// What has to be fetched, and handed over with [`Presented::supply`], before [`verify`] can decide.
///
/// # Errors
/// As [`verify`]: what the delivery asks to be fetched is nothing that a genuine one could ask for.
pub fn wanted(scheme: &Scheme, presented: &Presented, body: &[Bytes]) -> Result<Option<Wanted>, Failure> {
    match (&scheme.engine, &presented.0) {
        (Engine::Coded(coded), PresentedBy::Coded(held)) => coded.wanted(held, &joined(body)),
        (Engine::Template(_), _) | (Engine::Coded(_), PresentedBy::Template(_)) => Ok(None),
    }
}

/// Decides. `body` is the received chunks in order.
///
/// # Errors
/// `signature_mismatch`; `timestamp_too_old` or `timestamp_in_future` when the body took too long to arrive, or holds the
/// time itself; `timestamp_malformed` when it should hold one; `body_incomplete` when there is no body though the sender
/// never sends none.
pub fn verify(
    scheme: &Scheme,
    keys: &[LabeledKey],
    presented: &Presented,
    body: &[Bytes],
    window: Window,
) -> Result<Verified, Failure> {
    let (family, proof) = match (&scheme.engine, &presented.0) {
        (Engine::Template(scheme), PresentedBy::Template(claims)) => {
            (claims.family, template::verify(scheme, keys, claims, body, window)?)
        }
        (Engine::Coded(coded), PresentedBy::Coded(held)) => {
            let proof = coded.verify(held, &joined(body), keys, window)?;
            if scheme.tolerance.is_some() {
                window.check(held.timestamp)?;
                window.check(proof.timestamp)?;
            }
            (0, proof)
        }
        (Engine::Template(_), PresentedBy::Coded(_)) | (Engine::Coded(_), PresentedBy::Template(_)) => {
            return Err(Failure::of(Reject::SignatureMismatch));
        }
    };
    let label = match keys.get(proof.key) {
        Some(key) => Arc::clone(&key.label),
        None if scheme.needs_no_secret() => Arc::from("provider"),
        None => return Err(Failure::of(Reject::SignatureMismatch)),
    };
    Ok(Verified {
        family,
        label,
        id: proof.id,
        event_type: proof.event_type,
        timestamp: proof.timestamp,
        coverage: proof.coverage,
    })
}

/// SHA-256 over what is signed of a delivery that [`verify`] took: the same for each attempt that is not signed anew.
///
/// `None`: a scheme in code that does not sign the whole body, so that two deliveries could have one digest.
pub fn content_digest(scheme: &Scheme, presented: &Presented, body: &[Bytes]) -> Option<[u8; 32]> {
    let tag = match (&scheme.engine, &presented.0) {
        (Engine::Template(scheme), PresentedBy::Template(claims)) => Some(template::digest(scheme, claims, body)),
        (Engine::Coded(coded), PresentedBy::Coded(held)) => coded.content_digest(held, &joined(body)),
        (Engine::Template(_), PresentedBy::Coded(_)) | (Engine::Coded(_), PresentedBy::Template(_)) => None,
    };
    tag.map(|tag| tag.sha256())
}

fn joined(body: &[Bytes]) -> Bytes {
    match body {
        [] => Bytes::new(),
        [only] => only.clone(),
        chunks => Bytes::from(chunks.concat()),
    }
}

/// What an engine found out once it believed the delivery.
struct Proof {
    /// The index of the first key that fits.
    key: usize,
    id: Option<Field>,
    event_type: Option<Field>,
    /// Unix seconds.
    timestamp: Option<u64>,
    coverage: Coverage,
}

/// Whether an id or type may be passed on: bounded, and without characters that could break a line.
fn is_presentable(text: &str) -> bool {
    is_line(text, MAX_FIELD)
}

fn is_line(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control)
}
