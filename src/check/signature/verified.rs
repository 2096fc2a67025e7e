//! Proof that a delivery is genuine, and what the delivery says about itself.
//!
//! Must never be made but by [`super::verify`], nor call a fact signed that the signature does not cover.

use std::sync::Arc;

use http::HeaderValue;
use sha2::{Digest, Sha256};

use super::json::Scalar;

/// Proof that a delivery is genuine, and what it says about itself. Only [`super::verify`] makes one.
#[derive(Debug)]
pub struct Verified {
    pub(super) family: usize,
    pub(super) label: Arc<str>,
    pub(super) id: Option<Field>,
    pub(super) event_type: Option<Field>,
    pub(super) timestamp: Option<u64>,
    pub(super) coverage: Coverage,
}

/// How much of the body a signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// Every byte.
    Body,
    /// Some fields of it: the app may believe these alone.
    Partial,
    /// Nothing of it: the sender is who it says, or knows a token, and whoever was in between could have changed the rest.
    Token,
}

impl Verified {
    /// The delivery's id.
    pub fn id(&self) -> Option<Member<'_>> {
        self.id.as_ref().and_then(Field::member)
    }

    /// What tells this delivery from every other one of its sender, where the signature covers it: not fit to be shown.
    pub fn signed_id(&self) -> Option<&[u8]> {
        self.id.as_ref().filter(|id| id.signed).map(Field::bytes)
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

    /// The same, to be kept.
    pub fn shared_label(&self) -> &Arc<str> {
        &self.label
    }

    /// The header family that was used: chooses the [`super::ForeignHeaders`].
    pub fn family(&self) -> usize {
        self.family
    }

    /// How much of the body was part of what is signed.
    pub fn coverage(&self) -> Coverage {
        self.coverage
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

/// A fact, kept as cheaply as it came.
#[derive(Debug)]
pub(super) struct Field {
    value: FieldValue,
    signed: bool,
}

#[derive(Debug)]
enum FieldValue {
    Header(HeaderValue),
    Text(Box<str>),
    /// The SHA-256 of what is not presentable.
    Unfit([u8; 32]),
}

impl Field {
    /// From a header, or else from the body.
    pub(super) fn new(header: Option<&HeaderValue>, text: Option<Box<str>>, signed: bool) -> Option<Self> {
        let value = match (header, text) {
            (Some(value), _) => FieldValue::Header(value.clone()),
            (None, Some(text)) => FieldValue::Text(text),
            (None, None) => return None,
        };
        Some(Self { value, signed })
    }

    /// An id from the body. A number is one as well.
    pub(super) fn id(found: Scalar, signed: bool) -> Self {
        let value = match found {
            Scalar::Text(text) => FieldValue::Text(text),
            Scalar::Number(number) => FieldValue::Text(number.to_string().into()),
            Scalar::Unfit(digest) => FieldValue::Unfit(digest),
        };
        Self { value, signed }
    }

    /// An id that is too long, or cannot be shown.
    pub(super) fn unfit(value: &[u8], signed: bool) -> Self {
        Self { value: FieldValue::Unfit(Sha256::digest(value).into()), signed }
    }

    fn bytes(&self) -> &[u8] {
        match &self.value {
            FieldValue::Header(value) => value.as_bytes(),
            FieldValue::Text(text) => text.as_bytes(),
            FieldValue::Unfit(digest) => digest,
        }
    }

    fn member(&self) -> Option<Member<'_>> {
        let text = match &self.value {
            FieldValue::Header(value) => std::str::from_utf8(value.as_bytes()).ok()?,
            FieldValue::Text(text) => text,
            FieldValue::Unfit(_) => return None,
        };
        Some(Member { text, signed: self.signed })
    }
}
