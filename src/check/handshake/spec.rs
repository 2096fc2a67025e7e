//! Handshakes as data: the vocabulary of `[[NAME.handshake]]` in `src/providers/catalog.toml`.
//!
//! Only shapes live here; `handshake.rs` turns them into a [`super::Handshake`]. Must never hold a provider's name.

use serde::Deserialize;

/// One request that a provider sends to find out whether an endpoint is there, and what it wants to hear.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandshakeSpec {
    /// Signed like every delivery, and answered only after the signature was verified.
    #[serde(default)]
    pub signed: bool,
    /// The method: unless it is signed, also one that the route does not take.
    #[serde(default = "post")]
    pub method: String,
    /// It has no body, which every delivery of the provider has.
    #[serde(default)]
    pub no_body: bool,
    /// What tells it from a delivery: all of it has to hold.
    #[serde(default)]
    pub when: Vec<Condition>,
    /// It is none if this is there.
    #[serde(default)]
    pub unless: Option<Place>,
    /// A word that the operator and the provider have agreed on.
    #[serde(default)]
    pub check: Option<Check>,
    /// What is given back. It is no handshake without it.
    #[serde(default)]
    pub echo: Option<Place>,
    /// How `{hmac}` is written: the MAC of what is given back, with the route's own secret.
    #[serde(default)]
    pub hmac: Option<MacEncoding>,
    /// The provider's address that is called before the answer.
    #[serde(default)]
    pub confirm: Option<Confirm>,
    /// The answer.
    #[serde(default)]
    pub answer: AnswerSpec,
}

fn post() -> String {
    "POST".to_owned()
}

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A member of the JSON body, `type` or `payload.plainToken`; only of a signed one.
    Json(String),
    /// A parameter of the query, decoded.
    Query(String),
    /// A header.
    Header(String),
    /// A field of a form body, decoded; only of an unsigned one.
    Form(String),
}

/// What tells a handshake from a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Where.
    pub at: Place,
    /// What has to be there. Without it, anything.
    #[serde(default)]
    pub equals: Option<Expected>,
}

/// A value that tells a handshake.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Expected {
    /// This text.
    Text(String),
    /// This number in JSON.
    Number(u64),
}

/// A word that the operator and the provider have agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Where it comes.
    pub at: Place,
    /// The route's option that has it.
    pub option: String,
}

/// How a MAC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacEncoding {
    /// Lower-case hex.
    Hex,
    /// RFC 4648 §4 with padding.
    Base64,
}

/// An address that a signed handshake names and that has to be called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// Where it is.
    pub at: Place,
    /// What it begins with: one of these, up to the path, where `*` is one label of the host.
    pub begins: Vec<String>,
}

/// What is answered. Without `text` and `json`: nothing but the status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerSpec {
    /// 2xx.
    #[serde(default = "ok")]
    pub status: u16,
    /// As `text/plain`; `{echo}` is what is given back.
    #[serde(default)]
    pub text: Option<String>,
    /// As `application/json`, with `{echo}` and `{hmac}` inside of strings.
    #[serde(default)]
    pub json: Option<String>,
}

impl Default for AnswerSpec {
    fn default() -> Self {
        Self { status: ok(), text: None, json: None }
    }
}

fn ok() -> u16 {
    200
}

/// Why a provider's handshake is never answered here: it hands over the secret itself, unsigned.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustOnFirstUse {
    /// What the request would do.
    pub why: String,
    /// What to do by hand.
    pub instead: String,
}
