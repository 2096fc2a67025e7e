//! What the HTTP/1 guard checks and HTTP/2's own framing does not: the same rules, for requests that come by streams.
//!
//! hyper and h2 have refused most malformed fields, connection-specific ones and unequal lengths by now (RFC 9113 §8.2, §8.3),
//! and the `http` crate has cut a `#fragment` off `:path`: what is judged and forwarded is what is left. Must never forward
//! what HTTP/1 would not carry.

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderValue};
use http::{Request, Uri};

use crate::check::{framing, header_value};
use crate::plan::Plan;
use crate::reject::Reject;

/// Step 1 of the gate for one stream. Makes the headers those of HTTP/1.1: one `Host`, one `Cookie`, no white space around values.
///
/// # Errors
/// The reject, and which rule was broken.
pub(crate) fn framing<B>(plan: &Plan, request: &mut Request<B>) -> Result<(), (Reject, &'static str)> {
    // Where there is no `:path`, h2 has an empty one: it reads as `/`, and would be written as nothing at all.
    let target = request.uri().path_and_query().map(|target| Uri::from(target.clone()));
    if target.is_none_or(|target| target.path().is_empty()) {
        return Err((Reject::BadTarget, "no `:path` (RFC 9113 §8.3.1)"));
    }
    let headers = request.headers();
    if headers.len() > plan.limits.max_headers {
        return Err((Reject::HeadTooLarge, "more field lines than `limits.max_headers` (RFC 9110 §5.4)"));
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next()
        && (lengths.next().is_some()
            || !(1..=18).contains(&length.len())
            || !length.as_bytes().iter().all(u8::is_ascii_digit))
    {
        return Err((Reject::Framing, "Content-Length is not 1 to 18 digits, once (RFC 9110 §8.6)"));
    }
    let mut expectations = headers.get_all(EXPECT).iter();
    if let Some(expect) = expectations.next()
        && (expectations.next().is_some() || !expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err((Reject::Framing, "Expect is not exactly `100-continue`, once (RFC 9110 §10.1.1)"));
    }
    // h2 takes what the `http` crate takes for a name, `"` included; hyper would write it to the app as it is.
    if !headers.keys().all(|name| framing::is_field_name(name.as_str())) {
        return Err((Reject::Framing, "a field name is not a token (RFC 9110 §5.1)"));
    }
    let is_alias = |name: &str| {
        name.contains('_') && ["content-length", "transfer-encoding", "host"].contains(&&*name.replace('_', "-"))
    };
    if headers.keys().any(|name| is_alias(name.as_str())) {
        return Err((
            Reject::Framing,
            "a field name that equals a framing field when `_` is read as `-` (RFC 3875 §4.1.18)",
        ));
    }
    let host =
        host(request).ok_or((Reject::Framing, "`:authority` and `host` must be one plain host (RFC 9113 §8.3.1)"))?;
    header_value::trim(request.headers_mut());
    request.headers_mut().insert(HOST, host);
    join_cookies(request.headers_mut());
    Ok(())
}

fn host<B>(request: &Request<B>) -> Option<HeaderValue> {
    let authority = request.uri().authority().map(|authority| HeaderValue::try_from(authority.as_str()));
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let agreed = match (authority, host) {
        (Some(Ok(authority)), None) => Some(authority),
        (Some(Ok(authority)), Some(host)) if authority == *host => Some(authority),
        (None, Some(host)) => Some(host.clone()),
        _ => None,
    };
    agreed.filter(|host| more.is_none() && is_plain_host(host))
}

/// HTTP/2 may split `Cookie` into crumbs, which HTTP/1.1 must not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, whole);
    }
}

fn is_plain_host(host: &HeaderValue) -> bool {
    let bytes = host.as_bytes();
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(byte))
}
