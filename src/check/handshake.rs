//! Handshakes: what a provider sends to find out whether an endpoint is there, and what it wants to hear.
//!
//! Most are not signed, so whoever asks is answered: what is given back is bounded and holds nothing that a browser or a
//! JSON parser could take for more than text. A MAC that anyone may ask for is one of letters and digits alone, and a
//! delivery with such a body proves nothing ([`could_be_of_our_making`]). Must never let any part of a request go on to the
//! app, nor answer a signed handshake before it was verified. Sources: the providers' pages, named in the catalogue.

mod spec;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use subtle::ConstantTimeEq;

use self::spec::{AnswerSpec, Check, Condition, Confirm, Expected, MacEncoding, Place};
pub use self::spec::{HandshakeSpec, TrustOnFirstUse};
use super::signature::form::{self, Field};
use super::signature::json::{self, Path, Scalar};
use super::signature::{LabeledKey, Options, Verified, Wanted, hex};
use crate::reject::Reject;
use crate::secret::Secret;

/// Longest text that is given back, in bytes.
const MAX_ECHO: usize = 512;
/// Longest value of another part, in bytes: addresses are long.
const MAX_VALUE: usize = 2048;
/// Longest form body that may be a handshake, in bytes.
pub const MAX_FORM: u64 = 1024;
/// Longest JSON body that may be a handshake, in bytes.
const MAX_JSON: usize = 16 * 1024;

/// A handshake that a route answers.
#[derive(Debug)]
pub struct Handshake {
    signed: bool,
    method: Method,
    when: Vec<(Source, Option<Expected>)>,
    unless: Option<Source>,
    check: Option<(Source, Secret)>,
    echo: Option<Source>,
    mac: Option<MacEncoding>,
    confirm: Option<(Source, Vec<Beginning>)>,
    status: StatusCode,
    content: Option<(Content, Vec<Piece>)>,
}

/// What kind of text an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// `text/plain`.
    Text,
    /// `application/json`.
    Json,
}

/// The answer to a handshake.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// 2xx.
    pub status: StatusCode,
    /// The body and what it is.
    pub body: Option<(Content, String)>,
    /// The provider's own address that has to be called first.
    pub confirm: Option<Wanted>,
}

/// Why a handshake of the catalogue cannot be answered on a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFlaw {
    /// The route has not got an option.
    #[error("without the option `{0}` anyone could subscribe this address to events of their own")]
    OptionMissing(Box<str>),
    /// The catalogue is wrong.
    #[error("this handshake of the catalogue is unsound: {0}")]
    Unsound(&'static str),
}

/// The head of a request.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'r> {
    /// The method.
    pub method: &'r Method,
    /// What follows the `?`, as it came.
    pub query: Option<&'r str>,
    /// All headers.
    pub headers: &'r HeaderMap,
}

#[derive(Debug)]
enum Source {
    Json(Path),
    Query(Box<str>),
    Header(HeaderName),
    Form(Box<str>),
}

#[derive(Debug)]
enum Piece {
    Literal(Box<str>),
    Echo,
    Mac,
}

/// What an address begins with, before and after one label of its host.
#[derive(Debug)]
struct Beginning {
    before: Box<str>,
    after: Box<str>,
}

/// What a handshake is looked for in.
#[derive(Clone, Copy)]
struct Evidence<'r> {
    asked: Asked<'r>,
    /// Of a verified delivery.
    json: &'r [Bytes],
    form: &'r [Field],
    key: Option<&'r LabeledKey>,
}

/// The answer to a handshake that is known by its head alone. `None`: it is none.
///
/// # Errors
/// `signature_mismatch`: the agreed word is another one.
pub fn unsigned(handshakes: &[Handshake], asked: Asked<'_>, keys: &[LabeledKey]) -> Option<Result<Reply, Reject>> {
    let evidence = Evidence { asked, json: &[], form: &[], key: keys.first() };
    handshakes.iter().filter(|handshake| !handshake.signed).find_map(|handshake| handshake.reply(evidence))
}

/// Whether the body has to be read to tell a handshake: a form from someone who has not even tried to sign.
pub fn may_be_a_form<'h>(
    handshakes: &[Handshake],
    asked: Asked<'_>,
    mut signature_headers: impl Iterator<Item = &'h HeaderName>,
) -> bool {
    let media_type = single(asked.headers, &http::header::CONTENT_TYPE).and_then(|value| value.split(';').next());
    let is_form =
        media_type.is_some_and(|value| value.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    is_form
        && handshakes.iter().any(|handshake| handshake.reads_a_form() && handshake.method == *asked.method)
        && !signature_headers.any(|name| asked.headers.contains_key(name))
}

/// The answer to a handshake that is a form, which is the whole body. `None`: it is none.
///
/// # Errors
/// `signature_mismatch`: the agreed word is another one.
pub fn unsigned_form(
    handshakes: &[Handshake],
    asked: Asked<'_>,
    body: &[Bytes],
    keys: &[LabeledKey],
) -> Option<Result<Reply, Reject>> {
    let fields = form::read(&body.concat())?;
    let evidence = Evidence { asked, json: &[], form: &fields, key: keys.first() };
    handshakes.iter().filter(|handshake| handshake.reads_a_form()).find_map(|handshake| handshake.reply(evidence))
}

/// The answer to a verified handshake. `None`: it is a delivery.
///
/// # Errors
/// `signature_mismatch`: the agreed word is another one.
pub fn signed(
    handshakes: &[Handshake],
    asked: Asked<'_>,
    body: &[Bytes],
    verified: &Verified,
    keys: &[LabeledKey],
) -> Option<Result<Reply, Reject>> {
    let json = if size(body) <= MAX_JSON { body } else { &[] };
    // The provider knows one secret: the one that it signed with.
    let key = keys.iter().find(|key| *key.label == *verified.label());
    let evidence = Evidence { asked, json, form: &[], key };
    handshakes.iter().filter(|handshake| handshake.signed).find_map(|handshake| handshake.reply(evidence))
}

/// Whether one of a provider's handshakes makes a MAC for anyone who asks.
pub fn signs_for_anyone(specs: &[HandshakeSpec]) -> bool {
    specs.iter().any(|spec| !spec.signed && spec.hmac.is_some())
}

/// Whether a body could have been a challenge to a provider's endpoint that [signs for anyone](signs_for_anyone), so that a
/// fitting signature proves nothing. Whether this route answers does not count: another one with the same secret may, or this
/// one may have.
pub fn could_be_of_our_making(body: &[Bytes]) -> bool {
    size(body) <= MAX_ECHO && body.iter().all(|chunk| chunk.iter().copied().all(is_token))
}

fn size(body: &[Bytes]) -> usize {
    body.iter().fold(0, |size, chunk| size.saturating_add(chunk.len()))
}

impl Handshake {
    /// Makes one for a route with these options.
    ///
    /// # Errors
    /// What the route lacks, or what is wrong with the catalogue.
    pub fn compile(spec: &HandshakeSpec, options: &Options) -> Result<Self, HandshakeFlaw> {
        let unsound = HandshakeFlaw::Unsound;
        let method = Method::from_bytes(spec.method.as_bytes()).map_err(|_| unsound("its method"))?;
        let source = |place: &Place| Source::new(place, spec.signed).ok_or_else(|| unsound("a place that is not read"));
        let when = spec
            .when
            .iter()
            .map(|Condition { at, equals }| Ok((source(at)?, equals.clone())))
            .collect::<Result<Vec<_>, HandshakeFlaw>>()?;
        let by_form = when.iter().any(|(at, _)| matches!(at, Source::Form(_)));
        let by_method = method == Method::GET || method == Method::HEAD;
        // An unsigned one that is no form is looked for only where there is no body at all.
        let by_absence = spec.no_body && when.iter().any(|(at, _)| matches!(at, Source::Query(_)));
        let tells_itself =
            if spec.signed { !when.is_empty() || spec.echo.is_some() } else { by_form != (by_method || by_absence) };
        if !tells_itself {
            return Err(unsound("deliveries look like it"));
        }
        let check = match &spec.check {
            None => None,
            Some(Check { at, option }) => {
                let word = options.get(option).and_then(|word| Secret::try_from(word.clone().into_bytes()).ok());
                Some((source(at)?, word.ok_or_else(|| HandshakeFlaw::OptionMissing(option.as_str().into()))?))
            }
        };
        let confirm = match &spec.confirm {
            None => None,
            Some(_) if !spec.signed => return Err(unsound("an address that anyone could name")),
            Some(Confirm { at, begins }) => {
                let begins = begins.iter().map(|text| Beginning::parse(text)).collect::<Option<Vec<_>>>();
                Some((source(at)?, begins.filter(|begins| !begins.is_empty()).ok_or(unsound("its addresses"))?))
            }
        };
        let content = content(&spec.answer)?;
        let holds = |wanted: fn(&Piece) -> bool| content.iter().any(|(_, pieces)| pieces.iter().any(wanted));
        let holds_mac = holds(|piece| matches!(piece, Piece::Mac));
        let needs_echo = holds_mac || holds(|piece| matches!(piece, Piece::Echo));
        if needs_echo != spec.echo.is_some() || holds_mac != spec.hmac.is_some() {
            return Err(unsound("its answer"));
        }
        Ok(Self {
            signed: spec.signed,
            method,
            when,
            unless: spec.unless.as_ref().map(source).transpose()?,
            check,
            echo: spec.echo.as_ref().map(source).transpose()?,
            mac: spec.hmac,
            confirm,
            status: StatusCode::from_u16(spec.answer.status)
                .ok()
                .filter(StatusCode::is_success)
                .ok_or(unsound("its status"))?,
            content,
        })
    }

    fn reads_a_form(&self) -> bool {
        self.when.iter().any(|(at, _)| matches!(at, Source::Form(_)))
    }

    fn reply(&self, evidence: Evidence<'_>) -> Option<Result<Reply, Reject>> {
        let fits = |(at, expected): &(Source, Option<Expected>)| {
            at.read(evidence).is_some_and(|value| match expected {
                Some(Expected::Text(text)) => value == Scalar::Text(text.as_str().into()),
                Some(Expected::Number(number)) => value == Scalar::Number(*number),
                None => true,
            })
        };
        let is_one = self.method == *evidence.asked.method
            && self.when.iter().all(fits)
            && self.unless.as_ref().is_none_or(|at| at.read(evidence).is_none());
        if !is_one {
            return None;
        }
        let echo = match &self.echo {
            Some(at) => Some(at.text(evidence).filter(|text| self.may_be_given_back(text))?),
            None => None,
        };
        if let Some((at, word)) = &self.check
            && !bool::from(at.text(evidence)?.as_bytes().ct_eq(word.expose()))
        {
            return Some(Err(Reject::SignatureMismatch));
        }
        let confirm = match &self.confirm {
            Some((at, begins)) => {
                let url = at.text(evidence).filter(|url| begins.iter().any(|begin| begin.fits(url)))?;
                Some(Wanted::Document(url))
            }
            None => None,
        };
        let mac = match (self.mac, &echo) {
            (Some(encoding), Some(echo)) => Some(written(encoding, &evidence.key?.key.mac_of(echo.as_bytes())?)),
            (Some(_), None) | (None, _) => None,
        };
        let body = self.content.as_ref().map(|(content, pieces)| {
            let part = |piece: &Piece| match piece {
                Piece::Literal(text) => text.to_string(),
                Piece::Echo => content.written(echo.as_deref().unwrap_or_default()),
                Piece::Mac => content.written(mac.as_deref().unwrap_or_default()),
            };
            (*content, pieces.iter().map(part).collect())
        });
        Some(Ok(Reply { status: self.status, body, confirm }))
    }

    /// What comes from anyone must not be able to become markup, and what is signed for anyone must be no delivery.
    fn may_be_given_back(&self, text: &str) -> bool {
        let fits = |byte: u8| {
            (byte == b' ' || byte.is_ascii_graphic())
                && (self.signed || !matches!(byte, b'<' | b'>' | b'"' | b'&' | b'\''))
                && (self.mac.is_none() || is_token(byte))
        };
        (1..=MAX_ECHO).contains(&text.len()) && text.bytes().all(fits)
    }
}

/// Letters, digits and what base64 adds to them: no JSON but a number or a word, and no form.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
}

impl Source {
    /// `None`: not where such a handshake may have it.
    fn new(place: &Place, signed: bool) -> Option<Self> {
        match place {
            Place::Json(path) => signed.then(|| Path::parse(path).map(Self::Json)).flatten(),
            Place::Query(name) => Some(Self::Query(name.as_str().into())),
            Place::Header(name) => HeaderName::from_bytes(name.as_bytes()).ok().map(Self::Header),
            Place::Form(name) => (!signed).then(|| Self::Form(name.as_str().into())),
        }
    }

    /// The value that is there exactly once.
    fn read(&self, evidence: Evidence<'_>) -> Option<Scalar> {
        let text = |text: &str| Some(Scalar::Text(text.into()));
        match self {
            Self::Json(path) => json::value(evidence.json, path, MAX_VALUE),
            Self::Query(name) => {
                form::read(evidence.asked.query?.as_bytes()).and_then(|fields| text(form::once(&fields, name)?))
            }
            Self::Header(name) => text(single(evidence.asked.headers, name)?),
            Self::Form(name) => text(form::once(evidence.form, name)?),
        }
    }

    fn text(&self, evidence: Evidence<'_>) -> Option<Box<str>> {
        self.read(evidence)?.into_text()
    }
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

impl Content {
    fn written(self, text: &str) -> String {
        match self {
            Self::Text => text.to_owned(),
            Self::Json => {
                let quoted = serde_json::Value::from(text).to_string();
                quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
            }
        }
    }
}

impl Beginning {
    /// `https://sns.*.amazonaws.com/`. `None`: anything less than that.
    fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.split_once('*')?;
        let is_pinned = before.starts_with("https://") && before.ends_with('.');
        (is_pinned && after.starts_with('.') && after.contains('/') && !after.contains('*'))
            .then(|| Self { before: before.into(), after: after.into() })
    }

    fn fits(&self, url: &str) -> bool {
        let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        url.strip_prefix(&*self.before)
            .and_then(|rest| rest.split_once('.'))
            .filter(|(label, _)| (1..=63).contains(&label.len()) && label.bytes().all(is_label))
            .is_some_and(|(label, _)| {
                let start = self.before.len().saturating_add(label.len());
                url.get(start..).is_some_and(|rest| rest.starts_with(&*self.after))
            })
            && url.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

fn content(answer: &AnswerSpec) -> Result<Option<(Content, Vec<Piece>)>, HandshakeFlaw> {
    let (content, mut rest) = match (&answer.text, &answer.json) {
        (None, None) => return Ok(None),
        (Some(text), None) => (Content::Text, text.as_str()),
        (None, Some(json)) => (Content::Json, json.as_str()),
        (Some(_), Some(_)) => return Err(HandshakeFlaw::Unsound("two answers")),
    };
    let mut pieces = Vec::new();
    // The JSON's own braces never close such a name.
    while let Some((before, name, after)) = first_of(rest, ["{echo}", "{hmac}"]) {
        pieces.push(Piece::Literal(before.into()));
        pieces.push(if name == "{echo}" { Piece::Echo } else { Piece::Mac });
        rest = after;
    }
    pieces.push(Piece::Literal(rest.into()));
    Ok(Some((content, pieces)))
}

/// The text before the first of these names, the name, and what follows it.
fn first_of<'t, 'n>(text: &'t str, names: [&'n str; 2]) -> Option<(&'t str, &'n str, &'t str)> {
    let found = names.into_iter().filter_map(|name| text.split_once(name).map(|(before, after)| (before, name, after)));
    found.min_by_key(|(before, _, _)| before.len())
}

fn written(encoding: MacEncoding, mac: &[u8]) -> String {
    match encoding {
        MacEncoding::Hex => hex(mac),
        MacEncoding::Base64 => STANDARD.encode(mac),
    }
}
