//! Small DATA frames that h2 may be holding: how many, so that they stay few.
//!
//! A frame that is not read keeps the buffer alive that it was read into, 8 KiB for a single byte. h2 has a limit for such
//! frames, but large ones that are read in between make up for them (h2 0.4, `Counts::record_data_frame`). So while a body
//! of the connection is not read, its streams are followed here: what came of each, and what was given back to its window.
//! Must never count while every body is read, nor end a connection for large frames.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::attention::Attention;

/// Bytes. What is not small costs at most three times its size, and the windows limit that.
const SMALL: usize = 4 * 1024;
/// Frames of one connection.
const MOST: usize = 2048;
/// Frames of all connections: 32 MiB.
const MOST_IN_ALL: usize = 4096;
/// So many a connection may have even then.
const FEW: usize = 16;

/// The sum over all connections. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum(Arc<AtomicUsize>);

/// Of one connection.
#[derive(Debug)]
pub(super) struct Unread {
    attention: Attention,
    sum: Sum,
    streams: HashMap<u32, Stream>,
    frames: usize,
}

/// What may not have been read.
#[derive(Debug, Default)]
struct Stream {
    bytes: usize,
    /// The small ones.
    frames: usize,
}

impl Unread {
    pub(super) fn new(attention: Attention, sum: Sum) -> Self {
        Self { attention, sum, streams: HashMap::new(), frames: 0 }
    }

    /// A frame with so many bytes, and whether it is its stream's last. False: there are too many.
    pub(super) fn received(&mut self, stream: u32, bytes: usize, last: bool) -> bool {
        if self.attention.is_whole() {
            self.forget();
            return true;
        }
        let of_stream = self.streams.entry(stream).or_default();
        of_stream.bytes = of_stream.bytes.saturating_add(bytes);
        // A stream has one last frame: its place pays for it.
        if bytes >= SMALL || last {
            return true;
        }
        of_stream.frames = of_stream.frames.saturating_add(1);
        self.frames = self.frames.saturating_add(1);
        let in_all = self.sum.0.fetch_add(1, Ordering::Relaxed);
        self.frames <= MOST && (in_all < MOST_IN_ALL || self.frames <= FEW)
    }

    /// So many bytes have been read, and given back to the window of the stream. The oldest first, so that what is left has at
    /// most as many frames as bytes.
    pub(super) fn released(&mut self, stream: u32, bytes: usize) {
        let Some(of_stream) = self.streams.get_mut(&stream) else { return };
        of_stream.bytes = of_stream.bytes.saturating_sub(bytes);
        let read = of_stream.frames.saturating_sub(of_stream.bytes);
        of_stream.frames = of_stream.frames.saturating_sub(read);
        self.take(read);
    }

    /// Nothing of it is held any more.
    pub(super) fn ended(&mut self, stream: u32) {
        if let Some(of_stream) = self.streams.remove(&stream) {
            self.take(of_stream.frames);
        }
    }

    fn forget(&mut self) {
        if !self.streams.is_empty() {
            self.streams = HashMap::new();
            self.take(self.frames);
        }
    }

    fn take(&mut self, frames: usize) {
        self.frames = self.frames.saturating_sub(frames);
        self.sum.0.fetch_sub(frames, Ordering::Relaxed);
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.take(self.frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(attention: &Attention, sum: &Sum) -> Unread {
        Unread::new(attention.clone(), sum.clone())
    }

    fn counted(sum: &Sum) -> usize {
        sum.0.load(Ordering::Relaxed)
    }

    /// How many one-byte frames it may have.
    fn allowed(unread: &mut Unread, stream: u32) -> usize {
        (0..10_000).take_while(|_| unread.received(stream, 1, false)).count()
    }

    #[test]
    fn nothing_is_counted_while_every_body_is_read() {
        let (attention, sum) = (Attention::default(), Sum::default());
        let mut unread = of(&attention, &sum);
        assert_eq!(allowed(&mut unread, 1), 10_000);
        let body = attention.body();
        assert_eq!(allowed(&mut unread, 1), MOST);
        body.reads();
        assert!(unread.received(1, 1, false));
        assert_eq!((unread.frames, counted(&sum)), (0, 0));
        assert_eq!(allowed(&mut unread, 1), 10_000);
    }

    #[test]
    fn large_frames_and_last_ones_are_not_counted_and_make_up_for_nothing() {
        let (attention, sum) = (Attention::default(), Sum::default());
        let _body = attention.body();
        let mut unread = of(&attention, &sum);
        for stream in 0..10_000 {
            assert!(unread.received(stream, SMALL, false) && unread.received(stream, 1, true));
        }
        let pairs =
            (0..10_000).take_while(|_| unread.received(3, 16 * 1024, false) && unread.received(1, SMALL - 1, false));
        assert_eq!(pairs.count(), MOST);
    }

    #[test]
    fn what_is_given_back_to_a_window_has_been_read_and_what_has_ended_is_gone() {
        let (attention, sum) = (Attention::default(), Sum::default());
        let _body = attention.body();
        let mut unread = of(&attention, &sum);
        for _ in 0..100 {
            assert!(unread.received(1, 10, false) && unread.received(3, 10, false));
        }
        unread.released(1, 950);
        assert_eq!(unread.frames, 150, "fifty bytes are left, which may be so many frames");
        unread.released(1, 1000);
        assert_eq!(unread.frames, 100);
        unread.released(5, 1000);
        unread.ended(5);
        unread.ended(3);
        assert_eq!((unread.frames, counted(&sum)), (0, 0));
        assert!(unread.received(1, 1, false));
        drop(unread);
        assert_eq!(counted(&sum), 0);
    }

    #[test]
    fn when_all_hold_many_each_may_have_only_a_few() {
        let (attention, sum) = (Attention::default(), Sum::default());
        let _body = attention.body();
        let mut many: Vec<Unread> = (0..MOST_IN_ALL / MOST).map(|_| of(&attention, &sum)).collect();
        for unread in &mut many {
            for _ in 0..MOST {
                assert!(unread.received(1, 1, false));
            }
        }
        let mut another = of(&attention, &sum);
        assert_eq!(allowed(&mut another, 1), FEW);
        drop(many);
        assert!(another.received(1, 1, false));
    }
}
