//! Schemes that data cannot say: one file each, behind one trait.
//!
//! A file holds what only its provider does; headers, encodings, keys and tolerance are still data in the catalogue. Must
//! never believe a part of the delivery that its own check does not cover, nor fetch anything itself: what is needed is
//! [`Wanted`].

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};

use super::flaw::SchemeProblem;
use super::key::{Key, LabeledKey};
use super::scheme::{Engine, SchemeSpec};
use super::sign::{Delivery, SignProblem, Signed};
use super::verified::Coverage;
use super::{Failure, Head, Options, Proof, Window};

/// A scheme in code.
///
/// `keys` are made from the spec's `algorithm` and `key` as for any other scheme. Comparisons are in constant time, and every
/// key is tried whatever another one said.
pub(super) trait Coded: fmt::Debug + Send + Sync {
    /// Every header that it reads and that its sender always sends: no `Connection` list may name one.
    fn headers(&self) -> Vec<HeaderName>;

    /// How much of the body the signature covers.
    fn coverage(&self) -> Coverage;

    /// Whether [`Proof::id`] is signed.
    fn signs_id(&self) -> bool;

    /// Whether the URL is part of what is signed.
    fn signs_url(&self) -> bool;

    /// Whether deliveries are checked with a key that the route does not configure.
    fn needs_no_secret(&self) -> bool {
        false
    }

    /// Looks at the head alone. The time that it claims, in unix seconds, where it says one: the caller checks that.
    fn present(&self, head: Head<'_>, window: Window) -> Result<Option<u64>, Failure>;

    /// What has to be fetched before [`Coded::verify`].
    fn wanted(&self, _held: &Held, _body: &[u8]) -> Result<Option<Wanted>, Failure> {
        Ok(None)
    }

    /// Decides. The caller checks the time in the proof against the window.
    fn verify(&self, held: &Held, body: &[u8], keys: &[LabeledKey], window: Window) -> Result<Proof, Failure>;

    /// The sender's side.
    fn sign(&self, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem>;
}

/// What [`Coded::verify`] sees of the head.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) method: Method,
    /// Known where [`Coded::signs_url`] says so.
    pub(super) url: Option<Box<str>>,
    pub(super) headers: HeaderMap,
    /// What [`Coded::present`] found.
    pub(super) timestamp: Option<u64>,
    /// What [`Coded::wanted`] asked for.
    pub(super) fetched: Option<Bytes>,
}

/// Something public that is needed to judge a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The document at this `https` address, which is one of the provider's own.
    Document(Box<str>),
}

/// The engine that a scheme names. `None`: the template.
pub(super) fn compile(
    engine: Engine,
    _spec: &SchemeSpec,
    _options: &Options,
) -> Option<Result<Box<dyn Coded>, Vec<SchemeProblem>>> {
    match engine {
        Engine::Template => None,
        Engine::Twilio
        | Engine::Mandrill
        | Engine::AdyenPayments
        | Engine::Mailgun
        | Engine::DropboxSign
        | Engine::Contentful
        | Engine::AwsSns
        | Engine::Jwt
        | Engine::Rfc9421 => Some(Err(Vec::new())),
    }
}
