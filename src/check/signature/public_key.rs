//! RSA and ECDSA public keys: read once at load, used to check signatures.
//!
//! Must never take a key that is shorter than the vendors' own (2,048 bits for RSA), nor a curve that is not asked for.
//! Sources: RFC 5280 §4.1 (`SubjectPublicKeyInfo`), RFC 8017 §8 (RSA), FIPS 186-5 §6 (ECDSA), RFC 7518 §3.4 (fixed length).

use std::fmt;

use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use spki::der::asn1::{AnyRef, UintRef};
use spki::der::{Decode, Document};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::key::KeyProblem;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Bits of an RSA key that is not too short (NIST SP 800-131A).
const SHORTEST_MODULUS: usize = 2048;

/// What a signature is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PublicAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-1, for one vendor that offers nothing better in its first version.
    RsaSha1,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
    /// RSASSA-PSS with SHA-512.
    RsaPssSha512,
    /// ECDSA over P-256 with SHA-256, the signature in DER.
    EcdsaP256Der,
    /// ECDSA over P-256 with SHA-256, the signature as two numbers of 32 bytes.
    EcdsaP256Fixed,
    /// ECDSA over P-384 with SHA-384, the signature as two numbers of 48 bytes.
    EcdsaP384Fixed,
}

impl PublicAlgorithm {
    fn verifier(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::RsaSha1 => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::RsaSha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
            Self::EcdsaP256Der => &signature::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP256Fixed => &signature::ECDSA_P256_SHA256_FIXED,
            Self::EcdsaP384Fixed => &signature::ECDSA_P384_SHA384_FIXED,
        }
    }

    fn takes(self, kind: ObjectIdentifier, curve: Option<ObjectIdentifier>) -> bool {
        match self {
            Self::RsaSha1 | Self::RsaSha256 => kind == RSA,
            Self::RsaPssSha512 => kind == RSA || kind == RSA_PSS,
            Self::EcdsaP256Der | Self::EcdsaP256Fixed => kind == EC && curve == Some(P256),
            Self::EcdsaP384Fixed => kind == EC && curve == Some(P384),
        }
    }
}

/// A public key for one algorithm.
pub(super) struct PublicKey {
    algorithm: PublicAlgorithm,
    key: UnparsedPublicKey<Box<[u8]>>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?})", self.algorithm)
    }
}

impl PublicKey {
    /// A key from the DER of its `SubjectPublicKeyInfo`.
    pub(super) fn from_spki(der: &[u8], algorithm: PublicAlgorithm) -> Result<Self, KeyProblem> {
        let (kind, curve, bits) = parts(der)?;
        if !algorithm.takes(kind, curve) {
            return Err(KeyProblem::OtherPublicKey);
        }
        match algorithm {
            PublicAlgorithm::RsaSha1 | PublicAlgorithm::RsaSha256 | PublicAlgorithm::RsaPssSha512 => {
                let length = modulus(&bits).ok_or(KeyProblem::NotSpki)?;
                if length < SHORTEST_MODULUS {
                    return Err(KeyProblem::ShortModulus(length));
                }
            }
            PublicAlgorithm::EcdsaP256Der | PublicAlgorithm::EcdsaP256Fixed => is_point(&bits, 65)?,
            PublicAlgorithm::EcdsaP384Fixed => is_point(&bits, 97)?,
        }
        Ok(Self { algorithm, key: UnparsedPublicKey::new(algorithm.verifier(), bits) })
    }

    /// Whether this key made the signature. Public data only: no constant time is needed.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify(message, signature).is_ok()
    }
}

/// The 32 bytes of an Ed25519 key from the DER of its `SubjectPublicKeyInfo` (RFC 8410 §4).
pub(super) fn ed25519_from_spki(der: &[u8]) -> Result<Box<[u8]>, KeyProblem> {
    let (kind, _, bits) = parts(der)?;
    (kind == ED25519).then_some(bits).ok_or(KeyProblem::OtherPublicKey)
}

/// The kind of key, its curve where it has one, and the key itself.
type Parts = (ObjectIdentifier, Option<ObjectIdentifier>, Box<[u8]>);

fn parts(der: &[u8]) -> Result<Parts, KeyProblem> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyProblem::NotSpki)?;
    let bits = info.subject_public_key.as_bytes().ok_or(KeyProblem::NotSpki)?;
    Ok((info.algorithm.oid, info.algorithm.parameters_oid().ok(), bits.into()))
}

/// The bits of an RSA key's modulus (RFC 8017 §A.1.1).
fn modulus(key: &[u8]) -> Option<usize> {
    let numbers = AnyRef::from_der(key).ok()?;
    let modulus = numbers.sequence::<_, _, spki::der::Error>(|reader| {
        let modulus = UintRef::decode(reader)?;
        UintRef::decode(reader)?;
        Ok(modulus)
    });
    let bytes = modulus.ok()?.as_bytes();
    let unused = bytes.first()?.leading_zeros();
    bytes.len().checked_mul(8)?.checked_sub(usize::try_from(unused).ok()?)
}

/// Whether a key is a point that is not compressed (SEC 1 §2.3.3), which is the only form that is checked.
fn is_point(key: &[u8], length: usize) -> Result<(), KeyProblem> {
    (key.len() == length && key.first() == Some(&4)).then_some(()).ok_or(KeyProblem::OtherPublicKey)
}

/// The DER of a public key that is written as PEM, or as base64 of the DER.
pub(super) fn spki_der(text: &[u8]) -> Result<Vec<u8>, KeyProblem> {
    use base64::Engine;
    let text = std::str::from_utf8(text).map_err(|_| KeyProblem::NotSpki)?.trim();
    if text.starts_with("-----BEGIN") {
        let (label, document) = Document::from_pem(text).map_err(|_| KeyProblem::NotSpki)?;
        return match label {
            "PUBLIC KEY" => Ok(document.as_bytes().to_vec()),
            label if label.contains("PRIVATE KEY") => Err(KeyProblem::IsPrivateKey("-----BEGIN".into())),
            _ => Err(KeyProblem::NotSpki),
        };
    }
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| KeyProblem::NotSpki)
}
