//! Routes: each `[routes.NAME]` to a [`Route`], with every problem of it.
//!
//! Must never yield a route without a key, nor one whose policy says something that its scheme cannot keep (a tolerance
//! without a timestamp, an event filter without a type).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};

use super::RouteSummary;
use super::compile::Context;
use super::compile_scheme::Custom;
use super::compile_secrets::{self, Keys};
use super::findings::{Findings, Spot};
use super::hint::{alternatives, nearest};
use super::raw::{Table, Text};
use super::values::{show_duration, show_size};
use crate::check::handshake::signs_for_anyone;
use crate::check::signature::{Options, Scheme, SchemeSpec};
use crate::check::target::{RoutePath, RoutePathError};
use crate::plan::{Ingredients, Limits, Route};
use crate::providers::Provider;

/// For the user's own schemes, whose senders' patience is unknown.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);
/// Beyond this a recorded delivery can be replayed for long.
const LONG_TOLERANCE: Duration = Duration::from_mins(10);
pub(crate) const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"];

/// What became of `[routes]`.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Complete unless something was refused.
    pub(super) compiled: Vec<Route>,
    pub(super) summaries: Vec<RouteSummary>,
    /// The name, path and place of each route with a readable path.
    pub(super) paths: Vec<(String, RoutePath, Spot)>,
}

/// A scheme and where it comes from.
pub(super) struct Chosen<'c> {
    pub(super) name: String,
    pub(super) scheme: Arc<Scheme>,
    pub(super) spec: SchemeSpec,
    pub(super) options: Options,
    pub(super) provider: Option<&'c Provider>,
}

pub(super) fn routes(
    context: &mut Context<'_, '_>,
    raw: &Table,
    mut custom: BTreeMap<String, Custom>,
    limits: Option<&Limits>,
) -> Routes {
    let mut all = Routes::default();
    let mut drafts: Vec<(Route, Vec<String>)> = Vec::new();
    let tables: Vec<(&str, &Table)> = raw.table("routes").into_iter().flat_map(Table::named).collect();
    if tables.is_empty() {
        let hint = "add [routes.NAME] with path, provider and secrets";
        context.findings.error(&raw.spot_of("routes"), "there is no route: nothing would be protected", hint);
    }
    let count = tables.len();
    for (name, table) in tables {
        let path = context.path(raw, table);
        if let Some((path, spot)) = &path {
            all.paths.push((name.to_owned(), path.clone(), spot.clone()));
        }
        let chosen = context.scheme_of(raw, table, &mut custom);
        let methods = context.methods(table);
        let clients = context.allow_ips(table);
        let events = context.events(table, chosen.as_ref());
        let max_body = context.max_body(table, limits);
        let Keys { usable: keys, sources, texts } = {
            let scheme = chosen.as_ref().map(|chosen| &*chosen.scheme);
            compile_secrets::secrets(context, table, scheme, chosen.as_ref().and_then(|chosen| chosen.provider))
        };
        let Some(chosen) = chosen else { continue };
        let tolerance = context.tolerance(table, &chosen);
        let handshakes = context.handshakes(table, &chosen);
        let signs_for_anyone = chosen.provider.is_some() && signs_for_anyone(context.catalog.handshakes(&chosen.name));
        let deadline = context.deadline(table, &chosen, limits);
        let replay = context.replay_mode(table, &chosen);
        let on_store_error = context.on_store_error(table, replay);
        let (retry, reported) = (Context::retry(table), context.reported(table, &chosen));
        let allow = HeaderValue::from_str(&methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", "));
        let (Some((path, _)), Ok(allow), false) = (path, allow, keys.is_empty() && !chosen.scheme.needs_no_secret())
        else {
            continue;
        };
        let origin = sources.first().map(|source| source.origin.clone());
        all.summaries.push(RouteSummary { secrets: sources, allow_ips: clients.typed, lists: clients.lists });
        let companions = chosen.spec.companions.clone();
        let route = Route {
            name: name.into(),
            path: path.to_string().into(),
            methods,
            allow,
            provider: chosen.name.as_str().into(),
            scheme: chosen.scheme,
            keys,
            ingredients: Ingredients { spec: chosen.spec, options: chosen.options, secrets: texts, origin },
            allow_ips: clients.allowed,
            tolerance,
            deadline,
            max_body,
            events,
            handshakes,
            signs_for_anyone,
            replay,
            on_store_error,
            retry,
            reported,
            foreign: Vec::new(),
        };
        drafts.push((route, companions));
    }
    for (name, unused) in custom.iter().filter(|(_, custom)| !custom.used && custom.spec.is_some()) {
        context.findings.warn(
            &unused.spot,
            "no route uses this scheme",
            format!("write scheme = \"{name}\" in a route, or remove it"),
        );
    }
    if drafts.len() != count && !context.findings.refused() {
        context.findings.error(&raw.spot_of("routes"), "a route could not be compiled", "report this");
    }
    let own: Vec<&SchemeSpec> = custom.values().filter_map(|custom| custom.spec.as_ref()).collect();
    for (mut route, companions) in drafts {
        let all_schemes = || context.catalog.schemes().chain(own.iter().copied());
        let foreign = |family| route.scheme.foreign_headers(family, &companions, all_schemes());
        route.foreign = (0..route.scheme.families()).map(foreign).collect();
        all.compiled.push(route);
    }
    all
}

impl<'c> Context<'c, '_> {
    fn path(&mut self, raw: &Table, table: &Table) -> Option<(RoutePath, Spot)> {
        let (text, spot) = table.text("path")?;
        let path = match RoutePath::parse(text) {
            Ok(path) => path,
            Err(error) => {
                path_problem(&mut self.findings, (text, spot), error);
                return None;
            }
        };
        let base = raw.table("app").and_then(|app| app.text("base_path")).map(|(base, _)| base).unwrap_or_default();
        if !base.is_empty() && text.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            let what = format!("begins with app.base_path: this protects {base}{text}");
            self.findings.warn(spot, what, "write the path without the base path");
        }
        if path.is_prefix() && path.stem().is_empty() {
            let what = "protects every path: nothing passes without a signature";
            self.findings.warn(spot, what, "protect the webhook's own path");
        }
        Some((path, spot.clone()))
    }

    fn scheme_of(&mut self, raw: &Table, table: &Table, custom: &mut BTreeMap<String, Custom>) -> Option<Chosen<'c>> {
        if table.given("provider") && table.given("scheme") {
            return None;
        }
        let (name, spec, provider) = if let Some((name, spot)) = table.text("provider") {
            let provider = self.provider(name, spot, custom)?;
            (name, self.catalog.scheme(name)?.clone(), Some(provider))
        } else {
            let (name, spot) = table.text("scheme")?;
            (name, self.own_scheme(name, spot, custom)?, None)
        };
        let (scheme, options) = self.compiled(raw, table, name, &spec)?;
        Some(Chosen { name: name.to_owned(), scheme: Arc::new(scheme), spec, options, provider })
    }

    fn own_scheme(&mut self, name: &str, spot: &Spot, custom: &mut BTreeMap<String, Custom>) -> Option<SchemeSpec> {
        let Some(found) = custom.get_mut(name) else {
            let hint = match nearest(name, custom.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.catalog.get(name).is_some() => format!("it is built in: write provider = \"{name}\""),
                None => format!("describe it in [schemes.{name}]"),
            };
            self.findings.error(spot, "there is no such scheme", hint);
            return None;
        };
        found.used = true;
        found.spec.clone()
    }

    fn provider(&mut self, name: &str, spot: &Spot, custom: &mut BTreeMap<String, Custom>) -> Option<&'c Provider> {
        let found = self.catalog.get(name);
        if found.is_none() {
            let own = custom.get_mut(name).map(|own| own.used = true);
            let hint = match (own, nearest(name, self.catalog.names())) {
                (Some(()), _) => format!("it is one of your own: write scheme = \"{name}\""),
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => {
                    "`hookward providers` lists them; describe others in [schemes.NAME] and write scheme = \"NAME\""
                        .to_owned()
                }
            };
            self.findings.error(spot, "there is no such provider", hint);
        }
        found
    }

    fn methods(&mut self, table: &Table) -> Vec<Method> {
        let mut methods: Vec<Method> = Vec::new();
        for (text, spot) in table.texts("methods") {
            let upper = text.to_ascii_uppercase();
            match Method::from_bytes(text.as_bytes()) {
                Ok(method) if METHODS.contains(&text) && methods.contains(&method) => {
                    self.findings.warn(spot, "is in this list already", "remove it");
                }
                Ok(method) if METHODS.contains(&text) => methods.push(method),
                _ if matches!(&*upper, "CONNECT" | "TRACE") => {
                    self.findings.error(spot, format!("{upper} never goes through hookward"), "remove it");
                }
                _ if METHODS.contains(&&*upper) => {
                    self.findings.error(spot, "methods are written in capitals", format!("write \"{upper}\""));
                }
                _ => {
                    let hint = match nearest(&upper, METHODS.iter().copied()) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => format!("write {}", alternatives(METHODS.iter().copied())),
                    };
                    self.findings.error(spot, "is not a method that hookward knows", hint);
                }
            }
        }
        let spot = table.spot_of("methods");
        if methods.is_empty() && table.has_list("methods") && !self.findings.refused_inside(&spot) {
            self.findings.error(&spot, "the list is empty: every request would get 405", "write [\"POST\"]");
        }
        methods
    }

    fn max_body(&mut self, table: &Table, limits: Option<&Limits>) -> u64 {
        let usual = limits.map(|limits| limits.max_body).unwrap_or_default();
        let Some(max_body) = table.integer("max_body") else { return usual };
        let buffered = limits.map(|limits| limits.buffered_bytes).filter(|buffered| *buffered > 0);
        if let Some(buffered) = buffered.filter(|buffered| max_body > *buffered) {
            let what = format!("is more than limits.buffered_bytes ({})", show_size(buffered));
            self.findings.error(&table.spot_of("max_body"), what, "raise limits.buffered_bytes or lower this");
        }
        max_body
    }

    /// Seconds.
    fn tolerance(&mut self, table: &Table, chosen: &Chosen<'_>) -> u64 {
        let usual = chosen.scheme.default_tolerance();
        let Some(tolerance) = table.duration("tolerance") else { return usual.unwrap_or_default() };
        let spot = table.spot_of("tolerance");
        if usual.is_none() {
            let what = format!("`{}` signs no time, so there is nothing to compare", chosen.name);
            self.findings.error(&spot, what, "remove it");
        } else if tolerance.subsec_nanos() != 0 {
            self.findings.error(&spot, "timestamps have whole seconds", format!("write \"{}s\"", tolerance.as_secs()));
        } else if tolerance > LONG_TOLERANCE {
            let what = format!("a recorded delivery can be sent again for {}", show_duration(tolerance));
            self.findings.warn(&spot, what, "\"5m\" is what most senders' libraries allow");
        }
        tolerance.as_secs()
    }

    fn deadline(&mut self, table: &Table, chosen: &Chosen<'_>, limits: Option<&Limits>) -> Duration {
        let usual = chosen.provider.map_or(DEFAULT_DEADLINE, Provider::deadline);
        let deadline = table.duration("deadline").unwrap_or(usual);
        let spot = table.spot_of("deadline");
        let sender = chosen.provider.map(Provider::sender_deadline);
        if let Some(sender) = sender.filter(|sender| table.given("deadline") && deadline >= *sender) {
            let what = format!("the sender itself waits no longer than {}", show_duration(sender));
            self.findings.warn(&spot, what, format!("stay below it: the default is \"{}\"", show_duration(usual)));
        }
        self.deadline_fits(&spot, deadline, limits);
        deadline
    }
}

/// A path that is not plain, with the plain one where it can be told.
pub(super) fn path_problem(findings: &mut Findings<'_>, (text, spot): Text<'_>, error: RoutePathError) {
    let hint = match error {
        RoutePathError::NoLeadingSlash if text.contains("://") => {
            let path = text.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
            format!("write only its path: \"/{path}\"")
        }
        RoutePathError::NoLeadingSlash => format!("write \"/{text}\""),
        RoutePathError::TrailingSlash => format!("write {:?}", text.trim_end_matches('/')),
        RoutePathError::EmptySegment => {
            let segments: Vec<&str> = text.split('/').filter(|segment| !segment.is_empty()).collect();
            format!("write \"/{}\"", segments.join("/"))
        }
        RoutePathError::Forbidden('[' | ']' | '{' | '}') | RoutePathError::Wildcard => {
            let fixed = text
                .split(['[', '{', '*'])
                .next()
                .and_then(|before| before.rsplit_once('/'))
                .map_or("", |(stem, _)| stem);
            format!("protect everything below it: \"{fixed}/*\"")
        }
        RoutePathError::DotSegment => "write the path that remains when the dots are resolved".to_owned(),
        RoutePathError::Forbidden(_) => "write the path as the app's router knows it, in plain ASCII".to_owned(),
    };
    findings.error(spot, format!("{text:?} is not a plain path: {error}"), hint);
}
