//! A request out of the blocks of a hex dump: the message itself, or the TCP segments that carry it.
//!
//! Sources: RFC 791, RFC 8200, RFC 9293 (header layouts), the Ethernet, Linux cooked and loopback link headers of
//! libpcap. Enough to find the payload of plain TCP; nothing is checked that the capture does not need. Must never join
//! segments over a gap.

use std::collections::HashMap;

use super::curl_output::one_of;
use super::note::Note;
use super::problem::{CaptureProblem, Fault};
use super::raw::{self, BodyRule, Message, is_request_line, next_line};
use super::{Captured, Shape};

/// Reads the request in the blocks of a dump.
pub(super) fn read(blocks: &[Message]) -> Result<Captured, CaptureProblem> {
    // tshark prints what it reassembled behind the frames: no need to do it again.
    let whole: Vec<Message> =
        blocks.iter().filter(|block| starts_request(block, 0)).map(|block| block.part(0, block.bytes.len())).collect();
    if !whole.is_empty() {
        return with_note(one_of(&whole, Shape::HexDump, BodyRule::Framed));
    }
    let segments: Vec<Segment<'_>> = blocks.iter().filter_map(segment).collect();
    if segments.is_empty() {
        return match blocks {
            [only] => raw::read(only, Shape::HexDump, BodyRule::Framed),
            _ => Err(CaptureProblem::file(Fault::NoRequest)),
        };
    }
    let cut = segments.iter().any(|segment| segment.cut);
    let mut requests = Vec::new();
    let mut gaps = Vec::new();
    for stream in streams(segments) {
        let starts: Vec<usize> =
            stream.starts.iter().copied().filter(|start| starts_request(&stream.message, *start)).collect();
        for (index, start) in starts.iter().enumerate() {
            let next = starts.get(index.saturating_add(1));
            requests.push(stream.message.part(*start, next.copied().unwrap_or(stream.message.bytes.len())));
            gaps.push(stream.gap && next.is_none());
        }
    }
    let mut captured = with_note(one_of(&requests, Shape::PacketDump, BodyRule::Framed))?;
    let short =
        captured.notes.iter().any(|note| matches!(note, Note::Truncated { .. } | Note::ChunkedUnfinished { .. }));
    if short && gaps.contains(&true) {
        captured.notes.push(Note::PacketMissing);
    }
    if short && cut {
        captured.notes.push(Note::PacketsCut);
    }
    Ok(captured)
}

fn with_note(read: Result<(Captured, Option<Note>), CaptureProblem>) -> Result<Captured, CaptureProblem> {
    read.map(|(mut captured, note)| {
        captured.notes.extend(note);
        captured
    })
}

fn starts_request(message: &Message, at: usize) -> bool {
    next_line(&message.bytes, at).is_some_and(|(line, _, _)| is_request_line(line) && line.contains(&b' '))
}

/// Source, destination: addresses and ports as they stand in the headers.
type Flow = Vec<u8>;

/// The payload of one packet.
struct Segment<'a> {
    flow: Flow,
    sequence: u32,
    block: &'a Message,
    from: usize,
    to: usize,
    /// The packet was longer than what was captured.
    cut: bool,
}

impl Segment<'_> {
    fn len(&self) -> usize {
        self.to.saturating_sub(self.from)
    }
}

/// Link headers: none, Ethernet, Ethernet with a VLAN tag, Linux cooked v1 and v2, BSD loopback.
const LINKS: [usize; 6] = [0, 14, 18, 16, 20, 4];

fn segment(block: &Message) -> Option<Segment<'_>> {
    LINKS.iter().find_map(|link| tcp(block, *link)).filter(|segment| segment.len() > 0)
}

fn tcp(block: &Message, link: usize) -> Option<Segment<'_>> {
    let packet = block.bytes.get(link..)?;
    let first = packet.first()?;
    let (addresses, header, total) = match first >> 4 {
        4 => {
            let header = usize::from(first & 15).checked_mul(4).filter(|header| *header >= 20)?;
            if packet.get(9) != Some(&6) {
                return None;
            }
            (packet.get(12..20)?, header, usize::from(u16_at(packet, 2)?))
        }
        6 if packet.get(6) == Some(&6) => (packet.get(8..40)?, 40, usize::from(u16_at(packet, 4)?).saturating_add(40)),
        _ => return None,
    };
    let tcp = packet.get(header..)?;
    let offset = usize::from(tcp.get(12)? >> 4).checked_mul(4).filter(|offset| *offset >= 20)?;
    let start = header.checked_add(offset)?;
    // A packet that the sender's card was to split has the length 0.
    let total = if total == 0 { packet.len() } else { total };
    if total < start {
        return None;
    }
    let mut flow = addresses.to_vec();
    flow.extend_from_slice(tcp.get(..4)?);
    let from = link.saturating_add(start).min(block.bytes.len());
    Some(Segment {
        flow,
        sequence: u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?),
        block,
        from,
        to: link.saturating_add(total).min(block.bytes.len()),
        cut: total > packet.len(),
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Payload without a gap.
#[derive(Default)]
struct Stream {
    message: Message,
    /// Where segments begin.
    starts: Vec<usize>,
    /// Something is missing behind it.
    gap: bool,
}

fn streams(segments: Vec<Segment<'_>>) -> Vec<Stream> {
    let mut flows: Vec<Vec<Segment<'_>>> = Vec::new();
    let mut known: HashMap<Flow, usize> = HashMap::new();
    for segment in segments {
        let index = *known.entry(segment.flow.clone()).or_insert(flows.len());
        match flows.get_mut(index) {
            Some(flow) => flow.push(segment),
            None => flows.push(vec![segment]),
        }
    }
    flows.into_iter().flat_map(ordered).collect()
}

/// By sequence number, which wraps: distances are taken from the first that was seen.
fn ordered(mut flow: Vec<Segment<'_>>) -> Vec<Stream> {
    let base = flow.first().map_or(0, |first| first.sequence);
    let distance = |segment: &Segment<'_>| i64::from(segment.sequence.wrapping_sub(base).cast_signed());
    flow.sort_by_key(distance);
    let mut streams: Vec<Stream> = Vec::new();
    let mut expected = i64::MIN;
    for segment in &flow {
        let start = distance(segment);
        let end = start.saturating_add(i64::try_from(segment.len()).unwrap_or(i64::MAX));
        if start > expected || streams.is_empty() {
            if let Some(last) = streams.last_mut() {
                last.gap = true;
            }
            streams.push(Stream::default());
            expected = start;
        }
        let Some(stream) = streams.last_mut().filter(|_| end > expected) else { continue };
        // Sent again, maybe with more behind it.
        let known = usize::try_from(expected.saturating_sub(start)).unwrap_or_default();
        stream.starts.push(stream.message.bytes.len());
        stream.message.append(&segment.block.part(segment.from.saturating_add(known), segment.to));
        // What the capture cut off is a gap as well.
        expected = end;
    }
    streams
}
