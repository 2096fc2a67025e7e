//! A certificate that signs deliveries: its key and the time for which it is valid.
//!
//! Where it comes from is the proof of who it belongs to (a pinned address, or a file of the operator's); no chain is built.
//! Must never be used for a key that RSA signatures of 2,048 bits and more do not need. Source: RFC 5280 §4.1, RFC 7468 §5.

use x509_cert::Certificate as X509;
use x509_cert::der::Encode;

use crate::check::signature::public_key::{PublicAlgorithm, PublicKey};

/// A certificate with an RSA key.
#[derive(Debug)]
pub(super) struct Certificate {
    sha1: PublicKey,
    sha256: PublicKey,
    /// Unix seconds, both inclusive.
    valid: std::ops::RangeInclusive<u64>,
}

/// What RSASSA-PKCS1-v1_5 hashes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

impl Certificate {
    /// The one certificate of a PEM text. `None`: it holds another number of them, or none with an RSA key.
    pub(super) fn from_pem(pem: &[u8]) -> Option<Self> {
        let certificates = X509::load_pem_chain(pem.trim_ascii()).ok()?;
        let [certificate] = certificates.as_slice() else { return None };
        let certificate = certificate.tbs_certificate();
        let key = certificate.subject_public_key_info().to_der().ok()?;
        let validity = certificate.validity();
        let [from, until] = [validity.not_before, validity.not_after].map(|time| time.to_unix_duration().as_secs());
        Some(Self {
            sha1: PublicKey::from_spki(&key, PublicAlgorithm::RsaSha1).ok()?,
            sha256: PublicKey::from_spki(&key, PublicAlgorithm::RsaSha256).ok()?,
            valid: from..=until,
        })
    }

    /// `now` in unix seconds.
    pub(super) fn is_valid_at(&self, now: u64) -> bool {
        self.valid.contains(&now)
    }

    pub(super) fn verifies(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        match hash {
            Hash::Sha1 => self.sha1.verifies(message, signature),
            Hash::Sha256 => self.sha256.verifies(message, signature),
        }
    }
}
