//! A strict reading of HTTP/1 requests (RFC 9112): what a connection's bytes hold, for whoever guesses at nothing.
//!
//! It judges both sides: hookward must never make more requests of a client's bytes than this finds, and must write nothing
//! to the app that this cannot read.

use std::fmt;

/// A name in lower case, and a value without blanks around it.
pub type Field = (String, Vec<u8>);

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub headers: Vec<Field>,
    pub body: Vec<u8>,
    pub trailers: Vec<Field>,
    /// All of its body is there.
    pub complete: bool,
    /// The connection ends after it.
    pub last: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = |fields: &[Field]| {
            fields.iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect::<Vec<_>>()
        };
        f.debug_struct("Request")
            .field("line", &format!("{} {}", shown(&self.method), shown(&self.target)))
            .field("headers", &fields(&self.headers))
            .field("body", &shown(&self.body))
            .field("trailers", &fields(&self.trailers))
            .field("complete", &self.complete)
            .finish()
    }
}

impl Request {
    pub fn all<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
        self.headers.iter().filter(move |(found, _)| found == name).map(|(_, value)| &value[..])
    }
}

/// Why there is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The bytes end inside a head, or before one.
    Short,
    /// They are no request.
    Broken(&'static str),
}

/// One request, and how many bytes it takes. One whose body is cut off takes them all.
///
/// # Errors
/// See [`End`].
pub fn request(bytes: &[u8]) -> Result<(Request, usize), End> {
    // RFC 9112 §2.2: an empty line before it does not count.
    let mut at = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let line = line(bytes, &mut at)?;
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next()) else {
        return Err(End::Broken("the request line"));
    };
    let new = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(End::Broken("the version")),
    };
    if !is_token(method) || target.is_empty() || !target.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..)) {
        return Err(End::Broken("the request line"));
    }
    let headers = fields(bytes, &mut at)?;
    let mut request = Request {
        method: method.to_vec(),
        target: target.to_vec(),
        headers,
        body: Vec::new(),
        trailers: Vec::new(),
        complete: true,
        last: false,
    };
    let listed: Vec<&[u8]> = request.all("connection").flat_map(|value| value.split(|byte| *byte == b',')).collect();
    let says = |token: &[u8]| listed.iter().any(|found| found.trim_ascii().eq_ignore_ascii_case(token));
    let last = says(b"close") || (!new && !says(b"keep-alive"));
    request.last = last;
    let hosts = request.all("host").count();
    if hosts > 1 || (new && hosts == 0) {
        return Err(End::Broken("Host"));
    }
    let lengths: Vec<&[u8]> = request.all("content-length").collect();
    let codings: Vec<&[u8]> = request.all("transfer-encoding").collect();
    let end = match (&lengths[..], &codings[..]) {
        ([], []) => return Ok((request, at)),
        ([length], []) if (1..19).contains(&length.len()) && length.iter().all(u8::is_ascii_digit) => {
            let length = std::str::from_utf8(length).ok().and_then(|digits| digits.parse().ok());
            at.saturating_add(length.unwrap_or(usize::MAX))
        }
        ([], [coding]) if new && coding.eq_ignore_ascii_case(b"chunked") => {
            let start = at;
            return Ok(match chunked(bytes, &mut at) {
                Ok((body, trailers)) => (Request { body, trailers, ..request }, at),
                // Whatever comes of it, it is no other request.
                Err(End::Short | End::Broken(_)) => {
                    (Request { body: bytes[start..].to_vec(), complete: false, ..request }, bytes.len())
                }
            });
        }
        _ => return Err(End::Broken("the length")),
    };
    request.complete = end <= bytes.len();
    let end = end.min(bytes.len());
    request.body = bytes[at..end].to_vec();
    Ok((request, end))
}

/// All requests of a connection.
pub fn requests(mut bytes: &[u8]) -> Vec<Request> {
    let mut found = Vec::new();
    while let Ok((request, taken)) = request(bytes) {
        let goes_on = request.complete && !request.last;
        found.push(request);
        bytes = &bytes[taken..];
        if !goes_on {
            break;
        }
    }
    found
}

/// Up to the next CRLF; no other CR or LF.
fn line<'b>(bytes: &'b [u8], at: &mut usize) -> Result<&'b [u8], End> {
    let rest = bytes.get(*at..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or(End::Short)?;
    let line =
        rest[..end].strip_suffix(b"\r").filter(|line| !line.contains(&b'\r')).ok_or(End::Broken("a line end"))?;
    *at += end + 1;
    Ok(line)
}

fn fields(bytes: &[u8], at: &mut usize) -> Result<Vec<Field>, End> {
    let mut fields = Vec::new();
    loop {
        let line = line(bytes, at)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(End::Broken("a field"))?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) || value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
            return Err(End::Broken("a field"));
        }
        let name = String::from_utf8_lossy(name).to_lowercase();
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
        let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
        fields.push((name, value[start..end].to_vec()));
    }
}

fn chunked(bytes: &[u8], at: &mut usize) -> Result<(Vec<u8>, Vec<Field>), End> {
    let mut body = Vec::new();
    loop {
        let size = line(bytes, at)?;
        if !(1..17).contains(&size.len()) || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(End::Broken("a chunk size"));
        }
        let size = std::str::from_utf8(size).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.ok_or(End::Broken("a chunk size"))?;
        if size == 0 {
            return fields(bytes, at).map(|trailers| (body, trailers));
        }
        let end = at.checked_add(size).ok_or(End::Short)?;
        body.extend(bytes.get(*at..end).ok_or(End::Short)?);
        *at = end;
        if !line(bytes, at)?.is_empty() {
            return Err(End::Broken("a chunk's end"));
        }
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}
