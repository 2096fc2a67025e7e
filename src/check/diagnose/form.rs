//! Forms (`application/x-www-form-urlencoded`): decoded, encoded, written anew.
//!
//! Only makes candidates. Source: WHATWG URL standard §5; RFC 3986 §2.1.

use bytes::Bytes;

use super::json::{self, Node};

/// Undoes `%41`. `None`: there is nothing to undo, or half an escape.
pub(super) fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut any = false;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        decoded.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
        any = true;
    }
    any.then_some(decoded)
}

/// How a form is written.
#[derive(Clone, Copy)]
struct Writing {
    plus: bool,
    upper: bool,
    /// What stays as it is besides letters and digits.
    plain: &'static [u8],
}

/// Browsers and `URLSearchParams`; `encodeURIComponent`; Python, PHP and RFC 3986; each with digits in the other case.
const WRITINGS: &[Writing] = &[
    Writing { plus: true, upper: true, plain: b"*-._" },
    Writing { plus: true, upper: true, plain: b"-._~" },
    Writing { plus: true, upper: true, plain: b"-._" },
    Writing { plus: false, upper: true, plain: b"-._~" },
    Writing { plus: false, upper: true, plain: b"-._!~*'()" },
    Writing { plus: true, upper: false, plain: b"*-._" },
    Writing { plus: true, upper: false, plain: b"-._~" },
    Writing { plus: false, upper: false, plain: b"-._~" },
];

impl Writing {
    fn write(self, text: &[u8], out: &mut Vec<u8>) {
        for byte in text {
            match byte {
                b' ' if self.plus => out.push(b'+'),
                byte if byte.is_ascii_alphanumeric() || self.plain.contains(byte) => out.push(*byte),
                byte if self.upper => out.extend(format!("%{byte:02X}").bytes()),
                byte => out.extend(format!("%{byte:02x}").bytes()),
            }
        }
    }

    fn form(self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Bytes {
        let mut out = Vec::new();
        for (index, (name, value)) in pairs.iter().enumerate() {
            if index > 0 {
                out.push(b'&');
            }
            self.write(name, &mut out);
            out.push(b'=');
            self.write(value, &mut out);
        }
        out.into()
    }
}

/// The pairs, decoded. `None`: this is no form.
fn pairs(body: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    if !body.contains(&b'=') || body.iter().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'{' | b'"')) {
        return None;
    }
    let pairs = form_urlencoded::parse(body);
    Some(pairs.map(|(name, value)| (name.into_owned().into_bytes(), value.into_owned().into_bytes())).collect())
}

/// JSON arrived; the form that it may have been in was signed.
pub(super) fn decoded(body: &Bytes) -> Vec<Vec<Bytes>> {
    let mut forms = Vec::new();
    let Some(root) = json::parse(body) else { return forms };
    let payload = [(b"payload".to_vec(), body.to_vec())];
    let members = match root {
        Node::Object(members) => members,
        Node::Array(_) | Node::Text(_) | Node::Number(_) | Node::Word(_) => Vec::new(),
    };
    let flat: Option<Vec<_>> = members.iter().map(|(name, value)| Some((json::plain(name)?, flat(value)?))).collect();
    let flat = flat.filter(|pairs| !pairs.is_empty());
    for writing in WRITINGS {
        forms.push(vec![writing.form(&payload)]);
        forms.extend(flat.as_ref().map(|pairs| vec![writing.form(pairs)]));
    }
    forms
}

fn flat(value: &Node<'_>) -> Option<Vec<u8>> {
    match value {
        Node::Text(raw) => json::plain(raw),
        Node::Number(text) | Node::Word(text) => Some(text.as_bytes().to_vec()),
        Node::Object(_) | Node::Array(_) => None,
    }
}

/// A form arrived; the JSON in one of its fields was signed.
pub(super) fn encoded(body: &Bytes) -> Vec<Vec<Bytes>> {
    let values = pairs(body).unwrap_or_default().into_iter().map(|(_, value)| value);
    values.filter(|value| matches!(value.first(), Some(b'{' | b'['))).take(4).map(|value| vec![value.into()]).collect()
}

/// A form arrived; the same form, written in another way, was signed.
pub(super) fn rewritten(body: &Bytes) -> Vec<Vec<Bytes>> {
    let Some(pairs) = pairs(body) else { return Vec::new() };
    WRITINGS.iter().map(|writing| vec![writing.form(&pairs)]).collect()
}
