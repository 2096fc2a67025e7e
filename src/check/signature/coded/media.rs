//! What a body is, as its `Content-Type` says.
//!
//! For schemes whose signature is inside of the body, or covers the decoded body: whoever reads it as something else than we do
//! may find other fields in it. Must never guess from the body itself: the app does not either. Must never pass what an app may
//! decode before it reads: `Content-Type` and `Content-Encoding` are not signed, and text in UTF-7 looks like other text.
//! Sources: RFC 9110 §8.3 and §8.4, RFC 7578 §4.1, RFC 2152.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::check::signature::Failure;
use crate::reject::Reject;

/// The kinds of bodies that senders use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`, `…+json`, or not said.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data` with its boundary.
    Multipart(Box<[u8]>),
    /// `text/plain`.
    Text,
    /// Anything else, or in other characters than UTF-8.
    Other,
}

impl Media {
    /// # Errors
    /// `header_repeated`: two readers could see two kinds. `header_malformed`: the body is encoded (compressed, say).
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        if headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Failure::at(Reject::HeaderMalformed, &CONTENT_ENCODING));
        }
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        let Some(value) = values.next() else { return Ok(Self::Json) };
        if values.next().is_some() {
            return Err(Failure::at(Reject::HeaderRepeated, &CONTENT_TYPE));
        }
        Ok(value.to_str().map_or(Self::Other, Self::parse))
    }

    /// As [`Self::of`], where these kinds are all that the sender has.
    ///
    /// # Errors
    /// `header_malformed` for another kind, too.
    pub(super) fn one_of(headers: &HeaderMap, kinds: &[Self]) -> Result<(), Failure> {
        let is_known = kinds.contains(&Self::of(headers)?);
        if is_known { Ok(()) } else { Err(Failure::at(Reject::HeaderMalformed, &CONTENT_TYPE)) }
    }

    fn parse(value: &str) -> Self {
        let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
        if !is_utf8(parameters) {
            return Self::Other;
        }
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "multipart/form-data" => {
                boundary(parameters).map_or(Self::Other, |boundary| Self::Multipart(boundary.into()))
            }
            "application/json" => Self::Json,
            "text/plain" => Self::Text,
            _ if essence.starts_with("application/") && essence.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
    }
}

/// Whether nobody can find another charset in these than UTF-8, or a part of it: named at most once, and in the usual form.
fn is_utf8(parameters: &str) -> bool {
    let parameters = parameters.to_ascii_lowercase();
    let is_usual = |parameter: &str| {
        let value = parameter.trim().strip_prefix("charset=")?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        matches!(value, "utf-8" | "utf8" | "us-ascii").then_some(())
    };
    match parameters.matches("charset").count() {
        0 => true,
        1 => parameters.split(';').any(|parameter| is_usual(parameter).is_some()),
        _ => false,
    }
}

/// The boundary, if it is there once and has one of the characters of RFC 2046 §5.1.1 that need no thought.
fn boundary(parameters: &str) -> Option<&[u8]> {
    let mut found = None;
    for parameter in parameters.split(';') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !name.trim().eq_ignore_ascii_case("boundary") {
            continue;
        }
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
        if found.is_some() || !(1..=70).contains(&value.len()) || !value.bytes().all(is_plain) {
            return None;
        }
        found = Some(value.as_bytes());
    }
    found
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn tells_the_kinds_apart() {
        let multipart = |boundary: &str| Media::Multipart(boundary.as_bytes().into());
        for (value, expected) in [
            ("application/json", Media::Json),
            ("Application/JSON; charset=utf-8", Media::Json),
            ("application/vnd.x.v1+json", Media::Json),
            ("application/x-www-form-urlencoded", Media::Form),
            ("application/X-WWW-Form-Urlencoded ;charset=UTF-8", Media::Form),
            ("multipart/form-data; boundary=abc", multipart("abc")),
            ("multipart/form-data; charset=utf-8; Boundary=\"a:b'c\"", multipart("a:b'c")),
            ("multipart/form-data", Media::Other),
            ("multipart/form-data; boundary=", Media::Other),
            ("multipart/form-data; boundary=\"\"", Media::Other),
            ("multipart/form-data; boundary=a; boundary=b", Media::Other),
            ("multipart/form-data; boundary=\"a\\\"b\"", Media::Other),
            ("multipart/mixed; boundary=a", Media::Other),
            ("text/plain; charset=UTF-8", Media::Text),
            ("application/json, text/plain", Media::Other),
            ("application/json;charset=\"utf-8\"", Media::Json),
            ("application/json; Charset=utf8", Media::Json),
            ("application/json; charset=us-ascii; v=1", Media::Json),
            ("application/json; charset=utf-7", Media::Other),
            ("application/json; charset=UTF-16", Media::Other),
            ("application/json; charset=iso-8859-1", Media::Other),
            ("application/json; charset=", Media::Other),
            ("application/json; charset =utf-7", Media::Other),
            ("application/json; charset*=utf-8''utf-7", Media::Other),
            ("application/json; charset=utf-8; charset=utf-7", Media::Other),
            ("application/json; charset=utf-8; Charset=utf-8", Media::Other),
            ("application/json; x=\"; charset=utf-8", Media::Json),
            ("application/json; x=\";charset=utf-8;\"; charset=utf-7", Media::Other),
            ("application/x-www-form-urlencoded; charset=utf-7", Media::Other),
            ("multipart/form-data; charset=utf-7; boundary=abc", Media::Other),
            ("text/plain; charset=utf-7", Media::Other),
            ("", Media::Other),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(Media::of(&headers), Ok(expected), "{value}");
        }
        assert_eq!(Media::of(&HeaderMap::new()), Ok(Media::Json));
    }

    #[test]
    fn what_is_encoded_is_refused() {
        let coded = |coding: &'static str| {
            let headers = [(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, coding)];
            Media::of(&headers.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect())
        };
        assert_eq!(coded("identity"), Ok(Media::Json));
        assert_eq!(coded("Identity"), Ok(Media::Json));
        for coding in ["gzip", "br", "deflate", "identity, gzip", "x", ""] {
            assert_eq!(coded(coding), Err(Failure::at(Reject::HeaderMalformed, &CONTENT_ENCODING)), "{coding}");
        }
    }

    #[test]
    fn only_what_the_sender_has_is_taken() {
        let typed = |value| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
        let kinds = [Media::Json, Media::Text];
        assert_eq!(Media::one_of(&typed("text/plain"), &kinds), Ok(()));
        assert_eq!(Media::one_of(&HeaderMap::new(), &kinds), Ok(()));
        let wrong = Err(Failure::at(Reject::HeaderMalformed, &CONTENT_TYPE));
        assert_eq!(Media::one_of(&typed("application/x-www-form-urlencoded"), &kinds), wrong);
        assert_eq!(Media::one_of(&typed("text/plain; charset=utf-7"), &kinds), wrong);
    }

    #[test]
    fn two_kinds_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert_eq!(Media::of(&headers), Err(Failure::at(Reject::HeaderRepeated, &CONTENT_TYPE)));
    }
}
