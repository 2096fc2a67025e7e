//! HTTP/2 frames as they pass: how many carry no request, whether a head is under way, and what h2 refuses by itself.
//!
//! h2 answers SETTINGS and PING as fast as they come, and refuses malformed heads without telling anybody. Only the nine bytes
//! before each payload are followed, and the first eight of it (RFC 9113 §4.1); nothing is copied or held back.
//! Must never cost a read more than a few instructions a frame, nor count against a client what an honest one does.

use std::time::{Duration, Instant};

use super::line::Abuse;
use super::unread::Unread;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

const HEADER: usize = 9;
const START: usize = 8;
/// Frames without a request or a body that a client may send at once, and how many more a second. A browser sends a dozen
/// a connection and two a request.
const BURST: u32 = 2000;
const A_SECOND: u32 = 500;
/// What each request adds to that: its priority, its answer's windows.
const A_REQUEST: u32 = 4;
/// A client may open its windows once for so many bytes of ours besides.
const A_WINDOW: u64 = 1024;

/// One frame that has passed whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
    /// The first bytes of its payload; zeros where it is shorter.
    start: [u8; START],
}

impl Frame {
    /// The first two numbers of its payload.
    fn words(&self) -> (u32, u32) {
        let word = |bytes: &[u8]| bytes.iter().fold(0_u32, |word, byte| word.wrapping_shl(8) | u32::from(*byte));
        let (first, second) = self.start.split_at(4);
        (word(first), word(second))
    }
}

/// Follows one direction.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER],
    /// Bytes of the header that are there.
    filled: usize,
    /// Bytes of the payload that have passed.
    passed: usize,
    start: [u8; START],
}

impl Frames {
    /// `each` is called for every frame that ends within `bytes`.
    fn follow(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let wanted = HEADER.saturating_sub(self.filled).min(bytes.len());
            let (header, rest) = bytes.split_at(wanted);
            for (to, from) in self.header.iter_mut().skip(self.filled).zip(header) {
                *to = *from;
            }
            self.filled = self.filled.saturating_add(wanted);
            if self.filled < HEADER {
                return;
            }
            let length = self.length();
            let (payload, rest) = rest.split_at(length.saturating_sub(self.passed).min(rest.len()));
            for (to, from) in self.start.iter_mut().skip(self.passed).zip(payload) {
                *to = *from;
            }
            self.passed = self.passed.saturating_add(payload.len());
            if self.passed < length {
                return;
            }
            let [_, _, _, kind, flags, a, b, c, d] = self.header;
            let stream = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
            each(Frame { kind, flags, stream, length, start: self.start });
            *self = Self::default();
            bytes = rest;
        }
    }

    fn length(&self) -> usize {
        let [a, b, c, ..] = self.header;
        usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX)
    }

    /// Between two frames.
    fn at_boundary(&self) -> bool {
        self.filled == 0
    }

    /// Within a frame other than DATA.
    fn in_control(&self) -> bool {
        self.filled > 0 && (self.filled < HEADER || self.header.get(3) != Some(&DATA))
    }
}

/// What waits for more frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Nothing,
    /// The preface is complete only with its SETTINGS (RFC 9113 §3.4).
    Preface,
    /// A header block that begins a request waits for its CONTINUATION.
    Request,
    /// So do trailers.
    Trailers,
}

/// What the client sends.
#[derive(Debug)]
pub(super) struct Received {
    frames: Frames,
    block: Block,
    /// No head has ended since this was asked for.
    same_head: bool,
    highest: u32,
    opened: u32,
    withdrawn: u32,
    allowance: Allowance,
}

impl Received {
    pub(super) fn new(now: Instant) -> Self {
        let allowance = Allowance { left: BURST, since: now, written: 0, spent: false };
        Self {
            frames: Frames::default(),
            block: Block::Preface,
            same_head: false,
            highest: 0,
            opened: 0,
            withdrawn: 0,
            allowance,
        }
    }

    /// # Errors
    /// When there are too many of a kind.
    pub(super) fn follow(&mut self, bytes: &[u8], unread: &mut Unread, now: impl Fn() -> Instant) -> Result<(), Abuse> {
        let mut scattered = false;
        let Self { frames, block, same_head, highest, opened, withdrawn, allowance } = self;
        frames.follow(bytes, |frame| {
            unread.passes(HEADER.saturating_add(frame.length));
            *block = match (frame.kind, *block) {
                (HEADERS, _) if frame.stream > *highest => Block::Request,
                (HEADERS, _) => Block::Trailers,
                (_, Block::Preface) => Block::Nothing,
                (_, block) => block,
            };
            if frame.kind == DATA {
                unread.padded(frame.stream, padding(&frame));
            }
            match frame.kind {
                DATA if carries(&frame) => {
                    let bytes = frame.length.saturating_sub(padding(&frame));
                    scattered |= !unread.received(frame.stream, bytes, frame.flags & END_STREAM != 0);
                }
                HEADERS if frame.stream > *highest => {
                    *highest = frame.stream;
                    if frame.flags & END_STREAM == 0 {
                        scattered |= !unread.begun(frame.stream);
                    }
                    allowance.left = allowance.left.saturating_add(A_REQUEST).min(BURST);
                }
                WINDOW_UPDATE if allowance.written >= A_WINDOW => {
                    allowance.written = allowance.written.saturating_sub(A_WINDOW);
                }
                RST_STREAM => {
                    *withdrawn = withdrawn.saturating_add(1);
                    unread.ended(frame.stream);
                    allowance.spend(&now);
                }
                _ => allowance.spend(&now),
            }
            if matches!(frame.kind, HEADERS | CONTINUATION) && frame.flags & END_HEADERS != 0 {
                *opened = opened.saturating_add(u32::from(*block == Block::Request));
                *block = Block::Nothing;
            }
            *same_head &= *block != Block::Nothing;
        });
        if self.allowance.spent {
            return Err(Abuse::Flooded);
        }
        if scattered { Err(Abuse::Scattered) } else { Ok(()) }
    }

    /// So many bytes went to the client.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.allowance.written = self.allowance.written.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Something has begun that must end within the time of a head.
    pub(super) fn head_under_way(&self) -> bool {
        self.block != Block::Nothing || self.frames.in_control()
    }

    /// Whether the head that is under way is the one that was when this was last asked.
    pub(super) fn same_head(&mut self) -> bool {
        let under_way = self.head_under_way();
        std::mem::replace(&mut self.same_head, under_way) && under_way
    }

    /// Requests begun that the client has not withdrawn. Too few where it withdrew one that was handed over.
    pub(super) fn standing(&self) -> u32 {
        self.opened.saturating_sub(self.withdrawn)
    }

    /// The last words to a client that floods (RFC 9113 §6.8, §7).
    pub(super) fn farewell(&self) -> [u8; 17] {
        let mut frame = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let payload = self.highest.to_be_bytes().into_iter().chain(ENHANCE_YOUR_CALM.to_be_bytes());
        for (to, from) in frame.iter_mut().skip(HEADER).zip(payload) {
            *to = from;
        }
        frame
    }
}

fn carries(frame: &Frame) -> bool {
    frame.flags & END_STREAM != 0 || frame.length > padding(frame)
}

/// Bytes of it, with the one that tells.
fn padding(frame: &Frame) -> usize {
    let [padding, ..] = frame.start;
    if frame.flags & PADDED == 0 { 0 } else { usize::from(padding).saturating_add(1) }
}

/// Frames that may still come.
#[derive(Debug)]
struct Allowance {
    left: u32,
    /// When it was last filled up. The clock is read only when nothing is left.
    since: Instant,
    /// Bytes of ours for which no window was opened yet.
    written: u64,
    spent: bool,
}

impl Allowance {
    fn spend(&mut self, now: impl Fn() -> Instant) {
        if self.left == 0 {
            let now = now();
            let since = now.saturating_duration_since(self.since).min(Duration::from_hours(1)).as_millis();
            let more = since.saturating_mul(u128::from(A_SECOND)).wrapping_div(1000).min(u128::from(BURST));
            self.left = u32::try_from(more).unwrap_or(BURST);
            if self.left > 0 {
                self.since = now;
            }
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.spent = true,
        }
    }
}

/// What h2 refused by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The whole connection, for this reason.
    Connection(Reason),
    /// A stream, for this reason.
    Stream(Reason),
    /// A stream that had an answer before. If that was of its own, it was 431.
    Answered,
    /// Perhaps: a stream has an answer without a body, like a 431 of its own.
    Empty,
}

/// Why (RFC 9113 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason(u32);

impl Reason {
    /// In words for the log.
    pub(crate) fn text(self) -> &'static str {
        match self.0 {
            1 => "it breaks the rules of HTTP/2 (PROTOCOL_ERROR)",
            2 => "of an error of our own (INTERNAL_ERROR)",
            3 => "it sends more than its window allows (FLOW_CONTROL_ERROR)",
            4 => "our settings were not acknowledged in time (SETTINGS_TIMEOUT)",
            5 => "it goes on with a stream that has ended (STREAM_CLOSED)",
            6 => "a frame's length is not allowed (FRAME_SIZE_ERROR)",
            7 => "it has too many streams open (REFUSED_STREAM)",
            9 => "its fields cannot be unpacked (COMPRESSION_ERROR)",
            11 => "it withdraws or breaks more than can be looked at (ENHANCE_YOUR_CALM)",
            _ => "of an unusual reason",
        }
    }
}

/// What is sent to the client.
#[derive(Debug, Default)]
pub(super) struct Sent {
    frames: Frames,
    /// The stream whose answer began last.
    answered: u32,
}

impl Sent {
    /// `refused` is called for everything that h2 refuses.
    pub(super) fn follow(&mut self, bytes: &[u8], unread: &mut Unread, mut refused: impl FnMut(Refusal)) {
        let Self { frames, answered } = self;
        frames.follow(bytes, |frame| {
            let (first, second) = frame.words();
            match frame.kind {
                WINDOW_UPDATE => unread.released(frame.stream, usize::try_from(first).unwrap_or(usize::MAX)),
                RST_STREAM => unread.ended(frame.stream),
                HEADERS | DATA if frame.flags & END_STREAM != 0 => unread.ended(frame.stream),
                _ => {}
            }
            match frame.kind {
                HEADERS => {
                    *answered = frame.stream;
                    if frame.flags & END_STREAM != 0 {
                        refused(Refusal::Empty);
                    }
                }
                RST_STREAM => match Reason(first) {
                    // Given up by hyper, because the client or the app did.
                    Reason(0 | 2 | CANCEL) => {}
                    Reason(_) if frame.stream == *answered => refused(Refusal::Answered),
                    reason => refused(Refusal::Stream(reason)),
                },
                GOAWAY => match Reason(second) {
                    Reason(0) => {}
                    reason => refused(Refusal::Connection(reason)),
                },
                _ => {}
            }
        });
    }

    pub(super) fn at_boundary(&self) -> bool {
        self.frames.at_boundary()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::line::Line;
    use super::*;
    use crate::clock;

    const SETTINGS: u8 = 4;
    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn frames(bytes: &[&[u8]]) -> Vec<Frame> {
        let (mut follower, mut seen) = (Frames::default(), Vec::new());
        for part in bytes {
            follower.follow(part, |frame| seen.push(frame));
        }
        assert!(follower.at_boundary());
        seen
    }

    fn unread() -> Unread {
        Arc::new(Line::new()).unread()
    }

    /// Whether it may send this.
    fn follow(received: &mut Received, bytes: &[u8], now: impl Fn() -> Instant) -> bool {
        received.follow(bytes, &mut unread(), now).is_ok()
    }

    fn received() -> Received {
        let mut received = Received::new(clock::monotonic());
        assert!(follow(&mut received, &frame(SETTINGS, 0, 0, &[]), clock::monotonic));
        received
    }

    /// How many of these the client may send.
    fn allowed(received: &mut Received, flood: &[u8], now: Instant) -> u32 {
        (0..100_000).take_while(|_| follow(received, flood, || now)).count().try_into().unwrap()
    }

    #[test]
    fn the_same_frames_are_seen_however_the_bytes_are_cut() {
        let all = [
            frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
            frame(HEADERS, END_HEADERS, 0x8000_0001, &[7; 300]),
            frame(DATA, 0, 1, &[]),
            frame(DATA, END_STREAM, 1, &[9; 17]),
            frame(PING, 0, 0, b"12345678"),
        ]
        .concat();
        let whole = frames(&[&all]);
        let short: Vec<_> = whole.iter().map(|frame| (frame.kind, frame.stream, frame.length)).collect();
        assert_eq!(short, [(SETTINGS, 0, 6), (HEADERS, 1, 300), (DATA, 1, 0), (DATA, 1, 17), (PING, 0, 8)]);
        assert_eq!((whole[0].start, whole[2].start), ([0, 4, 0, 1, 0, 0, 0, 0], [0; 8]));
        for size in 1..all.len() {
            let parts: Vec<&[u8]> = all.chunks(size).collect();
            assert_eq!(frames(&parts), whole, "in parts of {size}");
        }
    }

    #[test]
    fn frames_that_carry_nothing_are_bounded() {
        for (flood, name) in [
            (frame(SETTINGS, 0, 0, &[]), "settings"),
            (frame(PING, 0, 0, &[0; 8]), "ping"),
            (frame(2, 0, 1, &[0; 5]), "priority"),
            (frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), "window"),
            (frame(200, 0, 0, b"x"), "unknown"),
            (frame(CONTINUATION, 0, 1, &[]), "continuation"),
            (frame(RST_STREAM, 0, 1, &[0; 4]), "reset"),
            (frame(DATA, 0, 1, &[]), "empty data"),
            (frame(DATA, PADDED, 1, &[3, 0, 0, 0]), "padding"),
        ] {
            let mut received = received();
            let now = received.allowance.since;
            let before = received.allowance.left;
            assert_eq!(allowed(&mut received, &flood, now), before, "{name}");
        }
    }

    #[test]
    fn requests_and_bodies_are_not_counted() {
        for body in [frame(DATA, 0, 1, b"x"), frame(DATA, PADDED, 1, &[2, 0, 0, 0]), frame(DATA, END_STREAM, 1, &[])] {
            assert_eq!(allowed(&mut received(), &body, clock::monotonic()), 100_000);
        }
        let mut received = received();
        let now = received.allowance.since;
        for n in 0..10_000 {
            let request = frame(HEADERS, END_HEADERS, n * 2 + 1, b"");
            assert!(follow(&mut received, &[request, frame(PING, 0, 0, &[0; 8]).repeat(4)].concat(), || now), "{n}");
        }
    }

    #[test]
    fn the_allowance_comes_back_with_time() {
        let mut received = received();
        let now = received.allowance.since;
        let ping = frame(PING, 0, 0, &[0; 8]);
        received.allowance.left = 0;
        assert_eq!(allowed(&mut received, &ping, now + Duration::from_secs(1)), A_SECOND);
        let mut received = super::Received::new(now);
        received.allowance.left = 0;
        assert_eq!(allowed(&mut received, &ping, now + Duration::from_hours(1000)), BURST);
    }

    #[test]
    fn windows_may_be_opened_as_often_as_a_kibibyte_is_sent() {
        let mut received = received();
        let (now, before) = (received.allowance.since, received.allowance.left);
        received.wrote(10_000 * 1024 + 1023);
        let open = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
        assert_eq!(allowed(&mut received, &open, now), before + 10_000);
    }

    #[test]
    fn a_head_is_under_way_until_its_last_frame_is_whole() {
        let fresh = Received::new(clock::monotonic());
        assert!(fresh.head_under_way(), "a preface without its settings");
        let mut received = received();
        assert!(!received.head_under_way());
        let head = [frame(HEADERS, 0, 1, b"abc"), frame(CONTINUATION, END_HEADERS, 1, b"def")].concat();
        for (index, byte) in head.iter().enumerate() {
            assert!(follow(&mut received, &[*byte], clock::monotonic));
            assert_eq!(received.head_under_way(), index + 1 < head.len(), "{index}");
        }
        assert!(follow(&mut received, &frame(DATA, 0, 1, b"abc")[..11], clock::monotonic));
        assert!(!received.head_under_way(), "a body has a time of its own");
    }

    #[test]
    fn what_h2_refuses_is_read_from_what_it_sends() {
        let code = u32::to_be_bytes;
        for (sent, expected) in [
            (frame(RST_STREAM, 0, 1, &code(1)), vec![Refusal::Stream(Reason(1))]),
            (frame(RST_STREAM, 0, 1, &code(7)), vec![Refusal::Stream(Reason(7))]),
            (frame(RST_STREAM, 0, 1, &code(CANCEL)), vec![]),
            (frame(RST_STREAM, 0, 1, &code(0)), vec![]),
            ([frame(HEADERS, 4, 1, b"x"), frame(RST_STREAM, 0, 1, &code(1))].concat(), vec![Refusal::Answered]),
            (
                [frame(HEADERS, 5, 3, b"x"), frame(RST_STREAM, 0, 1, &code(1))].concat(),
                vec![Refusal::Empty, Refusal::Stream(Reason(1))],
            ),
            (frame(GOAWAY, 0, 0, &[code(7), code(9)].concat()), vec![Refusal::Connection(Reason(9))]),
            (frame(GOAWAY, 0, 0, &[code(7), code(0)].concat()), vec![]),
        ] {
            let mut seen = Vec::new();
            Sent::default().follow(&sent, &mut unread(), |refusal| seen.push(refusal));
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn small_frames_are_bounded_while_a_body_is_not_read_and_come_free_as_they_are_read_or_end() {
        let line = Arc::new(Line::new());
        let _body = line.attention().body();
        let (mut unread, mut received, mut sent) = (line.unread(), received(), Sent::default());
        let most = |received: &mut Received, unread: &mut Unread, flood: &[u8]| {
            (0..10_000).map_while(|_| received.follow(flood, unread, clock::monotonic).ok()).count()
        };
        let head = |stream| frame(HEADERS, END_HEADERS, stream, b"");
        let small = |stream| [frame(DATA, 0, stream, b"x"), frame(DATA, 0, 1, &[0; 16384])].concat();
        assert!(received.follow(&head(1), &mut unread, clock::monotonic).is_ok());
        let (bytes, cancel) = (u32::to_be_bytes(0xffff), u32::to_be_bytes(CANCEL));
        // Each stream is filled, and freed in another way.
        let mut fill = |unread: &mut Unread, stream| {
            assert!(received.follow(&head(stream), unread, clock::monotonic).is_ok());
            let all = most(&mut received, unread, &small(stream));
            assert_eq!(received.follow(&small(stream), unread, clock::monotonic), Err(Abuse::Scattered));
            all
        };
        let all = fill(&mut unread, 3);
        assert!((100..5000).contains(&all), "{all}");
        sent.follow(&frame(WINDOW_UPDATE, 0, 3, &bytes), &mut unread, |_| {});
        assert_eq!(fill(&mut unread, 5), all);
        sent.follow(&frame(HEADERS, 5, 5, b"x"), &mut unread, |_| {});
        assert_eq!(fill(&mut unread, 7), all);
        sent.follow(&frame(DATA, END_STREAM, 7, b""), &mut unread, |_| {});
        assert_eq!(fill(&mut unread, 9), all);
        sent.follow(&frame(RST_STREAM, 0, 9, &cancel), &mut unread, |_| {});
        assert_eq!(fill(&mut unread, 11), all);
        sent.follow(&frame(WINDOW_UPDATE, 0, 0, &bytes), &mut unread, |_| {});
        assert!(received.follow(&small(11), &mut unread, clock::monotonic).is_err(), "it says nothing of any stream");
        assert!(received.follow(&frame(RST_STREAM, 0, 11, &cancel), &mut unread, clock::monotonic).is_ok());
        assert!(received.follow(&small(1), &mut unread, clock::monotonic).is_ok());
        let bodiless = frame(HEADERS, END_HEADERS | END_STREAM, 13, b"");
        assert!(received.follow(&bodiless, &mut unread, clock::monotonic).is_ok());
        assert_eq!(most(&mut received, &mut unread, &small(13)), 10_000, "it has no body");
    }

    #[test]
    fn the_last_words_are_one_whole_frame() {
        let mut received = received();
        follow(&mut received, &frame(HEADERS, END_HEADERS, 0x0102_0305, b""), clock::monotonic);
        let seen = frames(&[&received.farewell()]);
        assert_eq!((seen.len(), seen[0].kind, seen[0].start), (1, GOAWAY, [1, 2, 3, 5, 0, 0, 0, 11]));
    }
}
