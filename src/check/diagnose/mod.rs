//! Why does this signature not match? Hypotheses, each tested by recomputing with it.
//!
//! Must never say what it has not recomputed, nor print a secret or a signature that would be accepted. Bounded in time by
//! the caller and in work by the size of the body.

use super::signature::{Head, Options, SchemeSpec, Window};

/// A delivery that was refused, and all that could explain it.
#[derive(Clone, Copy)]
pub struct Suspect<'s> {
    /// The name of the provider or scheme.
    pub name: &'s str,
    /// How it signs.
    pub spec: &'s SchemeSpec,
    /// The route's options.
    pub options: &'s Options,
    /// The secrets as configured.
    pub secrets: &'s [NamedSecret<'s>],
    /// Secrets that are configured elsewhere.
    pub others: &'s [NamedSecret<'s>],
    /// The catalogue: name and scheme of each provider.
    pub catalog: &'s [(&'s str, &'s SchemeSpec)],
    /// The request's head.
    pub head: Head<'s>,
    /// The body as received.
    pub body: &'s [u8],
    /// When, and how far off the time may be.
    pub window: Window,
}

/// A secret and what people call it: `current`, `routes.billing: current`.
#[derive(Clone, Copy)]
pub struct NamedSecret<'s> {
    /// Its label.
    pub name: &'s str,
    /// The text as configured.
    pub text: &'s [u8],
}

/// What was recomputed, and matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hypothesis {
    /// Stable and short, for logs: `body_reserialised`.
    pub code: &'static str,
    /// What happened, in one sentence.
    pub finding: String,
    /// What to do about it.
    pub fix: String,
}

/// Tests hypotheses, likelier ones first, as long as `may_go_on` says so.
pub fn diagnose(_suspect: &Suspect<'_>, _may_go_on: &mut dyn FnMut() -> bool) -> Vec<Hypothesis> {
    Vec::new()
}
