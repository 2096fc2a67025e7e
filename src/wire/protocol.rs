//! Which HTTP a connection speaks, by its first bytes.
//!
//! Must never lose a byte: what was read is kept for hyper.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::{Guarded, Waiting};
use crate::clock;

/// First bytes of an HTTP/2 connection with prior knowledge (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which HTTP a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Guarded<IO> {
    /// What was read while the protocol was looked for.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Reads until the protocol is known. What was read is kept for [`AsyncRead`]. Half a preface that stays one is left to
    /// the time limit of heads.
    ///
    /// # Errors
    /// The socket's, and `TimedOut` when a client says nothing for the idle time limit.
    pub(crate) async fn detect(&mut self) -> io::Result<Protocol> {
        let mut limit = (clock::monotonic(), self.timeouts.idle);
        let mut first = [0_u8; PREFACE.len()];
        loop {
            let known = self.held.iter().zip(PREFACE).take_while(|(got, want)| got == want).count();
            if known == PREFACE.len() {
                self.follow_http2();
                return Ok(Protocol::Http2);
            }
            if known < self.held.len() {
                return Ok(Protocol::Http1);
            }
            let room = first.get_mut(..PREFACE.len().saturating_sub(known)).unwrap_or_default();
            let (since, time) = limit;
            let deadline = since.checked_add(time).unwrap_or(since);
            let n = match tokio::time::timeout_at(deadline.into(), self.io.read(room)).await {
                Ok(read) => read?,
                Err(_) if self.held.is_empty() => return Err(io::ErrorKind::TimedOut.into()),
                Err(_) => 0,
            };
            if n == 0 {
                return Ok(Protocol::Http1);
            }
            if self.held.is_empty() {
                let now = clock::monotonic();
                limit = (now, self.timeouts.head);
                self.waiting = Some((Waiting::Head, now));
            }
            self.held.extend(first.iter().take(n));
        }
    }
}
