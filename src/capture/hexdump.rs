//! Hex dumps: xxd, `hexdump -C`, tcpdump -X, tshark -x, and plain hex (`xxd -p`).
//!
//! A line is an offset, bytes in groups of one or more, and maybe the same as text. The text may look like hex, so the
//! bytes end at two spaces (but for the gap that splits sixteen bytes) and the next line's offset has the last word. Must
//! never go on behind a missing line.

use super::packets;
use super::problem::{CaptureProblem, Fault};
use super::raw::{Message, next_line};
use super::{Captured, MAX_INPUT};

/// Fewer digits than this are no dump of a request.
const SHORTEST_PLAIN: usize = 32;

/// `None` if the file is no hex dump.
pub(super) fn read(bytes: &[u8]) -> Option<Result<Captured, CaptureProblem>> {
    if let Some(blocks) = plain(bytes) {
        return Some(blocks.and_then(|block| packets::read(&[block])));
    }
    let mut lines = Vec::new();
    let (mut at, mut number) = (0_usize, 0_usize);
    let mut repeats = false;
    while let Some((text, _, next)) = next_line(bytes, at) {
        (at, number) = (next, number.saturating_add(1));
        if text == b"*" {
            repeats = true;
        } else if let Some((offset, data)) = dump_line(text) {
            if lines.is_empty() && (offset != 0 || data.is_empty()) {
                continue;
            }
            lines.push(DumpLine { offset, data, number, repeats });
            repeats = false;
        }
    }
    if lines.is_empty() {
        return None;
    }
    Some(blocks(lines).and_then(|blocks| packets::read(&blocks)))
}

struct DumpLine {
    offset: usize,
    data: Vec<u8>,
    number: usize,
    /// A `*` stands above: the line before goes on up to here.
    repeats: bool,
}

/// One block for each offset 0.
fn blocks(lines: Vec<DumpLine>) -> Result<Vec<Message>, CaptureProblem> {
    let mut blocks: Vec<Message> = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    let mut total = 0_usize;
    let mut lines = lines.into_iter().peekable();
    while let Some(mut line) = lines.next() {
        if line.offset == 0 {
            blocks.push(Message::default());
        }
        let Some(block) = blocks.last_mut() else { continue };
        if line.repeats && line.offset > block.bytes.len() && !last.is_empty() {
            let missing = line.offset.saturating_sub(block.bytes.len());
            if missing > MAX_INPUT.saturating_sub(total) {
                return Err(CaptureProblem::line(line.number, Fault::TooLarge { found: line.offset }));
            }
            let fill: Vec<u8> = last.iter().copied().cycle().take(missing).collect();
            block.push(&fill, line.number);
            total = total.saturating_add(missing);
        }
        if line.offset != block.bytes.len() {
            return Err(CaptureProblem::line(line.number, Fault::Offset));
        }
        if let Some(next) = lines.peek().filter(|next| next.offset > line.offset && !next.repeats) {
            line.data.truncate(next.offset.saturating_sub(line.offset));
        }
        block.push(&line.data, line.number);
        total = total.saturating_add(line.data.len());
        last = line.data;
    }
    Ok(blocks)
}

/// The offset and the bytes of a line.
fn dump_line(line: &[u8]) -> Option<(usize, Vec<u8>)> {
    let line = line.trim_ascii_start();
    let line = line.strip_prefix(b"0x").unwrap_or(line);
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits).filter(|(digits, _)| (4..=8).contains(&digits.len()))?;
    let offset = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    if rest.trim_ascii().is_empty() {
        return Some((offset, Vec::new()));
    }
    let spaces = spaces(rest);
    let data = groups(rest.get(spaces..).filter(|_| (1..=3).contains(&spaces))?);
    (!data.is_empty()).then_some((offset, data))
}

fn spaces(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| **byte == b' ' || **byte == b'\t').count()
}

fn groups(mut rest: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut single = true;
    loop {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let Some((group, after)) = rest.split_at_checked(end) else { return data };
        let Some(bytes) = unhex(group).filter(|bytes| (1..=16).contains(&bytes.len())) else { return data };
        single &= bytes.len() == 1;
        data.extend(bytes);
        let gap = spaces(after);
        let halves = gap == 2 && single && data.len() == 8;
        if gap != 1 && !halves {
            return data;
        }
        rest = after.get(gap..).unwrap_or_default();
    }
}

/// The bytes of an even number of hex digits.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(nibbles).collect()
}

/// The byte of two hex digits.
pub(super) fn nibbles(digits: &[u8]) -> Option<u8> {
    if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// A file of nothing but hex digits and white space. If it begins with zeros, those are an offset: no request does.
fn plain(bytes: &[u8]) -> Option<Result<Message, CaptureProblem>> {
    let hex = |byte: &u8| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace();
    if !bytes.iter().all(hex) || bytes.iter().filter(|byte| byte.is_ascii_hexdigit()).count() < SHORTEST_PLAIN {
        return None;
    }
    if bytes.trim_ascii_start().starts_with(b"00") {
        return None;
    }
    let mut message = Message::default();
    let (mut at, mut number) = (0_usize, 0_usize);
    while let Some((text, _, next)) = next_line(bytes, at) {
        (at, number) = (next, number.saturating_add(1));
        let digits: Vec<u8> = text.iter().copied().filter(u8::is_ascii_hexdigit).collect();
        match unhex(&digits) {
            Some(data) => message.push(&data, number),
            None => return Some(Err(CaptureProblem::line(number, Fault::Hex))),
        }
    }
    Some(Ok(message))
}
