//! Values of headers as HTTP/1.1 carries them.
//!
//! White space around a value is no part of it (RFC 9110 §5.5), and whoever reads HTTP/1.1 has dropped it. HTTP/2 forbids it
//! (RFC 9113 §8.2.1), but `h2` lets it pass: a signed id would then have a second spelling, under which the same delivery runs
//! again. Must never change what is inside.

use http::{HeaderMap, HeaderValue};

/// Drops spaces and tabs around every value.
pub(crate) fn trim(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let plain = value.as_bytes().trim_ascii();
        if plain.len() != value.len()
            && let Ok(plain) = HeaderValue::from_bytes(plain)
        {
            *value = plain;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_dropped_around_a_value_and_kept_within() {
        for (sent, kept) in
            [("a", "a"), (" \ta\t ", "a"), ("a \t b", "a \t b"), (" ", ""), ("", ""), ("\u{a0}a", "\u{a0}a")]
        {
            let mut headers = HeaderMap::new();
            headers.append("x", "b ".parse().unwrap());
            headers.append("x", HeaderValue::from_bytes(sent.as_bytes()).unwrap());
            trim(&mut headers);
            assert_eq!(headers.get_all("x").iter().collect::<Vec<_>>(), [&b"b"[..], kept.as_bytes()], "{sent:?}");
        }
    }
}
