//! What a body is, as its `Content-Type` says.
//!
//! For schemes whose signature is inside of the body, or covers the decoded body. Must never guess from the body itself: the
//! app does not either. Sources: RFC 9110 §8.3, RFC 7578 §4.1.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

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
    /// Anything else.
    Other,
}

impl Media {
    /// # Errors
    /// `header_repeated`: two readers could see two kinds.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let mut values = headers.get_all(CONTENT_TYPE).iter();
        let Some(value) = values.next() else { return Ok(Self::Json) };
        if values.next().is_some() {
            return Err(Failure::at(Reject::HeaderRepeated, &CONTENT_TYPE));
        }
        Ok(value.to_str().map_or(Self::Other, Self::parse))
    }

    fn parse(value: &str) -> Self {
        let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "multipart/form-data" => {
                boundary(parameters).map_or(Self::Other, |boundary| Self::Multipart(boundary.into()))
            }
            "application/json" => Self::Json,
            _ if essence.starts_with("application/") && essence.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
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
            ("text/plain", Media::Other),
            ("application/json, text/plain", Media::Other),
            ("", Media::Other),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(Media::of(&headers), Ok(expected), "{value}");
        }
        assert_eq!(Media::of(&HeaderMap::new()), Ok(Media::Json));
    }

    #[test]
    fn two_kinds_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert_eq!(Media::of(&headers), Err(Failure::at(Reject::HeaderRepeated, &CONTENT_TYPE)));
    }
}
