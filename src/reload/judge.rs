//! What a new plan means beside the old one: what it would take away, what it checks less of, what waits for a restart, which
//! secrets come and go.
//!
//! Pure. Must never name anything of a secret but its label.

use std::net::SocketAddr;

use crate::config::{Problem, Report, Severity};
use crate::plan::{Plan, ReplayMode, ReplayStore, Route, Unmatched};

/// Every error of a report, one line each.
pub(super) fn problems(report: &Report) -> Vec<String> {
    report.problems.iter().filter(|problem| problem.severity == Severity::Error).map(line).collect()
}

/// A finding in one line.
pub(super) fn line(problem: &Problem) -> String {
    problem.to_string().trim_end().replace("\n  hint: ", "; ").replace('\n', " ")
}

/// # Errors
/// One line for each thing that `new` would no longer protect, unless it says that this is meant.
pub(super) fn protection(old: &Plan, new: &Plan) -> Result<(), Vec<String>> {
    let mut lost = old.targets.lost(&new.targets);
    if (old.unmatched, new.unmatched) == (Unmatched::Deny, Unmatched::Forward) {
        lost.push("every path that no route matches (server.unmatched)".to_owned());
    }
    if lost.is_empty() || new.allow_route_removal {
        return Ok(());
    }
    let say =
        |what| format!("{what} would lose its protection; write server.allow_route_removal = true if that is meant");
    Err(lost.into_iter().map(say).collect())
}

/// One line for each check that a route of `new` has no more. Applied all the same: whoever edits a route may mean it.
pub(super) fn weaker(old: &Plan, new: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for route in &new.routes {
        let name = &route.name;
        let (named, placed): (Vec<&Route>, Vec<&Route>) = old
            .routes
            .iter()
            .filter(|before| before.name == *name || before.path == route.path)
            .partition(|before| before.name == *name);
        if let (true, Some(before)) = (named.is_empty(), placed.first())
            && before.replay != ReplayMode::Off
        {
            lines.push(format!("route {name} was {}: it knows nothing of what that one has run", before.name));
        }
        let before: Vec<&Route> = named.into_iter().chain(placed).collect();
        let had = |check: fn(&Route) -> bool| before.iter().any(|before| check(before));
        if had(|before| before.allow_ips.is_some()) && route.allow_ips.is_none() {
            lines.push(format!("route {name} takes deliveries from any address now (allow_ips)"));
        }
        if had(|before| before.replay != ReplayMode::Off) && route.replay == ReplayMode::Off {
            lines.push(format!("route {name} runs a delivery as often as it is sent now (replay)"));
        }
        let only_logs = (had(|before| !before.reported.ip) && route.reported.ip)
            || (had(|before| !before.reported.timestamp) && route.reported.timestamp)
            || (had(|before| !before.reported.signature) && route.reported.signature);
        if only_logs {
            lines.push(format!("route {name} only logs what it refused before (insecure_report)"));
        }
    }
    lines
}

/// The keys in which `new` differs from what was bound and opened at start.
pub(super) fn needs_restart(started: &Plan, new: &Plan) -> Vec<&'static str> {
    let addresses = |plan: &Plan| {
        let mut addresses: Vec<SocketAddr> = plan.listeners.iter().map(|listener| listener.address).collect();
        addresses.sort_unstable();
        addresses
    };
    let keys = [
        ("server.listen", addresses(started) != addresses(new)),
        ("admin.health", started.health != new.health),
        ("admin.inspector", started.inspector != new.inspector),
        ("telemetry.log", started.log != new.log),
        ("telemetry.otlp", started.otlp != new.otlp),
        ("replay.store", !is_same_store(&started.replay.store, &new.replay.store)),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// Its credentials count too: the connection is made with those of the start.
fn is_same_store(one: &ReplayStore, other: &ReplayStore) -> bool {
    match (one, other) {
        (ReplayStore::Memory, ReplayStore::Memory) => true,
        (ReplayStore::Redis(one), ReplayStore::Redis(other)) => one.is_same(other),
        (ReplayStore::Memory | ReplayStore::Redis(_), _) => false,
    }
}

/// The secrets, as `route/label`, that `new` accepts and `old` does not, and the other way round. A secret whose bytes have
/// changed under its label is both.
pub(super) fn secrets(old: &Plan, new: &Plan) -> (Vec<String>, Vec<String>) {
    (only_in_first(new, old), only_in_first(old, new))
}

fn only_in_first(first: &Plan, second: &Plan) -> Vec<String> {
    let known = |route: &Route, label: &str, bytes: &[u8]| {
        let twin = second.routes.iter().find(|other| other.name == route.name);
        let mut secrets = twin.into_iter().flat_map(|twin| &twin.ingredients.secrets);
        secrets.any(|(other, secret)| **other == *label && secret.expose() == bytes)
    };
    let all = first.routes.iter().flat_map(|route| route.ingredients.secrets.iter().map(move |one| (route, one)));
    all.filter(|(route, (label, secret))| !known(route, label, secret.expose()))
        .map(|(route, (label, _))| format!("{}/{label}", route.name))
        .collect()
}
