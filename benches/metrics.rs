//! What counting a request that ends costs, and what a scrape of 50 routes does.
//!
//! `by_family` is how one would do it with the library's own families and histograms, for comparison: a look-up under a
//! lock for each metric.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::pedantic,
    missing_docs,
    reason = "a bench: a failed unwrap is a failed bench"
)]

use std::path::Path;
use std::sync::Arc;

use divan::{Bencher, black_box};
use hookward::config::{System, compile};
use hookward::telemetry::metrics::{Ended, Format, Snapshot};
use hookward::telemetry::{Metrics, Outcome};
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

type ByRoute = Family<[(&'static str, Arc<str>); 1], Histogram>;

fn main() {
    divan::main();
}

fn metrics(routes: usize) -> Arc<Metrics> {
    let route = |number| {
        format!(
            "[routes.route-{number}]\npath = \"/{number}\"\nprovider = \"clerk\"\n\
             secrets = [{{ label = \"current\", insecure_value = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\" }}]\n"
        )
    };
    let toml: String = (0..routes).map(route).collect();
    let metrics = Arc::new(Metrics::new());
    metrics.expect(&compile(&toml, Path::new("bench.toml"), &System).unwrap().plan);
    metrics
}

fn delivery<'r>(route: &'r Arc<str>, secret: &'r Arc<str>) -> Ended<'r> {
    Ended {
        route: Some(route),
        outcome: Outcome::Forwarded,
        status: Some(StatusCode::OK),
        secret: Some(secret),
        total_us: 41_000,
        upstream_us: Some(40_000),
        added_us: Some(70),
        bytes_in: 900,
        skew_seconds: Some(-1),
        unix_seconds: 1_731_705_121,
    }
}

/// A delivery: an outcome, a secret, a class, five histograms and the time.
#[divan::bench(args = [1, 50], threads = [1, 2])]
fn delivery_ends(bencher: Bencher<'_, '_>, routes: usize) {
    let (metrics, route, secret) = (metrics(routes), Arc::from("route-0"), Arc::from("current"));
    bencher.bench(|| metrics.ended(black_box(&delivery(&route, &secret))));
}

/// Traffic that no route protects.
#[divan::bench]
fn passed_request_ends(bencher: Bencher<'_, '_>) {
    let (metrics, route, secret) = (metrics(50), Arc::from(""), Arc::from(""));
    let passed = Ended { route: None, outcome: Outcome::Passed, ..delivery(&route, &secret) };
    bencher.bench(|| metrics.ended(black_box(&passed)));
}

/// The outcome and the secret alone, which is all that was counted before there were histograms.
#[divan::bench(threads = [1, 2])]
fn by_family_without_histograms(bencher: Bencher<'_, '_>) {
    let counters = Family::<[(&'static str, Arc<str>); 2], Counter>::default();
    let (route, outcome, secret) = (Arc::<str>::from("route-0"), Arc::<str>::from("forwarded"), Arc::from("current"));
    bencher.bench(|| {
        counters.get_or_create(&[("route", Arc::clone(&route)), ("outcome", Arc::clone(&outcome))]).inc();
        counters.get_or_create(&[("route", Arc::clone(&route)), ("secret", Arc::clone(&secret))]).inc();
    });
}

#[divan::bench(threads = [1, 2])]
fn by_family(bencher: Bencher<'_, '_>) {
    let counters = Family::<[(&'static str, Arc<str>); 2], Counter>::default();
    let new: fn() -> Histogram = || Histogram::new((0..14).map(|step| 0.002 * f64::from(1 << step)));
    let histograms: [ByRoute; 5] = std::array::from_fn(|_| Family::new_with_constructor(new));
    let (route, outcome, secret) = (Arc::<str>::from("route-0"), Arc::<str>::from("forwarded"), Arc::from("current"));
    bencher.bench(|| {
        for labels in [("outcome", &outcome), ("secret", &secret), ("class", &outcome)] {
            let labels = [("route", Arc::clone(&route)), (labels.0, Arc::clone(labels.1))];
            counters.get_or_create(&labels).inc();
        }
        for histogram in &histograms {
            histogram.get_or_create(&[("route", Arc::clone(&route))]).observe(black_box(0.04));
        }
    });
}

#[divan::bench(args = [Format::OpenMetrics, Format::Text])]
fn scrape_of_50_routes(bencher: Bencher<'_, '_>, format: Format) {
    let metrics = metrics(50);
    bencher.bench(|| metrics.encode(Snapshot::default(), format).len());
}
