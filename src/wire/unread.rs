//! Small DATA frames that h2 may be holding: what they keep alive, so that it stays little.
//!
//! A frame that is not read keeps the buffer alive that it was read into, 8 KiB for a single byte. h2 has a limit for such
//! frames, but large ones that are read in between make up for them (h2 0.4, `Counts::record_data_frame`). So the streams
//! are followed here: where on the connection their small frames lie, and what was given back to their windows, which is
//! what has been read, the oldest first. It counts only while a body of the connection is not read. Must never end a connection
//! for large frames, nor while every body is read.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::line::{Abuse, Line};

/// Bytes. What is not small costs at most three times its size, and the windows limit that.
const SMALL: usize = 4 * 1024;
/// Bytes of the connection that one buffer is taken to hold.
const SEGMENT: u64 = 8 * 1024;
/// Segments of all connections: 16 MiB, or twice that, as a buffer may have grown to 16 KiB. Beyond that, the connection with
/// the most ends. It is that many because a stream that is read counts too, until h2 gives back a third of its window.
const MOST: usize = 2048;
/// So many a connection may have even then.
const FEW: usize = 4;
/// Streams that have begun and not ended: h2 refuses more than 128, and hears of none any more once it ends a connection.
const STREAMS: usize = 1024;

/// The sum over all connections. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    segments: AtomicUsize,
    /// Those that have ever held some.
    members: Mutex<Vec<Weak<Member>>>,
}

#[derive(Debug)]
struct Member {
    segments: AtomicUsize,
    /// It was told to end: it counts no more.
    out: AtomicBool,
    line: Arc<Line>,
}

/// Of one connection.
#[derive(Debug)]
pub(super) struct Unread {
    sum: Sum,
    member: Arc<Member>,
    is_known: bool,
    /// Of the attention, when it was last looked at.
    times_whole: usize,
    streams: HashMap<u32, Stream>,
    /// How many pieces lie in each.
    segments: HashMap<u64, usize>,
    /// Bytes of the connection so far.
    passed: u64,
}

/// What may not have been read.
#[derive(Debug, Default)]
struct Stream {
    pieces: VecDeque<Piece>,
    /// h2 gives padding back by itself.
    padding: usize,
}

#[derive(Debug)]
struct Piece {
    bytes: usize,
    /// Of small frames that may not have been read.
    segment: Option<u64>,
}

impl Unread {
    pub(super) fn new(line: Arc<Line>, sum: Sum) -> Self {
        let member = Arc::new(Member { segments: AtomicUsize::new(0), out: AtomicBool::new(false), line });
        Self {
            sum,
            member,
            is_known: false,
            times_whole: 0,
            streams: HashMap::new(),
            segments: HashMap::new(),
            passed: 0,
        }
    }

    /// A frame of whatever kind, with so many bytes.
    pub(super) fn passes(&mut self, bytes: usize) {
        self.passed = self.passed.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A request that has a body. False: there are too many.
    pub(super) fn begun(&mut self, stream: u32) -> bool {
        self.streams.entry(stream).or_default();
        self.streams.len() <= STREAMS
    }

    /// A frame of a body with so many bytes of padding.
    pub(super) fn padded(&mut self, stream: u32, bytes: usize) {
        if let Some(of_stream) = self.streams.get_mut(&stream) {
            of_stream.padding = of_stream.padding.saturating_add(bytes);
        }
    }

    /// A frame of a body with so many bytes besides its padding, and whether it is the last. False: there are too many.
    pub(super) fn received(&mut self, stream: u32, bytes: usize, last: bool) -> bool {
        let attention = self.member.line.attention();
        let (is_read, times) = (attention.is_whole(), attention.times_whole());
        if is_read || times != self.times_whole {
            self.times_whole = times;
            self.forget();
        }
        // One that has ended holds nothing more, whatever still comes.
        let Some(of_stream) = self.streams.get_mut(&stream) else { return true };
        // A stream has one last frame: its place pays for it.
        let segment = (!is_read && bytes < SMALL && !last).then(|| self.passed.wrapping_div(SEGMENT));
        if let Some(piece) = of_stream.pieces.back_mut().filter(|piece| piece.segment == segment) {
            piece.bytes = piece.bytes.saturating_add(bytes);
        } else {
            of_stream.pieces.push_back(Piece { bytes, segment });
            if let Some(segment) = segment {
                let pieces = self.segments.entry(segment).or_default();
                *pieces = pieces.saturating_add(1);
            }
        }
        self.count();
        if self.member.out.load(Ordering::Relaxed) {
            return false;
        }
        self.sum.0.segments.load(Ordering::Relaxed) <= MOST || self.may_stay()
    }

    /// So many bytes were given back to the window of a stream.
    pub(super) fn released(&mut self, stream: u32, mut bytes: usize) {
        let Some(of_stream) = self.streams.get_mut(&stream) else { return };
        let padding = bytes.min(of_stream.padding);
        of_stream.padding = of_stream.padding.saturating_sub(padding);
        bytes = bytes.saturating_sub(padding);
        while let Some(piece) = of_stream.pieces.front_mut() {
            let read = bytes.min(piece.bytes);
            piece.bytes = piece.bytes.saturating_sub(read);
            bytes = bytes.saturating_sub(read);
            if piece.bytes > 0 {
                break;
            }
            free(&mut self.segments, piece.segment);
            of_stream.pieces.pop_front();
        }
        self.count();
    }

    /// Nothing of it is held any more.
    pub(super) fn ended(&mut self, stream: u32) {
        let Some(of_stream) = self.streams.remove(&stream) else { return };
        for piece in of_stream.pieces {
            free(&mut self.segments, piece.segment);
        }
        self.count();
    }

    /// All of it has been read or will be at once, though it was not given back yet.
    fn forget(&mut self) {
        if self.segments.is_empty() {
            return;
        }
        self.segments = HashMap::new();
        for of_stream in self.streams.values_mut() {
            let bytes = of_stream.pieces.iter().map(|piece| piece.bytes).fold(0, usize::saturating_add);
            of_stream.pieces = [Piece { bytes, segment: None }].into();
        }
    }

    /// Brings the sum up to date.
    fn count(&mut self) {
        let is_out = self.member.out.load(Ordering::Relaxed) || self.member.line.attention().is_whole();
        let held = if is_out { 0 } else { self.segments.len() };
        if held == self.member.segments.load(Ordering::Relaxed) {
            return;
        }
        if !self.is_known {
            self.is_known = true;
            let mut members = self.sum.members();
            members.retain(|member| member.strong_count() > 0);
            members.push(Arc::downgrade(&self.member));
        }
        let before = self.member.segments.swap(held, Ordering::Relaxed);
        self.sum.0.segments.fetch_add(held.wrapping_sub(before), Ordering::Relaxed);
    }

    /// There are too many in all: whether it is another connection that has to go, which is told.
    fn may_stay(&self) -> bool {
        let held = |member: &Member| member.segments.load(Ordering::Relaxed);
        if held(&self.member) <= FEW {
            return true;
        }
        let members: Vec<_> = self.sum.members().iter().filter_map(Weak::upgrade).collect();
        // What they held has been read since: they say so only with their next frame.
        members.iter().filter(|member| member.line.attention().is_whole()).for_each(|member| self.sum.forget(member));
        if self.sum.0.segments.load(Ordering::Relaxed) <= MOST {
            return true;
        }
        let most = members.iter().max_by_key(|member| held(member));
        let Some(most) = most.filter(|most| !Arc::ptr_eq(most, &self.member)) else { return false };
        most.out.store(true, Ordering::Relaxed);
        self.sum.forget(most);
        most.line.flooded(Abuse::Scattered);
        true
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.member.out.store(true, Ordering::Relaxed);
        self.sum.forget(&self.member);
    }
}

impl Sum {
    /// Whoever swaps takes it off: it may be several at once.
    fn forget(&self, member: &Member) {
        self.0.segments.fetch_sub(member.segments.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Member>>> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn free(segments: &mut HashMap<u64, usize>, segment: Option<u64>) {
    let Some(segment) = segment else { return };
    if let Some(pieces) = segments.get_mut(&segment) {
        *pieces = pieces.saturating_sub(1);
        if *pieces == 0 {
            segments.remove(&segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection with a body that nobody reads, and requests 1, 3 and 5.
    fn connection(sum: &Sum) -> (Unread, crate::attention::Reader) {
        let line = Arc::new(Line::among(sum));
        let body = line.attention().body();
        let mut unread = line.unread();
        for stream in [1, 3, 5] {
            assert!(unread.begun(stream));
        }
        (unread, body)
    }

    fn counted(sum: &Sum) -> usize {
        sum.0.segments.load(Ordering::Relaxed)
    }

    fn receive(unread: &mut Unread, stream: u32, bytes: usize) -> bool {
        unread.passes(bytes.saturating_add(9));
        unread.received(stream, bytes, false)
    }

    /// How many single bytes it may have of a stream, each beside a large frame of another that is read.
    fn scattered(unread: &mut Unread, stream: u32, most: usize) -> usize {
        let pair = |unread: &mut Unread| {
            receive(unread, 5, 16 * 1024);
            unread.released(5, 16 * 1024);
            receive(unread, stream, 1)
        };
        (0..most).take_while(|_| pair(unread)).count()
    }

    #[test]
    fn nothing_counts_while_every_body_is_read() {
        let sum = Sum::default();
        let (mut unread, body) = connection(&sum);
        body.reads();
        assert_eq!(scattered(&mut unread, 1, 10_000), 10_000);
        assert_eq!(counted(&sum), 0);
        body.waits();
        assert_eq!(scattered(&mut unread, 1, 10_000), MOST, "and none of those from before");
        body.reads();
        assert_eq!(scattered(&mut unread, 1, 10_000), 10_000);
        assert_eq!((counted(&sum), unread.streams[&1].pieces.len()), (0, 1), "nor is anything kept for them");
        body.waits();
        // What was given back late is what came first.
        assert_eq!(scattered(&mut unread, 1, 100), 100);
        unread.released(1, 10_000);
        assert_eq!(counted(&sum), 100);
    }

    #[test]
    fn what_lies_together_counts_once_and_what_is_scattered_each() {
        let sum = Sum::default();
        let (mut unread, _body) = connection(&sum);
        for _ in 0..10_000 {
            assert!(receive(&mut unread, 1, 10) && receive(&mut unread, 3, 10));
        }
        assert_eq!(counted(&sum), 20_000 * 19 / 8192 + 1);
        let (mut unread, _body) = connection(&Sum::default());
        assert_eq!(scattered(&mut unread, 1, 10_000), MOST);
    }

    #[test]
    fn large_frames_and_last_ones_do_not_count() {
        let sum = Sum::default();
        let (mut unread, _body) = connection(&sum);
        for _ in 0..10_000 {
            unread.passes(2 * 8192);
            assert!(unread.received(1, SMALL, false) && unread.received(3, 1, true));
        }
        assert_eq!(counted(&sum), 0);
    }

    #[test]
    fn what_is_given_back_to_a_window_has_been_read_but_for_padding() {
        let sum = Sum::default();
        let (mut unread, _body) = connection(&sum);
        assert_eq!(scattered(&mut unread, 1, 100), 100);
        unread.released(1, 40);
        assert_eq!(counted(&sum), 60);
        unread.padded(1, 200);
        unread.padded(1, 55);
        unread.released(1, 255);
        assert_eq!(counted(&sum), 60, "h2 gives padding back unread");
        unread.released(1, 30);
        assert_eq!(counted(&sum), 30);
        unread.released(7, 30);
        unread.released(1, 1_000_000);
        assert_eq!(counted(&sum), 0);
    }

    #[test]
    fn what_was_read_before_attention_was_lost_does_not_stand_for_what_comes_later() {
        let sum = Sum::default();
        let (mut unread, body) = connection(&sum);
        body.reads();
        assert!(receive(&mut unread, 1, 8000));
        body.waits();
        assert_eq!(scattered(&mut unread, 1, 100), 100);
        // Announced late.
        unread.released(1, 8000);
        assert_eq!(counted(&sum), 100);
    }

    #[test]
    fn streams_that_never_end_are_bounded() {
        let (mut unread, _body) = connection(&Sum::default());
        let most = (1..10_000).take_while(|stream| unread.begun(2 * stream + 1)).count();
        assert!((128..2000).contains(&most), "{most}");
        unread.ended(7);
        assert!(!unread.begun(1_000_001), "one too many was begun");
        unread.ended(9);
        assert!(unread.begun(1_000_001));
    }

    #[test]
    fn an_ended_stream_holds_nothing_whatever_still_comes_of_it() {
        let sum = Sum::default();
        let (mut unread, _body) = connection(&sum);
        assert_eq!(scattered(&mut unread, 1, 100), 100);
        unread.ended(1);
        assert_eq!(counted(&sum), 0);
        assert_eq!(scattered(&mut unread, 1, 10_000), 10_000);
        assert_eq!((counted(&sum), unread.streams.len()), (0, 2));
        assert_eq!(scattered(&mut unread, 3, 10), 10);
        drop(unread);
        assert_eq!(counted(&sum), 0);
    }

    #[test]
    fn when_there_are_too_many_the_connection_with_the_most_ends() {
        let sum = Sum::default();
        let mut many: Vec<_> = [500, 700, 400, 400, 3].map(|count| (count, connection(&sum))).into();
        for (count, (unread, _)) in &mut many {
            assert_eq!(scattered(unread, 1, *count), *count);
        }
        let (mut honest, _body) = connection(&sum);
        assert_eq!(scattered(&mut honest, 1, 60), 60);
        let ended: Vec<_> = many.iter().map(|(_, (unread, _))| unread.member.line.abuse()).collect();
        assert_eq!(ended, [None, Some(Abuse::Scattered), None, None, None]);
        assert!(counted(&sum) <= MOST);
        let (_, (unread, _)) = &mut many[1];
        assert!(!receive(unread, 1, 1), "it may go on no more");
        assert_eq!(counted(&sum), 500 + 2 * 400 + 3 + 60);
        drop((many, honest));
        assert_eq!(counted(&sum), 0);
    }

    #[test]
    fn what_has_been_read_since_ends_nobody() {
        let sum = Sum::default();
        let (mut one, body) = connection(&sum);
        assert_eq!(scattered(&mut one, 1, MOST - 10), MOST - 10);
        body.reads();
        let (mut other, _body) = connection(&sum);
        assert_eq!(scattered(&mut other, 1, 100), 100);
        assert_eq!(one.member.line.abuse(), None);
        assert_eq!(counted(&sum), 100);
        body.waits();
        assert_eq!(scattered(&mut one, 3, 50), 50);
        drop((one, other));
        assert_eq!(counted(&sum), 0);
    }

    #[test]
    fn with_too_many_in_all_the_one_with_the_most_may_be_the_one_that_asks() {
        let sum = Sum::default();
        let few: Vec<_> = (0..MOST / FEW)
            .map(|_| {
                let (mut unread, body) = connection(&sum);
                assert_eq!(scattered(&mut unread, 1, FEW), FEW);
                (unread, body)
            })
            .collect();
        let (mut another, _body) = connection(&sum);
        assert_eq!(scattered(&mut another, 1, 10_000), FEW);
        drop(few);
    }
}
