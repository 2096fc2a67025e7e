//! The plan in force, and how it came to be.
//!
//! A reload swaps the plan whole; whoever judges a request takes it once. Must never be held over an await by more than the
//! request that took it.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::clock;
use crate::plan::Plan;

/// The plan that requests are judged by.
#[derive(Debug)]
pub struct Live {
    plan: ArcSwap<Plan>,
    history: Mutex<History>,
}

/// When and how the plan last changed. Times in unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// When the plan in force was loaded.
    pub loaded: u64,
    /// The last attempt to load another one.
    pub last: Option<(ReloadOutcome, u64)>,
}

/// What became of an attempt to reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReloadOutcome {
    /// The new plan is in force.
    Applied,
    /// The new plan has problems; the old one stays.
    Refused,
    /// Asked for, but nothing has changed.
    Unchanged,
}

impl ReloadOutcome {
    /// The label in logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
        }
    }
}

impl Live {
    /// The first plan.
    pub fn new(plan: Arc<Plan>) -> Self {
        let history = History { loaded: clock::unix_now(), last: None };
        Self { plan: ArcSwap::new(plan), history: Mutex::new(history) }
    }

    /// The plan in force now.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Puts another plan in force. Connections to an unchanged upstream are kept.
    pub fn swap(&self, mut plan: Plan) {
        let old = self.plan();
        if old.upstream == plan.upstream {
            plan.upstream = Arc::clone(&old.upstream);
        }
        self.plan.store(Arc::new(plan));
        let now = clock::unix_now();
        *self.lock() = History { loaded: now, last: Some((ReloadOutcome::Applied, now)) };
    }

    /// Notes an attempt that left the plan as it is.
    pub fn kept(&self, outcome: ReloadOutcome) {
        self.lock().last = Some((outcome, clock::unix_now()));
    }

    /// When and how the plan last changed.
    pub fn history(&self) -> History {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
