//! What `curl -v`, `--trace` and `--trace-ascii` print of the requests they sent.
//!
//! Source: curl(1), and the layout of `tool_cb_dbg.c`: sections (`=> Send header, 207 bytes (0xcf)`) of lines with an
//! offset; in ASCII a line ends where the data has CRLF, which the offsets show, and other unprintable bytes are dots.
//! Must never take a line for a longer or shorter one than its offset says.

use http::Method;

use super::choose::{Candidate, choose};
use super::hexdump::nibbles;
use super::note::Note;
use super::problem::{CaptureProblem, Fault};
use super::raw::{self, BodyRule, Declared, Message, next_line};
use super::{Captured, Shape};

/// `None` if the file is no output of curl.
pub(super) fn read(bytes: &[u8]) -> Option<Result<Captured, CaptureProblem>> {
    let lines = Lines { bytes, at: 0, number: 0 };
    let is_trace = lines.clone().any(|line| section(line.text).is_some_and(|(part, _)| part == Part::Header));
    if is_trace {
        return Some(trace(&lines.collect::<Vec<_>>()));
    }
    let is_verbose = lines.clone().any(|line| sent(line.text).is_some_and(is_first));
    is_verbose.then(|| read_verbose(lines))
}

/// A line of the file, from 1.
struct Line<'a> {
    text: &'a [u8],
    number: usize,
}

#[derive(Clone)]
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let (text, _, next) = next_line(self.bytes, self.at)?;
        self.at = next;
        self.number = self.number.saturating_add(1);
        Some(Line { text, number: self.number })
    }
}

/// What follows `mark`, if there is nothing before it but a time, ids or the progress meter.
fn behind<'a>(line: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let start = line.iter().position(|byte| !byte.is_ascii_digit() && !b" :-.[]kMG\r".contains(byte))?;
    line.get(start..)?.strip_prefix(mark)
}

/// A line of `-v` that was sent.
fn sent(line: &[u8]) -> Option<&[u8]> {
    behind(line, b"> ").or_else(|| behind(line, b">").filter(|rest| rest.is_empty()))
}

fn is_first(line: &[u8]) -> bool {
    raw::is_request_line(line) && line.windows(6).any(|window| window == b" HTTP/")
}

fn read_verbose(lines: Lines<'_>) -> Result<Captured, CaptureProblem> {
    let mut requests: Vec<Message> = Vec::new();
    for line in lines {
        let Some(text) = sent(line.text) else { continue };
        if is_first(text) {
            requests.push(Message::default());
        }
        if let Some(message) = requests.last_mut() {
            message.push(text, line.number);
            message.push(b"\r\n", line.number);
        }
    }
    let (mut captured, chosen) = one_of(&requests, Shape::CurlVerbose, BodyRule::Absent)?;
    let has_body = match raw::declared(&captured.headers) {
        Declared::Bytes(declared) => declared > 0,
        Declared::Unusable => true,
        Declared::Nothing => captured.method != Method::GET && captured.method != Method::HEAD,
    };
    captured.notes.extend(chosen);
    captured.notes.extend(has_body.then_some(Note::BodyMissing));
    Ok(captured)
}

/// Reads the one that is meant of several messages.
pub(super) fn one_of(
    requests: &[Message],
    shape: Shape,
    rule: BodyRule,
) -> Result<(Captured, Option<Note>), CaptureProblem> {
    let candidates: Vec<Candidate> = requests.iter().map(candidate).collect();
    let (index, note) = choose(&candidates).map_err(CaptureProblem::file)?;
    let message = requests.get(index).ok_or_else(|| CaptureProblem::file(Fault::NoRequest))?;
    Ok((raw::read(message, shape, rule)?, note))
}

fn candidate(message: &Message) -> Candidate {
    let line = next_line(&message.bytes, 0).map_or(&[][..], |(line, _, _)| line);
    let mut words = line.split(|byte| *byte == b' ').map(|word| String::from_utf8_lossy(word).into_owned());
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    Candidate { method, target: target.split('?').next().unwrap_or_default().to_owned() }
}

/// What a section of a trace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Data,
    Other,
}

/// The start of a section: what it holds and how many bytes.
fn section(line: &[u8]) -> Option<(Part, usize)> {
    let other = [b"<= ".as_slice(), b"== "].iter().any(|mark| behind(line, mark).is_some());
    if other {
        return Some((Part::Other, 0));
    }
    let text = str::from_utf8(behind(line, b"=> ")?).ok()?;
    let (name, size) = text.split_once(", ")?;
    let size = size.split(' ').next()?.parse().ok()?;
    let part = match name {
        "Send header" => Part::Header,
        "Send data" => Part::Data,
        _ => Part::Other,
    };
    Some((part, size))
}

fn trace(lines: &[Line<'_>]) -> Result<Captured, CaptureProblem> {
    let mut requests: Vec<Message> = Vec::new();
    let mut ascii = None;
    let mut rest = lines;
    let mut head_open = false;
    while let Some((first, after)) = rest.split_first() {
        let length = after.iter().take_while(|line| section(line.text).is_none()).count();
        let (inside, next) = after.split_at_checked(length).unwrap_or_default();
        rest = next;
        let Some((part, size)) = section(first.text) else { continue };
        if part == Part::Other || inside.is_empty() {
            continue;
        }
        let ascii = *ascii.get_or_insert_with(|| !inside.first().is_some_and(|line| is_hex(line.text)));
        let content = if ascii { ascii_section(inside, size)? } else { hex_section(inside)? };
        if part == Part::Header && !head_open {
            requests.push(Message::default());
        }
        if let Some(message) = requests.last_mut() {
            message.append(&content);
            head_open = part == Part::Header && !message.bytes.ends_with(b"\r\n\r\n");
        }
    }
    let shape = if ascii == Some(true) { Shape::CurlTraceAscii } else { Shape::CurlTrace };
    let (mut captured, chosen) = one_of(&requests, shape, BodyRule::Framed)?;
    if shape == Shape::CurlTraceAscii && captured.body.contains(&b'.') {
        captured.notes.push(Note::DotsForBytes);
    }
    captured.notes.extend(chosen);
    Ok(captured)
}

/// `0000: ` and the rest.
fn offset(line: &[u8]) -> Option<(usize, &[u8])> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits).filter(|(digits, _)| (4..=8).contains(&digits.len()))?;
    let rest = rest.strip_prefix(b":")?;
    let offset = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    Some((offset, rest.strip_prefix(b" ").unwrap_or(rest)))
}

fn is_hex(line: &[u8]) -> bool {
    let Some((_, rest)) = offset(line) else { return false };
    matches!(rest, [a, b, b' ', ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

/// Sixteen columns of two digits and a space; what follows is the same as text.
fn hex_section(lines: &[Line<'_>]) -> Result<Message, CaptureProblem> {
    const COLUMNS: usize = 16;
    let mut content = Message::default();
    for line in lines {
        let Some((at, rest)) = offset(line.text) else { continue };
        if at != content.bytes.len() {
            return Err(CaptureProblem::line(line.number, Fault::Offset));
        }
        let bytes: Vec<u8> = rest.chunks(3).take(COLUMNS).map_while(|column| nibbles(column.get(..2)?)).collect();
        content.push(&bytes, line.number);
    }
    Ok(content)
}

fn ascii_section(lines: &[Line<'_>], size: usize) -> Result<Message, CaptureProblem> {
    let mut content = Message::default();
    let mut lines = lines.iter().filter_map(|line| Some((offset(line.text)?, line.number))).peekable();
    while let Some(((at, text), number)) = lines.next() {
        if at != content.bytes.len() {
            return Err(CaptureProblem::line(number, Fault::Offset));
        }
        content.push(text, number);
        let next = lines.peek().map_or(size, |((next, _), _)| *next);
        match next.checked_sub(content.bytes.len()) {
            Some(0) => {}
            Some(2) => content.push(b"\r\n", number),
            // An editor cut the line's last space.
            Some(1) => content.push(b" ", number),
            _ if lines.peek().is_none() => {}
            _ => return Err(CaptureProblem::line(number, Fault::Offset)),
        }
    }
    Ok(content)
}
