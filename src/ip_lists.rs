//! The named lists that are fetched again and again, and what each holds now.
//!
//! Must never give up a good list for a bad one, nor lock anybody out because a list is old.

mod cache;
mod fetch;
mod schedule;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderValue, Uri};
use ipnet::IpNet;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::cache::Saved;
use self::fetch::{FetchError, Fetched};
use self::schedule::Schedule;
use crate::check::address_list;
use crate::clock;
use crate::config::Environment;
use crate::live::Live;
use crate::plan::{ListSource, Listed};
use crate::providers::ip_lists;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::ByList;

/// The lists of the process. They outlive a reload.
#[derive(Debug, Default)]
pub struct IpLists {
    kept: Mutex<HashMap<Key, Kept>>,
    complaints: Mutex<Complaints>,
}

/// What is wrong with caches: kept until somebody asks, because the first are read before there is a log.
#[derive(Debug, Default)]
struct Complaints {
    kept: Vec<String>,
    asked: bool,
}

/// One list, as `/readyz` and the metrics show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Addresses and networks in it.
    pub entries: usize,
    /// Seconds since it was published or fetched; `None`: it has no content yet.
    pub age: Option<u64>,
    /// Fetches that have failed since the last good one.
    pub failures: u64,
    /// Why the last one failed.
    pub error: Option<Box<str>>,
}

impl ListStatus {
    /// As `/readyz` and the inspector tell it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": &*self.name,
            "entries": self.entries,
            "age_seconds": self.age,
            "refresh_failures": self.failures,
            "error": self.error,
        })
    }
}

/// An environment that knows what the lists hold now.
#[derive(Debug, Clone)]
pub struct WithLists<E> {
    inner: E,
    lists: Arc<IpLists>,
}

/// What makes the content of one source that of another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    name: Arc<str>,
    url: Uri,
    select: Vec<Box<str>>,
}

/// What is known of one source.
#[derive(Debug, Default)]
struct Kept {
    content: Option<Content>,
    failures: u64,
    error: Option<Box<str>>,
    /// The cache file that was looked at.
    looked_at: Option<PathBuf>,
}

#[derive(Debug)]
struct Content {
    listed: Listed,
    /// When these entries were first seen. `listed.as_of` moves on with every fetch that finds the same.
    since: u64,
    etag: Option<HeaderValue>,
}

/// What became of one fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// There is new content.
    New,
    /// The content is what it was.
    Same,
    /// The content stays what it was.
    Failed,
}

impl<E> WithLists<E> {
    /// What `inner` gives, and the content of `lists`.
    pub const fn new(inner: E, lists: Arc<IpLists>) -> Self {
        Self { inner, lists }
    }
}

impl<E: Environment> Environment for WithLists<E> {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        self.inner.variable(name)
    }

    fn variable_names(&self) -> Vec<String> {
        self.inner.variable_names()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.inner.read(path)
    }

    fn read_named(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.inner.read_named(path)
    }

    fn list(&self, source: &ListSource) -> Option<Listed> {
        self.lists.current(source)
    }
}

impl IpLists {
    /// What `source` holds now: fetched, or of its cache file. `None`: there is nothing that is newer than the snapshot.
    pub fn current(&self, source: &ListSource) -> Option<Listed> {
        self.warm_up(source);
        let all = self.lock();
        all.get(&Key::of(source))?.content.as_ref().map(|content| content.listed.clone())
    }

    /// What was wrong with the caches so far. From here on it goes to the log.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.asked = true;
        std::mem::take(&mut complaints.kept)
    }

    fn complain(&self, what: String) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.asked {
            tracing::warn!("{what}");
        } else {
            complaints.kept.push(what);
        }
    }

    /// The lists of the plan in force.
    pub fn status(&self, live: &Live) -> Vec<ListStatus> {
        let now = clock::unix_now();
        let all = self.lock();
        let of = |list: &crate::plan::NamedList| {
            let kept = list.source.as_ref().and_then(|source| all.get(&Key::of(source)));
            let content = kept.and_then(|kept| kept.content.as_ref());
            // Entries that the plan has not taken over yet do not make it any younger.
            let confirmed = content.filter(|content| list.as_of.is_some_and(|as_of| as_of >= content.since));
            let as_of = confirmed.map(|content| content.listed.as_of).or(list.as_of);
            ListStatus {
                name: Arc::clone(&list.name),
                entries: list.entries,
                age: as_of.map(|as_of| now.saturating_sub(as_of)),
                failures: kept.map_or(0, |kept| kept.failures),
                error: kept.and_then(|kept| kept.error.clone()),
            }
        };
        live.plan().ip_lists.iter().map(of).collect()
    }

    /// Fetches what is due, for ever. `changed` is called after each list that has new content.
    pub(crate) async fn refresh(self: Arc<Self>, live: Arc<Live>, metrics: Arc<Metrics>, changed: impl Fn() + Send) {
        let mut schedule = Schedule::default();
        let mut running: JoinSet<(Arc<ListSource>, Outcome)> = JoinSet::new();
        loop {
            let plan = live.plan();
            let sources: Vec<Arc<ListSource>> = plan.ip_lists.iter().filter_map(|list| list.source.clone()).collect();
            drop(plan);
            schedule.follow(&sources, Instant::now());
            self.forget_all_but(&sources);
            for source in schedule.start_due(Instant::now()) {
                let (lists, failures) = (Arc::clone(&self), metrics.lists.failures.clone());
                running.spawn(async move {
                    // There from the first fetch on, so that a rate can be told.
                    let failed = failures.get_or_create(&ByList { list: Arc::clone(&source.name) }).clone();
                    let outcome = lists.attend(&source).await;
                    if outcome == Outcome::Failed {
                        failed.inc();
                    }
                    (source, outcome)
                });
            }
            tokio::select! {
                () = tokio::time::sleep_until(schedule.wake(Instant::now())) => {}
                Some(done) = running.join_next(), if !running.is_empty() => match done {
                    Ok((source, outcome)) => {
                        schedule.done(&source, outcome != Outcome::Failed, Instant::now());
                        if outcome == Outcome::New {
                            changed();
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, "fetching a list broke off");
                        schedule.broke_off(Instant::now());
                    }
                }
            }
        }
    }

    /// One fetch, and what follows from it.
    async fn attend(self: Arc<Self>, source: &Arc<ListSource>) -> Outcome {
        // Long lists take their time, and files may.
        let (lists, of) = (Arc::clone(&self), Arc::clone(source));
        if tokio::task::spawn_blocking(move || lists.warm_up(&of)).await.is_err() {
            return Outcome::Failed;
        }
        let of = |all: &HashMap<Key, Kept>| all.get(&Key::of(source))?.content.as_ref()?.etag.clone();
        let etag = of(&self.lock());
        let fetched = fetch::fetch(source, etag).await;
        let (lists, of) = (Arc::clone(&self), Arc::clone(source));
        let taken = tokio::task::spawn_blocking(move || lists.take(&of, fetched)).await;
        taken.unwrap_or(Outcome::Failed)
    }

    fn take(&self, source: &ListSource, fetched: Result<Fetched, FetchError>) -> Outcome {
        let now = clock::unix_now();
        self.warm_up(source);
        let read = fetched.and_then(|fetched| match fetched {
            Fetched::Unchanged => Ok(None),
            Fetched::Document { bytes, etag } => {
                Ok(Some((address_list::parse(without_mark(&bytes), &source.select)?, etag)))
            }
        });
        let (outcome, saved) = {
            let mut all = self.lock();
            let kept = all.entry(Key::of(source)).or_default();
            match read.and_then(|read| kept.replace(source, read, now)) {
                Ok(outcome) => {
                    if kept.error.take().is_some() {
                        tracing::info!(list = &*source.name, "the list of addresses can be fetched again");
                    }
                    kept.failures = 0;
                    (outcome, kept.content.as_ref().map(|content| Saved::of(source, content)))
                }
                Err(error) => {
                    kept.failed(source, &error.to_string());
                    (Outcome::Failed, None)
                }
            }
        };
        if let (Some(path), Some(saved)) = (&source.cache, saved)
            && let Err(error) = saved.write(path)
        {
            tracing::warn!(list = &*source.name, path = %path.display(), %error, "the list's cache cannot be written");
        }
        outcome
    }

    /// Takes over what the cache file holds, if there is nothing yet. Looks once: the file is only for a start. It is read
    /// without the lock, which `/readyz` takes too: a file system may hang.
    fn warm_up(&self, source: &ListSource) {
        let Some(path) = &source.cache else { return };
        let is_done = |kept: &Kept| kept.content.is_some() || kept.looked_at.as_ref() == Some(path);
        if self.lock().get(&Key::of(source)).is_some_and(is_done) {
            return;
        }
        let found = cached(source, path).unwrap_or_else(|why| {
            let (name, path) = (&source.name, path.display());
            self.complain(format!("ip_lists.{name}: the cache {path} is ignored: {why}"));
            None
        });
        let mut all = self.lock();
        let kept = all.entry(Key::of(source)).or_default();
        kept.looked_at = Some(path.clone());
        if kept.content.is_none() {
            kept.content = found;
        }
    }

    fn forget_all_but(&self, sources: &[Arc<ListSource>]) {
        let mut all = self.lock();
        if all.len() > sources.len() {
            let wanted: Vec<Key> = sources.iter().map(|source| Key::of(source)).collect();
            all.retain(|key, _| wanted.contains(key));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn of(source: &ListSource) -> Self {
        Self { name: Arc::clone(&source.name), url: source.url.clone(), select: source.select.clone() }
    }
}

impl Kept {
    /// `None`: the server says that nothing has changed.
    fn replace(
        &mut self,
        source: &ListSource,
        read: Option<(Vec<IpNet>, Option<HeaderValue>)>,
        now: u64,
    ) -> Result<Outcome, FetchError> {
        let Some((entries, etag)) = read else {
            let content = self.content.as_mut().ok_or(FetchError::Status(http::StatusCode::NOT_MODIFIED))?;
            content.listed.as_of = now;
            return Ok(Outcome::Same);
        };
        let before = self.content.as_ref().map(|content| Arc::clone(&content.listed.entries));
        let before = before.or_else(|| shipped(source).map(|(entries, _)| entries.into()));
        address_list::accept(&entries, before.as_deref())?;
        if let Some(content) = self.content.as_mut().filter(|content| *content.listed.entries == *entries) {
            content.listed.as_of = now;
            content.etag = etag;
            return Ok(Outcome::Same);
        }
        tracing::info!(list = &*source.name, entries = entries.len(), "the list of addresses was fetched");
        self.content = Some(Content { listed: Listed { entries: entries.into(), as_of: now }, since: now, etag });
        Ok(Outcome::New)
    }

    fn failed(&mut self, source: &ListSource, error: &str) {
        self.failures = self.failures.saturating_add(1);
        if self.error.as_deref() != Some(error) {
            tracing::warn!(list = &*source.name, error, "the list of addresses is not refreshed: the old one stays");
            self.error = Some(error.into());
        }
    }
}

/// What the source's cache file holds, if it is worth anything.
fn cached(source: &ListSource, path: &Path) -> Result<Option<Content>, String> {
    let content = match Saved::read(path) {
        Ok(Some(saved)) if saved.is_of(source) => saved.content(clock::unix_now()),
        Ok(Some(_)) => return Err("it holds what another address or selection gave".to_owned()),
        Ok(None) => return Ok(None),
        Err(error) => Err(error),
    };
    let content = content.map_err(|error| error.to_string())?;
    // A release may bring a snapshot that is newer.
    let is_outdated = shipped(source).is_some_and(|(_, date)| date > content.listed.as_of);
    Ok(Some(content).filter(|_| !is_outdated))
}

/// Without the byte order mark that some editors put before a text.
fn without_mark(document: &[u8]) -> &[u8] {
    document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document)
}

/// The snapshot that stands for this source until it is fetched, and its date.
fn shipped(source: &ListSource) -> Option<(Vec<IpNet>, u64)> {
    let snapshot = ip_lists::snapshot(&source.name)?;
    Some((snapshot.selected(&source.select)?, snapshot.date))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::check::address_list::ListFault;
    use crate::config;

    fn source(name: &str, select: &[&str], cache: Option<PathBuf>) -> ListSource {
        ListSource {
            name: name.into(),
            url: "https://lists.example/a".parse().unwrap(),
            refresh: Duration::from_hours(6),
            select: select.iter().map(|key| (*key).into()).collect(),
            cache,
            ca: None,
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what a fetch gives")]
    fn document(text: &str, etag: Option<&'static str>) -> Result<Fetched, FetchError> {
        let etag = etag.map(HeaderValue::from_static);
        Ok(Fetched::Document { bytes: bytes::Bytes::copy_from_slice(text.as_bytes()), etag })
    }

    fn broken() -> Result<Fetched, FetchError> {
        Err(FetchError::Status(StatusCode::BAD_GATEWAY))
    }

    impl IpLists {
        fn has(&self, source: &ListSource) -> Vec<String> {
            let listed = self.current(source);
            listed.iter().flat_map(|listed| listed.entries.iter()).map(ToString::to_string).collect()
        }

        fn set_time(&self, source: &ListSource, as_of: u64) {
            let mut all = self.lock();
            let content = all.get_mut(&Key::of(source)).unwrap().content.as_mut().unwrap();
            (content.listed.as_of, content.since) = (as_of, as_of);
        }
    }

    #[test]
    fn the_first_list_is_new_and_the_same_again_only_makes_it_fresh() {
        let (lists, of) = (IpLists::default(), source("own", &[], None));
        assert_eq!(lists.current(&of), None);
        assert_eq!(lists.take(&of, document("192.0.2.1", Some("\"1\""))), Outcome::New);
        let fresh = |lists: &IpLists| lists.current(&of).unwrap().as_of > 1_700_000_000;
        for again in [document("192.0.2.1\n192.0.2.1", None), Ok(Fetched::Unchanged)] {
            lists.set_time(&of, 7);
            assert!(!fresh(&lists));
            assert_eq!(lists.take(&of, again), Outcome::Same);
            assert!(fresh(&lists), "its age begins anew");
        }
        let tag = |lists: &IpLists| lists.lock().get(&Key::of(&of)).unwrap().content.as_ref().unwrap().etag.clone();
        assert_eq!(tag(&lists), None, "the document came without one");
        assert_eq!(lists.take(&of, document("192.0.2.1\n", Some("\"2\""))), Outcome::Same);
        assert_eq!(tag(&lists).unwrap(), "\"2\"");
        assert_eq!(lists.take(&of, document("192.0.2.2", None)), Outcome::New);
        assert_eq!(lists.has(&of), ["192.0.2.2/32"]);
    }

    #[test]
    fn a_byte_order_mark_does_not_count() {
        for text in ["\u{feff}[\"192.0.2.1\"]", "\u{feff}192.0.2.1"] {
            let (lists, of) = (IpLists::default(), source("own", &[], None));
            assert_eq!(lists.take(&of, document(text, None)), Outcome::New, "{text}");
            assert_eq!(lists.has(&of), ["192.0.2.1/32"]);
        }
    }

    #[test]
    fn failures_keep_the_list_and_are_counted_until_one_is_good() {
        let (lists, of) = (IpLists::default(), source("own", &[], None));
        lists.take(&of, document("192.0.2.1\n192.0.2.2\n192.0.2.3", None));
        lists.set_time(&of, 7);
        for bad in [broken(), document("", None), document("192.0.2.1", None), document("?", None)] {
            assert_eq!(lists.take(&of, bad), Outcome::Failed);
            let kept = lists.current(&of).unwrap();
            assert_eq!((kept.entries.len(), kept.as_of), (3, 7));
        }
        let key = Key::of(&of);
        assert_eq!(lists.lock().get(&key).map(|kept| (kept.failures, kept.error.is_some())), Some((4, true)));
        lists.take(&of, document("192.0.2.1\n192.0.2.2", None));
        assert_eq!(lists.lock().get(&key).map(|kept| (kept.failures, kept.error.is_some())), Some((0, false)));
    }

    #[test]
    fn an_unasked_304_is_no_list() {
        let (lists, of) = (IpLists::default(), source("own", &[], None));
        assert_eq!(lists.take(&of, Ok(Fetched::Unchanged)), Outcome::Failed);
        assert_eq!(lists.current(&of), None);
    }

    #[test]
    fn the_first_list_is_compared_with_the_snapshot_of_its_name() {
        let (lists, all, us) = (IpLists::default(), source("svix", &[], None), source("svix", &["us"], None));
        let of = |count: u8| {
            let entries: Vec<String> = (0..count).map(|n| format!("\"192.0.2.{n}\"")).collect();
            document(&format!("{{\"us\": [{}]}}", entries.join(",")), None)
        };
        assert_eq!(lists.take(&all, of(9)), Outcome::Failed, "20 shipped");
        let error = lists.lock().get(&Key::of(&all)).unwrap().error.clone().unwrap();
        let fault = ListFault::Shrunk { new: 9, old: 20 };
        assert_eq!(&*error, FetchError::List(fault).to_string());
        assert_eq!(lists.take(&all, of(10)), Outcome::New);
        assert_eq!(lists.take(&us, of(2)), Outcome::Failed, "5 shipped for this region");
        assert_eq!(lists.take(&us, of(3)), Outcome::New);
        assert_eq!((lists.has(&all).len(), lists.has(&us).len()), (10, 3), "each selection has a content of its own");
    }

    #[test]
    fn a_cache_counts_for_its_own_source_and_while_no_snapshot_is_newer() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("svix.json");
        let of = source("svix", &["us"], Some(file.clone()));
        let first = IpLists::default();
        assert_eq!(
            first.take(&of, document(r#"{"us": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}"#, Some("\"1\""))),
            Outcome::New
        );
        assert_eq!(IpLists::default().has(&of).len(), 3);
        assert_eq!(IpLists::default().current(&source("svix", &["eu"], Some(file.clone()))), None);
        let elsewhere = ListSource { url: "https://lists.example/b".parse().unwrap(), ..of.clone() };
        assert_eq!(IpLists::default().current(&elsewhere), None);

        let (_, date) = shipped(&of).unwrap();
        for (fetched, entries) in [(date, 3), (date - 1, 0)] {
            first.set_time(&of, fetched);
            Saved::of(&of, first.lock().get(&Key::of(&of)).unwrap().content.as_ref().unwrap()).write(&file).unwrap();
            assert_eq!(IpLists::default().has(&of).len(), entries, "{fetched}");
        }
    }

    #[test]
    fn a_cache_that_is_a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(IpLists::default().current(&source("own", &[], Some(pipe)))));
        assert_eq!(told.recv_timeout(Duration::from_secs(5)), Ok(None));
    }

    #[test]
    fn a_cache_that_is_damaged_is_complained_about_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.json");
        let of = source("own", &[], Some(file.clone()));
        let saved = |entries: &str| {
            format!(
                "{{\"url\": \"https://lists.example/a\", \"select\": [], \"fetched\": 1, \"entries\": [{entries}]}}"
            )
        };
        for (text, why) in [
            (saved("\"192.0.2.1/32\"")[..40].to_owned(), "it is not what was written (line 1)"),
            ("\0\u{7f}".to_owned(), "it is not what was written (line 1)"),
            (saved("\"10.0.0.0/7\""), "10.0.0.0/7"),
            (saved("").replace("/a", "/b"), "it holds what another address or selection gave"),
        ] {
            std::fs::write(&file, &text).unwrap();
            let lists = IpLists::default();
            assert_eq!((lists.current(&of), lists.current(&of)), (None, None));
            let complaints = lists.complaints();
            assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
            let begin = format!("ip_lists.own: the cache {} is ignored: ", file.display());
            assert!(complaints[0].starts_with(&begin) && complaints[0].contains(why), "{complaints:?}");
            assert!(lists.complaints().is_empty());
        }
        std::fs::write(&file, saved("\"192.0.2.1/32\"")).unwrap();
        let lists = IpLists::default();
        assert_eq!((lists.has(&of).len(), lists.complaints().len()), (1, 0));
    }

    #[test]
    fn a_time_in_a_cache_that_has_not_come_yet_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.json");
        let of = source("own", &[], Some(file.clone()));
        let first = IpLists::default();
        first.take(&of, document("192.0.2.1", None));
        first.set_time(&of, u64::MAX);
        Saved::of(&of, first.lock().get(&Key::of(&of)).unwrap().content.as_ref().unwrap()).write(&file).unwrap();
        assert!(IpLists::default().current(&of).unwrap().as_of <= clock::unix_now());
    }

    #[test]
    fn a_list_that_no_plan_names_any_more_is_forgotten() {
        let (lists, a, b) = (IpLists::default(), source("a", &[], None), source("b", &[], None));
        lists.take(&a, document("192.0.2.1", None));
        lists.take(&b, document("192.0.2.2", None));
        lists.forget_all_but(&[Arc::new(a.clone())]);
        assert_eq!((lists.has(&a).len(), lists.has(&b).len()), (1, 0));
    }

    #[test]
    fn the_age_is_that_of_what_the_plan_holds() {
        const CONFIG: &str = "[routes.a]\npath = \"/a\"\nprovider = \"github\"\n\
            secrets = [{ insecure_value = \"mysecretmysecret\" }]\nallow_ips = [\"own\", \"stripe\"]\n\
            [ip_lists.own]\nurl = \"https://lists.example/a\"\nrefresh = \"6h\"\n";
        let (lists, of) = (Arc::new(IpLists::default()), source("own", &[], None));
        let environment = WithLists::new(config::System, Arc::clone(&lists));
        let plan = || config::compile(CONFIG, Path::new("x.toml"), &environment).unwrap().plan;
        let live = Live::new(Arc::new(plan()));
        let own = |lists: &IpLists, live: &Live| {
            let status = lists.status(live).into_iter().find(|list| &*list.name == "own").unwrap();
            (status.entries, status.age)
        };
        assert_eq!(own(&lists, &live), (0, None));
        assert!(
            lists.status(&live).iter().any(|list| &*list.name == "stripe" && list.entries == 15 && list.age.is_some())
        );
        let now = clock::unix_now();
        lists.take(&of, document("192.0.2.1", None));
        assert_eq!(own(&lists, &live), (0, None), "the plan does not have it yet");
        lists.set_time(&of, now - 1000);
        live.swap(plan());
        assert!(matches!(own(&lists, &live), (1, Some(1000..1010))));
        lists.take(&of, document("192.0.2.1", None));
        assert!(matches!(own(&lists, &live), (1, Some(0..10))), "confirmed a moment ago");
        lists.take(&of, document("192.0.2.2", None));
        assert!(matches!(own(&lists, &live), (1, Some(1000..1010))), "the plan still has the old one");
    }
}
