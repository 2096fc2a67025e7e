//! A captured request, read from whatever a tool saved it as: input to `hookward explain`.
//!
//! Pure: bytes in, a request or a problem with its line out. The shape is told by the content, in this order:
//!
//! 1. Refused at once: more than 16 MiB, nothing, UTF-16, a binary packet capture, a compressed file.
//! 2. The first character is `{` or `[`: JSON. A HAR (`har`), or a request as an inspector, a gateway or a serverless
//!    platform writes it (`export`).
//! 3. The first line is a request line, or begins with a pseudo header (`:method: POST`): a raw message (`raw`). This goes
//!    before what follows, because the body of a raw message may be any text, such as a trace.
//! 4. The first word is `curl`: a command (`curl_command`).
//! 5. A line says `=> Send header`: `curl --trace` or `--trace-ascii`. A line is `> ` and a request line: `curl -v`
//!    (`curl_output`).
//! 6. Lines of offset and hex, or nothing but hex: a dump of the message or of its packets (`hexdump`, `packets`).
//! 7. A line of `tcpdump` that names a packet: `tcpdump -A` (`tcpdump_ascii`).
//! 8. Anything else is refused as if it were a raw message: its first line is not a request line.
//!
//! Must never panic on any bytes, never put a header's value or a byte of the body into a problem or a note, and never
//! change the body in silence: the signature covers it to the byte.

mod choose;
mod chunked;
mod curl_command;
mod curl_output;
mod export;
mod har;
mod hexdump;
mod json;
mod note;
mod packets;
mod problem;
mod raw;
mod shell;
mod tcpdump_ascii;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;

use http::Method;
use http::header::{CONTENT_ENCODING, HOST, HeaderMap, HeaderValue};

pub use note::Note;
pub use problem::{CaptureProblem, Fault, Place};
use raw::{BodyRule, Declared, Message};

/// The largest file that is read, in bytes.
const MAX_INPUT: usize = 16 * 1024 * 1024;
/// The most headers that are read.
const MAX_HEADERS: usize = 1000;

/// A request, as far as the file knows it.
#[derive(Clone)]
pub struct Captured {
    /// The method; POST where the file does not say, with a note.
    pub method: Method,
    /// Path and query, byte for byte as in the request line or URL.
    pub target: String,
    /// The absolute URL, without user and fragment. `None` if the file does not know scheme or host.
    pub url: Option<String>,
    /// Every header line, repeats kept in their order. Names are lower-case.
    pub headers: HeaderMap,
    /// The body's bytes.
    pub body: Vec<u8>,
    /// What kind of file it was.
    pub shape: Shape,
    /// What to tell the user.
    pub notes: Vec<Note>,
}

impl fmt::Debug for Captured {
    /// Sizes instead of values: a request may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Captured")
            .field("method", &self.method)
            .field("shape", &self.shape)
            .field("headers", &self.headers.len())
            .field("body", &self.body.len())
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

/// What kind of file a request was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A raw HTTP message.
    Raw,
    /// What `curl -v` prints.
    CurlVerbose,
    /// What `curl --trace` writes.
    CurlTrace,
    /// What `curl --trace-ascii` writes.
    CurlTraceAscii,
    /// A curl command.
    CurlCommand,
    /// A hex dump of the message itself.
    HexDump,
    /// A hex dump of packets: `tcpdump -X`, `tshark -x`.
    PacketDump,
    /// What `tcpdump -A` prints.
    TcpdumpAscii,
    /// An HTTP archive, an entry or a request of one.
    Har,
    /// Another JSON export.
    Export,
    /// No file: headers and body were given one by one.
    Parts,
}

impl Shape {
    /// A few words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "a raw HTTP request",
            Self::CurlVerbose => "the output of curl -v",
            Self::CurlTrace => "a curl trace",
            Self::CurlTraceAscii => "a curl trace in ASCII",
            Self::CurlCommand => "a curl command",
            Self::HexDump => "a hex dump",
            Self::PacketDump => "a hex dump of packets",
            Self::TcpdumpAscii => "the output of tcpdump -A",
            Self::Har => "a HAR",
            Self::Export => "a JSON export",
            Self::Parts => "headers and a body",
        }
    }
}

/// Reads a captured request.
///
/// # Errors
/// [`CaptureProblem`] with the line, from 1, and for JSON the path, when the file is none of the shapes or is damaged.
pub fn read(bytes: &[u8]) -> Result<Captured, CaptureProblem> {
    refuse_binary(bytes).map_err(CaptureProblem::file)?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut captured = read_shape(text)?;
    if text.len() < bytes.len() {
        captured.notes.insert(0, Note::ByteOrderMark);
    }
    add_body_notes(&mut captured);
    Ok(captured)
}

/// A request of single headers (`name: value`) and a body. The method is POST if not given; `url` is absolute, or a path.
///
/// # Errors
/// [`CaptureProblem`] with the number of the header, from 1, or the option.
pub fn from_parts(
    headers: &[String],
    body: Vec<u8>,
    method: Option<&str>,
    url: Option<&str>,
) -> Result<Captured, CaptureProblem> {
    let option = |name| move |fault| CaptureProblem::new(Place::Option(name), fault);
    if body.len() > MAX_INPUT {
        return Err(option("--body")(Fault::TooLarge { found: body.len() }));
    }
    let mut map = HeaderMap::new();
    for (index, line) in headers.iter().enumerate() {
        let place = Place::Header(index.saturating_add(1));
        if index >= MAX_HEADERS {
            return Err(CaptureProblem::new(place, Fault::TooManyHeaders));
        }
        let (name, value) = raw::field(line.as_bytes()).map_err(|fault| CaptureProblem::new(place, fault))?;
        map.append(name, value);
    }
    let method =
        method.map_or(Ok(Method::POST), |method| raw::method(method.as_bytes())).map_err(option("--method"))?;
    let (url, target) =
        url.map_or_else(|| Ok((None, "/".to_owned())), url::target).map_err(|_| option("--url")(Fault::Url))?;
    let mut captured = Captured { method, target, url, headers: map, body, shape: Shape::Parts, notes: Vec::new() };
    note_length(&mut captured);
    add_body_notes(&mut captured);
    Ok(captured)
}

fn refuse_binary(bytes: &[u8]) -> Result<(), Fault> {
    const PCAP: [&[u8]; 5] =
        [b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1", b"\x0a\x0d\x0d\x0a"];
    const COMPRESSED: [&[u8]; 3] = [b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"];
    if bytes.len() > MAX_INPUT {
        return Err(Fault::TooLarge { found: bytes.len() });
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Fault::Utf16);
    }
    if PCAP.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(Fault::Pcap);
    }
    if COMPRESSED.iter().any(|magic| bytes.starts_with(magic)) {
        return Err(Fault::Compressed);
    }
    if bytes.iter().all(u8::is_ascii_whitespace) { Err(Fault::Empty) } else { Ok(()) }
}

/// The order is the one at the top of this file.
fn read_shape(bytes: &[u8]) -> Result<Captured, CaptureProblem> {
    let start = bytes.trim_ascii_start();
    if start.first().is_some_and(|first| *first == b'{' || *first == b'[') {
        return har::read(bytes);
    }
    let first_line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if !raw::is_request_line(first_line) && first_line.first() != Some(&b':') {
        if curl_command::is_command(start) {
            return curl_command::read(bytes);
        }
        if let Some(read) = curl_output::read(bytes) {
            return read;
        }
        if let Some(read) = hexdump::read(bytes) {
            return read;
        }
        if let Some(read) = tcpdump_ascii::read(bytes) {
            return read;
        }
    }
    let message = Message { bytes: bytes.to_vec(), marks: Vec::new() };
    raw::read(&message, Shape::Raw, BodyRule::Framed)
}

/// For shapes whose body is not limited by `content-length`: says so if that differs.
fn note_length(captured: &mut Captured) {
    let found = captured.body.len();
    match raw::declared(&captured.headers) {
        Declared::Bytes(declared) if declared != found => {
            captured.notes.push(Note::LengthDiffers { declared, found });
        }
        Declared::Unusable => captured.notes.push(Note::ContentLengthUnusable),
        Declared::Bytes(_) | Declared::Nothing => {}
    }
}

/// What can be said of any body.
fn add_body_notes(captured: &mut Captured) {
    let encoding = captured.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes).unwrap_or_default();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity") && !captured.body.is_empty() {
        let magic: &[u8] = match encoding {
            b"gzip" | b"x-gzip" => b"\x1f\x8b",
            b"zstd" => b"\x28\xb5\x2f\xfd",
            _ => b"",
        };
        let compressed = captured.body.starts_with(magic);
        captured.notes.push(if compressed { Note::ContentEncoding } else { Note::AlreadyDecompressed });
    }
    if captured.body.array_windows::<3>().any(|window| window == b"\xef\xbf\xbd") {
        captured.notes.push(Note::LostBytes);
    }
}

/// Adds the `Host` that a client makes of the URL.
fn add_host(headers: &mut HeaderMap, url: &url::Url<'_>) {
    if let Ok(host) = HeaderValue::from_str(url.authority)
        && !headers.contains_key(HOST)
    {
        headers.insert(HOST, host);
    }
}
