//! Lists of addresses against a plain search through their lines.
//!
//! The first byte chooses what keys are selected; the rest is the document.

use std::net::{IpAddr, Ipv6Addr};

use hookward::check::address_list;
use hookward::check::ip::{IpSet, parse_entry};
use ipnet::IpNet;

/// Address and length, both as IPv6: one family has no edges between two.
type Network = (u128, u32);

pub fn run(data: &[u8]) {
    let [select, document @ ..] = data else { return };
    let select: &[Box<str>] = match select % 4 {
        0..2 => &[],
        2 => &["hooks".into()],
        _ => &["us".into(), "eu".into()],
    };
    let nets = match address_list::parse(document, select) {
        Ok(nets) => nets,
        Err(fault) => {
            let (whole, cut) = (fault.to_string(), fault.clone().without_entry().to_string());
            assert!(!whole.is_empty() && !cut.is_empty());
            assert!(!whole.chars().any(char::is_control), "{whole:?}");
            if is_text(document) && select.is_empty() {
                assert!(naive(document).is_none(), "a list that is one is refused: {whole}");
            }
            return;
        }
    };
    assert!(nets.is_sorted() && nets.array_windows().all(|[a, b]| a != b), "sorted, each once");
    if is_text(document) {
        let mut expected = naive(document).expect("taken, though a line is no entry");
        expected.sort_unstable();
        expected.dedup();
        let mut found: Vec<Network> = nets.iter().map(network).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
    for net in &nets {
        assert_eq!(net.addr(), net.network(), "bits beyond its length: {net}");
        assert_eq!(parse_entry(&net.to_string()), Ok(*net), "what it is written as");
    }
    let accepted = address_list::accept(&nets, None);
    assert!(accepted.is_err() || !nets.is_empty(), "nothing is a list");
    if accepted.is_ok() {
        assert!(nets.iter().all(|net| net.prefix_len() >= if net.addr().is_ipv4() { 8 } else { 16 }), "too wide");
    }
    let set: IpSet = nets.iter().copied().collect();
    let networks: Vec<Network> = nets.iter().map(network).collect();
    assert_eq!(set.is_empty(), networks.is_empty());
    for net in nets.iter().take(64) {
        let (first, length) = network(net);
        let last = first | mask(length);
        for number in [first, last, first.wrapping_sub(1), last.wrapping_add(1), first ^ 1, 0, u128::MAX] {
            probe(&set, &networks, number);
        }
    }
}

/// Whether it is in the set, and in one of the networks, in both spellings of an IPv4 address.
fn probe(set: &IpSet, networks: &[Network], number: u128) {
    let address = Ipv6Addr::from(number);
    let is_in = |(first, length): &Network| first & !mask(*length) == number & !mask(*length);
    // `::/0` is all of IPv6, of which IPv4 is no part.
    let is_v4 = address.to_ipv4_mapped().is_some();
    let expected = networks.iter().filter(|(_, length)| !is_v4 || *length >= 96).any(is_in);
    assert_eq!(set.contains(IpAddr::V6(address)), expected, "{address}");
    if let Some(v4) = address.to_ipv4_mapped() {
        assert_eq!(set.contains(IpAddr::V4(v4)), expected, "{v4}");
    }
}

fn network(net: &IpNet) -> Network {
    match net {
        IpNet::V4(net) => (net.network().to_ipv6_mapped().into(), u32::from(net.prefix_len()) + 96),
        IpNet::V6(net) => (net.network().into(), u32::from(net.prefix_len())),
    }
}

/// The bits behind a length.
fn mask(length: u32) -> u128 {
    u128::MAX.checked_shr(length).unwrap_or(0)
}

fn is_text(document: &[u8]) -> bool {
    !matches!(document.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Line by line. `None`: one is no entry.
fn naive(document: &[u8]) -> Option<Vec<Network>> {
    let text = std::str::from_utf8(document).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let entries = text.split('\n').map(|line| line.split('#').next().unwrap_or_default().trim());
    entries.filter(|entry| !entry.is_empty()).map(entry).collect()
}

fn entry(text: &str) -> Option<Network> {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let address = address.parse::<IpAddr>().ok()?;
    let (number, offset) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_ipv6_mapped()), 96),
        IpAddr::V6(v6) => (u128::from(v6), 0),
    };
    let length = match length {
        None => 128,
        Some(digits) => (0..=128 - offset).find(|length| length.to_string() == digits)? + offset,
    };
    let mapped = Ipv6Addr::from(number).to_ipv4_mapped().is_some();
    (number & mask(length) == 0 && (!mapped || length >= 96)).then_some((number, length))
}
