//! The PROXY header that a load balancer sends before anything else: who is really connected.
//!
//! Versions 1 and 2 of the PROXY protocol, which `HAProxy`'s proxy-protocol.txt describes. Who must send it and who may not is the listener's
//! list; the header is read to its last byte and not one further, because TLS or HTTP follows. Must never take an address
//! from a peer that is not on the list, nor guess at a header.

use std::net::IpAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The beginning of version 2 (§2.2).
pub(crate) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1, line end included (§2.1).
const LONGEST_LINE: usize = 107;
/// Fixed part of version 2: the signature, version and command, family, length.
const FIXED: usize = 16;
/// Longest header of version 2 that is read. The addresses take at most 216 bytes; the rest is extensions, which balancers
/// use for a few hundred bytes.
const LONGEST: usize = 4096;
/// `PP2_TYPE_CRC32C`.
const CHECKSUM: u8 = 0x03;

/// Whom a header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// The client.
    Client(IpAddr),
    /// Nobody: the balancer's own connection (`LOCAL`), or a family that has no IP address (`UNKNOWN`, Unix sockets).
    Nobody,
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoHeader {
    /// The first bytes are something else.
    #[error("a peer in proxy_protocol_from sent no PROXY header")]
    Missing,
    /// It begins like a header, and is none.
    #[error("the PROXY header is malformed or too long")]
    Malformed,
    /// The peer has sent nothing at all: it only looked whether the port is open.
    #[error("the connection was closed before its first byte")]
    Empty,
    /// The peer is slow, or waits for us to speak.
    #[error("a peer in proxy_protocol_from sent no PROXY header in time")]
    Late,
    /// The socket ended or failed.
    #[error("the connection ended within the PROXY header")]
    Ended(#[from] std::io::Error),
}

/// Reads the header. The caller bounds the time.
///
/// # Errors
/// [`NoHeader`]; nothing more is to be read then.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Named, NoHeader> {
    let mut header = vec![0; SIGNATURE.len()];
    let (first, rest) = header.split_at_mut(1);
    if !matches!(stream.read(first).await, Ok(1)) {
        return Err(NoHeader::Empty);
    }
    stream.read_exact(rest).await?;
    if header == SIGNATURE {
        header.resize(FIXED, 0);
        stream.read_exact(header.get_mut(SIGNATURE.len()..).ok_or(NoHeader::Malformed)?).await?;
        let Some([high, low]) = header.get(FIXED.saturating_sub(2)..) else { return Err(NoHeader::Malformed) };
        let length = FIXED.saturating_add(usize::from(u16::from_be_bytes([*high, *low])));
        if length > LONGEST {
            return Err(NoHeader::Malformed);
        }
        header.resize(length, 0);
        stream.read_exact(header.get_mut(FIXED..).ok_or(NoHeader::Malformed)?).await?;
    } else if header.starts_with(b"PROXY ") {
        // Byte by byte: what follows the line is not ours, and the line is short.
        while !header.ends_with(b"\n") {
            if header.len() >= LONGEST_LINE {
                return Err(NoHeader::Malformed);
            }
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(NoHeader::Missing);
    }
    named(&header)
}

/// Whether the first bytes of a connection are a PROXY header, on a connection that may have none.
pub(crate) fn is_header(first: &[u8]) -> bool {
    first.starts_with(SIGNATURE) || first.starts_with(b"PROXY TCP") || first.starts_with(b"PROXY UNKNOWN")
}

fn named(header: &[u8]) -> Result<Named, NoHeader> {
    if !(header.starts_with(SIGNATURE) || ports_are_plain(header)) {
        return Err(NoHeader::Malformed);
    }
    let (parsed, length) = ProxyHeader::parse(header, ParseConfig::default()).map_err(|_| NoHeader::Malformed)?;
    if length != header.len() {
        return Err(NoHeader::Malformed);
    }
    if !extensions_are_sound(header) {
        return Err(NoHeader::Malformed);
    }
    match parsed.proxied_address() {
        None => Ok(Named::Nobody),
        Some(address) if address.protocol == Protocol::Stream => Ok(Named::Client(address.source.ip().to_canonical())),
        // HTTP does not arrive in datagrams: whoever says so speaks of another connection.
        Some(_) => Err(NoHeader::Malformed),
    }
}

/// Ports of version 1: digits, and no zero before them (§2.1). Those of `UNKNOWN` are ignored.
fn ports_are_plain(line: &[u8]) -> bool {
    let words: Vec<&[u8]> = line.trim_ascii_end().split(|byte| *byte == b' ').collect();
    let [_, family, _, _, ports @ ..] = &words[..] else { return true };
    let is_plain = |port: &&[u8]| port.iter().all(u8::is_ascii_digit) && (port.len() == 1 || !port.starts_with(b"0"));
    *family == b"UNKNOWN" || ports.iter().all(is_plain)
}

/// Extensions of version 2 (§2.2): each is whole, and the checksum, where there is one, is right (§2.2.3).
fn extensions_are_sound(header: &[u8]) -> bool {
    // LOCAL says nothing of its client, and is believed nothing.
    let (Some(0x21), Some(family)) = (header.get(SIGNATURE.len()), header.get(SIGNATURE.len().saturating_add(1)))
    else {
        return true;
    };
    let addresses: usize = match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return true,
    };
    let mut at = FIXED.saturating_add(addresses);
    while at < header.len() {
        let Some([kind, high, low]) = header.get(at..at.saturating_add(3)) else { return false };
        let start = at.saturating_add(3);
        let end = start.saturating_add(usize::from(u16::from_be_bytes([*high, *low])));
        let Some(value) = header.get(start..end) else { return false };
        if *kind == CHECKSUM {
            let zeros = [0; 4];
            let (before, after) = (header.get(..start).unwrap_or_default(), header.get(end..).unwrap_or_default());
            if value != crc32c(before.iter().chain(&zeros).chain(after)).to_be_bytes() {
                return false;
            }
        }
        at = end;
    }
    true
}

/// CRC-32C (Castagnoli; RFC 3720 §12.1), bit by bit: a header is short, and checksums are rare.
fn crc32c<'b>(bytes: impl Iterator<Item = &'b u8>) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x82f6_3b78 };
    !bytes.fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn reads(bytes: &[u8]) -> (Result<Named, NoHeader>, Vec<u8>) {
        let mut stream = bytes;
        let result = read(&mut stream).await;
        (result, stream.to_vec())
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, rest].concat()
    }

    #[tokio::test]
    async fn names_the_client_and_leaves_what_follows() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
        let v6: Vec<u8> = ["2001:db8::7", "2001:db8::1"]
            .iter()
            .flat_map(|address| address.parse::<std::net::Ipv6Addr>().unwrap().octets())
            .chain([0x30, 0x39, 0, 80])
            .collect();
        let unknown_tlv = [&v4[..], &[0xEE, 0, 3, 1, 2, 3], &[0x04, 0, 0]].concat();
        for (header, client) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n".to_vec(), "192.0.2.7"),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 12345 80\r\n".to_vec(), "2001:db8::7"),
            (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 12345 80\r\n".to_vec(), "192.0.2.7"),
            (v2(0x21, 0x11, &v4), "192.0.2.7"),
            (v2(0x21, 0x21, &v6), "2001:db8::7"),
            (v2(0x21, 0x11, &unknown_tlv), "192.0.2.7"),
        ] {
            let (named, rest) = reads(&[&header[..], b"GET / HTTP/1.1\r\n"].concat()).await;
            assert_eq!(named.unwrap(), Named::Client(client.parse().unwrap()), "{header:?}");
            assert_eq!(rest, b"GET / HTTP/1.1\r\n");
        }
    }

    #[tokio::test]
    async fn a_checksum_is_verified_and_extensions_are_whole() {
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283);
        assert_eq!(crc32c([0; 32].iter()), 0x8a91_36aa, "RFC 3720 §B.4");
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
        let with = |value: &[u8]| {
            let length = u16::try_from(value.len()).unwrap().to_be_bytes();
            v2(0x21, 0x11, &[&v4[..], &[0x04, 0, 1, 9, CHECKSUM], &length, value, &[0xee, 0, 0]].concat())
        };
        let right = crc32c(with(&[0; 4]).iter()).to_be_bytes();
        assert_eq!(reads(&with(&right)).await.0.unwrap(), Named::Client("192.0.2.7".parse().unwrap()));
        let mut wrong = right;
        wrong[3] ^= 1;
        for bad in [with(&wrong), with(&[0; 4]), with(&right[..3]), with(b"")] {
            assert!(matches!(reads(&bad).await.0, Err(NoHeader::Malformed)), "{bad:?}");
        }
        for cut in [&[0xee][..], &[0xee, 0], &[0xee, 0, 2, 1], &[0x04, 0xff, 0xff]] {
            let bad = v2(0x21, 0x11, &[&v4[..], cut].concat());
            assert!(matches!(reads(&bad).await.0, Err(NoHeader::Malformed)), "{cut:?}");
        }
    }

    #[tokio::test]
    async fn ports_of_version_1_are_plain_digits() {
        for (ports, good) in
            [("1 2", true), ("0 80", true), ("+1 2", false), ("0001 2", false), ("1 080", false), ("1 00", false)]
        {
            let line = format!("PROXY TCP4 192.0.2.7 10.0.0.1 {ports}\r\n");
            assert_eq!(reads(line.as_bytes()).await.0.is_ok(), good, "{ports}");
        }
    }

    #[tokio::test]
    async fn local_and_unknown_name_nobody() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
        for header in [
            v2(0x20, 0x00, b""),
            v2(0x20, 0x11, &v4),
            v2(0x21, 0x00, b""),
            v2(0x21, 0x31, &[0; 216]),
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
        ] {
            let (named, rest) = reads(&header).await;
            assert_eq!(named.unwrap(), Named::Nobody, "{header:?}");
            assert!(rest.is_empty());
        }
    }

    #[tokio::test]
    async fn refuses_what_is_no_header() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200], b"\r\n"].concat();
        for bytes in [
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 99999\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4  192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r \n".to_vec(),
            b"proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            long,
            v2(0x21, 0x12, &v4),
            v2(0x21, 0x11, &v4[..11]),
            v2(0x11, 0x11, &v4),
            v2(0x22, 0x11, &v4),
            v2(0x21, 0x41, &v4),
            v2(0x21, 0x21, &v4),
            v2(0x21, 0x11, &[0; LONGEST]),
        ] {
            let (named, _) = reads(&bytes).await;
            assert!(matches!(named, Err(NoHeader::Missing | NoHeader::Malformed)), "{bytes:?}: {named:?}");
        }
        for bytes in [&b"P"[..], b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\0"] {
            assert!(matches!(reads(bytes).await.0, Err(NoHeader::Ended(_))), "{bytes:?}");
        }
        assert!(matches!(reads(b"").await.0, Err(NoHeader::Empty)));
    }

    #[test]
    fn an_http_request_is_not_a_header() {
        for first in [&b"PROXY / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n", b"\r\n\r\nGET / HTTP/1.1", b"GET "] {
            assert!(!is_header(first));
        }
        assert!(is_header(b"PROXY TCP4 1.2.3.4"));
        assert!(is_header(SIGNATURE));
    }
}
