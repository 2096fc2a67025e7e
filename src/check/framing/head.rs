//! A request head, line by line: RFC 9112 §2–§3 and §5–§6, RFC 9110 §5, §7.8, §8.6, §10.1.1.
//!
//! Must never let a field that decides where the message ends pass in a spelling with two readings.

use super::body::Chunk;
use super::lines::{HOST, Held, PATH, Parsed, QUERY, Stop, TOKEN, crlf, distance, field_line, is, same_name, span};
use super::{Body, Fault, HeadFacts, Limits, State, Step, Version};

/// More digits than any body needs, few enough that a `u64` cannot overflow.
const MAX_LENGTH_DIGITS: usize = 18;

/// A head as far as its lines are complete.
#[derive(Debug)]
pub(super) struct Head {
    held: Held,
    stage: Stage,
    fields: usize,
    host: bool,
    expect: bool,
    upgrade: bool,
    body: Body,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Start,
    RequestLine,
    Fields(Version),
}

impl Head {
    pub(super) const NEW: Self = Self {
        held: Held::NOTHING,
        stage: Stage::Start,
        fields: 0,
        host: false,
        expect: false,
        upgrade: false,
        body: Body::None,
    };

    pub(super) fn step(&mut self, bytes: &[u8], limits: Limits) -> (Step, Option<State>) {
        // No wait for the line's end here: a TLS handshake should hear no at once, not at the time limit.
        if self.held.seen == 0 && bytes.first().is_some_and(|first| *first != b'\r' && !is(*first, TOKEN)) {
            return (Step::RefusedHead(Fault::RequestLine), None);
        }
        if self.held.line_is_open(bytes, limits.max_head) {
            return (Step::NeedMore, None);
        }
        let window = bytes.get(..limits.max_head).unwrap_or(bytes);
        match self.lines(window, limits.max_headers) {
            Ok((length, facts)) => (Step::Head(length, facts), Some(after(facts))),
            Err(stop) => {
                let fault = self.held.fault(stop, window, limits.max_head, Fault::HeadTooLarge);
                (fault.map_or(Step::NeedMore, Step::RefusedHead), None)
            }
        }
    }

    /// Goes on behind the last complete line, to the end of the head.
    fn lines(&mut self, window: &[u8], max_headers: usize) -> Parsed<(usize, HeadFacts)> {
        let mut rest = window.get(self.held.checked..).unwrap_or_default();
        loop {
            let blank = rest.first() == Some(&b'\r');
            match self.stage {
                // RFC 9112 §2.2: one empty line before the request line is ignored, as old clients end a body with one.
                // It stays part of the head, because httparse skips it too. Nobody sends a second one.
                Stage::Start if blank => {
                    rest = crlf(rest)?;
                    self.stage = Stage::RequestLine;
                }
                Stage::Start | Stage::RequestLine => {
                    let (version, next) = request_line(rest)?;
                    self.stage = Stage::Fields(version);
                    rest = next;
                }
                Stage::Fields(version) if blank => {
                    rest = crlf(rest)?;
                    return Ok((distance(window, rest), self.facts(version)?));
                }
                Stage::Fields(_) if self.fields >= max_headers && !rest.is_empty() => {
                    return Err(Fault::TooManyHeaders.into());
                }
                Stage::Fields(version) => {
                    let (name, value, next) = field_line(rest)?;
                    self.field(version, name, value)?;
                    self.fields = self.fields.saturating_add(1);
                    rest = next;
                }
            }
            self.held.checked = distance(window, rest);
        }
    }

    /// Fields that decide where the message ends or which site it is for. `Connection` is not among them: it cannot move
    /// a boundary, and which names it may not list depends on the route, so the gate judges it.
    fn field(&mut self, version: Version, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        // By length first: most fields are none of these.
        match name.len() {
            4 if same_name(name, b"host") => self.host(value),
            6 if same_name(name, b"expect") => self.expect(value),
            7 if same_name(name, b"upgrade") => {
                // RFC 9110 §7.8: to be ignored in HTTP/1.0, and hyper does.
                self.upgrade = version == Version::Http11;
                Ok(())
            }
            14 if same_name(name, b"content-length") => self.content_length(name, value),
            17 if same_name(name, b"transfer-encoding") => self.transfer_encoding(version, name, value),
            _ => Ok(()),
        }
    }

    /// An empty value is legal only for URIs without an authority, which never reach a server behind http(s).
    fn host(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.host {
            return Err(Fault::HostRepeated);
        }
        self.host = true;
        let (host, rest) = span(value, HOST);
        if host.is_empty() || !rest.is_empty() { Err(Fault::HostMalformed) } else { Ok(()) }
    }

    /// Other expectations would need a 417; hyper ignores them, and ignores all but the last line.
    fn expect(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.expect || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Fault::Expect);
        }
        self.expect = true;
        Ok(())
    }

    fn content_length(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        if name.contains(&b'_') {
            return Err(Fault::Alias);
        }
        match self.body {
            Body::None => {}
            Body::Length(_) => return Err(Fault::LengthRepeated),
            Body::Chunked => return Err(Fault::LengthAndCoding),
        }
        self.body = Body::Length(digits(value).ok_or(Fault::Length)?);
        Ok(())
    }

    fn transfer_encoding(&mut self, version: Version, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        if name.contains(&b'_') {
            return Err(Fault::Alias);
        }
        match self.body {
            Body::None => {}
            Body::Length(_) => return Err(Fault::LengthAndCoding),
            Body::Chunked => return Err(Fault::Coding),
        }
        // RFC 9112 §6.1: an HTTP/1.0 message with Transfer-Encoding is to be treated as faulty framing.
        if version == Version::Http10 || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::Coding);
        }
        self.body = Body::Chunked;
        Ok(())
    }

    fn facts(&self, version: Version) -> Result<HeadFacts, Fault> {
        if version == Version::Http11 && !self.host {
            return Err(Fault::HostMissing);
        }
        let bodyless = matches!(self.body, Body::None | Body::Length(0));
        Ok(HeadFacts { version, body: self.body, upgrade: self.upgrade && bodyless })
    }
}

/// What follows a head. The upgrade comes first: such a head has no body.
const fn after(facts: HeadFacts) -> State {
    match facts.body {
        _ if facts.upgrade => State::AwaitUpgrade,
        Body::None | Body::Length(0) => State::Head(Head::NEW),
        Body::Length(length) => State::Length(length),
        Body::Chunked => State::Chunked(Chunk::START),
    }
}

fn request_line(line: &[u8]) -> Parsed<(Version, &[u8])> {
    let (method, rest) = span(line, TOKEN);
    let (&end, rest) = rest.split_first().ok_or(Stop::Short)?;
    if method.is_empty() || end != b' ' {
        return Err(Fault::RequestLine.into());
    }
    // hyper takes a 2xx to CONNECT for a tunnel, whatever the target.
    if method == b"CONNECT" {
        return Err(Fault::Connect.into());
    }
    let rest = target(rest)?;
    let (version, rest) = rest.split_first_chunk::<8>().ok_or(Stop::Short)?;
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(Fault::Version.into()),
    };
    Ok((version, crlf(rest)?))
}

/// Origin form only, in the bytes that `http::Uri` takes: for any other, hyper would answer its blank 400 (and cut off a
/// fragment in silence). What the path means is judged in `check::target`.
fn target(bytes: &[u8]) -> Parsed<&[u8]> {
    let (&slash, _) = bytes.split_first().ok_or(Stop::Short)?;
    if slash == b' ' {
        return Err(Fault::RequestLine.into());
    }
    if slash != b'/' {
        return Err(Fault::Target.into());
    }
    let (_, mut rest) = span(bytes, PATH);
    if rest.first() == Some(&b'?') {
        (_, rest) = span(rest, QUERY);
    }
    match rest.split_first().ok_or(Stop::Short)? {
        (b' ', rest) => Ok(rest),
        (b'\r' | b'\n', _) => Err(Fault::RequestLine.into()),
        _ => Err(Fault::Target.into()),
    }
}

/// Plain digits: `str::parse` would take a leading `+`.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > MAX_LENGTH_DIGITS {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        Some(sum.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}
