//! What it costs to find the client's address in what trusted proxies have written. Each row shows the allocations as well.
#![allow(clippy::unwrap_used, clippy::pedantic, missing_docs, reason = "a bench: a failed unwrap is a failed bench")]

use std::net::IpAddr;

use divan::{AllocProfiler, Bencher, black_box};
use hookward::check::client::{Client, ClientHeader, ClientRules, client};
use hookward::check::ip::IpSet;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn rules(header: ClientHeader) -> ClientRules {
    let trusted: IpSet = ["10.0.0.0/8", "fd00::/8"].iter().map(|network| network.parse().unwrap()).collect();
    ClientRules { trusted, header }
}

fn find(bencher: Bencher<'_, '_>, header: ClientHeader, peer: &str, value: &str) {
    let (rules, peer): (_, IpAddr) = (rules(header), peer.parse().unwrap());
    let find = || client(&rules, black_box(peer), [black_box(value).as_bytes()].into_iter());
    assert!(matches!(find(), Client::Known(_)));
    bencher.bench(find);
}

#[divan::bench]
fn peer_alone(bencher: Bencher<'_, '_>) {
    find(bencher, ClientHeader::XForwardedFor, "203.0.113.7", "");
}

#[divan::bench(args = ["203.0.113.7", "198.51.100.1, 203.0.113.7, 10.0.0.2, 10.0.0.3"])]
fn x_forwarded_for(bencher: Bencher<'_, '_>, value: &str) {
    find(bencher, ClientHeader::XForwardedFor, "10.0.0.1", value);
}

#[divan::bench(args = ["for=203.0.113.7", "for=198.51.100.1, for=\"[2001:db8::7]:4711\";proto=https, for=10.0.0.2"])]
fn forwarded(bencher: Bencher<'_, '_>, value: &str) {
    find(bencher, ClientHeader::Forwarded, "10.0.0.1", value);
}

#[divan::bench]
fn single(bencher: Bencher<'_, '_>) {
    find(bencher, ClientHeader::Single("cf-connecting-ip".into()), "10.0.0.1", "203.0.113.7");
}
