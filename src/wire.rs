//! The client's socket as hyper sees it: only bytes that `check::framing` approved, in time, and closed politely.
//!
//! hyper's HTTP/1 parser takes what Node refuses (two lengths, bare LF, a missing Host) and hides what the gate must see
//! (a `#fragment`), so every byte of a client passes a strict state machine first. A head is delivered whole or not at
//! all, and its verdict travels beside it: the gate takes one [`Head`] per request, in order, and refuses a request
//! that has none. In place of a refused head hyper gets a harmless one, whose only answer is the refusal.
//!
//! Also here, because only the socket's owner can do it: the head, idle, body-stall and write-stall time limits, interim (1xx) responses,
//! which hyper's server cannot send, and the lingering close that lets a sender read our answer. Must never let a byte
//! through that was not approved, nor hold back one that was.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::check::framing::{self, Framing, Step};
use crate::gather::gather;

mod frames;
mod line;
mod multiplexed;
mod patience;
mod protocol;
mod rest;
mod unread;

pub(crate) use frames::Refusal;
pub(crate) use line::{Abuse, BodyFault, End, Head, Line, News, Wait};
use multiplexed::Multiplexed;
use patience::Waiting;
pub(crate) use protocol::Protocol;
pub(crate) use rest::Place;
use rest::Rest;
pub(crate) use unread::Sum;

/// What hyper parses in place of a refused head.
const SUBSTITUTE: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\n\r\n";
/// How long, and for how many bytes, we read on after our last answer so that it is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 512 * 1024;
const CHUNK: usize = 8 * 1024;

/// Time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) head: Duration,
    pub(crate) body: Duration,
    pub(crate) idle: Duration,
}

/// The guarded socket.
#[derive(Debug)]
pub(crate) struct Guarded<IO> {
    io: IO,
    line: Arc<Line>,
    mode: Mode,
    undecided: bool,
    framing: Framing,
    /// What the line was last told of [`Framing::in_body`].
    receiving: bool,
    multiplexed: Option<Box<Multiplexed>>,
    /// Bytes read but not yet delivered: an incomplete head, or what follows one that asks for an upgrade.
    held: Vec<u8>,
    /// Approved bytes to be delivered from the start of `held`.
    approved: usize,
    timeouts: Timeouts,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: Option<(Waiting, Instant)>,
    write_blocked: Option<Instant>,
    write_timer: Option<Pin<Box<Sleep>>>,
    interim_written: usize,
    flushed: bool,
    rest: Rest,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Following HTTP/1 messages.
    Http1,
    /// Everything passes, and its frames are counted.
    Http2,
    /// Everything passes: an upgraded connection.
    Opaque,
    /// A head was refused; nothing more of this client is read.
    Refused,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Guarded<IO> {
    pub(crate) fn new(io: IO, line: Arc<Line>, limits: framing::Limits, timeouts: Timeouts) -> Self {
        Self {
            io,
            line,
            mode: Mode::Http1,
            undecided: false,
            framing: Framing::new(limits),
            receiving: false,
            multiplexed: None,
            held: Vec::new(),
            approved: 0,
            timeouts,
            timer: None,
            waiting: None,
            write_blocked: None,
            write_timer: None,
            interim_written: 0,
            flushed: true,
            rest: Rest::Never,
            linger: None,
        }
    }

    /// Runs the state machine over `bytes`; the number approved from its start.
    fn approve(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut done = 0_usize;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            if self.mode != Mode::Http1 {
                break;
            }
            match self.framing.approve(rest) {
                Step::Deliver(n) => done = done.saturating_add(n.max(1)),
                Step::Head(n, facts) => {
                    done = done.saturating_add(n.max(1));
                    self.line.lock().heads.push_back(Head::Approved(facts));
                    self.undecided = facts.upgrade;
                }
                Step::NeedMore | Step::AwaitUpgrade => break,
                Step::RefusedHead(fault) => {
                    self.mode = Mode::Refused;
                    self.line.lock().heads.push_back(Head::Refused(fault));
                }
                Step::RefusedBody(fault) => {
                    self.line.lock().body_fault = Some(BodyFault::Framing(fault));
                    if done == 0 {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "request body framing"));
                    }
                    break;
                }
            }
        }
        if self.framing.in_body() != self.receiving {
            self.receiving = self.framing.in_body();
            self.line.lock().receiving = self.receiving;
        }
        Ok(done.min(bytes.len()))
    }

    fn poll_approved(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            // First, because it approves what came early: those bytes go before any that the socket still has.
            self.settle_upgrade(cx);
            if self.approved > 0 {
                let n = self.approved.min(buf.remaining());
                buf.put_slice(self.held.get(..n).unwrap_or_default());
                self.held.drain(..n);
                if self.held.is_empty() {
                    // A connection may be kept for long: not with the room that its longest head took.
                    self.held = Vec::new();
                }
                self.approved = self.approved.saturating_sub(n);
                return Poll::Ready(Ok(()));
            }
            match self.mode {
                Mode::Http2 => return self.poll_frames(cx, buf),
                Mode::Opaque => return Pin::new(&mut self.io).poll_read(cx, buf),
                Mode::Refused => return self.poll_after_refusal(cx),
                Mode::Http1 if self.held.is_empty() => {
                    let before = buf.filled().len();
                    ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
                    let read = buf.filled().len().saturating_sub(before);
                    if read == 0 {
                        return self.poll_end(cx);
                    }
                    // The usual case: everything is approved where hyper will parse it, and nothing is copied.
                    let fresh = buf.filled().get(before..).unwrap_or_default();
                    let done = self.approve(fresh)?;
                    if done < read {
                        self.held = buf.filled().get(before.saturating_add(done)..).unwrap_or_default().to_vec();
                        buf.set_filled(before.saturating_add(done));
                    }
                    self.note_refusal();
                    if done > 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Mode::Http1 => {
                    // The held bytes of `detect`, or of an incomplete head.
                    let held = std::mem::take(&mut self.held);
                    let done = self.approve(&held);
                    self.held = held;
                    self.approved = done?;
                    self.note_refusal();
                    if self.approved == 0 && self.mode == Mode::Http1 && ready!(self.poll_hold(cx))? == 0 {
                        // The client is gone: hyper may see the end, never the bytes of half a head.
                        self.held.clear();
                        return self.poll_end(cx);
                    }
                }
            }
        }
    }

    /// The client will send no more. hyper takes that for a client that has left, and drops the request it is in; but a
    /// sender may close its half once its request is out and still read, and a delivery runs to its end anyway.
    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.line.lock();
        if !shared.heads.is_empty() {
            // hyper has a head that the gate has not seen yet: let it, in this same turn of the task.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if shared.committed {
            shared.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// A head asked for an upgrade: what follows it waits until the answer says what it is.
    fn settle_upgrade(&mut self, cx: &Context<'_>) {
        if !self.undecided {
            return;
        }
        let mut shared = self.line.lock();
        let (opaque, answered) = (shared.opaque, shared.in_flight == 0 && shared.heads.is_empty());
        if !opaque && !answered {
            shared.waiting = Some(cx.waker().clone());
        }
        drop(shared);
        if opaque {
            self.framing.switch_to_opaque();
            self.mode = Mode::Opaque;
            self.approved = self.held.len();
        } else if answered {
            self.framing.stay_http();
        }
        self.undecided = !opaque && !answered;
    }

    /// Puts the substitute in the place of what was refused.
    fn note_refusal(&mut self) {
        if self.mode == Mode::Refused {
            self.held.truncate(self.approved);
            self.held.extend_from_slice(SUBSTITUTE);
            self.approved = self.held.len();
        }
    }

    /// After the substitute: discards, so that a client that leaves is noticed and one that stays may read our answer.
    fn poll_after_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bin = [0_u8; CHUNK];
        loop {
            let mut sink = ReadBuf::new(&mut bin);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut sink))?;
            if sink.filled().is_empty() {
                // hyper must still write the refusal, so the end of input is not passed on while it does.
                return if self.line.lock().in_flight == 0 { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
        }
    }

    /// Reads into `held`. 0 means the end of input.
    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.undecided && self.held.len() > CHUNK {
            // Back-pressure: no client speaks the new protocol this much before it is agreed on.
            return Poll::Pending;
        }
        let mut chunk = [0_u8; CHUNK];
        let mut read = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        self.held.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Interim bytes go out only between messages: when hyper has flushed all it has, and has not begun the answer.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.line.lock();
        if shared.interim.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !self.flushed && self.interim_written == 0 {
            shared.interim.clear();
            return Poll::Ready(Ok(()));
        }
        while let Some(rest) = shared.interim.get(self.interim_written..).filter(|rest| !rest.is_empty()) {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            self.interim_written = self.interim_written.saturating_add(n);
        }
        shared.interim.clear();
        self.interim_written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.poll_approved(cx, buf) {
            Poll::Pending => self.poll_patience(cx),
            Poll::Ready(result) => {
                self.has_read();
                Poll::Ready(result)
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        self.flushed = false;
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note_written(&written, &[io::IoSlice::new(bytes)]);
        self.after_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        self.flushed = false;
        let written = gather(slices, |whole| match whole {
            Some(bytes) => Pin::new(&mut self.io).poll_write(cx, bytes),
            None => Pin::new(&mut self.io).poll_write_vectored(cx, slices),
        });
        self.note_written(&written, slices);
        self.after_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS takes bytes that the socket does not: whether they went is known here.
        let flushed = Pin::new(&mut self.io).poll_flush(cx).map_ok(|()| 0);
        ready!(self.after_write(cx, flushed))?;
        self.flushed = true;
        self.await_next(cx);
        self.say_farewell(cx);
        self.poll_interim(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if Pin::new(&mut self.io).poll_shutdown(cx)?.is_pending() {
            // TLS has a last word to say, which a client that reads nothing does not take either.
            return self.poll_write_patience(cx).map(Err);
        }
        // A refused body leaves the state machine outside of any body, but not the client.
        let in_body = self.framing.in_body() || self.line.body_fault().is_some();
        let unread = self.mode == Mode::Refused || (self.mode == Mode::Http1 && in_body);
        if !unread {
            return Poll::Ready(Ok(()));
        }
        // Closing with unread bytes makes the kernel send a reset, which can destroy our answer at the sender.
        let this = &mut *self;
        let (timer, left) = this.linger.get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER)), LINGER_BYTES));
        let mut bin = [0_u8; CHUNK];
        loop {
            let mut sink = ReadBuf::new(&mut bin);
            match Pin::new(&mut this.io).poll_read(cx, &mut sink) {
                Poll::Ready(Ok(())) if !sink.filled().is_empty() && *left > 0 => {
                    *left = left.saturating_sub(sink.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return timer.as_mut().poll(cx).map(Ok),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A client that does not even take the end.
    struct Deaf;

    impl AsyncRead for Deaf {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Deaf {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn an_end_that_the_client_does_not_take_is_given_up_like_an_answer() {
        let limit = Duration::from_millis(50);
        let timeouts = Timeouts { head: limit, body: limit, idle: limit };
        let limits = framing::Limits { max_head: 1024, max_headers: 10 };
        let mut io = Guarded::new(Deaf, Arc::new(Line::new()), limits, timeouts);
        let ended = tokio::time::timeout(Duration::from_secs(5), io.shutdown()).await;
        assert_eq!(ended.map(|ended| ended.map_err(|error| error.kind())), Ok(Err(io::ErrorKind::TimedOut)));
    }
}
