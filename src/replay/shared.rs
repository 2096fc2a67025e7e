//! A claim in a store that other replicas ask too: held under a lease, which is renewed while the app works.
//!
//! Must never answer for a claim that the store did not confirm, nor lose a commit because whoever caused it has left.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::redis::{Claimed, Owner, RedisStore};
use super::run::End;
use super::{Claim, Copier, Denied, Held, Permit, Terms, too_late};
use crate::check::replay_key::ReplayKey;
use crate::clock;
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
    renewal: AbortHandle,
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
    let mut waited = false;
    loop {
        let owner = Owner::random().ok_or(Denied::StoreDown)?;
        let asked = clock::monotonic();
        match store.claim(&terms.key, owner, claim.lease).await {
            Ok(Claimed::Mine) => {
                let metrics = claim.replay.metrics.clone();
                claim.held = Held::Shared(Lease::new(store, terms.key, owner, (asked, claim.lease), metrics));
                return if waited && too_late(terms) { Err(Denied::InFlight) } else { Ok(Permit::Mine(claim)) };
            }
            Ok(Claimed::Committed) => {
                claim.end(End::Committed(None));
                return Ok(Permit::Duplicate(None));
            }
            Ok(Claimed::Busy) => waited = true,
            Err(_down) => {
                claim.replay.metrics.store_errors.inc();
                return Err(Denied::StoreDown);
            }
        }
        let left = until.saturating_duration_since(clock::monotonic());
        if left.is_zero() {
            return Err(Denied::InFlight);
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = pause.saturating_mul(2).min(LONGEST_LOOK);
    }
}

/// Commits, and goes on trying until a lease is over if the store does not answer: the app has run, whatever it says.
pub(super) async fn commit(lease: Lease, mut claim: Claim, status: StatusCode, headers: HeaderMap) -> Option<Copier> {
    let (tell, told) = oneshot::channel();
    // Of its own, so that it is done though the sender leaves.
    tokio::spawn(async move {
        let mut tell = Some(tell);
        let give_up = clock::monotonic().checked_add(claim.lease);
        while let Err(_down) = lease.store.commit(&lease.key, lease.owner, claim.memorable.ttl).await {
            claim.replay.metrics.store_errors.inc();
            if let (Some(tell), Some(run)) = (tell.take(), &claim.run) {
                // In this process nothing runs it again from here on; the sender need not wait for what the others know.
                run.end(End::Committed(None));
                let _ = tell.send(None);
            }
            if give_up.is_none_or(|give_up| clock::monotonic() >= give_up) {
                tracing::warn!("a delivery that ran could not be written to the replay store: it may run again");
                break;
            }
            tokio::time::sleep(RETRY).await;
        }
        drop(lease);
        match tell {
            // A sender that has left has nobody to tell; those that wait for its answer hear that it ran.
            Some(tell) => drop(tell.send(claim.committed(status, &headers))),
            None => claim.end(End::Committed(None)),
        }
    });
    told.await.ok().flatten()
}

impl Lease {
    fn new(
        store: &RedisStore,
        key: ReplayKey,
        owner: Owner,
        (asked, length): (Instant, Duration),
        metrics: ReplayMetrics,
    ) -> Self {
        let good = Good(Arc::default());
        good.set(asked, length);
        let (renewed, known) = (store.clone(), good.clone());
        let renewal = tokio::spawn(async move {
            let third = length.checked_div(3).unwrap_or(length);
            let mut pause = third;
            loop {
                tokio::time::sleep(pause).await;
                let asked = clock::monotonic();
                let renewal = match renewed.renew(&key, owner, length).await {
                    // Lost with a failover, or over while the store was away; the app is still at work on it.
                    Ok(false) => match renewed.retake(&key, owner, length).await {
                        Ok(Claimed::Mine) => {
                            tracing::warn!("the replay store had lost a claim: it is taken again");
                            Ok(())
                        }
                        // A commit whose answer did not come, or the other one's: nothing begins to run any more.
                        Ok(Claimed::Committed) => return known.end(),
                        Ok(Claimed::Busy) => {
                            tracing::warn!("the replay store has lost a claim: its delivery may run twice");
                            return known.end();
                        }
                        Err(down) => Err(down),
                    },
                    renewal => renewal.map(drop),
                };
                // The next third may be too late: another process may take it in the moment the lease is over.
                pause = if renewal.is_ok() {
                    known.set(asked, length);
                    third
                } else {
                    metrics.store_errors.inc();
                    RETRY.min(third)
                };
            }
        });
        Self { store: store.clone(), key, owner, renewal: renewal.abort_handle(), good }
    }

    /// Whether another process may have the claim by now.
    pub(super) fn is_over(&self) -> bool {
        self.good.is_over()
    }

    /// From here on it ends by itself.
    pub(super) fn stop(&mut self) {
        self.renewal.abort();
    }

    /// Gives the claim back, and calls `then` when the store knows.
    pub(super) fn release(self, then: impl FnOnce() + Send + 'static) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return then() };
        runtime.spawn(async move {
            self.renewal.abort();
            // If the store does not answer, the claim ends with its lease.
            let _ = self.store.release(&self.key, self.owner).await;
            then();
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}
