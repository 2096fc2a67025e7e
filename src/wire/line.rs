//! What the socket and the gate tell each other about one connection.
//!
//! hyper stands between the two and hands on neither what it was not shown nor what it does not know, so verdicts, faults
//! and interim answers travel here. Must never block: it is locked for a few instructions at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::check::framing::{Fault, HeadFacts};
use crate::clock;

/// The verdict on one HTTP/1 head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Head {
    /// Strictly valid.
    Approved(HeadFacts),
    /// hyper sees the substitute.
    Refused(Fault),
}

/// One connection's shared state.
#[derive(Debug)]
pub(crate) struct Line(Mutex<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) heads: VecDeque<Head>,
    pub(super) body_fault: Option<BodyFault>,
    pub(super) interim: Vec<u8>,
    answered: bool,
    pub(super) opaque: bool,
    pub(super) in_flight: usize,
    pub(super) idle_since: Instant,
    /// Reading waits for an upgrade to be decided, which no event of the socket would tell it.
    /// Woken when the request ends: the socket waits for that.
    pub(super) waiting: Option<Waker>,
    /// A verified delivery is with the app: its run does not end with its sender.
    pub(super) committed: bool,
}

/// Why a body stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// Chunks or trailers broke a rule.
    Framing(Fault),
    /// Nothing arrived for `limits.body_timeout`.
    Stalled,
}

impl Line {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Shared {
            heads: VecDeque::new(),
            body_fault: None,
            interim: Vec::new(),
            answered: false,
            opaque: false,
            in_flight: 0,
            idle_since: clock::monotonic(),
            waiting: None,
            committed: false,
        }))
    }

    // Never contended: the connection's task is the only one that takes it, but for a detached body's end.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verdict on the head of the request that hyper has just handed over. Begins a request.
    pub(crate) fn next_head(&self) -> Option<Head> {
        let mut shared = self.lock();
        shared.in_flight = shared.in_flight.saturating_add(1);
        shared.answered = false;
        shared.heads.pop_front()
    }

    /// Begins a request of a protocol whose heads are not followed here (HTTP/2).
    pub(crate) fn begin(&self) {
        let mut shared = self.lock();
        shared.in_flight = shared.in_flight.saturating_add(1);
    }

    /// Ends a request: its answer is complete or given up.
    pub(crate) fn end(&self) {
        let mut shared = self.lock();
        shared.in_flight = shared.in_flight.saturating_sub(1);
        shared.idle_since = clock::monotonic();
        shared.committed = false;
        if let Some(waker) = shared.waiting.take() {
            waker.wake();
        }
    }

    /// The request is a verified delivery: from here on the end of the client's input no longer ends it.
    pub(crate) fn commit(&self) {
        self.lock().committed = true;
    }

    /// Why the body being read stopped, if the socket knows.
    pub(crate) fn body_fault(&self) -> Option<BodyFault> {
        self.lock().body_fault
    }

    /// An interim response to send before the final one. Dropped if the final one has begun.
    pub(crate) fn interim(&self, bytes: &[u8]) {
        let mut shared = self.lock();
        if !shared.answered {
            shared.interim.extend_from_slice(bytes);
        }
    }

    /// The final response begins now.
    pub(crate) fn answered(&self) {
        self.lock().answered = true;
    }

    /// From here on the bytes are another protocol's (after a 101).
    pub(crate) fn switch(&self) {
        self.lock().opaque = true;
    }
}
