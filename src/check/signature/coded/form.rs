//! `application/x-www-form-urlencoded` bodies, in the one spelling that every parser reads alike.
//!
//! Parsers disagree about everything that serializers never write: `;` between fields, a field without `=`, `%` without two
//! digits, bytes that are not UTF-8, characters that should have been encoded. All of that is refused, so that what was
//! signed is what the app reads. Must never replace or drop a byte. Source: the WHATWG URL standard §5 (its serializer).

use crate::check::signature::sign::hex;

/// What JavaScript's `encodeURIComponent` and Node's `querystring.escape` keep beside letters and digits.
pub(super) const MARKS: &[u8] = b"-_.!~*'()";
/// Most fields of a body: what PHP reads before it silently stops.
const MAX_FIELDS: usize = 1000;

/// A field: name and value, decoded.
pub(in crate::check) type Field = (String, String);

/// The fields in order. `None`: a spelling that parsers may read in several ways, or too many.
pub(in crate::check) fn read(body: &[u8]) -> Option<Vec<Field>> {
    if body.is_empty() {
        return Some(Vec::new());
    }
    let mut fields = Vec::new();
    for field in body.split(|byte| *byte == b'&') {
        if fields.len() >= MAX_FIELDS {
            return None;
        }
        let end = field.iter().position(|byte| *byte == b'=')?;
        let (name, value) = field.split_at_checked(end)?;
        fields.push((decode(name)?, decode(value.get(1..)?)?));
    }
    Some(fields)
}

/// The value of the field that is there exactly once.
pub(in crate::check) fn once<'f>(fields: &'f [Field], name: &str) -> Option<&'f str> {
    let mut values = fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// One name or value. `None`: not as serializers write it.
pub(super) fn decode(text: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => (digit(*bytes.next()?)? << 4) | digit(*bytes.next()?)?,
            b';' => return None,
            byte if byte.is_ascii_graphic() => *byte,
            _ => return None,
        });
    }
    String::from_utf8(decoded).ok()
}

/// The text with everything percent-encoded, in upper case, but letters, digits and what is `kept`.
pub(super) fn escaped(text: &str, kept: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
    }
    escaped
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(fields: &[(&str, &str)]) -> Vec<Field> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn decodes_what_serializers_write() {
        assert_eq!(read(b""), Some(Vec::new()));
        assert_eq!(read(b"a=1&b=%2B1+2%20%C3%A9&a="), Some(pairs(&[("a", "1"), ("b", "+1 2 é"), ("a", "")])));
        assert_eq!(read(b"a=b=c==&%61=%00%0d%0A"), Some(pairs(&[("a", "b=c=="), ("a", "\0\r\n")])));
        assert_eq!(read(b"a=%EF%BF%BD"), Some(pairs(&[("a", "\u{fffd}")])));
        assert_eq!(read(b"a=%25zz&b=%2B"), Some(pairs(&[("a", "%zz"), ("b", "+")])));
    }

    #[test]
    fn escapes_as_node_does() {
        assert_eq!(escaped("a'(é) /%~", MARKS), "a'(%C3%A9)%20%2F%25~");
        assert_eq!(escaped("a/b", b"/"), "a/b");
    }

    #[test]
    fn refuses_what_parsers_read_in_several_ways() {
        for body in [
            &b"a"[..],
            b"a=1&",
            b"&a=1",
            b"a=1&&b=2",
            b"a=1;b=2",
            b"a;b=1",
            b"a=%",
            b"a=%4",
            b"a=%zz",
            b"a=%+1",
            b"a=%4&b=1",
            b"a=%u0041",
            b"a=1 2",
            b"a=1\r\n",
            b"a=\0",
            b"a=\xc3\xa9",
            b"a=%C3",
            b"a=%FF",
            b"a=%C0%AF",
            b"a=%ED%A0%80",
            b"%FF=1",
        ] {
            assert_eq!(read(body), None, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn takes_a_thousand_fields_and_no_more() {
        let body = |count: usize| vec!["a=1"; count].join("&");
        assert_eq!(read(body(MAX_FIELDS).as_bytes()).map(|fields| fields.len()), Some(MAX_FIELDS));
        assert_eq!(read(body(MAX_FIELDS + 1).as_bytes()), None);
    }

    #[test]
    fn a_repeated_field_is_not_there_once() {
        let fields = read(b"a=1&b=2&a=1").unwrap();
        assert_eq!(once(&fields, "a"), None);
        assert_eq!(once(&fields, "b"), Some("2"));
        assert_eq!(once(&fields, "c"), None);
    }
}
