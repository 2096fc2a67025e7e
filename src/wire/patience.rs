//! How long a client may take: for a head, for the next byte of a body, between requests, and to take an answer.
//!
//! Must never end a connection while the app is waited for, nor keep one for a client that only holds on.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::rest::{REST, Rest};
use super::{BodyFault, Guarded, Mode, News};
use crate::clock;

/// What a client has begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Head,
    Body,
}

/// Why a client's time is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Begun(Waiting),
    /// Nothing is under way, and hyper may let go of the connection.
    Rest,
    Idle,
}

/// The whole answer to a head that did not come in time (RFC 9110 §15.5.9).
const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

impl<IO: AsyncRead + AsyncWrite + Unpin> Guarded<IO> {
    /// Called when no byte is to be had: how long may that last?
    pub(super) fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match ready!(self.poll_limit(cx)) {
            Limit::Begun(Waiting::Body) => {
                self.line.lock().body_fault = Some(BodyFault::Stalled);
                Err(io::ErrorKind::TimedOut.into())
            }
            Limit::Begun(Waiting::Head) => self.give_up_head(cx),
            Limit::Rest => {
                self.rest = Rest::Now;
                Ok(())
            }
            // An idle connection is closed without a word, as every server does.
            Limit::Idle => {
                self.held.clear();
                Ok(())
            }
        })
    }

    /// Called when an answer is out, after which hyper looks at the socket again only when it is woken: for how long may it not be?
    pub(super) fn await_next(&mut self, cx: &mut Context<'_>) {
        let Some((deadline, Limit::Rest | Limit::Idle)) = self.deadline() else { return };
        let is_armed =
            self.timer.as_ref().is_some_and(|timer| !timer.is_elapsed() && timer.deadline() <= deadline.into());
        if !is_armed && self.poll_limit(cx).is_ready() {
            // No time at all: it is for the next look at the socket to say so.
            cx.waker().wake_by_ref();
        }
    }

    /// The limit that is reached.
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Limit> {
        loop {
            let Some((deadline, limit)) = self.deadline() else { return Poll::Pending };
            let deadline = tokio::time::Instant::from_std(deadline);
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            // An early timer is left as it is and re-armed when it fires: one wake-up now and then, instead of a change per read.
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(limit);
            }
            timer.as_mut().reset(deadline);
        }
    }

    fn give_up_head(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut shared = self.line.lock();
        shared.news.push(News::LateHead);
        let answers = shared.in_flight > 0 || !shared.heads.is_empty();
        drop(shared);
        self.held.clear();
        if self.mode == Mode::Http2 {
            // The end of input would be hyper's word for a client that has left in good order.
            return Err(io::ErrorKind::TimedOut.into());
        }
        // One attempt, and only where it cannot be taken for the answer to an earlier request.
        if !answers && self.flushed && Pin::new(&mut self.io).poll_write(cx, LATE).is_ready() {
            let _ = Pin::new(&mut self.io).poll_flush(cx);
        }
        Ok(())
    }

    /// Bytes have come: only the one head that is still under way has waited.
    pub(super) fn has_read(&mut self) {
        if !self.multiplexed.as_mut().is_some_and(|both| both.received.same_head()) {
            self.waiting = None;
        }
    }

    fn deadline(&mut self) -> Option<(Instant, Limit)> {
        let waiting = match self.mode {
            Mode::Http1 if self.framing.in_body() => Some(Waiting::Body),
            Mode::Http1 if !self.held.is_empty() && !self.undecided => Some(Waiting::Head),
            Mode::Http2 if self.multiplexed.as_ref().is_some_and(|both| both.received.head_under_way()) => {
                Some(Waiting::Head)
            }
            _ => None,
        };
        if let Some(kind) = waiting {
            let since = match self.waiting {
                Some((known, since)) if known == kind => since,
                _ => clock::monotonic(),
            };
            self.waiting = Some((kind, since));
            let limit = if kind == Waiting::Head { self.timeouts.head } else { self.timeouts.body };
            return Some((since.checked_add(limit)?, Limit::Begun(kind)));
        }
        self.waiting = None;
        let shared = self.line.lock();
        if shared.in_flight > 0 || shared.opaque {
            return None;
        }
        let settled = self.mode == Mode::Http1 && self.flushed && !shared.unsent && shared.heads.is_empty();
        let (time, limit) = if self.rest == Rest::May && settled && REST < self.timeouts.idle {
            (REST, Limit::Rest)
        } else {
            (self.timeouts.idle, Limit::Idle)
        };
        Some((shared.idle_since.checked_add(time)?, limit))
    }

    /// A client that does not read our answer holds memory of ours: it may for as long as an idle one.
    pub(super) fn poll_write_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let now = clock::monotonic();
        let since = *self.write_blocked.get_or_insert(now);
        let Some(deadline) = since.checked_add(self.timeouts.idle) else { return Poll::Pending };
        if now >= deadline {
            return Poll::Ready(io::ErrorKind::TimedOut.into());
        }
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if timer.deadline() != deadline.into() {
            timer.as_mut().reset(deadline.into());
        }
        timer.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }

    pub(super) fn after_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => {
                if self.write_blocked.is_none() {
                    self.line.lock().unsent = true;
                }
                self.poll_write_patience(cx).map(Err)
            }
            Poll::Ready(result) => {
                if self.write_blocked.take().is_some() {
                    self.line.lock().unsent = false;
                }
                Poll::Ready(result)
            }
        }
    }
}
