//! The `verified-event` header: what the app may believe about a delivery.
//!
//! One RFC 9651 dictionary, written only after full verification; members that a scheme has not are absent, and one that
//! the signature does not cover carries `;unsigned`. A value that is not printable ASCII becomes a Display String (§3.3.8).
//! The token beside it says the same, but for what is unsigned, and can be checked (RFC 7519; `token`). Must never be
//! written from anything but a [`Verified`].

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{DictSerializer, Integer, KeyRef, RefBareItem, StringRef, TokenRef};

use crate::check::signature::{Coverage, Member, Verified};
use crate::plan::{Plan, Route};
use crate::reject::Reject;
use crate::token::{Facts, TokenSigner};

/// The header's name.
const VERIFIED_EVENT: HeaderName = HeaderName::from_static("verified-event");
/// The token's name.
const VERIFIED_EVENT_TOKEN: HeaderName = HeaderName::from_static("verified-event-token");

/// Writes the header, and the token if the plan has a key for it. `body` is what will be forwarded, `now` tells unix seconds.
///
/// # Errors
/// The proof cannot be written, in which case the request must not be forwarded.
pub(crate) fn write(
    headers: &mut HeaderMap,
    plan: &Plan,
    verified: &Verified,
    route: &Route,
    body: &[Bytes],
    now: fn() -> u64,
) -> Result<(), Reject> {
    headers.insert(VERIFIED_EVENT, value(verified, route).ok_or(Reject::HeaderMalformed)?);
    if let Some(signer) = &plan.token {
        // Only the system's random numbers can fail here.
        headers.insert(VERIFIED_EVENT_TOKEN, token(signer, verified, route, body, now()).ok_or(Reject::Overloaded)?);
    }
    Ok(())
}

fn value(verified: &Verified, route: &Route) -> Option<HeaderValue> {
    let mut text = String::with_capacity(160);
    let mut dictionary = DictSerializer::with_buffer(&mut text);
    let mut member = |name: &str, field: Member<'_>| {
        let Ok(key) = KeyRef::from_str(name) else { return };
        let item = match StringRef::from_str(field.text) {
            Ok(plain) => RefBareItem::String(plain),
            Err(_) => RefBareItem::DisplayString(field.text),
        };
        let parameters = dictionary.bare_item(key, item);
        if !field.signed
            && let Ok(unsigned) = KeyRef::from_str("unsigned")
        {
            let _ = parameters.parameter(unsigned, true);
        }
    };
    if let Some(id) = verified.id() {
        member("id", id);
    }
    if let Some(event_type) = verified.event_type() {
        member("type", event_type);
    }
    for (name, text) in [("provider", &*route.provider), ("route", &*route.name), ("secret", verified.label())] {
        member(name, Member { text, signed: true });
    }
    if let (Some(timestamp), Ok(key)) = (verified.timestamp(), KeyRef::from_str("timestamp")) {
        let timestamp = i64::try_from(timestamp).ok().and_then(|seconds| Integer::try_from(seconds).ok())?;
        let _ = dictionary.bare_item(key, timestamp);
    }
    let proof = proof(verified.coverage()).map(TokenRef::from_str);
    if let (Ok(key), Some(Ok(proof))) = (KeyRef::from_str("proof"), proof) {
        let _ = dictionary.bare_item(key, proof);
    }
    HeaderValue::try_from(text).ok()
}

fn token(signer: &TokenSigner, verified: &Verified, route: &Route, body: &[Bytes], now: u64) -> Option<HeaderValue> {
    let facts = Facts {
        id: verified.id().and_then(signed),
        event_type: verified.event_type().and_then(signed),
        provider: &route.provider,
        route: &route.name,
        secret: verified.label(),
        timestamp: verified.timestamp(),
        proof: proof(verified.coverage()),
    };
    let mut value = HeaderValue::try_from(signer.sign(facts, body, now)?).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn signed(member: Member<'_>) -> Option<&str> {
    member.signed.then_some(member.text)
}

fn proof(coverage: Coverage) -> Option<&'static str> {
    match coverage {
        Coverage::Body => None,
        Coverage::Partial => Some("partial"),
        Coverage::Token => Some("token"),
    }
}
