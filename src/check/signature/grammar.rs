//! The text of the signature and timestamp headers: entries, versions, encodings, digits.
//!
//! Strict on purpose: one text per value, so that nothing can be signed one way and read another. In a versioned list an
//! entry that makes no sense is skipped (senders may add new kinds); in `key=value` pairs it is refused, because there a
//! repeated or odd key makes the time ambiguous. Must never trim, fold case or allocate.
//! Sources: RFC 4648 §4 and §8; Standard Webhooks "Webhook headers"; Stripe "Verify webhook signatures manually".

use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::scheme::{Algorithm, SignatureEncoding};

/// Most entries of a list. Senders have a handful; each costs a comparison with every secret.
pub(super) const MAX_ENTRIES: usize = 64;
/// Most public-key entries of a list: each costs a pass over the body and a curve operation.
const MAX_PUBLIC_KEY_ENTRIES: usize = 4;
/// Longest decoded signature that is not kept apart (ECDSA in DER), rounded up to what a base64 decoder asks for.
const MAX_SHORT: usize = 78;
/// Longest decoded one of all: RSA with 4,096 bits, or a token.
const MAX_DECODED: usize = 512;

/// How the signature header is written.
#[derive(Debug)]
pub(super) struct Grammar {
    pub(super) format: Format,
    /// Text before each encoded signature.
    pub(super) prefix: Box<[u8]>,
    pub(super) encoding: SignatureEncoding,
    /// One space may follow a separator.
    pub(super) trim: bool,
    /// What counts: first the scheme's own version, then those of the alternative keys. Never empty.
    pub(super) slots: Vec<Slot>,
}

/// The entries that one kind of key checks.
#[derive(Debug)]
pub(super) struct Slot {
    /// Empty for a plain header.
    pub(super) version: Box<[u8]>,
    pub(super) algorithm: Algorithm,
}

#[derive(Debug)]
pub(super) enum Format {
    /// One signature.
    Plain,
    /// `key=value` entries; the time may be one of them.
    Pairs { separator: u8, time: Option<Box<[u8]>> },
    /// `version,value` entries.
    Versioned { separator: u8 },
}

/// What a well-formed header holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary<'h> {
    /// At least one signature that a key of this scheme could have made.
    pub(super) usable: bool,
    /// The time, where it is one of the pairs.
    pub(super) time: Option<&'h [u8]>,
}

/// One entry of the header.
enum Entry<'h> {
    /// A signature of the slot with this index, still encoded.
    Signature(usize, &'h [u8]),
    Time(&'h [u8]),
    /// Well-formed, of a kind that we do not check.
    Unknown,
    /// Not of the grammar.
    Broken,
}

impl Grammar {
    /// Checks the form of the whole header. `None`: malformed.
    pub(super) fn summarize<'h>(&self, header: &'h [u8]) -> Option<Summary<'h>> {
        let mut summary = Summary { usable: false, time: None };
        let (mut count, mut public_key, mut unknown) = (0_usize, 0_usize, false);
        for entry in self.entries(header) {
            count = count.saturating_add(1);
            match entry {
                Entry::Signature(slot, text) => {
                    let Some(slot) = self.slots.get(slot) else { continue };
                    if slot.algorithm.is_public_key() {
                        public_key = public_key.saturating_add(1);
                    }
                    summary.usable |= self.decode(text, slot.algorithm).is_some();
                }
                Entry::Time(text) => summary.time = Some(text),
                Entry::Unknown => unknown = true,
                Entry::Broken if matches!(self.format, Format::Versioned { .. }) => {}
                Entry::Broken => return None,
            }
            if count > MAX_ENTRIES || public_key > MAX_PUBLIC_KEY_ENTRIES {
                return None;
            }
        }
        let is_unambiguous = match self.format {
            Format::Pairs { .. } => !self.repeats_a_key(header),
            Format::Plain | Format::Versioned { .. } => true,
        };
        (is_unambiguous && (summary.usable || unknown)).then_some(summary)
    }

    /// The decoded signatures of one slot.
    pub(super) fn signatures<'h>(&self, slot: usize, header: &'h [u8]) -> impl Iterator<Item = Decoded> + use<'_, 'h> {
        let algorithm = self.slots.get(slot).map(|slot| slot.algorithm);
        self.entries(header).take(MAX_ENTRIES).filter_map(move |entry| match entry {
            Entry::Signature(index, text) if index == slot => self.decode(text, algorithm?),
            Entry::Signature(..) | Entry::Time(_) | Entry::Unknown | Entry::Broken => None,
        })
    }

    fn entries<'h>(&self, header: &'h [u8]) -> impl Iterator<Item = Entry<'h>> + use<'_, 'h> {
        let separator = match self.format {
            Format::Plain => None,
            Format::Pairs { separator, .. } | Format::Versioned { separator } => Some(separator),
        };
        header
            .split(move |byte| Some(*byte) == separator)
            .filter(|entry| !entry.is_empty() || !matches!(self.format, Format::Versioned { .. }))
            .map(|entry| self.classify(self.trimmed(entry)))
    }

    fn trimmed<'h>(&self, entry: &'h [u8]) -> &'h [u8] {
        if self.trim { entry.strip_prefix(b" ").unwrap_or(entry) } else { entry }
    }

    fn classify<'h>(&self, entry: &'h [u8]) -> Entry<'h> {
        let (between, time) = match &self.format {
            Format::Plain => return Entry::Signature(0, entry),
            Format::Pairs { time, .. } => (b'=', time.as_deref()),
            Format::Versioned { .. } => (b',', None),
        };
        let Some((name, value)) = split_once(entry, between) else { return Entry::Broken };
        if let Some(slot) = self.slots.iter().position(|slot| *slot.version == *name) {
            Entry::Signature(slot, value)
        } else if time == Some(name) {
            Entry::Time(value)
        } else if is_name(name) && !value.is_empty() {
            Entry::Unknown
        } else {
            Entry::Broken
        }
    }

    /// Whether a key other than a signature's is there twice.
    fn repeats_a_key(&self, header: &[u8]) -> bool {
        let Format::Pairs { separator, .. } = self.format else { return false };
        let keys = || {
            header
                .split(move |byte| *byte == separator)
                .filter_map(|entry| split_once(self.trimmed(entry), b'=').map(|(name, _)| name))
                .filter(|name| !self.slots.iter().any(|slot| *slot.version == **name))
        };
        keys().enumerate().any(|(index, name)| keys().take(index).any(|earlier| earlier == name))
    }

    fn decode(&self, text: &[u8], algorithm: Algorithm) -> Option<Decoded> {
        let text = text.strip_prefix(&*self.prefix)?;
        let lengths = signature_lengths(algorithm);
        let decoded = if *lengths.end() <= MAX_SHORT {
            let mut bytes = [0; MAX_SHORT];
            let len = self.decode_into(text, &mut bytes)?;
            Decoded::Short(bytes, len)
        } else {
            let mut bytes = vec![0; text.len().min(2 * MAX_DECODED)];
            let len = self.decode_into(text, &mut bytes)?;
            bytes.truncate(len);
            Decoded::Long(bytes)
        };
        lengths.contains(&decoded.as_bytes().len()).then_some(decoded)
    }

    /// How many bytes it is.
    fn decode_into(&self, text: &[u8], bytes: &mut [u8]) -> Option<usize> {
        match self.encoding {
            SignatureEncoding::Base64 => STANDARD.decode_slice(text, bytes).ok(),
            SignatureEncoding::Hex => from_hex(text, bytes, lower_nibble),
            SignatureEncoding::HexAny => from_hex(text, bytes, any_nibble),
            SignatureEncoding::Text => {
                bytes.get_mut(..text.len())?.copy_from_slice(text);
                Some(text.len())
            }
        }
    }
}

/// The lengths that a signature can have, in bytes.
const fn signature_lengths(algorithm: Algorithm) -> RangeInclusive<usize> {
    match algorithm {
        Algorithm::HmacSha1 => 20..=20,
        Algorithm::HmacSha256 | Algorithm::Sha256 => 32..=32,
        Algorithm::HmacSha512 | Algorithm::Ed25519 => 64..=64,
        // Two numbers of up to 33 bytes, each with a tag and a length, in a sequence.
        Algorithm::EcdsaP256 => 8..=72,
        Algorithm::RsaSha256 => 256..=MAX_DECODED,
        Algorithm::Token => 1..=MAX_DECODED,
    }
}

/// A signature as received, decoded, of the right length for its algorithm.
pub(super) enum Decoded {
    Short([u8; MAX_SHORT], usize),
    Long(Vec<u8>),
}

impl Decoded {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes, len) => bytes.get(..*len).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

fn from_hex(text: &[u8], bytes: &mut [u8], nibble: fn(u8) -> Option<u8>) -> Option<usize> {
    let (pairs, rest) = text.as_chunks::<2>();
    let bytes = bytes.get_mut(..pairs.len()).filter(|_| rest.is_empty())?;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(pairs.len())
}

fn lower_nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit & 0x0f),
        b'a'..=b'f' => Some((digit & 0x0f).wrapping_add(9)),
        _ => None,
    }
}

fn any_nibble(digit: u8) -> Option<u8> {
    lower_nibble(digit.to_ascii_lowercase())
}

fn split_once(entry: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = entry.iter().position(|byte| *byte == at)?;
    let (name, value) = entry.split_at_checked(position)?;
    Some((name, value.get(1..)?))
}

/// Whether a text can be the name of a version or of a pair.
pub(super) fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
