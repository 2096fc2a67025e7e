//! What a provider's signature covers, in words.
//!
//! Asked of the compiled scheme, so that it cannot say more than the check does.

use std::fmt;

use super::Catalog;
use crate::check::signature::{Coverage, Options, Scheme};

/// What a signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts, each one column")]
pub struct Signs {
    /// How much of the body.
    pub body: Coverage,
    /// The URL.
    pub url: bool,
    /// The time.
    pub time: bool,
    /// The delivery's id.
    pub id: bool,
    /// Whether a route configures the key at all.
    pub secret: bool,
}

impl Catalog {
    /// What a provider's signature covers. `None`: no such provider.
    pub fn signs(&self, name: &str) -> Option<Signs> {
        let spec = self.scheme(name)?;
        let given = |all: bool| -> Options {
            let names = spec.options.iter().filter(|(_, option)| option.required || all).map(|(name, _)| name);
            // Any text will do, but where the algorithm is chosen: no delivery is judged with it.
            let text = |name: &str| if name == "alg" { "hmac-sha256" } else { "x" }.to_owned();
            names.map(|name| (name.clone(), text(name))).collect()
        };
        let scheme =
            [given(false), given(true)].iter().find_map(|options| Scheme::compile(name, spec, options).ok())?;
        Some(Signs {
            body: scheme.coverage(),
            url: scheme.signs_url(),
            time: spec.timestamp.is_some(),
            id: scheme.signs_id(),
            secret: !scheme.needs_no_secret(),
        })
    }
}

impl Signs {
    /// The words of it, most important first.
    pub fn words(self) -> Vec<&'static str> {
        let body = match self.body {
            Coverage::Body => Some("body"),
            Coverage::Partial => Some("some fields of the body"),
            Coverage::Token => None,
        };
        let facts = [(self.url, "URL"), (self.time, "time"), (self.id, "id")];
        body.into_iter().chain(facts.into_iter().filter(|(signed, _)| *signed).map(|(_, word)| word)).collect()
    }
}

impl fmt::Display for Signs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words().as_slice() {
            [] => f.write_str("not the body"),
            words => f.write_str(&words.join(", ")),
        }
    }
}
