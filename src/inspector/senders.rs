//! What `hookward send` needs to know of a provider, so that the page can write the line that sends a delivery once more.
//!
//! Must never tell a secret, nor the value of an option, which may be one.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::plan::Route;
use crate::providers::{Catalog, samples};
use crate::secret::Origin;

/// By provider. The catalogue is long, and read when somebody first looks.
#[derive(Debug, Default)]
pub(super) struct Senders(OnceLock<BTreeMap<String, Known>>);

/// Of the catalogue.
#[derive(Debug)]
struct Known {
    events: Vec<&'static str>,
    has_sample: bool,
    variable: Option<String>,
}

impl Senders {
    /// `possible`: we can sign as this sender does. `events`: one of these has to be named. `body`: there is no sample.
    /// `options`: these are needed. `own`: it is a scheme of the configuration. `secret`: where the route has its own from, if it
    /// has one. `variable`: where `send` looks for it unless told.
    pub(super) fn of(&self, route: &Route) -> Value {
        let spec = &route.ingredients.spec;
        let needed = spec.options.iter().filter(|(_, option)| option.required).map(|(name, _)| name);
        let options: Vec<&String> = needed.collect();
        let known = self.0.get_or_init(read).get(&*route.provider);
        json!({
            "possible": !spec.algorithm.is_public_key(),
            "own": known.is_none(),
            "events": known.map(|known| &*known.events).unwrap_or_default(),
            "body": !known.is_some_and(|known| known.has_sample),
            "options": options,
            "secret": route.ingredients.origin.as_ref().map(|origin| match origin {
                Origin::Variable(name) => json!({ "env": &**name }),
                Origin::File(path) => json!({ "file": path.to_string_lossy() }),
                Origin::Inline => json!({}),
            }),
            "variable": known.and_then(|known| known.variable.as_deref()),
        })
    }
}

fn read() -> BTreeMap<String, Known> {
    let Ok(catalog) = Catalog::load() else { return BTreeMap::new() };
    let known = |(name, provider): (&str, &crate::providers::Provider)| {
        let events: Vec<&str> = samples::of(name).iter().map(|(event, _)| *event).collect();
        let has_sample = !events.is_empty() || !provider.sample.is_empty();
        (name.to_owned(), Known { events, has_sample, variable: provider.secret_env.first().cloned() })
    };
    catalog.iter().map(known).collect()
}
