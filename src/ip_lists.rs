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

    fn list(&self, source: &ListSource) -> Option<Listed> {
        self.lists.current(source)
    }
}

impl IpLists {
    /// What `source` holds now: fetched, or of its cache file. `None`: there is nothing that is newer than the snapshot.
    pub fn current(&self, source: &ListSource) -> Option<Listed> {
        let mut all = self.lock();
        let kept = all.entry(Key::of(source)).or_default();
        kept.warm_up(source);
        kept.content.as_ref().map(|content| content.listed.clone())
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
        let etag = {
            let mut all = self.lock();
            let kept = all.entry(Key::of(source)).or_default();
            kept.warm_up(source);
            kept.content.as_ref().and_then(|content| content.etag.clone())
        };
        let fetched = fetch::fetch(source, etag).await;
        // Long lists take their time, and files may.
        let (lists, of) = (Arc::clone(&self), Arc::clone(source));
        let taken = tokio::task::spawn_blocking(move || lists.take(&of, fetched)).await;
        taken.unwrap_or(Outcome::Failed)
    }

    fn take(&self, source: &ListSource, fetched: Result<Fetched, FetchError>) -> Outcome {
        let now = clock::unix_now();
        let read = fetched.and_then(|fetched| match fetched {
            Fetched::Unchanged => Ok(None),
            Fetched::Document { bytes, etag } => Ok(Some((address_list::parse(&bytes, &source.select)?, etag))),
        });
        let (outcome, saved) = {
            let mut all = self.lock();
            let kept = all.entry(Key::of(source)).or_default();
            kept.warm_up(source);
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
    /// Takes over what the cache file holds, if there is nothing yet. Looks once: the file is only for a start.
    fn warm_up(&mut self, source: &ListSource) {
        let Some(path) = source.cache.as_ref().filter(|_| self.content.is_none()) else { return };
        if self.looked_at.as_ref() == Some(path) {
            return;
        }
        self.looked_at = Some(path.clone());
        let found = match Saved::read(path) {
            Ok(Some(saved)) if saved.is_of(source) => saved.content(clock::unix_now()),
            Ok(Some(_)) => {
                let why = "the cache holds what another address or selection gave: it is ignored";
                tracing::warn!(list = &*source.name, path = %path.display(), why);
                return;
            }
            Ok(None) => return,
            Err(error) => Err(error),
        };
        match found {
            // A release may bring a snapshot that is newer.
            Ok(content) => {
                self.content = shipped(source).is_none_or(|(_, date)| date <= content.listed.as_of).then_some(content)
            }
            Err(error) => {
                tracing::warn!(list = &*source.name, path = %path.display(), %error, "the list's cache is ignored");
            }
        }
    }

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

/// The snapshot that stands for this source until it is fetched, and its date.
fn shipped(source: &ListSource) -> Option<(Vec<IpNet>, u64)> {
    let snapshot = ip_lists::snapshot(&source.name)?;
    Some((snapshot.selected(&source.select)?, snapshot.date))
}
