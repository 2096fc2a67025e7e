//! A `curl` command as "Copy as cURL" writes it: the request that it would send.
//!
//! Source: curl(1). Only what decides the request is read; what curl adds by itself and no signature covers
//! (`user-agent`, `accept`) is left out. An option that is not known here is refused, because it might change the body.
//! Must never read a file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, REFERER, USER_AGENT,
};

use super::problem::{CaptureProblem, Fault};
use super::shell::{self, Word};
use super::url::{self, Url};
use super::{Captured, MAX_HEADERS, Shape, add_host, note_length, raw};

/// What an option does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Nothing to the request.
    Nothing,
    /// Nothing to the request, and has a value.
    NothingWithValue,
    Header,
    Method,
    Url,
    Data,
    DataRaw,
    DataEncoded,
    Json,
    DataToQuery,
    Head,
    User,
    Named(Named),
    /// Makes a body that the command does not show.
    OwnBody,
}

/// Headers with an option of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    UserAgent,
    Referer,
    Cookie,
}

/// curl's options: the short letter or a space, the long name, the effect.
const OPTIONS: &[(u8, &str, Does)] = &[
    (b'H', "header", Does::Header),
    (b'X', "request", Does::Method),
    (b' ', "url", Does::Url),
    (b'd', "data", Does::Data),
    (b' ', "data-ascii", Does::Data),
    (b' ', "data-binary", Does::Data),
    (b' ', "data-raw", Does::DataRaw),
    (b' ', "data-urlencode", Does::DataEncoded),
    (b' ', "json", Does::Json),
    (b'G', "get", Does::DataToQuery),
    (b'I', "head", Does::Head),
    (b'u', "user", Does::User),
    (b'A', "user-agent", Does::Named(Named::UserAgent)),
    (b'e', "referer", Does::Named(Named::Referer)),
    (b'b', "cookie", Does::Named(Named::Cookie)),
    (b'F', "form", Does::OwnBody),
    (b' ', "form-string", Does::OwnBody),
    (b'T', "upload-file", Does::OwnBody),
    (b's', "silent", Does::Nothing),
    (b'S', "show-error", Does::Nothing),
    (b'v', "verbose", Does::Nothing),
    (b'k', "insecure", Does::Nothing),
    (b'L', "location", Does::Nothing),
    (b' ', "location-trusted", Does::Nothing),
    (b'i', "include", Does::Nothing),
    (b' ', "show-headers", Does::Nothing),
    (b'f', "fail", Does::Nothing),
    (b' ', "fail-with-body", Does::Nothing),
    (b'g', "globoff", Does::Nothing),
    (b'N', "no-buffer", Does::Nothing),
    (b'O', "remote-name", Does::Nothing),
    (b'n', "netrc", Does::Nothing),
    (b'#', "progress-bar", Does::Nothing),
    (b'q', "disable", Does::Nothing),
    (b'0', "http1.0", Does::Nothing),
    (b'4', "ipv4", Does::Nothing),
    (b'6', "ipv6", Does::Nothing),
    (b' ', "http1.1", Does::Nothing),
    (b' ', "http2", Does::Nothing),
    (b' ', "http2-prior-knowledge", Does::Nothing),
    (b' ', "http3", Does::Nothing),
    (b' ', "compressed", Does::Nothing),
    (b' ', "path-as-is", Does::Nothing),
    (b' ', "no-keepalive", Does::Nothing),
    (b' ', "no-progress-meter", Does::Nothing),
    (b' ', "tlsv1.2", Does::Nothing),
    (b' ', "tlsv1.3", Does::Nothing),
    (b' ', "trace-time", Does::Nothing),
    (b'o', "output", Does::NothingWithValue),
    (b'w', "write-out", Does::NothingWithValue),
    (b'm', "max-time", Does::NothingWithValue),
    (b'D', "dump-header", Does::NothingWithValue),
    (b'c', "cookie-jar", Does::NothingWithValue),
    (b'x', "proxy", Does::NothingWithValue),
    (b'E', "cert", Does::NothingWithValue),
    (b' ', "key", Does::NothingWithValue),
    (b' ', "cacert", Does::NothingWithValue),
    (b' ', "connect-timeout", Does::NothingWithValue),
    (b' ', "connect-to", Does::NothingWithValue),
    (b' ', "resolve", Does::NothingWithValue),
    (b' ', "interface", Does::NothingWithValue),
    (b' ', "retry", Does::NothingWithValue),
    (b' ', "retry-delay", Does::NothingWithValue),
    (b' ', "trace", Does::NothingWithValue),
    (b' ', "trace-ascii", Does::NothingWithValue),
    (b' ', "unix-socket", Does::NothingWithValue),
];

/// Whether the text begins with `curl`, maybe behind a prompt.
pub(super) fn is_command(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"$ ").unwrap_or(start);
    let end = start.iter().position(u8::is_ascii_whitespace).unwrap_or(start.len());
    let (word, rest) = start.split_at_checked(end).unwrap_or_default();
    is_curl(word) && !rest.is_empty()
}

fn is_curl(word: &[u8]) -> bool {
    word == b"curl" || word == b"curl.exe" || word.ends_with(b"/curl")
}

/// The request that the command would send.
pub(super) fn read(bytes: &[u8]) -> Result<Captured, CaptureProblem> {
    let words = shell::words(bytes)?;
    // A prompt, as copied from a terminal.
    let prompt = usize::from(words.first().is_some_and(|word| word.text == b"$"));
    let words = words.get(prompt..).unwrap_or_default();
    let mut command = Command::default();
    command.read(words)?;
    let line = words.first().map_or(1, |word| word.line);
    command.request().map_err(|fault| CaptureProblem::line(line, fault))
}

#[derive(Default)]
struct Command {
    url: Option<String>,
    method: Option<Method>,
    headers: HeaderMap,
    /// Headers that the command takes away.
    removed: Vec<HeaderName>,
    named: Vec<(HeaderName, HeaderValue)>,
    data: Option<Vec<u8>>,
    json: bool,
    to_query: bool,
    head: bool,
    user: Option<Vec<u8>>,
}

impl Command {
    fn read(&mut self, words: &[Word]) -> Result<(), CaptureProblem> {
        let mut words = words.iter().skip(1);
        let mut only_urls = false;
        while let Some(word) = words.next() {
            let at = |fault| CaptureProblem::line(word.line, fault);
            let text = word.text.as_slice();
            if text == b"--" {
                only_urls = true;
            } else if let Some(name) = text.strip_prefix(b"--").filter(|_| !only_urls) {
                let option = OPTIONS.iter().find(|(_, long, _)| long.as_bytes() == name);
                let (_, long, does) = option.ok_or_else(|| at(Fault::CurlOption(option_name(text))))?;
                let mut value = || words.next().map(|word| word.text.as_slice());
                self.apply(*does, long, &mut value).map_err(at)?;
            } else if let Some(letters) = text.strip_prefix(b"-").filter(|letters| !letters.is_empty() && !only_urls) {
                let mut letters = letters;
                while let Some((letter, attached)) = letters.split_first() {
                    let option = OPTIONS.iter().find(|(short, _, _)| short == letter && *short != b' ');
                    let unknown = || at(Fault::CurlOption(option_name(&[b'-', *letter])));
                    let (_, long, does) = option.ok_or_else(unknown)?;
                    letters = attached;
                    let mut value = || {
                        let attached = std::mem::take(&mut letters);
                        if attached.is_empty() { words.next().map(|word| word.text.as_slice()) } else { Some(attached) }
                    };
                    self.apply(*does, long, &mut value).map_err(at)?;
                }
            } else {
                self.add_url(text).map_err(at)?;
            }
        }
        Ok(())
    }

    fn apply<'w>(&mut self, does: Does, name: &str, value: &mut dyn FnMut() -> Option<&'w [u8]>) -> Result<(), Fault> {
        let mut value = || value().ok_or_else(|| Fault::CurlValue(format!("--{name}")));
        match does {
            Does::Nothing => {}
            Does::NothingWithValue => {
                value()?;
            }
            Does::Header => self.header(value()?)?,
            Does::Method => self.method = Some(raw::method(value()?)?),
            Does::Url => self.add_url(value()?)?,
            Does::Data => {
                let data = value()?;
                if data.starts_with(b"@") {
                    return Err(Fault::DataFile(format!("--{name} @…")));
                }
                self.add_data(data);
            }
            Does::DataRaw => self.add_data(value()?),
            Does::DataEncoded => self.add_data(&encoded(value()?)?),
            Does::Json => {
                let data = value()?;
                if data.starts_with(b"@") {
                    return Err(Fault::DataFile("--json @…".to_owned()));
                }
                self.json = true;
                self.data.get_or_insert_default().extend_from_slice(data);
            }
            Does::DataToQuery => self.to_query = true,
            Does::Head => self.head = true,
            Does::User => self.user = Some(value()?.to_vec()),
            Does::Named(named) => self.add_named(named, value()?)?,
            Does::OwnBody => return Err(Fault::UnknownBody(format!("--{name}"))),
        }
        Ok(())
    }

    /// `name: value`, `name:` (left out), `name;` (empty).
    fn header(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.starts_with(b"@") {
            return Err(Fault::DataFile("--header @…".to_owned()));
        }
        if self.headers.len() >= MAX_HEADERS {
            return Err(Fault::TooManyHeaders);
        }
        if let Some(name) = line.strip_suffix(b";").filter(|name| !name.contains(&b':')) {
            let (name, value) = raw::pair(name, b"")?;
            self.headers.append(name, value);
            return Ok(());
        }
        let (name, value) = raw::field(line)?;
        if value.is_empty() {
            self.removed.push(name);
        } else {
            self.headers.append(name, value);
        }
        Ok(())
    }

    fn add_named(&mut self, named: Named, value: &[u8]) -> Result<(), Fault> {
        let name = match named {
            Named::UserAgent => USER_AGENT,
            Named::Referer => REFERER,
            // Without `=` it is the name of a file of cookies, which no signature covers.
            Named::Cookie if !value.contains(&b'=') => return Ok(()),
            Named::Cookie => COOKIE,
        };
        let value = HeaderValue::from_bytes(value).map_err(|_| Fault::HeaderValue(name.to_string()))?;
        self.named.push((name, value));
        Ok(())
    }

    fn add_url(&mut self, text: &[u8]) -> Result<(), Fault> {
        let text = str::from_utf8(text).map_err(|_| Fault::Url)?;
        let absolute = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        if self.url.replace(absolute).is_some() { Err(Fault::TwoUrls) } else { Ok(()) }
    }

    fn add_data(&mut self, data: &[u8]) {
        match &mut self.data {
            Some(before) => {
                before.push(b'&');
                before.extend_from_slice(data);
            }
            none => *none = Some(data.to_vec()),
        }
    }

    fn default_header(&mut self, name: HeaderName, value: &'static str) {
        if !self.headers.contains_key(&name) && !self.removed.contains(&name) {
            self.headers.insert(name, HeaderValue::from_static(value));
        }
    }

    fn request(mut self) -> Result<Captured, Fault> {
        let text = self.url.take().ok_or(Fault::NoUrl)?;
        let parts = Url::read(&text).ok_or(Fault::Url)?;
        let (mut url, mut target) = url::target(&text).map_err(|_| Fault::Url)?;
        let mut body = self.data.take();
        if let Some(data) = body.take_if(|_| self.to_query) {
            let data = String::from_utf8(data).map_err(|_| Fault::Url)?;
            let mark = if target.contains('?') { '&' } else { '?' };
            (url, target) = url::target(&format!("{}{mark}{data}", url.unwrap_or_default())).map_err(|_| Fault::Url)?;
        }
        let usual = match &body {
            _ if self.head => Method::HEAD,
            Some(_) => Method::POST,
            None => Method::GET,
        };
        if self.json {
            self.default_header(CONTENT_TYPE, "application/json");
            self.default_header(ACCEPT, "application/json");
        } else if body.is_some() {
            self.default_header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let user = self.user.take().or_else(|| parts.user.map(url::decode));
        if let Some(user) = user.filter(|_| !self.headers.contains_key(AUTHORIZATION)) {
            if !user.contains(&b':') {
                return Err(Fault::CurlPassword);
            }
            let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(user)));
            self.headers.insert(AUTHORIZATION, value.map_err(|_| Fault::CurlPassword)?);
        }
        for (name, value) in std::mem::take(&mut self.named) {
            if !self.headers.contains_key(&name) {
                self.headers.insert(name, value);
            }
        }
        add_host(&mut self.headers, &parts);
        let mut captured = Captured {
            method: self.method.unwrap_or(usual),
            target,
            url,
            headers: self.headers,
            body: body.unwrap_or_default(),
            shape: Shape::CurlCommand,
            notes: Vec::new(),
        };
        note_length(&mut captured);
        Ok(captured)
    }
}

/// `content`, `=content` or `name=content`; the content is percent-encoded.
fn encoded(value: &[u8]) -> Result<Vec<u8>, Fault> {
    let text = str::from_utf8(value).map_err(|_| Fault::UnknownBody("--data-urlencode".to_owned()))?;
    let (name, content) = match (text.find('='), text.find('@')) {
        (None, None) => ("", text),
        (Some(equals), at) if at.is_none_or(|at| equals < at) => text.split_once('=').unwrap_or_default(),
        _ => return Err(Fault::DataFile("--data-urlencode @…".to_owned())),
    };
    let mark = if name.is_empty() { "" } else { "=" };
    Ok(format!("{name}{mark}{}", url::encode(content)).into_bytes())
}

/// An option without what may be attached to it.
fn option_name(text: &[u8]) -> String {
    let name = text.split(|byte| *byte == b'=').next().unwrap_or_default();
    super::problem::shown(name)
}
