//! The `verified-event` header: what the app may believe about a delivery.
//!
//! One RFC 9651 dictionary, written only after full verification; members that a scheme has not are absent, and one that
//! the signature does not cover carries `;unsigned`. A value that is not printable ASCII becomes a Display String (§3.3.8).
//! Must never be written from anything but a [`Verified`].

use http::{HeaderName, HeaderValue};
use sfv::{DictSerializer, Integer, KeyRef, RefBareItem, StringRef, TokenRef};

use crate::check::signature::{Coverage, Member, Verified};
use crate::plan::Route;

/// The header's name.
pub(crate) const VERIFIED_EVENT: HeaderName = HeaderName::from_static("verified-event");

/// The header's value; `None` if it cannot be written, in which case the request must not be forwarded.
pub(crate) fn value(verified: &Verified, route: &Route) -> Option<HeaderValue> {
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
    let proof = match verified.coverage() {
        Coverage::Body => None,
        Coverage::Partial => Some("partial"),
        Coverage::Token => Some("token"),
    };
    if let (Ok(key), Some(Ok(proof))) = (KeyRef::from_str("proof"), proof.map(TokenRef::from_str)) {
        let _ = dictionary.bare_item(key, proof);
    }
    HeaderValue::try_from(text).ok()
}
