//! `handshake = true`: which of its provider's handshakes a route answers.
//!
//! Must never let a route answer one that hands over the secret, or that anyone could use to subscribe this address to
//! events of their own.

use super::compile::Context;
use super::compile_routes::Chosen;
use super::raw::Table;
use crate::check::handshake::{Handshake, HandshakeFlaw};

impl Context<'_, '_> {
    /// None unless the route asks for them. Incomplete only if a problem was reported.
    pub(super) fn handshakes(&mut self, table: &Table, chosen: &Chosen<'_>) -> Vec<Handshake> {
        if table.bool("handshake") != Some(true) {
            return Vec::new();
        }
        let (name, spot) = (&chosen.name, table.spot_of("handshake"));
        if let Some(never) = chosen.provider.and_then(|provider| provider.trust_on_first_use.as_ref()) {
            self.findings.error(&spot, never.why.as_str(), never.instead.as_str());
            return Vec::new();
        }
        let specs = if chosen.provider.is_some() { self.catalog.handshakes(name) } else { &[] };
        if specs.is_empty() {
            let what = match chosen.provider {
                Some(_) => format!("`{name}` has no handshake that hookward knows"),
                None => "a scheme of your own has no handshake".to_owned(),
            };
            self.findings.error(&spot, what, "remove it");
        }
        let mut handshakes = Vec::new();
        for spec in specs {
            match Handshake::compile(spec, &chosen.options) {
                Ok(handshake) => handshakes.push(handshake),
                Err(flaw) => {
                    let hint = match &flaw {
                        HandshakeFlaw::OptionMissing(option) => {
                            format!("write options = {{ {option} = \"…\" }} with the word that you gave the provider")
                        }
                        HandshakeFlaw::Unsound(_) => "report this".to_owned(),
                    };
                    self.findings.error(&spot, flaw.to_string(), hint);
                }
            }
        }
        handshakes
    }
}
