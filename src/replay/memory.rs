//! What has run, in this process's memory: for one replica, or for tests.
//!
//! Bounded, and without a sweep: what has expired goes when something else comes, oldest first, a few at a time. A full store
//! drops what no window lets in again, so that a replay of it would be refused anyway; when all of it could still be sent
//! again there is no room. Must never forget a younger one for a newcomer.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::check::replay_key::ReplayKey;
use crate::clock;

/// So many locks, so that two deliveries rarely meet and no map grows long at once.
const SHARDS: usize = 64;
/// Expired entries that go for each new one: more than one, or a store that shrinks would never end.
const PRUNED: usize = 2;

/// Keys are hashes already.
#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate().take(8) {
            self.0 |= u64::from(*byte) << (index.wrapping_mul(8) & 63);
        }
    }

    /// The length, which a slice's hash begins with.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map of deliveries.
pub(super) type ByKey<T> = HashMap<ReplayKey, T, BuildHasherDefault<Hashed>>;

/// The deliveries that have run.
#[derive(Debug)]
pub(super) struct Memory {
    shards: Box<[Mutex<Shard>]>,
    /// Those that have run and those that are running.
    entries: AtomicUsize,
    begun: Instant,
}

#[derive(Debug, Default)]
struct Shard {
    /// When each ran, in seconds since the beginning.
    ran: ByKey<u32>,
    /// Oldest first, one line for each length of window.
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    /// Seconds.
    window: u32,
    queue: VecDeque<(ReplayKey, u32)>,
}

/// How long a delivery is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memorable {
    /// After it ran.
    pub ttl: Duration,
    /// After this it would be refused anyway. `None`: nothing says when it was signed.
    pub window: Option<Duration>,
}

/// What is known of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It has run.
    Committed,
    /// It has not, and there is room to remember that it did.
    Room {
        /// A delivery had to be forgotten for it.
        evicted: bool,
    },
    /// It has not, and there is no room.
    Full,
}

impl Memory {
    pub(super) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, entries: AtomicUsize::new(0), begun: clock::monotonic() }
    }

    /// How many deliveries have run or are running, of those that are remembered.
    pub(super) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Whether it has run; if not, a place is kept for it until [`Self::commit`] or [`Self::give_up`].
    pub(super) fn reserve(&self, key: &ReplayKey, ttl: Duration, most: usize, now: Instant) -> Seen {
        let now = self.seconds(now);
        if self.lock(key).has_run(key, now, seconds(ttl), &self.entries) {
            return Seen::Committed;
        }
        if self.entries.fetch_add(1, Ordering::Relaxed) < most {
            return Seen::Room { evicted: false };
        }
        // Its own shard first: the others are looked through only by a store that is all young.
        let own = shard_of(key);
        let (before, after) = self.shards.split_at(own.min(self.shards.len()));
        for shard in after.iter().chain(before) {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if shard.evict(now, seconds(ttl)) {
                self.entries.fetch_sub(1, Ordering::Relaxed);
                return Seen::Room { evicted: true };
            }
        }
        self.give_up();
        Seen::Full
    }

    /// It has run, in the place that was kept for it.
    pub(super) fn commit(&self, key: &ReplayKey, memorable: Memorable, now: Instant) {
        let now = self.seconds(now);
        let ttl = seconds(memorable.ttl);
        let window = memorable.window.map_or(u32::MAX, seconds).min(ttl);
        let mut shard = self.lock(key);
        let pruned = shard.prune(window, now, ttl);
        let new = shard.ran.insert(*key, now).is_none();
        shard.push(window, *key, now);
        drop(shard);
        self.entries.fetch_sub(pruned.saturating_add(usize::from(!new)), Ordering::Relaxed);
    }

    /// The place is not needed.
    pub(super) fn give_up(&self) {
        self.entries.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it was there.
    pub(super) fn forget(&self, key: &ReplayKey) -> bool {
        let was_there = self.lock(key).ran.remove(key).is_some();
        self.entries.fetch_sub(usize::from(was_there), Ordering::Relaxed);
        was_there
    }

    fn seconds(&self, now: Instant) -> u32 {
        seconds(now.saturating_duration_since(self.begun))
    }

    fn lock(&self, key: &ReplayKey) -> MutexGuard<'_, Shard> {
        static NONE: Mutex<Shard> =
            Mutex::new(Shard { ran: HashMap::with_hasher(BuildHasherDefault::new()), lines: Vec::new() });
        self.shards.get(shard_of(key)).unwrap_or(&NONE).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last byte: the map uses the first ones.
pub(super) fn shard_of(key: &ReplayKey) -> usize {
    let [.., last] = key.as_bytes();
    usize::from(*last) & SHARDS.wrapping_sub(1)
}

impl Shard {
    fn has_run(&mut self, key: &ReplayKey, now: u32, ttl: u32, entries: &AtomicUsize) -> bool {
        match self.ran.get(key) {
            Some(at) if now.saturating_sub(*at) <= ttl => true,
            Some(_) => {
                self.ran.remove(key);
                entries.fetch_sub(1, Ordering::Relaxed);
                false
            }
            None => false,
        }
    }

    fn push(&mut self, window: u32, key: ReplayKey, at: u32) {
        match self.lines.iter_mut().find(|line| line.window == window) {
            Some(line) => line.queue.push_back((key, at)),
            None => self.lines.push(Line { window, queue: VecDeque::from([(key, at)]) }),
        }
    }

    fn pop(&mut self, window: u32, may_go: impl FnOnce(u32) -> bool) -> Option<(ReplayKey, u32)> {
        let line = self.lines.iter_mut().find(|line| line.window == window)?;
        line.queue.front().filter(|(_, at)| may_go(*at))?;
        line.queue.pop_front()
    }

    /// Forgets what has expired at the front of a line.
    fn prune(&mut self, window: u32, now: u32, ttl: u32) -> usize {
        let mut pruned = 0_usize;
        for _ in 0..PRUNED {
            let Some((key, at)) = self.pop(window, |at| now.saturating_sub(at) > ttl) else { break };
            pruned = pruned.saturating_add(usize::from(self.remove(&key, at)));
        }
        pruned
    }

    /// Forgets the oldest one that no window lets in again. `false`: there is none.
    fn evict(&mut self, now: u32, ttl: u32) -> bool {
        loop {
            let oldest = self
                .lines
                .iter()
                .filter_map(|line| line.queue.front().map(|(_, at)| (*at, line.window)))
                .filter(|(at, window)| now.saturating_sub(*at) > (*window).min(ttl))
                .min();
            let Some((_, window)) = oldest else { return false };
            let Some((key, at)) = self.pop(window, |_| true) else { return false };
            // One that was forgotten or expired before left its place in the line.
            if self.remove(&key, at) {
                return true;
            }
        }
    }

    /// Whether it was there, as this line has it.
    fn remove(&mut self, key: &ReplayKey, at: u32) -> bool {
        let is_it = self.ran.get(key) == Some(&at);
        if is_it {
            self.ran.remove(key);
        }
        is_it
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(100);
    const SIGNED: Memorable = Memorable { ttl: TTL, window: Some(Duration::from_secs(10)) };
    const UNDATED: Memorable = Memorable { ttl: TTL, window: None };
    const ROOM: Seen = Seen::Room { evicted: false };
    const EVICTED: Seen = Seen::Room { evicted: true };

    fn key(n: u32) -> ReplayKey {
        ReplayKey::of_id("a", &n.to_be_bytes())
    }

    /// A store, asked and told at so many seconds.
    struct At(Memory, usize);

    impl At {
        fn when(&self, second: u64) -> Instant {
            self.0.begun.checked_add(Duration::from_secs(second)).unwrap()
        }

        fn reserve(&self, n: u32, second: u64) -> Seen {
            self.0.reserve(&key(n), TTL, self.1, self.when(second))
        }

        fn commit(&self, n: u32, memorable: Memorable, second: u64) {
            self.0.commit(&key(n), memorable, self.when(second));
        }

        fn run(&self, n: u32, memorable: Memorable, second: u64) -> Seen {
            let seen = self.reserve(n, second);
            if matches!(seen, Seen::Room { .. }) {
                self.commit(n, memorable, second);
            }
            seen
        }
    }

    #[test]
    fn what_ran_is_known_until_its_ttl_is_over() {
        let store = At(Memory::new(), 10);
        assert_eq!(store.run(1, SIGNED, 5), ROOM);
        assert_eq!(store.reserve(1, 5), Seen::Committed);
        assert_eq!(store.reserve(1, 105), Seen::Committed);
        assert_eq!(store.reserve(1, 106), ROOM);
    }

    #[test]
    fn a_place_is_kept_while_it_runs_and_given_back_when_it_fails() {
        let store = At(Memory::new(), 2);
        assert_eq!((store.reserve(1, 0), store.reserve(2, 0), store.0.entries()), (ROOM, ROOM, 2));
        assert_eq!((store.reserve(3, 0), store.0.entries()), (Seen::Full, 2));
        store.0.give_up();
        assert_eq!((store.reserve(3, 0), store.reserve(4, 0)), (ROOM, Seen::Full));
        store.commit(2, SIGNED, 0);
        assert_eq!((store.reserve(2, 0), store.0.entries()), (Seen::Committed, 2), "known though the store is full");
    }

    #[test]
    fn a_full_store_gives_up_what_no_window_lets_in_again_and_nothing_else() {
        let store = At(Memory::new(), 3);
        for n in 0..3 {
            assert_eq!(store.run(n, SIGNED, 20 + u64::from(n)), ROOM);
        }
        assert_eq!(store.run(3, SIGNED, 30), Seen::Full);
        assert_eq!(store.run(3, SIGNED, 31), EVICTED, "one second past its window");
        assert_eq!(store.run(4, SIGNED, 31), Seen::Full);
        assert_eq!((store.run(0, SIGNED, 31), store.0.entries()), (Seen::Full, 3), "the oldest has gone");
        for n in 1..4 {
            assert_eq!(store.reserve(n, 31), Seen::Committed);
        }
    }

    /// Nothing says when it was signed, so it may come in again as long as it is remembered.
    #[test]
    fn what_has_no_window_stays_for_its_ttl() {
        let store = At(Memory::new(), 1);
        assert_eq!(store.run(1, UNDATED, 0), ROOM);
        assert_eq!((store.reserve(2, 100), store.reserve(2, 101)), (Seen::Full, EVICTED));
    }

    #[test]
    fn what_has_expired_goes_when_others_come() {
        let store = At(Memory::new(), 100_000);
        for n in 0..10_000 {
            assert_eq!(store.run(n, SIGNED, 0), ROOM);
        }
        for n in 10_000..20_000 {
            assert_eq!(store.run(n, SIGNED, 101), ROOM);
        }
        let left = store.0.entries();
        assert!((10_000..10_200).contains(&left), "{left}");
        let queued: usize = store.0.shards.iter().map(|shard| shard.lock().unwrap().lines[0].queue.len()).sum();
        assert_eq!(queued, left);
    }

    #[test]
    fn what_was_forgotten_may_run_and_is_known_again() {
        let store = At(Memory::new(), 2);
        assert!(!store.0.forget(&key(1)));
        store.run(1, SIGNED, 0);
        assert!(store.0.forget(&key(1)));
        assert!(!store.0.forget(&key(1)));
        assert_eq!(store.0.entries(), 0);
        assert_eq!(store.run(1, SIGNED, 8), ROOM);
        assert_eq!(store.run(2, SIGNED, 8), ROOM);
        // The place in the line that the forgotten one left is not taken for the one that ran later.
        assert_eq!((store.reserve(3, 11), store.0.entries()), (Seen::Full, 2));
        assert_eq!(store.reserve(1, 18), Seen::Committed);
        assert_eq!(store.reserve(3, 19), EVICTED);
    }

    /// Of those that are locked together, whatever their windows.
    #[test]
    fn the_oldest_goes_first() {
        let store = At(Memory::new(), 2);
        let together: Vec<u32> = (0..).filter(|n| shard_of(&key(*n)) == 0).take(3).collect();
        let short = Memorable { ttl: TTL, window: Some(Duration::from_secs(2)) };
        store.run(together[0], short, 1);
        store.run(together[1], SIGNED, 0);
        assert_eq!((store.run(together[2], SIGNED, 50), store.reserve(together[0], 50)), (EVICTED, Seen::Committed));
    }

    /// A reload may have changed a tolerance: each keeps the window that it ran with.
    #[test]
    fn windows_of_different_lengths_do_not_hold_each_other_up() {
        let store = At(Memory::new(), 2);
        let long = Memorable { ttl: TTL, window: Some(Duration::from_secs(50)) };
        store.run(1, long, 0);
        store.run(2, SIGNED, 5);
        assert_eq!(store.reserve(3, 15), Seen::Full);
        assert_eq!(store.run(3, SIGNED, 16), EVICTED, "the younger one of the shorter window");
        assert_eq!(store.reserve(1, 16), Seen::Committed);
        assert_eq!(store.reserve(2, 16), Seen::Full);
    }

    #[test]
    fn a_lower_bound_after_a_reload_is_kept_from_there_on() {
        let mut store = At(Memory::new(), 10);
        for n in 0..10 {
            store.run(n, SIGNED, 0);
        }
        store.1 = 5;
        assert_eq!((store.reserve(10, 5), store.0.entries()), (Seen::Full, 10));
        assert_eq!((store.reserve(10, 11), store.0.entries()), (EVICTED, 10));
    }

    /// At once, from many threads: never more places than there are.
    #[test]
    fn no_more_places_are_given_than_there_are() {
        let store = At(Memory::new(), 1_000);
        let given = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let (store, given) = (&store, &given);
                scope.spawn(move || {
                    for n in 0..1_000 {
                        if store.run(thread * 1_000 + n, SIGNED, 0) == ROOM {
                            given.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!((given.load(Ordering::Relaxed), store.0.entries()), (1_000, 1_000));
    }

    #[test]
    fn a_million_deliveries_fit_into_150_mib() {
        let store = At(Memory::new(), 1_000_000);
        for n in 0..1_000_000 {
            assert_eq!(store.run(n, SIGNED, 0), ROOM);
        }
        let size = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            // A table keeps at most seven of eight places, in powers of two, and one byte more for each.
            let places = (shard.ran.capacity() * 8 / 7).next_power_of_two();
            let queued: usize = shard.lines.iter().map(|line| line.queue.capacity()).sum();
            places * (size_of::<(ReplayKey, u32)>() + 1) + queued * size_of::<(ReplayKey, u32)>()
        };
        let bytes: usize = store.0.shards.iter().map(size).sum();
        assert!(((20 << 20)..(150 << 20)).contains(&bytes), "{bytes}");
        assert_eq!(store.0.entries(), 1_000_000);
    }
}
