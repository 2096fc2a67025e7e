//! How a provider signs, as data: the vocabulary of `src/providers/catalog.toml` and of `[schemes.X]`.
//!
//! Only shapes live here; `compile.rs` turns them into a [`super::Scheme`]. Must never hold a provider's name or a secret.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A signature scheme as written in TOML.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemeSpec {
    /// Whether the data below says it all, or which file of code does the rest.
    #[serde(default)]
    pub engine: Engine,
    /// `hmac-sha256` unless the key form says otherwise.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How the configured secret becomes key bytes.
    #[serde(default)]
    pub key: KeySpec,
    /// Further forms a secret may have, told apart by their prefix (`whpk_` for Ed25519).
    #[serde(default)]
    pub alternative_keys: Vec<AlternativeKey>,
    /// Where the signature is. Only engines that find it in the body do without.
    #[serde(default)]
    pub signature: Option<SignatureSpec>,
    /// Where the signed time is. Without it there is no tolerance check.
    #[serde(default)]
    pub timestamp: Option<TimestampSpec>,
    /// Where the delivery's id is.
    #[serde(default)]
    pub id: Option<FieldSpec>,
    /// Where the event's type is.
    #[serde(default)]
    pub event_type: Option<FieldSpec>,
    /// What is signed: literals and `{id}`, `{timestamp}`, `{method}`, `{url}` or
    /// `{url_decoded}`, `{body}`, `{secret}`.
    #[serde(default)]
    pub content: String,
    /// Further headers that must be there, once and not empty. They are not signed.
    #[serde(default)]
    pub required_headers: Vec<OneOrMany>,
    /// Headers that must be there, once, with exactly this value. They are not signed.
    #[serde(default)]
    pub required_values: Vec<RequiredValue>,
    /// What a route may or must say in `options`.
    #[serde(default)]
    pub options: BTreeMap<String, OptionSpec>,
    /// Headers that the same sender sends along, and that stay though they are another scheme's.
    #[serde(default)]
    pub companions: Vec<String>,
    /// What `engine = "jwt"` looks for in the token.
    #[serde(default)]
    pub jwt: Option<JwtSpec>,
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
    /// SHA-256 without a key: the secret is part of the content.
    Sha256,
    /// RFC 8032.
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5), the signature in DER.
    EcdsaP256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2).
    RsaSha256,
    /// No signature at all: the credential itself.
    Token,
}

impl Algorithm {
    /// Whether signatures are checked with a key that anyone may have.
    pub fn is_public_key(self) -> bool {
        match self {
            Self::Ed25519 | Self::EcdsaP256 | Self::RsaSha256 => true,
            Self::HmacSha1 | Self::HmacSha256 | Self::HmacSha512 | Self::Sha256 | Self::Token => false,
        }
    }
}

/// What judges a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The data of the scheme alone.
    #[default]
    Template,
    /// `coded/twilio.rs`.
    Twilio,
    /// `coded/mandrill.rs`.
    Mandrill,
    /// `coded/adyen_payments.rs`.
    AdyenPayments,
    /// `coded/mailgun.rs`.
    Mailgun,
    /// `coded/dropbox_sign.rs`.
    DropboxSign,
    /// `coded/microsoft_graph.rs`.
    MicrosoftGraph,
    /// `coded/contentful.rs`.
    Contentful,
    /// `coded/aws_sns.rs`.
    AwsSns,
    /// `coded/jwt.rs`.
    Jwt,
    /// `coded/rfc9421.rs`.
    Rfc9421,
}

/// A header that must have one value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredValue {
    /// The header.
    pub header: String,
    /// The value. Exactly one of `value` and `option`.
    #[serde(default)]
    pub value: Option<String>,
    /// The route's option that has the value.
    #[serde(default)]
    pub option: Option<String>,
}

/// An option of a route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionSpec {
    /// What it is, and where to find it.
    pub doc: String,
    /// Whether a route has to have it.
    #[serde(default)]
    pub required: bool,
    /// Whether its value names a file, of which the content counts.
    #[serde(default)]
    pub file: bool,
}

/// The claims of a signed token (RFC 7519) that tie it to one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtSpec {
    /// What `iss` must be.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The route's option that says what `iss` must be.
    #[serde(default)]
    pub issuer_option: Option<String>,
    /// The claim that holds the body's SHA-256.
    pub body_hash: HashClaim,
    /// The claim that holds the URL's SHA-256.
    #[serde(default)]
    pub url_hash: Option<HashClaim>,
    /// The claim that holds the URL itself.
    #[serde(default)]
    pub url_claim: Option<String>,
    /// Seconds after `iat`, for tokens without `exp`.
    #[serde(default)]
    pub max_age: Option<u64>,
    /// Further claims that have to be there, as text.
    #[serde(default)]
    pub required: Vec<String>,
    /// Seconds by which the clock may be off `exp`, `nbf` and `iat`, as in the vendor's own library.
    #[serde(default)]
    pub leeway: u64,
}

/// A claim that holds a SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashClaim {
    /// Its name.
    pub claim: String,
    /// How the hash is written.
    pub encoding: HashEncoding,
    /// Whether the sender leaves it out when there is nothing to hash. Only for keys that sign nothing but deliveries.
    #[serde(default)]
    pub absent_if_empty: bool,
}

/// How a hash is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashEncoding {
    /// Lower-case hex.
    Hex,
    /// RFC 4648 §4 with padding.
    Base64,
    /// RFC 4648 §5, padding optional.
    Base64url,
}

/// How the configured text becomes key bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
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
    /// The encoding of a secret without any of the prefixes, where it is another one.
    #[serde(default)]
    pub unprefixed: Option<KeyEncoding>,
    /// Public prefixes of other credentials of the provider, which people paste here by mistake.
    #[serde(default)]
    pub foreign_prefixes: Vec<String>,
}

/// Another form of secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
#[serde(rename_all = "kebab-case")]
pub enum KeyEncoding {
    /// The text's own bytes.
    #[default]
    Utf8,
    /// The bytes of the text's compatibility decomposition (Unicode Standard Annex 15).
    Utf8Nfkd,
    /// RFC 4648 §4, padding optional.
    Base64,
    /// RFC 4648 §8, either case.
    Hex,
    /// A public key: PEM, or base64 of its DER (RFC 5280 §4.1, `SubjectPublicKeyInfo`).
    Spki,
}

/// Where the signature is, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureSpec {
    /// The header, or one per family: the first family of which any header is present must be complete.
    pub header: OneOrMany,
    /// Further headers that may hold one more signature of the same content, made with another of the secrets.
    #[serde(default)]
    pub also: Vec<String>,
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
    /// Whether one space may follow a separator.
    #[serde(default)]
    pub trim: bool,
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
    /// The value as it is, for `algorithm = "token"`.
    Text,
}

/// Where the time is: exactly one of `header`, `pair` and `json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampSpec {
    /// A header, or one per family.
    #[serde(default)]
    pub header: Option<OneOrMany>,
    /// A key in a `pairs` signature header (`t`).
    #[serde(default)]
    pub pair: Option<String>,
    /// A member of the JSON body, read after the MAC: `data.createdAt`.
    #[serde(default)]
    pub json: Option<String>,
    /// The unit.
    #[serde(default)]
    pub unit: TimeUnit,
    /// Seconds either way, unless the route says otherwise.
    #[serde(default = "default_tolerance")]
    pub tolerance: u64,
    /// Takes any time unless the route says otherwise: for senders whose retries keep the first attempt's.
    #[serde(default)]
    pub insecure_any_age: bool,
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
    /// A date as in RFC 3339.
    Rfc3339,
}

/// Where an id or type is: exactly one of `header` and `json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    /// A header, or one per family. Signed only if `{id}` is in the content.
    #[serde(default)]
    pub header: Option<OneOrMany>,
    /// A string member of the JSON body, read after the MAC: `type`, or `data.event_type` inside of objects.
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// The same for all families.
    One(String),
    /// One per family, in order of preference.
    Many(Vec<String>),
}
