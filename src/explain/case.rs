//! The case to judge: one request, and the route, scheme, secrets and time that it is judged by.
//!
//! Everything that a question can be wrong about is refused here, so that the checks see only what holds. Must never put a
//! secret, or a text that may be one, into a note or a problem; nor read anything but what `Environment` gives.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::header::HOST;

use super::asked::{Asked, Given, implied};
use super::judge::{Judge, Named};
use super::usage::{Usage, nearest};
use crate::capture::{Captured, Note, Shape};
use crate::check::signature::{KeyProblem, SchemeSpec};
use crate::check::target::{Verdict as TargetVerdict, method_asked};
use crate::config::{Environment, Loaded};
use crate::plan::{Plan, Route};
use crate::providers::Catalog;

/// A question as asked.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) request: Captured,
    /// The configuration, compiled, if one was named.
    pub(crate) loaded: Option<Loaded>,
    /// Its `[schemes]`, those that no route uses among them.
    pub(crate) own_schemes: BTreeMap<String, SchemeSpec>,
    pub(crate) asked: Asked,
    pub(crate) peer: Option<IpAddr>,
    /// Unix seconds.
    pub(crate) now: u64,
}

/// A question that can be answered.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) request: Captured,
    pub(crate) loaded: Option<Loaded>,
    pub(crate) catalog: Catalog,
    pub(crate) own_schemes: BTreeMap<String, SchemeSpec>,
    /// Whether the request says to which path it was sent.
    pub(crate) has_path: bool,
    pub(crate) chosen: Chosen,
    /// `None`: no route, so nothing to judge by.
    pub(crate) judge: Option<Judge>,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) now: u64,
    /// What to tell about how the question was understood.
    pub(crate) notes: Vec<String>,
}

/// How the route was chosen. The numbers are its place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// There is no configuration, or a provider was named.
    NoRoute,
    /// As the gate does.
    ByPath(usize),
    /// By name.
    AsAsked(usize),
    /// It is the only one, though the path is not its.
    OnlyOne(usize),
    /// No route has this path.
    Unmatched,
}

impl Chosen {
    pub(crate) const fn index(self) -> Option<usize> {
        match self {
            Self::ByPath(index) | Self::AsAsked(index) | Self::OnlyOne(index) => Some(index),
            Self::NoRoute | Self::Unmatched => None,
        }
    }
}

impl Case {
    /// Understands a question.
    ///
    /// # Errors
    /// [`Usage`], where it makes no sense.
    pub(crate) fn of(question: Question, environment: &dyn Environment) -> Result<Self, Usage> {
        let Question { request, loaded, own_schemes, asked, peer, now } = question;
        let catalog = Catalog::load().map_err(|error| Usage::Catalog(error.message().to_owned()))?;
        let mut case = Self {
            request,
            loaded,
            catalog,
            own_schemes,
            has_path: false,
            chosen: Chosen::NoRoute,
            judge: None,
            peer,
            now,
            notes: Vec::new(),
        };
        case.locate(asked.url.as_deref())?;
        case.chosen = case.choose(&asked)?;
        let mut notes = Vec::new();
        case.judge = case.judge_by(&asked, environment, &mut notes)?;
        case.notes = notes;
        Ok(case)
    }

    /// The configuration's plan.
    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.loaded.as_ref().map(|loaded| &loaded.plan)
    }

    /// The route that the request is judged by.
    pub(crate) fn route(&self) -> Option<&Route> {
        self.plan()?.routes.get(self.chosen.index()?)
    }

    /// What the gate makes of the target.
    pub(crate) fn verdict(&self) -> Option<TargetVerdict> {
        let plan = self.plan().filter(|_| self.has_path)?;
        let method = method_asked(self.request.method.as_str().as_bytes(), !self.request.body.is_empty());
        Some(plan.targets.classify(method, self.request.target.as_bytes()))
    }

    /// The path alone: a query may hold a token.
    pub(crate) fn path(&self) -> String {
        let path = self.request.target.split('?').next().unwrap_or_default();
        path.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
    }

    /// Puts the given URL into the request.
    fn locate(&mut self, url: Option<&str>) -> Result<(), Usage> {
        let request = &mut self.request;
        self.has_path = !request.notes.contains(&Note::TargetAssumed)
            && (request.shape != Shape::Parts || request.url.is_some() || request.target != "/");
        match url {
            Some(path) if path.starts_with('/') => {
                path.clone_into(&mut request.target);
                request.url = None;
                self.has_path = true;
            }
            Some(url) if is_absolute(url) => {
                request.url = Some(url.to_owned());
                if !self.has_path {
                    request.target = target_of(url);
                    self.has_path = true;
                }
            }
            Some(_) => return Err(Usage::Url),
            None => {}
        }
        Ok(())
    }

    fn choose(&self, asked: &Asked) -> Result<Chosen, Usage> {
        let Some(plan) = self.plan() else {
            return if asked.provider.is_some() { Ok(Chosen::NoRoute) } else { Err(Usage::NoProvider) };
        };
        if asked.provider.is_some() {
            return Ok(Chosen::NoRoute);
        }
        let by_path = match self.verdict() {
            Some(TargetVerdict::Route(index)) => Some(index),
            Some(TargetVerdict::Unmatched | TargetVerdict::Refused(_)) | None => None,
        };
        if let Some(name) = &asked.route {
            let names = || plan.routes.iter().map(|route| &*route.name);
            let unknown = || Usage::UnknownRoute { name: name.clone(), near: nearest(name, names()) };
            let index = names().position(|other| other == name).ok_or_else(unknown)?;
            return Ok(if by_path == Some(index) { Chosen::ByPath(index) } else { Chosen::AsAsked(index) });
        }
        match (by_path, plan.routes.len()) {
            (Some(index), _) => Ok(Chosen::ByPath(index)),
            (None, 1) => Ok(Chosen::OnlyOne(0)),
            (None, _) if self.has_path => Ok(Chosen::Unmatched),
            (None, _) => Err(Usage::WhichRoute(plan.routes.iter().map(|route| route.name.to_string()).collect())),
        }
    }

    fn judge_by(
        &self,
        asked: &Asked,
        environment: &dyn Environment,
        notes: &mut Vec<String>,
    ) -> Result<Option<Judge>, Usage> {
        let route = self.route();
        let (name, spec, options) = match (&asked.provider, route) {
            (Some(name), _) => (name.as_str(), self.spec(name)?, None),
            (None, Some(route)) => (&*route.provider, route.ingredients.spec.clone(), Some(&route.ingredients.options)),
            (None, None) => return Ok(None),
        };
        let provider = self.catalog.get(name);
        let options = asked.options(options, &spec, environment)?;
        let given = asked.secrets(environment, notes)?;
        let empty = given.empty.clone();
        let (secrets, others) = self.secrets(given, name, environment, notes);
        let mut judge = Judge::new(name, spec, options, secrets, others)?;
        judge.problems.extend(empty.into_iter().map(|name| (name, KeyProblem::Empty)));
        judge.looks = provider.map(|provider| provider.secret.clone()).unwrap_or_default();
        let usual = route.map(|route| route.tolerance).or(judge.scheme.default_tolerance());
        judge.tolerance = asked.tolerance.or(usual).unwrap_or_default();
        if judge.secrets.is_empty() && judge.problems.is_empty() && !judge.scheme.needs_no_secret() {
            let variable = provider.and_then(|provider| provider.secret_env.first().cloned());
            return Err(Usage::NoSecret { provider: name.to_owned(), variable, looks: judge.looks });
        }
        judge.url = self.url(asked, judge.scheme.signs_url(), notes);
        if judge.url.is_none() && judge.scheme.signs_url() {
            return Err(Usage::NoUrl(name.to_owned()));
        }
        Ok(Some(judge))
    }

    fn spec(&self, name: &str) -> Result<SchemeSpec, Usage> {
        let unknown = || {
            let names = self.catalog.names().chain(self.own_schemes.keys().map(String::as_str));
            Usage::UnknownProvider { name: name.to_owned(), near: nearest(name, names) }
        };
        self.catalog.scheme(name).or_else(|| self.own_schemes.get(name)).cloned().ok_or_else(unknown)
    }

    /// The secrets to judge by, and those that are configured elsewhere. What is named goes before what is configured, and
    /// that before the provider's customary variable.
    fn secrets(
        &self,
        given: Given,
        name: &str,
        environment: &dyn Environment,
        notes: &mut Vec<String>,
    ) -> (Vec<Named>, Vec<Named>) {
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for route in self.plan().into_iter().flat_map(|plan| &plan.routes) {
            let judged_by = match self.route() {
                Some(judged_by) => judged_by.name == route.name,
                None => *route.provider == *name,
            };
            for (label, secret) in &route.ingredients.secrets {
                let full = format!("routes.{}: {label}", route.name);
                let secret = secret.clone();
                if judged_by && given.is_nothing() {
                    let name = if self.route().is_some() { label.to_string() } else { full };
                    own.push(Named { name, secret });
                } else {
                    others.push(Named { name: full, secret });
                }
            }
        }
        if !given.is_nothing() {
            return (given.secrets, others);
        }
        if own.is_empty() {
            let names = self.catalog.get(name).map(|provider| provider.secret_env.as_slice()).unwrap_or_default();
            own = implied(names, environment, notes);
        }
        (own, others)
    }

    /// The URL as the sender wrote it: as asked, else as the gate knows it, else as the request says.
    fn url(&self, asked: &Asked, is_signed: bool, notes: &mut Vec<String>) -> Option<String> {
        let request = &self.request;
        let asked = asked.url.as_ref().filter(|url| is_absolute(url)).cloned();
        let public = || self.plan()?.public_url.as_ref().map(|public| public.of(&request.target));
        let from_host = || {
            let host = request.headers.get(HOST)?.to_str().ok().filter(|_| self.has_path && is_signed)?;
            notes.push(format!(
                "the URL is taken to be https://{host}{}, after the Host header: give --url if the sender has another one",
                self.path()
            ));
            Some(format!("https://{host}{}", request.target))
        };
        asked.or_else(public).or_else(|| request.url.clone()).or_else(from_host)
    }
}

/// Path and query of an absolute URL. A path there always is.
fn target_of(url: &str) -> String {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let target = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default();
    let target = target.split('#').next().unwrap_or_default();
    if target.starts_with('/') { target.to_owned() } else { format!("/{target}") }
}

fn is_absolute(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}
