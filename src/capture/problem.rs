//! Why a captured file cannot be read, and where.
//!
//! Must never hold the value of a header or any long unbroken run of letters and digits: a file handed in by mistake may
//! be a secret, and a line broken in two may be half a signature. What is shown of a line goes through [`shown`].

use std::fmt;

/// What cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct CaptureProblem {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

impl CaptureProblem {
    pub(super) fn new(place: Place, fault: Fault) -> Self {
        Self { place, fault }
    }

    pub(super) fn file(fault: Fault) -> Self {
        Self::new(Place::File, fault)
    }

    pub(super) fn line(line: usize, fault: Fault) -> Self {
        Self::new(Place::Line(line), fault)
    }

    /// The line of the file, from 1, where there is one.
    pub fn line_number(&self) -> Option<usize> {
        match &self.place {
            Place::Line(line) | Place::Json { line, .. } => Some(*line),
            Place::File | Place::Header(_) | Place::Option(_) => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        self.fault.hint()
    }
}

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line, from 1.
    Line(usize),
    /// A value of a JSON file: its line, from 1, and its path, such as `log.entries[0].request.url`.
    Json {
        /// From 1.
        line: usize,
        /// Empty for the whole document.
        path: String,
    },
    /// A `--header`, from 1.
    Header(usize),
    /// Another option of the command line.
    Option(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("the file"),
            Self::Line(line) => write!(f, "line {line}"),
            Self::Json { line, path } if path.is_empty() => write!(f, "line {line}"),
            Self::Json { line, path } => write!(f, "line {line}, {path}"),
            Self::Header(number) => write!(f, "--header {number}"),
            Self::Option(option) => f.write_str(option),
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes than are read.
    #[error("has {found} bytes; at most {} are read", super::MAX_INPUT)]
    TooLarge {
        /// The file's size in bytes.
        found: usize,
    },
    /// Nothing but white space.
    #[error("is empty")]
    Empty,
    /// Begins with a UTF-16 byte order mark.
    #[error("is saved as UTF-16, which changes the body's bytes")]
    Utf16,
    /// A packet capture in its binary form.
    #[error("is a binary packet capture")]
    Pcap,
    /// Compressed.
    #[error("is compressed")]
    Compressed,
    /// The first line is none of the shapes' first lines.
    #[error("expected a request line such as `POST /path HTTP/1.1`, found `{0}`")]
    RequestLine(String),
    /// The first line is a header.
    #[error("expected a request line such as `POST /path HTTP/1.1`, found the header `{0}`")]
    HeadersFirst(String),
    /// The first line is a status line.
    #[error("this is a response, not a request")]
    Response,
    /// Not a method.
    #[error("`{0}` is not a method")]
    Method(String),
    /// A request target in two words.
    #[error("the request target has a space in it")]
    TargetHasSpace,
    /// A target that is neither a path nor a URL, or is not text.
    #[error("the request target is neither a path nor an http(s) URL")]
    Target,
    /// An unknown protocol version.
    #[error("`{0}` is not an HTTP version")]
    Version(String),
    /// A continuation line, RFC 9112 §5.2.
    #[error("the line begins with white space, as if it continued the header above")]
    Folded,
    /// A line of the head without a colon.
    #[error("{0} has no colon")]
    NoColon(String),
    /// Not a header name, RFC 9110 §5.1.
    #[error("`{0}` is not a header name")]
    HeaderName(String),
    /// A value with a control character, RFC 9110 §5.5.
    #[error("the value of `{0}` holds a control character")]
    HeaderValue(String),
    /// More headers than are read.
    #[error("there are more than {} headers", super::MAX_HEADERS)]
    TooManyHeaders,
    /// An HTTP/2 pseudo header twice.
    #[error("`{0}` is there twice")]
    PseudoTwice(&'static str),
    /// An HTTP/2 head without a pseudo header.
    #[error("`{0}` is missing")]
    PseudoMissing(&'static str),
    /// The dump or trace holds no request.
    #[error("holds no HTTP request")]
    NoRequest,
    /// Several requests, none of which is the obvious one.
    #[error("holds several requests: {}", .0.join(", "))]
    Several(Vec<String>),
    /// The offset at the start of a dump's line does not follow from the lines above.
    #[error("the offset does not follow from the line above")]
    Offset,
    /// The hex digits of a dump do not form bytes.
    #[error("the hex digits do not form whole bytes")]
    Hex,
    /// Not JSON.
    #[error("is not JSON from column {column} on")]
    Json {
        /// From 1.
        column: usize,
    },
    /// JSON, but neither HAR nor a request.
    #[error("this JSON is neither a HAR nor an exported request")]
    NotAnExport,
    /// A value that has to be there is not.
    #[error("`{0}` is missing")]
    JsonMissing(&'static str),
    /// A value of another type.
    #[error("expected {0}")]
    JsonKind(&'static str),
    /// Text with half a character, which no bytes stand for.
    #[error("the text holds a lone surrogate")]
    JsonText,
    /// More values than are read.
    #[error("has too many values")]
    TooManyValues,
    /// Not base64.
    #[error("is not base64")]
    Base64,
    /// A quote that nothing closes.
    #[error("the {0} quote that opens here is never closed")]
    Quote(&'static str),
    /// A shell variable or substitution: its value is not in the file.
    #[error("the shell would replace a `$…` or a backquote here")]
    Substitution,
    /// `@file`: its content is not in the capture.
    #[error("`{0}` reads a file, which the capture does not hold")]
    DataFile(String),
    /// An option of curl that makes a body that cannot be known.
    #[error("`{0}` makes a body that only curl knows")]
    UnknownBody(String),
    /// An option that curl does not have, or that is not known here.
    #[error("`{0}` is not an option of curl that is known here")]
    CurlOption(String),
    /// An option without its value.
    #[error("`{0}` needs a value")]
    CurlValue(String),
    /// `-u` without a password.
    #[error("`-u` without a password")]
    CurlPassword,
    /// No URL.
    #[error("the command names no URL")]
    NoUrl,
    /// Two URLs.
    #[error("the command names more than one URL")]
    TwoUrls,
    /// Not a URL.
    #[error("is not an http(s) URL")]
    Url,
}

impl Fault {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "cut the file down to the one request",
            Self::Empty => "save the request again, or give --header and --body",
            Self::Utf16 => "save it as UTF-8 or as plain bytes; PowerShell: use cmd, or curl.exe --trace FILE",
            Self::Pcap => "print it first: tcpdump -r FILE -X, or tshark -r FILE -x",
            Self::Compressed => "decompress the file first",
            Self::RequestLine(_) => {
                "a raw request, curl -v or --trace output, a curl command, a hex dump, tcpdump -X or -A, or HAR is read"
            }
            Self::HeadersFirst(_) => "write the request line above the headers, or give --header and --body",
            Self::Response => "save the request that it answers",
            Self::Method(_) => "a method is one word, such as POST",
            Self::TargetHasSpace => "a space in a path is written %20",
            Self::Target => "the target begins with `/`, `http://` or `https://`",
            Self::Version(_) => "it is HTTP/1.1, HTTP/2 or left out",
            Self::Folded => "join it to the line above; a line of the body needs an empty line before it",
            Self::NoColon(_) => {
                "a header is `name: value` on one line; an empty line has to stand between headers and body"
            }
            Self::HeaderName(_) => "a name has letters, digits and hyphens, and no space before the colon",
            Self::HeaderValue(_) => "the file is damaged; save the request again",
            Self::TooManyHeaders => "an empty line has to stand between headers and body",
            Self::PseudoTwice(_) | Self::PseudoMissing(_) => "an HTTP/2 head has `:method` and `:path` once each",
            Self::NoRequest => "plain HTTP is read; of encrypted traffic only curl -v and --trace show the request",
            Self::Several(_) => "keep one of them in the file",
            Self::Offset => "the dump has lost a line; save it again",
            Self::Hex => "use xxd, hexdump -C, tcpdump -X or tshark -x",
            Self::Json { .. } => "the export is cut off or edited; save it again",
            Self::NotAnExport => "if this is the body alone, give it with --body, and the headers with --header",
            Self::JsonMissing(_) | Self::JsonKind(_) | Self::JsonText | Self::TooManyValues => {
                "save the export again, or give --header and --body"
            }
            Self::Base64 => "the body is marked as base64; save the export again",
            Self::Substitution => "write the value in its place, in single quotes",
            Self::DataFile(_) | Self::UnknownBody(_) => "give --header for each header and the body as --body FILE",
            Self::CurlOption(_) => "take the option out if it changes nothing about the request",
            Self::Quote(_) | Self::CurlValue(_) => "copy the whole command",
            Self::CurlPassword => "write it as -u name:password",
            Self::NoUrl => "copy the whole command, with the URL",
            Self::TwoUrls => "keep one URL",
            Self::Url => "it begins with http:// or https://",
        }
    }
}

/// Longest piece of a line that is shown, in characters.
const SHOWN: usize = 30;
/// Longer runs of letters and digits may be a piece of a secret; no English word or header name has one.
const RUN: usize = 14;
/// What is left of such a run.
const STUMP: usize = 4;

/// The start of a line, up to the first colon, as it may be shown.
pub(super) fn shown(line: &[u8]) -> String {
    let head = line.split(|byte| *byte == b':').next().unwrap_or_default();
    let mut text = String::new();
    let mut run = String::new();
    for byte in head.iter().take(SHOWN).chain(std::iter::once(&b' ')) {
        if byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte) {
            run.push(char::from(*byte));
            continue;
        }
        push_run(&mut text, &run);
        run.clear();
        text.push(if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' });
    }
    text.pop();
    if head.len() > SHOWN && !text.ends_with('…') {
        text.push('…');
    }
    text
}

/// A line that should have been a header. What follows its first word may be the value, so only that is shown, and only if
/// something follows it: a word alone may be the rest of the value above.
pub(super) fn shown_header(line: &[u8]) -> String {
    let end = line.iter().position(|byte| *byte == b' ' || *byte == b'\t');
    match end.and_then(|end| line.get(..end)) {
        Some(word) if !word.is_empty() => format!("`{} …`", shown(word)),
        _ => format!("a line of {} bytes", line.len()),
    }
}

fn push_run(text: &mut String, run: &str) {
    // `svix-signature` and `/api/hooks` are words in a row.
    let random = |part: &str| part.len() > RUN || (part.len() > STUMP && jumbled(part));
    if run.split(['-', '_', '/']).any(random) {
        text.extend(run.chars().take(STUMP));
        text.push('…');
    } else {
        text.push_str(run);
    }
}

/// Random-looking: a digit, an upper-case and a lower-case letter at once.
fn jumbled(run: &str) -> bool {
    run.bytes().any(|byte| byte.is_ascii_digit())
        && run.bytes().any(|byte| byte.is_ascii_uppercase())
        && run.bytes().any(|byte| byte.is_ascii_lowercase())
}
