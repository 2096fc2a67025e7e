//! Every metric: name, unit, type, labels and HELP, one row each. The README's table is made of the same rows.
//!
//! Names follow the Prometheus conventions (base units, `_total` for counters). Labels are bounded: names of the
//! configuration, codes and classes. Must never have a label that a request could choose: an address, a path, an id.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// What every name begins with.
pub const PREFIX: &str = "hookward";

/// What a metric can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until a restart.
    Counter,
    /// What is now.
    Gauge,
    /// How values are spread, in cumulative buckets.
    Histogram,
}

impl Kind {
    /// The word for it in `# TYPE`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    pub(super) const fn metric_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
        }
    }
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// The name without prefix, unit and `_total`.
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    /// The type.
    pub kind: Kind,
    /// Names of the labels, in their order; without `le`.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

impl Row {
    /// The name that a query uses; of a histogram, without `_bucket`, `_sum` or `_count`.
    pub fn full_name(&self) -> String {
        let unit = self.unit.as_ref().map_or_else(String::new, |unit| format!("_{}", unit.as_str()));
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        [PREFIX, "_", self.name, &unit, suffix].concat()
    }
}

macro_rules! unit {
    (-) => {
        None
    };
    ($unit:ident) => {
        Some(Unit::$unit)
    };
}

macro_rules! metrics {
    ($($variant:ident = $kind:ident $name:literal $unit:tt [$($label:literal)*] $help:literal;)+) => {
        /// A metric. See [`Metric::ALL`] for the whole table.
        #[expect(clippy::doc_markdown, reason = "HELP is plain text")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Metric {
            $(#[doc = $help] $variant,)+
        }

        impl Metric {
            /// Every metric, in the order of the answer.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its row.
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        name: $name, unit: unit!($unit), kind: Kind::$kind, labels: &[$($label),*], help: $help,
                    },)+
                }
            }
        }
    };
}

metrics! {
    BuildInfo = Gauge "build_info" - ["version"]
        "Always 1; the version is in the label.";
    ProcessStart = Gauge "process_start_time" Seconds []
        "When the process started, in unix time.";
    Requests = Counter "requests" - ["route" "outcome"]
        "Requests that have ended, by the outcome of their access line; the route is empty where none was reached.";
    Rejects = Counter "rejects" - ["route" "code"]
        "Requests that were refused, by the code of the answer: those of hookward_requests_total whose outcome is one.";
    Verified = Counter "verified" - ["route" "secret"]
        "Requests that were proven genuine, by the label of the secret that matched.";
    UpstreamResponses = Counter "upstream_responses" - ["route" "class"]
        "Answers of the app to what a route forwarded, by the class of their status.";
    LastSuccess = Gauge "route_last_success_timestamp" Seconds ["route"]
        "When a genuine delivery was last answered with 2xx (forwarded, duplicate or filtered), in unix time; absent until one was.";
    Enforcing = Gauge "route_enforcing" - ["route"]
        "1 where every check of the route is enforced, 0 where insecure_report lets some only log.";
    RequestDuration = Histogram "request_duration" Seconds ["route"]
        "From a request's head to the end of its answer.";
    UpstreamDuration = Histogram "upstream_duration" Seconds ["route"]
        "From handing a delivery over to the app until its answer began or was given up, retries included.";
    AddedDuration = Histogram "added_duration" Seconds ["route"]
        "What hookward added to a delivery: from its head until it was handed over, without the time its body took to arrive.";
    RequestBody = Histogram "request_body" Bytes ["route"]
        "Bytes received of a request's body, forwarded or not.";
    ClockSkew = Histogram "clock_skew" Seconds ["route" "direction"]
        "Distance between a delivery's timestamp and this clock; direction is behind (its age) or ahead. Also of those refused for it.";
    InFlight = Gauge "requests_in_flight" - []
        "Requests, tunnels and deliveries that run on without their sender.";
    Connections = Gauge "connections" - []
        "Open client connections and tunnels.";
    Buffered = Gauge "buffered" Bytes []
        "Webhook bodies held, of limits.buffered_bytes.";
    ReplayEntries = Gauge "replay_entries" - []
        "Deliveries that are remembered in memory.";
    ReplayWaits = Counter "replay_waits" - []
        "Deliveries that waited for the same one, which was running.";
    ReplayEvicted = Counter "replay_evicted" - []
        "Deliveries forgotten before replay.ttl, because the store was full.";
    ReplayUnknown = Counter "replay_unknown" - []
        "Deliveries that were sent to the app and got no answer.";
    ReplayStoreErrors = Counter "replay_store_errors" - []
        "Calls that the replay store did not answer.";
    Reloads = Counter "config_reload" - ["outcome"]
        "Attempts to reload the configuration: applied, refused or unchanged.";
    ReloadOk = Gauge "config_last_reload_successful" - []
        "0 while what is on the disk was refused and the plan before it is in force, otherwise 1.";
    Loaded = Gauge "config_last_load_timestamp" Seconds []
        "When the plan in force was loaded, in unix time.";
    ListAge = Gauge "ip_list_age" Seconds ["list"]
        "Time since a named list of addresses was published or fetched.";
    ListRefresh = Gauge "ip_list_refresh_interval" Seconds ["list"]
        "Time between two fetches of a named list; absent for one that is not fetched.";
    ListEntries = Gauge "ip_list_entries" - ["list"]
        "Addresses and networks in a named list.";
    ListFailures = Counter "ip_list_refresh_failures" - ["list"]
        "Fetches of a named list that failed or were refused.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let mut seen = std::collections::BTreeSet::new();
        for row in Metric::ALL.iter().map(|metric| metric.row()) {
            let name = row.full_name();
            assert!(seen.insert(name.clone()), "{name} stands there twice");
            assert!(name.starts_with("hookward_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), row.kind == Kind::Counter, "{name}");
            assert!(row.help.ends_with('.') && !row.help.contains(['\n', '\\', '|', '`']), "{name}: {}", row.help);
            for label in row.labels {
                let bounded = ["route", "outcome", "code", "secret", "class", "direction", "list", "version"];
                assert!(bounded.contains(label), "{name}: is {label} bounded?");
            }
        }
        assert!(seen.contains("hookward_request_duration_seconds") && seen.contains("hookward_requests_total"));
    }
}
