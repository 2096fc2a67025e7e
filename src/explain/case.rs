//! The case to judge: one request, and the route, scheme, secrets and time that it is judged by.
//!
//! Everything that a question can be wrong about is refused here, so that the checks see only what holds. Must never put a
//! secret, or a text that may be one, into a note or a problem; nor read anything but what `Environment` gives.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::judge::{Judge, Named};
use super::usage::{Usage, nearest};
use crate::capture::{Captured, Note, Shape};
use crate::check::signature::SchemeSpec;
use crate::check::target::Verdict as TargetVerdict;
use crate::config::{Environment, Loaded};
use crate::plan::{Plan, Route};
use crate::providers::Catalog;

/// A question as asked.
#[derive(Debug)]
pub(crate) struct Question {
    /// The request.
    pub(crate) request: Captured,
    /// The configuration, compiled, if one was named.
    pub(crate) loaded: Option<Loaded>,
    /// Its `[schemes]`, those that no route uses among them.
    pub(crate) own_schemes: BTreeMap<String, SchemeSpec>,
    pub(crate) route: Option<String>,
    pub(crate) provider: Option<String>,
    /// Names of variables, and files.
    pub(crate) secret_env: Vec<String>,
    pub(crate) secret_file: Vec<PathBuf>,
    /// Names and values.
    pub(crate) options: Vec<(String, String)>,
    /// An absolute URL, or a path.
    pub(crate) url: Option<String>,
    pub(crate) peer: Option<IpAddr>,
    /// Unix seconds.
    pub(crate) now: u64,
    /// Whether `now` was given, and is not the clock's.
    pub(crate) now_given: bool,
    /// Seconds.
    pub(crate) tolerance: Option<u64>,
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
    pub(crate) now_given: bool,
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
        let catalog = Catalog::load().map_err(|error| Usage::Catalog(error.message().to_owned()))?;
        let mut case = Self {
            has_path: false,
            chosen: Chosen::NoRoute,
            judge: None,
            catalog,
            own_schemes: BTreeMap::new(),
            peer: question.peer,
            now: question.now,
            now_given: question.now_given,
            notes: Vec::new(),
            loaded: None,
            request: question.request.clone(),
        };
        case.locate(question.url.as_deref())?;
        let asked = Asked {
            route: question.route,
            provider: question.provider,
            secret_env: question.secret_env,
            secret_file: question.secret_file,
            options: question.options,
            tolerance: question.tolerance,
        };
        (case.loaded, case.own_schemes) = (question.loaded, question.own_schemes);
        case.chosen = case.choose(&asked)?;
        let (chosen, loaded) = (case.chosen, case.loaded.take());
        let route = loaded.as_ref().and_then(|loaded| loaded.plan.routes.get(chosen.index()?));
        let judge = case.judge(&asked, route, loaded.as_ref(), environment);
        case.loaded = loaded;
        case.judge = judge?;
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
        let method = self.request.method.as_str();
        Some(plan.targets.classify(method.as_bytes(), self.request.target.as_bytes()))
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
                if !self.has_path
                    && let Some((_, rest)) = url.split_once("://")
                {
                    request.target = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/").to_owned();
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

    fn judge(
        &mut self,
        asked: &Asked,
        route: Option<&Route>,
        loaded: Option<&Loaded>,
        environment: &dyn Environment,
    ) -> Result<Option<Judge>, Usage> {
        let (name, spec, options) = match (&asked.provider, route) {
            (Some(name), _) => (name.as_str(), self.spec(name)?, None),
            (None, Some(route)) => {
                let ingredients = &route.ingredients;
                (&*route.provider, ingredients.spec.clone(), Some(&ingredients.options))
            }
            (None, None) => return Ok(None),
        };
        let options = asked.options(options, &spec, environment)?;
        let provider = self.catalog.get(name);
        let plan = loaded.map(|loaded| &loaded.plan);
        let mut elsewhere: Vec<Named> = Vec::new();
        let (mut own, mut configured): (Vec<Named>, Vec<Named>) = (Vec::new(), Vec::new());
        for other in plan.into_iter().flat_map(|plan| &plan.routes) {
            let is_own = route.is_some_and(|route| route.name == other.name);
            for (label, secret) in &other.ingredients.secrets {
                let full = format!("routes.{}: {label}", other.name);
                if is_own {
                    own.push(Named { name: label.to_string(), secret: secret.clone() });
                    configured.push(Named { name: full, secret: secret.clone() });
                } else if asked.provider.is_some() && *other.provider == *name {
                    own.push(Named { name: full.clone(), secret: secret.clone() });
                    configured.push(Named { name: full, secret: secret.clone() });
                } else {
                    elsewhere.push(Named { name: full, secret: secret.clone() });
                }
            }
        }
        let given = asked.secrets(environment, &mut self.notes)?;
        let secrets = if !given.is_empty() {
            elsewhere.splice(0..0, configured);
            given
        } else if !own.is_empty() {
            own
        } else {
            implied(provider.map(|provider| provider.secret_env.as_slice()).unwrap_or_default(), environment, &mut self.notes)
        };
        let mut judge = Judge::new(name, spec, options, secrets, elsewhere)?;
        judge.looks = provider.map(|provider| provider.secret.clone()).unwrap_or_default();
        judge.tolerance = asked
            .tolerance
            .or(route.map(|route| route.tolerance))
            .or(judge.scheme.default_tolerance())
            .unwrap_or_default();
        if judge.secrets.is_empty() && !judge.scheme.needs_no_secret() {
            let variable = provider.and_then(|provider| provider.secret_env.first().cloned());
            return Err(Usage::NoSecret { provider: name.to_owned(), variable, looks: judge.looks });
        }
        judge.url = self.url(plan, judge.scheme.signs_url())?;
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

    /// The URL as the sender wrote it: as asked, else as the gate knows it, else as the request does.
    fn url(&mut self, plan: Option<&Plan>, is_signed: bool) -> Result<Option<String>, Usage> {
        let request = &self.request;
        let public = plan.and_then(|plan| plan.public_url.as_ref());
        let given = request.url.clone().filter(|_| self.url_given(plan));
        if let Some(url) = given.or_else(|| public.map(|public| public.of(&request.target))).or(request.url.clone()) {
            return Ok(Some(url));
        }
        let host = request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let Some(host) = host.filter(|_| self.has_path && is_signed) else { return Ok(None) };
        let url = format!("https://{host}{}", request.target);
        if !is_absolute(&url) {
            return Err(Usage::Url);
        }
        self.notes.push(format!(
            "the URL is taken to be https://{host}{}, from the Host header: give --url if the sender has another one",
            self.path()
        ));
        Ok(Some(url))
    }
}
