//! What is signed: literals and `{id}`, `{timestamp}`, `{body}`, in the order of the scheme's `content`.
//!
//! The same signed bytes must not be readable in two ways. With `{id}.{timestamp}.{body}` a genuine delivery
//! `msg_1` · `1700000000` · `1700000009.x` would also be `msg_1.1700000000` · `1700000009` · `x`: a new id, a new time, a
//! shorter body, one valid MAC. So between two variable parts there is always a literal, and a part other than the body may
//! not contain the byte at which that literal begins or ends: left of the body the first such byte, right of it the last,
//! is then the border. Source: Standard Webhooks, "Signature scheme" (neither id nor timestamp may include a `.`).

use super::compile::SchemeFlaw;

/// A compiled `content`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// Bytes that an id may not contain.
    borders_of_id: Vec<u8>,
}

/// A part of the signed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Box<[u8]>),
    Id,
    Timestamp,
    Body,
}

impl Template {
    /// Parses a `content`, and refuses one that could be read in two ways.
    pub(super) fn parse(text: &str) -> Result<Self, SchemeFlaw> {
        let pieces = split(text)?;
        for variable in [Piece::Id, Piece::Timestamp, Piece::Body] {
            if pieces.iter().filter(|piece| **piece == variable).count() > 1 {
                return Err(SchemeFlaw::PlaceholderTwice);
            }
        }
        let mut borders_of_id = Vec::new();
        let neighbours = pieces.iter().zip(pieces.iter().skip(1));
        if neighbours.clone().any(|(left, right)| left.is_variable() && right.is_variable()) {
            return Err(SchemeFlaw::NoDelimiter);
        }
        for ((left, middle), right) in neighbours.zip(pieces.iter().skip(2)) {
            let Piece::Literal(bytes) = middle else { continue };
            let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { continue };
            if first.is_ascii_alphanumeric() || last.is_ascii_alphanumeric() {
                return Err(SchemeFlaw::WeakDelimiter);
            }
            if *left == Piece::Id || *right == Piece::Id {
                borders_of_id.extend([*first, *last]);
            }
        }
        Ok(Self { pieces, borders_of_id })
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(super) fn has_body(&self) -> bool {
        self.pieces.contains(&Piece::Body)
    }

    pub(super) fn has_id(&self) -> bool {
        self.pieces.contains(&Piece::Id)
    }

    pub(super) fn has_timestamp(&self) -> bool {
        self.pieces.contains(&Piece::Timestamp)
    }

    /// Whether an id is printable, without spaces, and cannot move a border.
    pub(super) fn takes_id(&self, id: &[u8]) -> bool {
        !id.is_empty() && id.iter().all(|byte| byte.is_ascii_graphic() && !self.borders_of_id.contains(byte))
    }
}

impl Piece {
    fn is_variable(&self) -> bool {
        !matches!(self, Self::Literal(_))
    }
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
            "body" => Piece::Body,
            other => return Err(SchemeFlaw::UnknownPlaceholder(other.into())),
        });
        rest = next;
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_content_of_the_known_schemes() {
        let svix = Template::parse("{id}.{timestamp}.{body}").unwrap();
        assert_eq!(svix.pieces().len(), 5);
        assert!(svix.has_id() && svix.has_timestamp() && svix.has_body());
        let slack = Template::parse("v0:{timestamp}:{body}").unwrap();
        assert_eq!(slack.pieces().first(), Some(&Piece::Literal(b"v0:".as_slice().into())));
        assert_eq!(Template::parse("{body}").unwrap().pieces(), [Piece::Body]);
    }

    #[test]
    fn an_id_may_not_contain_a_byte_at_which_a_delimiter_begins_or_ends() {
        let template = Template::parse("{timestamp}-+{id}.:{body}").unwrap();
        for byte in [b'-', b'+', b'.', b':'] {
            assert!(!template.takes_id(&[b'a', byte]), "{}", char::from(byte));
        }
        assert!(template.takes_id(b"msg_1/2"));
        for id in [&b""[..], b"a b", b"a\tb", b"a\x7f", b"\xc3\xa9"] {
            assert!(!template.takes_id(id), "{id:?}");
        }
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        let flaw = |text| Template::parse(text).unwrap_err();
        assert_eq!(flaw("{id}{timestamp}.{body}"), SchemeFlaw::NoDelimiter);
        assert_eq!(flaw("{timestamp}{body}"), SchemeFlaw::NoDelimiter);
        assert_eq!(flaw("{timestamp}0{body}"), SchemeFlaw::WeakDelimiter);
        assert_eq!(flaw("{id}.a{body}"), SchemeFlaw::WeakDelimiter);
        assert_eq!(flaw("{body}.{body}"), SchemeFlaw::PlaceholderTwice);
        assert_eq!(flaw("{id}.{id}.{body}"), SchemeFlaw::PlaceholderTwice);
    }

    #[test]
    fn refuses_what_is_not_a_template() {
        let flaw = |text| Template::parse(text).unwrap_err();
        assert_eq!(flaw("{url}.{body}"), SchemeFlaw::UnknownPlaceholder("url".into()));
        assert_eq!(flaw("{}.{body}"), SchemeFlaw::UnknownPlaceholder("".into()));
        for text in ["{body", "body}", "{body}}", "{body}{", "a{"] {
            assert_eq!(flaw(text), SchemeFlaw::UnbalancedBrace, "{text}");
        }
    }
}
