//! What Prometheus may know of a running gate.
//!
//! Counting takes no lock and allocates nothing: a request that ends finds its route once and adds to it. Writing it all out
//! takes a picture of the numbers one by one, and holds nothing that a request needs. Must never have a label that is
//! unbounded (see [`table`]).

mod histogram;
mod route;
mod scrape;
pub mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

pub use self::route::Ended;
pub use self::scrape::{Format, ListSample, Snapshot};

use self::route::{Board, Cells};
use crate::clock;
use crate::live::ReloadOutcome;
use crate::plan::Plan;

/// The process's metrics.
#[derive(Debug)]
pub struct Metrics {
    started: u64,
    /// Requests that came to no route.
    unrouted: Cells,
    board: Board,
    reloads: Family<ByOutcome, Counter>,
    /// Unix seconds.
    loaded: AtomicU64,
    pub(crate) lists: ListMetrics,
    pub(crate) replay: ReplayMetrics,
}

/// Of the replay store.
#[derive(Debug, Clone, Default)]
pub struct ReplayMetrics {
    /// Deliveries that waited for the same one.
    pub(crate) waits: Counter,
    /// Forgotten before their time, because the store was full.
    pub(crate) evicted: Counter,
    /// Runs whose end nobody knows.
    pub(crate) unknown: Counter,
    /// Calls that the store did not answer.
    pub(crate) store_errors: Counter,
}

/// Of the named lists.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListMetrics {
    pub(crate) failures: Family<ByList, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

/// The label of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByList {
    pub(crate) list: Arc<str>,
}

impl Metrics {
    /// Nothing has happened yet.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        let reloads = Family::<ByOutcome, Counter>::default();
        // There from the start: a counter that first appears as 1 has no increase that an alert could see.
        for outcome in ReloadOutcome::ALL {
            drop(reloads.get_or_create(&ByOutcome { outcome: outcome.code() }));
        }
        Self {
            started: clock::unix_now(),
            unrouted: Cells::new(),
            board: Board::default(),
            reloads,
            loaded: AtomicU64::new(0),
            lists: ListMetrics::default(),
            replay: ReplayMetrics::default(),
        }
    }

    /// An attempt to reload ended.
    pub(crate) fn reloaded(&self, outcome: &'static str) {
        self.reloads.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// When the plan in force was loaded, unix seconds.
    pub(crate) fn loaded_at(&self, unix_seconds: u64) {
        self.loaded.store(unix_seconds, Ordering::Relaxed);
    }

    /// The routes of a plan and their secrets, each with its counters.
    pub fn expect(&self, plan: &Plan) {
        self.board.follow(plan);
    }

    /// A request has ended. Once for each, whether or not it is logged.
    pub fn ended(&self, ended: &Ended<'_>) {
        match ended.route {
            // Traffic that streams through: how long it takes is the app's affair and its client's.
            None => self.unrouted.count(ended.outcome),
            Some(route) => self.board.add(route, ended),
        }
    }
}

#[cfg(test)]
mod tests;
