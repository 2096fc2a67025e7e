//! PROXY headers, versions 1 and 2, against an independent reading of proxy-protocol.txt.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hookward::fuzzing;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

pub fn run(data: &[u8]) {
    let (named, taken) = fuzzing::proxy_header(data);
    assert!(taken <= data.len());
    let named = match named {
        Ok(named) => named,
        Err(why) => {
            assert!(!why.is_empty() && why != "it waits");
            assert!(!is_usual(data), "a header that every balancer sends is refused: {why}");
            return;
        }
    };
    // It took the header, and not one byte of what follows.
    let (expected, length) = read(data).expect("taken, though it is no header");
    assert_eq!(taken, length);
    assert_eq!(named, expected);
    // What follows changes nothing, and nothing less is a header.
    let alone = fuzzing::proxy_header(&data[..length]);
    assert_eq!(alone, (Ok(named), length));
    for end in length.saturating_sub(4)..length {
        assert!(fuzzing::proxy_header(&data[..end]).0.is_err(), "cut at {end}");
    }
}

/// Whom it names, and its length.
fn read(data: &[u8]) -> Option<(Option<IpAddr>, usize)> {
    let Some(rest) = data.strip_prefix(SIGNATURE) else { return line(data) };
    let [command, family, high, low, rest @ ..] = rest else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let body = rest.get(..length)?;
    let whole = 16 + length;
    let address = match (command, family) {
        (0x20, _) | (0x21, 0x00) => None,
        (0x21, 0x11) => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(body.get(..12)?.get(..4)?).ok()?))),
        (0x21, 0x21) => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(body.get(..36)?.get(..16)?).ok()?))),
        // Unix sockets, of streams or datagrams: nobody with an address.
        (0x21, 0x31 | 0x32) => {
            body.get(..216)?;
            None
        }
        _ => return None,
    };
    Some((address.map(|address| address.to_canonical()), whole))
}

fn line(data: &[u8]) -> Option<(Option<IpAddr>, usize)> {
    let end = data.iter().position(|byte| *byte == b'\n')?;
    let text = std::str::from_utf8(data.get(..end.checked_sub(1)?)?).ok();
    if data[end - 1] != b'\r' || end + 1 > 107 || !data.starts_with(b"PROXY ") {
        return None;
    }
    if data.starts_with(b"PROXY UNKNOWN") {
        return Some((None, end + 1));
    }
    let words: Vec<&str> = text?.split(' ').collect();
    let [_, family, source, destination, source_port, destination_port] = words[..] else { return None };
    let is_port = |text: &str| (0..=65_535_u32).any(|port| port.to_string() == text);
    if !is_port(source_port) || !is_port(destination_port) {
        return None;
    }
    let address: IpAddr = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            source.parse::<Ipv4Addr>().ok()?.into()
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            source.parse::<Ipv6Addr>().ok()?.into()
        }
        _ => return None,
    };
    Some((Some(address.to_canonical()), end + 1))
}

/// Version 1 with addresses of its family, or version 2 without extensions.
fn is_usual(data: &[u8]) -> bool {
    match read(data) {
        None => false,
        Some((_, length)) if !data.starts_with(SIGNATURE) => !data[..length].starts_with(b"PROXY UNKNOWN"),
        Some((_, length)) => data[12] == 0x21 && matches!((data[13], length), (0x11, 28) | (0x21, 52)),
    }
}
