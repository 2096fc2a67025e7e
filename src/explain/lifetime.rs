//! The times of a signed token as the timestamp step tells them: a token says itself until when it is good.
//!
//! Must never decide: the limits are those that the gate has named. Source: RFC 7519 §4.1.4 to §4.1.6.

use super::judge::Judge;
use super::moment;
use super::walk::Walk;
use crate::check::diagnose::token::Times;
use crate::check::signature::scheme::Engine;
use crate::reject::Reject;

impl Walk<'_> {
    /// The times of the token that the scheme reads.
    pub(super) fn token(&self, judge: &Judge) -> Option<Times> {
        let is_token = judge.spec.engine == Engine::Jwt;
        is_token.then(|| Times::of(judge.scheme.headers(), &self.headers)).flatten()
    }

    /// What is left of a token that is good now.
    pub(super) fn lifetime(&self, judge: &Judge, token: Times) -> String {
        let now = self.case.now;
        let signed = token.issued.or(token.starts).map(|begin| format!("{}; ", self.distance(begin)));
        let signed = signed.unwrap_or_default();
        match (token.expires, judge.token_age()) {
            (_, Some(age)) => format!("{signed}{} are allowed", moment::span(age)),
            (Some(end), None) if end > now => {
                format!("{signed}it expires in {}", moment::span(end.saturating_sub(now)))
            }
            (Some(end), None) => {
                let leeway = moment::span(judge.token_leeway());
                format!(
                    "{signed}it expired {} before now, and {leeway} are allowed",
                    moment::span(now.saturating_sub(end))
                )
            }
            (None, None) => signed.trim_end_matches("; ").to_owned(),
        }
    }

    /// Which limit of its own a token is beyond.
    pub(super) fn missed(&self, judge: &Judge, reject: Reject, limit: u64) -> String {
        let far = moment::span(limit.abs_diff(self.case.now));
        let leeway = match judge.token_leeway() {
            0 => "no leeway is allowed".to_owned(),
            leeway => format!("{} are allowed", moment::span(leeway)),
        };
        match (reject, judge.token_age()) {
            (Reject::TimestampInFuture, _) => format!("the token is good from {far} after now on; {leeway}"),
            (_, Some(age)) => format!("{}; {} are allowed", self.distance(limit), moment::span(age)),
            (_, None) => format!("the token expired {far} before now; {leeway}"),
        }
    }
}
