//! A connection that waits gives hyper's buffers back.
//!
//! hyper keeps 16 KiB and more for as long as a connection lives. One on which nothing has happened for [`REST`] is shown to
//! hyper as ended, while its socket is kept; with the client's next byte hyper begins anew on it. Must never rest while a
//! byte, a request or an answer is under way.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Guarded;

/// So long a connection waits with hyper's buffers: no sender that is at work notices, and of those that come at once no
/// more hold them than arrive in this time.
pub(super) const REST: Duration = Duration::from_millis(100);

/// Where a connection stands with hyper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It is not hyper's to end.
    Never,
    /// hyper has it, and it may rest when it waits.
    May,
    /// hyper is told that it has ended.
    Now,
}

/// The guarded socket as hyper gets it.
#[derive(Debug)]
pub(crate) struct Lent<IO> {
    io: Option<Box<Guarded<IO>>>,
    place: Arc<Place<IO>>,
}

/// Where a socket is found again that rests.
#[derive(Debug)]
pub(crate) struct Place<IO>(Mutex<Option<Box<Guarded<IO>>>>);

impl<IO> Place<IO> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(None)))
    }

    /// Hands a socket to hyper.
    pub(crate) fn lend(self: &Arc<Self>, mut io: Box<Guarded<IO>>) -> Lent<IO> {
        io.rest = Rest::May;
        Lent { io: Some(io), place: Arc::clone(self) }
    }

    /// The socket, if it rests: hyper is done with it, and its client is not.
    pub(crate) fn rested(&self) -> Option<Box<Guarded<IO>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<IO> Drop for Lent<IO> {
    fn drop(&mut self) {
        if let Some(mut io) = self.io.take().filter(|io| io.rest == Rest::Now) {
            io.rest = Rest::Never;
            *self.place.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(io);
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Guarded<IO> {
    /// Waits, without hyper, for the client's next byte, which is kept for [`AsyncRead`]. False when the client is gone, or
    /// has been idle for too long.
    pub(crate) async fn wait(&mut self) -> bool {
        poll_fn(|cx| match self.poll_hold(cx) {
            Poll::Ready(read) => Poll::Ready(read.is_ok_and(|bytes| bytes > 0)),
            Poll::Pending => self.poll_patience(cx).map(|_over| false),
        })
        .await
    }
}

/// Hands a call on to the socket.
macro_rules! lent {
    ($lent:expr, $io:ident => $call:expr) => {
        match $lent.get_mut().io.as_deref_mut() {
            Some($io) => $call,
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Lent<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        lent!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lent<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lent!(self, io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lent!(self, io => Pin::new(io).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lent!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lent!(self, io => match io.rest {
            Rest::Now => Poll::Ready(Ok(())),
            Rest::Never | Rest::May => Pin::new(io).poll_shutdown(cx),
        })
    }
}
