//! What is counted of each route, and where a request that ends finds it.
//!
//! The board is swapped whole when a plan comes into force, so that looking a route up takes no lock. A route that a reload
//! took away keeps its counters until the process ends: a request may still be under way, and what was counted since the
//! last scrape must be seen. Its gauges are gone: they tell what is. Must never be keyed by anything but a route's name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::StatusCode;

use super::histogram::{BODY, Histogram, OWN, SKEW, WEBHOOK};
use crate::plan::Plan;
use crate::telemetry::access::Outcome;

/// Classes of the app's statuses.
pub(super) const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "other"];

/// What there is to count of a request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'r> {
    /// The route that it came to.
    pub route: Option<&'r Arc<str>>,
    /// How it ended.
    pub outcome: Outcome,
    /// The status of the answer.
    pub status: Option<StatusCode>,
    /// The label of the secret that matched.
    pub secret: Option<&'r Arc<str>>,
    /// From its head to the end of its answer, in microseconds.
    pub total_us: u64,
    /// How long the app took, in microseconds, where it was handed over.
    pub upstream_us: Option<u64>,
    /// How long it took until then, without the body's arrival.
    pub added_us: Option<u64>,
    /// Of the body.
    pub bytes_in: u64,
    /// Seconds by which its timestamp is ahead of our clock.
    pub skew_seconds: Option<i64>,
    /// When it began, in unix seconds.
    pub unix_seconds: u64,
}

/// The counters of one route, or of requests that came to none.
#[derive(Debug)]
pub(super) struct Cells {
    /// In the order of [`Outcome::all`].
    outcomes: Box<[AtomicU64]>,
    pub(super) classes: [AtomicU64; CLASSES.len()],
    /// Unix seconds; 0: never.
    last_success: AtomicU64,
    pub(super) total: Histogram,
    pub(super) upstream: Histogram,
    pub(super) added: Histogram,
    pub(super) body: Histogram,
    pub(super) behind: Histogram,
    pub(super) ahead: Histogram,
}

impl Cells {
    pub(super) fn new() -> Self {
        Self {
            outcomes: Outcome::all().map(|_| AtomicU64::new(0)).collect(),
            classes: Default::default(),
            last_success: AtomicU64::new(0),
            total: Histogram::new(&WEBHOOK),
            upstream: Histogram::new(&WEBHOOK),
            added: Histogram::new(&OWN),
            body: Histogram::new(&BODY),
            behind: Histogram::new(&SKEW),
            ahead: Histogram::new(&SKEW),
        }
    }

    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(cell) = self.outcomes.get(outcome.index()) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every outcome and how often it was.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::all().zip(self.outcomes.iter().map(|cell| cell.load(Ordering::Relaxed)))
    }

    pub(super) fn last_success(&self) -> Option<u64> {
        Some(self.last_success.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    fn add(&self, ended: &Ended<'_>) {
        self.count(ended.outcome);
        self.total.observe(ended.total_us);
        self.body.observe(ended.bytes_in);
        if let Some(upstream) = ended.upstream_us {
            self.upstream.observe(upstream);
        }
        if let Some(added) = ended.added_us {
            self.added.observe(added);
        }
        match ended.skew_seconds {
            Some(ahead) if ahead > 0 => self.ahead.observe(ahead.unsigned_abs()),
            Some(behind) => self.behind.observe(behind.unsigned_abs()),
            None => {}
        }
        let succeeded = match (ended.outcome, ended.status) {
            (Outcome::Forwarded | Outcome::WouldReject, Some(status)) => {
                if let Some(cell) = self.classes.get(class(status)) {
                    cell.fetch_add(1, Ordering::Relaxed);
                }
                // What was not proven genuine is nobody's success.
                status.is_success() && ended.outcome == Outcome::Forwarded
            }
            (Outcome::Duplicate | Outcome::Filtered, _) => true,
            (
                Outcome::Forwarded
                | Outcome::WouldReject
                | Outcome::Passed
                | Outcome::Handshake
                | Outcome::ClientLeft
                | Outcome::Rejected(_),
                _,
            ) => false,
        };
        if succeeded {
            // They do not end in the order in which they began.
            self.last_success.fetch_max(ended.unix_seconds, Ordering::Relaxed);
        }
    }
}

/// The place in [`CLASSES`].
fn class(status: StatusCode) -> usize {
    match status.as_u16() {
        200..300 => 0,
        300..400 => 1,
        400..500 => 2,
        500..600 => 3,
        _ => 4,
    }
}

/// A route, as the last plan that had it said.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) cells: Arc<Cells>,
    /// By the secret's label; those that a reload took away too.
    pub(super) verified: Vec<(Arc<str>, Arc<AtomicU64>)>,
    /// Whether every check is enforced. `None`: the plan in force does not have the route.
    pub(super) enforcing: Option<bool>,
}

impl Series {
    fn new() -> Self {
        Self { cells: Arc::new(Cells::new()), verified: Vec::new(), enforcing: None }
    }

    fn expect(&mut self, secret: &Arc<str>) {
        if !self.verified.iter().any(|(label, _)| label == secret) {
            self.verified.push((Arc::clone(secret), Arc::default()));
        }
    }

    /// False: it has no such secret.
    fn add(&self, ended: &Ended<'_>) -> bool {
        if let Some(secret) = ended.secret {
            let Some((_, count)) = self.verified.iter().find(|(label, _)| label == secret) else { return false };
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.cells.add(ended);
        true
    }
}

type ByName = BTreeMap<Arc<str>, Series>;

/// Every route that there has been.
#[derive(Debug, Default)]
pub(super) struct Board {
    routes: ArcSwap<ByName>,
    /// Held by whoever puts another map in its place.
    changing: Mutex<()>,
}

impl Board {
    /// The routes of a plan and their secrets: there from the start, because a counter that first appears as 1 has no
    /// increase that an alert could see.
    pub(super) fn follow(&self, plan: &Plan) {
        self.change(|routes| {
            for series in routes.values_mut() {
                series.enforcing = None;
            }
            for route in &plan.routes {
                let series = routes.entry(Arc::clone(&route.name)).or_insert_with(Series::new);
                series.enforcing = Some(!route.reported.any());
                route.keys.iter().for_each(|key| series.expect(&key.label));
            }
        });
    }

    /// A request to a route has ended.
    pub(super) fn add(&self, route: &Arc<str>, ended: &Ended<'_>) {
        if self.routes.load().get(route).is_some_and(|series| series.add(ended)) {
            return;
        }
        // It was quicker than the reload that brought the route, or the secret, was in telling so.
        self.change(|routes| {
            let series = routes.entry(Arc::clone(route)).or_insert_with(Series::new);
            ended.secret.into_iter().for_each(|secret| series.expect(secret));
        });
        if let Some(series) = self.routes.load().get(route) {
            series.add(ended);
        }
    }

    /// As it is now, by name.
    pub(super) fn routes(&self) -> Arc<ByName> {
        self.routes.load_full()
    }

    fn change(&self, change: impl FnOnce(&mut ByName)) {
        let _only = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routes = ByName::clone(&self.routes.load());
        change(&mut routes);
        self.routes.store(Arc::new(routes));
    }
}
