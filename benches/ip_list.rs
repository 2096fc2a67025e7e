//! What a long list of addresses costs: compiling 100,000 networks from a file's text, and one look-up.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::pedantic,
    missing_docs,
    reason = "a bench: a failed unwrap is a failed bench"
)]

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use divan::{Bencher, black_box};
use hookward::check::address_list;
use hookward::check::ip::IpSet;
use hookward::config::{self, Environment};

const ENTRIES: u32 = 100_000;

fn main() {
    divan::main();
}

/// Networks that do not touch, three quarters of them IPv4, in no order.
fn text() -> String {
    let mut text = String::new();
    for number in 0..ENTRIES {
        // An odd factor reaches every residue of a power of two once.
        let place = number.wrapping_mul(0x9e37_79b1) >> 8;
        if number % 4 == 0 {
            let address = Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(place) << 65));
            writeln!(text, "{address}/64").unwrap();
        } else {
            writeln!(text, "{}/32", Ipv4Addr::from(0x0a00_0000 + (place << 1))).unwrap();
        }
    }
    text
}

fn set() -> IpSet {
    address_list::parse(text().as_bytes(), &[]).unwrap().into_iter().collect()
}

struct Files(String);

impl Environment for Files {
    fn variable(&self, name: &str) -> Option<Vec<u8>> {
        (name == "SECRET").then(|| b"0123456789abcdef0123".to_vec())
    }
    fn variable_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }
}

#[divan::bench]
fn parse_100_000(bencher: Bencher<'_, '_>) {
    let text = text();
    bencher.bench(|| address_list::parse(black_box(text.as_bytes()), &[]).unwrap());
}

/// The whole configuration, as `check` and a reload do it.
#[divan::bench]
fn compile_100_000(bencher: Bencher<'_, '_>) {
    let files = Files(text());
    let toml = "[routes.a]\npath = \"/a\"\nprovider = \"github\"\nsecrets = [{ env = \"SECRET\" }]\nallow_ips = [\"file:/list\"]\n";
    bencher.bench(|| config::compile(black_box(toml), Path::new("x.toml"), &files).unwrap());
}

fn look_up(bencher: Bencher<'_, '_>, addresses: &[IpAddr], found: bool) {
    let set = set();
    assert!(addresses.iter().all(|address| set.contains(*address) == found));
    let mut next = addresses.iter().cycle();
    bencher.bench_local(|| set.contains(black_box(*next.next().unwrap())));
}

/// Many addresses in turn, so that the branches are not learnt by heart.
fn v4() -> Vec<IpAddr> {
    let entries = address_list::parse(text().as_bytes(), &[]).unwrap();
    entries.iter().map(|entry| entry.network()).filter(IpAddr::is_ipv4).step_by(7).collect()
}

#[divan::bench]
fn look_up_v4_hit(bencher: Bencher<'_, '_>) {
    look_up(bencher, &v4(), true);
}

#[divan::bench]
fn look_up_v4_miss(bencher: Bencher<'_, '_>) {
    let beside = |address: &IpAddr| match address {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(*v4) + 1).into()),
        IpAddr::V6(v6) => IpAddr::V6(*v6),
    };
    look_up(bencher, &v4().iter().map(beside).collect::<Vec<_>>(), false);
}

#[divan::bench]
fn look_up_v6_hit(bencher: Bencher<'_, '_>) {
    let entries = address_list::parse(text().as_bytes(), &[]).unwrap();
    let v6: Vec<IpAddr> = entries.iter().map(|entry| entry.network()).filter(IpAddr::is_ipv6).step_by(7).collect();
    look_up(bencher, &v6, true);
}
