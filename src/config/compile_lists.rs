//! Lists of addresses: `[ip_lists.NAME]`, the names and files in `allow_ips`.
//!
//! Must never take a list that is empty, nor a name that nobody knows, nor quote a file: named by mistake, it may hold a
//! secret.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use http::Uri;
use ipnet::IpNet;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::compile::Context;
use super::findings::Spot;
use super::hint::nearest;
use super::raw::{Table, Text, is_label};
use super::{ListOrigin, ListSummary};
use crate::check::address_list::{self, ListFault};
use crate::check::ip::{IpEntryError, IpSet, parse_entry};
use crate::plan::{Allowlist, ListSource, Listed, NamedList};
use crate::providers::ip_lists::{self, Snapshot};

/// How many problems of one file are told one by one.
const TOLD: usize = 3;

/// A named list with what it holds.
#[derive(Debug)]
pub(super) struct HeldList {
    pub(super) named: NamedList,
    /// Empty: it has no content yet.
    pub(super) entries: Arc<[IpNet]>,
    origin: ListOrigin,
    spot: Spot,
    used: bool,
}

impl HeldList {
    /// Its problem was reported; whoever names it has none of his own.
    fn refused(name: &str, spot: Spot) -> Self {
        let named = NamedList { name: name.into(), entries: 0, as_of: None, source: None };
        Self { named, entries: Arc::default(), origin: ListOrigin::Fetched, spot, used: true }
    }

    fn cache(&self) -> Option<&Path> {
        self.named.source.as_ref()?.cache.as_deref()
    }
}

/// What `allow_ips` comes to.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// `None`: any address may call.
    pub(super) allowed: Option<Allowlist>,
    /// Entries that are typed in place.
    pub(super) typed: usize,
    /// The lists.
    pub(super) lists: Vec<ListSummary>,
}

impl Context<'_, '_> {
    /// `[ip_lists]`, with what each holds now.
    pub(super) fn ip_lists(&mut self, raw: &Table) -> Vec<HeldList> {
        let mut lists: Vec<HeldList> = Vec::new();
        for (name, table) in raw.table("ip_lists").into_iter().flat_map(Table::named) {
            let snapshot = ip_lists::snapshot(name);
            let Some(source) = self.list_source(name, table, snapshot.as_ref()) else {
                lists.push(HeldList::refused(name, table.spot.clone()));
                continue;
            };
            let cache = source.cache.as_deref().map(plainly);
            let caches = |list: &HeldList| list.cache().map(plainly);
            let shared = lists.iter().find(|list| cache.is_some() && caches(list) == cache);
            if let Some(other) = shared {
                let what = format!("is the cache of ip_lists.{} too", other.named.name);
                self.findings.error(&table.spot_of("cache"), what, "give each list a file of its own");
            }
            lists.push(self.held(source, snapshot.as_ref(), table.spot.clone()));
        }
        lists
    }

    /// Content as it was last fetched or shipped, whichever is newer.
    fn held(&self, source: ListSource, snapshot: Option<&Snapshot>, spot: Spot) -> HeldList {
        let shipped = snapshot.and_then(|snapshot| {
            let listed = Listed { entries: snapshot.selected(&source.select)?.into(), as_of: snapshot.date };
            Some((listed, ListOrigin::BuiltIn { older: snapshot.older }))
        });
        let fetched = self.environment.list(&source).map(|listed| (listed, ListOrigin::Fetched));
        let content = match (fetched, shipped) {
            (Some(fetched), Some(shipped)) if fetched.0.as_of < shipped.0.as_of => Some(shipped),
            (fetched, shipped) => fetched.or(shipped),
        };
        let name = Arc::clone(&source.name);
        let source = Some(Arc::new(source));
        let (entries, as_of, origin): (Arc<[IpNet]>, _, _) = match content {
            Some((listed, origin)) => (listed.entries, Some(listed.as_of), origin),
            None => (Arc::default(), None, ListOrigin::Fetched),
        };
        let named = NamedList { name, entries: entries.len(), as_of, source };
        HeldList { named, entries, origin, spot, used: false }
    }

    /// `None`: a problem was reported.
    fn list_source(&mut self, name: &str, table: &Table, snapshot: Option<&Snapshot>) -> Option<ListSource> {
        let url = self.list_url(table, snapshot);
        let cache = table.text("cache");
        if let Some((_, spot)) = cache.filter(|(path, _)| path.is_empty() || path.ends_with('/') || path.contains('\0'))
        {
            self.findings.error(spot, "is not the path of a file", "write the path of a file that hookward may write");
            return None;
        }
        let ca = match table.text("ca") {
            Some(ca) => Some(self.authorities(ca)?),
            None => None,
        };
        let mut select: Vec<Box<str>> = Vec::new();
        for (key, spot) in table.texts("select") {
            if select.iter().any(|earlier| &**earlier == key) {
                self.findings.warn(spot, "is in this list already", "remove it");
            } else {
                select.push(key.into());
            }
        }
        if !table.given("select") {
            select = snapshot.map(|snapshot| snapshot.select.clone()).unwrap_or_default();
        }
        let cache = cache.map(|(path, _)| PathBuf::from(path));
        Some(ListSource { name: name.into(), url: url?, refresh: table.duration("refresh")?, select, cache, ca })
    }

    fn list_url(&mut self, table: &Table, snapshot: Option<&Snapshot>) -> Option<Uri> {
        let (text, spot) = table.text("url")?;
        let form = match snapshot {
            Some(snapshot) => format!("it is published at {}", snapshot.url),
            None => "write https://, a host and the document's path".to_owned(),
        };
        let what = if text.starts_with("http://") {
            "without TLS anyone on the way could write this list: it must be https://"
        } else if !text.starts_with("https://") {
            "is not an https:// address"
        } else if text.split(['/', '?', '#']).nth(2).is_some_and(|authority| authority.contains('@')) {
            "a user name or password has no place here"
        } else if text.contains('#') {
            "has a fragment, which is never sent"
        } else {
            let whole = |uri: &Uri| {
                uri.authority().is_some_and(|authority| {
                    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
                    let digits = port.strip_prefix(':').unwrap_or("443");
                    !authority.host().is_empty()
                        && digits.bytes().all(|byte| byte.is_ascii_digit())
                        && authority.port_u16() != Some(0)
                        && digits.parse::<u16>().is_ok()
                })
            };
            match text.parse::<Uri>().ok().filter(whole) {
                Some(url) => return Some(url),
                None => "is not an https:// address",
            }
        };
        self.findings.error(spot, what, form);
        None
    }

    fn authorities(&mut self, (path, spot): Text<'_>) -> Option<Box<[u8]>> {
        let pem = self.pem((path, spot))?;
        let (added, _) =
            RootCertStore::empty().add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
        if added == 0 {
            let hint = "name a PEM file with the authority that signed the list's server";
            self.findings.error(spot, format!("{path} holds no usable certificate"), hint);
            return None;
        }
        Some(pem.into())
    }

    /// A route's `allow_ips`: addresses, networks, names of lists, `file:`.
    pub(super) fn allow_ips(&mut self, table: &Table) -> Clients {
        if !table.given("allow_ips") {
            return Clients::default();
        }
        let spot = table.spot_of("allow_ips");
        let mut entries: Vec<IpNet> = Vec::new();
        let mut seen: HashSet<&str> = HashSet::new();
        let mut networks: HashSet<IpNet> = HashSet::new();
        let mut clients = Clients::default();
        let (mut pending, mut told) = (false, false);
        for (text, spot) in table.texts("allow_ips") {
            let again = match parse_entry(text) {
                Ok(network) => {
                    entries.push(network);
                    clients.typed = clients.typed.saturating_add(1);
                    !networks.insert(network)
                }
                Err(_) if !seen.insert(text) => true,
                Err(error) => {
                    let list = match text.strip_prefix("file:") {
                        Some(path) => self.address_file((path, spot)).map(|found| {
                            told |= found.iter().any(|entry| entry.prefix_len() == 0);
                            let origin = ListOrigin::File;
                            (ListSummary { name: path.into(), entries: found.len(), as_of: None, origin }, found.into())
                        }),
                        None => self.named_list((text, spot), error),
                    };
                    if let Some((summary, found)) = list {
                        pending |= summary.is_pending();
                        entries.extend_from_slice(&found);
                        clients.lists.push(summary);
                    }
                    false
                }
            };
            if again {
                self.findings.warn(spot, format!("{text} is in this list already"), "remove it");
            }
        }
        if table.has_list("allow_ips") && table.texts("allow_ips").next().is_none() {
            let hint = "add addresses, or remove the key to let any call";
            self.findings.error(&spot, "the list is empty: nobody could call", hint);
        }
        let set: IpSet = entries.into_iter().collect();
        if set.is_everything() && !told {
            self.findings.warn(&spot, "lets everyone in", "remove it, or list the sender's addresses");
        }
        clients.allowed = Some(Allowlist { set, pending });
        clients
    }

    /// A list by its name: configured, else shipped.
    fn named_list(&mut self, (text, spot): Text<'_>, error: IpEntryError) -> Option<(ListSummary, Arc<[IpNet]>)> {
        if !self.lists.iter().any(|list| &*list.named.name == text)
            && let Some(snapshot) = ip_lists::snapshot(text)
        {
            let entries: Arc<[IpNet]> = snapshot.entries().into();
            let (name, as_of) = (text.into(), Some(snapshot.date));
            let named = NamedList { name, entries: entries.len(), as_of, source: None };
            let origin = ListOrigin::BuiltIn { older: snapshot.older };
            self.lists.push(HeldList { named, entries, origin, spot: spot.clone(), used: true });
        }
        if let Some(list) = self.lists.iter_mut().find(|list| &*list.named.name == text) {
            list.used = true;
            let NamedList { name, entries, as_of, .. } = &list.named;
            let summary = ListSummary { name: (**name).into(), entries: *entries, as_of: *as_of, origin: list.origin };
            return Some((summary, Arc::clone(&list.entries)));
        }
        if error != IpEntryError::Malformed || !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !is_label(text) {
            self.network_problem((text, spot), error);
            return None;
        }
        let mut known: Vec<String> = self.lists.iter().map(|list| list.named.name.as_ref().to_owned()).collect();
        known.extend(ip_lists::names());
        let hint = match nearest(text, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("describe it in [ip_lists.{text}], or write addresses, CIDRs or file:/path"),
        };
        self.findings.error(spot, format!("there is no list {text:?}"), hint);
        None
    }

    /// `file:`: its entries, sorted. Plain text, or JSON as it is published.
    fn address_file(&mut self, (path, spot): Text<'_>) -> Option<Vec<IpNet>> {
        if path.is_empty() || path.contains('\0') {
            self.findings.error(spot, "names no file", "write \"file:/path\"");
            return None;
        }
        let bytes = match self.environment.read(Path::new(path)) {
            Ok(bytes) => bytes,
            Err(error) => {
                let hint = "mount or create the file, readable by hookward's user";
                self.findings.error(spot, format!("{path} cannot be read: {error}"), hint);
                return None;
            }
        };
        if !self.files.iter().any(|file| file == Path::new(path)) {
            self.files.push(PathBuf::from(path));
        }
        match address_list::parse(&bytes, &[]) {
            Ok(entries) if entries.is_empty() => {
                self.findings.error(spot, format!("{path} is empty: it lets nobody in"), "write one entry a line");
                None
            }
            Ok(entries) => {
                if let Some(wide) = entries.iter().find(|entry| entry.prefix_len() == 0) {
                    let what = format!("{path} lets everyone in: {wide} is in it");
                    self.findings.warn(spot, what, "remove it, or list the sender's addresses");
                }
                Some(entries)
            }
            Err(ListFault::Line { .. }) => {
                self.lines_of(path, spot, std::str::from_utf8(&bytes).unwrap_or_default());
                None
            }
            Err(ListFault::NeedsSelect(fault)) => {
                let hint = "keep the keys that hold addresses: `select` is for the documents of [ip_lists.NAME]";
                let what = format!("{path}: not every key holds addresses: {}", fault.without_entry());
                self.findings.error(spot, what, hint);
                None
            }
            Err(fault) => {
                let hint = "write one address or CIDR a line, or what the provider publishes as JSON";
                self.findings.error(spot, format!("{path} is no list of addresses: {}", fault.without_entry()), hint);
                None
            }
        }
    }

    /// What is wrong with a file: the first lines one by one, the others counted.
    fn lines_of(&mut self, path: &str, spot: &Spot, text: &str) {
        let mut more = 0_usize;
        for (count, fault) in address_list::lines(text).filter_map(|line| line.entry.err()).enumerate() {
            match fault {
                ListFault::Line { line, error, .. } if count < TOLD => {
                    let hint = match error {
                        IpEntryError::HostBits(network) => format!("write {network}"),
                        _ => "write one address or CIDR a line; `#` begins a comment".to_owned(),
                    };
                    self.findings.error(spot, format!("{path}:{line}: {error}"), hint);
                }
                _ => more = more.saturating_add(1),
            }
        }
        if more > 0 {
            let lines = if more == 1 { "line is" } else { "lines are" };
            self.findings.error_without_hint(spot, format!("{path}: {more} more {lines} wrong"));
        }
    }

    /// Said when all routes are known: lists that are fetched for nobody, and those that are missed.
    pub(super) fn idle_lists(&mut self) {
        let own = PathBuf::from(self.findings.file());
        let taken: HashSet<PathBuf> = self.files.iter().chain([&own]).map(|file| plainly(file)).collect();
        for list in &self.lists {
            if list.cache().is_some_and(|cache| taken.contains(&plainly(cache))) {
                let hint = "name a file of its own: it is overwritten with every fetch";
                self.findings.error(&list.spot.child("cache"), "is a file that this configuration reads", hint);
            }
        }
        for list in &self.lists {
            if !list.used {
                let hint = format!("add \"{}\" to a route's allow_ips, or remove it", list.named.name);
                self.findings.warn(&list.spot, "no route uses this list", hint);
            } else if let Some(source) = list.named.source.as_ref().filter(|_| list.named.as_of.is_none()) {
                let what = "has no content yet: routes that name it answer 503 until it is fetched for the first time";
                let hint = match &source.cache {
                    None => "set `cache` to keep it over a restart",
                    Some(_) => "`cache` will keep it over a restart",
                };
                self.findings.warn(&list.spot, what, hint);
            }
        }
    }
}

/// The same for every way to write a path, symlinks aside.
fn plainly(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::config::tests::Fake;
    use crate::config::{Environment, Loaded, compile};

    /// What was fetched of every list.
    struct Fetched(Fake, Option<Listed>);

    impl Environment for Fetched {
        fn variable(&self, name: &str) -> Option<Vec<u8>> {
            self.0.variable(name)
        }
        fn variable_names(&self) -> Vec<String> {
            self.0.variable_names()
        }
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            self.0.read(path)
        }
        fn list(&self, _: &ListSource) -> Option<Listed> {
            self.1.clone()
        }
    }

    fn loaded(allow_ips: &str, more: &str, fetched: Option<(&str, u64)>) -> Loaded {
        let text = format!(
            "# env S=0123456789abcdef0123\n# file /lists/own=9.9.9.9\\n\n[routes.a]\npath = \"/a\"\nprovider = \"github\"\n\
             secrets = [{{ env = \"S\" }}]\nallow_ips = {allow_ips}\n{more}"
        );
        let listed = fetched.map(|(entry, as_of)| Listed { entries: Arc::new([parse_entry(entry).unwrap()]), as_of });
        let environment = Fetched(Fake::of(&text), listed);
        compile(&text, Path::new("x.toml"), &environment).unwrap_or_else(|report| panic!("{report}"))
    }

    fn allows(loaded: &Loaded, address: &str) -> bool {
        loaded.plan.routes[0].allow_ips.as_ref().unwrap().contains(address.parse().unwrap())
    }

    fn pending(loaded: &Loaded) -> bool {
        loaded.plan.routes[0].allow_ips.as_ref().unwrap().pending
    }

    const SVIX_US: &str = "44.228.126.217";
    const SVIX_EU: &str = "52.215.16.239";
    const SVIX: &str = "[ip_lists.svix]\nurl = \"https://docs.svix.com/webhook-ips.json\"\n";

    #[test]
    fn a_name_stands_for_the_addresses_that_are_shipped_under_it() {
        let all = loaded("[\"svix\"]", "", None);
        assert!(allows(&all, SVIX_US) && allows(&all, SVIX_EU) && !allows(&all, "192.30.252.1") && !pending(&all));
        let one = loaded("[\"svix-eu\", \"github\", \"10.0.0.1\", \"file:/lists/own\"]", "", None);
        assert!(allows(&one, SVIX_EU) && !allows(&one, SVIX_US) && allows(&one, "192.30.252.1"));
        assert!(allows(&one, "10.0.0.1") && allows(&one, "9.9.9.9") && !allows(&one, "9.9.9.8"));
        assert_eq!(one.files, [PathBuf::from("/lists/own")]);
        let lists: Vec<_> =
            one.plan.ip_lists.iter().map(|list| (&*list.name, list.entries, list.source.is_some())).collect();
        assert_eq!(lists, [("svix-eu", 4, false), ("github", 6, false)], "only those that a route uses");
        let summary = &one.summaries[0];
        let names: Vec<&str> = summary.lists.iter().map(|list| &*list.name).collect();
        assert_eq!((summary.allow_ips, names), (1, vec!["svix-eu", "github", "/lists/own"]));
    }

    #[test]
    fn a_selection_holds_before_the_first_fetch_too() {
        let us = loaded("[\"svix\"]", &format!("{SVIX}select = [\"us\"]"), None);
        assert!(allows(&us, SVIX_US) && !allows(&us, SVIX_EU) && !pending(&us));
        let unknown = loaded("[\"svix\"]", &format!("{SVIX}select = [\"us\", \"mars\"]"), None);
        assert!(!allows(&unknown, SVIX_US) && pending(&unknown), "what was shipped does not have it");
    }

    #[test]
    fn what_is_newer_counts_the_fetched_or_the_shipped() {
        let date = ip_lists::snapshot("svix").unwrap().date;
        for (as_of, fetched) in [(date - 1, false), (date, true), (date + 1, true)] {
            let loaded = loaded("[\"svix\"]", SVIX, Some(("203.0.113.7", as_of)));
            assert_eq!((allows(&loaded, "203.0.113.7"), allows(&loaded, SVIX_US)), (fetched, !fetched), "{as_of}");
            let list = &loaded.plan.ip_lists[0];
            assert_eq!(list.as_of, Some(if fetched { as_of } else { date }));
            assert_eq!(list.entries, if fetched { 1 } else { 20 });
        }
    }

    #[test]
    fn a_list_of_ones_own_has_nothing_until_it_is_fetched() {
        let own = "[ip_lists.own]\nurl = \"https://lists.example/a\"\n";
        let before = loaded("[\"own\", \"stripe\"]", own, None);
        assert!(pending(&before) && allows(&before, "3.18.12.63"));
        assert_eq!((before.plan.ip_lists[0].as_of, before.plan.ip_lists[0].entries), (None, 0));
        let after = loaded("[\"own\", \"stripe\"]", own, Some(("203.0.113.7", 7)));
        assert!(!pending(&after) && allows(&after, "203.0.113.7"));
        assert!(!pending(&loaded("[\"stripe\"]", own, None)), "a list that the route does not name");
    }

    #[test]
    fn a_cache_is_no_file_that_is_read_for_something_else() {
        for (cache, refused) in [
            ("x.toml", true),
            ("./y/../x.toml", true),
            ("/lists/own", true),
            ("/lists//./own", true),
            ("/run/secret", true),
            ("/lists/other", false),
        ] {
            let text = format!(
                "# file /run/secret=0123456789abcdef0123\n# file /lists/own=9.9.9.9\\n\n[routes.a]\npath = \"/a\"\n\
                 provider = \"github\"\nsecrets = [{{ file = \"/run/secret\" }}]\n\
                 allow_ips = [\"svix\", \"file:/lists/own\"]\n{SVIX}cache = \"{cache}\"\n"
            );
            let report = compile(&text, Path::new("x.toml"), &Fetched(Fake::of(&text), None));
            let said = report.err().map(|report| report.to_string());
            assert_eq!(said.is_some(), refused, "{cache}");
            assert!(said.is_none_or(|said| {
                said.contains("ip_lists.svix.cache") && said.contains("is a file that this configuration reads")
            }));
        }
        let two = format!("{SVIX}cache = \"/c/a\"\n{}cache = \"/c/./a\"", SVIX.replace(".svix]", ".svix-eu]"));
        let text = format!(
            "# env S=0123456789abcdef0123\n[routes.a]\npath = \"/a\"\nprovider = \"github\"\n\
             secrets = [{{ env = \"S\" }}]\nallow_ips = [\"svix\", \"svix-eu\"]\n{two}"
        );
        let report = compile(&text, Path::new("x.toml"), &Fetched(Fake::of(&text), None)).unwrap_err().to_string();
        assert!(report.contains("is the cache of ip_lists.svix too"), "{report}");
    }

    #[test]
    fn a_source_holds_what_its_table_says() {
        let source = |more: &str, name: &str| {
            let loaded = loaded(&format!("[\"{name}\"]"), more, None);
            (*loaded.plan.ip_lists[0].source.clone().unwrap()).clone()
        };
        let whole = "[ip_lists.github]\nurl = \"https://api.github.com/meta\"\n";
        let usual = source(whole, "github");
        assert_eq!((&*usual.name, usual.url.to_string()), ("github", "https://api.github.com/meta".to_owned()));
        assert_eq!((usual.refresh, usual.cache, usual.ca), (Duration::from_hours(6), None, None));
        assert_eq!(usual.select, [Box::from("hooks")], "the name's own");
        assert!(source(SVIX, "svix").select.is_empty());
        let one = "[ip_lists.svix-us-east]\nurl = \"https://docs.svix.com/webhook-ips.json\"\n";
        assert_eq!(source(one, "svix-us-east").select, [Box::from("us-east")]);
        let own = source(&format!("{whole}select = []\nrefresh = \"10s\"\ncache = \"/cache/a\""), "github");
        assert_eq!((own.select.len(), own.refresh, own.cache), (0, Duration::from_secs(10), Some("/cache/a".into())));
    }
}
