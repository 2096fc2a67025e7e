//! Sets of addresses, compiled from addresses and CIDRs: allowlists and trusted proxies.
//!
//! An IPv4 address is one address however it is written: IPv4-mapped IPv6 (`::ffff:a.b.c.d`) is IPv4 everywhere. Must
//! never guess at an entry: what is not exactly an address or a network is a typed error. Sources: RFC 4632 (CIDR),
//! RFC 4291 §2.5.5.2 (mapped addresses), RFC 4007 §11 (zone ids), RFC 6943 §3.1.1 (leading zeros).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// An immutable set of addresses. [`IpSet::default`] is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpSet {
    v4: Box<[Range<u32>]>,
    v6: Box<[Range<u128>]>,
}

/// Both ends included. Ranges of a set are sorted and neither overlap nor touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range<N> {
    first: N,
    last: N,
}

/// Why an entry is not an address or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpEntryError {
    /// Neither an address nor `address/length`.
    Malformed,
    /// A part of an IPv4 address, or the length, starts with a zero: `010` is eight for some readers, ten for others.
    LeadingZero,
    /// `fe80::1%eth0`: a zone has no meaning beyond its own machine.
    ZoneId,
    /// The length is not a number up to 32 (IPv4) or 128 (IPv6).
    Length,
    /// The address has bits set beyond the length; the network that was meant is probably this one.
    HostBits(IpNet),
    /// An IPv4-mapped address with a length below 96 reaches beyond IPv4.
    MappedTooWide,
}

/// Reads `192.0.2.1`, `192.0.2.0/24`, `2001:db8::1` or `2001:db8::/32`. A mapped address or network becomes IPv4.
///
/// # Errors
/// See [`IpEntryError`].
pub fn parse_entry(text: &str) -> Result<IpNet, IpEntryError> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (parse_address(address)?, Some(parse_length(length)?)),
        None => (parse_address(text)?, None),
    };
    let Some(length) = length else { return Ok(IpNet::from(address.to_canonical())) };
    let (address, length) = match address {
        IpAddr::V6(v6) if let Some(v4) = v6.to_ipv4_mapped() => {
            // Longer than 128 is a wrong length, not a wide one.
            let inside = length.checked_sub(96).ok_or(IpEntryError::MappedTooWide)?;
            (IpAddr::V4(v4), inside)
        }
        IpAddr::V4(_) | IpAddr::V6(_) => (address, length),
    };
    let network = IpNet::new(address, length).map_err(|_| IpEntryError::Length)?;
    if network.addr() == network.network() { Ok(network) } else { Err(IpEntryError::HostBits(network.trunc())) }
}

impl IpSet {
    /// Whether `address` is in the set. An IPv4-mapped address is looked up as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => find(&self.v4, u32::from(v4)),
            IpAddr::V6(v6) => find(&self.v6, u128::from(v6)),
        }
    }

    /// Whether all of IPv4 or all of IPv6 is in it: not a rule any more.
    pub fn is_everything(&self) -> bool {
        matches!(self.v4.as_ref(), [Range { first: 0, last: u32::MAX }])
            || matches!(self.v6.as_ref(), [Range { first: 0, last: u128::MAX }])
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

impl FromIterator<IpNet> for IpSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(entries: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for entry in entries {
            match mapped(entry) {
                IpNet::V4(net) => {
                    v4.push(Range { first: u32::from(net.network()), last: u32::from(net.broadcast()) });
                }
                IpNet::V6(net) => {
                    v6.push(Range { first: u128::from(net.network()), last: u128::from(net.broadcast()) });
                }
            }
        }
        Self { v4: merge(v4, u32::checked_add), v6: merge(v6, u128::checked_add) }
    }
}

impl fmt::Display for IpEntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("it is neither an address nor a network such as 192.0.2.0/24"),
            Self::LeadingZero => f.write_str("numbers must be written without leading zeros"),
            Self::ZoneId => f.write_str("a zone id (`%…`) has no meaning here"),
            Self::Length => f.write_str("the length of a network is a number up to 32 (IPv4) or 128 (IPv6)"),
            Self::HostBits(network) => write!(f, "it has bits set beyond its length; did you mean {network}?"),
            Self::MappedTooWide => f.write_str("a network inside ::ffff:0:0/96 has a length of 96 to 128"),
        }
    }
}

impl std::error::Error for IpEntryError {}

/// An address in the notation of RFC 4291, nothing around it.
fn parse_address(text: &str) -> Result<IpAddr, IpEntryError> {
    text.parse().map_err(|_| {
        if text.contains('%') {
            IpEntryError::ZoneId
        } else if is_v4_with_leading_zero(text) {
            IpEntryError::LeadingZero
        } else {
            IpEntryError::Malformed
        }
    })
}

/// Whether `text` would be an IPv4 address but for a leading zero in one of its parts.
pub(super) fn is_v4_with_leading_zero(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() == 4
        && text.split('.').all(is_number)
        && text.split('.').any(|part| part.len() > 1 && part.starts_with('0'))
}

fn parse_length(text: &str) -> Result<u8, IpEntryError> {
    match text.as_bytes() {
        [b'0', _, ..] => Err(IpEntryError::LeadingZero),
        // `parse` alone would take a leading `+`.
        digits if digits.iter().all(u8::is_ascii_digit) => text.parse().map_err(|_| IpEntryError::Length),
        _ => Err(IpEntryError::Length),
    }
}

/// A network inside `::ffff:0:0/96` as the IPv4 network that it is.
fn mapped(entry: IpNet) -> IpNet {
    let as_v4 = |address: Ipv6Addr, length: u8| -> Option<IpNet> {
        let address: Ipv4Addr = address.to_ipv4_mapped()?;
        Some(IpNet::V4(Ipv4Net::new(address, length.checked_sub(96)?).ok()?))
    };
    match entry {
        IpNet::V4(_) => entry,
        IpNet::V6(net) => as_v4(net.network(), net.prefix_len()).unwrap_or(entry),
    }
}

/// Sorts, and joins ranges that overlap or touch.
fn merge<N: Ord + Copy + From<u8>>(mut ranges: Vec<Range<N>>, add: fn(N, N) -> Option<N>) -> Box<[Range<N>]> {
    ranges.sort_unstable_by_key(|range| range.first);
    let mut merged: Vec<Range<N>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            // No number after `last` means that it reaches to the end.
            Some(before) if add(before.last, N::from(1)).is_none_or(|next| range.first <= next) => {
                before.last = before.last.max(range.last);
            }
            Some(_) | None => merged.push(range),
        }
    }
    merged.into()
}

fn find<N: Ord + Copy>(ranges: &[Range<N>], number: N) -> bool {
    let after = ranges.partition_point(|range| range.first <= number);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| number <= range.last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str]) -> IpSet {
        entries.iter().map(|entry| parse_entry(entry).unwrap()).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn reads_addresses_and_networks() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2600:1f24:64:8000::/56", "2600:1f24:64:8000::/56"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:c000:201", "192.0.2.1/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1/128", "192.0.2.1/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(parse_entry(text).map(|net| net.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_an_entry() {
        use IpEntryError::*;
        for (text, error) in [
            ("", Malformed),
            ("example.com", Malformed),
            ("192.0.2", Malformed),
            ("192.0.2.256", Malformed),
            ("192.0.2.1:80", Malformed),
            ("[2001:db8::1]", Malformed),
            (" 192.0.2.1", Malformed),
            ("192.0.2.1 ", Malformed),
            ("/24", Malformed),
            ("3221225985", Malformed),
            ("0x7f.0.0.1", Malformed),
            ("192.0.2.0/24/24", Length),
            ("010.0.0.1", LeadingZero),
            ("10.00.0.1", LeadingZero),
            ("10.0.0.0/08", LeadingZero),
            ("fe80::1%eth0", ZoneId),
            ("fe80::%1/64", ZoneId),
            ("10.0.0.0/", Length),
            ("10.0.0.0/+8", Length),
            ("10.0.0.0/-1", Length),
            ("10.0.0.0/33", Length),
            ("10.0.0.0/256", Length),
            ("10.0.0.0/255.0.0.0", Length),
            ("2001:db8::/129", Length),
            ("::ffff:192.0.2.0/129", Length),
            ("192.0.2.1/24", HostBits("192.0.2.0/24".parse().unwrap())),
            ("10.0.0.1/0", HostBits("0.0.0.0/0".parse().unwrap())),
            ("2001:db8::1/64", HostBits("2001:db8::/64".parse().unwrap())),
            ("::ffff:192.0.2.1/120", HostBits("192.0.2.0/24".parse().unwrap())),
            ("::ffff:0:0/95", MappedTooWide),
            ("::ffff:192.0.2.0/0", MappedTooWide),
        ] {
            assert_eq!(parse_entry(text), Err(error), "{text}");
        }
        assert!(parse_entry("192.0.2.1/24").unwrap_err().to_string().contains("192.0.2.0/24"));
    }

    #[test]
    fn holds_both_ends_of_a_network_and_no_address_more() {
        let set = set(&["192.0.2.0/24", "198.51.100.7", "2001:db8:0:8000::/56"]);
        for inside in
            ["192.0.2.0", "192.0.2.255", "198.51.100.7", "2001:db8:0:8000::", "2001:db8:0:80ff:ffff:ffff:ffff:ffff"]
        {
            assert!(set.contains(ip(inside)), "{inside}");
        }
        for outside in [
            "192.0.1.255",
            "192.0.3.0",
            "198.51.100.6",
            "198.51.100.8",
            "2001:db8:0:7fff:ffff:ffff:ffff:ffff",
            "2001:db8:0:8100::",
            "0.0.0.0",
            "255.255.255.255",
            "::",
        ] {
            assert!(!set.contains(ip(outside)), "{outside}");
        }
    }

    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_address_on_both_sides() {
        assert!(set(&["192.0.2.1"]).contains(ip("::ffff:192.0.2.1")));
        assert!(set(&["::ffff:192.0.2.1"]).contains(ip("192.0.2.1")));
        assert!(set(&["::ffff:192.0.2.0/120"]).contains(ip("::ffff:192.0.2.9")));
        let by_hand: IpSet = ["::ffff:192.0.2.0/120".parse().unwrap()].into_iter().collect();
        assert!(by_hand.contains(ip("192.0.2.9")), "also when the network did not come from parse_entry");
        assert!(!set(&["::/0"]).contains(ip("::ffff:192.0.2.1")), "::/0 is all of IPv6, and a mapped address is IPv4");
        assert!(!set(&["192.0.2.1"]).contains(ip("::192.0.2.1")), "a compatible address is not a mapped one");
    }

    #[test]
    fn the_order_of_entries_and_their_overlaps_do_not_matter() {
        let a = set(&["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "9.9.9.9", "10.255.255.255"]);
        let b = set(&["9.9.9.9", "10.0.0.0/7"]);
        assert_eq!(a, b);
        assert_eq!(a.v4.len(), 2, "what touches is one range");
    }

    #[test]
    fn knows_when_everything_is_in_it() {
        for everything in [
            &["0.0.0.0/0"][..],
            &["::/0"],
            &["::ffff:0:0/96"],
            &["0.0.0.0/1", "128.0.0.0/1"],
            &["10.0.0.0/8", "0.0.0.0/0", "255.255.255.255"],
            &["8000::/1", "::/1"],
        ] {
            assert!(set(everything).is_everything(), "{everything:?}");
        }
        for something in [&[][..], &["0.0.0.0/1"], &["0.0.0.0/1", "128.0.0.0/2"], &["::/1"]] {
            assert!(!set(something).is_everything(), "{something:?}");
        }
    }

    #[test]
    fn an_empty_set_contains_nothing() {
        assert!(IpSet::default().is_empty());
        assert!(!set(&["::1"]).is_empty());
        assert!(!IpSet::default().contains(ip("0.0.0.0")));
        assert!(!IpSet::default().contains(ip("::")));
    }

    #[test]
    fn agrees_with_a_plain_search_through_the_networks() {
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(state >> 32).unwrap()
        };
        let networks: Vec<IpNet> = (0..300)
            .map(|_| {
                let length = u8::try_from(12 + random() % 21).unwrap();
                IpNet::V4(Ipv4Net::new(Ipv4Addr::from(random()), length).unwrap().trunc())
            })
            .collect();
        let set: IpSet = networks.iter().copied().collect();
        let edges = networks.iter().flat_map(|net| match net {
            IpNet::V4(net) => {
                let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
                [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
            }
            IpNet::V6(_) => unreachable!(),
        });
        for address in edges.map(|number| IpAddr::V4(Ipv4Addr::from(number))) {
            assert_eq!(set.contains(address), networks.iter().any(|net| net.contains(&address)), "{address}");
        }
    }
}
