//! What Prometheus may know of a running gate: names, HELP and labels in one file.
//!
//! Labels are bounded: names of the configuration and codes, never an address, a path or an id.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::access::Outcome;
use crate::live::ReloadOutcome;
use crate::plan::Plan;

/// The process's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reloads: Family<ByOutcome, Counter>,
    loaded: Gauge,
    requests: Family<ByRoute, Counter>,
    passed: Counter,
    unrouted: Arc<str>,
    verified: Family<BySecret, Counter>,
    buffered: Gauge,
    connections: Gauge,
    enforcing: Family<EnforcedRoute, Gauge>,
    pub(crate) lists: ListMetrics,
    pub(crate) replay: ReplayMetrics,
}

/// Of the replay store.
#[derive(Debug, Clone, Default)]
pub struct ReplayMetrics {
    /// Remembered in this process; set when it is asked for.
    pub(crate) entries: Gauge,
    /// Forgotten before their time, because the store was full.
    pub(crate) evicted: Counter,
    /// Runs whose end nobody knows.
    pub(crate) unknown: Counter,
    /// Calls that the store did not answer.
    pub(crate) store_errors: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnforcedRoute {
    route: Arc<str>,
}

/// Of the named lists; set when they are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListMetrics {
    pub(crate) age: Family<ByList, Gauge>,
    pub(crate) entries: Family<ByList, Gauge>,
    pub(crate) failures: Family<ByList, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    /// Empty where a request came to none.
    route: Arc<str>,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySecret {
    route: Arc<str>,
    secret: Arc<str>,
}

/// The label of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByList {
    pub(crate) list: Arc<str>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("hookward");
        let reloads = Family::<ByOutcome, Counter>::default();
        // There from the start: a counter that first appears as 1 has no increase that an alert could see.
        for outcome in ReloadOutcome::ALL {
            drop(reloads.get_or_create(&ByOutcome { outcome: outcome.code() }));
        }
        registry.register("config_reload", "Attempts to reload the configuration", reloads.clone());
        let loaded = Gauge::default();
        registry.register_with_unit(
            "config_last_load_timestamp",
            "When the plan in force was loaded, in unix time",
            Unit::Seconds,
            loaded.clone(),
        );
        let requests = Family::<ByRoute, Counter>::default();
        registry.register("requests", "Requests that have ended, by route and outcome", requests.clone());
        let unrouted: Arc<str> = Arc::from("");
        let passed = ByRoute { route: Arc::clone(&unrouted), outcome: Outcome::Passed.code() };
        let passed = requests.get_or_create(&passed).clone();
        let verified = Family::<BySecret, Counter>::default();
        registry.register(
            "verified",
            "Requests that were proven genuine, by the secret that matched",
            verified.clone(),
        );
        let (buffered, connections) = (Gauge::default(), Gauge::default());
        registry.register_with_unit(
            "buffered",
            "Webhook bodies held, of limits.buffered_bytes",
            Unit::Bytes,
            buffered.clone(),
        );
        registry.register("connections", "Open client connections and tunnels", connections.clone());
        let lists = ListMetrics::default();
        registry.register_with_unit(
            "ip_list_age",
            "Time since a named list of addresses was published or fetched",
            Unit::Seconds,
            lists.age.clone(),
        );
        registry.register("ip_list_entries", "Addresses and networks in a named list", lists.entries.clone());
        registry.register(
            "ip_list_refresh_failures",
            "Fetches of a named list that failed or were refused",
            lists.failures.clone(),
        );
        let enforcing = Family::<EnforcedRoute, Gauge>::default();
        registry.register(
            "route_enforcing",
            "Whether every check of the route is enforced, 0 where insecure_report lets some only log",
            enforcing.clone(),
        );
        let replay = ReplayMetrics::default();
        registry.register("replay_entries", "Deliveries that are remembered in memory", replay.entries.clone());
        registry.register(
            "replay_evicted",
            "Deliveries forgotten before replay.ttl, because the store was full",
            replay.evicted.clone(),
        );
        registry.register(
            "replay_unknown",
            "Deliveries that were sent to the app and got no answer",
            replay.unknown.clone(),
        );
        registry.register(
            "replay_store_errors",
            "Calls that the replay store did not answer",
            replay.store_errors.clone(),
        );
        Self {
            registry,
            reloads,
            loaded,
            requests,
            passed,
            unrouted,
            verified,
            buffered,
            connections,
            enforcing,
            lists,
            replay,
        }
    }

    /// An attempt to reload ended.
    pub(crate) fn reloaded(&self, outcome: &'static str) {
        self.reloads.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// When the plan in force was loaded, unix seconds.
    pub(crate) fn loaded_at(&self, unix_seconds: u64) {
        self.loaded.set(i64::try_from(unix_seconds).unwrap_or(i64::MAX));
    }

    /// The routes of a plan and their secrets, each with its counters.
    pub(crate) fn expect(&self, plan: &Plan) {
        for outcome in Outcome::all().filter(|outcome| !outcome.needs_route()) {
            drop(self.requests.get_or_create(&self.ending(None, outcome)));
        }
        self.enforcing.clear();
        for route in &plan.routes {
            let label = EnforcedRoute { route: Arc::clone(&route.name) };
            self.enforcing.get_or_create(&label).set(i64::from(!route.reported.any()));
            for outcome in Outcome::all().filter(|outcome| *outcome != Outcome::Passed) {
                drop(self.requests.get_or_create(&self.ending(Some(&route.name), outcome)));
            }
            for key in &route.keys {
                let label = BySecret { route: Arc::clone(&route.name), secret: Arc::clone(&key.label) };
                drop(self.verified.get_or_create(&label));
            }
        }
    }

    /// A request has ended. Once for each, whether or not it is logged.
    pub(crate) fn ended(&self, route: Option<&Arc<str>>, outcome: Outcome) {
        if route.is_none() && outcome == Outcome::Passed {
            // Most requests: no look-up.
            self.passed.inc();
        } else {
            self.requests.get_or_create(&self.ending(route, outcome)).inc();
        }
    }

    fn ending(&self, route: Option<&Arc<str>>, outcome: Outcome) -> ByRoute {
        ByRoute { route: Arc::clone(route.unwrap_or(&self.unrouted)), outcome: outcome.code() }
    }

    /// A request was proven genuine by this secret.
    pub(crate) fn verified(&self, route: &Arc<str>, secret: &Arc<str>) {
        self.verified.get_or_create(&BySecret { route: Arc::clone(route), secret: Arc::clone(secret) }).inc();
    }

    /// What is held now. Set when it is asked for.
    pub(crate) fn load(&self, buffered_bytes: u64, connections: usize) {
        self.buffered.set(i64::try_from(buffered_bytes).unwrap_or(i64::MAX));
        self.connections.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    /// The text that a scraper gets (`OpenMetrics` 1.0).
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
