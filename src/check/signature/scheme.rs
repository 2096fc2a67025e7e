//! How a provider signs, as data: the vocabulary of `src/providers/catalog.toml` and of `[schemes.X]`.
//!
//! Only shapes live here; `compile.rs` turns them into a [`super::Scheme`]. Must never hold a provider's name or a secret.

use serde::Deserialize;

/// A signature scheme as written in TOML.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemeSpec {
    /// `hmac-sha256` unless the key form says otherwise.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How the configured secret becomes key bytes.
    #[serde(default)]
    pub key: KeySpec,
    /// Further forms a secret may have, told apart by their prefix (`whpk_` for Ed25519).
    #[serde(default)]
    pub alternative_keys: Vec<AlternativeKey>,
    /// Where the signature is.
    pub signature: SignatureSpec,
    /// Where the signed time is. Without it there is no tolerance check.
    #[serde(default)]
    pub timestamp: Option<TimestampSpec>,
    /// Where the delivery's id is.
    #[serde(default)]
    pub id: Option<FieldSpec>,
    /// Where the event's type is.
    #[serde(default)]
    pub event_type: Option<FieldSpec>,
    /// What is signed: literals and `{id}`, `{timestamp}`, `{body}`.
    pub content: String,
    /// Further headers that must be there, once and not empty. They are not signed.
    #[serde(default)]
    pub required_headers: Vec<OneOrMany>,
    /// Refuse an empty body even when it is signed.
    #[serde(default)]
    pub refuse_empty_body: bool,
    /// Allows a `content` without `{body}`.
    #[serde(default)]
    pub insecure_unsigned_body: bool,
}

/// The MAC or signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// RFC 2104 with SHA-1. For vendors that offer nothing better.
    HmacSha1,
    /// RFC 2104 with SHA-256.
    #[default]
    HmacSha256,
    /// RFC 2104 with SHA-512.
    HmacSha512,
    /// RFC 8032.
    Ed25519,
}

/// How the configured text becomes key bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySpec {
    /// The encoding after the prefix.
    #[serde(default)]
    pub encoding: KeyEncoding,
    /// Prefixes a secret may start with; the longest that fits counts.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Whether the prefix is part of the key (Stripe) or removed before decoding (Svix).
    #[serde(default)]
    pub keep_prefix: bool,
    /// Whether a secret without a prefix is a problem.
    #[serde(default)]
    pub prefix_required: bool,
    /// Public prefixes of other credentials of the provider, which people paste here by mistake.
    #[serde(default)]
    pub foreign_prefixes: Vec<String>,
}

/// Another form of secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlternativeKey {
    /// What it starts with.
    pub prefix: String,
    /// What its private half starts with, which does not belong here and is refused.
    #[serde(default)]
    pub private_prefix: Option<String>,
    /// Its encoding after the prefix.
    pub encoding: KeyEncoding,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The version of the signature entries that it checks.
    pub version: String,
}

/// Encoding of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// The text's own bytes.
    #[default]
    Utf8,
    /// RFC 4648 §4, padding optional.
    Base64,
    /// RFC 4648 §8, either case.
    Hex,
}

/// Where the signature is, and how it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureSpec {
    /// The header, or one per family: the first family of which any header is present must be complete.
    pub header: OneOrMany,
    /// Encoding of the signature's bytes.
    pub encoding: SignatureEncoding,
    /// Text before the encoded bytes (`sha256=`).
    #[serde(default)]
    pub prefix: String,
    /// The header's grammar.
    #[serde(default)]
    pub format: SignatureFormat,
    /// Between entries: one character. Defaults: a space for `versioned`, a comma for `pairs`.
    #[serde(default)]
    pub separator: Option<char>,
    /// The entries that count: `v1` in `v1,<base64>` (versioned) or `v1=<hex>` (pairs).
    #[serde(default)]
    pub version: Option<String>,
}

/// Grammar of the signature header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureFormat {
    /// One signature.
    #[default]
    Plain,
    /// `key=value` entries.
    Pairs,
    /// `version,value` entries.
    Versioned,
}

/// Encoding of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureEncoding {
    /// Lower-case hex.
    Hex,
    /// Hex in either case.
    HexAny,
    /// RFC 4648 §4 with padding, canonical.
    Base64,
}

/// Where the time is: exactly one of `header` and `pair`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampSpec {
    /// A header, or one per family.
    #[serde(default)]
    pub header: Option<OneOrMany>,
    /// A key in a `pairs` signature header (`t`).
    #[serde(default)]
    pub pair: Option<String>,
    /// The unit.
    #[serde(default)]
    pub unit: TimeUnit,
    /// Seconds either way, unless the route says otherwise.
    #[serde(default = "default_tolerance")]
    pub tolerance: u64,
}

fn default_tolerance() -> u64 {
    300
}

/// Unit of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Unix seconds.
    #[default]
    S,
    /// Unix milliseconds.
    Ms,
}

/// Where an id or type is: exactly one of `header` and `json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    /// A header, or one per family. Signed only if `{id}` is in the content.
    #[serde(default)]
    pub header: Option<OneOrMany>,
    /// A top-level string member of the JSON body, read after the MAC.
    #[serde(default)]
    pub json: Option<String>,
}

impl OneOrMany {
    /// The name that a family uses.
    pub fn of_family(&self, family: usize) -> Option<&str> {
        match self {
            Self::One(name) => Some(name),
            Self::Many(names) => names.get(family).map(String::as_str),
        }
    }

    /// Every name.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// A header name, or one per family.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// The same for all families.
    One(String),
    /// One per family, in order of preference.
    Many(Vec<String>),
}
