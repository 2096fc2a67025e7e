//! The socket to the app, which still reads when it can no longer write.
//!
//! An app that refuses an upload answers and closes without reading it. The kernel then fails our writes while the answer
//! waits in the receive buffer, and hyper gives up on the first error of either kind: the client would see a 502 in place
//! of the app's 413 (RFC 9112 §9.5). So a broken write is taken for a written one until the read side has ended too.
//! Must never hide an end of reading.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::gather::{SMALL, gather};

/// A connection to the app.
#[derive(Debug)]
pub(crate) struct AppSocket {
    stream: TcpStream,
    read_ended: bool,
}

impl AppSocket {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, read_ended: false }
    }

    fn written(&self, result: io::Result<usize>, offered: usize) -> io::Result<usize> {
        match result {
            Err(error) if !self.read_ended && is_gone(&error) => Ok(offered),
            result => result,
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl AsyncRead for AppSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.read_ended = result.is_err() || buf.filled().len() == before;
        Poll::Ready(result)
    }
}

impl AsyncWrite for AppSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.written(result, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(match gather(slices, &mut [0; SMALL]) {
            Some(bytes) => Pin::new(&mut self.stream).poll_write(cx, bytes),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        });
        Poll::Ready(self.written(result, slices.iter().map(|slice| slice.len()).fold(0, usize::saturating_add)))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
