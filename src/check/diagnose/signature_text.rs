//! The signature header as it should be written, and what is odd about how it is written.
//!
//! Reads generously what the gate reads strictly: what comes out is only ever tried, with the gate's own code, and never
//! printed. Must never be used to judge a delivery.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::form::percent_decoded;
use crate::check::signature::scheme::{Algorithm, SignatureEncoding, SignatureFormat, SignatureSpec};
use crate::check::signature::{SchemeSpec, hex};

/// Prefixes that senders write before a signature.
const PREFIXES: &[&str] =
    &["sha1=", "sha256=", "sha512=", "sha-256=", "hmac-sha256-hex=", "hmac-sha256=", "v0=", "v1=", BEARER];
const BEARER: &str = "bearer ";

/// A code, and what to say of it.
pub(super) type Oddity = (&'static str, &'static str);

/// A header's value in the form that the scheme wants.
pub(super) struct Canonical {
    pub(super) value: String,
    pub(super) oddities: Vec<Oddity>,
    /// Bytes of the first signature.
    pub(super) length: usize,
}

/// Whether signatures are checked with a public key.
pub(super) fn is_public(algorithm: Algorithm) -> bool {
    match algorithm {
        Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::RsaSha256 => true,
        Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512 | Algorithm::Sha256 | Algorithm::Token => {
            false
        }
    }
}

/// The MAC with so many bytes.
pub(super) fn mac_of(length: usize) -> Option<Algorithm> {
    match length {
        20 => Some(Algorithm::HmacSha1),
        32 => Some(Algorithm::HmacSha256),
        64 => Some(Algorithm::HmacSha512),
        _ => None,
    }
}

/// What separates the entries of the header, and the name of those that count.
pub(super) fn separator(signature: &SignatureSpec) -> Option<char> {
    match signature.format {
        SignatureFormat::Plain => None,
        SignatureFormat::Pairs => Some(signature.separator.unwrap_or(',')),
        SignatureFormat::Versioned => Some(signature.separator.unwrap_or(' ')),
    }
}

/// `None`: not to be made sense of.
pub(super) fn canonical(spec: &SchemeSpec, value: &str) -> Option<Canonical> {
    let signature = spec.signature.as_ref()?;
    let mut reader = Reader { signature, algorithm: spec.algorithm, oddities: Vec::new(), length: None };
    let (value, oddities) = unwrapped(value)?;
    reader.oddities = oddities;
    let version = signature.version.as_deref().unwrap_or_default();
    let value = match (signature.format, separator(signature)) {
        (SignatureFormat::Pairs, Some(separator)) => reader.pairs(&value, separator, version)?,
        (SignatureFormat::Versioned, Some(separator)) => reader.versioned(&value, separator, version)?,
        (SignatureFormat::Plain | SignatureFormat::Pairs | SignatureFormat::Versioned, _) => reader.one(&value)?,
    };
    Some(Canonical { value, oddities: reader.oddities, length: reader.length? })
}

/// Any header's value without quotes, spaces and percent-encoding around it.
pub(super) fn unwrapped(value: &str) -> Option<(String, Vec<Oddity>)> {
    let mut oddities = Vec::new();
    let bare = value.trim().trim_matches(['"', '\'']).trim();
    if bare != value {
        oddities.push(("header_quoted", "in quotes or spaces"));
    }
    let bare = match percent_decoded(bare.as_bytes()) {
        Some(decoded) => {
            oddities.push(("header_url_encoded", "percent-encoded"));
            String::from_utf8(decoded).ok()?
        }
        None => bare.to_owned(),
    };
    Some((bare, oddities))
}

struct Reader<'s> {
    signature: &'s SignatureSpec,
    algorithm: Algorithm,
    oddities: Vec<Oddity>,
    length: Option<usize>,
}

impl Reader<'_> {
    fn odd(&mut self, code: &'static str, said: &'static str) {
        if !self.oddities.contains(&(code, said)) {
            self.oddities.push((code, said));
        }
    }

    /// `t=1,v1=…`.
    fn pairs(&mut self, value: &str, separator: char, version: &str) -> Option<String> {
        if self.signature.prefix.is_empty() && !value.contains(separator) && !value.contains(&format!("{version}=")) {
            let bare = self.one(value)?;
            self.odd("header_version_missing", "without its version");
            return Some(format!("{version}={bare}"));
        }
        let mut entries = Vec::new();
        for entry in value.split(separator) {
            let bare = entry.trim();
            if bare != entry && !(self.signature.trim && entry.strip_prefix(' ') == Some(bare)) {
                self.odd("header_spaces", "with spaces between its parts");
            }
            entries.push(match bare.split_once('=') {
                Some((name, text)) if name.trim() == version => format!("{version}={}", self.one(text.trim())?),
                _ => bare.to_owned(),
            });
        }
        Some(entries.join(&separator.to_string()))
    }

    /// `v1,… v1,…`.
    fn versioned(&mut self, value: &str, separator: char, version: &str) -> Option<String> {
        let mark = format!("{version},");
        let spread = value.replace(&format!("{version}="), &mark).replace(", ", ",");
        let spread = spread.replace(&format!(",{mark}"), &format!("{separator}{mark}"));
        if spread != value {
            self.odd("header_spaces", "with other spaces or commas between its parts");
        }
        if !spread.contains(&mark) && !spread.contains([',', separator]) {
            let bare = self.one(&spread)?;
            self.odd("header_version_missing", "without its version");
            return Some(format!("{mark}{bare}"));
        }
        let mut entries: Vec<String> = Vec::new();
        for entry in spread.split(separator).filter(|entry| !entry.is_empty()) {
            match (entry.contains(','), entries.last_mut()) {
                (false, Some(last)) => {
                    last.push('+');
                    last.push_str(entry);
                    self.odd("header_url_encoded", "with spaces for `+`");
                }
                (_, None) | (true, Some(_)) => entries.push(entry.to_owned()),
            }
        }
        for entry in &mut entries {
            if let Some(text) = entry.strip_prefix(&mark) {
                *entry = format!("{mark}{}", self.one(text)?);
            }
        }
        Some(entries.join(&separator.to_string()))
    }

    /// One signature: prefix and encoding.
    fn one(&mut self, text: &str) -> Option<String> {
        let prefix = self.signature.prefix.as_str();
        let mut rest = text;
        if prefix.is_empty() {
            if let Some(bare) = without_known_prefix(rest) {
                let is_bearer = rest.get(..BEARER.len()).is_some_and(|start| start.eq_ignore_ascii_case(BEARER));
                let said = if is_bearer {
                    "with `Bearer` before it, where the token alone is due"
                } else {
                    "with a prefix that does not belong there"
                };
                self.odd("header_prefix_other", said);
                rest = bare;
            }
        } else if let Some(bare) = rest.strip_prefix(prefix) {
            rest = bare;
            while let Some(bare) = rest.strip_prefix(prefix) {
                self.odd("header_prefix_twice", "with its prefix twice");
                rest = bare;
            }
        } else if let Some(bare) = without_known_prefix(rest) {
            self.odd("header_prefix_other", "with another prefix");
            rest = bare;
        } else {
            self.odd("header_prefix_missing", "without its prefix");
        }
        if self.algorithm == Algorithm::Token {
            self.length = Some(rest.len());
            return Some(format!("{prefix}{rest}"));
        }
        let bytes = self.bytes(rest.trim())?;
        self.length = self.length.or(Some(bytes.len()));
        let encoded = match self.signature.encoding {
            SignatureEncoding::Base64 => STANDARD.encode(&bytes),
            SignatureEncoding::Hex | SignatureEncoding::HexAny => hex(&bytes),
            SignatureEncoding::Text => rest.to_owned(),
        };
        Some(format!("{prefix}{encoded}"))
    }

    fn bytes(&mut self, text: &str) -> Option<Vec<u8>> {
        let wants_hex = match self.signature.encoding {
            SignatureEncoding::Hex | SignatureEncoding::HexAny => true,
            SignatureEncoding::Base64 => false,
            SignatureEncoding::Text => return Some(text.as_bytes().to_vec()),
        };
        let fits = |bytes: &Vec<u8>| is_public(self.algorithm) || fits_mac(bytes);
        if let Some(bytes) = from_hex(text).filter(fits) {
            if !wants_hex {
                self.odd("signature_is_hex", "in hex, where base64 is due");
            } else if self.signature.encoding == SignatureEncoding::Hex
                && text.bytes().any(|byte| byte.is_ascii_uppercase())
            {
                self.odd("signature_hex_case", "in upper-case hex");
            }
            return Some(bytes);
        }
        let plus = text.replace(' ', "+");
        let decoders = [
            (STANDARD.decode(text), None),
            (STANDARD_NO_PAD.decode(text), Some(("signature_padding_lost", "without the `=` at its end"))),
            (URL_SAFE.decode(text), Some(("signature_is_base64url", "in the URL-safe base64 alphabet"))),
            (URL_SAFE_NO_PAD.decode(text), Some(("signature_is_base64url", "in the URL-safe base64 alphabet"))),
            (STANDARD.decode(plus), Some(("header_url_encoded", "with spaces for `+`"))),
        ];
        let decoded = decoders.into_iter().find_map(|(bytes, oddity)| Some((bytes.ok()?, oddity)));
        let (bytes, oddity) = decoded?;
        if let Some((code, said)) = oddity {
            self.odd(code, said);
        }
        if let Some(inner) = std::str::from_utf8(&bytes).ok().and_then(from_hex).filter(|inner| fits_mac(inner)) {
            self.odd("signature_hex_in_base64", "in base64 of its hex");
            return Some(inner);
        }
        if wants_hex {
            self.odd("signature_is_base64", "in base64, where hex is due");
        }
        Some(bytes).filter(|bytes| is_public(self.algorithm) || fits_mac(bytes))
    }
}

fn fits_mac(bytes: &[u8]) -> bool {
    mac_of(bytes.len()).is_some()
}

fn without_known_prefix(text: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| {
        let (start, rest) = text.split_at_checked(prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then_some(rest)
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let pair = |pair: &[u8; 2]| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        u8::from_str_radix(pair, 16).ok()
    };
    pairs.iter().map(pair).collect()
}
