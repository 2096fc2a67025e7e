//! The open connections, and who makes room when there are too many.
//!
//! At `limits.max_connections` the connection that has waited longest without a request is closed for the one that arrives: an
//! attacker who only holds connections open locks nobody out. Those that never finished a request go first, unless they
//! have just come, or a flood of empty connections would wash a sender out before its first bytes. Must never close a
//! connection with a request or an answer under way, nor cost a request anything: a place is taken once a connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::wire::{Abuse, Line, Sum, Wait};

/// So long a connection may take to its first request before it counts as one that only holds its place.
const WELCOME: Duration = Duration::from_secs(1);
/// So many are found at once, because looking through all of them is not free and a flood does not come alone.
const BATCH: usize = 64;
/// How long nobody is looked for after nobody was found.
const REST: Duration = Duration::from_millis(20);
/// How often one kind of news may be logged.
const SELDOM: Duration = Duration::from_secs(1);

/// The open connections. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crowd(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    members: Mutex<Members>,
    leaving: AtomicUsize,
    unread: Sum,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    lines: HashMap<u64, Arc<Line>>,
    /// Those found to have waited longest, the longest last, and since when.
    longest: Vec<(Instant, u64)>,
    /// Nobody was found; it is too early to look again.
    all_busy_until: Option<Instant>,
    closed: Seldom,
}

/// One connection's place. Free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    crowd: Crowd,
    number: u64,
    pub(crate) line: Arc<Line>,
}

/// Why a connection ends before its client or its time limits end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Its place is needed.
    Dismissed,
    /// Its client does what none is let do.
    Abused(Abuse),
}

impl Crowd {
    /// Takes a place.
    pub(crate) fn enter(&self) -> Seat {
        let line = Arc::new(Line::among(&self.0.unread));
        let mut members = self.lock();
        let number = members.next;
        members.next = number.wrapping_add(1);
        members.lines.insert(number, Arc::clone(&line));
        drop(members);
        Seat { crowd: self.clone(), number, line }
    }

    /// How many were asked to leave and are still there.
    pub(crate) fn leaving(&self) -> usize {
        self.0.leaving.load(Ordering::Acquire)
    }

    /// Asks the connection that has waited longest to leave. False when something is under way on all of them.
    pub(crate) fn make_room(&self, now: Instant) -> bool {
        let mut members = self.lock();
        loop {
            // What was found before may have become busy since.
            while let Some((since, number)) = members.longest.pop() {
                let Some(line) = members.lines.get(&number) else { continue };
                if line.waits(now).is_some_and(|wait| wait.since == since) && line.dismiss(now) {
                    self.0.leaving.fetch_add(1, Ordering::AcqRel);
                    if let Some(count) = members.closed.note(now) {
                        tracing::warn!(count, "limits.max_connections are open: connections that wait are closed");
                    }
                    return true;
                }
            }
            if members.all_busy_until.is_some_and(|until| now < until) || !members.look(now) {
                return false;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    /// Looks for those that have waited longest. False when nobody waits.
    fn look(&mut self, now: Instant) -> bool {
        let mut waiting: Vec<_> = self
            .lines
            .iter()
            .filter(|(_, line)| !line.is_dismissed())
            .filter_map(|(number, line)| line.waits(now).map(|wait| (worth(wait, now), *number)))
            .collect();
        let count = BATCH.min(waiting.len());
        if let Some(last) = count.checked_sub(1) {
            waiting.select_nth_unstable(last);
        }
        waiting.truncate(count);
        waiting.sort_unstable_by(|one, other| other.cmp(one));
        self.longest = waiting.into_iter().map(|((_, since), number)| (since, number)).collect();
        self.all_busy_until = if self.longest.is_empty() { now.checked_add(REST) } else { None };
        !self.longest.is_empty()
    }
}

/// The least goes first.
fn worth(wait: Wait, now: Instant) -> (bool, Instant) {
    let welcome = now.saturating_duration_since(wait.since) < WELCOME;
    (wait.served || welcome, wait.since)
}

impl Seat {
    /// Resolves when the connection is to end.
    pub(crate) async fn leave(&self) -> Leave {
        loop {
            self.line.told().await;
            if let Some(abuse) = self.line.abuse() {
                return Leave::Abused(abuse);
            }
            if self.line.is_dismissed() {
                if self.line.waits(clock::monotonic()).is_some() {
                    return Leave::Dismissed;
                }
                // It was asked a moment too late. The newcomer is in: for a while there is one connection more.
                let _members = self.crowd.lock();
                self.line.stay();
                self.crowd.0.leaving.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut members = self.crowd.lock();
        members.lines.remove(&self.number);
        // Under the same lock, or a dismissal between the two would be counted for ever.
        if self.line.is_dismissed() {
            self.crowd.0.leaving.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// News that would flood the log: at most one line a second, with a count.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Option<Instant>,
    count: u64,
}

impl Seldom {
    /// Counts one. The count since the last line, when a line is due.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        self.count = self.count.saturating_add(1);
        let due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= SELDOM);
        due.then(|| {
            self.last = Some(now);
            std::mem::take(&mut self.count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::End;

    /// Later than any grace.
    fn later() -> Instant {
        clock::monotonic().checked_add(Duration::from_mins(1)).unwrap()
    }

    fn served(seat: &Seat) {
        seat.line.begin();
        seat.line.end(End::Answered);
    }

    fn dismissed(seats: &[&Seat]) -> Vec<bool> {
        seats.iter().map(|seat| seat.line.is_dismissed()).collect()
    }

    #[test]
    fn the_longest_waiting_that_never_finished_a_request_goes_first() {
        let crowd = Crowd::default();
        let (kept, first, busy, second) = (crowd.enter(), crowd.enter(), crowd.enter(), crowd.enter());
        served(&kept);
        busy.line.begin();
        let all = [&kept, &first, &busy, &second];
        for expected in [[false, true, false, false], [false, true, false, true], [true, true, false, true]] {
            assert!(crowd.make_room(later()));
            assert_eq!(dismissed(&all), expected);
        }
        let now = later();
        assert!(!crowd.make_room(now), "only the busy one is left");
        busy.line.end(End::Answered);
        assert!(!crowd.make_room(now), "too early to look again");
        assert!(crowd.make_room(now + REST));
        assert_eq!(crowd.leaving(), 4);
        drop((kept, first, second, busy));
        assert_eq!(crowd.leaving(), 0);
    }

    #[test]
    fn one_that_has_just_come_is_not_before_those_that_hold_on() {
        let now = clock::monotonic();
        let before = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        let holds_on = Wait { since: before(9), served: true };
        let fresh = Wait { since: now.checked_sub(Duration::from_millis(999)).unwrap(), served: false };
        let silent = Wait { since: now.checked_sub(WELCOME).unwrap(), served: false };
        assert!(worth(holds_on, now) < worth(fresh, now));
        assert!(worth(silent, now) < worth(holds_on, now));
        assert!(worth(Wait { since: before(2), served: false }, now) < worth(silent, now));
    }

    #[test]
    fn what_was_found_and_became_busy_is_passed_over() {
        let crowd = Crowd::default();
        let seats: Vec<_> = (0..BATCH * 2).map(|_| crowd.enter()).collect();
        assert!(crowd.make_room(later()));
        let found = crowd.lock().longest.clone();
        assert_eq!(found.len(), BATCH - 1);
        for (_, number) in found {
            seats.iter().find(|seat| seat.number == number).unwrap().line.begin();
        }
        assert!(crowd.make_room(later()));
        let gone: Vec<_> = seats.iter().filter(|seat| seat.line.is_dismissed()).collect();
        assert_eq!(gone.len(), 2);
        assert!(gone.iter().all(|seat| seat.line.waits(later()).is_some()));
    }

    #[tokio::test]
    async fn one_that_is_asked_to_leave_and_has_begun_a_request_stays() {
        let crowd = Crowd::default();
        let seat = crowd.enter();
        assert!(crowd.make_room(later()));
        seat.line.begin();
        let leave = tokio::time::timeout(Duration::from_millis(50), seat.leave()).await;
        assert_eq!((leave.ok(), crowd.leaving()), (None, 0));
        seat.line.end(End::Answered);
        assert!(crowd.make_room(later()), "it can be asked again");
        tokio::time::sleep(WELCOME).await;
        assert_eq!(seat.leave().await, Leave::Dismissed);
        drop(seat);
        assert_eq!(crowd.leaving(), 0);
    }

    #[test]
    fn news_is_told_once_a_second_with_its_count() {
        let mut news = Seldom::default();
        let now = clock::monotonic();
        assert_eq!(news.note(now), Some(1));
        assert_eq!(news.note(now), None);
        assert_eq!(news.note(now + Duration::from_millis(999)), None);
        assert_eq!(news.note(now + SELDOM), Some(3));
    }
}
