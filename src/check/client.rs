//! The client's address: the peer's, or what a trusted proxy says about it.
//!
//! Only what trusted proxies wrote is read. They append on the right, so a list is walked from the right, and whatever
//! stands left of the first address that is not theirs came from the client and is never looked at. Whatever cannot be
//! read for sure is no client, never the peer and never a guess: an allowlist then refuses. Sources: RFC 7239
//! (`Forwarded`), DESIGN.md ("Client address"); `X-Forwarded-For` has no specification.

use std::net::{IpAddr, Ipv6Addr};

use super::ip::{IpSet, is_v4_with_leading_zero};

/// Who is believed, and about which header. Keys `client_ip.trusted_proxies` and `client_ip.header`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRules {
    /// Peers and hops whose word counts.
    pub trusted: IpSet,
    /// Where they say it.
    pub header: ClientHeader,
}

/// The header in which trusted proxies name the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientHeader {
    /// `x-forwarded-for`: a list, one address a hop.
    XForwardedFor,
    /// `forwarded`, RFC 7239: a list, one element a hop, with the address in `for=`.
    Forwarded,
    /// A header with one address, such as `cf-connecting-ip`; the name in lower case.
    Single(Box<str>),
}

/// The client's address after the trust rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// It is known; IPv4-mapped IPv6 is IPv4 here.
    Known(IpAddr),
    /// A trusted peer sent no usable address: `client_unknown` wherever an address is needed.
    Unknown(ClientFault),
}

/// Why there is no client's address; a field of the access line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientFault {
    /// A load balancer's own connection: the PROXY header says `LOCAL` or `UNKNOWN`.
    ProxyLocal,
    /// The trusted peer did not send the header.
    HeaderMissing,
    /// A header with one address was sent more than once.
    HeaderRepeated,
    /// Every hop of the list is a trusted proxy.
    OnlyTrustedHops,
    /// An empty element (`a, , b`) or an empty line: who wrote it is unknown, so nothing beyond it can be believed.
    EmptyElement,
    /// The proxy does not know either: `unknown`.
    UnknownHop,
    /// The proxy hides it: `_name` (RFC 7239 §6.3).
    ObfuscatedHop,
    /// `fe80::1%eth0`: a zone means nothing here.
    ZoneId,
    /// `192.0.2.010`, which is 8 for some readers and 10 for others.
    LeadingZero,
    /// Not a port number behind the address.
    Port,
    /// Not an address at all.
    NotAnAddress,
    /// An element of `forwarded` that RFC 7239 does not allow.
    MalformedForwarded,
    /// An element of `forwarded` without `for=`.
    NoFor,
}

/// The address that allowlists are compared with.
///
/// `values` are all lines of the configured header, in order of arrival; they are not looked at unless `peer` is trusted.
pub fn client<'a>(rules: &ClientRules, peer: IpAddr, values: impl DoubleEndedIterator<Item = &'a [u8]>) -> Client {
    if !peer_is_trusted(rules, peer) {
        return Client::Known(peer.to_canonical());
    }
    let found = match &rules.header {
        ClientHeader::XForwardedFor => first_untrusted(rules, values, last_of_list),
        ClientHeader::Forwarded => first_untrusted(rules, values, last_of_forwarded),
        ClientHeader::Single(_) => only(values),
    };
    found.map_or_else(Client::Unknown, Client::Known)
}

/// Whether `peer`, the socket's address, may speak for others.
pub fn peer_is_trusted(rules: &ClientRules, peer: IpAddr) -> bool {
    rules.trusted.contains(peer)
}

impl ClientHeader {
    /// The header's name in lower case.
    pub fn name(&self) -> &str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
            Self::Single(name) => name,
        }
    }
}

impl ClientFault {
    /// The stable name, for the access line.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ProxyLocal => "proxy_local",
            Self::HeaderMissing => "header_missing",
            Self::HeaderRepeated => "header_repeated",
            Self::OnlyTrustedHops => "only_trusted_hops",
            Self::EmptyElement => "empty_element",
            Self::UnknownHop => "unknown_hop",
            Self::ObfuscatedHop => "obfuscated_hop",
            Self::ZoneId => "zone_id",
            Self::LeadingZero => "leading_zero",
            Self::Port => "port",
            Self::NotAnAddress => "not_an_address",
            Self::MalformedForwarded => "malformed_forwarded",
            Self::NoFor => "no_for",
        }
    }

    /// Each of them.
    pub const ALL: &'static [Self] = &[
        Self::ProxyLocal,
        Self::HeaderMissing,
        Self::HeaderRepeated,
        Self::OnlyTrustedHops,
        Self::EmptyElement,
        Self::UnknownHop,
        Self::ObfuscatedHop,
        Self::ZoneId,
        Self::LeadingZero,
        Self::Port,
        Self::NotAnAddress,
        Self::MalformedForwarded,
        Self::NoFor,
    ];

    /// What is wrong, for people.
    pub const fn why(self) -> &'static str {
        match self {
            Self::ProxyLocal => "the PROXY header says that this is the load balancer's own connection",
            Self::HeaderMissing => "the trusted proxy did not send the header",
            Self::HeaderRepeated => "the header, which holds one address, was sent more than once",
            Self::OnlyTrustedHops => "every hop of the list is a trusted proxy: trusted_proxies holds the client too",
            Self::EmptyElement => "the list has an empty element, so nobody knows who wrote what is beyond it",
            Self::UnknownHop => "the proxy writes `unknown`: it does not know either",
            Self::ObfuscatedHop => "the proxy hides the address (RFC 7239, 6.3)",
            Self::ZoneId => "the address has a zone (`%eth0`), which means nothing here",
            Self::LeadingZero => "the address has a leading zero, which readers understand in two ways",
            Self::Port => "what stands behind the address is no port",
            Self::NotAnAddress => "it is not an address",
            Self::MalformedForwarded => "the `forwarded` header is malformed (RFC 7239)",
            Self::NoFor => "the element of `forwarded` has no `for=`",
        }
    }
}

/// The last hop of a line, and what stands left of its comma, if there is one.
type LastHop<'a> = (Result<IpAddr, ClientFault>, Option<&'a [u8]>);

/// Walks from the right over all lines as one list, past trusted hops.
fn first_untrusted<'a>(
    rules: &ClientRules,
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
    last: fn(&'a [u8]) -> LastHop<'a>,
) -> Result<IpAddr, ClientFault> {
    let mut fault = ClientFault::HeaderMissing;
    for line in lines.rev() {
        let mut rest = Some(line);
        while let Some(list) = rest {
            let (hop, left) = last(list);
            let hop = hop?;
            if !rules.trusted.contains(hop) {
                return Ok(hop);
            }
            fault = ClientFault::OnlyTrustedHops;
            rest = left;
        }
    }
    Err(fault)
}

/// A header that must be there once, with one address. It is the client's even if it is a trusted proxy's too.
fn only<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Result<IpAddr, ClientFault> {
    let line = lines.next().ok_or(ClientFault::HeaderMissing)?;
    if lines.next().is_some() {
        return Err(ClientFault::HeaderRepeated);
    }
    hop(trim(line))
}

fn last_of_list(list: &[u8]) -> LastHop<'_> {
    match memchr::memrchr(b',', list).and_then(|comma| list.split_at_checked(comma)) {
        Some((left, element)) => (hop(trim(element.strip_prefix(b",").unwrap_or(element))), Some(left)),
        None => (hop(trim(list)), None),
    }
}

fn last_of_forwarded(list: &[u8]) -> LastHop<'_> {
    match split_last_element(list) {
        Some((rest, element)) => (forwarded_for(trim(element)), rest),
        None => (Err(ClientFault::MalformedForwarded), None),
    }
}

/// Splits at the last comma that is not inside a quoted string, reading from the right: the client may have left a
/// quote open on the left, and must not be able to swallow what the proxy appended. `None` when a quote does not pair up.
fn split_last_element(list: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let mut end = list.len();
    while let Some(at) = list.get(..end).and_then(|head| memchr::memrchr2(b',', b'"', head)) {
        if list.get(at) == Some(&b',') {
            return Some((list.get(..at), list.get(at.checked_add(1)?..)?));
        }
        end = opening_quote(list, at)?;
    }
    Some((None, list))
}

/// The position of the quote that the one at `closing` ends. Whether they are quotes at all is for the parser to say.
fn opening_quote(list: &[u8], closing: usize) -> Option<usize> {
    let mut end = closing;
    loop {
        let at = memchr::memrchr(b'"', list.get(..end)?)?;
        if !is_escaped(list, at) {
            return Some(at);
        }
        end = at;
    }
}

/// Whether an odd number of backslashes stands before `at`.
fn is_escaped(list: &[u8], at: usize) -> bool {
    let before = list.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address of one element: `for=192.0.2.43;proto=https;by="[2001:db8::1]"`.
fn forwarded_for(element: &[u8]) -> Result<IpAddr, ClientFault> {
    const MALFORMED: ClientFault = ClientFault::MalformedForwarded;
    if element.is_empty() {
        return Err(ClientFault::EmptyElement);
    }
    let mut found = None;
    let mut rest = Some(element);
    while let Some(pairs) = rest {
        let pairs = trim(pairs);
        // `;;` and a `;` at the end are allowed by the grammar.
        if let [] | [b';', ..] = pairs {
            rest = pairs.strip_prefix(b";");
            continue;
        }
        let equals = memchr::memchr(b'=', pairs).ok_or(MALFORMED)?;
        let (name, value) = pairs.split_at_checked(equals).ok_or(MALFORMED)?;
        let (value, after) = forwarded_value(value.strip_prefix(b"=").unwrap_or(value)).ok_or(MALFORMED)?;
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(MALFORMED);
        }
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return Err(MALFORMED);
        }
        rest = match trim(after) {
            [] => None,
            [b';', after @ ..] => Some(after),
            _ => return Err(MALFORMED),
        };
    }
    let node = found.ok_or(ClientFault::NoFor)?;
    // Only here must IPv6 stand in brackets, with or without a port (RFC 7239 §6).
    if !node.starts_with(b"[") && memchr::memchr(b':', &node) != memchr::memrchr(b':', &node) {
        return Err(MALFORMED);
    }
    hop(&node)
}

/// The value at the start of `text`, unquoted, and what follows it: a token or a quoted string.
fn forwarded_value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end)?;
        return if value.is_empty() { None } else { Some((value.to_vec(), after)) };
    };
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                value.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

/// RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// One hop: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn hop(text: &[u8]) -> Result<IpAddr, ClientFault> {
    let text = str::from_utf8(text).map_err(|_| ClientFault::NotAnAddress)?;
    match text.as_bytes() {
        [] => return Err(ClientFault::EmptyElement),
        [b'_', ..] => return Err(ClientFault::ObfuscatedHop),
        word if word.eq_ignore_ascii_case(b"unknown") => return Err(ClientFault::UnknownHop),
        word if word.contains(&b'%') => return Err(ClientFault::ZoneId),
        _ => (),
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']').ok_or(ClientFault::NotAnAddress)?;
        let address: Ipv6Addr = address.parse().map_err(|_| ClientFault::NotAnAddress)?;
        check_port(after)?;
        return Ok(IpAddr::V6(address).to_canonical());
    }
    // One colon ends an IPv4 address; more of them are IPv6, where a port needs brackets.
    let (address, after) = match text.find(':') {
        Some(colon) if text.rfind(':') == Some(colon) => text.split_at(colon),
        Some(_) | None => (text, ""),
    };
    let parsed: IpAddr = address.parse().map_err(|_| {
        if is_v4_with_leading_zero(address) { ClientFault::LeadingZero } else { ClientFault::NotAnAddress }
    })?;
    check_port(after)?;
    Ok(parsed.to_canonical())
}

/// Nothing, or `:` and a port number. Any other tail means that the text before it may not be what it seems.
fn check_port(after: &str) -> Result<(), ClientFault> {
    match after.as_bytes() {
        [] => Ok(()),
        [b':', digits @ ..] if matches!(digits.len(), 1..=5) && digits.iter().all(u8::is_ascii_digit) => {
            let port = after.strip_prefix(':').and_then(|digits| digits.parse::<u16>().ok());
            port.map(drop).ok_or(ClientFault::Port)
        }
        _ => Err(ClientFault::Port),
    }
}

/// Optional white space around list elements: space and tab alone (RFC 9110 §5.6.3).
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::ip::parse_entry;

    const PROXY: &str = "10.0.3.7";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn rules(header: ClientHeader) -> ClientRules {
        let trusted = ["10.0.3.7", "10.0.4.0/24", "2001:db8:7::/48"];
        ClientRules { trusted: trusted.iter().map(|entry| parse_entry(entry).unwrap()).collect(), header }
    }

    fn ask(header: ClientHeader, peer: &str, lines: &[&str]) -> Client {
        client(&rules(header), ip(peer), lines.iter().map(|line| line.as_bytes()))
    }

    /// What each single line means when the trusted proxy sends it.
    fn check(header: &ClientHeader, cases: &[(&str, Result<&str, ClientFault>)]) {
        for (line, expected) in cases {
            let expected = expected.map_or_else(Client::Unknown, |address| Client::Known(ip(address)));
            assert_eq!(ask(header.clone(), PROXY, &[line]), expected, "{line:?}");
        }
    }

    fn single() -> ClientHeader {
        ClientHeader::Single("cf-connecting-ip".into())
    }

    #[test]
    fn every_fault_says_why_in_words_of_its_own() {
        let mut said: Vec<_> = ClientFault::ALL.iter().map(|fault| fault.why()).collect();
        assert!(said.iter().all(|why| why.len() >= 20), "{said:?}");
        said.sort_unstable();
        said.dedup();
        assert_eq!(said.len(), ClientFault::ALL.len());
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_sends() {
        for header in [ClientHeader::XForwardedFor, ClientHeader::Forwarded, single()] {
            for lines in [&[][..], &["198.51.100.1"], &["for=198.51.100.1"], &["10.0.3.7"], &["garbage", ""]] {
                assert_eq!(ask(header.clone(), "203.0.113.9", lines), Client::Known(ip("203.0.113.9")));
            }
        }
    }

    #[test]
    fn the_header_of_an_untrusted_peer_is_not_read() {
        let lines = (0..3).map(|_| -> &[u8] { panic!("the header was read") });
        let found = client(&rules(ClientHeader::XForwardedFor), ip("203.0.113.9"), lines);
        assert_eq!(found, Client::Known(ip("203.0.113.9")));
    }

    #[test]
    fn without_trusted_proxies_everybody_is_untrusted() {
        let rules = ClientRules { trusted: IpSet::default(), header: ClientHeader::XForwardedFor };
        assert!(!peer_is_trusted(&rules, ip("127.0.0.1")));
        assert_eq!(
            client(&rules, ip("127.0.0.1"), [b"198.51.100.1".as_ref()].into_iter()),
            Client::Known(ip("127.0.0.1"))
        );
    }

    #[test]
    fn a_mapped_peer_is_its_ipv4_address() {
        assert_eq!(ask(ClientHeader::XForwardedFor, "::ffff:203.0.113.9", &[]), Client::Known(ip("203.0.113.9")));
        assert_eq!(
            ask(ClientHeader::XForwardedFor, "::ffff:10.0.3.7", &["198.51.100.1"]),
            Client::Known(ip("198.51.100.1")),
            "and so it is trusted"
        );
    }

    #[test]
    fn a_list_is_walked_from_the_right_past_trusted_hops() {
        use ClientFault::*;
        check(
            &ClientHeader::XForwardedFor,
            &[
                ("198.51.100.1", Ok("198.51.100.1")),
                ("198.51.100.1, 10.0.4.9", Ok("198.51.100.1")),
                ("198.51.100.1,10.0.4.9,\t10.0.3.7 ", Ok("198.51.100.1")),
                ("2001:db8::5, 2001:db8:7::1", Ok("2001:db8::5")),
                ("198.51.100.1, ::ffff:10.0.4.9", Ok("198.51.100.1")),
                ("10.0.3.7, 10.0.4.9", Err(OnlyTrustedHops)),
                ("10.0.3.7", Err(OnlyTrustedHops)),
            ],
        );
    }

    #[test]
    fn nothing_left_of_the_first_untrusted_hop_is_read() {
        check(
            &ClientHeader::XForwardedFor,
            &[
                ("192.0.2.66, 198.51.100.1", Ok("198.51.100.1")),
                ("10.0.3.7, 198.51.100.1, 10.0.4.9", Ok("198.51.100.1")),
                ("garbage, ,,unknown,\"\\, 198.51.100.1", Ok("198.51.100.1")),
                ("\u{e9}\u{0}, 198.51.100.1", Ok("198.51.100.1")),
                (",198.51.100.1", Ok("198.51.100.1")),
            ],
        );
        check(
            &ClientHeader::Forwarded,
            &[
                ("for=192.0.2.66, for=198.51.100.1", Ok("198.51.100.1")),
                ("garbage;;==, for=198.51.100.1", Ok("198.51.100.1")),
                // The client opens a quote and hopes that it swallows what the proxy appends.
                ("for=\"192.0.2.66, for=198.51.100.1", Ok("198.51.100.1")),
                ("for=192.0.2.66;host=\"x\\, for=198.51.100.1", Ok("198.51.100.1")),
                ("for=192.0.2.66;host=\", for=\"[2001:db8::5]\"", Ok("2001:db8::5")),
                ("\", for=\"198.51.100.1\"", Ok("198.51.100.1")),
            ],
        );
    }

    #[test]
    fn several_lines_are_one_list() {
        let xff = |lines: &[&str]| ask(ClientHeader::XForwardedFor, PROXY, lines);
        assert_eq!(xff(&["192.0.2.66", "198.51.100.1"]), Client::Known(ip("198.51.100.1")), "the last line counts");
        assert_eq!(xff(&["192.0.2.66, 198.51.100.1", "10.0.4.9"]), Client::Known(ip("198.51.100.1")));
        assert_eq!(xff(&["198.51.100.1", "10.0.4.9", "10.0.3.7"]), Client::Known(ip("198.51.100.1")));
        assert_eq!(xff(&["10.0.4.9", "10.0.3.7"]), Client::Unknown(ClientFault::OnlyTrustedHops));
        assert_eq!(xff(&["198.51.100.1", ""]), Client::Unknown(ClientFault::EmptyElement));
        assert_eq!(xff(&["", "198.51.100.1"]), Client::Known(ip("198.51.100.1")));
        assert_eq!(xff(&[]), Client::Unknown(ClientFault::HeaderMissing));
        let forwarded = |lines: &[&str]| ask(ClientHeader::Forwarded, PROXY, lines);
        assert_eq!(forwarded(&["for=192.0.2.66", "for=198.51.100.1, for=10.0.4.9"]), Client::Known(ip("198.51.100.1")));
        assert_eq!(forwarded(&["for=\"192.0.2.66", "for=198.51.100.1"]), Client::Known(ip("198.51.100.1")));
        assert_eq!(
            forwarded(&["for=\"192.0.2.66", "for=10.0.4.9\""]),
            Client::Unknown(ClientFault::MalformedForwarded),
            "a quoted string does not reach over lines"
        );
        assert_eq!(forwarded(&[]), Client::Unknown(ClientFault::HeaderMissing));
    }

    #[test]
    fn what_cannot_be_read_for_sure_is_no_client() {
        use ClientFault::*;
        check(
            &ClientHeader::XForwardedFor,
            &[
                ("", Err(EmptyElement)),
                (" \t ", Err(EmptyElement)),
                (",", Err(EmptyElement)),
                ("198.51.100.1,", Err(EmptyElement)),
                ("198.51.100.1, , 10.0.4.9", Err(EmptyElement)),
                ("unknown", Err(UnknownHop)),
                ("Unknown", Err(UnknownHop)),
                ("198.51.100.1, unknown, 10.0.4.9", Err(UnknownHop)),
                ("_hidden", Err(ObfuscatedHop)),
                ("_", Err(ObfuscatedHop)),
                ("fe80::1%eth0", Err(ZoneId)),
                ("[fe80::1%25eth0]:80", Err(ZoneId)),
                ("198.51.100.010", Err(LeadingZero)),
                ("0198.51.100.1:80", Err(LeadingZero)),
                ("198.51.100.1:", Err(Port)),
                ("198.51.100.1:x", Err(Port)),
                ("198.51.100.1:+80", Err(Port)),
                ("198.51.100.1:65536", Err(Port)),
                ("198.51.100.1:000080", Err(Port)),
                ("[2001:db8::5]80", Err(Port)),
                ("[2001:db8::5]:", Err(Port)),
                ("[2001:db8::5] :80", Err(Port)),
                ("[2001:db8::5", Err(NotAnAddress)),
                ("2001:db8::5]", Err(NotAnAddress)),
                ("[[2001:db8::5]]", Err(NotAnAddress)),
                ("[198.51.100.1]", Err(NotAnAddress)),
                ("198.51.100", Err(NotAnAddress)),
                ("198.51.100.1/32", Err(NotAnAddress)),
                ("198.51.100.1 10.0.4.9", Err(NotAnAddress)),
                ("198.51.100.1;10.0.4.9", Err(NotAnAddress)),
                ("\"198.51.100.1\"", Err(NotAnAddress)),
                ("for=198.51.100.1", Err(NotAnAddress)),
                ("0x7f.0.0.1", Err(NotAnAddress)),
                ("3325256705", Err(NotAnAddress)),
                ("localhost", Err(NotAnAddress)),
                ("198.51.100.1\u{a0}", Err(NotAnAddress)),
                ("198.51.100.1\r", Err(NotAnAddress)),
            ],
        );
        let not_utf8 = client(&rules(ClientHeader::XForwardedFor), ip(PROXY), [b"\xFF".as_ref()].into_iter());
        assert_eq!(not_utf8, Client::Unknown(NotAnAddress));
    }

    #[test]
    fn ports_and_brackets_are_understood_and_mapped_addresses_are_ipv4() {
        for header in [ClientHeader::XForwardedFor, single()] {
            check(
                &header,
                &[
                    ("198.51.100.1:4711", Ok("198.51.100.1")),
                    ("198.51.100.1:0", Ok("198.51.100.1")),
                    ("198.51.100.1:65535", Ok("198.51.100.1")),
                    ("2001:db8::5", Ok("2001:db8::5")),
                    ("[2001:DB8::5]", Ok("2001:db8::5")),
                    ("[2001:db8::5]:4711", Ok("2001:db8::5")),
                    ("::ffff:198.51.100.1", Ok("198.51.100.1")),
                    ("[::ffff:c633:6401]:80", Ok("198.51.100.1")),
                    ("::1", Ok("::1")),
                ],
            );
        }
    }

    #[test]
    fn reads_forwarded_as_rfc_7239_writes_it() {
        check(
            &ClientHeader::Forwarded,
            &[
                ("for=192.0.2.43", Ok("192.0.2.43")),
                ("For=192.0.2.43", Ok("192.0.2.43")),
                ("FOR=\"192.0.2.43\"", Ok("192.0.2.43")),
                ("For=\"[2001:db8:cafe::17]:4711\"", Ok("2001:db8:cafe::17")),
                ("for=\"[2001:db8:cafe::17]\"", Ok("2001:db8:cafe::17")),
                ("for=\"192.0.2.43:47011\"", Ok("192.0.2.43")),
                ("for=192.0.2.60;proto=http;by=203.0.113.43", Ok("192.0.2.60")),
                ("proto=https; by=203.0.113.43 ; for=192.0.2.60", Ok("192.0.2.60")),
                (";for=192.0.2.60;;proto=http;", Ok("192.0.2.60")),
                ("for=192.0.2.43, for=10.0.4.9;by=\"[2001:db8::1]:80\"", Ok("192.0.2.43")),
                ("for=192.0.2.43,for=\"[2001:db8:7::9]\"", Ok("192.0.2.43")),
                ("for=\"\\1\\92.0.2.43\"", Ok("192.0.2.43")),
                ("for=\"[::ffff:192.0.2.43]\"", Ok("192.0.2.43")),
                ("forx=1.1.1.1;for=192.0.2.43;xfor=2.2.2.2", Ok("192.0.2.43")),
            ],
        );
    }

    #[test]
    fn separators_in_quoted_strings_do_not_split() {
        check(
            &ClientHeader::Forwarded,
            &[
                ("for=192.0.2.43;host=\"a,for=6.6.6.6\"", Ok("192.0.2.43")),
                ("for=192.0.2.43;host=\"a;for=6.6.6.6\"", Ok("192.0.2.43")),
                ("for=192.0.2.43;host=\"\\\", for=6.6.6.6\"", Ok("192.0.2.43")),
                ("for=192.0.2.43;host=\"\\\\\\\", for=6.6.6.6\"", Ok("192.0.2.43")),
                ("for=192.0.2.43;host=\"\\\\\", for=10.0.4.9", Ok("192.0.2.43")),
                ("for=192.0.2.43;host=\"\", for=10.0.4.9;host=\",,\"", Ok("192.0.2.43")),
            ],
        );
    }

    #[test]
    fn a_malformed_element_of_forwarded_is_no_client() {
        use ClientFault::*;
        check(
            &ClientHeader::Forwarded,
            &[
                ("", Err(EmptyElement)),
                ("for=192.0.2.43,", Err(EmptyElement)),
                ("for=192.0.2.43, , for=10.0.4.9", Err(EmptyElement)),
                (";", Err(NoFor)),
                ("by=192.0.2.43", Err(NoFor)),
                ("proto=https, for=10.0.4.9", Err(NoFor)),
                ("for=10.0.4.9", Err(OnlyTrustedHops)),
                ("for=unknown", Err(UnknownHop)),
                ("for=\"_gazonk\"", Err(ObfuscatedHop)),
                ("for=_SEVKISEK", Err(ObfuscatedHop)),
                ("for=\"[fe80::1%eth0]\"", Err(ZoneId)),
                ("for=192.0.02.43", Err(LeadingZero)),
                ("for=\"192.0.2.43:_port\"", Err(Port)),
                ("for=\"\"", Err(EmptyElement)),
                ("for=garbage", Err(NotAnAddress)),
                ("192.0.2.43", Err(MalformedForwarded)),
                ("for", Err(MalformedForwarded)),
                ("for=", Err(MalformedForwarded)),
                ("=192.0.2.43", Err(MalformedForwarded)),
                ("for =192.0.2.43", Err(MalformedForwarded)),
                ("for= 192.0.2.43", Err(MalformedForwarded)),
                ("for=192.0.2.43 192.0.2.44", Err(MalformedForwarded)),
                ("for=192.0.2.43:80", Err(MalformedForwarded)),
                ("for=2001:db8::5", Err(MalformedForwarded)),
                ("for=[2001:db8::5]", Err(MalformedForwarded)),
                ("for=\"2001:db8::5\"", Err(MalformedForwarded)),
                ("for=192.0.2.43;for=192.0.2.44", Err(MalformedForwarded)),
                ("for=192.0.2.43;FOR=192.0.2.43", Err(MalformedForwarded)),
                ("for=192.0.2.43;garbage", Err(MalformedForwarded)),
                ("for=\"192.0.2.43", Err(MalformedForwarded)),
                ("for=192.0.2.43\"", Err(MalformedForwarded)),
                ("for=\"192.0.2.43\"x", Err(MalformedForwarded)),
                ("for=\"192.0.2.43\"proto=http", Err(MalformedForwarded)),
                ("for=\"192.0.2.43\\\"", Err(MalformedForwarded)),
                ("for='192.0.2.43'", Err(NotAnAddress)),
                ("for=192.0.2.43;h\"=\"x", Err(MalformedForwarded)),
            ],
        );
    }

    #[test]
    fn a_single_header_is_there_once_with_one_address() {
        use ClientFault::*;
        check(
            &single(),
            &[
                ("198.51.100.1", Ok("198.51.100.1")),
                (" 198.51.100.1\t", Ok("198.51.100.1")),
                // The trusted proxy vouches for it, so it may be another trusted machine's.
                ("10.0.4.9", Ok("10.0.4.9")),
                ("198.51.100.1, 198.51.100.2", Err(NotAnAddress)),
                ("198.51.100.1,", Err(NotAnAddress)),
                ("", Err(EmptyElement)),
                ("unknown", Err(UnknownHop)),
            ],
        );
        assert_eq!(ask(single(), PROXY, &[]), Client::Unknown(HeaderMissing));
        assert_eq!(ask(single(), PROXY, &["198.51.100.1", "198.51.100.1"]), Client::Unknown(HeaderRepeated));
        assert_eq!(single().name(), "cf-connecting-ip");
    }

    #[test]
    fn a_huge_list_is_not_read_beyond_the_client() {
        // One line for every entry: a walk that went on would panic.
        let spoofed = (0..100_000).map(|_| -> &[u8] { panic!("an entry left of the client was read") });
        let lines = spoofed.chain([b"198.51.100.1".as_ref(), b"10.0.4.9"]);
        assert_eq!(client(&rules(ClientHeader::XForwardedFor), ip(PROXY), lines), Client::Known(ip("198.51.100.1")));
    }

    #[test]
    fn walks_a_huge_list_of_trusted_hops_once() {
        let list = vec!["for=10.0.4.9;host=\"a,b\""; 100_000].join(", ");
        let found = ask(ClientHeader::Forwarded, PROXY, &[&format!("for=198.51.100.1, {list}")]);
        assert_eq!(found, Client::Known(ip("198.51.100.1")));
        let quotes = format!("{}{}", "\\".repeat(100_000), "\"".repeat(100_001));
        let found = ask(ClientHeader::Forwarded, PROXY, &[&quotes]);
        assert_eq!(found, Client::Unknown(ClientFault::MalformedForwarded));
    }

    #[test]
    fn every_fault_has_its_own_name() {
        use ClientFault::*;
        let faults = [
            HeaderMissing,
            HeaderRepeated,
            OnlyTrustedHops,
            EmptyElement,
            UnknownHop,
            ObfuscatedHop,
            ZoneId,
            LeadingZero,
            Port,
            NotAnAddress,
            MalformedForwarded,
            NoFor,
        ];
        let names: std::collections::BTreeSet<_> = faults.iter().map(|fault| fault.code()).collect();
        assert_eq!(names.len(), faults.len());
    }
}
