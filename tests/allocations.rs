//! How often the heap is asked on the way of a genuine delivery, and of a forged one: exact counts, whatever the machine.
//!
//! The counting allocator shows its figures in the table of the benchmarks alone: so this program starts itself once more as
//! such, and reads what that prints. Must never measure time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a test: it may fail loudly, and is its own harness"
)]

#[path = "../benches/shared/delivery.rs"]
mod delivery;

use std::collections::BTreeMap;
use std::env;
use std::process::Command;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box};
use hookward::check::client::{ClientHeader, ClientRules, client};
use hookward::check::target::{Framework, RoutePath, TargetSpec, Targets};

use self::delivery::{Route, SHARED};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Set for the process that counts.
const COUNTS: &str = "HOOKWARD_COUNTS_ALLOCATIONS";

/// Most allocations of one call. One more is a change to be made on purpose.
const MOST: &[(&str, u32)] = &[
    ("client_behind_three_proxies", 0),
    ("forged_1_kib", 0),
    ("github_1_kib", 0),
    // Id and type out of the JSON, each read once and kept once.
    ("standard_webhooks_1_kib", 2),
    // As its chunks are put together to be read as JSON.
    ("standard_webhooks_64_kib", 3),
    ("stripe_1_kib", 4),
    ("target_of_a_page", 0),
    ("target_of_a_route", 0),
];

fn main() {
    if env::var_os(COUNTS).is_some() {
        return divan::main();
    }
    let own = env::current_exe().unwrap();
    let arguments = ["--bench", "--sample-count=1", "--sample-size=100"];
    let output = Command::new(own).args(arguments).env(COUNTS, "1").output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}");
    let counted = counts(&table);
    let names: Vec<&str> = counted.keys().map(String::as_str).collect();
    assert_eq!(names, MOST.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{table}");
    let more = |(name, most): &&(&str, u32)| counted[*name] > f64::from(*most);
    let wrong: Vec<_> = MOST.iter().filter(more).map(|(name, most)| (name, most, counted[*name])).collect();
    assert!(wrong.is_empty(), "name, most allowed, counted: {wrong:?}");
    println!("test every_way_through_allocates_no_more_than_is_written_down ... ok");
}

/// Allocations of each row: growth of what is there already is one as well.
fn counts(table: &str) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    let (mut row, mut is_count) = (None, false);
    for line in table.lines().skip(1) {
        let text = line.trim_start_matches(['│', '├', '╰', '─', ' ']);
        let first = text.split_whitespace().next().unwrap_or_default();
        if line.starts_with(['├', '╰']) {
            counts.insert(first.to_owned(), 0.0);
            row = Some(first.to_owned());
        } else if let (true, Some(row)) = (is_count, &row) {
            *counts.get_mut(row).unwrap() += first.parse::<f64>().unwrap();
        }
        is_count = text.starts_with("alloc:") || text.starts_with("grow:");
    }
    counts
}

fn genuine(bencher: Bencher<'_, '_>, provider: &str, length: usize) {
    let route = Route::new(provider, SHARED, SHARED, length);
    assert!(route.judge().is_ok());
    bencher.bench_local(|| route.judge());
}

#[divan::bench]
fn standard_webhooks_1_kib(bencher: Bencher<'_, '_>) {
    genuine(bencher, "standard-webhooks", 1 << 10);
}

#[divan::bench]
fn standard_webhooks_64_kib(bencher: Bencher<'_, '_>) {
    genuine(bencher, "standard-webhooks", 64 << 10);
}

#[divan::bench]
fn stripe_1_kib(bencher: Bencher<'_, '_>) {
    genuine(bencher, "stripe", 1 << 10);
}

#[divan::bench]
fn github_1_kib(bencher: Bencher<'_, '_>) {
    genuine(bencher, "github", 1 << 10);
}

#[divan::bench]
fn forged_1_kib(bencher: Bencher<'_, '_>) {
    let mut route = Route::new("standard-webhooks", SHARED, SHARED, 1 << 10);
    route.body = vec![Bytes::from_static(b"{}")];
    assert!(route.judge().is_err());
    bencher.bench_local(|| route.judge());
}

fn target(bencher: Bencher<'_, '_>, target: &str) {
    let routes = ["/api/webhooks/clerk", "/api/webhooks/stripe"].map(|path| RoutePath::parse(path).unwrap());
    let framework = Framework::NextJs;
    let spec = TargetSpec { framework, base_path: "", asset_prefix: "", locales: &[], aliases: &[], routes: &routes };
    let targets = Targets::compile(spec).unwrap();
    bencher.bench_local(|| targets.classify(b"POST", black_box(target.as_bytes())));
}

#[divan::bench]
fn target_of_a_route(bencher: Bencher<'_, '_>) {
    target(bencher, "/api/webhooks/clerk");
}

#[divan::bench]
fn target_of_a_page(bencher: Bencher<'_, '_>) {
    target(bencher, "/docs/getting-started?page=2");
}

#[divan::bench]
fn client_behind_three_proxies(bencher: Bencher<'_, '_>) {
    let trusted = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();
    let rules = ClientRules { trusted, header: ClientHeader::XForwardedFor };
    let (peer, value) = ("10.0.0.1".parse().unwrap(), b"203.0.113.7, 10.0.0.2, 10.0.0.3".as_slice());
    bencher.bench_local(|| client(&rules, peer, [black_box(value)].into_iter()));
}
