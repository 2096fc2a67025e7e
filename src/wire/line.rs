//! What the socket and the gate tell each other about one connection.
//!
//! hyper stands between the two and hands on neither what it was not shown nor what it does not know, so verdicts, faults
//! and interim answers travel here. Must never block: it is locked for a few instructions at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::frames::Refusal;
use super::unread::{Sum, Unread};
use crate::attention::Attention;
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

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With an answer, complete or not.
    Answered,
    /// With a refusal of our own.
    Refused,
    /// Before there was an answer.
    Withdrawn,
}

/// By so many more requests may an HTTP/2 client withdraw than it lets us answer. Each cost us work, and a pass-through one a
/// connection to the app (CVE-2023-44487, "rapid reset").
const WITHDRAWN: u32 = 100;
/// What of an answer is still in h2's hands when its body has been taken is not seen here: it gets this long.
const SETTLING: Duration = Duration::from_secs(1);

/// One connection's shared state.
#[derive(Debug)]
pub(crate) struct Line {
    shared: Mutex<Shared>,
    /// Its task has something to look at: it may be asked to leave, or has to.
    told: Notify,
    attention: Attention,
    /// Of all connections.
    unread: Sum,
}

/// A connection without a request or an answer under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    /// When its last request ended, or when it was accepted.
    pub(crate) since: Instant,
    /// Whether it has ever finished one.
    pub(crate) served: bool,
}

/// Why a connection is ended that has requests under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abuse {
    /// Its client withdraws requests faster than they can be answered.
    Withdrawn,
    /// Its client sends frames that carry nothing.
    Flooded,
    /// Its client sends bodies that are not read in small pieces.
    Scattered,
}

/// What the socket's owner has seen that no request's line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// A head was begun and not finished in time.
    LateHead,
    /// h2 has refused something.
    Refused {
        /// What.
        refusal: Refusal,
        /// Requests that the client had begun and not withdrawn by then.
        standing: u32,
    },
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts of one connection that are true independently of each other")]
pub(super) struct Shared {
    pub(super) heads: VecDeque<Head>,
    pub(super) body_fault: Option<BodyFault>,
    /// The rest of a body has yet to come (HTTP/1).
    pub(super) receiving: bool,
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
    /// The client does not take what was written.
    pub(super) unsent: bool,
    served: bool,
    /// Several requests at once.
    multiplexed: bool,
    withdrawn: u32,
    flooded: Option<Abuse>,
    dismissed: bool,
    pub(super) news: Vec<News>,
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
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::among(&Sum::default())
    }

    /// `unread` is the sum of all connections.
    pub(crate) fn among(unread: &Sum) -> Self {
        let shared = Mutex::new(Shared {
            heads: VecDeque::new(),
            body_fault: None,
            receiving: false,
            interim: Vec::new(),
            answered: false,
            opaque: false,
            in_flight: 0,
            idle_since: clock::monotonic(),
            waiting: None,
            committed: false,
            unsent: false,
            served: false,
            multiplexed: false,
            withdrawn: 0,
            flooded: None,
            dismissed: false,
            news: Vec::new(),
        });
        Self { shared, told: Notify::new(), attention: Attention::default(), unread: unread.clone() }
    }

    // Hardly ever contended: besides the connection's task only a detached body's end takes it, and a full house.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
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
        shared.multiplexed = true;
    }

    /// Ends a request: its answer is complete or given up, or it was withdrawn before there was one.
    pub(crate) fn end(&self, how: End) {
        let mut shared = self.lock();
        shared.in_flight = shared.in_flight.saturating_sub(1);
        shared.idle_since = clock::monotonic();
        shared.committed = false;
        match how {
            End::Answered => {
                shared.served = true;
                shared.withdrawn = shared.withdrawn.saturating_sub(1);
            }
            // Costs a client nothing, so it makes up for nothing.
            End::Refused => shared.served = true,
            End::Withdrawn => {
                shared.withdrawn = shared.withdrawn.saturating_add(1);
                if shared.withdrawn > WITHDRAWN {
                    self.told.notify_one();
                }
            }
        }
        if let Some(waker) = shared.waiting.take() {
            waker.wake();
        }
    }

    /// The request is a verified delivery, which is to run or to wait: from here on the end of the client's input no longer ends it.
    pub(crate) fn commit(&self) {
        self.lock().committed = true;
    }

    /// Why the body being read stopped, if the socket knows.
    pub(crate) fn body_fault(&self) -> Option<BodyFault> {
        self.lock().body_fault
    }

    /// Whether the client still sends the body of the request that is answered now. hyper reads no more of it then, and closes.
    pub(crate) fn is_receiving(&self) -> bool {
        let shared = self.lock();
        shared.receiving && shared.heads.is_empty()
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

    /// Requests under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// How long nothing has been under way, if nothing is.
    pub(crate) fn waits(&self, now: Instant) -> Option<Wait> {
        self.lock().waits(now)
    }

    /// Asks the connection to leave, unless something is under way, or it was asked before.
    pub(crate) fn dismiss(&self, now: Instant) -> bool {
        let mut shared = self.lock();
        let free = !shared.dismissed && shared.waits(now).is_some();
        if free {
            shared.dismissed = true;
            self.told.notify_one();
        }
        free
    }

    /// Whether it was asked to leave.
    pub(crate) fn is_dismissed(&self) -> bool {
        self.lock().dismissed
    }

    /// Something has begun since it was asked to leave.
    pub(crate) fn stay(&self) {
        self.lock().dismissed = false;
    }

    /// Whether its client does what none is let do.
    pub(crate) fn abuse(&self) -> Option<Abuse> {
        let shared = self.lock();
        shared.flooded.or((shared.multiplexed && shared.withdrawn > WITHDRAWN).then_some(Abuse::Withdrawn))
    }

    /// Who reads its bodies.
    pub(crate) fn attention(&self) -> &Attention {
        &self.attention
    }

    pub(super) fn unread(self: &Arc<Self>) -> Unread {
        Unread::new(Arc::clone(self), self.unread.clone())
    }

    /// Too many frames of a kind.
    pub(super) fn flooded(&self, how: Abuse) {
        self.lock().flooded = Some(how);
        self.told.notify_one();
    }

    /// h2 has refused something.
    pub(super) fn refused(&self, refusal: Refusal, standing: u32) {
        self.lock().news.push(News::Refused { refusal, standing });
    }

    /// What has happened since this was last asked. Nothing while bytes wait to be sent: by then it is not known which of the
    /// requests that were read are handed over.
    pub(crate) fn news(&self) -> Vec<News> {
        let mut shared = self.lock();
        if shared.unsent { Vec::new() } else { std::mem::take(&mut shared.news) }
    }

    /// Resolves when there is something to look at.
    pub(crate) async fn told(&self) {
        self.told.notified().await;
    }
}

impl Shared {
    fn waits(&self, now: Instant) -> Option<Wait> {
        let busy = self.in_flight > 0 || !self.heads.is_empty() || self.opaque || self.unsent;
        let settling = self.multiplexed && now.saturating_duration_since(self.idle_since) < SETTLING;
        (!busy && !settling).then_some(Wait { since: self.idle_since, served: self.served })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(line: &Line) {
        line.lock().heads.push_back(Head::Refused(Fault::HeadTooLarge));
        assert!(line.next_head().is_some());
    }

    #[test]
    fn waits_from_its_beginning_and_from_the_end_of_each_request() {
        let line = Line::new();
        let now = clock::monotonic();
        let first = line.waits(now).unwrap();
        assert!(!first.served);
        line.lock().heads.push_back(Head::Refused(Fault::HeadTooLarge));
        assert_eq!(line.waits(now), None, "a head that the gate has not seen yet");
        assert!(line.next_head().is_some());
        assert_eq!(line.waits(now), None);
        line.end(End::Answered);
        let second = line.waits(now).unwrap();
        assert!(second.served && second.since >= first.since);
        line.lock().unsent = true;
        assert_eq!(line.waits(now), None, "an answer that the client has not taken");
    }

    #[test]
    fn is_asked_to_leave_once_and_never_while_busy() {
        let line = Line::new();
        let now = clock::monotonic();
        begun(&line);
        assert!(!line.dismiss(now));
        line.end(End::Answered);
        assert!(line.dismiss(now));
        assert!(!line.dismiss(now), "it has been asked");
        line.stay();
        assert!(line.dismiss(now));
    }

    #[test]
    fn an_answer_over_http_2_has_a_second_to_leave_our_hands() {
        let line = Line::new();
        line.begin();
        line.end(End::Answered);
        let ended = line.lock().idle_since;
        assert_eq!(line.waits(ended + Duration::from_millis(999)), None);
        assert!(line.waits(ended + SETTLING).is_some());
    }

    #[test]
    fn withdrawing_is_abuse_from_a_hundred_more_than_answered() {
        let line = Line::new();
        for _ in 0..3 {
            line.begin();
            line.end(End::Answered);
        }
        for _ in 0..WITHDRAWN {
            line.begin();
            line.end(End::Withdrawn);
        }
        assert_eq!(line.abuse(), None);
        line.end(End::Answered);
        line.end(End::Withdrawn);
        assert_eq!(line.abuse(), None, "an answer weighs one up");
        line.end(End::Withdrawn);
        assert_eq!(line.abuse(), Some(Abuse::Withdrawn));
    }
}
