//! The plan in force, and how it came to be.
//!
//! A reload swaps the plan whole; whoever judges a request takes it once. Must never be held over an await by more than the
//! request that took it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::clock;
use crate::plan::Plan;

/// The plan that requests are judged by.
#[derive(Debug)]
pub struct Live {
    plan: ArcSwap<Plan>,
    history: Mutex<History>,
    followers: Mutex<Followers>,
}

/// What has to hear of a new plan because it does not ask for each request.
#[derive(Default)]
struct Followers(Vec<Follower>);

type Follower = Box<dyn Fn(&Plan) + Send>;

impl fmt::Debug for Followers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} followers", self.0.len())
    }
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
    /// Every outcome.
    pub const ALL: &'static [Self] = &[Self::Applied, Self::Refused, Self::Unchanged];

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
        Self { plan: ArcSwap::new(plan), history: Mutex::new(history), followers: Mutex::default() }
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
        let plan = Arc::new(plan);
        self.plan.store(Arc::clone(&plan));
        lock(&self.followers).0.iter().for_each(|follow| follow(&plan));
        let now = clock::unix_now();
        *lock(&self.history) = History { loaded: now, last: Some((ReloadOutcome::Applied, now)) };
    }

    /// Tells `follow` of the plan in force, and of each that is put in force later.
    pub(crate) fn follow(&self, follow: impl Fn(&Plan) + Send + 'static) {
        let mut followers = lock(&self.followers);
        follow(&self.plan());
        followers.0.push(Box::new(follow));
    }

    /// Notes an attempt that left the plan as it is.
    pub fn kept(&self, outcome: ReloadOutcome) {
        lock(&self.history).last = Some((outcome, clock::unix_now()));
    }

    /// When and how the plan last changed.
    pub fn history(&self) -> History {
        *lock(&self.history)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
