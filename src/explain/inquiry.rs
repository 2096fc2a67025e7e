//! After a refusal: is the signature right but for the time, or the length? If not, which hypothesis makes it right?
//!
//! Must never say what was not recomputed.

use bytes::Bytes;

use super::facts::{self, Fact};
use super::judge::{Judge, Named};
use super::moment;
use super::steps::StepName;
use super::walk::Walk;
use crate::capture::Note;
use crate::check::diagnose::{Hypothesis, NamedSecret, Suspect, diagnose};
use crate::check::signature::{self, SchemeSpec, Window};
use crate::clock::Civil;
use crate::reject::Reject;

impl Walk<'_> {
    /// Looks for the reason of a refusal that a signature is part of.
    pub(super) fn inquire(&mut self, step: StepName, reject: Reject, may_go_on: &mut dyn FnMut() -> bool) {
        let Some(judge) = &self.case.judge else { return };
        match step {
            StepName::Framing
            | StepName::Target
            | StepName::Route
            | StepName::Method
            | StepName::Client
            | StepName::Events => return,
            StepName::Headers | StepName::Timestamp | StepName::Body | StepName::Mac => {}
        }
        if self.case.request.notes.iter().any(|note| matches!(note, Note::BodyMissing | Note::FormFieldsOnly)) {
            return;
        }
        // Captures are old, and cut: neither must hide whether the signature is right.
        let is_right = self.is_right(judge);
        if step == StepName::Body && is_right {
            self.facts.push(right_body(judge, reject));
            return;
        }
        if step == StepName::Timestamp
            && let Some(claimed) = self.timestamp
        {
            self.as_of_then(claimed, is_right);
        }
        let (found, tried, in_time) = self.diagnose(judge, may_go_on);
        self.hypotheses.extend(found);
        if self.hypotheses.is_empty() && step != StepName::Headers && !is_right {
            self.facts.extend(facts::nothing_matched(judge, tried, in_time));
        }
    }

    /// Whether the signature is right at the time that the request claims.
    fn is_right(&self, judge: &Judge) -> bool {
        let body = [Bytes::from(self.case.request.body.clone())];
        let window = Window { now: self.timestamp.unwrap_or(self.case.now), tolerance: judge.tolerance };
        signature::present(&judge.scheme, self.head(judge), window).is_ok_and(|presented| {
            signature::wanted(&judge.scheme, &presented, &body).is_ok_and(|wanted| wanted.is_none())
                && signature::verify(&judge.scheme, &judge.keys, &presented, &body, window).is_ok()
        })
    }

    /// How to judge an old capture.
    fn as_of_then(&mut self, claimed: u64, is_right: bool) {
        let then = Civil::of(claimed.saturating_mul(1000));
        let remark = if is_right { "as of then the signature is right" } else { "not right as of then either" };
        self.steps.remark(StepName::Mac, remark);
        if claimed >= moment::LATEST {
            return;
        }
        let finding = if is_right {
            format!("The signature is right for {then}, when the request says that it was signed.")
        } else {
            format!(
                "Not only the time is wrong: for {then}, when the request says that it was signed, the signature is not right either."
            )
        };
        self.facts.push(Fact::new(
            "claimed_time",
            finding,
            format!("Replay it with --now {claimed} to judge it as of then."),
        ));
    }

    /// What matched, how many recomputations it took at least, and whether all were made.
    fn diagnose(&self, judge: &Judge, may_go_on: &mut dyn FnMut() -> bool) -> (Vec<Hypothesis>, usize, bool) {
        let catalog: Vec<(&str, &SchemeSpec)> = self
            .case
            .catalog
            .names()
            .filter_map(|name| Some((name, self.case.catalog.scheme(name)?)))
            .chain(self.case.own_schemes.iter().map(|(name, spec)| (name.as_str(), spec)))
            .collect();
        let secrets: Vec<NamedSecret<'_>> = judge.secrets.iter().map(Named::borrowed).collect();
        let others: Vec<NamedSecret<'_>> = judge.others.iter().map(Named::borrowed).collect();
        let suspect = Suspect {
            name: &judge.name,
            spec: &judge.spec,
            options: &judge.options,
            secrets: &secrets,
            others: &others,
            catalog: &catalog,
            head: self.head(judge),
            body: &self.case.request.body,
            window: self.window(judge),
        };
        let (mut tried, mut in_time) = (0_usize, true);
        let found = diagnose(&suspect, &mut || {
            in_time = may_go_on();
            tried = tried.saturating_add(usize::from(in_time));
            in_time
        });
        (found, tried, in_time)
    }
}

/// Nothing but the length is wrong.
fn right_body(judge: &Judge, reject: Reject) -> Fact {
    let fix = match reject {
        Reject::BodyTooLarge => Reject::BodyTooLarge.fix(),
        _other => "Look for what rewrites content-length, or reads the body, between the sender and here.",
    };
    Fact::new("signature_right", format!("The signature of {} is right for the body as it is here.", judge.name), fix)
}
