//! What `tcpdump -A` prints: a line for each packet, then its bytes from the IP header on, unprintable ones as dots.
//!
//! Source: tcpdump(1), and its `ascii_print`: LF and tab stay, the CR of a CRLF is left out, all else that is not
//! printable is a dot, and one LF ends the packet. So this is a best effort, and says so. Must never pass for exact.

use std::collections::HashMap;

use super::Captured;
use super::Shape;
use super::curl_output::one_of;
use super::note::Note;
use super::problem::CaptureProblem;
use super::raw::{BodyRule, Message, is_request_line, newlines, next_line};

/// The methods that are looked for behind the bytes of the packet's headers.
const METHODS: &[&[u8]] = &[b"POST", b"PUT", b"PATCH", b"GET", b"DELETE", b"HEAD", b"OPTIONS"];

/// `None` if the file is no output of tcpdump.
pub(super) fn read(bytes: &[u8]) -> Option<Result<Captured, CaptureProblem>> {
    let packets = packets(bytes);
    if packets.is_empty() {
        return None;
    }
    Some(join(bytes, &packets))
}

/// A packet's line and text.
struct Packet {
    flow: Vec<u8>,
    /// As printed, such as `seq 1:208`.
    sequence: Vec<u8>,
    /// The text in the file.
    from: usize,
    to: usize,
    /// The line of `from`, from 1.
    line: usize,
}

fn packets(bytes: &[u8]) -> Vec<Packet> {
    let mut packets: Vec<Packet> = Vec::new();
    let (mut at, mut number) = (0_usize, 0_usize);
    let mut ended = false;
    while let Some((line, _, next)) = next_line(bytes, at) {
        number = number.saturating_add(1);
        // With -v the line is split in two.
        let first_half =
            find(line, b" (tos 0x").or_else(|| find(line, b" (flowlabel 0x")).is_some() && line.ends_with(b")");
        let flow = flow(line);
        if first_half || flow.is_some() {
            ended = true;
        }
        match (flow, packets.last_mut()) {
            (Some((flow, sequence)), _) => {
                ended = false;
                let line = number.saturating_add(1);
                packets.push(Packet { flow, sequence, from: next, to: next, line });
            }
            (None, Some(packet)) if !ended => packet.to = next,
            (None, _) => {}
        }
        at = next;
    }
    packets
}

/// `… IP 127.0.0.1.5000 > 127.0.0.1.80: Flags [P.], seq 1:208, …`: the two ends, and the numbers.
fn flow(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let flags = find(line, b": Flags [")?;
    let ends = line.get(..flags)?;
    let arrow = find(ends, b" > ")?;
    let from = ends.get(..arrow)?.rsplit(|byte| *byte == b' ').next()?;
    let to = ends.get(arrow.checked_add(3)?..)?;
    let rest = line.get(flags..)?;
    let sequence = find(rest, b", seq ").and_then(|at| rest.get(at.checked_add(2)?..)).unwrap_or_default();
    let sequence = sequence.split(|byte| *byte == b',').next().unwrap_or_default();
    (!from.is_empty() && !to.contains(&b' ')).then(|| ([from, b" > ", to].concat(), sequence.to_vec()))
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn join(bytes: &[u8], packets: &[Packet]) -> Result<Captured, CaptureProblem> {
    struct Open {
        /// Bytes of the packet's headers, the same in all packets of a connection.
        headers: usize,
        message: Message,
    }
    let mut requests: Vec<Open> = Vec::new();
    let mut latest: HashMap<&[u8], usize> = HashMap::new();
    for (index, packet) in packets.iter().enumerate() {
        let again = |before: &Packet| before.flow == packet.flow && before.sequence == packet.sequence;
        if !packet.sequence.is_empty() && packets.iter().take(index).rev().take(RETRANSMITTED_WITHIN).any(again) {
            continue;
        }
        let text = bytes.get(packet.from..packet.to).unwrap_or_default();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let (text, line) = behind_decoded(text, packet.line);
        if let Some(start) = request_start(text) {
            let mut message = Message::default();
            push(&mut message, text, start, line);
            latest.insert(&packet.flow, requests.len());
            requests.push(Open { headers: start, message });
            continue;
        }
        let open = latest.get(packet.flow.as_slice()).and_then(|open| requests.get_mut(*open));
        if let Some(open) = open {
            push(&mut open.message, text, open.headers, line);
        }
    }
    let messages: Vec<Message> = requests.into_iter().map(|open| open.message).collect();
    let (mut captured, note) = one_of(&messages, Shape::TcpdumpAscii, BodyRule::Framed)?;
    captured.notes.push(Note::DotsForBytes);
    captured.notes.extend(note);
    Ok(captured)
}

/// How far back a packet is looked for that is sent again.
const RETRANSMITTED_WITHIN: usize = 64;

/// With -v tcpdump decodes the head too, each line behind a tab, before it prints the bytes.
fn behind_decoded(mut text: &[u8], mut line: usize) -> (&[u8], usize) {
    let mut decoded = false;
    while let Some((first, _, next)) = next_line(text, 0) {
        let skip = first.first() == Some(&b'\t') || (decoded && first.is_empty());
        if !skip {
            break;
        }
        decoded = true;
        line = line.saturating_add(1);
        text = text.get(next..).unwrap_or_default();
    }
    (text, line)
}

/// Where a request line begins, behind the bytes of the packet's headers.
fn request_start(text: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    while let Some((line, _, next)) = next_line(text, at) {
        let mut words = line.rsplitn(3, |byte| *byte == b' ');
        let (version, target, before) = (words.next(), words.next(), words.next());
        if let (Some(version), Some(target), Some(before)) = (version, target, before)
            && let Some(method) = METHODS.iter().find(|method| before.ends_with(method))
            && is_request_line(&[method, b" ".as_slice(), target, b" ", version].concat())
        {
            return Some(at.saturating_add(before.len().saturating_sub(method.len())));
        }
        at = next;
    }
    None
}

/// Adds the text from `start` on, line by line, so that a problem finds its line.
fn push(message: &mut Message, text: &[u8], start: usize, line: usize) {
    let above = newlines(text.get(..start).unwrap_or_default());
    let rest = text.get(start..).unwrap_or_default();
    for (index, part) in rest.split_inclusive(|byte| *byte == b'\n').enumerate() {
        message.push(part, line.saturating_add(above).saturating_add(index));
    }
}
