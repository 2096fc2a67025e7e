//! The guard over HTTP/2: every byte passes, and both directions are followed frame by frame.
//!
//! Must never change a byte, but for one frame of our own: the last words to a client that floods.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Received, Sent};
use super::unread::Unread;
use super::{Guarded, Mode};
use crate::clock;

/// Both directions of an HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Multiplexed {
    pub(super) received: Received,
    sent: Sent,
    unread: Unread,
    /// Nothing more is read.
    flooded: bool,
    farewell: Option<[u8; 17]>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Guarded<IO> {
    /// The preface has been read.
    pub(super) fn follow_http2(&mut self) {
        let received = Received::new(clock::monotonic());
        let unread = self.line.unread();
        let both = Multiplexed { received, sent: Sent::default(), unread, flooded: false, farewell: None };
        self.multiplexed = Some(Box::new(both));
        self.mode = Mode::Http2;
        self.approved = self.held.len();
    }

    /// Reads. A client that floods waits for its end.
    pub(super) fn poll_frames(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(both) = self.multiplexed.as_mut().filter(|both| !both.flooded) else { return Poll::Pending };
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let Err(abuse) = both.received.follow(fresh, &mut both.unread, clock::monotonic) else {
            return Poll::Ready(Ok(()));
        };
        both.flooded = true;
        both.farewell = Some(both.received.farewell());
        buf.set_filled(before);
        // The connection's task hears of it, and ends what is under way.
        self.line.flooded(abuse);
        Poll::Pending
    }

    pub(super) fn note_written(&mut self, written: &Poll<io::Result<usize>>, slices: &[io::IoSlice<'_>]) {
        let (Some(both), Poll::Ready(Ok(written))) = (self.multiplexed.as_mut(), written) else { return };
        both.received.wrote(*written);
        let mut left = *written;
        for slice in slices {
            let part = slice.get(..left.min(slice.len())).unwrap_or_default();
            left = left.saturating_sub(part.len());
            let Multiplexed { received, sent, unread, .. } = &mut **both;
            sent.follow(part, unread, |refusal| self.line.refused(refusal, received.standing()));
        }
    }

    /// Between two frames of h2's, when it has none left. Once: a client that takes nothing goes without.
    pub(super) fn say_farewell(&mut self, cx: &mut Context<'_>) {
        let Some(both) = self.multiplexed.as_mut() else { return };
        if let Some(frame) = both.farewell.take_if(|_| both.sent.at_boundary())
            && Pin::new(&mut self.io).poll_write(cx, &frame).is_ready()
        {
            let _ = Pin::new(&mut self.io).poll_flush(cx);
        }
    }
}
