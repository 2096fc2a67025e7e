//! The name of one request: in its access line, in our refusals, and in what the app gets (`x-request-id`).
//!
//! A trusted proxy may have given it one, so that its log and ours can be joined; nobody else's is believed, or a stranger
//! could give two requests one name. No specification: `X-Request-ID` is what Envoy, nginx and Heroku send. Must never hold a
//! byte that means something in a log line, in JSON or in a header.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock;

/// Where proxies write it, and where the app finds it.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over, in bytes.
const LONGEST: usize = 128;

/// Names one request. Not secret; one of our own is not the same in another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestId {
    /// Sixteen hex digits.
    Own(u64),
    /// A trusted proxy's.
    Proxy(HeaderValue),
}

impl RequestId {
    pub(super) fn next() -> Self {
        static FIRST: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let first = *FIRST.get_or_init(|| RandomState::new().hash_one(clock::unix_now_millis()));
        Self::Own(first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// What a trusted proxy calls the request. `None`: nothing, more than one thing, or nothing that is fit to be logged.
    pub(crate) fn of_proxy(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/+=@-".contains(byte);
        let is_fit = (1..=LONGEST).contains(&value.len()) && value.as_bytes().iter().all(is_plain);
        is_fit.then(|| Self::Proxy(value.clone()))
    }

    /// For the app.
    pub(crate) fn header(&self) -> HeaderValue {
        match self {
            Self::Own(number) => {
                HeaderValue::from_bytes(&digits(*number)).unwrap_or_else(|_| HeaderValue::from_static("-"))
            }
            Self::Proxy(value) => value.clone(),
        }
    }

    /// Its text, without an allocation.
    pub(super) fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Own(number) => take(std::str::from_utf8(&digits(*number)).unwrap_or_default()),
            Self::Proxy(value) => take(value.to_str().unwrap_or_default()),
        }
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

/// Sixteen hex digits.
fn digits(number: u64) -> [u8; 16] {
    let mut digits = [b'0'; 16];
    for (digit, shift) in digits.iter_mut().rev().zip((0..64).step_by(4)) {
        let nibble = u8::try_from((number >> shift) & 15).unwrap_or(0);
        *digit = if nibble < 10 { b'0'.wrapping_add(nibble) } else { b'a'.wrapping_add(nibble.wrapping_sub(10)) };
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_REQUEST_ID, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        RequestId::of_proxy(&headers).map(|id| id.to_string())
    }

    #[test]
    fn our_own_differ_and_are_sixteen_digits() {
        let (one, other) = (RequestId::next(), RequestId::next());
        assert_ne!(one, other);
        assert_eq!(RequestId::Own(0x0123_4567_89ab_cdef).to_string(), "0123456789abcdef");
        assert_eq!(RequestId::Own(0).header(), "0000000000000000");
    }

    #[test]
    fn takes_what_proxies_send() {
        let long = "a".repeat(LONGEST);
        for id in
            ["a", "7f0c0c5b-3b2e-4b8e-9a56-0c1f2f3a4b5c", "1-67891233-abcdef012345678912345678", "Az09._:/+=@-", &long]
        {
            assert_eq!(of(&[id]).as_deref(), Some(id));
        }
    }

    #[test]
    fn takes_nothing_that_is_empty_too_long_repeated_or_could_forge_a_line() {
        let long = "a".repeat(LONGEST + 1);
        for id in ["", &long, "a b", "a,b", "a\"", "a\\", "a;b", "a\tb", "{a}", "é", "a'b", "a%0a", "<b>"] {
            assert_eq!(of(&[id]), None, "{id:?}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["a", "a"]), None);
    }
}
