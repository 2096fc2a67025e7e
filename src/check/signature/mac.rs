//! The cryptography: MACs over the content as it was received, and comparisons in constant time.
//!
//! Key states are computed once at load and cloned per request. Every key is tried against every entry of its kind, and no
//! loop ends early because of what a comparison said. Must never join or change the body for a MAC.
//! Sources: RFC 2104, FIPS 180-4, RFC 8032 (verified strictly: canonical, no small order).

use bytes::Bytes;
use ed25519_dalek::Signature;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

use super::content::Piece;
use super::grammar::{Decoded, Stamp};
use super::key::{Check, LabeledKey};
use super::scheme::Algorithm;
use super::{Presented, Scheme};

/// A MAC that has taken in its key and nothing else.
pub(super) enum MacState {
    Sha1(Box<Hmac<Sha1>>),
    Sha256(Box<Hmac<Sha256>>),
    Sha512(Box<Hmac<Sha512>>),
}

impl MacState {
    /// `None`: the algorithm is no MAC, or does not take such a key.
    pub(super) fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::HmacSha1 => Hmac::new_from_slice(key).ok().map(Box::new).map(Self::Sha1),
            Algorithm::HmacSha256 => Hmac::new_from_slice(key).ok().map(Box::new).map(Self::Sha256),
            Algorithm::HmacSha512 => Hmac::new_from_slice(key).ok().map(Box::new).map(Self::Sha512),
            Algorithm::Ed25519 => None,
        }
    }

    /// The MAC over a content that is fed piece by piece.
    pub(super) fn tag(&self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Tag {
        match self {
            Self::Sha1(state) => finish((**state).clone(), feed),
            Self::Sha256(state) => finish((**state).clone(), feed),
            Self::Sha512(state) => finish((**state).clone(), feed),
        }
    }
}

fn finish<M: Mac>(mut mac: M, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Tag {
    feed(&mut |piece| mac.update(piece));
    let output = mac.finalize().into_bytes();
    let mut tag = Tag { bytes: [0; 64], len: output.len() };
    for (byte, computed) in tag.bytes.iter_mut().zip(output) {
        *byte = computed;
    }
    tag
}

/// A computed MAC. Never printed, never sent, compared in constant time.
pub(super) struct Tag {
    bytes: [u8; 64],
    len: usize,
}

impl Tag {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// What a request claims was signed.
pub(super) struct Signed<'r> {
    pub(super) scheme: &'r Scheme,
    pub(super) presented: &'r Presented,
    pub(super) body: &'r [Bytes],
}

impl Signed<'_> {
    /// The first key that made one of the signatures. All keys and all signatures are tried either way.
    pub(super) fn matching_key<'k>(&self, keys: &'k [LabeledKey]) -> Option<&'k LabeledKey> {
        let mut joined = None;
        let mut matching = None;
        for labeled in keys {
            let made_it: bool = match &labeled.key.check {
                Check::Mac(state) => self.is_tag_presented(state, labeled.key.slot),
                Check::Ed25519(key) => {
                    let content = joined.get_or_insert_with(|| self.join());
                    // Not `any`: as with the MACs, one entry's fate does not decide whether the next is looked at.
                    self.signatures(labeled.key.slot).fold(false, |matches, signature| {
                        let signature = Signature::from_slice(signature.as_bytes());
                        matches | signature.is_ok_and(|signature| key.verify_strict(content, &signature).is_ok())
                    })
                }
            };
            matching = matching.or(made_it.then_some(labeled));
        }
        matching
    }

    fn is_tag_presented(&self, state: &MacState, slot: usize) -> bool {
        let tag = state.tag(|update| self.feed(update));
        self.signatures(slot)
            .fold(Choice::from(0), |matches, signature| matches | tag.as_bytes().ct_eq(signature.as_bytes()))
            .into()
    }

    fn signatures(&self, slot: usize) -> impl Iterator<Item = Decoded> {
        self.scheme.grammar.signatures(slot, self.presented.signature.as_bytes())
    }

    fn feed(&self, update: &mut dyn FnMut(&[u8])) {
        for piece in self.scheme.content.pieces() {
            match piece {
                Piece::Literal(bytes) => update(bytes),
                Piece::Id => update(self.presented.id.as_ref().map_or(&[], |id| id.as_bytes())),
                Piece::Timestamp => update(self.presented.stamp.as_ref().map_or(&[], Stamp::digits)),
                Piece::Body => self.body.iter().for_each(|chunk| update(chunk)),
            }
        }
    }

    /// The content in one piece, which Ed25519 needs.
    fn join(&self) -> Vec<u8> {
        let mut content = Vec::new();
        self.feed(&mut |piece| content.extend_from_slice(piece));
        content
    }
}
