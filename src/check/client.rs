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
pub fn client<'a>(
    rules: &ClientRules,
    peer: IpAddr,
    values: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> Client {
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

/// The position of the quote that the one at `closing` ends.
fn opening_quote(list: &[u8], closing: usize) -> Option<usize> {
    if is_escaped(list, closing) {
        return None;
    }
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
