//! The other side: the headers of a genuine delivery, for `demo`, `sign`, `send` and the tests.
//!
//! With a shared secret, or with an Ed25519 private key; a public key signs nothing. A delivery that has its time in the body
//! has to bring it. Must never be reachable from a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::content::Piece;
use super::family::TimeSource;
use super::grammar::Format;
use super::key::{Check, Key};
use super::scheme::SignatureEncoding;
use super::signer::{Hand, Signer, ed25519};
use super::template::TemplateScheme;
use super::{Engine, Scheme, mac, stamp};

/// What to sign.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'d> {
    /// The delivery's id, where the scheme has an id header.
    pub id: &'d str,
    /// Unix seconds.
    pub timestamp: u64,
    /// The method.
    pub method: &'d Method,
    /// The absolute URL, where the scheme signs it.
    pub url: Option<&'d str>,
    /// Headers that the sender sends anyway, such as the content type.
    pub headers: &'d HeaderMap,
    /// The body, byte for byte.
    pub body: &'d [u8],
}

/// A signed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What to send besides the headers that are there anyway.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body to send instead, where the signature is in it.
    pub body: Option<Vec<u8>>,
    /// The URL to send to instead, where part of the signature is in it.
    pub url: Option<String>,
}

impl Signed {
    /// Headers alone.
    pub(super) fn by_headers(headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { headers, body: None, url: None }
    }
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
    /// The URL has to be known.
    #[error("this provider signs the URL: say to which one the delivery goes")]
    Url,
    /// The body is not what the provider sends.
    #[error("the body is not one that this provider could send: compare it with the sample that `send` would post")]
    Body,
}

/// Signs a delivery with the headers of the first family, or of the first of which the delivery has any.
///
/// # Errors
/// [`SignProblem`].
pub fn sign(scheme: &Scheme, key: Option<&Key>, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
    match &scheme.engine {
        Engine::Template(template) => {
            let key = key.ok_or(SignProblem::PublicKey)?;
            with_template(template, key.slot, delivery, |feed| shared(template, key, feed))
        }
        Engine::Coded(coded) => coded.sign(key, delivery),
    }
}

/// [`sign`], also with a private key.
///
/// # Errors
/// [`SignProblem`].
pub fn sign_as(scheme: &Scheme, signer: &Signer, delivery: &Delivery<'_>) -> Result<Signed, SignProblem> {
    match (&signer.0, &scheme.engine) {
        (Hand::Shared(key), _) => sign(scheme, Some(key), delivery),
        (Hand::None, _) => sign(scheme, None, delivery),
        (Hand::Private { key, slot }, Engine::Template(template)) => {
            with_template(template, *slot, delivery, |feed| ed25519(key, |update| feed(b"", update)))
        }
        (Hand::Private { .. }, Engine::Coded(_)) => Err(SignProblem::PublicKey),
    }
}

/// Feeds the signed content, with the secret where it is part of it.
type Feed<'f> = &'f dyn Fn(&[u8], &mut dyn FnMut(&[u8]));

fn shared(scheme: &TemplateScheme, key: &Key, feed: Feed<'_>) -> Result<Vec<u8>, SignProblem> {
    match &key.check {
        Check::Mac(state) => Ok(state.tag(|update| feed(b"", update)).as_bytes().to_vec()),
        Check::Text(secret) if scheme.unkeyed => Ok(mac::digest(|update| feed(secret, update)).as_bytes().to_vec()),
        Check::Text(credential) => Ok(credential.to_vec()),
        Check::Ed25519(_) | Check::Public(_) => Err(SignProblem::PublicKey),
    }
}

fn with_template(
    scheme: &TemplateScheme,
    slot: usize,
    delivery: &Delivery<'_>,
    make: impl FnOnce(Feed<'_>) -> Result<Vec<u8>, SignProblem>,
) -> Result<Signed, SignProblem> {
    let begun = scheme.families.iter().find(|family| family.headers().any(|name| delivery.headers.contains_key(name)));
    let Some(family) = begun.or(scheme.families.first()) else { return Ok(Signed::by_headers(Vec::new())) };
    if scheme.content.has(&Piece::Id) && !scheme.content.takes_id(delivery.id.as_bytes()) {
        return Err(SignProblem::Id);
    }
    let url = match delivery.url {
        None if scheme.signs_url() => return Err(SignProblem::Url),
        url => scheme.content.spelling(url.unwrap_or_default()),
    };
    let timestamp = scheme.time.as_ref().map(|time| stamp::write(delivery.timestamp, time.unit)).unwrap_or_default();
    let feed = |secret: &[u8], update: &mut dyn FnMut(&[u8])| {
        for piece in scheme.content.pieces() {
            match piece {
                Piece::Literal(bytes) => update(bytes),
                Piece::Id => update(delivery.id.as_bytes()),
                Piece::Timestamp => update(timestamp.as_bytes()),
                Piece::Method => update(delivery.method.as_str().as_bytes()),
                Piece::Url => update(url.as_bytes()),
                Piece::Body => update(delivery.body),
                Piece::Secret => update(secret),
            }
        }
    };
    let signature = make(&feed)?;
    let encoded = match scheme.grammar.encoding {
        SignatureEncoding::Base64 => STANDARD.encode(&signature),
        SignatureEncoding::Hex | SignatureEncoding::HexAny => hex(&signature),
        SignatureEncoding::Text => String::from_utf8(signature).map_err(|_| SignProblem::Id)?,
    };
    let prefix = String::from_utf8_lossy(&scheme.grammar.prefix);
    let version = scheme.grammar.slots.get(slot).map(|slot| String::from_utf8_lossy(&slot.version)).unwrap_or_default();
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
    let fixed = scheme.required_values.iter().cloned();
    headers
        .into_iter()
        .map(|(name, value)| {
            HeaderValue::try_from(value).map(|value| (name.clone(), value)).map_err(|_| SignProblem::Id)
        })
        .chain(fixed.map(Ok))
        .collect::<Result<_, _>>()
        .map(Signed::by_headers)
}

/// Lower-case hex.
pub(in crate::check) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}
