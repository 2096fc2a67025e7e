//! Schemes that data cannot say: one file each, behind one trait.
//!
//! A file holds what only its provider does; headers, encodings, keys and tolerance are still data in the catalogue. Must
//! never believe a part of the delivery that its own check does not cover, nor fetch anything itself: what is needed is
//! [`Wanted`].

mod adyen_payments;
mod aws_sns;
mod certificate;
mod components;
mod contentful;
mod dropbox_sign;
mod fields;
pub(in crate::check) mod form;
mod jwt;
mod mailgun;
mod mandrill;
mod media;
mod microsoft_graph;
mod multipart;
mod rfc9421;
mod strict_json;
mod tags;
#[cfg(test)]
#[path = "tests/trial.rs"]
mod trial;
mod twilio;

use std::fmt;

use bytes::Bytes;
use ed25519_dalek::Signature;
use http::{HeaderMap, HeaderName, Method};

use super::flaw::SchemeProblem;
use super::key::{Check, Key, KeyKind, LabeledKey};
use super::mac::Tag;
use super::scheme::{Engine, KeyEncoding, SchemeSpec};
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

    /// Whether what is signed has the time of the attempt, though the scheme names no [`SchemeSpec::timestamp`].
    fn signs_time(&self) -> bool {
        false
    }

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

    /// SHA-256 over what is signed of a delivery that [`Coded::verify`] took, its time included, and over nothing else:
    /// whoever can change what is not signed could run it twice. `None`: nothing tells it from every other one, for the body
    /// is not signed as a whole. Two of them could have the same signed fields (Adyen, SNS, Twilio) or the same token
    /// (Mailgun, Dropbox Sign, Microsoft Graph), and one would be lost.
    fn content_digest(&self, _held: &Held, _body: &[u8]) -> Option<Tag> {
        None
    }

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

/// Headers that an engine reads without the scheme naming them: no other sender's requests may bring them.
pub(super) fn named_headers(engine: Engine) -> &'static [&'static str] {
    match engine {
        // With raw delivery there is no signature, and the body is another.
        Engine::AwsSns => &[
            "x-amz-sns-message-type",
            "x-amz-sns-message-id",
            "x-amz-sns-topic-arn",
            "x-amz-sns-subscription-arn",
            "x-amz-sns-rawdelivery",
        ],
        Engine::Contentful => &["x-contentful-signed-headers"],
        Engine::Template
        | Engine::Twilio
        | Engine::Mandrill
        | Engine::AdyenPayments
        | Engine::Mailgun
        | Engine::DropboxSign
        | Engine::MicrosoftGraph
        | Engine::Jwt
        | Engine::Rfc9421 => &[],
    }
}

/// The engine that a scheme names. `None`: the template.
pub(super) fn compile(
    engine: Engine,
    spec: &SchemeSpec,
    options: &Options,
) -> Option<Result<Box<dyn Coded>, Vec<SchemeProblem>>> {
    match engine {
        Engine::Template => None,
        Engine::Twilio => Some(twilio::compile(spec, options)),
        Engine::Mandrill => Some(mandrill::compile(spec, options)),
        Engine::AdyenPayments => Some(adyen_payments::compile(spec, options)),
        Engine::Mailgun => Some(mailgun::compile(spec, options)),
        Engine::DropboxSign => Some(dropbox_sign::compile(spec, options)),
        Engine::MicrosoftGraph => Some(microsoft_graph::compile(spec, options)),
        Engine::Contentful => Some(contentful::compile(spec, options)),
        Engine::AwsSns => Some(aws_sns::compile(spec, options)),
        Engine::Jwt => Some(jwt::compile(spec, options)),
        Engine::Rfc9421 => Some(rfc9421::compile(spec, options)),
    }
}

/// What the keys of a scheme are where its algorithm alone does not say it, and how they are written.
pub(super) fn key_kind(spec: &SchemeSpec, options: &Options) -> Option<(KeyKind, KeyEncoding)> {
    match spec.engine {
        Engine::Jwt => jwt::key_kind(spec),
        Engine::Rfc9421 => rfc9421::key_kind(spec, options),
        Engine::Template
        | Engine::Twilio
        | Engine::Mandrill
        | Engine::AdyenPayments
        | Engine::Mailgun
        | Engine::DropboxSign
        | Engine::MicrosoftGraph
        | Engine::Contentful
        | Engine::AwsSns => None,
    }
}

/// The first key that made this signature of this content. All are tried either way.
fn first_key(keys: &[LabeledKey], content: &[u8], signature: &[u8]) -> Option<usize> {
    keys.iter().enumerate().fold(None, |first, (index, labeled)| {
        let made_it = match &labeled.key.check {
            Check::Mac(state) => state.tag(|update| update(content)).is(signature).into(),
            Check::Ed25519(public) => Signature::from_slice(signature)
                .is_ok_and(|signature| public.verify_strict(content, &signature).is_ok()),
            Check::Public(public) => public.verifies(content, signature),
            // A text signs nothing.
            Check::Text(_) => false,
        };
        first.or(made_it.then_some(index))
    })
}
