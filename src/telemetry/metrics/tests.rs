//! What the numbers are after what happened, and what a scraper reads of them.

use std::collections::BTreeMap;
use std::path::Path;

use http::StatusCode;

use super::table::{Kind, Metric};
use super::*;
use crate::config::{System, compile};
use crate::reject::Reject;
use crate::telemetry::access::Outcome;

fn plan(routes: &[(&str, &str)]) -> Plan {
    let route = |(name, label): &(&str, &str)| {
        format!(
            "[routes.{name}]\npath = \"/{name}\"\nprovider = \"github\"\n\
             secrets = [{{ label = \"{label}\", insecure_value = \"mysecretmysecret\" }}]\n"
        )
    };
    let toml: String = routes.iter().map(route).collect();
    compile(&toml, Path::new("a.toml"), &System).unwrap().plan
}

fn metrics(routes: &[(&str, &str)]) -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::new());
    metrics.expect(&plan(routes));
    metrics
}

fn ended(route: &Arc<str>, outcome: Outcome) -> Ended<'_> {
    Ended {
        route: Some(route),
        outcome,
        status: Some(StatusCode::OK),
        secret: None,
        total_us: 40_000,
        upstream_us: None,
        added_us: None,
        bytes_in: 300,
        skew_seconds: None,
        unix_seconds: 1_731_705_121,
    }
}

/// Every sample: name and labels, and its value.
fn samples(metrics: &Arc<Metrics>) -> BTreeMap<String, f64> {
    let text = metrics.encode(Snapshot::default(), Format::OpenMetrics);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.into(), value.parse().unwrap()))
        .collect()
}

#[track_caller]
fn assert_sample(metrics: &Arc<Metrics>, name: &str, expected: f64) {
    let samples = samples(metrics);
    let Some(value) = samples.get(name) else { panic!("no {name} in {:#?}", samples.keys()) };
    assert!((value - expected).abs() < 1e-9, "{name} is {value}");
}

#[test]
fn every_metric_has_the_labels_of_its_row() {
    let metrics = metrics(&[("a", "current")]);
    metrics.ended(&ended(&Arc::from("a"), Outcome::Forwarded));
    drop(metrics.lists.failures.get_or_create(&ByList { list: Arc::from("svix") }));
    let list = ListSample { name: Arc::from("svix"), entries: 1, age: Some(1), refresh: Some(1) };
    let text = metrics.encode(Snapshot { lists: vec![list], ..Snapshot::default() }, Format::OpenMetrics);
    for row in Metric::ALL.iter().map(|metric| metric.row()) {
        let name = row.full_name();
        let sampled = if row.kind == Kind::Histogram { format!("{name}_count") } else { name };
        let found: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(&sampled))
            .filter(|rest| rest.starts_with(['{', ' ']))
            .collect();
        assert!(!found.is_empty(), "{sampled} is not there");
        for rest in found {
            let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once("} ")).map_or("", |(labels, _)| labels);
            let names: Vec<&str> = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
            assert_eq!(names, row.labels, "{sampled}");
        }
    }
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn the_older_format_names_counters_as_they_are_queried() {
    let metrics = metrics(&[("a", "current")]);
    let new = metrics.encode(Snapshot::default(), Format::OpenMetrics);
    let old = metrics.encode(Snapshot::default(), Format::Text);
    assert!(
        new.contains("# TYPE hookward_requests counter\n") && new.contains("# UNIT hookward_buffered_bytes bytes\n")
    );
    assert!(old.contains("# TYPE hookward_requests_total counter\n"));
    assert!(old.contains("# TYPE hookward_request_duration_seconds histogram\n"));
    for row in Metric::ALL.iter().map(|metric| metric.row()) {
        assert!(old.contains(&format!("# HELP {} {}\n", row.full_name(), row.help)), "{row:?}");
        assert!(old.contains(&format!("# TYPE {} {}\n", row.full_name(), row.kind.name())), "{row:?}");
    }
    assert!(!old.contains("# UNIT") && !old.contains("# EOF"));
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&old), samples(&new));
}

#[test]
fn the_format_is_the_one_that_is_asked_for() {
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, expected) in [
        (prometheus, Format::OpenMetrics),
        ("application/openmetrics-text", Format::OpenMetrics),
        ("Application/OpenMetrics-Text; q=0.3, */*;q=0.1", Format::OpenMetrics),
        ("text/plain;version=0.0.4", Format::Text),
        ("text/plain, application/openmetrics-text;q=0.5", Format::Text),
        ("application/openmetrics-text;q=0", Format::Text),
        ("application/openmetrics-text;q=x", Format::Text),
        ("application/openmetrics-texts", Format::Text),
        ("*/*", Format::Text),
        ("", Format::Text),
    ] {
        assert_eq!(Format::accepted(accept), expected, "{accept}");
    }
}

#[test]
fn every_counter_of_a_route_is_there_before_its_first_request() {
    let metrics = metrics(&[("a", "current")]);
    for outcome in Outcome::all().filter(|outcome| *outcome != Outcome::Passed) {
        let code = outcome.code();
        assert_sample(&metrics, &format!("hookward_requests_total{{route=\"a\",outcome=\"{code}\"}}"), 0.0);
    }
    for reject in Reject::ALL {
        assert_sample(&metrics, &format!("hookward_rejects_total{{route=\"a\",code=\"{}\"}}", reject.code()), 0.0);
    }
    assert_sample(&metrics, "hookward_requests_total{route=\"\",outcome=\"passed\"}", 0.0);
    assert_sample(&metrics, "hookward_verified_total{route=\"a\",secret=\"current\"}", 0.0);
    assert_sample(&metrics, "hookward_upstream_responses_total{route=\"a\",class=\"5xx\"}", 0.0);
    assert_sample(&metrics, "hookward_config_reload_total{outcome=\"refused\"}", 0.0);
    assert_sample(&metrics, "hookward_config_last_reload_successful", 1.0);
}

#[test]
fn an_outcome_is_counted_where_it_stands() {
    for (place, outcome) in Outcome::all().enumerate() {
        assert_eq!(outcome.index(), place);
        let metrics = metrics(&[("a", "current")]);
        metrics.ended(&ended(&Arc::from("a"), outcome));
        let counted: Vec<String> = samples(&metrics)
            .into_iter()
            .filter(|(name, value)| name.starts_with("hookward_requests_total{") && *value > 0.0)
            .map(|(name, _)| name)
            .collect();
        // Traffic of no route cannot come to one.
        let expected = format!("hookward_requests_total{{route=\"a\",outcome=\"{}\"}}", outcome.code());
        assert_eq!(counted, if outcome == Outcome::Passed { vec![] } else { vec![expected] });
    }
}

#[test]
fn a_request_to_no_route_is_counted_without_one() {
    let metrics = metrics(&[("a", "current")]);
    let nowhere = Arc::from("a");
    metrics.ended(&Ended { route: None, ..ended(&nowhere, Outcome::Passed) });
    metrics.ended(&Ended { route: None, ..ended(&nowhere, Outcome::Rejected(Reject::BadTarget)) });
    assert_sample(&metrics, "hookward_requests_total{route=\"\",outcome=\"passed\"}", 1.0);
    assert_sample(&metrics, "hookward_rejects_total{route=\"\",code=\"bad_target\"}", 1.0);
    assert_sample(&metrics, "hookward_request_duration_seconds_count{route=\"a\"}", 0.0);
}

#[test]
fn what_a_delivery_took_is_told_in_seconds_and_bytes() {
    let metrics = metrics(&[("a", "current")]);
    let (route, secret) = (Arc::from("a"), Arc::from("current"));
    let delivery = ended(&route, Outcome::Forwarded);
    metrics.ended(&Ended { secret: Some(&secret), upstream_us: Some(2_500), added_us: Some(60), ..delivery });
    metrics.ended(&Ended { upstream_us: Some(2_501), ..delivery });
    for (name, expected) in [
        ("hookward_verified_total{route=\"a\",secret=\"current\"}", 1.0),
        ("hookward_request_duration_seconds_sum{route=\"a\"}", 0.08),
        ("hookward_request_duration_seconds_count{route=\"a\"}", 2.0),
        ("hookward_request_duration_seconds_bucket{le=\"0.025\",route=\"a\"}", 0.0),
        ("hookward_request_duration_seconds_bucket{le=\"0.05\",route=\"a\"}", 2.0),
        ("hookward_upstream_duration_seconds_bucket{le=\"0.0025\",route=\"a\"}", 1.0),
        ("hookward_upstream_duration_seconds_bucket{le=\"+Inf\",route=\"a\"}", 2.0),
        ("hookward_added_duration_seconds_bucket{le=\"0.00005\",route=\"a\"}", 0.0),
        ("hookward_added_duration_seconds_bucket{le=\"0.0001\",route=\"a\"}", 1.0),
        ("hookward_added_duration_seconds_sum{route=\"a\"}", 0.000_06),
        ("hookward_request_body_bytes_bucket{le=\"256.0\",route=\"a\"}", 0.0),
        ("hookward_request_body_bytes_bucket{le=\"1024.0\",route=\"a\"}", 2.0),
        ("hookward_request_body_bytes_sum{route=\"a\"}", 600.0),
        ("hookward_upstream_responses_total{route=\"a\",class=\"2xx\"}", 2.0),
    ] {
        assert_sample(&metrics, name, expected);
    }
}

#[test]
fn a_skew_is_told_by_its_direction() {
    let metrics = metrics(&[("a", "current")]);
    let route = Arc::from("a");
    for skew_seconds in [None, Some(0), Some(-1), Some(-301), Some(2)] {
        metrics.ended(&Ended { skew_seconds, ..ended(&route, Outcome::Forwarded) });
    }
    for (labels, expected) in [
        ("_bucket{le=\"0.0\",route=\"a\",direction=\"behind\"}", 1.0),
        ("_bucket{le=\"1.0\",route=\"a\",direction=\"behind\"}", 2.0),
        ("_bucket{le=\"300.0\",route=\"a\",direction=\"behind\"}", 2.0),
        ("_bucket{le=\"600.0\",route=\"a\",direction=\"behind\"}", 3.0),
        ("_sum{route=\"a\",direction=\"behind\"}", 302.0),
        ("_bucket{le=\"1.0\",route=\"a\",direction=\"ahead\"}", 0.0),
        ("_count{route=\"a\",direction=\"ahead\"}", 1.0),
    ] {
        assert_sample(&metrics, &format!("hookward_clock_skew_seconds{labels}"), expected);
    }
}

#[test]
fn only_a_genuine_delivery_that_was_answered_with_2xx_is_a_success() {
    const LAST: &str = "hookward_route_last_success_timestamp_seconds{route=\"a\"}";
    let route = Arc::from("a");
    for (outcome, status, succeeded) in [
        (Outcome::Forwarded, 200, true),
        (Outcome::Forwarded, 299, true),
        (Outcome::Forwarded, 300, false),
        (Outcome::Forwarded, 199, false),
        (Outcome::Forwarded, 500, false),
        (Outcome::Duplicate, 200, true),
        (Outcome::Filtered, 204, true),
        (Outcome::WouldReject, 200, false),
        (Outcome::Handshake, 200, false),
        (Outcome::ClientLeft, 200, false),
        (Outcome::Rejected(Reject::SignatureMismatch), 401, false),
    ] {
        let metrics = metrics(&[("a", "current")]);
        assert!(!samples(&metrics).contains_key(LAST), "before the first one");
        metrics.ended(&Ended { status: StatusCode::from_u16(status).ok(), ..ended(&route, outcome) });
        assert_eq!(samples(&metrics).contains_key(LAST), succeeded, "{outcome:?} {status}");
        if succeeded {
            // One that began before it, and ended after it.
            metrics.ended(&Ended { unix_seconds: 1, ..ended(&route, Outcome::Forwarded) });
            assert_sample(&metrics, LAST, 1_731_705_121.0);
        }
    }
}

#[test]
fn the_apps_statuses_are_told_by_class() {
    let metrics = metrics(&[("a", "current")]);
    let route = Arc::from("a");
    for status in [200, 299, 300, 404, 499, 500, 503, 599, 600] {
        metrics.ended(&Ended { status: StatusCode::from_u16(status).ok(), ..ended(&route, Outcome::Forwarded) });
    }
    // Its status is ours.
    metrics.ended(&ended(&route, Outcome::Rejected(Reject::UpstreamTimeout)));
    for (class, expected) in [("2xx", 2.0), ("3xx", 1.0), ("4xx", 2.0), ("5xx", 3.0), ("other", 1.0)] {
        let name = format!("hookward_upstream_responses_total{{route=\"a\",class=\"{class}\"}}");
        assert_sample(&metrics, &name, expected);
    }
}

#[test]
fn a_route_that_a_reload_took_away_keeps_its_counters_and_has_no_gauges() {
    let metrics = metrics(&[("a", "old"), ("b", "current")]);
    let (a, old) = (Arc::from("a"), Arc::from("old"));
    let delivery = Ended { secret: Some(&old), ..ended(&a, Outcome::Forwarded) };
    metrics.ended(&delivery);
    metrics.expect(&plan(&[("b", "current")]));
    // It was under way.
    metrics.ended(&delivery);
    assert_sample(&metrics, "hookward_requests_total{route=\"a\",outcome=\"forwarded\"}", 2.0);
    assert_sample(&metrics, "hookward_verified_total{route=\"a\",secret=\"old\"}", 2.0);
    let gone = samples(&metrics);
    assert!(!gone.contains_key("hookward_route_enforcing{route=\"a\"}"));
    assert!(!gone.contains_key("hookward_route_last_success_timestamp_seconds{route=\"a\"}"));
    assert!(gone.contains_key("hookward_route_enforcing{route=\"b\"}"));
    metrics.expect(&plan(&[("a", "new"), ("b", "current")]));
    assert_sample(&metrics, "hookward_requests_total{route=\"a\",outcome=\"forwarded\"}", 2.0);
    assert_sample(&metrics, "hookward_verified_total{route=\"a\",secret=\"new\"}", 0.0);
    assert_sample(&metrics, "hookward_route_enforcing{route=\"a\"}", 1.0);
}

#[test]
fn a_request_that_ends_before_its_route_is_told_of_is_counted() {
    let metrics = metrics(&[("b", "current")]);
    let (route, secret) = (Arc::from("a"), Arc::from("current"));
    metrics.ended(&Ended { secret: Some(&secret), ..ended(&route, Outcome::Forwarded) });
    metrics.expect(&plan(&[("a", "current")]));
    assert_sample(&metrics, "hookward_requests_total{route=\"a\",outcome=\"forwarded\"}", 1.0);
    assert_sample(&metrics, "hookward_verified_total{route=\"a\",secret=\"current\"}", 1.0);
}
