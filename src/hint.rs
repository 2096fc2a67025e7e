//! What the log says about a signature that did not match: the hypotheses of `explain`, tested while the body is there.
//!
//! At most once a second, within a time budget, on a thread of its own, so that a flood of forged requests costs no more.
//! Must never keep a body, nor answer a request differently because of what was found.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method};

use crate::check::diagnose::{NamedSecret, OtherRoute, Suspect, diagnose};
use crate::check::signature::{Head, SchemeSpec, Window};
use crate::clock;
use crate::plan::{Plan, Route};
use crate::providers::Catalog;
use crate::reject::Reject;

/// Between two questions.
const REST: Duration = Duration::from_secs(1);
/// A longer body would take its rewriter longer than the budget, bytes.
const LONGEST: usize = 256 * 1024;
/// For one question.
const BUDGET: Duration = Duration::from_millis(50);

/// Decides whether there is time to find out.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    last: Mutex<Option<Instant>>,
}

/// One refused delivery.
#[derive(Debug)]
pub(crate) struct Question {
    plan: Arc<Plan>,
    route: Arc<str>,
    method: Method,
    url: Option<String>,
    headers: HeaderMap,
    body: Vec<Bytes>,
    window: Window,
}

impl Hints {
    /// Why the delivery was refused, or would have been, if that was found out.
    pub(crate) async fn about(&self, reject: Option<Reject>, question: impl FnOnce() -> Question) -> Option<Box<str>> {
        if reject != Some(Reject::SignatureMismatch) || !self.may_ask() {
            return None;
        }
        let question = question();
        if question.body.iter().map(Bytes::len).sum::<usize>() > LONGEST {
            return None;
        }
        tokio::task::spawn_blocking(move || question.answer()).await.ok().flatten()
    }

    fn may_ask(&self) -> bool {
        let now = clock::monotonic();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = last.is_none_or(|last| now.saturating_duration_since(last) >= REST);
        if rested {
            *last = Some(now);
        }
        rested
    }
}

impl Question {
    pub(crate) fn new(
        plan: &Arc<Plan>,
        route: &Route,
        parts: &Parts,
        url: Option<String>,
        body: Vec<Bytes>,
        window: Window,
    ) -> Self {
        Self {
            plan: Arc::clone(plan),
            route: Arc::clone(&route.name),
            method: parts.method.clone(),
            url,
            headers: parts.headers.clone(),
            body,
            window,
        }
    }

    fn answer(self) -> Option<Box<str>> {
        let deadline = clock::monotonic().checked_add(BUDGET)?;
        let route = self.plan.routes.iter().find(|route| route.name == self.route)?;
        let catalog = Catalog::load().ok()?;
        let schemes: Vec<(&str, &SchemeSpec)> =
            catalog.names().filter_map(|name| Some((name, catalog.scheme(name)?))).collect();
        let names: Vec<(String, &[u8])> = self
            .plan
            .routes
            .iter()
            .filter(|other| other.name != route.name)
            .flat_map(|other| {
                let named = move |label: &str| format!("routes.{}: {label}", other.name);
                other.ingredients.secrets.iter().map(move |(label, secret)| (named(label), secret.expose()))
            })
            .collect();
        let others: Vec<NamedSecret<'_>> = names.iter().map(|(name, text)| NamedSecret { name, text }).collect();
        let secrets = named(route);
        let elsewhere: Vec<(&Route, Vec<NamedSecret<'_>>)> = self
            .plan
            .routes
            .iter()
            .filter(|other| other.name != route.name)
            .map(|other| (other, named(other)))
            .collect();
        let routes: Vec<OtherRoute<'_>> =
            elsewhere.iter().map(|(other, secrets)| other_route(other, secrets)).collect();
        let suspect = Suspect {
            name: &route.provider,
            route: Some(&route.name),
            spec: &route.ingredients.spec,
            options: &route.ingredients.options,
            secrets: &secrets,
            others: &others,
            routes: &routes,
            catalog: &schemes,
            head: Head { method: &self.method, url: self.url.as_deref(), headers: &self.headers },
            body: &self.body.concat(),
            window: self.window,
        };
        let found = diagnose(&suspect, &mut || clock::monotonic() < deadline);
        found.first().map(|hypothesis| format!("{}: {}", hypothesis.code, hypothesis.finding).into())
    }
}

/// A route's secrets by their labels.
pub(crate) fn named(route: &Route) -> Vec<NamedSecret<'_>> {
    let secrets = route.ingredients.secrets.iter();
    secrets.map(|(label, secret)| NamedSecret { name: label, text: secret.expose() }).collect()
}

/// A route that a delivery might belong to, with its secrets.
pub(crate) fn other_route<'r>(route: &'r Route, secrets: &'r [NamedSecret<'r>]) -> OtherRoute<'r> {
    OtherRoute {
        name: &route.name,
        path: &route.path,
        provider: &route.provider,
        spec: &route.ingredients.spec,
        options: &route.ingredients.options,
        secrets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_at_most_once_a_second() {
        let hints = Hints::default();
        assert!(hints.may_ask());
        assert!(!hints.may_ask());
        let before = clock::monotonic().checked_sub(REST).unwrap();
        *hints.last.lock().unwrap() = Some(before);
        assert!(hints.may_ask());
        assert!(!hints.may_ask());
    }
}
