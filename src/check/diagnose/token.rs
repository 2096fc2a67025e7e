//! Signed tokens (RFC 7519): when one is good, and what a genuine one names that this delivery is not.
//!
//! The gate says no more than that a token is not for this delivery. Here its scheme is asked again with fewer claims to
//! keep: if that fits, the signature is right, and the claims can be read and compared one by one. Must never say anything
//! of a claim before that, nor print a query. Source: RFC 7519 §4.1.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

use super::bench::Bench;
use super::url;
use crate::check::signature::SchemeSpec;
use crate::check::signature::scheme::{Engine, HashClaim, JwtSpec};

/// Longest token that is read, in bytes.
const LONGEST: usize = 8 * 1024;
/// Longest claim that is printed, in bytes.
const LONGEST_SHOWN: usize = 64;
/// No claim has this name.
const NO_CLAIM: &str = "\0";

/// The times that a token names, in unix seconds. Nobody has vouched for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) issued: Option<u64>,
    pub(crate) starts: Option<u64>,
    pub(crate) expires: Option<u64>,
}

impl Times {
    /// Of the first token in one of these headers.
    pub(crate) fn of<'n>(names: impl IntoIterator<Item = &'n HeaderName>, headers: &HeaderMap) -> Option<Self> {
        let claims = names.into_iter().find_map(|name| claims(headers, name.as_str()))?;
        let time = |name: &str| claims.get(name).and_then(Value::as_u64);
        Some(Self { issued: time("iat"), starts: time("nbf"), expires: time("exp") })
    }

    /// A time at which the token is good, if it ever is.
    pub(crate) fn inside(self) -> Option<u64> {
        let last = self.expires.map(|end| end.saturating_sub(1));
        let first = self.issued.max(self.starts).or(last)?;
        last.is_none_or(|last| first <= last).then_some(first)
    }
}

/// The claims of the token in a header, whatever stands before it.
fn claims(headers: &HeaderMap, name: &str) -> Option<Map<String, Value>> {
    let value = headers.get(name)?.to_str().ok().filter(|value| value.len() <= LONGEST)?;
    let mut parts = value.rsplit(' ').next()?.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// The scheme without the claims that tie a token to this sender and URL; `has_body`: but to this body.
fn relaxed(spec: &SchemeSpec, jwt: &JwtSpec, has_body: bool) -> SchemeSpec {
    let mut jwt = JwtSpec {
        issuer: None,
        issuer_option: None,
        url_hash: None,
        url_claim: None,
        required: Vec::new(),
        ..jwt.clone()
    };
    if !has_body {
        // An empty body needs no hash then, and an empty one is what is asked about.
        jwt.body_hash = HashClaim { claim: NO_CLAIM.to_owned(), absent_if_empty: true, ..jwt.body_hash };
    }
    SchemeSpec { jwt: Some(jwt), id: None, event_type: None, ..spec.clone() }
}

/// A genuine token over this body that names another sender or URL, or lacks what it has to name.
pub(super) fn try_claims(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    let (Engine::Jwt, Some(jwt)) = (suspect.spec.engine, &suspect.spec.jwt) else { return };
    let body = bench.body.clone();
    let Some(claims) = genuine(bench, &relaxed(suspect.spec, jwt, true), &body) else { return };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let option = jwt.issuer_option.as_deref();
    let issuer = jwt.issuer.as_deref().or_else(|| suspect.options.get(option?).map(String::as_str));
    if let Some(due) = issuer.filter(|due| text("iss") != Some(due)) {
        let fix = match option {
            Some(option) => format!("Set options.{option} to the one that the secret belongs to."),
            None => {
                "Let the documented sender sign: this token was made with its secret for something else.".to_owned()
            }
        };
        let is = text("iss").map_or("not there".to_owned(), shown);
        bench.found(
            "token_issuer",
            format!("The token's signature and body are right, but its `iss` is {is}, and {} is due.", shown(due)),
            fix,
        );
    }
    let missing: Vec<String> = jwt
        .required
        .iter()
        .filter(|name| text(name).is_none_or(str::is_empty))
        .map(|name| format!("`{name}`"))
        .collect();
    if !missing.is_empty() {
        bench.found(
            "token_claim_missing",
            format!("The token's signature and body are right, but it lacks {}.", missing.join(" and ")),
            "Let the sender sign its tokens as documented: without this claim a copy cannot be told from the first."
                .to_owned(),
        );
    }
    if let (Some(claim), Some(known)) = (&jwt.url_claim, suspect.head.url)
        && text(claim) != Some(known)
    {
        let (finding, fix) = match text(claim) {
            Some(signed) => url::compared(known, signed),
            None => (
                format!("names no URL: `{claim}` is not there."),
                "Let the sender sign its tokens as documented.".to_owned(),
            ),
        };
        bench.found("url_differs", format!("The token's signature and body are right, but it {finding}"), fix);
    }
    // Nothing else is left that the scheme could have refused.
    if let (Some(hash), false) = (&jwt.url_hash, bench.has_found()) {
        bench.found(
            "url_differs",
            format!(
                "The token's signature and body are right, but it is for another URL than {}: its `{}` is not that of this one.",
                url::shown(suspect.head.url.unwrap_or_default()),
                hash.claim
            ),
            "Set public_url (here: --url) to exactly the address that is registered with the sender, its query included."
                .to_owned(),
        );
    }
}

/// A genuine token over another body.
pub(super) fn try_body(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    let (Engine::Jwt, Some(jwt), false) = (suspect.spec.engine, &suspect.spec.jwt, bench.has_found()) else { return };
    if genuine(bench, &relaxed(suspect.spec, jwt, false), &Bytes::new()).is_none() {
        return;
    }
    bench.found(
        "token_body_differs",
        format!(
            "The token's signature is right, but it is for another body: its `{}` is not the hash of this one.",
            jwt.body_hash.claim
        ),
        "Capture the request before anything reads or rewrites its body; if that changes nothing, the token was copied."
            .to_owned(),
    );
}

fn genuine(bench: &mut Bench<'_, '_>, spec: &SchemeSpec, body: &Bytes) -> Option<Map<String, Value>> {
    let suspect = bench.suspect;
    bench.spec_fits_body(spec, suspect.head.headers, body)?;
    let names = suspect.spec.signature.as_ref().map(|signature| signature.header.all())?;
    names.iter().find_map(|name| claims(suspect.head.headers, name))
}

/// A claim of a genuine token, for a sentence.
fn shown(text: &str) -> String {
    let is_plain = text.len() <= LONGEST_SHOWN && !text.chars().any(char::is_control);
    if is_plain { format!("`{text}`") } else { "another".to_owned() }
}
