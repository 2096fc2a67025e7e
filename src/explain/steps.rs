//! What each of the gate's checks came to, in the gate's order.
//!
//! Must never hold the value of a header, a secret, or a part of the body.

use crate::reject::Reject;

/// A check of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepName {
    /// Length fields, `Host`, the `Connection` list, the size of the head.
    Framing,
    /// The path's spelling.
    Target,
    /// Which route it is.
    Route,
    /// The route's methods.
    Method,
    /// The client's address and the allowlist.
    Client,
    /// The headers that the scheme needs.
    Headers,
    /// The signed time.
    Timestamp,
    /// Size and completeness.
    Body,
    /// The signature itself.
    Mac,
    /// The route's `events`.
    Events,
}

impl StepName {
    /// In the gate's order.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Framing,
        Self::Target,
        Self::Route,
        Self::Method,
        Self::Client,
        Self::Headers,
        Self::Timestamp,
        Self::Body,
        Self::Mac,
        Self::Events,
    ];

    /// The stable name.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Framing => "framing",
            Self::Target => "target",
            Self::Route => "route",
            Self::Method => "method",
            Self::Client => "client",
            Self::Headers => "signature_headers",
            Self::Timestamp => "timestamp",
            Self::Body => "body",
            Self::Mac => "mac",
            Self::Events => "events",
        }
    }
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It lets the request through.
    Passed,
    /// It does not.
    Refused,
    /// There is nothing to check, or too little is known.
    Skipped,
    /// An earlier check has decided.
    NotReached,
}

impl Verdict {
    /// The stable name.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
            Self::NotReached => "not_reached",
        }
    }
}

/// One check and its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: StepName,
    pub(crate) verdict: Verdict,
    /// Of a refusal.
    pub(crate) code: Option<&'static str>,
    /// One sentence without its full stop; may be empty.
    pub(crate) detail: String,
}

/// Why the checks ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Refused.
    Refused(StepName, Reject),
    /// Answered by the gate itself.
    Handshake,
    /// Genuine, but the route does not want this type of event.
    Filtered,
    /// It cannot be told from here.
    Undecided,
}

/// All checks, in order, each not reached until it is told otherwise.
#[derive(Debug)]
pub(crate) struct Steps(Vec<Step>);

impl Steps {
    pub(crate) fn new() -> Self {
        let untouched =
            |name: &StepName| Step { name: *name, verdict: Verdict::NotReached, code: None, detail: String::new() };
        Self(StepName::ALL.iter().map(untouched).collect())
    }

    pub(crate) fn pass(&mut self, name: StepName, detail: impl Into<String>) {
        self.set(name, Verdict::Passed, None, detail.into());
    }

    pub(crate) fn skip(&mut self, name: StepName, detail: impl Into<String>) {
        self.set(name, Verdict::Skipped, None, detail.into());
    }

    /// Says something of a step that no check has reached.
    pub(crate) fn remark(&mut self, name: StepName, detail: impl Into<String>) {
        if let Some(step) = self.0.iter_mut().find(|step| step.name == name && step.verdict == Verdict::NotReached) {
            step.detail = detail.into();
        }
    }

    /// Says of a refusal what was found out later.
    pub(crate) fn reword(&mut self, name: StepName, detail: impl Into<String>) {
        if let Some(step) = self.0.iter_mut().find(|step| step.name == name && step.verdict == Verdict::Refused) {
            step.detail = detail.into();
        }
    }

    pub(crate) fn refuse(&mut self, name: StepName, reject: Reject, detail: impl Into<String>) -> Stop {
        self.set(name, Verdict::Refused, Some(reject.code()), detail.into());
        Stop::Refused(name, reject)
    }

    pub(crate) fn filter(&mut self, detail: impl Into<String>) -> Stop {
        self.set(StepName::Events, Verdict::Refused, Some(FILTERED), detail.into());
        Stop::Filtered
    }

    pub(crate) fn into_vec(self) -> Vec<Step> {
        self.0
    }

    fn set(&mut self, name: StepName, verdict: Verdict, code: Option<&'static str>, detail: String) {
        if let Some(step) = self.0.iter_mut().find(|step| step.name == name) {
            *step = Step { name, verdict, code, detail };
        }
    }
}

/// The outcome of the access line for a genuine event that a route does not want.
pub(crate) const FILTERED: &str = "filtered";
