//! From the configured secret to a key: typed problems, a MAC state that is computed once, nothing printed.
//!
//! Must never accept a key that equals the empty one (an all-zero key does, RFC 2104 §2 pads with zeros), nor let any part
//! of a secret but its public prefix into a message. Sources: RFC 2104, RFC 4648, RFC 8032 §5.1.7.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::VerifyingKey;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::mac::MacState;
use super::public_key::{PublicAlgorithm, PublicKey, ed25519_from_spki, spki_der};
use super::scheme::{Algorithm, KeyEncoding, SchemeSpec};
use super::{Options, Scheme, coded};

/// Shorter keys than this, in bytes, are worth a warning (RFC 2104 §3 wants the hash's length; vendors give 24 and more).
const SHORT: usize = 16;

/// Longest token, in bytes.
const LONGEST_CREDENTIAL: usize = 512;

/// A key, ready to check signatures. Not printed.
pub struct Key {
    pub(super) check: Check,
    /// Which entries of the signature header it checks.
    pub(super) slot: usize,
}

/// How a key checks.
pub(super) enum Check {
    Mac(MacState),
    Ed25519(Box<VerifyingKey>),
    /// RSA or ECDSA.
    Public(Box<PublicKey>),
    /// The secret itself, which is compared, or is part of what is hashed.
    Text(Zeroizing<Vec<u8>>),
}

impl Key {
    /// The MAC of a challenge, for a handshake that asks for one: nothing else may leave with a MAC of ours. `None`: no such
    /// key.
    pub(in crate::check) fn mac_of(&self, challenge: &[u8]) -> Option<Vec<u8>> {
        match &self.check {
            Check::Mac(state) => Some(state.tag(|update| update(challenge)).as_bytes().to_vec()),
            Check::Ed25519(_) | Check::Public(_) | Check::Text(_) => None,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A key and the name that logs and the app see.
#[derive(Debug)]
pub struct LabeledKey {
    /// As configured, such as `current`.
    pub label: Arc<str>,
    /// The key.
    pub key: Key,
}

/// Why a text is not a usable secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// Nothing, or nothing but white space.
    #[error("the secret is empty")]
    Empty,
    /// The public prefix alone.
    #[error("the secret is empty after `{0}`")]
    EmptyAfterPrefix(Box<str>),
    /// None of the prefixes that every secret of this provider has.
    #[error("the secret does not begin with {}", quoted(.0))]
    LacksPrefix(Vec<Box<str>>),
    /// The prefix of the key that the sender keeps.
    #[error("`{0}` is a private key, which only the sender may have")]
    IsPrivateKey(Box<str>),
    /// The prefix of another credential.
    #[error("`{0}` begins another kind of credential, not a webhook secret")]
    OtherCredential(Box<str>),
    /// Not base64.
    #[error("the secret is not base64")]
    NotBase64,
    /// Not hexadecimal.
    #[error("the secret is not hexadecimal")]
    NotHex,
    /// Not a public key as `openssl pkey -pubout` writes it.
    #[error("this is not a public key in PEM or base64")]
    NotSpki,
    /// A public key of another kind.
    #[error("this public key is of another kind than the scheme's signatures")]
    OtherPublicKey,
    /// Not what a header can hold.
    #[error("the secret is longer than 512 bytes, or not plain ASCII")]
    NotPlain,
    /// Not UTF-8.
    #[error("the secret is not UTF-8")]
    NotText,
    /// Zero bytes only, which is the same key as the empty one.
    #[error("the secret consists of zero bytes, which equals an empty key")]
    AllZero,
    /// Not 32 bytes.
    #[error("a public key has 32 bytes, this has {0}")]
    PublicKeyLength(usize),
    /// An RSA key that can be factored, or soon will be.
    #[error("an RSA key needs 2,048 bits or more, this has {0}")]
    ShortModulus(usize),
    /// The algorithm refuses it.
    #[error("the scheme's algorithm does not take this secret")]
    Unusable,
    /// No point of the curve, or one for which anyone can sign.
    #[error("this is not a safe Ed25519 public key")]
    WeakPublicKey,
}

fn quoted(prefixes: &[Box<str>]) -> String {
    prefixes.iter().map(|prefix| format!("`{prefix}`")).collect::<Vec<_>>().join(" or ")
}

impl KeyProblem {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty => "set the variable or file to the signing secret from the provider's dashboard",
            Self::EmptyAfterPrefix(_) | Self::AllZero => "an empty key would let anyone sign; copy the whole secret",
            Self::LacksPrefix(_) => "copy the endpoint's signing secret with its prefix; an API key is something else",
            Self::IsPrivateKey(_) => {
                "configure the public key, and change the key pair if this one was meant to be secret"
            }
            Self::OtherCredential(_) => "copy the signing secret of the webhook endpoint instead",
            Self::NotBase64 => {
                "copy the secret again, whole: only A-Z a-z 0-9 + / and = at the end may follow the prefix"
            }
            Self::NotHex => "copy the secret again, whole: an even number of digits 0-9 a-f",
            Self::PublicKeyLength(_) => "copy the public key again, whole",
            Self::NotSpki => "copy the provider's public key, whole: `-----BEGIN PUBLIC KEY-----` or base64",
            Self::OtherPublicKey => "copy the key that the provider documents for webhook signatures",
            Self::Unusable | Self::NotText | Self::NotPlain => "copy the secret again, whole",
            Self::WeakPublicKey | Self::ShortModulus(_) => {
                "copy the public key again; if it is right, the sender's key is unsafe"
            }
        }
    }
}

/// What is odd about a secret that is accepted all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyWarning {
    /// So short that it might be guessed.
    #[error("the secret is short: fewer than {SHORT} bytes can be guessed")]
    Short,
    /// Base64 that stops in the middle of a byte.
    #[error("the secret stops in the middle of a byte: was it cut off?")]
    CutOff,
    /// White space that probably came with copying.
    #[error("the secret begins or ends with white space, which counts as part of it")]
    SurroundedBySpace,
}

/// The forms that a secret of one scheme may have.
#[derive(Debug)]
pub(super) struct KeyForms {
    main: KeyForm,
    prefix_required: bool,
    /// For a secret without any of the prefixes.
    unprefixed: Option<KeyForm>,
    /// With their slots.
    alternatives: Vec<(KeyForm, usize)>,
    private_prefixes: Vec<Box<str>>,
    foreign_prefixes: Vec<Box<str>>,
}

#[derive(Debug)]
struct KeyForm {
    prefixes: Vec<Box<str>>,
    keep_prefix: bool,
    encoding: KeyEncoding,
    kind: KeyKind,
}

/// What a key checks with.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyKind {
    Mac(Algorithm),
    Ed25519,
    Public(PublicAlgorithm),
    /// The secret itself.
    Text,
}

impl KeyKind {
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512 => Self::Mac(algorithm),
            Algorithm::Sha256 | Algorithm::Token => Self::Text,
            Algorithm::Ed25519 => Self::Ed25519,
            Algorithm::EcdsaP256 => Self::Public(PublicAlgorithm::EcdsaP256Der),
            Algorithm::RsaSha256 => Self::Public(PublicAlgorithm::RsaSha256),
        }
    }
}

impl KeyForms {
    pub(super) fn new(spec: &SchemeSpec, options: &Options) -> Self {
        let (kind, encoding) =
            coded::key_kind(spec, options).unwrap_or((KeyKind::of(spec.algorithm), spec.key.encoding));
        let boxed = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect::<Vec<Box<str>>>();
        let alternatives = spec.alternative_keys.iter().zip(1..);
        Self {
            main: KeyForm { prefixes: boxed(&spec.key.prefixes), keep_prefix: spec.key.keep_prefix, encoding, kind },
            prefix_required: spec.key.prefix_required,
            unprefixed: spec.key.unprefixed.map(|encoding| KeyForm {
                prefixes: Vec::new(),
                keep_prefix: false,
                encoding,
                kind,
            }),
            private_prefixes: spec
                .alternative_keys
                .iter()
                .filter_map(|key| key.private_prefix.as_deref().map(Into::into))
                .collect(),
            foreign_prefixes: boxed(&spec.key.foreign_prefixes),
            alternatives: alternatives
                .map(|(key, slot)| {
                    let (encoding, kind) = (key.encoding, KeyKind::of(key.algorithm));
                    let prefixes = vec![key.prefix.as_str().into()];
                    (KeyForm { prefixes, keep_prefix: false, encoding, kind }, slot)
                })
                .collect(),
        }
    }
}

impl Scheme {
    /// Makes a key of a configured secret.
    ///
    /// # Errors
    /// Why the text cannot be one; the message holds no part of it beyond a public prefix.
    pub fn key(&self, text: &[u8]) -> Result<(Key, Option<KeyWarning>), KeyProblem> {
        let forms = &self.keys;
        if text.trim_ascii().is_empty() {
            return Err(KeyProblem::Empty);
        }
        if let Some(prefix) = longest_prefix(&forms.private_prefixes, text) {
            return Err(KeyProblem::IsPrivateKey(prefix.into()));
        }
        if let Some(prefix) = longest_prefix(&forms.foreign_prefixes, text) {
            return Err(KeyProblem::OtherCredential(prefix.into()));
        }
        for (form, slot) in &forms.alternatives {
            if longest_prefix(&form.prefixes, text).is_some() {
                return form.key(text, *slot);
            }
        }
        if longest_prefix(&forms.main.prefixes, text).is_none() {
            if forms.prefix_required {
                return Err(KeyProblem::LacksPrefix(forms.main.prefixes.clone()));
            }
            if let Some(unprefixed) = &forms.unprefixed {
                return unprefixed.key(text, 0);
            }
        }
        forms.main.key(text, 0)
    }
}

fn longest_prefix<'p>(prefixes: &'p [Box<str>], text: &[u8]) -> Option<&'p str> {
    prefixes
        .iter()
        .filter(|prefix| text.starts_with(prefix.as_bytes()))
        .max_by_key(|prefix| prefix.len())
        .map(|prefix| &**prefix)
}

impl KeyForm {
    fn key(&self, text: &[u8], slot: usize) -> Result<(Key, Option<KeyWarning>), KeyProblem> {
        let prefix = longest_prefix(&self.prefixes, text).unwrap_or_default();
        let rest = text.strip_prefix(prefix.as_bytes()).unwrap_or(text);
        if rest.trim_ascii().is_empty() {
            return Err(KeyProblem::EmptyAfterPrefix(prefix.into()));
        }
        let encoded = if self.keep_prefix { text } else { rest };
        let (bytes, oddity) = decode(self.encoding, encoded)?;
        let check = match self.kind {
            KeyKind::Mac(algorithm) => {
                if bytes.iter().all(|byte| *byte == 0) {
                    return Err(KeyProblem::AllZero);
                }
                Check::Mac(MacState::new(algorithm, &bytes).ok_or(KeyProblem::Unusable)?)
            }
            // A header could not hold it, so every delivery would be refused.
            KeyKind::Text if !can_be_shown(&bytes) => return Err(KeyProblem::NotPlain),
            KeyKind::Text => Check::Text(bytes.clone()),
            KeyKind::Ed25519 if self.encoding == KeyEncoding::Spki => {
                Check::Ed25519(Box::new(public_key(&ed25519_from_spki(&bytes)?)?))
            }
            KeyKind::Ed25519 => Check::Ed25519(Box::new(public_key(&bytes)?)),
            KeyKind::Public(algorithm) => Check::Public(Box::new(PublicKey::from_spki(&bytes, algorithm)?)),
        };
        Ok((Key { check, slot }, oddity.or_else(|| (bytes.len() < SHORT).then_some(KeyWarning::Short))))
    }
}

/// Whether a credential fits into a header's value.
fn can_be_shown(bytes: &[u8]) -> bool {
    bytes.len() <= LONGEST_CREDENTIAL && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

fn decode(encoding: KeyEncoding, text: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Option<KeyWarning>), KeyProblem> {
    match encoding {
        KeyEncoding::Utf8 => {
            let has_space = text.trim_ascii().len() != text.len();
            Ok((Zeroizing::new(text.to_vec()), has_space.then_some(KeyWarning::SurroundedBySpace)))
        }
        KeyEncoding::Utf8Nfkd => {
            let text = std::str::from_utf8(text).map_err(|_| KeyProblem::NotText)?;
            Ok((Zeroizing::new(text.nfkd().collect::<String>().into_bytes()), None))
        }
        KeyEncoding::Spki => Ok((Zeroizing::new(spki_der(text)?), None)),
        KeyEncoding::Base64 => {
            // Dashboards and libraries disagree about padding, and about bits left over after the last byte.
            let engine = |leftover_bits| {
                let config = GeneralPurposeConfig::new()
                    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
                    .with_decode_allow_trailing_bits(leftover_bits);
                GeneralPurpose::new(&STANDARD, config)
            };
            if let Ok(bytes) = engine(false).decode(text) {
                return Ok((Zeroizing::new(bytes), None));
            }
            let bytes = engine(true).decode(text).map_err(|_| KeyProblem::NotBase64)?;
            Ok((Zeroizing::new(bytes), Some(KeyWarning::CutOff)))
        }
        KeyEncoding::Hex => {
            let (pairs, rest) = text.as_chunks::<2>();
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let bytes =
                pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect::<Option<Vec<u8>>>();
            match bytes {
                Some(bytes) if rest.is_empty() => Ok((Zeroizing::new(bytes), None)),
                Some(_) | None => Err(KeyProblem::NotHex),
            }
        }
    }
}

fn public_key(bytes: &[u8]) -> Result<VerifyingKey, KeyProblem> {
    let bytes = <&[u8; 32]>::try_from(bytes).map_err(|_| KeyProblem::PublicKeyLength(bytes.len()))?;
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyProblem::WeakPublicKey)?;
    if key.is_weak() { Err(KeyProblem::WeakPublicKey) } else { Ok(key) }
}
