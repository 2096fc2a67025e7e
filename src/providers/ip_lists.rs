//! Where providers send from: the snapshots in `ip_lists.toml`, embedded, under the names that `allow_ips` takes.
//!
//! Must never hold an address that its provider does not publish.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ipnet::IpNet;
use serde::Deserialize;

use crate::check::ip::parse_entry;
use crate::civil;

const LISTS: &str = include_str!("ip_lists.toml");
const DAY: u64 = 24 * 60 * 60;

/// A published list as it was on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was published, unix seconds.
    pub date: u64,
    /// It is at least as old as `date`; its own date is not known.
    pub older: bool,
    /// Where the current one is published.
    pub url: &'static str,
    /// The keys of the published document that count; empty: all.
    pub select: Vec<Box<str>>,
    /// By key, as published.
    keys: Vec<(&'static str, Vec<IpNet>)>,
}

impl Snapshot {
    /// All entries, sorted, each once.
    pub fn entries(&self) -> Vec<IpNet> {
        sorted(self.keys.iter().flat_map(|(_, entries)| entries.iter().copied()))
    }

    /// Those of these keys, or all if there is none. `None`: it has not all of them.
    pub fn selected(&self, select: &[Box<str>]) -> Option<Vec<IpNet>> {
        if select.is_empty() {
            return Some(self.entries());
        }
        let of = |key: &str| self.keys.iter().find(|(name, _)| *name == key).map(|(_, entries)| entries);
        let found: Option<Vec<&Vec<IpNet>>> = select.iter().map(|key| of(key)).collect();
        Some(sorted(found?.into_iter().flatten().copied()))
    }
}

/// The list of this name. `svix` is all of Svix' regions, `svix-us` one of them.
pub fn snapshot(name: &str) -> Option<Snapshot> {
    if let Some(list) = PUBLISHED.get(name) {
        return Some(list.snapshot(None));
    }
    PUBLISHED.iter().find_map(|(owner, list)| {
        let key =
            name.strip_prefix(owner)?.strip_prefix('-').filter(|key| list.by_key && list.keys.contains_key(*key))?;
        Some(list.snapshot(Some(key)))
    })
}

/// The names of all lists.
pub fn names() -> impl Iterator<Item = String> {
    PUBLISHED.iter().flat_map(|(owner, list)| {
        let keys = list.keys.keys().filter(|_| list.by_key).map(move |key| format!("{owner}-{key}"));
        std::iter::once(owner.clone()).chain(keys)
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    url: String,
    date: toml::value::Datetime,
    #[serde(default)]
    older: bool,
    #[serde(default)]
    select: Vec<Box<str>>,
    #[serde(default)]
    by_key: bool,
    keys: BTreeMap<String, Vec<String>>,
}

/// A test holds that they can be read; if they could not, there would be none.
static PUBLISHED: LazyLock<BTreeMap<String, Published>> = LazyLock::new(|| toml::from_str(LISTS).unwrap_or_default());

impl Published {
    fn snapshot(&'static self, only: Option<&str>) -> Snapshot {
        let keys = self.keys.iter().filter(|(key, _)| only.is_none_or(|only| only == key.as_str()));
        let read = |entries: &[String]| entries.iter().filter_map(|entry| parse_entry(entry).ok()).collect();
        Snapshot {
            date: self.seconds().unwrap_or_default(),
            older: self.older,
            url: &self.url,
            select: only.map_or_else(|| self.select.clone(), |key| vec![key.into()]),
            keys: keys.map(|(key, entries)| (key.as_str(), read(entries))).collect(),
        }
    }

    fn seconds(&self) -> Option<u64> {
        let day = self.date.date?;
        let days = civil::days_since_1970(day.year.into(), day.month.into(), day.day.into());
        u64::try_from(days).ok()?.checked_mul(DAY)
    }
}

fn sorted(entries: impl Iterator<Item = IpNet>) -> Vec<IpNet> {
    let mut entries: Vec<IpNet> = entries.collect();
    entries.sort_unstable();
    entries.dedup();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::address_list;
    use crate::providers::Catalog;

    #[test]
    fn every_snapshot_can_be_read_and_would_be_taken() {
        let lists: BTreeMap<String, Published> = toml::from_str(LISTS).unwrap();
        assert_eq!(lists.keys().map(String::as_str).collect::<Vec<_>>(), ["github", "stripe", "svix"]);
        for (name, list) in &lists {
            assert!(list.seconds().is_some_and(|date| date > 1_700_000_000), "{name}");
            assert!(list.url.starts_with("https://"), "{name}");
            for entry in list.keys.values().flatten() {
                assert!(parse_entry(entry).is_ok(), "{name}: {entry}");
            }
            assert!(list.select.iter().all(|key| list.keys.contains_key(&**key)), "{name}");
        }
        for name in names() {
            let list = snapshot(&name).unwrap();
            assert_eq!(address_list::accept(&list.entries(), None), Ok(()), "{name}");
            assert_eq!(list.selected(&list.select), Some(list.entries()), "{name}: what is fetched replaces all of it");
        }
    }

    #[test]
    fn every_published_entry_is_there() {
        let sizes: Vec<(String, usize)> =
            names().map(|name| (name.clone(), snapshot(&name).unwrap().entries().len())).collect();
        let expected = [
            ("github", 6),
            ("stripe", 15),
            ("svix", 20),
            ("svix-au", 4),
            ("svix-ca", 4),
            ("svix-eu", 4),
            ("svix-us", 5),
            ("svix-us-east", 3),
        ];
        assert_eq!(sizes, expected.map(|(name, size)| (name.to_owned(), size)));
    }

    #[test]
    fn a_snapshot_has_its_day_and_its_keys() {
        let svix = snapshot("svix").unwrap();
        assert_eq!((civil::rfc3339(svix.date), svix.older), ("2026-07-02T00:00:00Z".to_owned(), false));
        assert_eq!((svix.url, svix.select.len()), ("https://docs.svix.com/webhook-ips.json", 0));
        assert_eq!(svix.selected(&["us-east".into()]), Some(snapshot("svix-us-east").unwrap().entries()));
        assert_eq!(svix.selected(&["us".into(), "mars".into()]), None);
        assert_eq!(snapshot("svix-eu").unwrap().select, [Box::from("eu")]);
        assert_eq!(snapshot("svix-eu").unwrap().selected(&["us".into()]), None);
        assert!(snapshot("github").unwrap().older);
        assert_eq!(civil::rfc3339(snapshot("stripe").unwrap().date), "2026-05-01T00:00:00Z");
        for name in ["", "svix-", "svix-mars", "stripe-WEBHOOKS", "github-hooks", "Svix"] {
            assert_eq!(snapshot(name), None, "{name}");
        }
    }

    #[test]
    fn every_list_that_the_catalogue_names_is_here() {
        let catalog = Catalog::load().unwrap();
        let named: Vec<&str> =
            catalog.names().filter_map(|name| catalog.get(name).unwrap().ip_list.as_deref()).collect();
        assert!(named.len() >= 6, "{named:?}");
        assert!(named.iter().all(|name| snapshot(name).is_some()), "{named:?}");
    }
}
