//! What signs: the shared secret, or the private half of a key pair.
//!
//! A private key is a type of its own, which no check takes. Must never be reachable from a request, and nothing of a key is
//! printed. Sources: RFC 8032 §5.1.5 (32 bytes of seed), the 64 bytes of seed and public key that libsodium and Svix write.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use super::key::{Key, KeyProblem};
use super::scheme::{Algorithm, SchemeSpec};
use super::sign::hex;
use super::{Scheme, SignProblem};

/// Signs deliveries of one scheme.
pub struct Signer(pub(super) Hand);

pub(super) enum Hand {
    Shared(Key),
    Private {
        key: Box<SigningKey>,
        slot: usize,
    },
    /// Only the sender can.
    None,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

impl Signer {
    /// A signer from a secret as configured, or from an Ed25519 private key where the scheme takes its public half.
    ///
    /// # Errors
    /// Why the text cannot be either; the message holds no part of it beyond a public prefix.
    pub fn new(scheme: &Scheme, spec: &SchemeSpec, text: &[u8]) -> Result<Self, KeyProblem> {
        for (slot, form) in (1..).zip(&spec.alternative_keys) {
            let Some(prefix) = form.private_prefix.as_deref().filter(|_| form.algorithm == Algorithm::Ed25519) else {
                continue;
            };
            if let Some(rest) = text.strip_prefix(prefix.as_bytes()) {
                return private(rest, slot);
            }
        }
        match spec.algorithm {
            Algorithm::Ed25519 => private(text.strip_prefix(b"whsk_").unwrap_or(text), 0),
            Algorithm::EcdsaP256 | Algorithm::RsaSha256 => Ok(Self::none()),
            Algorithm::HmacSha1
            | Algorithm::HmacSha256
            | Algorithm::HmacSha512
            | Algorithm::Sha256
            | Algorithm::Token => scheme.key(text).map(|(key, _)| Self(Hand::Shared(key))),
        }
    }

    /// For a scheme with a key that only the sender has.
    pub fn none() -> Self {
        Self(Hand::None)
    }

    /// The public half of a private key, as lower-case hex and as base64: what the receiving side has to know.
    pub fn public_half(&self) -> Option<[String; 2]> {
        match &self.0 {
            Hand::Private { key, .. } => {
                let bytes = key.verifying_key().to_bytes();
                Some([hex(&bytes), base64::engine::general_purpose::STANDARD.encode(bytes)])
            }
            Hand::Shared(_) | Hand::None => None,
        }
    }
}

/// Seed, or seed and public key, in hex or base64.
fn private(text: &[u8], slot: usize) -> Result<Signer, KeyProblem> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(KeyProblem::Empty);
    }
    let bytes = Zeroizing::new(unhex(text).or_else(|| unbase64(text)).ok_or(KeyProblem::NotBase64)?);
    let key = if let Ok(pair) = <&[u8; 64]>::try_from(bytes.as_slice()) {
        SigningKey::from_keypair_bytes(pair).map_err(|_| KeyProblem::Unusable)?
    } else {
        let seed = <&[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyProblem::Unusable)?;
        SigningKey::from_bytes(seed)
    };
    Ok(Signer(Hand::Private { key: Box::new(key), slot }))
}

fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, config).decode(text).ok()
}

/// Only lengths that a key has: 64 hex digits are base64 too.
fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    if !matches!(text.len(), 64 | 128) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, _) = text.as_chunks::<2>();
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect()
}

/// An Ed25519 signature over a content that is fed piece by piece.
pub(super) fn ed25519(key: &SigningKey, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Result<Vec<u8>, SignProblem> {
    let mut content = Vec::new();
    feed(&mut |piece| content.extend_from_slice(piece));
    key.try_sign(&content).map(|signature| signature.to_bytes().to_vec()).map_err(|_| SignProblem::PublicKey)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::signature::{Delivery, Head, LabeledKey, Window, present, sign_as, verify};
    use base64::engine::general_purpose::STANDARD as BASE64;
    use http::{HeaderMap, Method};

    const SPEC: &str = r#"
algorithm = "hmac-sha256"
key = { encoding = "base64", prefixes = ["whsec_"] }
alternative_keys = [{ prefix = "whpk_", private_prefix = "whsk_", encoding = "base64", algorithm = "ed25519", version = "v1a" }]
signature = { header = "x-signature", format = "versioned", version = "v1", encoding = "base64" }
timestamp = { header = "x-time" }
id = { header = "x-id" }
content = "{id}.{timestamp}.{body}"
"#;

    fn scheme() -> (Scheme, SchemeSpec) {
        let spec: SchemeSpec = toml::from_str(SPEC).unwrap();
        (Scheme::compile("x", &spec, &super::super::Options::new()).unwrap(), spec)
    }

    fn pair() -> (SigningKey, String) {
        let key = SigningKey::from_bytes(&[0x97; 32]);
        let public = format!("whpk_{}", BASE64.encode(key.verifying_key().as_bytes()));
        (key, public)
    }

    #[test]
    fn a_private_key_signs_what_its_public_half_accepts() {
        let (scheme, spec) = scheme();
        let (key, public) = pair();
        let whole = [[0x97; 32], key.verifying_key().to_bytes()].concat();
        for text in [BASE64.encode([0x97; 32]), BASE64.encode(whole), hex(&[0x97; 32])] {
            let sender = Signer::new(&scheme, &spec, format!("whsk_{text}").as_bytes()).unwrap();
            assert_eq!(format!("{sender:?}"), "Signer(…)");
            assert_eq!(sender.public_half().unwrap()[1], public["whpk_".len()..]);
            let headers = HeaderMap::new();
            let method = Method::POST;
            let delivery =
                Delivery { id: "a", timestamp: 1000, method: &method, url: None, headers: &headers, body: b"{}" };
            let headers: HeaderMap = sign_as(&scheme, &sender, &delivery).unwrap().headers.into_iter().collect();
            assert!(headers["x-signature"].to_str().unwrap().starts_with("v1a,"));
            let window = Window { now: 1000, tolerance: 10 };
            let presented = present(&scheme, Head { method: &method, url: None, headers: &headers }, window).unwrap();
            let keys = [LabeledKey { label: "x".into(), key: scheme.key(public.as_bytes()).unwrap().0 }];
            assert!(verify(&scheme, &keys, &presented, &["{}".into()], window).is_ok());
            assert!(verify(&scheme, &keys, &presented, &["{ }".into()], window).is_err());
        }
    }

    #[test]
    fn a_pair_whose_halves_do_not_belong_together_is_refused() {
        let (scheme, spec) = scheme();
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes();
        for (bytes, problem) in [
            ([[0x97; 32], other].concat(), KeyProblem::Unusable),
            (vec![7; 31], KeyProblem::Unusable),
            (Vec::new(), KeyProblem::Empty),
        ] {
            let text = format!("whsk_{}", BASE64.encode(bytes));
            assert_eq!(Signer::new(&scheme, &spec, text.as_bytes()).unwrap_err(), problem);
        }
        assert_eq!(Signer::new(&scheme, &spec, b"whsk_!").unwrap_err(), KeyProblem::NotBase64);
    }

    #[test]
    fn nothing_of_a_key_is_shown_for_debugging() {
        let (scheme, spec) = scheme();
        for text in ["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=", &format!("whsk_{}", BASE64.encode([7; 32])), &pair().1] {
            assert_eq!(format!("{:?}", Signer::new(&scheme, &spec, text.as_bytes()).unwrap()), "Signer(…)");
        }
    }

    #[test]
    fn a_public_key_signs_nothing() {
        let (scheme, spec) = scheme();
        let signer = Signer::new(&scheme, &spec, pair().1.as_bytes()).unwrap();
        let headers = HeaderMap::new();
        let delivery =
            Delivery { id: "a", timestamp: 1, method: &Method::POST, url: None, headers: &headers, body: b"{}" };
        assert_eq!(sign_as(&scheme, &signer, &delivery), Err(SignProblem::PublicKey));
        assert!(signer.public_half().is_none());
    }
}
