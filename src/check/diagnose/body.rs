//! The body: what else could have been signed, short of JSON written anew.
//!
//! One table; each row makes candidates of what arrived. Must never rewrite a body above the bench's limit.

use bytes::Bytes;

use super::bench::Bench;
use super::json;
use super::{charset, form, lines, packed};

/// Bytes from the end at which a cut is tried, each of them.
const LAST: usize = 64;
/// Line breaks at which a cut is tried, from the end.
const MOST_LINES: usize = 16;

/// A way in which bodies change.
struct Change {
    code: &'static str,
    finding: &'static str,
    fix: &'static str,
    candidates: fn(&Bytes) -> Vec<Vec<Bytes>>,
}

const RAW: &str = "Let the raw bytes through, from the sender to here, and save them as they are.";

/// Cheap, whatever the body's size.
const CHEAP: &[Change] = &[
    Change {
        code: "body_newline_lost",
        finding: "The sender signed the body with a final line break; it is missing here.",
        fix: "Look for what trims the body on the way, or for an editor or shell that saved it without (`$(…)`).",
        candidates: lines::with_newline,
    },
    Change {
        code: "body_newline_gained",
        finding: "The sender signed the body without the line break that it ends with here.",
        fix: "Look for what adds it: an editor, `echo`, or a here-document that saved the body.",
        candidates: lines::without_newline,
    },
    Change {
        code: "body_line_endings",
        finding: "The sender signed the body with other line endings: CRLF became LF, or the reverse.",
        fix: "Switch off the conversion: text mode, `core.autocrlf`, `curl --data` (use `--data-binary`).",
        candidates: lines::other_line_ends,
    },
    Change {
        code: "body_bom_gained",
        finding: "The sender signed the body without the byte order mark that it begins with here.",
        fix: "Save the body as UTF-8 without a byte order mark.",
        candidates: lines::without_bom,
    },
    Change {
        code: "body_bom_lost",
        finding: "The sender signed the body with a byte order mark in front; it is missing here.",
        fix: RAW,
        candidates: lines::with_bom,
    },
    Change {
        code: "body_space_gained",
        finding: "The sender signed the body without the white space around it.",
        fix: RAW,
        candidates: lines::trimmed,
    },
];

const REST: &[Change] = &[
    Change {
        code: "body_compressed",
        finding: "The sender signed the plain body; it arrives compressed.",
        fix: "Let the sender send it uncompressed, or sign what it sends.",
        candidates: packed::unpacked,
    },
    Change {
        code: "body_chunked",
        finding: "The sender signed the body alone; here, the sizes of its chunks are still in between.",
        fix: "Decode `transfer-encoding: chunked` before saving or passing on the body.",
        candidates: packed::without_chunk_sizes,
    },
    Change {
        code: "body_form_encoded",
        finding: "The sender signed the JSON; it arrives inside of a form.",
        fix: "Set the sender's content type to `application/json`, and look for what puts JSON into a form.",
        candidates: form::encoded,
    },
    Change {
        code: "body_form_decoded",
        finding: "The sender signed a form; it arrives decoded, as JSON.",
        fix: "Let the form through as it is, or set the sender's content type to `application/json`.",
        candidates: form::decoded,
    },
    Change {
        code: "body_form_rewritten",
        finding: "The sender signed this form in another spelling: `+` or `%20`, upper or lower case, other letters escaped.",
        fix: "Something parses the form and writes it again: let the raw bytes through.",
        candidates: form::rewritten,
    },
    Change {
        code: "body_appended",
        finding: "The sender signed only the beginning of this body; bytes were added after it.",
        fix: "Compare the length with what the sender sends: a banner, padding or a second message was added on the way.",
        candidates: cut,
    },
    Change {
        code: "body_truncated",
        finding: "The sender signed a longer body; the closing brackets are missing here.",
        fix: "Compare with `content-length`: the body was cut off on the way, or when it was saved.",
        candidates: completed,
    },
    Change {
        code: "body_was_empty",
        finding: "The sender signed an empty body.",
        fix: "Let the sender sign the body that it sends: it was probably read before signing, or not yet there.",
        candidates: |_| vec![Vec::new()],
    },
    Change {
        code: "body_placeholder",
        finding: "The sender signed a placeholder such as `{}`, `null`, `undefined` or `[object Object]`, not this body.",
        fix: "Let the sender sign the text that it sends: it signs an object that was never turned into text, or an empty one.",
        candidates: |_| {
            ["{}", "null", "undefined", "[object Object]", "\"\"", "[]", "None", "nil"]
                .map(|text| vec![Bytes::from_static(text.as_bytes())])
                .into()
        },
    },
    Change {
        code: "body_stringified",
        finding: "The sender signed this JSON without, or within, a JSON string.",
        fix: "Look for `JSON.stringify` of what is a string already.",
        candidates: packed::restringed,
    },
    Change {
        code: "body_base64",
        finding: "The sender signed the body before it was put into base64, or the base64 that it was taken out of.",
        fix: "Decode the body first (a cloud function's `isBase64Encoded`), or let the raw bytes through.",
        candidates: packed::rebased,
    },
    Change {
        code: "body_charset",
        finding: "The sender signed the body in another character set: UTF-8 was taken for Latin-1, or the reverse.",
        fix: "Treat the body as bytes, never as text.",
        candidates: charset::changed,
    },
    Change {
        code: "body_decompressed",
        finding: "The sender signed the compressed body; it arrives decompressed.",
        fix: "Switch off decompression in front of hookward: the signature covers the compressed bytes.",
        candidates: packed::packed,
    },
];

pub(super) fn try_cheap(bench: &mut Bench<'_, '_>) {
    try_table(bench, CHEAP);
}

pub(super) fn try_rest(bench: &mut Bench<'_, '_>) {
    if bench.may_rewrite() {
        try_table(bench, REST);
    }
}

fn try_table(bench: &mut Bench<'_, '_>, table: &[Change]) {
    if !bench.can_try_bodies() {
        return;
    }
    let body = bench.body.clone();
    for change in table {
        if bench.is_over() {
            return;
        }
        if (change.candidates)(&body).iter().any(|candidate| bench.body_fits(candidate)) {
            bench.found(change.code, change.finding.to_owned(), change.fix.to_owned());
        }
    }
}

/// The body's beginnings: up to the end of the JSON, to a line break, to each of the last bytes.
fn cut(body: &Bytes) -> Vec<Vec<Bytes>> {
    let end_of_json = json::first(body).and_then(|(_, rest)| body.len().checked_sub(rest.len()));
    let breaks = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let breaks = breaks.take(MOST_LINES).flat_map(|at| [at, at.saturating_add(1)]);
    let last = (1..=LAST).filter_map(|less| body.len().checked_sub(less));
    let ends = end_of_json.into_iter().chain(breaks).chain(last).filter(|end| *end > 0 && *end < body.len());
    ends.map(|end| vec![body.slice(..end)]).collect()
}

/// The body with the brackets that would close it.
fn completed(body: &Bytes) -> Vec<Vec<Bytes>> {
    let mut open = Vec::new();
    let (mut in_string, mut escaped) = (false, false);
    for byte in body {
        match byte {
            b'"' if !escaped => in_string = !in_string,
            b'{' if !in_string => open.push(b'}'),
            b'[' if !in_string => open.push(b']'),
            b'}' | b']' if !in_string && open.pop() != Some(*byte) => return Vec::new(),
            _ => {}
        }
        escaped = in_string && *byte == b'\\' && !escaped;
    }
    if open.is_empty() || open.len() > LAST {
        return Vec::new();
    }
    open.reverse();
    let mut closing: Vec<Vec<u8>> = Vec::new();
    let quote = if in_string { "\"" } else { "" };
    for end in ["", "\n"] {
        closing.push([quote.as_bytes(), &open, end.as_bytes()].concat());
    }
    closing.into_iter().map(|closing| vec![body.clone(), closing.into()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endings(body: &str) -> Vec<String> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        completed(&body).iter().map(|parts| String::from_utf8(parts[1].to_vec()).unwrap()).collect()
    }

    #[test]
    fn closes_what_is_open_and_nothing_else() {
        assert_eq!(endings(r#"{"a":[1"#), ["]}", "]}\n"]);
        assert_eq!(endings(r#"{"a":[1],"b":{"#), ["}}", "}}\n"]);
        // In a string a bracket is a letter, and so is an escaped quote.
        assert_eq!(endings(r#"["{","]""#), ["]", "]\n"]);
        assert_eq!(endings(r#"{"a":"b"#), ["\"}", "\"}\n"]);
        assert_eq!(endings(r#"{"a":"b\"["#), ["\"}", "\"}\n"]);
        assert_eq!(endings(r#"{"a":"b\\""#), ["}", "}\n"]);
        assert_eq!(endings(r#"[\"a"#), ["\"]", "\"]\n"]);
    }

    #[test]
    fn does_not_close_what_is_closed_or_no_json() {
        for body in ["", "1", "{}", "[{}]", "}", "{]", "[}", "{\"a\":]"] {
            assert_eq!(endings(body), [""; 0], "{body}");
        }
        assert_eq!(endings(&"[".repeat(LAST)).len(), 2);
        assert_eq!(endings(&"[".repeat(LAST + 1)).len(), 0);
    }

    #[test]
    fn a_beginning_is_never_the_whole_and_never_nothing() {
        for body in ["{}", "{}x", "{}\n", "\n", "a\nb", "", "x"] {
            let body = Bytes::copy_from_slice(body.as_bytes());
            for parts in cut(&body) {
                assert!(parts.len() == 1 && !parts[0].is_empty() && parts[0].len() < body.len(), "{body:?}");
            }
        }
    }
}
