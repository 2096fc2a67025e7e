//! A raw HTTP/1.x message, or an HTTP/2 head as tools print it, and its body.
//!
//! Sources: RFC 9112 §2–§7, RFC 9110 §5, RFC 9113 §8.3. Reads what tools save, so LF line ends and a missing version pass;
//! what would have two readings (a folded line, a name with a space) does not. Must never change a byte of the body other
//! than to cut what `content-length` does not count and to decode chunks, and never without a note.

use http::Method;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};

use super::note::Note;
use super::problem::{CaptureProblem, Fault, shown, shown_header};
use super::{Captured, MAX_HEADERS, Shape, chunked, url};

/// A message and where its bytes stood in the file.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    /// From which offset on the bytes are of which line. Empty: the message is the file.
    pub(super) marks: Vec<(usize, usize)>,
}

impl Message {
    /// The next bytes and their line.
    pub(super) fn push(&mut self, bytes: &[u8], line: usize) {
        self.marks.push((self.bytes.len(), line));
        self.bytes.extend_from_slice(bytes);
    }

    /// Another message's bytes behind these.
    pub(super) fn append(&mut self, other: &Self) {
        let base = self.bytes.len();
        self.marks.extend(other.marks.iter().map(|(offset, line)| (offset.saturating_add(base), *line)));
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// The bytes from `from` up to `to`.
    pub(super) fn part(&self, from: usize, to: usize) -> Self {
        let mut marks = vec![(0, self.line_of(from))];
        let first = self.marks.partition_point(|(offset, _)| *offset <= from);
        let inside = self.marks.iter().skip(first).take_while(|(offset, _)| *offset < to);
        marks.extend(inside.map(|(offset, line)| (offset.saturating_sub(from), *line)));
        Self { bytes: self.bytes.get(from..to).unwrap_or_default().to_vec(), marks }
    }

    fn line_of(&self, offset: usize) -> usize {
        if self.marks.is_empty() {
            let before = self.bytes.get(..offset).unwrap_or_default();
            return newlines(before).saturating_add(1);
        }
        let next = self.marks.partition_point(|(start, _)| *start <= offset);
        self.marks.get(next.saturating_sub(1)).map_or(1, |(_, line)| *line)
    }

    fn problem(&self, offset: usize, fault: Fault) -> CaptureProblem {
        CaptureProblem::line(self.line_of(offset), fault)
    }
}

/// How the body is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyRule {
    /// As `content-length` or the chunks say, else to the end.
    Framed,
    /// The file has none.
    Absent,
}

/// Reads one message.
pub(super) fn read(message: &Message, shape: Shape, rule: BodyRule) -> Result<Captured, CaptureProblem> {
    let mut head = Head::default();
    let rest = head.read(message)?;
    let (method, target, url) = head.target()?;
    let mut headers = head.headers;
    if let Some(authority) = head.authority.filter(|_| !headers.contains_key(HOST)) {
        headers.append(HOST, authority);
    }
    let mut notes = Vec::new();
    if head.bare_lf && shape != Shape::TcpdumpAscii && shape != Shape::CurlVerbose {
        notes.push(Note::LfLineEnds);
    }
    let body = match rule {
        BodyRule::Framed => body(&headers, message.bytes.get(rest..).unwrap_or_default(), &mut notes),
        BodyRule::Absent => Vec::new(),
    };
    Ok(Captured { method, target, url, headers, body, shape, notes })
}

/// A head on its way through the lines.
#[derive(Default)]
struct Head {
    request: Option<(Method, String, Option<String>)>,
    headers: HeaderMap,
    authority: Option<HeaderValue>,
    method: Option<Method>,
    path: Option<String>,
    scheme: Option<&'static str>,
    bare_lf: bool,
    /// Where the head begins.
    line: usize,
}

impl Head {
    /// Reads up to the empty line; the offset of the body.
    fn read(&mut self, message: &Message) -> Result<usize, CaptureProblem> {
        let mut at = 0_usize;
        let mut begun = false;
        while let Some((line, crlf, next)) = next_line(&message.bytes, at) {
            if line.is_empty() && begun {
                self.bare_lf |= !crlf;
                return Ok(next);
            }
            if !line.is_empty() {
                // The last line of a file without a body has no end at all.
                self.bare_lf |= !crlf && message.bytes.get(next.saturating_sub(1)) == Some(&b'\n');
                let read = if begun { self.field(line) } else { self.first(line) };
                read.map_err(|fault| message.problem(at, fault))?;
                if !begun {
                    self.line = message.line_of(at);
                }
                begun = true;
            }
            at = next;
        }
        if begun { Ok(at) } else { Err(CaptureProblem::file(Fault::Empty)) }
    }

    fn first(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.first() == Some(&b':') {
            return self.field(line);
        }
        self.request = Some(request_line(line)?);
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.first() == Some(&b':') {
            return self.pseudo(line);
        }
        if self.headers.len() >= MAX_HEADERS {
            return Err(Fault::TooManyHeaders);
        }
        let (name, value) = field(line)?;
        self.headers.append(name, value);
        Ok(())
    }

    fn pseudo(&mut self, line: &[u8]) -> Result<(), Fault> {
        let rest = line.get(1..).unwrap_or_default();
        let colon = rest.iter().position(|byte| *byte == b':').ok_or_else(|| Fault::NoColon(shown_header(rest)))?;
        let name = rest.get(..colon).unwrap_or_default();
        let value = rest.get(colon.saturating_add(1)..).unwrap_or_default().trim_ascii();
        let text = || str::from_utf8(value).map_err(|_| Fault::Target);
        match name {
            b"method" => once(&mut self.method, ":method", method(value)?),
            b"path" => once(&mut self.path, ":path", text().and_then(url::target)?.1),
            b"scheme" => once(&mut self.scheme, ":scheme", if value == b"https" { "https" } else { "http" }),
            b"authority" => {
                let value = HeaderValue::from_bytes(value).map_err(|_| Fault::HeaderValue(":authority".to_owned()))?;
                once(&mut self.authority, ":authority", value)
            }
            b"status" => Err(Fault::Response),
            _ => Ok(()),
        }
    }

    fn target(&mut self) -> Result<(Method, String, Option<String>), CaptureProblem> {
        if let Some(request) = self.request.take() {
            return Ok(request);
        }
        let missing = |name| CaptureProblem::line(self.line, Fault::PseudoMissing(name));
        let method = self.method.take().ok_or_else(|| missing(":method"))?;
        let path = self.path.take().ok_or_else(|| missing(":path"))?;
        let authority = self.authority.as_ref().and_then(|authority| authority.to_str().ok());
        let url = self.scheme.zip(authority).map(|(scheme, authority)| format!("{scheme}://{authority}{path}"));
        Ok((method, path, url))
    }
}

fn once<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), Fault> {
    if slot.is_some() {
        return Err(Fault::PseudoTwice(name));
    }
    *slot = Some(value);
    Ok(())
}

/// How many LF there are.
pub(super) fn newlines(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

/// A line without its end, whether that was CRLF, and where the next one begins. `None` at the end.
pub(super) fn next_line(bytes: &[u8], at: usize) -> Option<(&[u8], bool, usize)> {
    let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
    let end = memchr::memchr(b'\n', rest);
    let line = rest.get(..end.unwrap_or(rest.len()))?;
    let next = at.saturating_add(line.len()).saturating_add(usize::from(end.is_some()));
    match line.strip_suffix(b"\r") {
        Some(line) => Some((line, end.is_some(), next)),
        None => Some((line, false, next)),
    }
}

/// `POST /path?query HTTP/1.1`: method, target and, from the absolute form, the URL.
pub(super) fn request_line(line: &[u8]) -> Result<(Method, String, Option<String>), Fault> {
    let words: Vec<&[u8]> = line.trim_ascii().split(|byte| *byte == b' ').collect();
    let refused = || Fault::RequestLine(shown(line));
    let (first, target) = match words.as_slice() {
        [first, ..] if first.starts_with(b"HTTP/") => return Err(Fault::Response),
        [first, target] => (*first, *target),
        [first, target, version] => {
            if !target_like(target) {
                return Err(header_or(line, refused()));
            }
            if !is_version(version) {
                return Err(Fault::Version(shown(version)));
            }
            (*first, *target)
        }
        [first, target, .., last] if target_like(target) && is_version(last) && is_method(first) => {
            return Err(Fault::TargetHasSpace);
        }
        _ => return Err(header_or(line, refused())),
    };
    if !target_like(target) {
        return Err(header_or(line, refused()));
    }
    let method = method(first)?;
    let (url, target) = url::target(str::from_utf8(target).map_err(|_| Fault::Target)?)?;
    Ok((method, target, url))
}

/// Whether a line is the first one of a request beyond doubt: upper-case method, target, and nothing or a version.
pub(super) fn is_request_line(line: &[u8]) -> bool {
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let known = words.next().is_some_and(is_method) && words.next().is_some_and(target_like);
    known && words.next_back().is_none_or(is_version)
}

fn is_method(word: &[u8]) -> bool {
    (3..=20).contains(&word.len()) && word.iter().all(u8::is_ascii_uppercase)
}

fn target_like(word: &[u8]) -> bool {
    word.first() == Some(&b'/') || word == b"*" || url::is_absolute(word)
}

fn is_version(word: &[u8]) -> bool {
    matches!(word, b"HTTP/0.9" | b"HTTP/1.0" | b"HTTP/1.1" | b"HTTP/2" | b"HTTP/2.0" | b"HTTP/3" | b"HTTP/3.0")
}

fn header_or(line: &[u8], otherwise: Fault) -> Fault {
    match field(line) {
        Ok((name, _)) if !line.contains(&b'{') => Fault::HeadersFirst(shown(name.as_str().as_bytes())),
        _ => otherwise,
    }
}

/// A word as a method.
pub(super) fn method(word: &[u8]) -> Result<Method, Fault> {
    Method::from_bytes(word).map_err(|_| Fault::Method(shown(word)))
}

/// `name: value`, RFC 9112 §5.
pub(super) fn field(line: &[u8]) -> Result<(HeaderName, HeaderValue), Fault> {
    if line.first().is_some_and(|first| *first == b' ' || *first == b'\t') {
        return Err(Fault::Folded);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(|| Fault::NoColon(shown_header(line)))?;
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    pair(name, value.get(1..).unwrap_or_default())
}

/// A name and its value; white space around the value is not part of it.
pub(super) fn pair(name: &[u8], value: &[u8]) -> Result<(HeaderName, HeaderValue), Fault> {
    let header = HeaderName::from_bytes(name).map_err(|_| Fault::HeaderName(shown(name)))?;
    let start = value.iter().position(|byte| !b" \t".contains(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !b" \t".contains(byte)).map_or(start, |last| last.saturating_add(1));
    let value = HeaderValue::from_bytes(value.get(start..end).unwrap_or_default())
        .map_err(|_| Fault::HeaderValue(shown(name)))?;
    Ok((header, value))
}

/// What `content-length` says.
pub(super) enum Declared {
    Nothing,
    Bytes(usize),
    Unusable,
}

pub(super) fn declared(headers: &HeaderMap) -> Declared {
    let mut found = Declared::Nothing;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.as_bytes();
        let number = Some(digits).filter(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
        let number = number.and_then(|digits| str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok());
        match (number, &found) {
            (Some(number), Declared::Nothing) => found = Declared::Bytes(number),
            (Some(number), Declared::Bytes(before)) if number == *before => {}
            _ => return Declared::Unusable,
        }
    }
    found
}

fn body(headers: &HeaderMap, rest: &[u8], notes: &mut Vec<Note>) -> Vec<u8> {
    let encoding = headers.get_all(TRANSFER_ENCODING).iter().next_back();
    let is_chunked = encoding.is_some_and(|value| {
        let last = value.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
        last.trim_ascii().eq_ignore_ascii_case(b"chunked")
    });
    if is_chunked {
        if headers.contains_key(CONTENT_LENGTH) {
            notes.push(Note::LengthAndChunked);
        }
        if let Some(decoded) = chunked::decode(rest) {
            notes.push(Note::ChunkedDecoded);
            if !decoded.complete {
                notes.push(Note::ChunkedUnfinished { found: decoded.content.len() });
            }
            return decoded.content;
        }
        if !rest.is_empty() {
            notes.push(Note::ChunkedAlreadyDecoded);
        }
    }
    match declared(headers) {
        Declared::Nothing => rest.to_vec(),
        Declared::Unusable => {
            notes.push(Note::ContentLengthUnusable);
            rest.to_vec()
        }
        Declared::Bytes(declared) => by_length(rest, declared, notes),
    }
}

fn by_length(rest: &[u8], declared: usize, notes: &mut Vec<Note>) -> Vec<u8> {
    let found = rest.len();
    let Some((body, surplus)) = rest.split_at_checked(declared) else {
        let plain = rest.strip_suffix(b"\n").unwrap_or(rest);
        let fits = [rest, plain].into_iter().find(|body| with_crlf(body) == Some(declared));
        notes.push(match fits {
            Some(_) => Note::LineEndsChanged { declared, found },
            None => Note::Truncated { declared, found },
        });
        return fits.unwrap_or(rest).to_vec();
    };
    match surplus {
        b"" => {}
        b"\n" | b"\r\n" => notes.push(Note::FinalNewlineCut),
        _ => {
            let plain = rest.strip_suffix(b"\r\n").unwrap_or(rest);
            if let Some(body) = [rest, plain].into_iter().find(|body| with_lf(body) == Some(declared)) {
                notes.push(Note::LineEndsChanged { declared, found });
                return body.to_vec();
            }
            notes.push(Note::SurplusCut { declared, found });
        }
    }
    body.to_vec()
}

/// The length that a body of LF lines had with CRLF.
fn with_crlf(body: &[u8]) -> Option<usize> {
    let (crlf, lf) = line_ends(body);
    (crlf == 0 && lf > 0).then(|| body.len().saturating_add(lf))
}

/// The length that a body of CRLF lines had with LF.
fn with_lf(body: &[u8]) -> Option<usize> {
    let (crlf, lf) = line_ends(body);
    (crlf > 0 && lf == 0).then(|| body.len().saturating_sub(crlf))
}

/// How many lines end in CRLF, and how many in LF alone.
fn line_ends(body: &[u8]) -> (usize, usize) {
    let all = newlines(body);
    let crlf = body.array_windows::<2>().filter(|pair| *pair == b"\r\n").count();
    (crlf, all.saturating_sub(crlf))
}
