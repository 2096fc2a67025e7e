//! The cryptography: MACs over the content as it was received, and comparisons in constant time.
//!
//! Key states are computed once at load and cloned per request. Every key is tried against every entry of its kind, and no
//! loop ends early because of what a comparison said. Must never join or change the body for a MAC.
//! Sources: RFC 2104, FIPS 180-4, RFC 8032 (verified strictly: canonical, no small order).

use bytes::Bytes;
use ed25519_dalek::Signature;
use hmac::digest::{FixedOutput, Update};
use hmac::{Hmac, KeyInit};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

use super::content::Piece;
use super::key::{Check, LabeledKey};
use super::scheme::Algorithm;
use super::{Presented, Scheme};

/// A MAC that has taken in its key and nothing else.
#[derive(Clone)]
pub(super) enum MacState {
    Sha1(Box<Hmac<Sha1>>),
    Sha256(Box<Hmac<Sha256>>),
    Sha512(Box<Hmac<Sha512>>),
}

impl MacState {
    /// `algorithm` is one of the HMACs; a public-key algorithm has no MAC and gets a state that no entry matches in length.
    pub(super) fn new(algorithm: Algorithm, key: &[u8]) -> Self {
        match algorithm {
            Algorithm::HmacSha1 => Self::Sha1(Box::new(keyed(key))),
            Algorithm::HmacSha256 => Self::Sha256(Box::new(keyed(key))),
            Algorithm::HmacSha512 | Algorithm::Ed25519 => Self::Sha512(Box::new(keyed(key))),
        }
    }
}

fn keyed<M: KeyInit>(_key: &[u8]) -> M {
    unimplemented!()
}
