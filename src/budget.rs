//! One memory budget for all webhook bodies that are not yet verified or forwarded.
//!
//! Bytes are charged as they arrive, never as declared, so a client cannot reserve what it does not send. When the budget is
//! short, a copy that waits for a delivery that runs is dropped first, then the slowest unverified body: a slow forged
//! body must not starve a genuine one. A body that arrives in one piece never touches the list. Must never be refunded
//! twice: a charge is returned when it is dropped.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The budget of the process, in bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: AtomicU64,
    used: AtomicU64,
    arriving: Mutex<Vec<Arc<Arriving>>>,
}

/// A body that may be dropped, as its competitors see it: on its way in, or a copy that waits.
#[derive(Debug)]
struct Arriving {
    received: AtomicU64,
    since: Instant,
    /// It is all there, and waits for another one's end.
    waits: bool,
    dropped: AtomicBool,
    wake: Notify,
}

/// The bytes charged for one body. Returned when dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: u64,
    arriving: Option<Arc<Arriving>>,
}

/// A body that is waited for longer than this may be dropped for want of something else than memory.
const WELCOME: Duration = Duration::from_secs(1);

/// There is no room, and no slower body to drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short;

impl Budget {
    /// Of so many bytes.
    pub fn new(limit: u64) -> Self {
        let (limit, used) = (AtomicU64::new(limit), AtomicU64::new(0));
        Self(Arc::new(Inner { limit, used, arriving: Mutex::new(Vec::new()) }))
    }

    /// Another limit from here on. What is charged stays charged, be it more than that.
    pub(crate) fn resize(&self, limit: u64) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// Begins a body that has cost nothing yet.
    pub fn charge(&self) -> Charge {
        Charge { budget: self.clone(), bytes: 0, arriving: None }
    }

    /// Bytes charged now.
    pub(crate) fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let used = self.0.used.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes);
        let fits = used <= self.0.limit.load(Ordering::Relaxed);
        if !fits {
            self.0.used.fetch_sub(bytes, Ordering::AcqRel);
        }
        fits
    }

    /// Drops the slowest body that is slower than `rate` (bytes per second). One that holds nothing would make no room: it may
    /// be a genuine one whose head has just come.
    fn drop_slower(&self, now: Instant, rate: f64) -> bool {
        self.drop_slowest(now, |body, its_rate| body.received.load(Ordering::Relaxed) > 0 && its_rate < rate)
    }

    /// Drops the slowest body that has been waited for, because the connection that it came by is in the way.
    pub(crate) fn make_room(&self, now: Instant) -> bool {
        self.drop_slowest(now, |body, _| !body.waits && now.saturating_duration_since(body.since) >= WELCOME)
    }

    fn drop_slowest(&self, now: Instant, may_go: impl Fn(&Arriving, f64) -> bool) -> bool {
        let arriving = self.0.arriving.lock().unwrap_or_else(PoisonError::into_inner);
        let slowest = arriving
            .iter()
            .filter(|body| !body.dropped.load(Ordering::Relaxed))
            .map(|body| (body.rate(now), body))
            .filter(|(rate, body)| may_go(body, *rate))
            .min_by(|(one, _), (other, _)| one.total_cmp(other));
        if let Some((_, body)) = slowest {
            body.dropped.store(true, Ordering::Release);
            // Given back here, not when the body's task wakes: the faster body needs the room now.
            self.0.used.fetch_sub(body.received.swap(0, Ordering::AcqRel), Ordering::AcqRel);
            body.wake.notify_one();
        }
        slowest.is_some()
    }
}

impl Arriving {
    fn rate(&self, now: Instant) -> f64 {
        if self.waits { 0.0 } else { rate(self.received.load(Ordering::Relaxed), self.since, now) }
    }
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a rate is compared, not counted")]
fn rate(bytes: u64, since: Instant, now: Instant) -> f64 {
    bytes as f64 / now.saturating_duration_since(since).as_secs_f64().max(0.001)
}

impl Charge {
    /// Charges received bytes, at the cost of slower bodies if need be. The clock is read only then.
    ///
    /// # Errors
    /// [`Short`] when this body is the slowest, or has been dropped for a faster one.
    pub(crate) fn add(&mut self, bytes: usize, since: Instant, now: impl Fn() -> Instant) -> Result<(), Short> {
        let bytes = u64::try_from(bytes).map_err(|_| Short)?;
        let total = self.bytes.saturating_add(bytes);
        while !self.budget.take(bytes) {
            let now = now();
            if self.is_dropped() || !self.budget.drop_slower(now, rate(total, since, now)) {
                return Err(Short);
            }
        }
        self.bytes = total;
        if let Some(arriving) = &self.arriving {
            arriving.received.fetch_add(bytes, Ordering::AcqRel);
            if self.is_dropped() {
                // Dropped between the two lines above: what was charged since must go back as well.
                self.budget.0.used.fetch_sub(arriving.received.swap(0, Ordering::AcqRel), Ordering::AcqRel);
                return Err(Short);
            }
        }
        Ok(())
    }

    /// Puts the body on the list of those that may be dropped. Called when it must be waited for.
    pub(crate) fn list(&mut self, since: Instant) {
        if self.arriving.is_none() {
            self.put_on_the_list(since, false);
        }
    }

    /// Puts a kept body back on the list, before all that arrive: what it carries is running already, and may be sent again.
    pub(crate) fn wait(&mut self, since: Instant) {
        self.put_on_the_list(since, true);
    }

    fn put_on_the_list(&mut self, since: Instant, waits: bool) {
        let arriving = Arc::new(Arriving {
            received: AtomicU64::new(self.bytes),
            since,
            waits,
            dropped: AtomicBool::new(false),
            wake: Notify::new(),
        });
        self.budget.0.arriving.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&arriving));
        self.arriving = Some(arriving);
    }

    /// Resolves when the body has been dropped for a faster one. Pending for ever while it is not listed.
    pub(crate) async fn dropped(&self) {
        match &self.arriving {
            Some(arriving) if arriving.dropped.load(Ordering::Acquire) => {}
            Some(arriving) => arriving.wake.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The body is verified, or waits no longer: it stays charged, but can no longer be dropped.
    ///
    /// # Errors
    /// [`Short`] if it was dropped before.
    pub(crate) fn keep(&mut self) -> Result<(), Short> {
        self.unlist();
        if self.is_dropped() { Err(Short) } else { Ok(()) }
    }

    fn is_dropped(&self) -> bool {
        self.arriving.as_ref().is_some_and(|arriving| arriving.dropped.load(Ordering::Acquire))
    }

    fn unlist(&self) {
        if let Some(mine) = &self.arriving {
            self.budget
                .0
                .arriving
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|other| !Arc::ptr_eq(mine, other));
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.unlist();
        let held = match &self.arriving {
            Some(arriving) => arriving.received.swap(0, Ordering::AcqRel),
            None => self.bytes,
        };
        self.budget.0.used.fetch_sub(held, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_what_was_charged() {
        let budget = Budget::new(100);
        let now = crate::clock::monotonic();
        let mut charge = budget.charge();
        charge.add(60, now, || now).unwrap();
        charge.list(now);
        charge.add(40, now, || now).unwrap();
        assert_eq!(budget.used(), 100);
        drop(charge);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn drops_the_slowest_body_for_a_faster_one() {
        let budget = Budget::new(100);
        let start = crate::clock::monotonic();
        let later = start + Duration::from_secs(5);
        let (mut slow, mut slower, mut fast) = (budget.charge(), budget.charge(), budget.charge());
        slow.list(start);
        slow.add(50, start, || start).unwrap();
        slower.list(start);
        slower.add(40, start, || start).unwrap();
        fast.add(50, later, || later).unwrap();
        assert!(slower.is_dropped());
        assert!(!slow.is_dropped());
        assert_eq!(slower.keep(), Err(Short));
        assert_eq!(slow.keep(), Ok(()));
        drop((slow, slower, fast));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_body_of_which_nothing_has_come_yet_is_not_dropped_because_it_holds_nothing() {
        let budget = Budget::new(100);
        let start = crate::clock::monotonic();
        let later = start + Duration::from_secs(5);
        let (mut slow, mut fresh, mut fast) = (budget.charge(), budget.charge(), budget.charge());
        slow.list(start);
        slow.add(90, start, || start).unwrap();
        fresh.list(later);
        fast.add(50, later, || later).unwrap();
        assert!(slow.is_dropped());
        assert!(!fresh.is_dropped());
        fresh.add(1, later, || later).unwrap();
        assert_eq!(budget.used(), 51);
    }

    #[test]
    fn the_slowest_body_gives_up_its_connection_unless_it_has_just_begun() {
        let budget = Budget::new(100);
        let start = crate::clock::monotonic();
        let (mut slow, mut slower) = (budget.charge(), budget.charge());
        slow.list(start);
        slow.add(10, start, || start).unwrap();
        slower.list(start);
        assert!(!budget.make_room(start + WELCOME.saturating_sub(Duration::from_millis(1))));
        let later = start + WELCOME;
        assert_eq!((budget.make_room(later), slow.is_dropped(), slower.is_dropped()), (true, false, true));
        slow.keep().unwrap();
        assert!(!budget.make_room(later), "a verified one stays");
        assert_eq!(budget.used(), 10);
    }

    #[test]
    fn a_copy_that_waits_goes_before_the_slowest_body_and_gives_up_no_connection() {
        let budget = Budget::new(100);
        let start = crate::clock::monotonic();
        let later = start + Duration::from_secs(5);
        let (mut copy, mut slow, mut fast) = (budget.charge(), budget.charge(), budget.charge());
        copy.list(start);
        copy.add(60, start, || start).unwrap();
        copy.keep().unwrap();
        slow.add(1, start, || start).unwrap();
        slow.list(start);
        copy.wait(start);
        assert_eq!((budget.make_room(later), slow.is_dropped(), copy.is_dropped()), (true, true, false));
        let mut slow = budget.charge();
        slow.add(1, start, || start).unwrap();
        slow.list(start);
        fast.add(50, later, || later).unwrap();
        assert_eq!((copy.is_dropped(), slow.is_dropped(), budget.used()), (true, false, 51));
        assert_eq!(copy.keep(), Err(Short));
        drop((copy, slow, fast));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_copy_that_waits_no_longer_stays() {
        let budget = Budget::new(100);
        let now = crate::clock::monotonic();
        let (mut copy, mut fast) = (budget.charge(), budget.charge());
        copy.add(60, now, || now).unwrap();
        copy.wait(now);
        copy.keep().unwrap();
        assert_eq!(fast.add(50, now, || now), Err(Short));
        copy.wait(now);
        fast.add(50, now, || now).unwrap();
        drop((copy, fast));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_body_that_is_itself_the_slowest_gets_no_room() {
        let budget = Budget::new(100);
        let start = crate::clock::monotonic();
        let later = start + Duration::from_secs(5);
        let (mut fast, mut slow) = (budget.charge(), budget.charge());
        fast.list(later);
        fast.add(90, later, || later).unwrap();
        slow.list(start);
        assert_eq!(slow.add(20, start, || later), Err(Short));
        assert_eq!(budget.used(), 90);
    }

    #[test]
    fn a_lower_limit_drops_nothing_and_takes_no_more_until_there_is_room() {
        let budget = Budget::new(100);
        let now = crate::clock::monotonic();
        let (mut first, mut second) = (budget.charge(), budget.charge());
        first.add(80, now, || now).unwrap();
        budget.resize(50);
        assert_eq!(second.add(1, now, || now), Err(Short));
        drop(first);
        assert_eq!(second.add(51, now, || now), Err(Short));
        second.add(50, now, || now).unwrap();
        budget.resize(51);
        second.add(1, now, || now).unwrap();
        assert_eq!(budget.used(), 51);
    }

    #[test]
    fn a_verified_body_cannot_be_dropped() {
        let budget = Budget::new(100);
        let start = crate::clock::monotonic();
        let later = start + Duration::from_secs(5);
        let (mut verified, mut fast) = (budget.charge(), budget.charge());
        verified.list(start);
        verified.add(90, start, || start).unwrap();
        verified.keep().unwrap();
        assert_eq!(fast.add(20, later, || later), Err(Short));
    }
}
