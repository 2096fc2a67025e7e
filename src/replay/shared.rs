//! A claim in a store that other replicas ask too: held under a lease, which is renewed while the app works.
//!
//! Must never answer for a claim that the store did not confirm, nor lose a commit because whoever caused it has left.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::redis::{Claimed, Down, Owner, RedisStore};
use super::run::End;
use super::{Claim, Denied, Held, Permit, Terms, too_late};
use crate::check::replay_key::ReplayKey;
use crate::clock;
use crate::in_flight::Ticket;
use crate::telemetry::ReplayMetrics;

/// Between two looks at a delivery that runs elsewhere, doubled each time up to the longest.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_millis(500);
/// Between two attempts to commit, or to renew.
const RETRY: Duration = Duration::from_millis(200);

/// What a claim holds in the store. Renewed until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Lease {
    store: RedisStore,
    key: ReplayKey,
    owner: Owner,
    /// Which connection of the store it was claimed over, or an older one.
    connection: u64,
    /// Renews it; none while nothing has to be.
    renewal: Option<AbortHandle>,
    good: Good,
}

/// Until when nobody else can have the claim, as long as clocks run alike. `None`: it is another's.
#[derive(Debug, Clone)]
struct Good(Arc<Mutex<Option<Instant>>>);

impl Good {
    /// The store counts from when it is asked, which is later.
    fn set(&self, asked: Instant, length: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = asked.checked_add(length);
    }

    fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn is_over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|until| until <= clock::monotonic())
    }
}

/// Asks the store for a claim that this process has already.
pub(super) async fn claim(
    store: &RedisStore,
    mut claim: Claim,
    terms: &Terms,
    until: Instant,
) -> Result<Permit, Denied> {
    let mut pause = FIRST_LOOK;
    let connection = store.connection();
    let (mut waited, mut settling) = (false, false);
    loop {
        let owner = Owner::random().ok_or(Denied::NoRandom)?;
        let asked = clock::monotonic();
        match store.claim(&terms.key, owner, claim.lease).await {
            Ok(Claimed::Mine) => {
                let metrics = claim.replay.metrics.clone();
                claim.held =
                    Held::Shared(Lease::new((store, connection), terms.key, owner, (asked, claim.lease), metrics));
                return if (waited || settling) && too_late(terms) {
                    Err(Denied::InFlight)
                } else {
                    Ok(Permit::Mine(claim))
                };
            }
            Ok(Claimed::Committed) => {
                claim.end(End::Committed(None));
                return Ok(Permit::Duplicate(None));
            }
            Ok(Claimed::Busy) => {
                if !std::mem::replace(&mut waited, true) {
                    claim.replay.metrics.waits.inc();
                }
            }
            Err(Down::Settling) => settling = true,
            Err(down) => {
                claim.replay.metrics.store_errors.inc();
                return Err(Denied::StoreDown(down));
            }
        }
        let left = until.saturating_duration_since(clock::monotonic());
        if left.is_zero() {
            // What is known to run elsewhere is not to be forwarded without the store either.
            return Err(if waited { Denied::InFlight } else { Denied::StoreDown(Down::Settling) });
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = pause.saturating_mul(2).min(LONGEST_LOOK);
    }
}

/// Commits, and goes on trying for as long as the delivery would be remembered if the store does not answer: the app has
/// run, whatever it says.
///
/// On its way when this returns, and not waited for: until the store knows, the claim is held under its lease, and whoever
/// sends the same to this process hears that it ran.
pub(super) fn commit(mut lease: Lease, claim: Claim) {
    lease.stop();
    let mut writing = Box::pin(async move {
        let _ticket = claim.replay.in_flight.ticket();
        let give_up = clock::monotonic().checked_add(claim.memorable.ttl);
        let mut failed = false;
        while let Err(_down) = lease.store.commit(&lease.key, lease.owner, claim.memorable.ttl).await {
            claim.replay.metrics.store_errors.inc();
            if give_up.is_none_or(|give_up| clock::monotonic() >= give_up) {
                tracing::warn!(key = %lease.key, "a delivery that ran could not be written to the replay store: it may run again");
                break;
            }
            if !std::mem::replace(&mut failed, true) {
                lease.begin(claim.lease, claim.replay.metrics.clone());
            }
            tokio::time::sleep(RETRY).await;
        }
        claim.replay.leave(&claim.key);
    });
    // Written before the answer is, and by a task of its own: done though the sender leaves.
    if writing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        tokio::spawn(writing);
    }
}

impl Lease {
    fn new(
        (store, connection): (&RedisStore, u64),
        key: ReplayKey,
        owner: Owner,
        (asked, length): (Instant, Duration),
        metrics: ReplayMetrics,
    ) -> Self {
        let good = Good(Arc::default());
        good.set(asked, length);
        let mut lease = Self { store: store.clone(), key, owner, connection, renewal: None, good };
        lease.begin(length, metrics);
        lease
    }

    /// Renews it from now on.
    fn begin(&mut self, length: Duration, metrics: ReplayMetrics) {
        let (store, key, owner, good) = (self.store.clone(), self.key, self.owner, self.good.clone());
        let mut connection = self.connection;
        let renewal = tokio::spawn(async move {
            let third = length.checked_div(3).unwrap_or(length);
            let mut pause = third;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    // Others wait a moment then, for those that have claims to see whether they still have them.
                    number = store.connected_anew(connection) => connection = number,
                }
                let asked = clock::monotonic();
                let renewal = match store.renew(&key, owner, length).await {
                    // Lost with a failover, or over while the store was away; the app is still at work on it.
                    Ok(false) => match store.retake(&key, owner, length).await {
                        Ok(Claimed::Mine) => {
                            tracing::warn!(%key, "the replay store had lost a claim: it is taken again");
                            Ok(())
                        }
                        // A commit whose answer did not come, or the other one's: nothing begins to run any more.
                        Ok(Claimed::Committed) => return good.end(),
                        Ok(Claimed::Busy) => {
                            tracing::warn!(%key, "the replay store has lost a claim: its delivery may run twice");
                            return good.end();
                        }
                        Err(down) => Err(down),
                    },
                    renewal => renewal.map(drop),
                };
                // The next third may be too late: another process may take it in the moment the lease is over.
                pause = if renewal.is_ok() {
                    good.set(asked, length);
                    third
                } else {
                    metrics.store_errors.inc();
                    RETRY.min(third)
                };
            }
        });
        self.renewal = Some(renewal.abort_handle());
    }

    /// Whether another process may have the claim by now.
    pub(super) fn is_over(&self) -> bool {
        self.good.is_over()
    }

    /// From here on it ends by itself.
    pub(super) fn stop(&mut self) {
        if let Some(renewal) = self.renewal.take() {
            renewal.abort();
        }
    }

    /// Gives the claim back, and calls `then` when the store knows.
    pub(super) fn release(mut self, ticket: Ticket, then: impl FnOnce() + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return then() };
        runtime.spawn(async move {
            let _ticket = ticket;
            self.stop();
            // If the store does not answer, the claim ends with its lease.
            let _ = self.store.release(&self.key, self.owner).await;
            then();
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop();
    }
}
