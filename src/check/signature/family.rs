//! Where a scheme's parts are in a request: the headers that belong together, and the fields of the body.
//!
//! A family (`svix-*`, `webhook-*`) is used whole or not at all. Must never hold a value of a request.

use http::{HeaderMap, HeaderName};

use super::json::Path;

/// The headers that are used together.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) signature: HeaderName,
    /// Where one more signature of the same content may be.
    pub(super) also: Vec<HeaderName>,
    pub(super) timestamp: Option<HeaderName>,
    /// Signed only where the content says so.
    pub(super) id: Option<HeaderName>,
    pub(super) event_type: Option<HeaderName>,
    pub(super) required: Vec<HeaderName>,
    /// Those that tell this family from the others.
    pub(super) marks: Vec<HeaderName>,
}

impl Family {
    /// Whether a request uses, or pretends to use, this family.
    pub(super) fn is_named_in(&self, headers: &HeaderMap) -> bool {
        self.marks.iter().any(|name| headers.contains_key(name))
    }

    /// Every header of the family.
    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        std::iter::once(&self.signature)
            .chain(&self.also)
            .chain(&self.timestamp)
            .chain(&self.id)
            .chain(&self.event_type)
            .chain(&self.required)
    }
}

/// Where an id or type is.
#[derive(Debug)]
pub(super) enum Source {
    /// The family says in which header.
    Header,
    /// A member of the JSON body.
    Json(Path),
}

/// Where the time is.
#[derive(Debug)]
pub(super) enum TimeSource {
    /// The family says in which header.
    Header,
    /// In the signature header's pairs.
    Pair,
    /// A member of the JSON body, read after the MAC.
    Json(Path),
}

/// Headers that end here, frame the message, or are ours: a scheme cannot rest on them.
pub(super) fn is_unusable(name: &HeaderName) -> bool {
    const TAKEN: &[&str] = &[
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let name = name.as_str();
    TAKEN.contains(&name) || name.replace('_', "-").starts_with("verified-event")
}
