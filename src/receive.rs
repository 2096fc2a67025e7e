//! A webhook's body, received in bounds: bytes, time, rate, and the process's memory.
//!
//! Frames are kept as they arrive and never joined, save small ones: a body sent a byte at a time would cost many times
//! its size in bookkeeping, and each frame keeps the whole buffer alive that it was read into. So a body that is waited for
//! is copied, and costs what is charged for it, up to a frame's share of its buffer ([`LARGE`]). Must never wait
//! without a limit, nor take a byte without charging it.

use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::budget::{Charge, Short};
use crate::clock;
use crate::in_flight::raised;
use crate::quiet::quietly;
use crate::reject::Reject;

/// A body that is waited for must bring this many bytes a second, once [`GRACE`] is over.
const LEAST_RATE: u64 = 1024;
const GRACE: Duration = Duration::from_secs(5);
/// Frames below this size are put together, in pieces of at most [`PIECE`].
const SMALL: usize = 4 * 1024;
const PIECE: usize = 64 * 1024;
/// The same for a body that is waited for. Half of the most that one read brings.
const LARGE: usize = 16 * 1024;
/// By how much a piece grows: doubling it would cost a slow body twice its size.
const GROWTH: usize = 4 * 1024;

/// How much a body may be, and how long it may take from its head.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
    /// Becomes true when a shutdown can wait no longer.
    pub(crate) expired: watch::Receiver<bool>,
}

/// Why a body is not whole.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// A bound was reached.
    Rejected(Reject),
    /// It broke on its way; the socket may know why.
    Broken(hyper::Error),
}

impl From<Reject> for Stopped {
    fn from(reject: Reject) -> Self {
        Self::Rejected(reject)
    }
}

/// A body that is whole.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) frames: Vec<Bytes>,
    /// How long it took. `None`: it came with its head.
    pub(crate) waited: Option<Duration>,
}

/// Receives a body whose head arrived at `since`. `received` counts its bytes, also of one that is not taken.
///
/// # Errors
/// `body_too_large`, `body_timeout`, `overloaded`, `draining`, or the connection's error.
pub(crate) async fn receive(
    body: Incoming,
    charge: &mut Charge,
    since: Instant,
    bounds: &Bounds,
    received: &mut u64,
) -> Result<Whole, Stopped> {
    let mut body = pin!(body);
    let mut asked = None;
    let mut frames = Frames::default();
    loop {
        // What has arrived already is taken without a timer or a place on the list: nearly every webhook is whole here.
        let ready = std::future::poll_fn(|cx| {
            let (frame, called) = quietly(|| body.as_mut().poll_frame(cx));
            // Heard after all, unless there is nothing more to be read.
            if called && !(frame.is_ready() && body.is_end_stream()) {
                cx.waker().wake_by_ref();
            }
            Poll::Ready(frame)
        })
        .await;
        let frame = match ready {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                asked.get_or_insert_with(clock::monotonic);
                charge.list(since);
                frames.wait();
                let mut expired = bounds.expired.clone();
                let patience = patience(*received, bounds.time);
                tokio::select! {
                    biased;
                    frame = body.frame() => frame,
                    () = charge.dropped() => return Err(Reject::Overloaded.into()),
                    () = raised(&mut expired) => return Err(Reject::Draining.into()),
                    () = tokio::time::sleep_until(since.checked_add(patience).unwrap_or(since).into()) => {
                        return Err(Reject::BodyTimeout.into());
                    }
                }
            }
        };
        let Some(frame) = frame else {
            let waited = asked.map(|asked| clock::monotonic().saturating_duration_since(asked));
            return Ok(Whole { frames: frames.whole(), waited });
        };
        // Trailers of a webhook end here: no scheme signs them, and the app gets a counted body.
        let Ok(data) = frame.map_err(Stopped::Broken)?.into_data() else { continue };
        *received = received.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if *received > bounds.bytes {
            return Err(Reject::BodyTooLarge.into());
        }
        charge.add(data.len(), since, clock::monotonic).map_err(|Short| Reject::Overloaded)?;
        frames.push(data);
    }
}

/// How long a body may be waited for, from its head: the limit, or less when it comes in drops.
fn patience(received: u64, limit: Duration) -> Duration {
    let earned = received.checked_div(LEAST_RATE).unwrap_or(0);
    limit.min(GRACE.max(Duration::from_secs(earned)))
}

#[derive(Debug, Default)]
struct Frames {
    whole: Vec<Bytes>,
    /// Small frames, put together.
    tail: Vec<u8>,
    waited: bool,
}

impl Frames {
    fn push(&mut self, data: Bytes) {
        let small = if self.waited { LARGE } else { SMALL };
        if data.len() < small && (self.waited || !(self.whole.is_empty() && self.tail.is_empty())) {
            if self.tail.capacity().saturating_sub(self.tail.len()) < data.len() {
                self.tail.reserve_exact(data.len().max(GROWTH));
            }
            self.tail.extend_from_slice(&data);
            if self.tail.len() >= PIECE {
                self.flush();
            }
        } else if !data.is_empty() {
            self.flush();
            self.whole.push(data);
        }
    }

    /// From here on the body is one that is waited for.
    fn wait(&mut self) {
        if !self.waited {
            self.waited = true;
            self.flush();
            for frame in std::mem::take(&mut self.whole) {
                self.push(frame);
            }
        }
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.whole.push(std::mem::take(&mut self.tail).into());
        }
    }

    fn whole(mut self) -> Vec<Bytes> {
        self.flush();
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_single_bytes_is_kept_in_few_pieces_and_in_order() {
        let mut frames = Frames::default();
        let sent: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        for byte in &sent {
            frames.push(Bytes::copy_from_slice(&[*byte]));
        }
        let whole = frames.whole();
        assert!(whole.len() <= 5, "{} pieces", whole.len());
        assert_eq!(whole.concat(), sent);
    }

    #[test]
    fn large_frames_are_kept_as_they_are() {
        let mut frames = Frames::default();
        let large = Bytes::from(vec![1; SMALL]);
        for frame in [large.clone(), Bytes::from_static(b"small"), Bytes::new(), large.clone()] {
            frames.push(frame);
        }
        let whole = frames.whole();
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0].as_ptr(), large.as_ptr());
        assert_eq!(whole.concat(), [&large[..], b"small", &large[..]].concat());
    }

    #[test]
    fn a_body_that_is_waited_for_keeps_no_buffer_that_it_was_read_into() {
        let buffer = Bytes::from(vec![7; 64 * 1024]);
        let mut frames = Frames::default();
        frames.push(buffer.slice(..100));
        assert_eq!(frames.whole[0].as_ptr(), buffer.as_ptr(), "as it arrived, while nobody waits");
        frames.wait();
        frames.push(buffer.slice(100..100 + LARGE - 1));
        frames.push(buffer.slice(..LARGE));
        let whole = frames.whole();
        assert_eq!(whole.iter().map(Bytes::len).collect::<Vec<_>>(), [100 + LARGE - 1, LARGE]);
        assert!(!buffer.as_ptr_range().contains(&whole[0].as_ptr()));
        assert_eq!(whole[1].as_ptr(), buffer.as_ptr(), "a large one is not copied");
    }

    #[test]
    fn a_slow_body_costs_little_more_than_its_size() {
        let mut frames = Frames::default();
        frames.wait();
        for _ in 0..33 {
            frames.push(Bytes::from(vec![1; 1024]));
        }
        assert!(frames.tail.capacity() <= 33 * 1024 + GROWTH, "{}", frames.tail.capacity());
    }

    #[test]
    fn patience_is_earned_by_bytes_and_bounded() {
        let limit = Duration::from_secs(10);
        assert_eq!(patience(0, limit), GRACE);
        assert_eq!(patience(8 * LEAST_RATE, limit), Duration::from_secs(8));
        assert_eq!(patience(1 << 30, limit), limit);
        assert_eq!(patience(0, Duration::from_secs(1)), Duration::from_secs(1));
    }
}
