//! The pieces of a line: tokens, field lines, CRLF, and the byte classes behind them (RFC 9110 §5, RFC 9112 §2.2, §5).
//!
//! Every parser reads from the left and stops at the first broken byte, so more bytes never change its verdict. Must never
//! skip a byte.

use super::Fault;

/// Why a parser stopped before the end of its line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    Short,
    Broken(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

pub(super) type Parsed<T> = Result<T, Stop>;

/// How much of the held bytes was looked at, so that a head that comes byte by byte costs no more than its length.
#[derive(Debug)]
pub(super) struct Held {
    /// Bytes of complete lines that were judged.
    pub(super) checked: usize,
    /// Bytes that were searched for a line end.
    pub(super) seen: usize,
}

impl Held {
    pub(super) const NOTHING: Self = Self { checked: 0, seen: 0 };

    /// Has no line been ended by the new bytes, with room for more? Then there is nothing to judge yet.
    pub(super) fn line_is_open(&mut self, bytes: &[u8], room: usize) -> bool {
        let new = bytes.get(self.seen..).unwrap_or_default();
        let open = bytes.len() < room && memchr::memchr(b'\n', new).is_none();
        self.seen = bytes.len();
        open
    }

    /// Whether a stop ends the stream. A fault counts only when its line has ended, or the room has: found earlier in
    /// one cut of the bytes than in another, it would make the verdict depend on the cut.
    pub(super) fn fault(&self, stop: Stop, window: &[u8], room: usize, too_large: Fault) -> Option<Fault> {
        let full = window.len() >= room;
        let line = window.get(self.checked..).unwrap_or_default();
        match stop {
            Stop::Broken(fault) if full || memchr::memchr(b'\n', line).is_some() => Some(fault),
            Stop::Short if full => Some(too_large),
            Stop::Broken(_) | Stop::Short => None,
        }
    }
}

/// Name, value without the whitespace around it, and what follows the line (RFC 9112 §5).
pub(super) fn field_line(line: &[u8]) -> Parsed<(&[u8], &[u8], &[u8])> {
    let (name, rest) = span(line, TOKEN);
    let (&colon, rest) = rest.split_first().ok_or(Stop::Short)?;
    if colon != b':' || name.is_empty() {
        let folded = name.is_empty() && matches!(colon, b' ' | b'\t');
        return Err(if folded { Fault::Folded } else { Fault::FieldName }.into());
    }
    let (value, rest) = value(rest);
    match rest.first().ok_or(Stop::Short)? {
        b'\r' => Ok((name, trim(value), crlf(rest)?)),
        b'\n' => Err(Fault::LineEnd.into()),
        _ => Err(Fault::FieldValue.into()),
    }
}

/// The longest run of bytes that a field value may hold (RFC 9110 §5.5): eight at a time up to the first control byte,
/// then one by one, because it may be HTAB.
fn value(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (words, _) = bytes.as_chunks::<8>();
    let mut plain = 0_usize;
    for word in words {
        let clear = bytes_before_control(u64::from_le_bytes(*word));
        plain = plain.saturating_add(clear);
        if clear < 8 {
            break;
        }
    }
    let (run, _) = span(bytes.get(plain..).unwrap_or_default(), VALUE);
    bytes.split_at_checked(plain.saturating_add(run.len())).unwrap_or((bytes, &[]))
}

/// How many of eight bytes come before the first one below 0x20, or DEL. A borrow can only mark bytes behind a true one.
fn bytes_before_control(word: u64) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGH: u64 = ONES << 7;
    let below_space = word.wrapping_sub(ONES << 5) & !word;
    let not_del = word ^ (ONES * 0x7F);
    let del = not_del.wrapping_sub(ONES) & !not_del;
    usize::try_from(((below_space | del) & HIGH).trailing_zeros() >> 3).unwrap_or_default()
}

/// What follows the CRLF that must come now.
pub(super) fn crlf(bytes: &[u8]) -> Parsed<&[u8]> {
    match bytes {
        [] | [b'\r'] => Err(Stop::Short),
        [b'\r', b'\n', rest @ ..] => Ok(rest),
        _ => Err(Fault::LineEnd.into()),
    }
}

/// SP and HTAB only: the wider trims of the standard library would let `\x0bchunked` pass.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether HTTP/1 takes this for a field's name (RFC 9110 §5.1). The `http` crate's names may hold a `"`.
pub fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| is(byte, TOKEN))
}

/// Equal but for case, with `_` read as `-`, as CGI-like stacks do (RFC 3875 §4.1.18). `reserved` is lowercase.
pub(super) fn same_name(name: &[u8], reserved: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == reserved.len() && name.iter().map(fold).eq(reserved.iter().copied())
}

/// How many bytes of `bytes` lie before its end part `rest`.
pub(super) const fn distance(bytes: &[u8], rest: &[u8]) -> usize {
    bytes.len().saturating_sub(rest.len())
}

pub(super) const TOKEN: u8 = 1;
pub(super) const PATH: u8 = 1 << 1;
pub(super) const QUERY: u8 = 1 << 2;
const VALUE: u8 = 1 << 3;
pub(super) const HOST: u8 = 1 << 4;

/// The longest run of bytes of one class, and the rest.
pub(super) fn span(bytes: &[u8], class: u8) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| !is(*byte, class)).unwrap_or(bytes.len());
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut slots: &mut [u8] = &mut table;
    let mut byte = 0_u8;
    while let Some((slot, rest)) = slots.split_first_mut() {
        *slot = classes(byte);
        byte = byte.wrapping_add(1);
        slots = rest;
    }
    table
};

const fn classes(byte: u8) -> u8 {
    let mut classes = 0;
    // RFC 9110 §5.6.2
    if byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
    {
        classes |= TOKEN;
    }
    // Wider than RFC 3986 (`[`, `|`, `{`, `"`: real clients send them), exactly what `http` takes.
    if byte.is_ascii_graphic() && !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'`') {
        classes |= PATH;
    }
    if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>') {
        classes |= QUERY;
    }
    // RFC 9110 §5.5, with obs-text: real senders put UTF-8 into values.
    if matches!(byte, b'\t' | b' '..=b'~' | 0x80..) {
        classes |= VALUE;
    }
    // RFC 3986 §3.2.2 without the comma, which would make two hosts where lists are split.
    if byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b':' | b'[' | b']' | b'!' | b'$'..=b'+' | b';' | b'=')
    {
        classes |= HOST;
    }
    classes
}
