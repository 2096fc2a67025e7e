//! One delivery that is running, as those that wait for it see it.
//!
//! Must never end but once, nor end without telling everyone.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::sync::Notify;

/// A delivery in this process that has the claim.
#[derive(Debug, Default)]
pub(super) struct Run {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Running,
    /// The app has said yes; its answer is on its way.
    Committed,
    Over(End),
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// It will not run again. With the answer, if it was kept for those that waited.
    Committed(Option<Box<Copied>>),
    /// It may run again.
    Released,
}

/// The app's answer, for senders that sent the same.
#[derive(Debug, Clone)]
pub struct Copied {
    /// A 2xx.
    pub status: StatusCode,
    /// Without what is meant for one sender.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Bytes,
}

impl Run {
    pub(super) fn commit(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Committed;
    }

    pub(super) fn end(&self, end: End) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Over(end);
        self.changed.notify_waiters();
    }

    /// How it ended, or what it has come to at `until`: `None` if it is still running then.
    pub(super) async fn ended(&self, until: Instant) -> Option<End> {
        let over = async {
            loop {
                // Asked for before the look, so that an end between the two is not missed.
                let changed = self.changed.notified();
                if let State::Over(end) = self.state() {
                    return end;
                }
                changed.await;
            }
        };
        match tokio::time::timeout_at(until.into(), over).await {
            Ok(end) => Some(end),
            Err(_elapsed) => match self.state() {
                State::Running => None,
                State::Committed => Some(End::Committed(None)),
                State::Over(end) => Some(end),
            },
        }
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
