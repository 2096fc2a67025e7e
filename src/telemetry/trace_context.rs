//! `traceparent`: to which trace a request belongs. Source: W3C Trace Context Level 1, §3.2 and §4.3.
//!
//! Identifiers are random so that they do not meet, not so that nobody could guess them: nothing is decided by them. Must
//! never call anything valid that §3.2.2 does not.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::hex::Hex;

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Length of version 00, and the least of any later one.
const LENGTH: usize = 55;
/// The one flag of version 00: the caller may have recorded it.
const SAMPLED: u8 = 1;

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceParent {
    pub(crate) trace_id: [u8; 16],
    pub(crate) parent_id: [u8; 8],
    pub(crate) sampled: bool,
}

impl TraceParent {
    /// A trace of its own.
    pub(crate) fn new(sampled: bool) -> Self {
        let mut trace_id = [0; 16];
        let (high, low) = trace_id.split_at_mut(8);
        high.copy_from_slice(&noise().to_be_bytes());
        low.copy_from_slice(&noise().max(1).to_be_bytes());
        Self { trace_id, parent_id: span_id(), sampled }
    }

    /// What a request says of its trace. `None`: nothing, or nothing valid (more than one line included).
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        Self::parse(value.as_bytes())
    }

    /// A later version is read as far as this one goes (§4.3).
    fn parse(value: &[u8]) -> Option<Self> {
        let [version] = unhex(value.get(..2)?)?;
        let end = value.get(LENGTH..)?;
        let is_whole = match version {
            0 => end.is_empty(),
            0xff => false,
            _ => end.is_empty() || end.starts_with(b"-"),
        };
        let dashes = [2, 35, 52].into_iter().all(|at| value.get(at) == Some(&b'-'));
        let (trace_id, parent_id) = (unhex(value.get(3..35)?)?, unhex(value.get(36..52)?)?);
        let [flags] = unhex(value.get(53..LENGTH)?)?;
        let are_ids = trace_id != [0; 16] && parent_id != [0; 8];
        (is_whole && dashes && are_ids).then_some(Self { trace_id, parent_id, sampled: flags & SAMPLED == SAMPLED })
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut text = Vec::with_capacity(LENGTH);
        text.extend_from_slice(b"00-");
        Hex(&self.trace_id).append_to(&mut text);
        text.push(b'-');
        Hex(&self.parent_id).append_to(&mut text);
        text.extend_from_slice(if self.sampled { b"-01" } else { b"-00" });
        HeaderValue::try_from(text).ok()
    }
}

/// Names a span; never zero (§3.2.2.4).
pub(crate) fn span_id() -> [u8; 8] {
    noise().max(1).to_be_bytes()
}

/// A keyed hash of a counter: as good as random, and without asking the kernel.
pub(crate) fn noise() -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    KEY.get_or_init(RandomState::new).hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Lower case only (§3.2.2).
fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of §3.2.2.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(value: &str) -> Option<TraceParent> {
        TraceParent::parse(value.as_bytes())
    }

    #[test]
    fn reads_and_writes_the_example_of_the_specification() {
        let parent = parse(EXAMPLE).unwrap();
        assert_eq!(Hex(&parent.trace_id).to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(Hex(&parent.parent_id).to_string(), "00f067aa0ba902b7");
        assert!(parent.sampled);
        assert_eq!(parent.header().unwrap(), EXAMPLE);
    }

    #[test]
    fn refuses_what_the_specification_calls_invalid() {
        for value in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-011",
            "00-4bf92f3577b34da6a3ce929d0e0e47361-0f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }

    #[test]
    fn reads_a_later_version_as_far_as_this_one_goes() {
        for value in [
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what-comes-next",
        ] {
            assert_eq!(parse(value).and_then(|parent| parent.header()).unwrap(), EXAMPLE, "{value}");
        }
        assert!(!parse(&EXAMPLE.replace("-01", "-fe")).unwrap().sampled, "only the last bit");
    }

    #[test]
    fn two_lines_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceParent::of(&headers), None);
        headers.append(TRACEPARENT, EXAMPLE.parse().unwrap());
        assert!(TraceParent::of(&headers).is_some());
        headers.append(TRACEPARENT, EXAMPLE.parse().unwrap());
        assert_eq!(TraceParent::of(&headers), None);
    }

    #[test]
    fn new_ones_are_valid_and_differ() {
        let (one, other) = (TraceParent::new(false), TraceParent::new(true));
        assert_eq!(TraceParent::parse(one.header().unwrap().as_bytes()), Some(one));
        assert!(other.header().unwrap().as_bytes().ends_with(b"-01"));
        assert!(one.trace_id != other.trace_id && one.parent_id != other.parent_id);
    }
}
