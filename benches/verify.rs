//! What it costs to judge a genuine delivery, head and body, by scheme and by the body's size; `forged` is refused.
//!
//! Bodies come in chunks of 16 KiB. Each row shows the allocations as well: those of the shared secrets do not grow with the
//! body, and a public key needs the content in one piece.
#![allow(clippy::unwrap_used, clippy::pedantic, missing_docs, reason = "a bench: a failed unwrap is a failed bench")]

#[path = "shared/delivery.rs"]
mod delivery;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};

use self::delivery::{Route, SHARED};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SIZES: [usize; 3] = [1 << 10, 16 << 10, 64 << 10];

fn main() {
    divan::main();
}

fn genuine(bencher: Bencher<'_, '_>, route: &Route) {
    assert!(route.judge().is_ok());
    bencher.bench(|| route.judge());
}

#[divan::bench(args = SIZES)]
fn clerk(bencher: Bencher<'_, '_>, length: usize) {
    genuine(bencher, &Route::new("clerk", SHARED, SHARED, length));
}

#[divan::bench(args = SIZES)]
fn standard_webhooks(bencher: Bencher<'_, '_>, length: usize) {
    genuine(bencher, &Route::new("standard-webhooks", SHARED, SHARED, length));
}

#[divan::bench(args = SIZES)]
fn github(bencher: Bencher<'_, '_>, length: usize) {
    genuine(bencher, &Route::new("github", "a secret of some length", "a secret of some length", length));
}

#[divan::bench(args = SIZES)]
fn stripe(bencher: Bencher<'_, '_>, length: usize) {
    genuine(bencher, &Route::new("stripe", SHARED, SHARED, length));
}

/// Standard Webhooks with a public key.
#[divan::bench(args = SIZES)]
fn ed25519(bencher: Bencher<'_, '_>, length: usize) {
    let (public, private) =
        ("whpk_6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=", "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
    genuine(bencher, &Route::new("standard-webhooks-asymmetric", public, private, length));
}

#[divan::bench(args = SIZES)]
fn forged(bencher: Bencher<'_, '_>, length: usize) {
    let mut route = Route::new("clerk", SHARED, SHARED, length);
    route.body = vec![Bytes::from(vec![b'b'; length])];
    assert!(route.judge().is_err());
    bencher.bench(|| route.judge());
}
