//! The whole gate on frames, HTTP/2 with prior knowledge.
//!
//! The first byte chooses the gate. The rest is frames with an empty line between two; the first line of each is a letter and
//! the stream's number, then what is in it. Lengths are right, and lines of headers become literals, so that what is inside
//! of frames is tried and not only frames; `X` and two bytes is a frame of any type with any flags.

use crate::gate::{Which, send, signed};

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

pub fn run(data: &[u8]) {
    let [which, text @ ..] = data else { return };
    let (text, _) = signed(text);
    let which = if which & 1 == 0 { Which::NextJs } else { Which::Behind };
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, 4, 0, 0, &[]);
    let mut heads = 0;
    let mut rest = &text[..];
    while !rest.is_empty() {
        let end = rest.windows(2).position(|pair| pair == b"\n\n");
        let part = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&b""[..], |end| &rest[end + 2..]);
        heads += usize::from(record(&mut bytes, part));
    }
    let seen = send(which, &[&bytes]);
    assert!(seen.len() <= heads, "{} requests of {heads} heads: {seen:?}", seen.len());
}

/// Adds one frame; whether it may begin a request.
fn record(bytes: &mut Vec<u8>, text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let (line, body) = (&text[..end], text.get(end + 1..).unwrap_or_default());
    let Some((kind, number)) = line.split_first() else { return false };
    if *kind == b'X' {
        let [kind, flags, number @ ..] = number else { return false };
        frame(bytes, *kind, *flags, stream(number), body);
        return *kind == 1;
    }
    let stream = stream(number);
    match kind {
        b'H' => frame(bytes, 1, END_HEADERS, stream, &block(body)),
        b'E' => frame(bytes, 1, END_HEADERS | END_STREAM, stream, &block(body)),
        b'C' => {
            let block = block(body);
            let (first, rest) = block.split_at(block.len() / 2);
            frame(bytes, 1, END_STREAM, stream, first);
            frame(bytes, 9, END_HEADERS, stream, rest);
        }
        b'D' => frame(bytes, 0, 0, stream, body),
        b'F' => frame(bytes, 0, END_STREAM, stream, body),
        b'R' => frame(bytes, 3, 0, stream, &[0, 0, 0, 8]),
        b'S' => frame(bytes, 4, 0, 0, body),
        b'W' => frame(bytes, 8, 0, stream, &[0, 0, 0xff, 0xff]),
        _ => return false,
    }
    matches!(kind, b'H' | b'E' | b'C')
}

fn stream(digits: &[u8]) -> u32 {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(1)
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    bytes.extend(&length[1..]);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}

/// Lines `name: value` as literals that no table keeps (RFC 7541 §6.2.2).
fn block(lines: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let colon = line.iter().skip(1).position(|byte| *byte == b':').map_or(line.len(), |at| at + 1);
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        block.push(0);
        string(&mut block, name);
        string(&mut block, value.strip_prefix(b" ").unwrap_or(value));
    }
    block
}

/// RFC 7541 §5.1 and §5.2, without Huffman.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    match u8::try_from(text.len()).ok().filter(|length| *length < 127) {
        Some(length) => block.push(length),
        None => {
            block.push(127);
            let mut rest = text.len() - 127;
            while rest > 127 {
                block.push(u8::try_from(rest & 127).unwrap_or_default() | 128);
                rest >>= 7;
            }
            block.push(u8::try_from(rest).unwrap_or_default());
        }
    }
    block.extend(text);
}
