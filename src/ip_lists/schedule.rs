//! When each list is fetched: soon after the start, then again and again, more rarely while it fails.
//!
//! Must never let all replicas fetch at once, nor fetch a list without a pause.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::plan::ListSource;

/// The plan is looked at this often, for lists that a reload has brought.
const LOOK: Duration = Duration::from_secs(2);
/// The first fetch is that late at most.
const FIRST: Duration = Duration::from_secs(1);
/// The first pause after a failure; each failure doubles it, up to the usual pause.
const BACK_OFF: Duration = Duration::from_secs(30);

/// All lists of the plan.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    source: Arc<ListSource>,
    due: Instant,
    /// In a row.
    failures: u32,
    running: bool,
}

impl Schedule {
    /// Lists that are as they were keep their turn.
    pub(super) fn follow(&mut self, sources: &[Arc<ListSource>], now: Instant) {
        self.entries.retain(|entry| sources.contains(&entry.source));
        for source in sources {
            if !self.entries.iter().any(|entry| entry.source == *source) {
                let due = after(now, part(FIRST.min(source.refresh), random()));
                self.entries.push(Entry { source: Arc::clone(source), due, failures: 0, running: false });
            }
        }
    }

    /// Those that are to be fetched now. They are not due again before [`Schedule::done`].
    pub(super) fn start_due(&mut self, now: Instant) -> Vec<Arc<ListSource>> {
        let due = self.entries.iter_mut().filter(|entry| !entry.running && entry.due <= now);
        due.map(|entry| {
            entry.running = true;
            Arc::clone(&entry.source)
        })
        .collect()
    }

    /// When to look again.
    pub(super) fn wake(&self, now: Instant) -> Instant {
        let due = self.entries.iter().filter(|entry| !entry.running).map(|entry| entry.due);
        due.chain([after(now, LOOK)]).min().unwrap_or(now)
    }

    /// A fetch ended.
    pub(super) fn done(&mut self, source: &Arc<ListSource>, good: bool, now: Instant) {
        // By identity: the same source may have been taken away and brought back meanwhile.
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.source == *source && entry.running) {
            entry.done(good, now);
        }
    }

    /// A fetch ended that cannot say which it was.
    pub(super) fn broke_off(&mut self, now: Instant) {
        self.entries.iter_mut().filter(|entry| entry.running).for_each(|entry| entry.done(false, now));
    }
}

impl Entry {
    fn done(&mut self, good: bool, now: Instant) {
        self.running = false;
        self.failures = if good { 0 } else { self.failures.saturating_add(1) };
        self.due = after(now, pause(self.source.refresh, self.failures, random()));
    }
}

/// Until the next fetch. `random` is any number.
fn pause(refresh: Duration, failures: u32, random: u64) -> Duration {
    let usual = match failures.checked_sub(1) {
        None => refresh,
        Some(doubled) => BACK_OFF.saturating_mul(2_u32.saturating_pow(doubled)).min(refresh),
    };
    // From nine tenths to eleven tenths.
    let tenth = usual.checked_div(10).unwrap_or_default();
    usual.saturating_sub(tenth).saturating_add(part(tenth.saturating_mul(2), random))
}

/// From nothing to `whole`.
fn part(whole: Duration, random: u64) -> Duration {
    let thousandths = u32::try_from(random.checked_rem(1001).unwrap_or_default()).unwrap_or_default();
    whole.saturating_mul(thousandths).checked_div(1000).unwrap_or_default()
}

/// The standard library's hash keys are random for each value: good enough for what only has to differ.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

fn after(now: Instant, pause: Duration) -> Instant {
    now.checked_add(pause).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, refresh: Duration) -> Arc<ListSource> {
        let url = "https://lists.example/a".parse().unwrap();
        Arc::new(ListSource { name: name.into(), url, refresh, select: Vec::new(), cache: None, ca: None })
    }

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_pause_is_the_usual_one_give_or_take_a_tenth() {
        let six = HOUR * 6;
        for (random, expected) in [(0, six * 9 / 10), (500, six), (1000, six * 11 / 10)] {
            assert_eq!(pause(six, 0, random), expected);
        }
    }

    #[test]
    fn failures_double_the_pause_up_to_the_usual_one() {
        let pauses: Vec<u64> = (1..=6).map(|failures| pause(600 * SECOND, failures, 500).as_secs()).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600]);
        assert_eq!(pause(HOUR, u32::MAX, 500), HOUR);
        assert_eq!(pause(10 * SECOND, 1, 500), 10 * SECOND, "a pause that is usually shorter stays so");
    }

    #[test]
    fn the_first_fetch_comes_soon_and_one_at_a_time() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        let list = source("a", HOUR);
        schedule.follow(&[Arc::clone(&list)], now);
        assert!(schedule.wake(now) <= now + SECOND);
        assert_eq!(schedule.start_due(now + SECOND), [Arc::clone(&list)]);
        assert!(schedule.start_due(now + 2 * SECOND).is_empty(), "it runs");
        schedule.done(&list, true, now);
        assert!(schedule.start_due(now + HOUR * 8 / 10).is_empty());
        assert_eq!(schedule.start_due(now + HOUR * 12 / 10), [Arc::clone(&list)]);
        schedule.broke_off(now);
        assert!(schedule.start_due(now + 26 * SECOND).is_empty());
        assert_eq!(schedule.start_due(now + 34 * SECOND), [list]);
    }

    #[test]
    fn a_reload_that_changes_a_list_has_it_fetched_anew_and_leaves_the_others_alone() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        let (a, b) = (source("a", HOUR), source("b", HOUR));
        schedule.follow(&[Arc::clone(&a), Arc::clone(&b)], now);
        for list in schedule.start_due(now + SECOND) {
            schedule.done(&list, true, now);
        }
        let changed = source("b", HOUR * 2);
        schedule.follow(&[source("a", HOUR), Arc::clone(&changed)], now);
        assert_eq!(schedule.start_due(now + SECOND), [Arc::clone(&changed)]);
        schedule.done(&b, false, now);
        assert!(schedule.start_due(now + HOUR * 8 / 10).is_empty(), "what the old one came to does not count");
        schedule.follow(&[], now);
        assert_eq!(schedule.wake(now), now + LOOK);
        assert!(schedule.start_due(now + HOUR * 9).is_empty());
    }
}
