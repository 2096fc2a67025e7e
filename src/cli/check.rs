//! `hookward check`: what the configuration protects, and everything that is odd about it.
//!
//! The table goes to standard output, problems to standard error. Exit 1 on any problem, 0 with warnings. Must never show a
//! part of a secret, nor touch the network.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::config_file;
use super::run::fail;
use crate::clock;
use crate::config::{
    self, Environment, ListOrigin, ListSummary, Loaded, Origin, Problem, Report, RouteSummary, Severity, System,
};
use crate::ip_lists::{IpLists, WithLists};
use crate::plan::{ReplayMode, ReplayStore, Route, Unmatched};

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration; else `HOOKWARD_CONFIG`, `./hookward.toml`, `/etc/hookward/hookward.toml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A Next.js build's `.next/routes-manifest.json`: finds undeclared ways to a protected route.
    #[arg(long, value_name = "FILE")]
    next_manifest: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    let path = match config_file::find(args.config.as_deref()) {
        Ok(path) => path,
        Err(error) => return fail(&error),
    };
    let lists = Arc::new(IpLists::default());
    let environment = WithLists::new(System, Arc::clone(&lists));
    let checked = check(&path, args.next_manifest.as_deref(), &environment, clock::unix_now(), out);
    let complained = lists.complaints().iter().try_for_each(|complaint| writeln!(out, "warning: {complaint}"));
    match complained.and(checked) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => fail(&problems),
        Err(error) => fail(&error),
    }
}

/// What belongs on standard error: problems, rendered. Empty: the configuration holds.
pub(crate) fn check(
    path: &Path,
    manifest: Option<&Path>,
    environment: &dyn Environment,
    now: u64,
    out: &mut dyn Write,
) -> io::Result<String> {
    let loaded = match config::load(path, environment) {
        Ok(loaded) => loaded,
        Err(report) => return Ok(report.to_string()),
    };
    let found = match manifest.map(|manifest| inspect(manifest, &loaded)).transpose() {
        Ok(found) => found.unwrap_or_default(),
        Err(problem) => return Ok(problem),
    };
    table(path, &loaded, now, out)?;
    let (problems, notices): (Vec<&Problem>, Vec<&Problem>) =
        loaded.notices.iter().chain(&found).partition(|problem| problem.severity == Severity::Error);
    if !notices.is_empty() {
        writeln!(out)?;
    }
    for notice in &notices {
        writeln!(out, "{notice}")?;
    }
    if problems.is_empty() {
        return Ok(String::new());
    }
    Ok(Report { problems: problems.into_iter().cloned().collect() }.to_string())
}

fn inspect(path: &Path, loaded: &Loaded) -> Result<Vec<Problem>, String> {
    let manifest = fs::read_to_string(path).map_err(|error| {
        format!(
            "{}: cannot be read: {error}\n  hint: run `next build`, or name the file in its distDir",
            path.display()
        )
    })?;
    // Beside it, unless the app has no App Router.
    let handlers = fs::read_to_string(path.with_file_name("app-path-routes-manifest.json")).ok();
    Ok(config::inspect_next_manifest(&manifest, handlers.as_deref(), path, loaded))
}

fn table(path: &Path, loaded: &Loaded, now: u64, out: &mut dyn Write) -> io::Result<()> {
    let plan = &loaded.plan;
    writeln!(out, "{}", path.display())?;
    for listener in &plan.listeners {
        let tls = if listener.tls.is_some() { " (TLS)" } else { "" };
        let proxies = if listener.proxies.is_some() { " (PROXY protocol)" } else { "" };
        writeln!(out, "  {}{tls}{proxies} -> {}", listener.address, plan.upstream)?;
    }
    let unmatched = match plan.unmatched {
        Unmatched::Forward => "passes through, unverified",
        Unmatched::Deny => "is answered 404",
    };
    writeln!(out, "  everything else {unmatched}")?;
    for alias in &loaded.app.aliases {
        writeln!(out, "  {}{alias} is refused: an alias of a protected route", loaded.app.base_path)?;
    }
    if let Some(health) = plan.health {
        writeln!(out, "  /livez, /readyz and /metrics on {health}")?;
    }
    if let Some(inspector) = plan.inspector {
        writeln!(out, "  the inspector on {inspector}")?;
    }
    if let Some(collector) = &plan.otlp {
        writeln!(out, "  spans go to {}", collector.endpoint)?;
    }
    if let Some(token) = &plan.token {
        let ttl = config::show_duration(Duration::from_secs(token.ttl()));
        writeln!(out, "  verified-event-token: {} for {}, {ttl}", token.algorithm(), token.audience())?;
    }
    if plan.routes.iter().any(|route| route.replay != ReplayMode::Off) {
        let ttl = config::show_duration(plan.replay.ttl);
        match &plan.replay.store {
            ReplayStore::Memory => writeln!(out, "  deliveries are remembered for {ttl}, in memory: for one replica")?,
            ReplayStore::Redis(place) => writeln!(out, "  deliveries are remembered for {ttl} in {place}")?,
        }
    }
    for (route, summary) in plan.routes.iter().zip(&loaded.summaries) {
        writeln!(out)?;
        writeln!(out, "{}", route.name)?;
        for (what, value) in rows(route, summary, &loaded.app.base_path, now) {
            writeln!(out, "  {what:<10} {value}")?;
        }
        for (number, source) in summary.secrets.iter().enumerate() {
            let what = if number == 0 { "secrets" } else { "" };
            let origin = match &source.origin {
                Origin::Variable(name) => format!("env {name}"),
                Origin::File(file) => format!("file {}", file.display()),
                Origin::Inline => "insecure_value".to_owned(),
            };
            writeln!(out, "  {what:<10} {} ({origin})", source.label)?;
        }
    }
    Ok(())
}

fn rows(route: &Route, summary: &RouteSummary, base_path: &str, now: u64) -> Vec<(&'static str, String)> {
    let mut clients: Vec<String> = match &route.allow_ips {
        None => vec!["any address".to_owned()],
        Some(allowed) if allowed.set.is_everything() => vec!["everyone is on the list".to_owned()],
        Some(_) if summary.allow_ips == 0 => Vec::new(),
        Some(_) => vec![entries(summary.allow_ips)],
    };
    clients.extend(summary.lists.iter().map(|list| describe(list, now)));
    let clients = std::iter::once("clients").chain(std::iter::repeat("")).zip(clients);
    let tolerance = match route.scheme.default_tolerance() {
        Some(_) => format!("{} either way", config::show_duration(Duration::from_secs(route.tolerance))),
        None => "none: this provider signs no time".to_owned(),
    };
    let events = if route.events.patterns.is_empty() { "all".to_owned() } else { route.events.patterns.join(", ") };
    let mut rows = vec![
        ("path", format!("{base_path}{}", route.path)),
        ("methods", route.allow.to_str().unwrap_or_default().to_owned()),
        ("provider", route.provider.to_string()),
    ];
    rows.extend(clients);
    rows.extend([
        ("tolerance", tolerance),
        ("deadline", config::show_duration(route.deadline)),
        ("max_body", config::show_size(route.max_body)),
        ("events", events),
        ("replay", replayed(route).to_owned()),
        ("retry", retried(route)),
    ]);
    if route.reported.any() {
        rows.push(("only logs", reported(route)));
    }
    rows
}

fn replayed(route: &Route) -> &'static str {
    match route.replay {
        ReplayMode::Off => "off: every delivery runs",
        ReplayMode::Dedupe => "each id runs once",
        ReplayMode::Content => "each signed content runs once",
    }
}

fn retried(route: &Route) -> String {
    let retry = &route.retry;
    if retry.attempts == 1 {
        return "none".to_owned();
    }
    let statuses: Vec<&str> = retry.on_status.iter().map(StatusCode::as_str).collect();
    let after = if statuses.is_empty() { String::new() } else { format!(", also after {}", statuses.join(", ")) };
    format!("up to {} times within {}{after}", retry.attempts, config::show_duration(retry.within))
}

fn reported(route: &Route) -> String {
    let reported = route.reported;
    let all = [(reported.ip, "ip"), (reported.timestamp, "timestamp"), (reported.signature, "signature")];
    let listed: Vec<&str> = all.into_iter().filter(|(is_listed, _)| *is_listed).map(|(_, name)| name).collect();
    format!("{}: what they would refuse is forwarded, unverified", listed.join(", "))
}

fn entries(count: usize) -> String {
    match count {
        1 => "1 address or network".to_owned(),
        count => format!("{count} addresses and networks"),
    }
}

/// `svix: 20 addresses and networks, 142 days old, built in`.
fn describe(list: &ListSummary, now: u64) -> String {
    if list.is_pending() {
        return format!("{}: nothing yet: 503 until it is fetched for the first time", list.name);
    }
    let age = list.as_of.map(|as_of| age(now.saturating_sub(as_of))).unwrap_or_default();
    let rest = match list.origin {
        ListOrigin::BuiltIn { older: false } => format!(", {age} old, built in"),
        ListOrigin::BuiltIn { older: true } => format!(", at least {age} old, built in"),
        ListOrigin::Fetched => format!(", fetched {age} ago"),
        ListOrigin::File => String::new(),
    };
    format!("{}: {}{rest}", list.name, entries(list.entries))
}

/// In the largest unit that fits: nobody needs more.
fn age(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let fits = UNITS.iter().find(|(unit, _)| seconds >= *unit).unwrap_or(&(1, "second"));
    match seconds.checked_div(fits.0).unwrap_or_default() {
        1 => format!("1 {}", fits.1),
        count => format!("{count} {}s", fits.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ListSource, Listed};

    const CONFIG: &str = r#"
[app]
base_path = "/docs"
aliases = ["/hooks/clerk"]
[admin]
health = "0.0.0.0:9090"
inspector = "127.0.0.1:9091"
[client_ip]
trusted_proxies = ["10.0.3.7"]
[verified_event.token]
key = { env = "TOKEN" }
[routes.clerk]
path = "/api/webhooks/clerk"
provider = "clerk"
secrets = [{ env = "CLERK" }, { label = "next", file = "/run/next", optional = true }, { label = "test", insecure_value = "whsec_bmV2ZXIgc2hvd24gbmV2ZXIgc2hvd24=" }]
allow_ips = ["192.0.2.0/25", "192.0.2.128/25"]
events = ["user.*", "sms.created"]
[routes.github]
path = "/api/webhooks/github"
provider = "github"
replay = "content"
retry = { attempts = 2, within = "1s", on_status = [503] }
secrets = [{ env = "GITHUB" }]
"#;

    /// 2026-11-21.
    const NOW: u64 = 1_795_219_200;

    struct Fake(&'static str);

    impl Environment for Fake {
        fn variable(&self, name: &str) -> Option<Vec<u8>> {
            match name {
                "CLERK" => Some(b"whsec_bm90IHNob3duIGVpdGhlciwgbmV2ZXI=".to_vec()),
                "TOKEN" => Some(b"nor is this key ever shown, never".to_vec()),
                "GITHUB" => Some(b"neither is this one shown".to_vec()),
                _ => None,
            }
        }

        fn variable_names(&self) -> Vec<String> {
            Vec::new()
        }

        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            if path == Path::new("hookward.toml") {
                Ok(self.0.as_bytes().to_vec())
            } else if path == Path::new("/lists/own") {
                Ok(b"192.0.2.1\n2001:db8::/32\n".to_vec())
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        }

        fn list(&self, source: &ListSource) -> Option<Listed> {
            let entries = Arc::new([crate::check::ip::parse_entry("192.0.2.9").unwrap()]);
            (&*source.name == "cached").then_some(Listed { entries, as_of: NOW - 3_700 })
        }
    }

    fn checked(config: &'static str, manifest: Option<&Path>) -> (String, String) {
        let mut out = Vec::new();
        let problems = check(Path::new("hookward.toml"), manifest, &Fake(config), NOW, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), problems)
    }

    #[test]
    fn shows_the_whole_routing_table() {
        let (out, problems) = checked(CONFIG, None);
        assert_eq!(problems, "");
        assert_eq!(
            out,
            r"hookward.toml
  0.0.0.0:8080 -> http://127.0.0.1:3000
  everything else passes through, unverified
  /docs/hooks/clerk is refused: an alias of a protected route
  /livez, /readyz and /metrics on 0.0.0.0:9090
  the inspector on 127.0.0.1:9091
  verified-event-token: HS256 for app, 1m
  deliveries are remembered for 30h, in memory: for one replica

clerk
  path       /docs/api/webhooks/clerk
  methods    POST
  provider   clerk
  clients    2 addresses and networks
  tolerance  5m either way
  deadline   13s
  max_body   1MiB
  events     user.*, sms.created
  replay     each id runs once
  retry      up to 3 times within 5s
  secrets    current (env CLERK)
             test (insecure_value)

github
  path       /docs/api/webhooks/github
  methods    POST
  provider   github
  clients    any address
  tolerance  none: this provider signs no time
  deadline   8s
  max_body   1MiB
  events     all
  replay     each signed content runs once
  retry      up to 2 times within 1s, also after 503
  secrets    current (env GITHUB)

hookward.toml:15:56: note: routes.clerk.secrets[1].file: /run/next does not exist: this optional secret is skipped
hookward.toml:15:123: warning: routes.clerk.secrets[2].insecure_value: the secret is in the configuration: whoever can read this file can sign
  hint: use `env` or `file` outside of tests
"
        );
    }

    #[test]
    fn shows_the_size_and_the_age_of_each_list() {
        let (out, problems) = checked(
            r#"
[client_ip]
trusted_proxies = ["10.0.3.7"]
[routes.clerk]
path = "/clerk"
provider = "clerk"
secrets = [{ env = "CLERK" }]
allow_ips = ["svix", "192.0.2.1", "github", "cached", "later", "file:/lists/own"]
[routes.one]
path = "/one"
provider = "github"
secrets = [{ env = "GITHUB" }]
allow_ips = ["svix-us-east"]
[ip_lists.cached]
url = "https://lists.example/cached"
[ip_lists.later]
url = "https://lists.example/later"
"#,
            None,
        );
        assert_eq!(problems, "");
        let clients: Vec<&str> = out.lines().skip_while(|line| !line.contains("  clients")).take(6).collect();
        assert_eq!(
            clients,
            [
                "  clients    1 address or network",
                "             svix: 20 addresses and networks, 142 days old, built in",
                "             github: 6 addresses and networks, at least 324 days old, built in",
                "             cached: 1 address or network, fetched 1 hour ago",
                "             later: nothing yet: 503 until it is fetched for the first time",
                "             /lists/own: 2 addresses and networks",
            ]
        );
        assert!(
            out.contains("\n  clients    svix-us-east: 3 addresses and networks, 142 days old, built in\n"),
            "{out}"
        );
    }

    #[test]
    fn an_age_has_one_unit() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (3_599, "59 minutes"),
            (3_600, "1 hour"),
            (86_399, "23 hours"),
            (86_400, "1 day"),
            (172_800, "2 days"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn shows_problems_alone_when_there_is_no_table() {
        let (out, problems) = checked("[routes.x]\nprovider = \"github\"", None);
        assert_eq!(out, "");
        assert!(problems.contains("hookward.toml:1:9: routes.x.path: is missing"), "{problems}");
    }

    #[test]
    fn an_undeclared_way_is_a_problem_beside_the_table() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("routes-manifest.json");
        let page = |page: &str| format!(r#"{{"page":"{page}"}}"#);
        let pages = [page("/api/webhooks/clerk"), page("/api/webhooks/github")].join(",");
        let build = format!(
            r#"{{"basePath":"/docs","staticRoutes":[{pages}],"rewrites":[{{"source":"/docs/old","destination":"/docs/api/webhooks/clerk"}}]}}"#
        );
        fs::write(&file, build).unwrap();
        let (out, problems) = checked(CONFIG, Some(&file));
        assert!(out.contains("clients    2 addresses"));
        assert!(problems.contains("/old is an undeclared way to routes.clerk"), "{problems}");
        assert!(problems.ends_with("1 problem"), "{problems}");
        let (_, problems) = checked(CONFIG, Some(&folder.path().join("none.json")));
        assert!(problems.contains("cannot be read"), "{problems}");
    }
}
