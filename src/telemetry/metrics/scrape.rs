//! Writes the metrics out: as `OpenMetrics` 1.0, or in Prometheus' older text format.
//!
//! The two differ in three things that a reader minds: in the older one HELP and TYPE of a counter name it with `_total`, and
//! neither UNIT nor EOF are there. Must never hold a lock that a request takes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::registry::Registry;

use super::Metrics;
use super::route::{CLASSES, Cells, Series};
use super::table::{Kind, Metric, PREFIX};
use crate::telemetry::access::Outcome;

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
    /// `text/plain; version=0.0.4`
    Text,
}

impl Format {
    /// What an `Accept` header asks for (RFC 9110 §12.5.1): `OpenMetrics` where it is named and nothing is liked better, because
    /// whoever does not know it, a person with curl for one, does not name it.
    pub fn accepted(accept: &str) -> Self {
        let liking = |media_type: &str| {
            let ranges = accept.split(',').filter(|range| {
                range.split(';').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(media_type))
            });
            let quality = |range: &str| {
                let given = range.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
                given.map_or(1.0, |quality| quality.trim().parse::<f32>().unwrap_or(0.0))
            };
            ranges.map(quality).fold(0.0, f32::max)
        };
        let open = liking("application/openmetrics-text");
        if open > 0.0 && open >= liking("text/plain") { Self::OpenMetrics } else { Self::Text }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What is asked of others in the moment of a scrape.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Webhook bodies held.
    pub buffered_bytes: u64,
    /// Open client connections and tunnels.
    pub connections: usize,
    /// Requests, tunnels and detached deliveries.
    pub in_flight: usize,
    /// Deliveries remembered in memory.
    pub replay_entries: usize,
    /// What is on the disk was refused.
    pub reload_refused: bool,
    /// The named lists.
    pub lists: Vec<ListSample>,
}

/// One named list.
#[derive(Debug, Clone)]
pub struct ListSample {
    /// Its name.
    pub name: Arc<str>,
    /// Addresses and networks in it.
    pub entries: usize,
    /// Seconds since it was published or fetched.
    pub age: Option<u64>,
    /// Seconds between two fetches.
    pub refresh: Option<u64>,
}

impl Metrics {
    /// The text that a scraper gets.
    pub fn encode(self: &Arc<Self>, now: Snapshot, format: Format) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Scrape { metrics: Arc::clone(self), now }));
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = match format {
            Format::OpenMetrics => text::encode(&mut text, &registry),
            Format::Text => text::encode_registry(&mut text, &registry),
        };
        match format {
            Format::OpenMetrics => text,
            Format::Text => older(&text),
        }
    }
}

/// From `OpenMetrics` to the older format.
fn older(text: &str) -> String {
    let totals: Vec<(String, String)> = Metric::ALL
        .iter()
        .map(|metric| metric.row())
        .filter(|row| row.kind == Kind::Counter)
        .map(|row| row.full_name())
        .map(|name| (name.trim_end_matches("_total").to_owned(), name))
        .collect();
    let mut older = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let comment = line.strip_prefix("# ").and_then(|comment| comment.split_once(' '));
        match comment {
            Some(("UNIT", _)) => {}
            Some((word, rest)) => {
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let total = totals.iter().find(|(base, _)| base == name);
                let name = total.map_or(name, |(_, total)| total);
                for part in ["# ", word, " ", name, " ", rest] {
                    older.push_str(part);
                }
            }
            None => older.push_str(line),
        }
    }
    older
}

/// One scrape.
#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    now: Snapshot,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let routes = self.metrics.board.routes();
        let routes: Vec<(&str, &Series)> = routes.iter().map(|(name, series)| (&**name, series)).collect();
        for metric in Metric::ALL {
            let row = metric.row();
            let series = encoder.encode_descriptor(row.name, row.help, row.unit.as_ref(), row.kind.metric_type())?;
            self.write(*metric, &routes, series)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn write(&self, metric: Metric, routes: &[(&str, &Series)], mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let (metrics, now, to) = (&*self.metrics, &self.now, &mut encoder);
        match metric {
            Metric::BuildInfo => gauge(to, &[("version", env!("CARGO_PKG_VERSION"))], 1),
            Metric::ProcessStart => to.encode_gauge(&metrics.started),
            Metric::Requests => each_outcome(to, &metrics.unrouted, routes, |route, outcome| {
                Some([("route", route), ("outcome", outcome.code())])
            }),
            Metric::Rejects => each_outcome(to, &metrics.unrouted, routes, |route, outcome| match outcome {
                Outcome::Rejected(reject) => Some([("route", route), ("code", reject.code())]),
                Outcome::Forwarded
                | Outcome::Passed
                | Outcome::WouldReject
                | Outcome::Filtered
                | Outcome::Duplicate
                | Outcome::Handshake
                | Outcome::ClientLeft => None,
            }),
            Metric::Verified => routes.iter().try_for_each(|(route, series)| {
                series.verified.iter().try_for_each(|(secret, count)| {
                    counter(to, &[("route", *route), ("secret", secret)], count.load(Ordering::Relaxed))
                })
            }),
            Metric::UpstreamResponses => routes.iter().try_for_each(|(route, series)| {
                CLASSES.iter().zip(&series.cells.classes).try_for_each(|(class, count)| {
                    counter(to, &[("route", *route), ("class", class)], count.load(Ordering::Relaxed))
                })
            }),
            Metric::LastSuccess => routes.iter().try_for_each(|(route, series)| {
                match series.cells.last_success().filter(|_| series.enforcing.is_some()) {
                    Some(at) => gauge(to, &[("route", *route)], at),
                    None => Ok(()),
                }
            }),
            Metric::Enforcing => routes.iter().try_for_each(|(route, series)| match series.enforcing {
                Some(enforcing) => gauge(to, &[("route", *route)], u64::from(enforcing)),
                None => Ok(()),
            }),
            Metric::RequestDuration => each(routes, |labels, cells| cells.total.encode(to, labels)),
            Metric::UpstreamDuration => each(routes, |labels, cells| cells.upstream.encode(to, labels)),
            Metric::AddedDuration => each(routes, |labels, cells| cells.added.encode(to, labels)),
            Metric::RequestBody => each(routes, |labels, cells| cells.body.encode(to, labels)),
            Metric::ClockSkew => routes.iter().try_for_each(|(route, Series { cells, .. })| {
                cells.behind.encode(to, &[("route", *route), ("direction", "behind")])?;
                cells.ahead.encode(to, &[("route", *route), ("direction", "ahead")])
            }),
            Metric::InFlight => to.encode_gauge(&whole(now.in_flight)),
            Metric::Connections => to.encode_gauge(&whole(now.connections)),
            Metric::Buffered => to.encode_gauge(&now.buffered_bytes),
            Metric::ReplayEntries => to.encode_gauge(&whole(now.replay_entries)),
            Metric::ReplayWaits => alone(to, metrics.replay.waits.get()),
            Metric::ReplayEvicted => alone(to, metrics.replay.evicted.get()),
            Metric::ReplayUnknown => alone(to, metrics.replay.unknown.get()),
            Metric::ReplayStoreErrors => alone(to, metrics.replay.store_errors.get()),
            Metric::Reloads => metrics.reloads.encode(encoder),
            Metric::ReloadOk => to.encode_gauge(&u64::from(!now.reload_refused)),
            Metric::Loaded => to.encode_gauge(&metrics.loaded.load(Ordering::Relaxed)),
            Metric::ListAge => each_list(to, now, |list| list.age),
            Metric::ListRefresh => each_list(to, now, |list| list.refresh),
            Metric::ListEntries => each_list(to, now, |list| Some(whole(list.entries))),
            Metric::ListFailures => metrics.lists.failures.encode(encoder),
        }
    }
}

fn counter(to: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    to.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)
}

/// Of a metric without labels.
fn alone(to: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    to.encode_counter::<NoLabelSet, u64, u64>(&value, None)
}

fn gauge(to: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    to.encode_family(labels)?.encode_gauge(&value)
}

/// Every outcome that there can be without a route, and with each route. `labels` leaves those out that are not meant.
fn each_outcome<'r>(
    to: &mut MetricEncoder<'_>,
    unrouted: &Cells,
    routes: &[(&'r str, &Series)],
    labels: impl Fn(&'r str, Outcome) -> Option<[(&'static str, &'r str); 2]>,
) -> fmt::Result {
    let without = unrouted.outcomes().filter(|(outcome, _)| !outcome.needs_route()).map(|counted| ("", counted));
    let with = routes.iter().flat_map(|(route, series)| {
        let outcomes = series.cells.outcomes().filter(|(outcome, _)| *outcome != Outcome::Passed);
        outcomes.map(|counted| (*route, counted))
    });
    without.chain(with).try_for_each(|(route, (outcome, count))| match labels(route, outcome) {
        Some(labels) => counter(to, &labels, count),
        None => Ok(()),
    })
}

fn each(routes: &[(&str, &Series)], mut write: impl FnMut(&[(&str, &str); 1], &Cells) -> fmt::Result) -> fmt::Result {
    routes.iter().try_for_each(|(route, series)| write(&[("route", *route)], &series.cells))
}

fn each_list(to: &mut MetricEncoder<'_>, now: &Snapshot, value: impl Fn(&ListSample) -> Option<u64>) -> fmt::Result {
    now.lists.iter().try_for_each(|list| match value(list) {
        Some(value) => gauge(to, &[("list", &*list.name)], value),
        None => Ok(()),
    })
}

fn whole(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
