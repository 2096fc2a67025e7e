//! What is signed: literals and `{id}`, `{timestamp}`, `{method}`, `{url}` or `{url_decoded}`, `{body}`, `{secret}`, in the
//! order of the scheme's `content`.
//!
//! The same signed bytes must not be readable in two ways. With `{id}.{timestamp}.{body}` a genuine delivery
//! `msg_1` · `1700000000` · `1700000009.x` would also be `msg_1.1700000000` · `1700000009` · `x`: a new id, a new time, a
//! shorter body, one valid MAC. So between two variable parts there is a literal, and a part other than the body may not
//! contain the byte at which that literal begins or ends: left of the body the first such byte, right of it the last, is
//! then the border. Some vendors write parts side by side; that is taken where the parts themselves show the border:
//! - a timestamp next to anything but an id, for inside the window it has one length (digits) or one shape (a date);
//! - an id before a date, for an id there has no `:`;
//! - a method before a URL, for the URL begins with the configured origin;
//! - a URL next to a body that is JSON, with or without a visible literal between them, for the URL there has no brackets
//!   or braces ([`Template::takes`]);
//! - the secret next to anything, for it does not vary.
//!
//! A decoded URL shows its end as the other does: no bracket comes out of it, and nothing that tells parameters apart
//! (`&`, `=`, `%`, `#`, `+`), but for the `;` that some old parsers take for a `&`.
//!
//! Sources: Standard Webhooks, "Signature scheme" (neither id nor timestamp may include a `.`); `HubSpot` "Validating requests",
//! version 3 (what is decoded).

use std::borrow::Cow;

use super::flaw::SchemeFlaw;
use super::scheme::TimeUnit;

/// A compiled `content`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// Bytes that an id may not contain.
    borders_of_id: Vec<u8>,
    /// The body begins where the URL ends.
    url_before_body: bool,
    /// The body ends where the URL begins.
    body_before_url: bool,
    /// The URL's query is signed with [`DECODED`] in place of their escapes.
    decodes_url: bool,
}

const URL_DECODED: &str = "{url_decoded}";
/// What stands for itself in a decoded URL.
const DECODED: &[u8] = b":/?@!$'()*,;";

/// A part of the signed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Box<[u8]>),
    Id,
    Timestamp,
    Method,
    Url,
    Body,
    Secret,
}

impl Template {
    /// Parses a `content`, and refuses one that could be read in two ways. `unit`: the timestamp's.
    pub(super) fn parse(text: &str, unit: Option<TimeUnit>) -> Result<Self, SchemeFlaw> {
        let pieces = split(text)?;
        for (index, piece) in pieces.iter().enumerate() {
            if piece.is_variable() && pieces.iter().take(index).any(|earlier| earlier == piece) {
                return Err(SchemeFlaw::PlaceholderTwice);
            }
        }
        let decodes_url = text.contains(URL_DECODED);
        let borders_of_id = Vec::new();
        let mut template = Self { pieces, borders_of_id, url_before_body: false, body_before_url: false, decodes_url };
        let pieces = template.pieces.clone();
        let neighbours = pieces.iter().zip(pieces.iter().skip(1));
        for (left, right) in neighbours.clone() {
            template.border(left, right, unit)?;
        }
        for ((left, middle), right) in neighbours.zip(pieces.iter().skip(2)) {
            let Piece::Literal(bytes) = middle else { continue };
            let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { continue };
            if first.is_ascii_alphanumeric() || last.is_ascii_alphanumeric() {
                return Err(SchemeFlaw::WeakDelimiter);
            }
            if *left == Piece::Id || *right == Piece::Id {
                template.borders_of_id.extend([*first, *last]);
            }
            // A URL may hold any visible byte, so only a space or a line break ends it.
            if bytes.iter().all(u8::is_ascii_graphic) {
                match (left, right) {
                    (Piece::Url, Piece::Body) => template.url_before_body = true,
                    (Piece::Body, Piece::Url) => template.body_before_url = true,
                    (Piece::Url, Piece::Id) | (Piece::Id, Piece::Url) => return Err(SchemeFlaw::WeakDelimiter),
                    (_, _) => {}
                }
            }
        }
        Ok(template)
    }

    /// Two parts side by side.
    fn border(&mut self, left: &Piece, right: &Piece, unit: Option<TimeUnit>) -> Result<(), SchemeFlaw> {
        match (left, right) {
            (Piece::Literal(_) | Piece::Secret, _)
            | (_, Piece::Literal(_) | Piece::Secret)
            | (Piece::Timestamp, Piece::Body | Piece::Method)
            | (Piece::Body | Piece::Url, Piece::Timestamp)
            | (Piece::Method, Piece::Url) => {}
            (Piece::Id, Piece::Timestamp) if unit == Some(TimeUnit::Rfc3339) => self.borders_of_id.push(b':'),
            (Piece::Url, Piece::Body) => self.url_before_body = true,
            (Piece::Body, Piece::Url) => self.body_before_url = true,
            (Piece::Id | Piece::Timestamp | Piece::Method | Piece::Url | Piece::Body, _) => {
                return Err(SchemeFlaw::NoDelimiter);
            }
        }
        Ok(())
    }

    /// The URL as it is signed.
    pub(super) fn spelling<'a>(&self, url: &'a str) -> Cow<'a, str> {
        match url.split_once('?') {
            Some((before, query)) if self.decodes_url && query.contains('%') => {
                format!("{before}?{}", decoded(query)).into()
            }
            Some(_) | None => url.into(),
        }
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(super) fn has(&self, piece: &Piece) -> bool {
        self.pieces.contains(piece)
    }

    /// Whether an id is printable, without spaces, and cannot move a border.
    pub(super) fn takes_id(&self, id: &[u8]) -> bool {
        !id.is_empty() && id.iter().all(|byte| byte.is_ascii_graphic() && !self.borders_of_id.contains(byte))
    }

    /// Whether URL and body, written side by side, show where one ends. `first` and `last`: the body's outermost bytes that
    /// are no white space; `None` for an empty body.
    pub(super) fn takes(&self, url: &str, first: Option<u8>, last: Option<u8>) -> bool {
        if !(self.url_before_body || self.body_before_url) {
            return true;
        }
        let target = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, target)| target);
        let plain = !target.contains(['{', '}', '[', ']']);
        let begins = !self.url_before_body || matches!(first, None | Some(b'{' | b'['));
        let ends = !self.body_before_url || matches!(last, None | Some(b'}' | b']'));
        plain && begins && ends
    }
}

impl Piece {
    fn is_variable(&self) -> bool {
        !matches!(self, Self::Literal(_))
    }
}

/// Once: `%253A` is `%3A`'s escape, and stays what it is. Only in the query: a path with an escape is another path.
fn decoded(query: &str) -> String {
    let mut pieces = query.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let escape = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (escape.filter(|byte| DECODED.contains(byte)), piece.get(2..)) {
            (Some(byte), Some(rest)) => decoded.extend([char::from(byte).encode_utf8(&mut [0; 4]), rest]),
            _ => decoded.extend(["%", piece]),
        }
    }
    decoded
}

fn split(text: &str) -> Result<Vec<Piece>, SchemeFlaw> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (literal, after) = rest.split_once('{').unwrap_or((rest, ""));
        if literal.contains('}') || (after.is_empty() && literal.len() != rest.len()) {
            return Err(SchemeFlaw::UnbalancedBrace);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.as_bytes().into()));
        }
        if after.is_empty() {
            break;
        }
        let (name, next) = after.split_once('}').ok_or(SchemeFlaw::UnbalancedBrace)?;
        pieces.push(match name {
            "id" => Piece::Id,
            "timestamp" => Piece::Timestamp,
            "method" => Piece::Method,
            "url" | "url_decoded" => Piece::Url,
            "body" => Piece::Body,
            "secret" => Piece::Secret,
            other => return Err(SchemeFlaw::UnknownPlaceholder(other.into())),
        });
        rest = next;
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Template, SchemeFlaw> {
        Template::parse(text, Some(TimeUnit::S))
    }

    #[test]
    fn reads_the_content_of_the_known_schemes() {
        let svix = parse("{id}.{timestamp}.{body}").unwrap();
        assert_eq!(svix.pieces().len(), 5);
        assert!([Piece::Id, Piece::Timestamp, Piece::Body].iter().all(|piece| svix.has(piece)));
        let slack = parse("v0:{timestamp}:{body}").unwrap();
        assert_eq!(slack.pieces().first(), Some(&Piece::Literal(b"v0:".as_slice().into())));
        assert_eq!(parse("{body}").unwrap().pieces(), [Piece::Body]);
    }

    #[test]
    fn an_id_may_not_contain_a_byte_at_which_a_delimiter_begins_or_ends() {
        let template = parse("{timestamp}-+{id}.:{body}").unwrap();
        for byte in [b'-', b'+', b'.', b':'] {
            assert!(!template.takes_id(&[b'a', byte]), "{}", char::from(byte));
        }
        assert!(template.takes_id(b"msg_1/2"));
        for id in [&b""[..], b"a b", b"a\tb", b"a\x7f", b"\xc3\xa9"] {
            assert!(!template.takes_id(id), "{id:?}");
        }
    }

    #[test]
    fn an_id_before_a_date_has_no_colon() {
        let twitch = Template::parse("{id}{timestamp}{body}", Some(TimeUnit::Rfc3339)).unwrap();
        assert!(twitch.takes_id(b"ae2ff348-e102-16be-a3eb-6830c1bf38d2"));
        // Else a body that begins with a date could give its front to the id.
        assert!(!twitch.takes_id(b"1-2021-02-19T23:47:00Z"));
        assert_eq!(parse("{id}{timestamp}{body}").unwrap_err(), SchemeFlaw::NoDelimiter);
    }

    #[test]
    fn parts_may_touch_where_they_show_the_border_themselves() {
        for text in [
            "{timestamp}{body}",
            "{body}{timestamp}",
            "{method}{url}{body}{timestamp}",
            "{url}{body}",
            "{body}{url}",
            "{secret}{body}",
            "{secret}{method}{url}{body}",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_url_next_to_a_body_shows_its_end_by_the_bodys_braces() {
        let square = parse("{url}{body}").unwrap();
        let url = "https://[::1]/hook?a=1";
        assert!(square.takes(url, Some(b'{'), Some(b'}')));
        assert!(square.takes(url, Some(b'['), Some(b'x')));
        assert!(square.takes(url, None, None));
        // `?a=1{…}` could be split before the `?` or after the `1`.
        assert!(!square.takes("https://a/hook", Some(b'?'), Some(b'}')));
        assert!(!square.takes("https://a/hook{", Some(b'{'), Some(b'}')));
        let trello = parse("{body}{url}").unwrap();
        assert!(trello.takes(url, Some(b'x'), Some(b'}')));
        assert!(!trello.takes(url, Some(b'{'), Some(b'h')));
        assert!(!trello.takes("https://a/hook?]", Some(b'{'), Some(b'}')));
        // A visible literal in between shows nothing that a URL could not hold; a line break does.
        assert!(!parse("{url}|{body}").unwrap().takes("https://a/hook", Some(b'x'), Some(b'x')));
        assert!(parse("{url}\n{body}").unwrap().takes("https://a/{", Some(b'x'), Some(b'x')));
        assert_eq!(parse("{url}|{id}|{body}").unwrap_err(), SchemeFlaw::WeakDelimiter);
    }

    #[test]
    fn a_decoded_url_is_decoded_once_and_only_where_nothing_else_comes_of_it() {
        let signed = parse("{method}{url_decoded}{body}{timestamp}").unwrap();
        for (url, expected) in [
            ("https://a/hook?x=1", "https://a/hook?x=1"),
            ("https://a/?u=%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B", "https://a/?u=:/?@!$'()*,;"),
            ("https://a/?u=%3a%2f", "https://a/?u=:/"),
            ("https://a/?u=%26%3D%25%23%2B%20%7B%5B%C3%A9", "https://a/?u=%26%3D%25%23%2B%20%7B%5B%C3%A9"),
            ("https://a/?u=%253A%25%33%41", "https://a/?u=%253A%25%33%41"),
            ("https://a/?u=%%3A%", "https://a/?u=%:%"),
            ("https://a/hooks/a%3Fb%2Fc", "https://a/hooks/a%3Fb%2Fc"),
            ("https://a/%2F?%2F?%3F", "https://a/%2F?/??"),
            ("https://a/?u=%+3%3", "https://a/?u=%+3%3"),
        ] {
            assert_eq!(signed.spelling(url), expected);
            assert_eq!(parse("{url}{body}").unwrap().spelling(url), url);
        }
        assert!(signed.takes("https://a/?u=%3A", Some(b'{'), Some(b'}')));
        assert!(!signed.takes("https://a/?u=%3A{", Some(b'{'), Some(b'}')));
        assert_eq!(parse("{url}.{url_decoded}{body}").unwrap_err(), SchemeFlaw::PlaceholderTwice);
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        let flaw = |text| parse(text).unwrap_err();
        assert_eq!(flaw("{id}{timestamp}.{body}"), SchemeFlaw::NoDelimiter);
        assert_eq!(flaw("{timestamp}{id}.{body}"), SchemeFlaw::NoDelimiter);
        assert_eq!(flaw("{id}{body}"), SchemeFlaw::NoDelimiter);
        assert_eq!(flaw("{method}{body}"), SchemeFlaw::NoDelimiter);
        assert_eq!(flaw("{timestamp}{url}"), SchemeFlaw::NoDelimiter);
        assert_eq!(flaw("{url}{method}{body}"), SchemeFlaw::NoDelimiter);
        assert_eq!(flaw("{timestamp}0{body}"), SchemeFlaw::WeakDelimiter);
        assert_eq!(flaw("{id}.a{body}"), SchemeFlaw::WeakDelimiter);
        assert_eq!(flaw("{body}.{body}"), SchemeFlaw::PlaceholderTwice);
        assert_eq!(flaw("{id}.{id}.{body}"), SchemeFlaw::PlaceholderTwice);
    }

    #[test]
    fn refuses_what_is_not_a_template() {
        let flaw = |text| parse(text).unwrap_err();
        assert_eq!(flaw("{path}.{body}"), SchemeFlaw::UnknownPlaceholder("path".into()));
        assert_eq!(flaw("{}.{body}"), SchemeFlaw::UnknownPlaceholder("".into()));
        for text in ["{body", "body}", "{body}}", "{body}{", "a{"] {
            assert_eq!(flaw(text), SchemeFlaw::UnbalancedBrace, "{text}");
        }
    }
}
