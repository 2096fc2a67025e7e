//! Counts what a shutdown must wait for: requests, tunnels, detached deliveries, and what the replay store must be told.
//!
//! Must never refuse: it only counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// Resolves when the flag is raised, or whoever could raise it is gone.
pub(crate) async fn raised(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|raised| *raised).await;
}

/// The count. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    running: AtomicUsize,
    ended: Notify,
}

/// One running thing. Counted until dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Inner>);

impl InFlight {
    /// Begins one.
    pub(crate) fn ticket(&self) -> Ticket {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        Ticket(Arc::clone(&self.0))
    }

    /// How many run now.
    pub(crate) fn running(&self) -> usize {
        self.0.running.load(Ordering::Relaxed)
    }

    /// What each of those that run may have of so many; at least one.
    pub(crate) fn share(&self, of: usize) -> usize {
        of.checked_div(self.running()).unwrap_or(of).max(1)
    }

    /// Resolves when nothing runs.
    pub(crate) async fn drained(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.0.running.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_nothing() {
        let in_flight = InFlight::default();
        assert_eq!(in_flight.share(7), 7);
        let _three = [in_flight.ticket(), in_flight.ticket(), in_flight.ticket()];
        assert_eq!((in_flight.share(7), in_flight.share(2), in_flight.share(0)), (2, 1, 1));
    }

    #[tokio::test]
    async fn is_drained_when_the_last_ticket_is_dropped() {
        let in_flight = InFlight::default();
        let (one, two) = (in_flight.ticket(), in_flight.ticket());
        let waiting = tokio::spawn({
            let in_flight = in_flight.clone();
            async move { in_flight.drained().await }
        });
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(two);
        waiting.await.unwrap();
    }
}
