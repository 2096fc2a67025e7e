//! The other side: the headers of a genuine delivery, for `demo`, `sign`, `send` and the tests.
//!
//! Only for schemes with a shared secret; a public key signs nothing. Must never be reachable from a request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

use super::Scheme;
use super::content::Piece;
use super::family::TimeSource;
use super::grammar::Format;
use super::key::{Check, Key};
use super::scheme::{SignatureEncoding, TimeUnit};

/// What to sign.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'d> {
    /// The delivery's id, where the scheme has an id header.
    pub id: &'d str,
    /// Unix seconds.
    pub timestamp: u64,
    /// The body, byte for byte.
    pub body: &'d [u8],
}

/// Why a delivery cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignProblem {
    /// Only the sender can sign with this key.
    #[error("a public key cannot sign")]
    PublicKey,
    /// The id is nothing that the scheme could carry.
    #[error("the id cannot be part of the signed content")]
    Id,
}

/// The signature, timestamp and id headers of the scheme's first family.
///
/// # Errors
/// [`SignProblem`].
pub fn sign(scheme: &Scheme, key: &Key, delivery: Delivery<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, SignProblem> {
    let Check::Mac(state) = &key.check else { return Err(SignProblem::PublicKey) };
    let Some(family) = scheme.families.first() else { return Ok(Vec::new()) };
    if scheme.content.has_id() && !scheme.content.takes_id(delivery.id.as_bytes()) {
        return Err(SignProblem::Id);
    }
    let timestamp = match scheme.time.as_ref().map(|time| time.unit) {
        Some(TimeUnit::Ms) => delivery.timestamp.saturating_mul(1000).to_string(),
        Some(TimeUnit::S) | None => delivery.timestamp.to_string(),
    };
    let tag = state.tag(|update| {
        for piece in scheme.content.pieces() {
            match piece {
                Piece::Literal(bytes) => update(bytes),
                Piece::Id => update(delivery.id.as_bytes()),
                Piece::Timestamp => update(timestamp.as_bytes()),
                Piece::Body => update(delivery.body),
            }
        }
    });
    let encoded = match scheme.grammar.encoding {
        SignatureEncoding::Base64 => STANDARD.encode(tag.as_bytes()),
        SignatureEncoding::Hex | SignatureEncoding::HexAny => hex(tag.as_bytes()),
    };
    let prefix = String::from_utf8_lossy(&scheme.grammar.prefix);
    let version =
        scheme.grammar.slots.get(key.slot).map(|slot| String::from_utf8_lossy(&slot.version)).unwrap_or_default();
    let signature = match &scheme.grammar.format {
        Format::Plain => format!("{prefix}{encoded}"),
        Format::Versioned { .. } => format!("{version},{prefix}{encoded}"),
        Format::Pairs { separator, time } => {
            let time = time
                .as_ref()
                .map(|time| format!("{}={timestamp}{}", String::from_utf8_lossy(time), char::from(*separator)));
            format!("{}{version}={prefix}{encoded}", time.unwrap_or_default())
        }
    };
    let mut headers = vec![(&family.signature, signature)];
    if let (Some(name), Some(TimeSource::Header)) = (&family.timestamp, scheme.time.as_ref().map(|time| &time.source)) {
        headers.push((name, timestamp));
    }
    if let Some(name) = &family.id {
        headers.push((name, delivery.id.to_owned()));
    }
    headers
        .into_iter()
        .map(|(name, value)| {
            HeaderValue::try_from(value).map(|value| (name.clone(), value)).map_err(|_| SignProblem::Id)
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}
