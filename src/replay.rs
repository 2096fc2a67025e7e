//! Who may run a delivery: claim, then commit or release.
//!
//! A claim is the right to run one delivery. In this process the first to ask has it and the others wait for how it ends; a
//! store tells what has run, and with Redis what runs elsewhere. Two rules are kept whatever happens: never two runs at
//! once, never a run after a committed one. So a claim that is dropped is released only if nothing was sent; after a run
//! whose end nobody knows it is kept for a lease ([`Claim::unknown`]). Must never be asked about anything but a verified
//! delivery.

mod memory;
mod redis;
mod run;
mod shared;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, SET_COOKIE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

pub use self::memory::Memorable;
pub use self::redis::{Claimed, Down, Forgotten, Key, Owner, ParsedUrl, PlaceFault, RedisPlace, RedisStore, RedisTls};
pub use self::run::Copied;

use self::memory::{ByKey, Memory, Seen, shard_of};
use self::run::{End, Run};
use crate::budget::{Charge, Short};
use crate::check::replay_key::ReplayKey;
use crate::clock;
use crate::headers::WEBHOOK_DELIVERY;
use crate::in_flight::InFlight;
use crate::plan::{ReplayPolicy, ReplayStore};
use crate::reject::Reject;
use crate::telemetry::ReplayMetrics;

/// Longest answer that is kept for those that wait for it.
const LONGEST_COPY: usize = 64 * 1024;
const SHARDS: usize = 64;
/// Between two log lines about a store that is full.
const SELDOM: Duration = Duration::from_mins(1);

/// Everything that is claimed. One for a process; outlives every plan.
#[derive(Debug)]
pub struct Replay {
    running: Box<[Mutex<ByKey<Running>>]>,
    store: Store,
    metrics: ReplayMetrics,
    /// What a shutdown waits for: also for what a store is still to be told.
    in_flight: InFlight,
    warned_full: Mutex<Option<Instant>>,
}

#[derive(Debug)]
enum Store {
    Memory(Memory),
    Redis(RedisStore),
}

#[derive(Debug)]
struct Running {
    run: Arc<Run>,
    /// Whether anyone waits for how it ends.
    awaited: bool,
}

/// What a delivery asks for.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Its name.
    pub key: ReplayKey,
    /// How long it is to be remembered.
    pub memorable: Memorable,
    /// When its request began.
    pub began: Instant,
    /// When its sender has to have an answer.
    pub deadline: Instant,
}

/// What a delivery that asked may do.
#[derive(Debug)]
pub enum Permit {
    /// Run.
    Mine(Claim),
    /// Not run: it has. With the app's answer to the other one, where that was waited for.
    Duplicate(Option<Box<Copied>>),
}

/// Why a delivery may neither run nor be called a duplicate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Denied {
    /// The same one is still running.
    #[error("the same delivery is still running")]
    InFlight,
    /// There is no room to remember it.
    #[error("replay.max_entries deliveries are remembered, none of which may be forgotten yet")]
    Full,
    /// The store cannot be asked.
    #[error("of the replay store: {0}")]
    StoreDown(Down),
    /// The operating system gives no random numbers.
    #[error("there are no random numbers to name a claim with")]
    NoRandom,
}

impl From<&Denied> for Reject {
    fn from(denied: &Denied) -> Self {
        match denied {
            Denied::InFlight => Self::ReplayInFlight,
            Denied::Full => Self::Overloaded,
            Denied::StoreDown(_) | Denied::NoRandom => Self::ReplayStoreDown,
        }
    }
}

impl Replay {
    /// In a runtime, because a store elsewhere is connected to at once.
    pub fn new(store: &ReplayStore, metrics: ReplayMetrics, in_flight: InFlight) -> Arc<Self> {
        let running = (0..SHARDS).map(|_| Mutex::default()).collect();
        let store = match store {
            ReplayStore::Memory => Store::Memory(Memory::new()),
            ReplayStore::Redis(place) => {
                let store = RedisStore::new(Arc::clone(place));
                store.start();
                Store::Redis(store)
            }
        };
        Arc::new(Self { running, store, metrics, in_flight, warned_full: Mutex::default() })
    }

    /// Deliveries that are remembered in this process.
    pub(crate) fn entries(&self) -> usize {
        match &self.store {
            Store::Memory(memory) => memory.entries(),
            Store::Redis(_) => 0,
        }
    }

    /// Asks for the right to run a delivery, and waits while another one has it, unless memory is short: whoever has one
    /// genuine delivery could fill it with copies.
    ///
    /// # Errors
    /// [`Denied`]; nothing was sent, and nothing is held.
    pub async fn claim(
        self: &Arc<Self>,
        terms: Terms,
        policy: &ReplayPolicy,
        charge: &mut Charge,
    ) -> Result<Permit, Denied> {
        let now = clock::monotonic();
        let until = now.checked_add(policy.wait).map_or(terms.deadline, |until| until.min(terms.deadline));
        let mut waited = false;
        loop {
            let run = match self.enter(&terms.key) {
                Ok(run) => run,
                Err(other) => {
                    if !std::mem::replace(&mut waited, true) {
                        self.metrics.waits.inc();
                    }
                    charge.wait(clock::monotonic());
                    let ended = tokio::select! {
                        biased;
                        ended = Box::pin(other.ended(until)) => ended,
                        () = charge.dropped() => None,
                    };
                    charge.keep().map_err(|Short| Denied::InFlight)?;
                    match ended {
                        None => return Err(Denied::InFlight),
                        Some(End::Committed(copied)) => return Ok(Permit::Duplicate(copied)),
                        Some(End::Released) => continue,
                    }
                }
            };
            // From here on a drop lets the next one run.
            let mut claim = Claim {
                replay: Arc::clone(self),
                key: terms.key,
                memorable: terms.memorable,
                lease: policy.lease,
                run: Some(run),
                held: Held::Nothing,
            };
            if waited && too_late(&terms) {
                return Err(Denied::InFlight);
            }
            return match &self.store {
                Store::Memory(memory) => {
                    match memory.reserve(&terms.key, terms.memorable.ttl, policy.max_entries, clock::monotonic()) {
                        Seen::Room { evicted } => {
                            claim.held = Held::Room;
                            self.metrics.evicted.inc_by(evicted.into());
                            Ok(Permit::Mine(claim))
                        }
                        Seen::Committed => {
                            claim.end(End::Committed(None));
                            Ok(Permit::Duplicate(None))
                        }
                        Seen::Full => {
                            self.warn_full();
                            Err(Denied::Full)
                        }
                    }
                }
                Store::Redis(store) => Box::pin(shared::claim(store, claim, &terms, until)).await,
            };
        }
    }

    /// Lets a delivery run once more though it has run.
    ///
    /// # Errors
    /// The store gave no answer.
    pub(crate) async fn forget(&self, key: &ReplayKey) -> Result<Forgotten, Down> {
        if self.lock(key).contains_key(key) {
            return Ok(Forgotten::Running);
        }
        match &self.store {
            Store::Memory(memory) if memory.forget(key) => Ok(Forgotten::Removed),
            Store::Memory(_) => Ok(Forgotten::Absent),
            Store::Redis(store) => store.forget(key).await,
        }
    }

    /// Now and then: nothing else says why deliveries get 503 while all is well.
    fn warn_full(&self) {
        let now = clock::monotonic();
        let mut last = self.warned_full.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= SELDOM) {
            *last = Some(now);
            drop(last);
            tracing::warn!("the replay store is full: raise replay.max_entries, or use Redis");
        }
    }

    /// Begins a run, or finds the one that is under way.
    fn enter(&self, key: &ReplayKey) -> Result<Arc<Run>, Arc<Run>> {
        let mut running = self.lock(key);
        if let Some(other) = running.get_mut(key) {
            other.awaited = true;
            return Err(Arc::clone(&other.run));
        }
        let run = Arc::new(Run::default());
        running.insert(*key, Running { run: Arc::clone(&run), awaited: false });
        Ok(run)
    }

    fn is_awaited(&self, key: &ReplayKey) -> bool {
        self.lock(key).get(key).is_some_and(|running| running.awaited)
    }

    /// Whether anyone waited for it.
    fn leave(&self, key: &ReplayKey) -> bool {
        self.lock(key).remove(key).is_some_and(|running| running.awaited)
    }

    fn lock(&self, key: &ReplayKey) -> MutexGuard<'_, ByKey<Running>> {
        static NONE: Mutex<ByKey<Running>> = Mutex::new(ByKey::with_hasher(std::hash::BuildHasherDefault::new()));
        self.running.get(shard_of(key)).unwrap_or(&NONE).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Less than half of its time is left: a run that begins now would hardly be answered in time.
fn too_late(terms: &Terms) -> bool {
    let whole = terms.deadline.saturating_duration_since(terms.began);
    let left = terms.deadline.saturating_duration_since(clock::monotonic());
    left < whole.checked_div(2).unwrap_or(whole)
}

/// The right to run one delivery. Dropped, it is released: so it goes with the request, and stays with what is sent.
#[derive(Debug)]
#[must_use]
pub struct Claim {
    replay: Arc<Replay>,
    key: ReplayKey,
    memorable: Memorable,
    lease: Duration,
    /// `None` once it has ended.
    run: Option<Arc<Run>>,
    held: Held,
}

/// What a claim has in the store.
#[derive(Debug)]
enum Held {
    Nothing,
    /// A place in memory.
    Room,
    /// The claim itself.
    Shared(shared::Lease),
}

impl Claim {
    /// The app has answered: a success is committed, anything else may be tried again.
    ///
    /// Returns what keeps the answer's body for those that wait for it, if any do. The store hears of it though the caller
    /// leaves.
    pub fn settle(self, status: StatusCode, headers: &HeaderMap) -> Option<Copier> {
        if !status.is_success() {
            return None;
        }
        self.commit(status, headers)
    }

    fn commit(mut self, status: StatusCode, headers: &HeaderMap) -> Option<Copier> {
        let run = self.run.take()?;
        run.commit();
        let is_awaited = match (std::mem::replace(&mut self.held, Held::Nothing), &self.replay.store) {
            (Held::Shared(lease), _) => {
                let is_awaited = self.replay.is_awaited(&self.key);
                shared::commit(lease, self);
                is_awaited
            }
            (Held::Room | Held::Nothing, Store::Memory(memory)) => {
                memory.commit(&self.key, self.memorable, clock::monotonic());
                self.replay.leave(&self.key)
            }
            (Held::Room | Held::Nothing, Store::Redis(_)) => self.replay.leave(&self.key),
        };
        if is_awaited {
            return Some(Copier::new(run, status, headers));
        }
        run.end(End::Committed(None));
        None
    }

    /// Whether it may be another's by now: what was not sent yet must not be.
    pub(crate) fn is_over(&self) -> bool {
        matches!(&self.held, Held::Shared(lease) if lease.is_over())
    }

    /// Something was sent, and nobody knows what became of it: nothing may run until a lease is over.
    pub(crate) fn unknown(mut self) {
        self.replay.metrics.unknown.inc();
        if let Held::Shared(lease) = &mut self.held {
            lease.stop();
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return std::mem::forget(self) };
        runtime.spawn(async move {
            tokio::time::sleep(self.lease).await;
            drop(self);
        });
    }

    fn end(&mut self, end: End) {
        let Some(run) = self.run.take() else { return };
        match (std::mem::replace(&mut self.held, Held::Nothing), &self.replay.store) {
            (Held::Shared(lease), _) => {
                // The next one finds it free.
                let (replay, key) = (Arc::clone(&self.replay), self.key);
                return lease.release(self.replay.in_flight.ticket(), move || {
                    replay.leave(&key);
                    run.end(end);
                });
            }
            (Held::Room, Store::Memory(memory)) => memory.give_up(),
            (Held::Room | Held::Nothing, _) => {}
        }
        self.replay.leave(&self.key);
        run.end(end);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end(End::Released);
    }
}

/// Keeps an answer for those that wait for it, while it goes to the sender that caused it.
#[derive(Debug)]
pub struct Copier {
    run: Arc<Run>,
    /// `None`: it will not be kept.
    kept: Option<(StatusCode, HeaderMap, BytesMut)>,
}

impl Copier {
    fn new(run: Arc<Run>, status: StatusCode, headers: &HeaderMap) -> Self {
        let mut headers = headers.clone();
        // What is meant for one sender, and what describes a body on its way.
        for name in [SET_COOKIE, WEBHOOK_DELIVERY, CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER] {
            headers.remove(name);
        }
        Self { run, kept: Some((status, headers, BytesMut::new())) }
    }

    /// A piece of the body.
    pub(crate) fn push(&mut self, piece: &Bytes) {
        if let Some((_, _, body)) = &mut self.kept {
            if body.len().saturating_add(piece.len()) > LONGEST_COPY {
                self.kept = None;
            } else {
                body.extend_from_slice(piece);
            }
        }
    }

    /// The body is complete.
    pub(crate) fn finish(mut self) {
        let kept = self.kept.take();
        let copied = kept.map(|(status, headers, body)| Box::new(Copied { status, headers, body: body.freeze() }));
        self.run.end(End::Committed(copied));
        // Dropping it would end the run once more.
        self.run = Arc::default();
    }
}

/// The answer broke off: it ran all the same.
impl Drop for Copier {
    fn drop(&mut self) {
        self.run.end(End::Committed(None));
    }
}

#[cfg(test)]
mod tests;
