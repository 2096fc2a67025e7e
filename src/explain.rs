//! Why was this request refused? The gate's checks, one by one, and what was found out about the one that said no.
//!
//! Level 5, beside the gate: each step calls the function that the gate calls, in the gate's order, so that both say the
//! same. After a refusal that a signature is part of, hypotheses are recomputed. Must never use the network, nor print a
//! secret or a signature that would be accepted.

mod address;
mod asked;
mod case;
mod facts;
mod handshake;
mod inquiry;
mod json;
mod judge;
mod lifetime;
mod moment;
mod sender;
mod sns;
mod steps;
#[cfg(test)]
mod tests;
mod text;
mod usage;
mod walk;

pub(crate) use asked::Asked;
pub(crate) use case::{Case, Question};
pub(crate) use json::write as write_json;
pub(crate) use moment::{parse as parse_moment, parse_span};
pub(crate) use text::write as write_text;
pub(crate) use usage::Usage;

use crate::capture::Note;
use crate::check::diagnose::Hypothesis;
use crate::reject::Reject;
use facts::Fact;
use steps::{FILTERED, Step, Stop};
use walk::Walk;

/// The answer.
#[derive(Debug)]
pub(crate) struct Explanation {
    pub(crate) outcome: Outcome,
    /// Every check, in the gate's order.
    pub(crate) steps: Vec<Step>,
    /// Recomputed, and matched.
    pub(crate) hypotheses: Vec<Hypothesis>,
    pub(crate) facts: Vec<Fact>,
    /// How the request and the question were read.
    pub(crate) notes: Vec<String>,
    pub(crate) provider: Option<String>,
    pub(crate) route: Option<String>,
    /// When the request claims to have been signed, in unix seconds.
    pub(crate) timestamp: Option<u64>,
    /// As of when it was judged.
    pub(crate) now: u64,
    /// Only of a genuine request, as are the next two.
    pub(crate) id: Option<String>,
    pub(crate) event_type: Option<String>,
    /// The label of the secret that matched.
    pub(crate) secret: Option<String>,
    /// Method, path and size, for people.
    pub(crate) title: String,
}

/// What the gate would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Forward it, verified.
    Accepted,
    /// Answer it, without the app.
    Handshake,
    /// Refuse it.
    Refused(Reject),
    /// Answer 204: genuine, and not wanted.
    Filtered,
    /// Nothing that can be told from here.
    Undecided,
}

impl Outcome {
    /// Whether the sender gets what it hopes for.
    pub(crate) const fn is_accepted(self) -> bool {
        match self {
            Self::Accepted | Self::Handshake => true,
            Self::Refused(_) | Self::Filtered | Self::Undecided => false,
        }
    }

    /// `code` of the answer and the log.
    pub(crate) const fn code(self) -> Option<&'static str> {
        match self {
            Self::Refused(reject) => Some(reject.code()),
            Self::Filtered => Some(FILTERED),
            Self::Accepted | Self::Handshake | Self::Undecided => None,
        }
    }
}

/// Judges a case as the gate would. Hypotheses are tested as long as `may_go_on` says so.
pub(crate) fn explain(case: &Case, may_go_on: &mut dyn FnMut() -> bool) -> Explanation {
    let mut walk = Walk::new(case);
    let outcome = match walk.run() {
        Ok(()) => Outcome::Accepted,
        Err(Stop::Handshake) => Outcome::Handshake,
        Err(Stop::Filtered) => Outcome::Filtered,
        Err(Stop::Undecided) => Outcome::Undecided,
        Err(Stop::Refused(step, reject)) => {
            walk.inquire(step, reject, may_go_on);
            Outcome::Refused(reject)
        }
    };
    walk.blame_the_secret();
    let Walk { steps, hypotheses, facts, notes, timestamp, verified, .. } = walk;
    let read = case.request.notes.iter().map(Note::to_string);
    let member = |member: Option<crate::check::signature::Member<'_>>| member.map(|member| member.text.to_owned());
    Explanation {
        outcome,
        steps: steps.into_vec(),
        hypotheses,
        facts,
        notes: read.chain(case.notes.iter().cloned()).chain(notes).collect(),
        provider: case.judge.as_ref().map(|judge| judge.name.clone()),
        route: case.route().map(|route| route.name.to_string()),
        timestamp,
        now: case.now,
        id: verified.as_ref().and_then(|verified| member(verified.id())),
        event_type: verified.as_ref().and_then(|verified| member(verified.event_type())),
        secret: verified.as_ref().map(|verified| verified.label().to_owned()),
        title: title(case),
    }
}

fn title(case: &Case) -> String {
    let path = if case.has_path { format!(" {}", case.path()) } else { String::new() };
    let size = case.request.body.len();
    format!("{}{path}, a body of {size} bytes, read from {}", case.request.method, case.request.shape.as_str())
}
