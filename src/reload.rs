//! Loads the configuration again when it changes: whole, or not at all.
//!
//! A thread of its own reads what the last load has read, every two seconds or when woken, and compares content: a file that
//! was renamed over, written in place, removed and made again, or that lies behind a swapped symlink (Kubernetes' `..data`)
//! is the same to it, and a file system that tells of no changes too. What differs is loaded completely, twice, until two
//! loads one after the other have read the same. Must never put a plan in force that was read while somebody wrote it, nor
//! one that takes protection away unasked; must never print a secret.

mod judge;
mod reading;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel as pair};
use std::time::Duration;

pub use self::reading::{Careful, Reading};
use crate::clock;
use crate::config::{self, Environment, Loaded, Report};
use crate::live::{Live, ReloadOutcome};
use crate::plan::Plan;
use crate::telemetry::Metrics;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(2);
/// The least time between two looks, so that two of them never see one moment of a write; also how long after a signal, by
/// which somebody says that the writing is done, the second look comes.
const SETTLE: Duration = Duration::from_millis(100);

/// Why the thread is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Somebody asks for a reload (SIGHUP), and wants an answer.
    Signal,
    /// A named list has new content.
    Lists,
    /// The end.
    Stop,
}

/// Wakes the thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker(Sender<Wake>);

impl Waker {
    /// Returns at once.
    pub fn wake(&self, wake: Wake) {
        // A thread that has ended needs no waking.
        let _ = self.0.send(wake);
    }
}

/// What wakes the thread, and where it waits.
pub fn channel() -> (Waker, Receiver<Wake>) {
    let (sender, receiver) = pair();
    (Waker(sender), receiver)
}

/// A complete load, and what it read.
pub fn load(path: &Path, environment: &dyn Environment) -> (Reading, Result<Loaded, Report>) {
    Reading::of(environment, |environment| config::load(path, environment))
}

/// What one look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// As at the last look that was acted upon.
    Unchanged,
    /// Something differs; the next look tells whether it stays so.
    Unsettled,
    /// What was refused is gone: all is again as the plan in force was made of.
    Restored,
    /// A new plan is in force.
    Applied,
    /// A new plan, or none at all, was refused.
    Refused,
}

/// Decides whether there is something new, and puts it in force.
pub struct Reloader {
    path: PathBuf,
    environment: Box<dyn Environment + Send>,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    /// The plan whose ports are bound.
    started: Arc<Plan>,
    /// What the plan in force was made of.
    in_force: Reading,
    /// What was acted upon last: that, or what was refused.
    taken: Reading,
    /// Seen once.
    candidate: Option<Reading>,
}

impl Reloader {
    /// `reading` is what the plan in force was made of. `environment` is read again and again: see [`Careful`].
    pub fn new(
        path: PathBuf,
        environment: impl Environment + Send + 'static,
        reading: Reading,
        live: Arc<Live>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let started = live.plan();
        let taken = reading.clone();
        let environment = Box::new(environment);
        Self { path, environment, live, metrics, started, in_force: reading, taken, candidate: None }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn watch(self, waker: Waker, woken: Receiver<Wake>) -> io::Result<Watcher> {
        std::thread::Builder::new().name("reload".to_owned()).spawn(move || self.run(&woken))?;
        Ok(Watcher(waker))
    }

    /// One look at everything, and what follows from it.
    pub fn look(&mut self) -> Look {
        if self.taken != self.in_force && !self.in_force.lists_hold(&*self.environment) && self.apply_lists() {
            return Look::Applied;
        }
        // A complete load costs more than reading the same files again.
        if self.candidate.is_none() && self.taken.still_holds(&*self.environment) {
            return Look::Unchanged;
        }
        let (reading, outcome) = load(&self.path, &*self.environment);
        if reading == self.taken {
            self.candidate = None;
            return Look::Unchanged;
        }
        if self.candidate.as_ref() != Some(&reading) {
            self.candidate = Some(reading);
            return Look::Unsettled;
        }
        self.candidate = None;
        self.taken = reading;
        if self.taken == self.in_force {
            tracing::info!(fingerprint = &*self.live.plan().fingerprint, "the configuration in force is back");
            self.kept(ReloadOutcome::Unchanged);
            return Look::Restored;
        }
        let judged = outcome
            .map_err(|report| judge::problems(&report))
            .and_then(|loaded| judge::protection(&self.live.plan(), &loaded.plan).map(|()| loaded));
        match judged {
            Ok(loaded) => self.apply(loaded),
            Err(problems) => self.refuse(&problems),
        }
    }

    fn apply(&mut self, loaded: Loaded) -> Look {
        let Loaded { plan, notices, .. } = loaded;
        for notice in &notices {
            tracing::warn!("{}", judge::line(notice));
        }
        for line in judge::weaker(&self.live.plan(), &plan) {
            tracing::warn!("{line}");
        }
        for key in judge::needs_restart(&self.started, &plan) {
            tracing::warn!(key, "takes effect after a restart");
        }
        let (added, removed) = judge::secrets(&self.live.plan(), &plan);
        let (fingerprint, routes) = (plan.fingerprint.clone(), plan.routes.len());
        self.live.swap(plan);
        self.in_force = self.taken.clone();
        let outcome = ReloadOutcome::Applied.code();
        self.metrics.loaded_at(self.live.history().loaded);
        self.metrics.reloaded(outcome);
        let (secrets_added, secrets_removed) = (added.join(" "), removed.join(" "));
        tracing::info!(outcome, fingerprint = &*fingerprint, routes, secrets_added, secrets_removed, "reloaded");
        Look::Applied
    }

    /// What is on the disk was refused, and a list has changed: the plan in force gets it, and nothing else.
    fn apply_lists(&mut self) -> bool {
        let remembered = self.in_force.with_lists_of(&*self.environment);
        let (reading, outcome) = load(&self.path, &remembered);
        drop(remembered);
        let Ok(Loaded { plan, .. }) = outcome else { return false };
        if judge::protection(&self.live.plan(), &plan).is_err() {
            return false;
        }
        let fingerprint = plan.fingerprint.clone();
        self.live.swap(plan);
        self.in_force = reading;
        self.metrics.loaded_at(self.live.history().loaded);
        // That is still the last word on the file.
        self.live.kept(ReloadOutcome::Refused);
        let outcome = ReloadOutcome::Applied.code();
        self.metrics.reloaded(outcome);
        tracing::info!(
            outcome,
            fingerprint = &*fingerprint,
            "a list of addresses changed: it is in force; the configuration on the disk is still refused"
        );
        true
    }

    fn refuse(&mut self, problems: &[String]) -> Look {
        self.taken.forget();
        for problem in problems {
            tracing::error!("{problem}");
        }
        self.kept(ReloadOutcome::Refused);
        let outcome = ReloadOutcome::Refused.code();
        let fingerprint = &*self.live.plan().fingerprint;
        tracing::error!(outcome, fingerprint, problems = problems.len(), "not reloaded: the plan in force stays");
        Look::Refused
    }

    /// Somebody asked, and there is nothing new.
    fn answer(&self) {
        let refused = self.taken != self.in_force;
        let outcome = if refused { ReloadOutcome::Refused } else { ReloadOutcome::Unchanged };
        self.kept(outcome);
        let fingerprint = &*self.live.plan().fingerprint;
        if refused {
            tracing::warn!(outcome = outcome.code(), fingerprint, "unchanged: it is still what was refused");
        } else {
            tracing::info!(outcome = outcome.code(), fingerprint, "unchanged");
        }
    }

    fn kept(&self, outcome: ReloadOutcome) {
        self.live.kept(outcome);
        self.metrics.reloaded(outcome.code());
    }

    fn run(mut self, woken: &Receiver<Wake>) {
        let mut asked = false;
        let mut unsettled = false;
        while let Some(signal) = wait(woken, unsettled, asked) {
            asked |= signal;
            let look = self.look();
            unsettled = look == Look::Unsettled;
            if asked && look == Look::Unchanged {
                self.answer();
            }
            asked &= unsettled;
        }
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Waits for the next look. Whether a signal came; `None`: the end.
fn wait(woken: &Receiver<Wake>, unsettled: bool, asked: bool) -> Option<bool> {
    let since = clock::monotonic();
    let (mut time, mut signal) = (if unsettled && asked { SETTLE } else { INTERVAL }, false);
    loop {
        match woken.recv_timeout(time.saturating_sub(clock::monotonic().saturating_duration_since(since))) {
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return None,
            Ok(Wake::Signal) => (time, signal) = (SETTLE, true),
            // A list says nothing about a file that somebody may be writing.
            Ok(Wake::Lists) if unsettled => {}
            Ok(Wake::Lists) => time = SETTLE,
            Err(RecvTimeoutError::Timeout) => return Some(signal),
        }
    }
}

/// The running thread. Ends when this is dropped, without being waited for: a file system that hangs must not hold up a
/// shutdown.
#[derive(Debug)]
pub struct Watcher(Waker);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.wake(Wake::Stop);
    }
}
