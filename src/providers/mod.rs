//! The catalogue of providers: data in `catalog.toml`, embedded, parsed once at start.
//!
//! Only the schemes that routes use are compiled. Must never hold what only one provider needs as code: what data cannot
//! say is a scheme of its own in `check::signature`.

mod event_types;
#[cfg(test)]
pub(crate) mod example;
// Apart, so that the lints know the one above as a test's.
#[cfg(all(fuzzing, not(test)))]
pub(crate) mod example;
pub mod ip_lists;
mod print;
pub mod samples;
mod signs;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

pub use self::event_types::EventTypes;
pub use self::print::entry;
pub use self::signs::Signs;
use crate::check::handshake::{HandshakeSpec, TrustOnFirstUse};
use crate::check::signature::SchemeSpec;

/// The catalogue's text, for `hookward providers NAME`.
pub const CATALOG: &str = include_str!("catalog.toml");

/// All known providers.
#[derive(Debug)]
pub struct Catalog {
    providers: BTreeMap<String, Provider>,
}

/// One provider.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// As people write it.
    pub title: String,
    /// The page that describes the signature.
    pub docs: String,
    /// Seconds that the sender waits for an answer.
    sender_deadline: u64,
    /// Whether the sender uses the answer's content.
    pub answer_matters: bool,
    /// What has an id needs no answer of its own, so that it can be de-duplicated all the same.
    #[serde(default)]
    dedupe: bool,
    /// Environment variables that hold the secret if a route names none. Any but the first are older names.
    #[serde(default)]
    pub secret_env: Vec<String>,
    /// The named list of the provider's addresses.
    #[serde(default)]
    pub ip_list: Option<String>,
    /// The provider whose scheme it has.
    #[serde(default)]
    pub like: Option<String>,
    /// Where the secret is found, and what it looks like.
    #[serde(default)]
    pub secret: String,
    /// What the entry rests on.
    #[serde(default)]
    pub evidence: Evidence,
    /// What the sender calls itself.
    #[serde(default)]
    pub user_agent: Option<String>,
    /// A body as it goes over the wire.
    #[serde(default)]
    pub sample: String,
    /// Its content type, if it is not JSON.
    #[serde(default)]
    pub sample_type: Option<String>,
    /// Further headers that come with the sample.
    #[serde(default)]
    pub sample_headers: BTreeMap<String, String>,
    /// How it finds out whether an endpoint is there, if not like another one.
    #[serde(default)]
    handshake: Vec<HandshakeSpec>,
    /// Why its handshake is never answered here.
    #[serde(default)]
    pub trust_on_first_use: Option<TrustOnFirstUse>,
    /// How it signs, if not like another one.
    #[serde(default)]
    scheme: Option<SchemeSpec>,
}

/// What an entry rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The vendor's own library was run.
    Sdk,
    /// The vendor's own tests, samples or vectors were recomputed.
    Vendor,
    /// Documentation.
    #[default]
    Docs,
}

impl Catalog {
    /// Parses the embedded catalogue.
    ///
    /// # Errors
    /// None in a build that passed its tests; the catalogue is part of the binary.
    pub fn load() -> Result<Self, toml::de::Error> {
        // One at a time: a parser needs twenty times what it reads, and the allocator would keep that for the life of the process.
        let mut providers = BTreeMap::new();
        for entry in entries(CATALOG) {
            providers.append(&mut toml::from_str::<BTreeMap<String, Provider>>(entry)?);
        }
        Ok(Self { providers })
    }

    /// The provider with this name.
    pub fn get(&self, name: &str) -> Option<&Provider> {
        self.providers.get(name)
    }

    /// How a provider signs.
    pub fn scheme(&self, name: &str) -> Option<&SchemeSpec> {
        let provider = self.get(name)?;
        match (&provider.scheme, &provider.like) {
            (Some(scheme), _) => Some(scheme),
            (None, Some(other)) => self.get(other)?.scheme.as_ref(),
            (None, None) => None,
        }
    }

    /// How a provider finds out whether an endpoint is there. Empty: it does not, or none that can be answered here.
    pub fn handshakes(&self, name: &str) -> &[HandshakeSpec] {
        let Some(provider) = self.get(name) else { return &[] };
        match &provider.like {
            Some(other) if provider.handshake.is_empty() => self.get(other).map_or(&[], |other| &*other.handshake),
            Some(_) | None => &provider.handshake,
        }
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// All providers, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Provider)> {
        self.providers.iter().map(|(name, provider)| (name.as_str(), provider))
    }

    /// All schemes: what [`crate::check::signature::Scheme::foreign_headers`] needs, next to the custom ones.
    pub fn schemes(&self) -> impl Iterator<Item = &SchemeSpec> {
        self.providers.values().filter_map(|provider| provider.scheme.as_ref())
    }
}

/// The entries of a catalogue, each with its sub-tables: from a line `[name]` to the next.
fn entries(catalog: &str) -> impl Iterator<Item = &str> {
    let mut rest = catalog;
    std::iter::from_fn(move || {
        let lines = rest.match_indices("\n[").map(|(at, _)| at.saturating_add(1));
        let next = lines
            .filter_map(|at| rest.split_at_checked(at))
            .find(|(_, entry)| entry.lines().next().is_some_and(|line| !line.contains('.') && !line.starts_with("[[")));
        let (entry, left) = next.unwrap_or((rest, ""));
        rest = left;
        (!entry.is_empty()).then_some(entry)
    })
}

impl Provider {
    /// How long the sender waits for an answer.
    pub fn sender_deadline(&self) -> Duration {
        Duration::from_secs(self.sender_deadline)
    }

    /// Whether a duplicate must get the app's own answer, so that none is called one.
    pub fn keeps_answers(&self) -> bool {
        self.answer_matters && !self.dedupe
    }

    /// The default deadline of a route: a fifth, at most two seconds, below the sender's own, so that ours is the answer it sees.
    pub fn deadline(&self) -> Duration {
        let sender = self.sender_deadline();
        let margin = sender.checked_div(5).unwrap_or_default().min(Duration::from_secs(2));
        sender.saturating_sub(margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::signature::Scheme;

    #[test]
    fn every_entry_compiles_and_says_where_it_comes_from() {
        let catalog = Catalog::load().unwrap();
        assert!(catalog.iter().count() >= 7);
        for (name, provider) in catalog.iter() {
            let spec = catalog.scheme(name).unwrap();
            let options = example::options(spec);
            let scheme =
                Scheme::compile(name, spec, &options).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
            assert_eq!(scheme.name(), name);
            assert!(provider.docs.starts_with("https://"), "{name}");
            assert!(provider.deadline() < provider.sender_deadline(), "{name}");
            assert!(!provider.title.is_empty(), "{name}");
        }
    }

    #[test]
    fn entries_read_one_at_a_time_are_those_of_the_whole() {
        let whole: BTreeMap<String, Provider> = toml::from_str(CATALOG).unwrap();
        assert_eq!(format!("{:?}", Catalog::load().unwrap().providers), format!("{whole:?}"));
        assert_eq!(entries(CATALOG).count(), whole.len() + 1, "and what stands before the first");
        assert_eq!(
            entries("# x\n[a]\n[a.b]\n[[a.c]]\n[d]\n").collect::<Vec<_>>(),
            ["# x\n", "[a]\n[a.b]\n[[a.c]]\n", "[d]\n"]
        );
    }

    #[test]
    fn the_default_deadline_is_below_the_senders() {
        let catalog = Catalog::load().unwrap();
        let deadline = |name| catalog.get(name).unwrap().deadline();
        assert_eq!(deadline("clerk"), Duration::from_secs(13));
        assert_eq!(deadline("github"), Duration::from_secs(8));
        assert_eq!(deadline("slack"), Duration::from_millis(2400));
    }

    #[test]
    fn clerk_knows_its_variables_in_order() {
        let catalog = Catalog::load().unwrap();
        assert_eq!(catalog.get("clerk").unwrap().secret_env, ["CLERK_WEBHOOK_SIGNING_SECRET", "CLERK_WEBHOOK_SECRET"]);
    }
}
