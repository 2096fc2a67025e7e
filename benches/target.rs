//! What a request target costs: the plain spelling of a route, a page, and spellings that are read in several ways.
//!
//! Each row shows the allocations as well: a route and a page in their plain spelling make none.
#![allow(clippy::unwrap_used, clippy::pedantic, missing_docs, reason = "a bench: a failed unwrap is a failed bench")]

use divan::{AllocProfiler, Bencher, black_box};
use hookward::check::target::{Framework, RoutePath, TargetSpec, Targets};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn targets() -> Targets {
    let routes =
        ["/api/webhooks/clerk", "/api/webhooks/stripe", "/api/github/*"].map(|path| RoutePath::parse(path).unwrap());
    let locales = ["en", "fr"].map(str::to_owned);
    let framework = Framework::NextJs;
    Targets::compile(TargetSpec {
        framework,
        base_path: "",
        asset_prefix: "",
        locales: &locales,
        aliases: &[],
        routes: &routes,
    })
    .unwrap()
}

#[divan::bench(args = [
    "/api/webhooks/clerk",
    "/api/github/issues",
    "/en/docs/getting-started?page=2",
    "/docs/caf%C3%A9",
    "/docs/a%252520b",
    "/_next/image?url=%2Fimages%2Fa.png&w=640&q=75",
    "/api/webhooks//%63lerk",
])]
fn classify(bencher: Bencher<'_, '_>, target: &str) {
    let targets = targets();
    bencher.bench(|| targets.classify(black_box(b"GET"), black_box(target.as_bytes())));
}
