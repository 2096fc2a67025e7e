//! The cryptography: MACs over the content as it was received, and comparisons in constant time.
//!
//! Key states are computed once at load and cloned per request. Must never join or change what is fed to a MAC.
//! Sources: RFC 2104, FIPS 180-4.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

use super::scheme::Algorithm;

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
            Algorithm::Sha256 | Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::RsaSha256 | Algorithm::Token => {
                None
            }
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
    Tag::of(&mac.finalize().into_bytes())
}

/// SHA-256 without a key, over a content that is fed piece by piece.
pub(super) fn digest(feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Tag {
    let mut hasher = Sha256::new();
    feed(&mut |piece| hasher.update(piece));
    Tag::of(&hasher.finalize())
}

/// A computed MAC. Never printed, never sent but as the answer to a challenge, compared in constant time.
pub(super) struct Tag {
    bytes: [u8; 64],
    len: usize,
}

impl Tag {
    fn of(output: &[u8]) -> Self {
        let mut tag = Self { bytes: [0; 64], len: output.len() };
        for (byte, computed) in tag.bytes.iter_mut().zip(output) {
            *byte = *computed;
        }
        tag
    }

    /// Whether it is this signature, in constant time.
    pub(super) fn is(&self, signature: &[u8]) -> Choice {
        self.as_bytes().ct_eq(signature)
    }

    /// The first 32 bytes: all of a SHA-256.
    pub(super) fn sha256(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.iter_mut().zip(self.bytes).for_each(|(byte, computed)| *byte = computed);
        digest
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
