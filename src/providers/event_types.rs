//! Which event types a provider sends: the lists in `event_types.toml`, embedded.
//!
//! Must never hold a list that is not whole: people are warned about a pattern that matches nothing in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;
use toml::value::Datetime;

const LISTS: &str = include_str!("event_types.toml");

/// All types of one provider, as they were on one day.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTypes {
    as_of: Datetime,
    types: Vec<Box<str>>,
}

/// A test holds that they can be read; if they could not, there would be none.
static PUBLISHED: LazyLock<BTreeMap<String, EventTypes>> = LazyLock::new(|| toml::from_str(LISTS).unwrap_or_default());

impl EventTypes {
    /// The types of a provider. `None`: not all of them are known.
    pub fn of(provider: &str) -> Option<&'static Self> {
        PUBLISHED.get(provider)
    }

    /// Each once, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(|kind| &**kind)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.types.len()
    }

    /// When the list was published: `2026-08-21`.
    pub fn day(&self) -> impl fmt::Display {
        self.as_of
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::signature::scheme::FieldSpec;
    use crate::providers::{Catalog, Provider, samples};

    fn lists() -> BTreeMap<String, EventTypes> {
        toml::from_str(LISTS).unwrap()
    }

    /// The type of an entry's sample, read where the scheme says that it stands.
    fn of_sample(provider: &Provider, field: &FieldSpec) -> String {
        if let Some(header) = &field.header {
            let sent = |name: &String| provider.sample_headers.get(name.as_str()).cloned();
            return header.all().iter().find_map(sent).unwrap();
        }
        let body: serde_json::Value = serde_json::from_str(&provider.sample).unwrap();
        let at = field.json.as_deref().unwrap().split('.').fold(&body, |value, key| &value[key]);
        at.as_str().unwrap().to_owned()
    }

    #[test]
    fn every_list_is_sorted_printable_and_without_duplicates() {
        for (name, list) in lists() {
            assert!(!list.types.is_empty(), "{name}");
            assert!(list.types.is_sorted_by(|one, next| one < next), "{name}");
            for kind in &list.types {
                assert!(kind.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*'), "{name}: {kind}");
            }
            let day = list.as_of.to_string();
            assert!(day.len() == "2026-08-21".len() && day.starts_with("202"), "{name}: {day}");
        }
    }

    #[test]
    fn every_list_belongs_to_a_provider_that_tells_the_type() {
        let catalog = Catalog::load().unwrap();
        for name in lists().keys() {
            assert!(catalog.scheme(name).unwrap().event_type.is_some(), "{name}");
        }
    }

    #[test]
    fn every_sample_is_of_a_known_type() {
        let catalog = Catalog::load().unwrap();
        for (name, list) in lists() {
            let field = catalog.scheme(&name).unwrap().event_type.as_ref().unwrap();
            let kind = of_sample(catalog.get(&name).unwrap(), field);
            let more = samples::of(&name).iter().map(|(kind, _)| *kind);
            for kind in more.chain([&*kind]) {
                assert!(list.iter().any(|known| known == kind), "{name}: {kind}");
            }
        }
    }

    #[test]
    fn every_published_type_is_there() {
        let sizes: Vec<(String, usize)> = lists().into_iter().map(|(name, list)| (name, list.count())).collect();
        let expected = [
            ("clerk", 45),
            ("github", 85),
            ("lithic", 62),
            ("paddle", 56),
            ("polar", 41),
            ("resend", 19),
            ("shopify", 225),
            ("slack", 3),
            ("stripe", 774),
            ("workos", 90),
        ];
        assert_eq!(sizes, expected.map(|(name, size)| (name.to_owned(), size)));
        assert_eq!(EventTypes::of("resend").unwrap().day().to_string(), "2026-08-21");
        assert!(EventTypes::of("svix").is_none(), "whoever signs like another sends types of its own");
    }
}
