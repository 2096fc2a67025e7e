//! What came back, for people: status, time, answer, and what a refusal of hookward's means.
//!
//! An answer is another program's text: must never reach a terminal with control characters in it.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;

use crate::reject::Reject;

/// How much of an answer is shown, bytes.
const SHOWN: usize = 2 << 10;

/// `401 Unauthorized in 3 ms`.
pub(super) fn status(answer: &Response<Bytes>, took: Duration) -> String {
    let status = answer.status();
    let reason = status.canonical_reason().unwrap_or_default();
    format!("{} {reason} in {} ms", status.as_u16(), took.as_millis())
}

/// The row of the reject table, if hookward itself refused.
pub(super) fn reject(answer: &Response<Bytes>) -> Option<Reject> {
    let kind = answer.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    if !kind.starts_with("application/problem+json") {
        return None;
    }
    let problem: serde_json::Value = serde_json::from_slice(answer.body()).ok()?;
    let code = problem.get("code")?.as_str()?;
    Reject::ALL.iter().copied().find(|reject| reject.code() == code)
}

/// The answer's beginning, and what to do about a refusal.
pub(super) fn body(answer: &Response<Bytes>) -> String {
    let mut text = printable(answer.body());
    if let Some(reject) = reject(answer) {
        // Writing into a `String` cannot fail.
        let _ = write!(text, "\n{}: {}\n  fix: {}", reject.code(), reject.title(), reject.fix());
    }
    text
}

fn printable(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    let rest = bytes.len().saturating_sub(shown.len());
    let mut text: String = String::from_utf8_lossy(shown)
        .chars()
        .map(|letter| if is_plain(letter) { letter } else { '\u{fffd}' })
        .collect();
    if rest > 0 {
        let _ = write!(text, "\n… {rest} bytes more");
    }
    text
}

/// Neither a control character nor one that turns the direction of writing.
fn is_plain(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter == '\n' || letter == '\t' || !(letter.is_control() || turns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_control_character_and_no_more_than_the_beginning() {
        assert_eq!(printable(b"\x1b[31mred\r\n\xff"), "\u{fffd}[31mred\u{fffd}\n\u{fffd}");
        assert_eq!(printable("a\u{202e}b\u{9b}".as_bytes()), "a\u{fffd}b\u{fffd}");
        let long = vec![b'x'; SHOWN + 3];
        assert!(printable(&long).ends_with("x\n… 3 bytes more"));
        assert_eq!(printable(&long[..SHOWN]).len(), SHOWN);
    }

    #[test]
    fn explains_hookwards_own_refusals_alone() {
        let answer = |kind: &str, code: &str| {
            let body = Bytes::from(format!(r#"{{"code":"{code}"}}"#));
            Response::builder().status(401).header(CONTENT_TYPE, kind).body(body).unwrap()
        };
        let refused = answer("application/problem+json", "signature_mismatch");
        assert_eq!(reject(&refused), Some(Reject::SignatureMismatch));
        assert!(body(&refused).contains(Reject::SignatureMismatch.fix()));
        assert_eq!(reject(&answer("application/json", "signature_mismatch")), None);
        assert_eq!(reject(&answer("application/problem+json", "made_up")), None);
        assert_eq!(status(&refused, Duration::from_millis(3)), "401 Unauthorized in 3 ms");
    }
}
