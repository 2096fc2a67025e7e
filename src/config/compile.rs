//! From the tree of typed values to the [`Plan`]: everything but the routes, and the rules between keys.
//!
//! Each part returns a placeholder when it has reported a problem, so that the other parts are checked all the same; the
//! plan is made only when nothing was refused.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::compile_lists::HeldList;
use super::compile_routes::{self, Routes};
use super::compile_scheme;
use super::findings::{Findings, Spot};
use super::problem::Report;
use super::raw::Table;
use super::values::{show_duration, show_size};
use super::walk;
use super::{App, Environment, Loaded, RouteSummary};
use crate::check::target::{Framework, RoutePath, SpecFault, TargetSpec, Targets};
use crate::plan::{Limits, LogFormat, Plan, Unmatched};
use crate::providers::Catalog;

/// Node keeps this much of a body when Next runs any middleware, and runs the handler on the rest cut off.
const NEXT_BODY_CLONE: u64 = 10_000_000;
/// Node answers 431 beyond this.
const NODE_MAX_HEAD: u64 = 16 << 10;

/// What all steps need.
pub(super) struct Context<'c, 'a> {
    pub(super) environment: &'c dyn Environment,
    pub(super) catalog: &'c Catalog,
    pub(super) findings: Findings<'a>,
    /// Files that were read.
    pub(super) files: Vec<PathBuf>,
    /// Named lists that are configured, and those that routes use.
    pub(super) lists: Vec<HeldList>,
}

pub(super) fn compile(text: &str, file: &str, environment: &dyn Environment) -> Result<Loaded, Report> {
    let mut findings = Findings::new(file, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax(text, &errors, findings));
    }
    let raw = walk::read(document.get_ref(), &mut findings);
    let catalog = match Catalog::load() {
        Ok(catalog) => catalog,
        Err(error) => {
            findings.error(
                &Spot::default(),
                format!("the built-in catalogue is broken: {}", error.message()),
                "report this",
            );
            return findings.finish().and_then(|problems| Err(Report { problems }));
        }
    };
    let mut context = Context { environment, catalog: &catalog, findings, files: Vec::new(), lists: Vec::new() };
    let plan = context.plan(&raw, document.get_ref());
    let Context { findings, files, .. } = context;
    let notices = findings.finish()?;
    // Whatever yields no plan has reported why.
    let (plan, app, summaries) = plan.ok_or_else(|| Report { problems: notices.clone() })?;
    Ok(Loaded { plan, notices, app, summaries, files })
}

/// Only the first error of a line: the others follow from it.
fn syntax(text: &str, errors: &[toml::de::Error], mut findings: Findings<'_>) -> Report {
    let mut last_line = None;
    for error in errors {
        let offset = error.span().map_or(text.len(), |span| span.start);
        let line = text.get(..offset).map(|before| before.matches('\n').count());
        if last_line != Some(line) {
            findings.error_without_hint(&Spot { key: String::new(), offset }, format!("not TOML: {}", error.message()));
        }
        last_line = Some(line);
    }
    match findings.finish() {
        Ok(problems) | Err(Report { problems }) => Report { problems },
    }
}

impl Context<'_, '_> {
    fn plan(&mut self, raw: &Table, document: &DeTable<'_>) -> Option<(Plan, App, Vec<RouteSummary>)> {
        let server = raw.table("server");
        let listeners = server.and_then(|server| self.listeners(server));
        let upstream = server.and_then(|server| self.upstream(server));
        let public_url = server.and_then(|server| self.public_url(server));
        let health = raw.table("admin").and_then(|admin| self.address(admin, "health"));
        let inspector = raw.table("admin").and_then(|admin| self.inspector(admin));
        let own = [("health", health), ("inspector", inspector)];
        self.overlaps(raw, listeners.as_deref().unwrap_or_default(), upstream.as_ref(), own);
        let limits = raw.table("limits").map(|limits| self.limits(limits));
        let client = raw.table("client_ip").and_then(|table| self.client(table));
        self.lists = self.ip_lists(raw);
        let schemes = compile_scheme::schemes(self, raw, document);
        let replay = self.replay(raw);
        let Routes { compiled: routes, summaries, paths } = compile_routes::routes(self, raw, schemes, limits.as_ref());
        if let (Some(replay), Some(limits)) = (&replay, &limits) {
            self.remembered_long_enough(raw, &routes, replay, limits);
        }
        let (app, framework, targets) = self.targets(raw, &paths)?;
        if framework == Framework::NextJs {
            self.next_limits(raw);
        }
        self.idle_lists();
        self.allowlists(raw, listeners.as_deref().unwrap_or_default(), client.as_ref());
        let (token, otlp) = (self.token(raw), self.otlp(raw));
        let choice = |table: &str, key: &str| raw.table(table).and_then(|table| table.text(key)).map(|(text, _)| text);
        let plan = Plan {
            fingerprint: self.fingerprint(raw, &routes, &summaries),
            listeners: listeners?.into_iter().map(Arc::new).collect(),
            upstream: Arc::new(upstream?),
            public_url,
            unmatched: if choice("server", "unmatched")? == "deny" { Unmatched::Deny } else { Unmatched::Forward },
            framework,
            base_path: app.base_path.as_str().into(),
            targets: targets?,
            client: client?,
            health,
            inspector,
            limits: limits?,
            log: if choice("telemetry", "log")? == "text" { LogFormat::Text } else { LogFormat::Json },
            otlp: otlp.ok()?,
            replay: replay?,
            routes,
            token: token.ok()?,
            allow_route_removal: server.and_then(|server| server.bool("allow_route_removal"))?,
            ip_lists: self.lists.drain(..).map(|list| list.named).collect(),
        };
        Some((plan, app, summaries))
    }

    fn limits(&mut self, table: &Table) -> Limits {
        let size = |key: &str| table.integer(key).unwrap_or_default();
        let count = |key: &str| table.integer(key).and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
        let time = |key: &str| table.duration(key).unwrap_or_default();
        let limits = Limits {
            max_body: size("max_body"),
            buffered_bytes: size("buffered_bytes"),
            max_connections: count("max_connections"),
            max_headers: count("max_headers"),
            max_head: count("max_head"),
            head_timeout: time("head_timeout"),
            body_timeout: time("body_timeout"),
            idle_timeout: time("idle_timeout"),
            connect_timeout: time("connect_timeout"),
            upstream_max: time("upstream_max"),
            upgrade_timeout: time("upgrade_timeout"),
            drain: time("drain"),
        };
        if table.integer("buffered_bytes").is_some_and(|buffered| limits.max_body > buffered) {
            let what = format!("is more than limits.buffered_bytes ({})", show_size(limits.buffered_bytes));
            self.findings.error(&table.spot_of("max_body"), what, "raise limits.buffered_bytes or lower this");
        }
        limits
    }

    /// Limits that hookward would keep and the app behind it would not.
    fn next_limits(&mut self, raw: &Table) {
        let tables = raw.table("limits").into_iter();
        let tables = tables.chain(raw.table("routes").into_iter().flat_map(Table::named).map(|(_, route)| route));
        for table in tables {
            if table.integer("max_body").is_some_and(|max_body| max_body >= NEXT_BODY_CLONE) {
                let what = "with any middleware, Next.js cuts bodies at 10 MB and still runs the handler";
                self.findings.warn(&table.spot_of("max_body"), what, "stay below \"10MB\"");
            }
            if table.integer("max_head").is_some_and(|max_head| max_head > NODE_MAX_HEAD) {
                let hint = "start Node.js with --max-http-header-size, or write \"16KiB\"";
                self.findings.warn(&table.spot_of("max_head"), "Node.js refuses heads above 16 KiB (431)", hint);
            }
        }
    }

    /// `None` inside: refused. `paths` are those of all routes that have a readable one.
    fn targets(
        &mut self,
        raw: &Table,
        paths: &[(String, RoutePath, Spot)],
    ) -> Option<(App, Framework, Option<Targets>)> {
        let table = raw.table("app")?;
        let framework = match table.text("framework") {
            Some(("none", _)) => Framework::None,
            _ => Framework::NextJs,
        };
        let base_path = table.text("base_path").map(|(text, _)| text).unwrap_or_default();
        let asset_prefix = table.text("asset_prefix").map(|(text, _)| text).unwrap_or_default();
        let locales: Vec<String> = table.texts("locales").map(|(locale, _)| locale.to_owned()).collect();
        if framework == Framework::None && !locales.is_empty() {
            let hint = "remove it, or write framework = \"nextjs\"";
            self.findings.warn(&table.spot_of("locales"), "locales are a matter of Next.js", hint);
        }
        if framework == Framework::None && !asset_prefix.is_empty() {
            let hint = "remove it, or write framework = \"nextjs\"";
            self.findings.warn(&table.spot_of("asset_prefix"), "an asset prefix is a matter of Next.js", hint);
        }
        let mut aliases: Vec<(RoutePath, &Spot)> = Vec::new();
        for (text, spot) in table.texts("aliases") {
            match RoutePath::parse(text) {
                Ok(path) => aliases.push((path, spot)),
                Err(error) => compile_routes::path_problem(&mut self.findings, (text, spot), error),
            }
        }
        let routes: Vec<RoutePath> = paths.iter().map(|(_, path, _)| path.clone()).collect();
        let alias_paths: Vec<RoutePath> = aliases.iter().map(|(path, _)| path.clone()).collect();
        let spec = TargetSpec {
            framework,
            base_path,
            asset_prefix,
            locales: &locales,
            aliases: &alias_paths,
            routes: &routes,
        };
        let targets = match Targets::compile(spec) {
            Ok(targets) => Some(targets),
            Err(faults) => {
                for fault in faults {
                    self.target_problem(table, paths, &aliases, fault);
                }
                None
            }
        };
        let aliases = alias_paths.iter().map(RoutePath::to_string).collect();
        let (base_path, asset_prefix) = (base_path.to_owned(), asset_prefix.to_owned());
        Some((App { base_path, asset_prefix, locales, aliases }, framework, targets))
    }

    fn target_problem(
        &mut self,
        app: &Table,
        paths: &[(String, RoutePath, Spot)],
        aliases: &[(RoutePath, &Spot)],
        fault: SpecFault,
    ) {
        let route = |index: usize| paths.get(index).map(|(name, _, _)| format!("routes.{name}")).unwrap_or_default();
        let path_spot = |index: usize| paths.get(index).map(|(_, _, spot)| spot.clone()).unwrap_or_default();
        let alias_spot = |index: usize| aliases.get(index).map(|(_, spot)| (*spot).clone()).unwrap_or_default();
        let (spot, what, hint) = match fault {
            SpecFault::BasePath(error) => (
                app.spot_of("base_path"),
                format!("is not a plain path: {error}"),
                "write \"\" or \"/docs\"".to_owned(),
            ),
            SpecFault::AssetPrefix(error) => (
                app.spot_of("asset_prefix"),
                format!("is not a plain path: {error}"),
                "write the path of the app's assetPrefix alone, as in \"/cdn\"".to_owned(),
            ),
            SpecFault::Locale(index) => {
                let spot = app.texts("locales").nth(index).map(|(_, spot)| spot.clone()).unwrap_or_default();
                (
                    spot,
                    "is not a locale: letters, digits, `-` and `_`".to_owned(),
                    "write \"en\" or \"en-US\"".to_owned(),
                )
            }
            SpecFault::Collision(earlier, later) => (
                path_spot(later),
                format!("is the path of {} too (case does not count)", route(earlier)),
                "give each route its own path, or put both secrets into one route".to_owned(),
            ),
            SpecFault::Shadow(first, second) => (
                path_spot(first),
                format!("the app may read this path as that of {}, which has other secrets", route(second)),
                "rename one of the two".to_owned(),
            ),
            SpecFault::RouteReadsAsAlias(index) => (
                path_spot(index),
                "the app may read this path as one of app.aliases, which are refused".to_owned(),
                "remove the alias, or rename one of the two".to_owned(),
            ),
            SpecFault::AliasInsideRoute(alias, index) => (
                alias_spot(alias),
                format!("lies inside {}, which protects it already", route(index)),
                "remove it".to_owned(),
            ),
        };
        self.findings.error(&spot, what, hint);
    }

    /// A deadline that the upstream limit would cut.
    pub(super) fn deadline_fits(&mut self, spot: &Spot, deadline: Duration, limits: Option<&Limits>) {
        let Some(longest) = limits.map(|limits| limits.upstream_max).filter(|longest| !longest.is_zero()) else {
            return;
        };
        if deadline > longest {
            let what =
                format!("{} is longer than limits.upstream_max ({})", show_duration(deadline), show_duration(longest));
            self.findings.error(spot, what, "raise limits.upstream_max or lower this");
        }
    }
}
