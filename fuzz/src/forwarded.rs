//! Which address is the client's, against a plain walk from the right.
//!
//! The first byte chooses the header and the peer; the rest are lines of the header.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::OnceLock;

use hookward::check::client::{Client, ClientHeader, ClientRules, client};
use hookward::check::ip::parse_entry;

const TRUSTED: [&str; 3] = ["10.0.0.0/8", "192.0.2.1", "2001:db8:7::/48"];
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 3, 7));
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));
/// What a client may write to the left of what its proxy appends.
const FORGED: [&str; 9] = [
    "",
    "198.51.100.77",
    "10.0.0.1",
    "for=198.51.100.77",
    "for=\"198.51.100.77",
    "\"",
    "for=x;by=\"\\",
    "for=198.51.100.77, \"",
    "\\",
];

fn rules() -> &'static [ClientRules; 3] {
    static RULES: OnceLock<[ClientRules; 3]> = OnceLock::new();
    RULES.get_or_init(|| {
        let single = ClientHeader::Single("cf-connecting-ip".into());
        [ClientHeader::XForwardedFor, ClientHeader::Forwarded, single].map(|header| ClientRules {
            trusted: TRUSTED.iter().map(|entry| parse_entry(entry).unwrap()).collect(),
            header,
        })
    })
}

pub fn run(data: &[u8]) {
    let [choice, text @ ..] = data else { return };
    let rules = &rules()[usize::from(choice % 3)];
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let ask = |peer, lines: &[&[u8]]| client(rules, peer, lines.iter().copied());

    assert_eq!(ask(STRANGER, &lines), Client::Known(STRANGER), "a stranger's header was read");
    let found = ask(PEER, &lines);
    let Client::Known(address) = found else {
        if rules.header == ClientHeader::XForwardedFor {
            assert_eq!(walked(&lines), None, "{found:?}");
        }
        return;
    };
    assert_eq!(address, address.to_canonical());
    match rules.header {
        // The header's only line, whoever is in it.
        ClientHeader::Single(_) => assert_eq!((lines.len(), hop(lines[0])), (1, Some(address))),
        ClientHeader::XForwardedFor => assert_eq!(walked(&lines), Some(address)),
        ClientHeader::Forwarded => {}
    }
    if matches!(rules.header, ClientHeader::Single(_)) {
        return;
    }
    assert!(!is_trusted(address), "{address} is a proxy");
    // Whatever a client writes before it, on the same line or on lines of its own, changes nothing.
    for forged in FORGED {
        let line = [forged.as_bytes(), b",", lines[0]].concat();
        let same_line: Vec<&[u8]> = std::iter::once(&line[..]).chain(lines[1..].iter().copied()).collect();
        assert_eq!(ask(PEER, &same_line), found, "{forged:?} on the same line");
        let own_line: Vec<&[u8]> = std::iter::once(forged.as_bytes()).chain(lines.iter().copied()).collect();
        assert_eq!(ask(PEER, &own_line), found, "{forged:?} on a line of its own");
    }
    // Nor is it anything that none of the proxies wrote.
    let shown = String::from_utf8_lossy(text);
    let words = shown.split(|letter: char| !(letter.is_ascii_hexdigit() || matches!(letter, ':' | '.')));
    let spelled = |word: &str| {
        let port = word.rsplit_once(':').map_or("", |(address, _)| address);
        [word, port].iter().any(|text| text.parse::<IpAddr>().is_ok_and(|found| found.to_canonical() == address))
    };
    let unescaped = shown.replace('\\', "");
    let mut escaped = unescaped.split(|letter: char| !(letter.is_ascii_hexdigit() || matches!(letter, ':' | '.')));
    assert!(words.into_iter().any(spelled) || escaped.any(spelled), "{address} is not in {shown:?}");
}

fn is_trusted(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets()[0] == 10 || v4.octets() == [192, 0, 2, 1],
        IpAddr::V6(v6) => v6.segments()[..3] == [0x2001, 0xdb8, 7],
    }
}

/// All lines as one list, from the right, to the first that is no proxy. `None`: there is nobody to believe.
fn walked(lines: &[&[u8]]) -> Option<IpAddr> {
    let list = lines.join(&b","[..]);
    for element in list.rsplit(|byte| *byte == b',') {
        let address = hop(element)?;
        if !is_trusted(address) {
            return Some(address);
        }
    }
    None
}

/// An address with or without a port; IPv6 with a port is in brackets.
fn hop(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let is_port = |text: &str| {
        (1..=5).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|port| port < 65_536)
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let fits = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return fits.then(|| inside.parse::<Ipv6Addr>().ok())?.map(|address| IpAddr::V6(address).to_canonical());
    }
    let alone = text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    alone.or_else(|| {
        let (address, port) = text.split_once(':')?;
        let v4 = address.parse::<std::net::Ipv4Addr>().ok()?;
        is_port(port).then_some(IpAddr::V4(v4))
    })
}
