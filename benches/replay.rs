//! What de-duplication adds to a delivery, in memory: its key, the claim and the commit. Each row shows the allocations.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::pedantic,
    missing_docs,
    reason = "a bench: a failed unwrap is a failed bench"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use divan::{AllocProfiler, Bencher};
use hookward::budget::Budget;
use hookward::check::replay_key::ReplayKey;
use hookward::in_flight::InFlight;
use hookward::plan::{ReplayPolicy, ReplayStore};
use hookward::replay::{Memorable, Permit, Replay, Terms};
use hookward::telemetry::ReplayMetrics;
use http::{HeaderMap, StatusCode};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn policy() -> ReplayPolicy {
    let seconds = Duration::from_secs;
    let (ttl, lease, wait) = (seconds(108_000), seconds(10), seconds(5));
    ReplayPolicy { store: ReplayStore::Memory, ttl, max_entries: 100_000_000, lease, wait }
}

fn terms(number: u64) -> Terms {
    let mut id = *b"msg_2xJqT0kVbXW5g3o8c1Z________";
    id.iter_mut().rev().zip(number.to_be_bytes()).for_each(|(byte, digit)| *byte = digit);
    #[allow(clippy::disallowed_methods, reason = "a bench has a clock of its own")]
    let began = Instant::now();
    Terms {
        key: ReplayKey::of_id("clerk", &id),
        memorable: Memorable { ttl: policy().ttl, window: Some(Duration::from_secs(600)) },
        began,
        deadline: began + Duration::from_secs(13),
    }
}

async fn run((replay, budget): (&Arc<Replay>, &Budget), terms: Terms, policy: &ReplayPolicy, headers: &HeaderMap) {
    let mut charge = budget.charge();
    match replay.claim(terms, policy, &mut charge).await.unwrap() {
        Permit::Mine(claim) => drop(claim.settle(StatusCode::OK, headers)),
        Permit::Duplicate(_) => panic!("every id is new"),
    }
}

/// With so many deliveries remembered already.
#[divan::bench(args = [0, 1_000_000])]
fn key_claim_commit(bencher: Bencher<'_, '_>, before: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (policy, headers) = (policy(), HeaderMap::new());
    let replay = Replay::new(&policy.store, ReplayMetrics::default(), InFlight::default());
    let budget = Budget::new(1 << 20);
    let number = AtomicU64::new(0);
    let next = || terms(number.fetch_add(1, Ordering::Relaxed));
    runtime.block_on(async {
        for _ in 0..before {
            run((&replay, &budget), next(), &policy, &headers).await;
        }
    });
    bencher.bench_local(|| runtime.block_on(run((&replay, &budget), next(), &policy, &headers)));
}

/// The same with the runtime's own cost alone.
#[divan::bench]
fn key_alone(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let number = AtomicU64::new(0);
    bencher.bench_local(|| runtime.block_on(async { terms(number.fetch_add(1, Ordering::Relaxed)) }));
}
