//! A request body: by length or in chunks (RFC 9112 §6–§7), and the trailer section (RFC 9112 §7.1.2, RFC 9110 §6.5).
//!
//! Must never deliver a byte that is known to be wrong: what came before it goes on, and the stream ends there.

use super::head::Head;
use super::lines::{Held, Parsed, crlf, distance, field_line, is_field_name, same_name};
use super::{Fault, Limits, State, Step};

/// As many hex digits as fit a `u64`.
const MAX_SIZE_DIGITS: u8 = 16;

pub(super) fn length_step(remaining: &mut u64, bytes: &[u8]) -> (Step, Option<State>) {
    let taken = at_most(*remaining, bytes);
    *remaining = left(*remaining, taken);
    (Step::Deliver(taken), (*remaining == 0).then_some(State::Head(Head::NEW)))
}

/// Inside a chunked body, before its last chunk's CRLF. Needs no held bytes: each byte is right or wrong by itself.
///
/// Extensions are refused. RFC 9112 §7.1.1 has unknown ones ignored but lets a server limit their length; the limit here
/// is zero, because no sender of webhooks emits one (node, curl, Go, Python, Java, Ruby, PHP, .NET) and the ways of
/// ending them are where parsers were found to differ.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chunk {
    Size { digits: u8, size: u64 },
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
}

impl Chunk {
    pub(super) const START: Self = Self::Size { digits: 0, size: 0 };

    pub(super) fn step(&mut self, bytes: &[u8]) -> (Step, Option<State>) {
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first() {
            let (next, after) = match *self {
                Self::Data(remaining) => {
                    let taken = at_most(remaining, rest);
                    let remaining = left(remaining, taken);
                    let next = if remaining == 0 { Self::DataCr } else { Self::Data(remaining) };
                    (Ok(next), rest.get(taken..).unwrap_or_default())
                }
                Self::SizeLf(0) if byte == b'\n' => {
                    return (Step::Deliver(distance(bytes, tail)), Some(State::Trailers(Trailers::NEW)));
                }
                framing => (framing.byte(byte), tail),
            };
            match next {
                Ok(next) => *self = next,
                Err(fault) if distance(bytes, rest) == 0 => return (Step::RefusedBody(fault), None),
                // What came before was right, and goes; the next call begins at the wrong byte.
                Err(_) => break,
            }
            rest = after;
        }
        (Step::Deliver(distance(bytes, rest)), None)
    }

    /// One byte that is not data.
    fn byte(self, byte: u8) -> Result<Self, Fault> {
        match self {
            Self::Size { digits: 1.., size } if byte == b'\r' => Ok(Self::SizeLf(size)),
            Self::Size { digits: 1.., .. } if byte == b';' => Err(Fault::ChunkExtension),
            Self::Size { digits, size } if digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).ok_or(Fault::ChunkSize)?;
                Ok(Self::Size { digits: digits.saturating_add(1), size: size.wrapping_shl(4) | u64::from(digit) })
            }
            Self::SizeLf(size) if byte == b'\n' => Ok(Self::Data(size)),
            Self::Size { .. } | Self::SizeLf(_) => Err(Fault::ChunkSize),
            Self::DataCr if byte == b'\r' => Ok(Self::DataLf),
            Self::DataLf if byte == b'\n' => Ok(Self::START),
            Self::Data(_) | Self::DataCr | Self::DataLf => Err(Fault::ChunkEnd),
        }
    }
}

/// Behind the last chunk, line by line; each is delivered when it is complete and proven.
#[derive(Debug)]
pub(super) struct Trailers {
    held: Held,
    bytes: usize,
    fields: usize,
}

impl Trailers {
    pub(super) const NEW: Self = Self { held: Held::NOTHING, bytes: 0, fields: 0 };

    pub(super) fn step(&mut self, bytes: &[u8], limits: Limits) -> (Step, Option<State>) {
        // hyper refuses a section that reaches its max_header_size, where a head may be that long: stay one below.
        let room = limits.max_head.saturating_sub(1).saturating_sub(self.bytes);
        if self.held.line_is_open(bytes, room) {
            return (Step::NeedMore, None);
        }
        let window = bytes.get(..room).unwrap_or(bytes);
        match self.line(window, limits.max_headers) {
            Ok((length, None)) => (Step::Deliver(length), Some(State::Head(Head::NEW))),
            Ok((length, Some(next))) => (Step::Deliver(length), Some(State::Trailers(next))),
            Err(stop) => {
                let fault = self.held.fault(stop, window, room, Fault::TrailersTooLarge);
                (fault.map_or(Step::NeedMore, Step::RefusedBody), None)
            }
        }
    }

    /// One line's length, and what comes after it: nothing behind the empty line.
    fn line(&self, window: &[u8], max_headers: usize) -> Parsed<(usize, Option<Self>)> {
        if window.first() == Some(&b'\r') {
            return Ok((distance(window, crlf(window)?), None));
        }
        if self.fields >= max_headers {
            return Err(Fault::TrailersTooLarge.into());
        }
        let (name, _, rest) = field_line(window)?;
        if is_forbidden_trailer(name) {
            return Err(Fault::TrailerField.into());
        }
        let length = distance(window, rest);
        let (bytes, fields) = (self.bytes.saturating_add(length), self.fields.saturating_add(1));
        Ok((length, Some(Self { held: Held::NOTHING, bytes, fields })))
    }
}

/// RFC 9110 §6.5.1: nothing in a trailer may frame, route, authenticate, modify the request or describe its content,
/// because stacks that merge trailers into the headers would believe it. `verified-event*` is ours alone.
fn is_forbidden_trailer(name: &[u8]) -> bool {
    const NAMES: &str = "transfer-encoding content-length host connection keep-alive proxy-connection trailer te upgrade \
        expect max-forwards cache-control range authorization proxy-authorization cookie set-cookie content-type \
        content-encoding content-range forwarded x-real-ip x-http-method-override";
    const PREFIXES: [&[u8]; 2] = [b"verified-event", b"x-forwarded-"];
    NAMES.split(' ').any(|reserved| same_name(name, reserved.as_bytes()))
        || PREFIXES.iter().any(|prefix| name.get(..prefix.len()).is_some_and(|start| same_name(start, prefix)))
}

/// Whether a field of this name may come behind a body.
pub fn is_trailer(name: &str) -> bool {
    is_field_name(name) && !is_forbidden_trailer(name.as_bytes())
}

/// As many of `bytes` as `remaining` covers.
fn at_most(remaining: u64, bytes: &[u8]) -> usize {
    usize::try_from(remaining).map_or(bytes.len(), |remaining| remaining.min(bytes.len()))
}

fn left(remaining: u64, taken: usize) -> u64 {
    u64::try_from(taken).map_or(0, |taken| remaining.saturating_sub(taken))
}
