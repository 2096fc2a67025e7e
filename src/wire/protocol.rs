//! Which HTTP a connection speaks, by its first bytes.
//!
//! Must never lose a byte: what was read is kept for hyper.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::{Guarded, Mode};

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

    /// Reads until the protocol is known. What was read is kept for [`AsyncRead`].
    ///
    /// # Errors
    /// The socket's, and `TimedOut` when a client says nothing, or half a preface, for the idle time limit.
    pub(crate) async fn detect(&mut self) -> io::Result<Protocol> {
        let idle = self.timeouts.idle;
        let sniff = async {
            let mut first = [0_u8; PREFACE.len()];
            loop {
                let known = self.held.iter().zip(PREFACE).take_while(|(got, want)| got == want).count();
                if known == PREFACE.len() {
                    self.mode = Mode::Opaque;
                    self.approved = self.held.len();
                    return Ok(Protocol::Http2);
                }
                if known < self.held.len() {
                    return Ok(Protocol::Http1);
                }
                let room = first.get_mut(..PREFACE.len().saturating_sub(known)).unwrap_or_default();
                let n = self.io.read(room).await?;
                if n == 0 {
                    return Ok(Protocol::Http1);
                }
                self.held.extend(first.iter().take(n));
            }
        };
        tokio::time::timeout(idle, sniff).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}
