//! A body inside of something: gzip, zlib, chunks, base64, a JSON string; or taken out of it.
//!
//! Only makes candidates, and bounds what it unpacks. Sources: RFC 1950 to 1952, RFC 9112 §7.1, RFC 4648.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::json::{self, Node};

/// Most bytes that come out of a compressed body.
const MOST_UNPACKED: u64 = 8 * 1024 * 1024;
/// Largest body, in bytes, that is compressed.
const MOST_PACKED: usize = 64 * 1024;

/// What arrived is compressed, and the plain bytes were signed.
pub(super) fn unpacked(body: &Bytes) -> Vec<Vec<Bytes>> {
    let is_gzip = body.starts_with(&[0x1f, 0x8b]);
    let is_zlib =
        matches!(body.first_chunk(), Some([0x78, flags]) if u16::from_be_bytes([0x78, *flags]).is_multiple_of(31));
    let plain = if is_gzip {
        read(MultiGzDecoder::new(&**body))
    } else if is_zlib {
        read(ZlibDecoder::new(&**body))
    } else if matches!(body.trim_ascii_start().first(), None | Some(b'{' | b'[')) {
        None
    } else {
        read(DeflateDecoder::new(&**body))
    };
    plain.map(|plain| vec![plain.into()]).into_iter().collect()
}

fn read(from: impl Read) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let length = from.take(MOST_UNPACKED).read_to_end(&mut plain).ok()?;
    (length > 0 && u64::try_from(length).is_ok_and(|length| length < MOST_UNPACKED)).then_some(plain)
}

/// What arrived is plain, and the compressed bytes were signed. Finds only what the same library would have made.
pub(super) fn packed(body: &Bytes) -> Vec<Vec<Bytes>> {
    if body.is_empty() || body.len() > MOST_PACKED || body.starts_with(&[0x1f, 0x8b]) {
        return Vec::new();
    }
    let mut bodies = Vec::new();
    for level in [6, 9, 1].map(Compression::new) {
        let mut gzip = GzEncoder::new(Vec::new(), level);
        if let Some(packed) = gzip.write_all(body).ok().and_then(|()| gzip.finish().ok()) {
            // The byte that names the operating system: unknown, or Unix.
            for system in [255, 3] {
                let mut packed = packed.clone();
                if let Some(byte) = packed.get_mut(9) {
                    *byte = system;
                }
                bodies.push(packed);
            }
        }
        let mut zlib = ZlibEncoder::new(Vec::new(), level);
        bodies.extend(zlib.write_all(body).ok().and_then(|()| zlib.finish().ok()));
        let mut deflate = DeflateEncoder::new(Vec::new(), level);
        bodies.extend(deflate.write_all(body).ok().and_then(|()| deflate.finish().ok()));
    }
    bodies.into_iter().map(|body| vec![body.into()]).collect()
}

/// The chunks' data, where the sizes are still there.
pub(super) fn without_chunk_sizes(body: &Bytes) -> Vec<Vec<Bytes>> {
    let mut rest: &[u8] = body;
    let mut chunks = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let Some((line, after)) = rest.split_at_checked(end) else { break };
        let digits = line.trim_ascii().split(|byte| *byte == b';').next().unwrap_or_default();
        let length = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let after = after.get(1..).unwrap_or_default();
        let Some((chunk, after)) = length.and_then(|length| after.split_at_checked(length)) else { break };
        if chunk.is_empty() {
            break;
        }
        chunks.push(body.slice_ref(chunk));
        rest = after.strip_prefix(b"\r").unwrap_or(after);
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
    if chunks.is_empty() { Vec::new() } else { vec![chunks] }
}

/// Out of a JSON string, and into one.
pub(super) fn restringed(body: &Bytes) -> Vec<Vec<Bytes>> {
    match json::parse(body) {
        Some(Node::Text(raw)) => json::plain(raw).map(|text| vec![text.into()]).into_iter().collect(),
        Some(Node::Object(_) | Node::Array(_)) => {
            let Ok(text) = std::str::from_utf8(body) else { return Vec::new() };
            let mut string = String::from("\"");
            for letter in text.chars() {
                match letter {
                    '"' => string.push_str("\\\""),
                    '\\' => string.push_str("\\\\"),
                    '\n' => string.push_str("\\n"),
                    '\r' => string.push_str("\\r"),
                    '\t' => string.push_str("\\t"),
                    other => string.push(other),
                }
            }
            string.push('"');
            vec![vec![string.into()]]
        }
        Some(Node::Number(_) | Node::Word(_)) | None => Vec::new(),
    }
}

/// Out of base64, and into it.
pub(super) fn rebased(body: &Bytes) -> Vec<Vec<Bytes>> {
    let decoded = STANDARD.decode(body.trim_ascii()).or_else(|_| STANDARD_NO_PAD.decode(body.trim_ascii())).ok();
    let encoded = Some(STANDARD.encode(body).into_bytes());
    [decoded, encoded].into_iter().flatten().map(|body| vec![body.into()]).collect()
}
