//! The plain fields of a `multipart/form-data` body, for senders that put their signature into one.
//!
//! Strict: no preamble, no folded or repeated header, no second part of the same name, nothing after the end. Must never
//! decode a part, nor take a file for a field. Sources: RFC 7578 §4, RFC 2046 §5.1.

use memchr::memmem;

/// Most parts of a body.
const MAX_PARTS: usize = 1000;

/// A part of the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'b> {
    pub(super) name: &'b str,
    pub(super) content: &'b [u8],
    /// Neither a file nor in a transfer encoding.
    pub(super) is_plain: bool,
}

/// All parts. `None`: not a form as RFC 7578 has it, or too many.
pub(super) fn read<'b>(body: &'b [u8], boundary: &[u8]) -> Option<Vec<Part<'b>>> {
    let delimiter = [b"\r\n--", boundary].concat();
    let mut rest = body.strip_prefix(delimiter.get(2..)?)?;
    let mut parts = Vec::new();
    loop {
        if matches!(rest, b"--" | b"--\r\n") {
            return Some(parts);
        }
        let part = rest.strip_prefix(b"\r\n")?;
        let end = memmem::find(part, &delimiter)?;
        if parts.len() >= MAX_PARTS {
            return None;
        }
        parts.push(parse(part.get(..end)?)?);
        rest = part.get(end.checked_add(delimiter.len())?..)?;
    }
}

/// The text of the plain field of this name, if no other part has the name.
pub(super) fn once<'b>(parts: &[Part<'b>], name: &str) -> Option<&'b str> {
    let mut named = parts.iter().filter(|part| part.name.eq_ignore_ascii_case(name));
    let part = named.next()?;
    let is_alone = named.next().is_none();
    (is_alone && part.is_plain && part.name == name).then(|| std::str::from_utf8(part.content).ok())?
}

fn parse(part: &[u8]) -> Option<Part<'_>> {
    let end = memmem::find(part, b"\r\n\r\n")?;
    let (head, content) = (part.get(..end)?, part.get(end.checked_add(4)?..)?);
    let head = std::str::from_utf8(head).ok()?;
    let (mut disposition, mut encoding) = (None, None);
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return None;
        }
        if value.contains(['\r', '\n', '\0']) {
            return None;
        }
        let slot = match name.to_ascii_lowercase().as_str() {
            "content-disposition" => &mut disposition,
            "content-transfer-encoding" => &mut encoding,
            _ => continue,
        };
        if slot.replace(value.trim()).is_some() {
            return None;
        }
    }
    let (name, is_file) = disposed(disposition?)?;
    let is_identity = encoding.is_none_or(|encoding: &str| {
        ["7bit", "8bit", "binary"].iter().any(|identity| encoding.eq_ignore_ascii_case(identity))
    });
    Some(Part { name, content, is_plain: is_identity && !is_file })
}

/// `form-data; name="json"`: the name, and whether there is a file name too.
fn disposed(value: &str) -> Option<(&str, bool)> {
    let kind = value.get(..9).filter(|kind| kind.eq_ignore_ascii_case("form-data"))?;
    let mut rest = value.get(kind.len()..)?.trim_start();
    let (mut name, mut is_file) = (None, false);
    while !rest.is_empty() {
        let (key, after) = rest.strip_prefix(';')?.split_once('=')?;
        let quoted = after.strip_prefix('"')?;
        let end = closing_quote(quoted)?;
        let text = quoted.get(..end)?;
        rest = quoted.get(end.checked_add(1)?..)?.trim_start();
        let key = key.trim();
        if key.eq_ignore_ascii_case("name") {
            // An escape would be one name to some parsers and another one to others.
            if name.replace(text).is_some() || text.contains(['\\', '%']) {
                return None;
            }
        } else if key.to_ascii_lowercase().starts_with("filename") {
            is_file = true;
        } else {
            return None;
        }
    }
    Some((name?, is_file))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(parts: &[(&str, &str)]) -> String {
        let mut parts: Vec<_> =
            parts.iter().map(|(head, content)| format!("--XX\r\n{head}\r\n\r\n{content}\r\n")).collect();
        parts.push("--XX--\r\n".to_owned());
        parts.concat()
    }

    fn json(body: &str) -> Option<&str> {
        once(&read(body.as_bytes(), b"XX")?, "json")
    }

    const NAMED: &str = "Content-Disposition: form-data; name=\"json\"";

    #[test]
    fn finds_the_one_plain_field() {
        assert_eq!(json(&body(&[(NAMED, "{}")])), Some("{}"));
        assert_eq!(json(&body(&[("content-disposition:form-data;name=\"json\"", "{}")])), Some("{}"));
        let other = "Content-Disposition: form-data; name=\"file\"; filename=\"a\\\"; name=\\\"json\"";
        assert_eq!(json(&body(&[(other, "x\r\n--X\r\n"), (NAMED, "a\r\nb")])), Some("a\r\nb"));
        assert_eq!(json(&body(&[(&format!("Content-Transfer-Encoding: 8bit\r\n{NAMED}"), "{}")])), Some("{}"));
        assert_eq!(json(&body(&[(NAMED, "")])), Some(""));
        assert_eq!(json(body(&[(NAMED, "{}")]).trim_end()), Some("{}"));
    }

    #[test]
    fn what_could_be_another_field_to_another_parser_is_none() {
        let header = |line: &str| body(&[(line, "{}")]);
        for body in [
            String::new(),
            "--XX--".to_owned(),
            body(&[(NAMED, "{}"), (NAMED, "{}")]),
            body(&[(NAMED, "{}"), (&NAMED.replace("json", "JSON"), "{}")]),
            body(&[(NAMED, "{}"), (&format!("{NAMED}; filename=\"x\""), "{}")]),
            body(&[(NAMED, "{}"), (&NAMED.replace("json", "js\\on"), "{}")]),
            body(&[(NAMED, "{}"), (&NAMED.replace("json", "%6ason"), "{}")]),
            header(&format!("{NAMED}; filename=\"x\"")),
            header(&format!("{NAMED}; filename*=\"x\"")),
            header(&format!("{NAMED}; name=\"x\"")),
            header(&format!("{NAMED}; name*=\"x\"")),
            header(&format!("{NAMED}\r\nContent-Transfer-Encoding: base64")),
            header(&format!("{NAMED}\r\n{NAMED}")),
            header(&format!("{NAMED}\r\n x: y")),
            header(&format!("{NAMED}\r\nx")),
            header(&format!("{NAMED}\nx: y")),
            header("Content-Disposition: form-data; name=json"),
            header("Content-Disposition: form-data; name=\"js\\on\""),
            header("Content-Disposition: form-data; name=\"JSON\""),
            header("Content-Disposition: attachment; name=\"json\""),
            header("Content-Disposition: form-data"),
            header("Content-Type: text/plain"),
            format!("preamble\r\n{}", header(NAMED)),
            format!("{}x", header(NAMED)),
            header(NAMED).replace("\r\n", "\n"),
            header(NAMED).replace("--XX--", "--XX"),
            header(NAMED).replace("--XX\r\n", "--XX \r\n"),
        ] {
            assert_eq!(json(&body), None, "{body}");
        }
        assert_eq!(json(&header(NAMED)), Some("{}"));
    }

    #[test]
    fn a_field_that_is_not_utf_8_is_none() {
        let body = [b"--XX\r\n".as_slice(), NAMED.as_bytes(), b"\r\n\r\n\xff\r\n--XX--"].concat();
        assert_eq!(once(&read(&body, b"XX").unwrap(), "json"), None);
    }

    #[test]
    fn takes_a_thousand_parts_and_no_more() {
        let many = |count: usize| body(&vec![("Content-Disposition: form-data; name=\"a\"", ""); count]);
        assert_eq!(read(many(MAX_PARTS).as_bytes(), b"XX").map(|parts| parts.len()), Some(MAX_PARTS));
        assert_eq!(read(many(MAX_PARTS + 1).as_bytes(), b"XX"), None);
    }
}
