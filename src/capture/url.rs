//! URLs as captures have them: the absolute one, the path and query, and percent-encoding.
//!
//! Source: RFC 3986 §2.1, §3. Must never re-write a path or query: a signature may cover it to the byte.

use super::problem::Fault;

/// Begins with `http://` or `https://`.
pub(super) fn is_absolute(text: &[u8]) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes())))
}

/// A request target or a URL: the absolute URL without user and fragment, if it is one, and the path and query.
pub(super) fn target(text: &str) -> Result<(Option<String>, String), Fault> {
    if text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
        return Err(Fault::Target);
    }
    if text.starts_with('/') || text == "*" {
        return Ok((None, text.to_owned()));
    }
    let url = Url::read(text).ok_or(Fault::Target)?;
    Ok((Some(url.absolute()), url.target()))
}

/// An absolute URL in its parts, as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Url<'a> {
    scheme: &'static str,
    /// `user:password`, not decoded.
    pub(super) user: Option<&'a str>,
    /// Host and port.
    pub(super) authority: &'a str,
    path: &'a str,
}

impl<'a> Url<'a> {
    pub(super) fn read(text: &'a str) -> Option<Self> {
        if !is_absolute(text.as_bytes()) {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = if scheme.len() == "https".len() { "https" } else { "http" };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        (!authority.is_empty()).then_some(Self { scheme, user, authority, path })
    }

    /// Path and query as a client sends them: a path there always is.
    pub(super) fn target(&self) -> String {
        if self.path.starts_with('/') { self.path.to_owned() } else { format!("/{}", self.path) }
    }

    pub(super) fn absolute(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.target())
    }

    /// Without the query, which may hold a secret.
    pub(super) fn shown(&self) -> String {
        let target = self.target();
        format!("{}://{}{}", self.scheme, self.authority, target.split('?').next().unwrap_or_default())
    }
}

/// Percent-encodes all but the unreserved characters, as curl's `--data-urlencode` does.
pub(super) fn encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().map_or('0', char::from);
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

/// Decodes `%41`; anything else stays.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).filter(|pair| *first == b'%' && pair.iter().all(u8::is_ascii_hexdigit));
        let byte = pair.and_then(|pair| str::from_utf8(pair).ok()).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    decoded
}
