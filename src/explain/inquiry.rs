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

/// Later than this, a number of seconds is one of milliseconds (the year 5138).
const LATEST: u64 = 100_000_000_000;
const DAY: u64 = 86_400;

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
        // Captures are old: what is not right about the time must not hide what is not right besides.
        let window = self.claimed(judge);
        if self.is_right(judge, window) {
            self.right_but(judge, step, reject, window.now);
            return;
        }
        let (found, tried, in_time) = self.diagnose(judge, window, may_go_on);
        self.hypotheses.extend(found);
        if step == StepName::Timestamp && self.timestamp.is_some() {
            self.steps.remark(StepName::Mac, "even as of then the signature is not right");
            self.facts.push(Fact::new(
                "time_and_more",
                "the time is not all that is wrong: as of then the signature is not right either",
                format!("add --now {} to look at the signature alone", window.now),
            ));
        }
        if self.hypotheses.is_empty() && step != StepName::Headers {
            self.facts.extend(facts::nothing_matched(judge, tried, in_time));
        }
    }

    /// The time at which the request claims to have been signed.
    fn claimed(&self, judge: &Judge) -> Window {
        let claimed = self.timestamp.map(|claimed| if claimed < LATEST { claimed } else { claimed / 1000 });
        Window { now: claimed.unwrap_or(self.case.now), tolerance: judge.tolerance }
    }

    fn is_right(&self, judge: &Judge, window: Window) -> bool {
        let body = [Bytes::from(self.case.request.body.clone())];
        signature::present(&judge.scheme, self.head(judge), window).is_ok_and(|presented| {
            signature::wanted(&judge.scheme, &presented, &body).is_ok_and(|wanted| wanted.is_none())
                && signature::verify(&judge.scheme, &judge.keys, &presented, &body, window).is_ok()
        })
    }

    /// The signature is right, and something else is not.
    fn right_but(&mut self, judge: &Judge, step: StepName, reject: Reject, claimed: u64) {
        match step {
            StepName::Timestamp => {
                self.steps.remark(StepName::Mac, "as of then the signature is right");
                self.hypotheses.push(skew(claimed, self.case.now, self.case.now_given));
            }
            StepName::Body => {
                let fix = match reject {
                    Reject::BodyTooLarge => Reject::BodyTooLarge.fix(),
                    _other => "look for what rewrites content-length, or reads the body, between the sender and here",
                };
                let finding = format!("the signature of {} is right for the body as it is here", judge.name);
                self.facts.push(Fact::new("signature_right", finding, fix));
            }
            StepName::Framing
            | StepName::Target
            | StepName::Route
            | StepName::Method
            | StepName::Client
            | StepName::Headers
            | StepName::Mac
            | StepName::Events => {}
        }
    }

    /// What matched, how many recomputations it took at least, and whether all were made.
    fn diagnose(
        &self,
        judge: &Judge,
        window: Window,
        may_go_on: &mut dyn FnMut() -> bool,
    ) -> (Vec<Hypothesis>, usize, bool) {
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
            window,
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

/// Nothing but the time is wrong. A clock may be off by a day; what is older is an old capture.
fn skew(claimed: u64, now: u64, now_given: bool) -> Hypothesis {
    let then = Civil::of(claimed.saturating_mul(1000));
    let (distance, side) = if claimed <= now { (now.saturating_sub(claimed), "before") } else { (claimed.saturating_sub(now), "after") };
    let ahead = if claimed <= now { "ahead" } else { "behind" };
    let now = if now_given { "--now" } else { "now" };
    let span = moment::span(distance);
    let clock = if distance > DAY {
        String::new()
    } else {
        format!(
            "; if it was refused when it arrived, the clock there is {span} {ahead} of the sender's, or the request was held up on its way"
        )
    };
    Hypothesis {
        code: "clock_skew",
        finding: format!("the signature is right; only the time is not: it was signed at {then}, {span} {side} {now}"),
        fix: format!("replay it with --now {claimed} to judge as of then{clock}"),
    }
}
