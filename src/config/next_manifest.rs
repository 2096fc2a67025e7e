//! Undeclared ways to a protected route, read from a Next.js build's `routes-manifest.json`.
//!
//! The judge is the gate's own routing table: a way is a path that Next leads to a protected route and that the table would
//! pass through unverified. Pure: text in, problems out. Must never call a build safe: middleware is not in this file
//! (NEXTJS.md, "Limit"). Source: `next build` of 14.2 to 16.4.

mod pattern;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use http::uri::Authority;
use serde_json::Value;

use self::pattern::Pattern;
use super::Loaded;
use super::hint::nearest;
use super::problem::{Problem, Severity};
use crate::check::target::{Framework, RoutePath, Verdict};

/// The parameter with which Next prefixes rewrites of localised apps.
const LOCALE: &str = "nextInternalLocale";
/// Rewrites that lead to rewrites that lead to …: a bound on the work.
const MOST_WAYS: usize = 256;
/// Where people put the handlers of these senders: `/api/stripe`.
const SENDERS: &[&str] = &["clerk", "stripe", "github", "slack", "shopify", "svix"];

/// Compares a build with a configuration. `handlers` is the text of `app-path-routes-manifest.json`, which tells handlers
/// from pages; `file` names the manifest in problems.
pub fn inspect(manifest: &str, handlers: Option<&str>, file: &Path, loaded: &Loaded) -> Vec<Problem> {
    let mut inspection = Inspection { file: file.display().to_string(), loaded, problems: Vec::new() };
    match serde_json::from_str::<Value>(manifest) {
        Ok(value) if value.get("staticRoutes").is_some() || value.get("dynamicRoutes").is_some() => {
            inspection.run(&value, handlers.and_then(|text| serde_json::from_str(text).ok()).as_ref());
        }
        Ok(_) => inspection.add(
            Severity::Error,
            "",
            "is not a routes-manifest.json: it has no staticRoutes",
            "name the file that `next build` writes: .next/routes-manifest.json",
        ),
        Err(error) => {
            inspection.add(Severity::Error, "", format!("is not JSON: {error}"), "run `next build` again");
        }
    }
    inspection.problems
}

struct Inspection<'l> {
    file: String,
    loaded: &'l Loaded,
    problems: Vec<Problem>,
}

/// A rewrite of the app, without base path and locale.
struct Rewrite {
    /// `rewrites.afterFiles[2]`.
    key: String,
    shown: String,
    source: Pattern,
    destination: Pattern,
    /// The destination is a URL of some other host, which may still be this app by another name.
    absolute: bool,
    /// `basePath: false`: its source is outside of the base path.
    outside: bool,
    /// It leads to one of Next's own paths, such as the image optimizer, which asks the app for others.
    internal: bool,
}

/// A path that leads to a protected route.
struct Way {
    path: String,
    /// Everything below it does as well.
    below: bool,
    route: usize,
}

impl Inspection<'_> {
    fn run(&mut self, manifest: &Value, handlers: Option<&Value>) {
        let app = &self.loaded.app;
        if self.loaded.plan.framework == Framework::None {
            let what =
                "app.framework is \"none\", and this is a Next.js build: its own spellings of paths are not refused";
            self.add(Severity::Error, "app.framework", what, "write framework = \"nextjs\"");
        }
        let base_path = manifest.get("basePath").and_then(Value::as_str).unwrap_or_default();
        if base_path != app.base_path {
            let what = format!("app.base_path is {:?}, and the build's basePath is {base_path:?}", app.base_path);
            self.add(Severity::Error, "app.base_path", what, format!("write base_path = {base_path:?} under [app]"));
        }
        let locales = manifest.pointer("/i18n/locales").and_then(Value::as_array).into_iter().flatten();
        for locale in locales.filter_map(Value::as_str) {
            if !app.locales.iter().any(|declared| declared.eq_ignore_ascii_case(locale)) {
                let what = format!("the locale {locale:?} of the build is not in app.locales");
                self.add(Severity::Error, "app.locales", what, format!("add {locale:?} to locales under [app]"));
            }
        }
        let localised = manifest.get("i18n").is_some_and(|i18n| !i18n.is_null());
        if let Some(prefix) =
            asset_prefix(manifest, base_path).filter(|prefix| localised && *prefix != app.asset_prefix)
        {
            let what = format!("the build's assetPrefix has the path {prefix:?}, which Next.js takes off any path");
            self.add(Severity::Error, "app.asset_prefix", what, format!("write asset_prefix = {prefix:?} under [app]"));
        }
        let rewrites = rewrites(manifest, base_path, &self.loaded.plan.upstream.authority);
        self.ways(&rewrites);
        self.internal_ways(&rewrites);
        let pages = |key: &str| -> Vec<String> {
            let pages = manifest.get(key).and_then(Value::as_array).into_iter().flatten();
            pages
                .filter_map(|entry| entry.get("page")?.as_str())
                .filter(|page| !page.starts_with("/_"))
                .map(str::to_owned)
                .collect()
        };
        let (fixed, dynamic) = (pages("staticRoutes"), pages("dynamicRoutes"));
        self.served(&fixed, &dynamic, &rewrites);
        let handlers = handlers.and_then(Value::as_object).map(|entries| {
            let handlers = entries.iter().filter(|(file, _)| file.ends_with("/route"));
            handlers.filter_map(|(_, page)| page.as_str()).map(str::to_owned).collect::<BTreeSet<String>>()
        });
        for page in fixed.iter().chain(&dynamic) {
            self.unprotected(page, handlers.as_ref());
        }
    }

    /// Follows rewrites backwards from the protected routes, also through each other.
    fn ways(&mut self, rewrites: &[Rewrite]) {
        let routes = self.loaded.plan.routes.iter().enumerate();
        let mut ways: Vec<Way> = routes
            .filter_map(|(route, entry)| {
                let path = RoutePath::parse(&entry.path).ok()?;
                let stem = if path.stem().is_empty() { "/" } else { path.stem() };
                Some(Way { path: stem.to_owned(), below: path.is_prefix(), route })
            })
            .collect();
        let mut reported = BTreeSet::new();
        let mut next = 0_usize;
        while let Some(way) = ways.get(next) {
            let (target, below, route) = (way.path.clone(), way.below, way.route);
            next = next.saturating_add(1);
            for rewrite in rewrites {
                let found = rewrite.destination.ways_to(&target, below);
                let paths = |bindings| {
                    let is_open = rewrite.source.is_open(bindings);
                    rewrite.source.paths(bindings).into_iter().map(move |path| (path, is_open))
                };
                for (path, is_open) in found.iter().flat_map(paths) {
                    self.way(rewrite, (&path, is_open), route, &mut reported);
                    // What leads to a declared alias leads on as well.
                    let known = ways.iter().any(|way| way.path == path || (way.below && is_below(&path, &way.path)));
                    if !known && !rewrite.absolute && ways.len() < MOST_WAYS {
                        ways.push(Way { path, below: false, route });
                    }
                }
            }
        }
    }

    /// Rewrites to Next's own paths from others that do not look like them.
    fn internal_ways(&mut self, rewrites: &[Rewrite]) {
        for rewrite in rewrites.iter().filter(|rewrite| rewrite.internal) {
            let paths = rewrite.source.paths(&Vec::new());
            let is_seen = |path: &String| path.split('/').any(|segment| segment.eq_ignore_ascii_case("_next"));
            let asked = |path: &String| if rewrite.outside { path.clone() } else { self.full(path) };
            let is_open = |path: &String| self.verdict(&asked(path)) == Verdict::Unmatched;
            let Some(path) = paths.iter().find(|path| !is_seen(path) && is_open(path)) else { continue };
            let what = format!(
                "{}: an undeclared way to what Next.js serves itself, and through it to any path",
                rewrite.shown
            );
            let hint = format!("add {path:?} to aliases under [app], or remove the rewrite");
            self.add(Severity::Error, &rewrite.key, what, hint);
        }
    }

    /// `is_open`: the path is a sample of more than can be listed.
    fn way(
        &mut self,
        rewrite: &Rewrite,
        (path, is_open): (&str, bool),
        route: usize,
        reported: &mut BTreeSet<(String, usize)>,
    ) {
        let verdict = if rewrite.outside { self.verdict(path) } else { self.verdict(&self.full(path)) };
        let name = self.name(route);
        match verdict {
            // Declared as an alias, or already a shadow of the route.
            Verdict::Refused(_) => {}
            Verdict::Route(own) if own == route => {}
            Verdict::Route(other) => {
                if reported.insert((rewrite.key.clone(), route)) {
                    let what = format!(
                        "{}: from {}, whose secrets are other ones, to {name}",
                        rewrite.shown,
                        self.name(other)
                    );
                    self.add(Severity::Warning, &rewrite.key, what, "let the app's rewrites stay inside one route");
                }
            }
            Verdict::Unmatched if rewrite.absolute => {
                if reported.insert((rewrite.key.clone(), route)) {
                    let what =
                        format!("{}: if that host is this app, {path} is an undeclared way to {name}", rewrite.shown);
                    self.add(
                        Severity::Warning,
                        &rewrite.key,
                        what,
                        format!("if it is, add {path:?} to aliases under [app]"),
                    );
                }
            }
            Verdict::Unmatched => {
                if reported.insert((rewrite.key.clone(), route)) {
                    let what = format!("{}: {path} is an undeclared way to {name}", rewrite.shown);
                    // Never a stem that holds more than the rewrite: an alias refuses all that lies below it.
                    let stem = rewrite.source.stem().filter(|stem| *stem != self.loaded.app.base_path);
                    let all = stem.map(|stem| format!("\"{stem}/*\""));
                    let hint = match (all, is_open) {
                        (Some(all), true) => format!("add {all} to aliases under [app], or remove the rewrite"),
                        (None, true) => {
                            "no alias names all of its paths: remove the rewrite, or give it a beginning of its own"
                                .to_owned()
                        }
                        (Some(all), false) => {
                            format!(
                                "add {path:?}, or {all} for all of them, to aliases under [app], or remove the rewrite"
                            )
                        }
                        (None, false) => format!("add {path:?} to aliases under [app], or remove the rewrite"),
                    };
                    self.add(Severity::Error, &rewrite.key, what, hint);
                }
            }
        }
    }

    /// Whether the protected paths exist, and whether a parameter is behind one.
    fn served(&mut self, fixed: &[String], dynamic: &[String], rewrites: &[Rewrite]) {
        for route in &self.loaded.plan.routes {
            let Ok(path) = RoutePath::parse(&route.path) else { continue };
            let stem = if path.stem().is_empty() { "/" } else { path.stem() };
            let below = path.is_prefix();
            let key = format!("routes.{}.path", route.name);
            if fixed.iter().any(|page| page == stem || (below && is_below(page, stem))) {
                continue;
            }
            match dynamic.iter().find(|page| !Pattern::page(page).ways_to(stem, below).is_empty()) {
                Some(_) if below => {}
                Some(page) => {
                    let what =
                        format!("{} is served by {page}, which has other spellings and other senders", route.path);
                    let prefix = page.split('[').next().unwrap_or_default();
                    self.add(Severity::Warning, &key, what, format!("protect all of it: path = \"{prefix}*\""));
                }
                None if rewrites.iter().any(|rewrite| !rewrite.source.ways_to(stem, below).is_empty()) => {}
                None => {
                    let near = nearest(stem, fixed.iter().map(String::as_str));
                    let hint = near.map_or_else(
                        || "compare it with the app's files".to_owned(),
                        |near| format!("did you mean {near:?}?"),
                    );
                    self.add(Severity::Warning, &key, format!("the build has nothing at {}", route.path), hint);
                }
            }
        }
    }

    /// A handler that looks like a webhook's and that anyone may call.
    fn unprotected(&mut self, page: &str, handlers: Option<&BTreeSet<String>>) {
        let in_api = page == "/api" || page.starts_with("/api/");
        let is_handler = in_api || handlers.is_some_and(|handlers| handlers.contains(page));
        // Known to be a page for people.
        if !is_handler && handlers.is_some() {
            return;
        }
        let lower = page.to_ascii_lowercase();
        let words = || lower.split(|c: char| !c.is_ascii_alphanumeric());
        let named = lower.contains("webhook") || words().any(|word| matches!(word, "hook" | "hooks" | "svix"));
        let sender = words().rfind(|word| !word.is_empty()).is_some_and(|last| SENDERS.contains(&last));
        let open = Pattern::page(page)
            .paths(&Vec::new())
            .into_iter()
            .find(|path| self.verdict(&self.full(path)) == Verdict::Unmatched);
        if open.is_none() || !(named || sender) {
            return;
        }
        let path = match page.split_once('[') {
            Some((stem, _)) => format!("{stem}*"),
            None => page.to_owned(),
        };
        let hint = format!("add [routes.NAME] with path = {path:?}, provider and secrets");
        if named && is_handler {
            self.add(
                Severity::Error,
                "",
                format!("{page} looks like a webhook's handler, and no route protects it"),
                hint,
            );
        } else {
            let what = format!("{page} may be a webhook's handler, and no route protects it");
            self.add(Severity::Warning, "", what, format!("if it is, {hint}"));
        }
    }

    fn full(&self, path: &str) -> String {
        let base = &self.loaded.app.base_path;
        if path == "/" && !base.is_empty() { base.clone() } else { format!("{base}{path}") }
    }

    fn verdict(&self, path: &str) -> Verdict {
        self.loaded.plan.targets.classify(b"POST", path.as_bytes())
    }

    fn name(&self, route: usize) -> String {
        self.loaded.plan.routes.get(route).map(|route| format!("routes.{}", route.name)).unwrap_or_default()
    }

    fn add(&mut self, severity: Severity, key: &str, what: impl Into<Box<str>>, hint: impl Into<Box<str>>) {
        self.problems.push(Problem {
            severity,
            file: self.file.as_str().into(),
            position: None,
            key: key.into(),
            what: what.into(),
            hint: Some(hint.into()),
        });
    }
}

/// All rewrites; older versions write one list instead of three.
fn rewrites(manifest: &Value, base_path: &str, upstream: &Authority) -> Vec<Rewrite> {
    let mut all = Vec::new();
    let Some(rewrites) = manifest.get("rewrites") else { return all };
    let lists = [("rewrites", Some(rewrites))].into_iter().chain(
        [
            ("rewrites.beforeFiles", "beforeFiles"),
            ("rewrites.afterFiles", "afterFiles"),
            ("rewrites.fallback", "fallback"),
        ]
        .map(|(shown, key)| (shown, rewrites.get(key))),
    );
    for (shown, list) in lists {
        for (index, entry) in list.and_then(Value::as_array).into_iter().flatten().enumerate() {
            all.extend(rewrite(format!("{shown}[{index}]"), entry, base_path, upstream));
        }
    }
    all
}

fn rewrite(key: String, entry: &Value, base_path: &str, upstream: &Authority) -> Option<Rewrite> {
    let source = entry.get("source")?.as_str()?;
    let destination = entry.get("destination")?.as_str()?;
    let outside = entry.get("basePath") == Some(&Value::Bool(false));
    let absolute = destination.split_once("://").is_some_and(|(_, rest)| !is_app(rest, upstream));
    // Of a URL, the path; of a path, what stands before the query.
    let path = match destination.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => destination,
    };
    let path = resolved(path.split(['?', '#']).next().unwrap_or_default());
    let plain = |pattern: Pattern| pattern.without_prefix(base_path).without_leading(LOCALE);
    let destination = plain(Pattern::destination(&path));
    let pattern = if outside { Pattern::rewrite(source) } else { plain(Pattern::rewrite(source)) };
    Some(Rewrite {
        key,
        shown: format!("{source} -> {}", entry.get("destination")?.as_str()?),
        source: pattern,
        internal: destination.is_inside("/_next"),
        destination,
        absolute,
        outside,
    })
}

/// Without empty and dot segments, and without a slash at the end: as Next compares it.
fn resolved(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

/// The path of the build's `assetPrefix`, for which Next writes a rewrite of its own before all others.
fn asset_prefix<'m>(manifest: &'m Value, base_path: &str) -> Option<&'m str> {
    let rewrites = manifest.get("rewrites")?;
    let first = rewrites.get("beforeFiles").unwrap_or(rewrites).as_array()?.first()?;
    let prefix = first.get("source")?.as_str()?.strip_suffix("/_next/:path+")?;
    let leads_home = first.get("destination")?.as_str()?.strip_prefix(base_path)? == "/_next/:path+";
    Some(prefix).filter(|prefix| leads_home && !prefix.is_empty())
}

/// Whether `host:port/…` is the app's own address: what hookward calls it, or this machine at the same port.
fn is_app(rest: &str, upstream: &Authority) -> bool {
    let Ok(authority) = rest.split(['/', '?', '#']).next().unwrap_or_default().parse::<Authority>() else {
        return false;
    };
    let is_here = |host: &str| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    };
    let same_host = authority.host().eq_ignore_ascii_case(upstream.host()) || is_here(authority.host());
    same_host && authority.port_u16().unwrap_or(80) == upstream.port_u16().unwrap_or(80)
}

fn is_below(path: &str, stem: &str) -> bool {
    stem == "/" || path.strip_prefix(stem).is_some_and(|rest| rest.starts_with('/'))
}
