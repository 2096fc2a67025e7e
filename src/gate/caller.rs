//! A connection, as its requests see it.

use std::sync::Arc;

use crate::headers::Peer;
use crate::wire::{Head, Line, Protocol};

/// Whose requests they are.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    pub(crate) line: Arc<Line>,
    pub(crate) protocol: Protocol,
}

impl Caller {
    /// Begins a request; in HTTP/1, with the verdict on its head.
    pub(super) fn begin(&self) -> Option<Head> {
        match self.protocol {
            Protocol::Http1 => self.line.next_head(),
            Protocol::Http2 => {
                self.line.begin();
                None
            }
        }
    }
}
