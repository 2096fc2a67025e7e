//! After a refusal: is the signature right but for the time, or the length? If not, which hypothesis makes it right?
//!
//! Must never say what was not recomputed.

use bytes::Bytes;

use super::case::Chosen;
use super::facts::{self, Fact};
use super::judge::{Judge, Named};
use super::moment;
use super::sns;
use super::steps::StepName;
use super::walk::Walk;
use crate::capture::Note;
use crate::check::diagnose::{Hypothesis, NamedSecret, OtherRoute, Suspect, diagnose};
use crate::check::signature::scheme::Engine;
use crate::check::signature::{self, SchemeSpec, Window};
use crate::civil::Civil;
use crate::hint;
use crate::plan::Route;
use crate::reject::Reject;

/// Codes that tell of a token whose signature is right.
const GENUINE: &[&str] = &["token_issuer", "token_claim_missing", "token_body_differs", "url_differs"];

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
        self.leave_out_what_is_implied();
        if self.hypotheses.iter().any(|found| GENUINE.contains(&found.code)) && judge.spec.engine == Engine::Jwt {
            self.steps.reword(StepName::Mac, "the token is genuine, but not for this delivery");
        }
        if self.hypotheses.is_empty() && step != StepName::Headers && !is_right {
            self.say_what_is_left(judge, tried, in_time);
        }
    }

    /// Nothing was found that would make the signature right.
    fn say_what_is_left(&mut self, judge: &Judge, tried: usize, in_time: bool) {
        if judge.spec.engine == Engine::AwsSns {
            let found = sns::facts(self.case, judge);
            if found.iter().all(|fact| fact.code != facts::NOTHING_MATCHED) {
                self.steps.reword(StepName::Mac, "no message that this route takes");
            }
            self.facts.extend(found);
            return;
        }
        if let Some(fact) = facts::no_border(self.case, judge) {
            self.steps.reword(StepName::Mac, "this body cannot be told from the rest of what is signed");
            self.facts.push(fact);
            return;
        }
        let is_cut = self.facts.iter().any(|fact| fact.code == facts::BODY_CUT_OFF);
        let odd = facts::odd_body(self.case, judge).filter(|_| !is_cut);
        let is_odd = is_cut || odd.is_some();
        self.facts.extend(odd);
        self.facts.extend(facts::nothing_matched(judge, is_odd, tried, in_time));
    }

    /// Facts that say less than what was recomputed.
    fn leave_out_what_is_implied(&mut self) {
        let codes: Vec<&str> = self.hypotheses.iter().map(|found| found.code).collect();
        let names_the_sender = ["other_provider", "headers_mixed", "headers_renamed", "delivery_of_another_route"]
            .map(|code| codes.contains(&code));
        if names_the_sender.contains(&true) {
            self.facts.retain(|fact| ![facts::OTHER_PROVIDER, facts::HEADERS_RENAMED].contains(&fact.code));
        }
    }

    /// No secret can be a key: that is why, unless a hypothesis says how it would be one.
    pub(super) fn blame_the_secret(&mut self) {
        if self.case.judge.as_ref().is_none_or(Judge::can_verify) {
            return;
        }
        let codes = [facts::SECRET_OTHER_CREDENTIAL, facts::SECRET_UNUSABLE];
        let is_explained = self
            .hypotheses
            .iter()
            .any(|found| found.code.starts_with("secret_") && found.code != "secret_of_another_route");
        for Fact { code, finding, fix } in self.facts.extract_if(.., |fact| codes.contains(&fact.code)) {
            if !is_explained {
                self.hypotheses.push(Hypothesis { code, finding, fix });
            }
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
        if !(moment::EARLIEST..moment::LATEST).contains(&claimed) {
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
        let own = self.case.route().map(|route| &*route.name);
        let elsewhere: Vec<(&Route, Vec<NamedSecret<'_>>)> = self
            .case
            .plan()
            .into_iter()
            .flat_map(|plan| &plan.routes)
            .filter(|other| Some(&*other.name) != own)
            .map(|other| (other, hint::named(other)))
            .collect();
        let routes: Vec<OtherRoute<'_>> =
            elsewhere.iter().map(|(other, secrets)| hint::other_route(other, secrets)).collect();
        let suspect = Suspect {
            name: &judge.name,
            route: own.filter(|_| matches!(self.case.chosen, Chosen::ByPath(_))),
            spec: &judge.spec,
            options: &judge.options,
            secrets: &secrets,
            others: &others,
            routes: &routes,
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
