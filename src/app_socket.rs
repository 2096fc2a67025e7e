//! The socket to the app, over TCP, TLS or a Unix socket: it still reads when it can no longer write.
//!
//! An app that refuses an upload answers and closes without reading it. The kernel then fails our writes while the answer
//! waits in the receive buffer, and hyper gives up on the first error of either kind: the client would see a 502 in place
//! of the app's 413 (RFC 9112 §9.5). So a broken write is taken for a written one until the read side has ended too.
//! Must never hide an end of reading.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::backlog::Backlog;
use crate::gather::gather;
use crate::plan::{Transport, Upstream};
use crate::read_width::ReadWidth;

/// A connection to the app.
#[derive(Debug)]
pub(crate) struct AppSocket {
    stream: Stream,
    width: ReadWidth,
    backlog: Backlog,
}

#[derive(Debug)]
enum Stream {
    /// Plain TCP.
    Tcp(Patient<TcpStream>),
    /// TLS over TCP.
    Tls(Box<TlsStream<Patient<TcpStream>>>),
    /// A Unix socket.
    Unix(Patient<UnixStream>),
}

impl AppSocket {
    /// Connects, with TLS where the upstream wants it. `width` is that of its reads.
    ///
    /// # Errors
    /// The socket's, and of TLS: a certificate that is not trusted or has another name.
    pub(crate) async fn connect(upstream: &Upstream, width: ReadWidth) -> io::Result<Self> {
        Ok(Self { stream: Stream::connect(upstream).await?, width, backlog: Backlog::default() })
    }

    /// Of what goes over it.
    pub(crate) fn backlog(&self) -> &Backlog {
        &self.backlog
    }
}

impl Stream {
    async fn connect(upstream: &Upstream) -> io::Result<Self> {
        if let Transport::Unix(path) = &upstream.transport {
            return Ok(Self::Unix(Patient::new(UnixStream::connect(path).await?)));
        }
        let authority = &upstream.authority;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
        stream.set_nodelay(true)?;
        let stream = Patient::new(stream);
        let Transport::Tls(tls) = &upstream.transport else { return Ok(Self::Tcp(stream)) };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        Ok(Self::Tls(Box::new(connector.connect(tls.name.clone(), stream).await?)))
    }
}

/// Hands a call on to the transport.
macro_rules! transport {
    ($socket:expr, $stream:ident => $call:expr) => {
        match &mut $socket.stream {
            Stream::Tcp($stream) => $call,
            Stream::Tls(boxed) => {
                let $stream = &mut **boxed;
                $call
            }
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for AppSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (most, before) = (u64::try_from(self.width.most()).unwrap_or(u64::MAX), buf.filled().len());
        let result = ready!(transport!(self, stream => Pin::new(&mut stream.take(most)).poll_read(cx, buf)));
        self.width.brought(buf.filled().len().saturating_sub(before));
        Poll::Ready(result)
    }
}

impl AsyncWrite for AppSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        transport!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        transport!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
            Stream::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(transport!(self, stream => Pin::new(stream).poll_flush(cx)))?;
        self.backlog.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        transport!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A socket that takes a broken write for a written one until its read side has ended too.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    read_ended: bool,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Self {
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

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.read_ended = result.is_err() || buf.filled().len() == before;
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.written(result, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(gather(slices, |whole| match whole {
            Some(bytes) => Pin::new(&mut self.stream).poll_write(cx, bytes),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }));
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
