//! What can be said of a case without recomputing anything.
//!
//! Must never guess: each fact is something that is there, or is not. Must never hold the value of a header or a secret.

use http::HeaderMap;

use super::case::{Case, Chosen};
use super::judge::Judge;
use super::usage::nearest;
use crate::capture::Note;
use crate::check::signature::SchemeSpec;
use crate::check::target::Verdict as TargetVerdict;
use crate::plan::Unmatched;

/// Something that is so, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    /// Stable and short.
    pub(crate) code: &'static str,
    /// What is so, in one sentence.
    pub(crate) finding: String,
    /// What to do.
    pub(crate) fix: String,
}

impl Fact {
    pub(super) fn new(code: &'static str, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, finding: finding.into(), fix: fix.into() }
    }
}

/// Headers of so many senders that they tell nothing.
const COMMON: &[&str] = &["authorization", "date", "signature", "signature-input", "content-digest", "x-signature"];
/// Providers that are named at most.
const NAMED: usize = 4;

/// Everything that is known before any check.
pub(super) fn known(case: &Case) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(path(case));
    facts.extend(length(&case.request.notes));
    if let Some(judge) = &case.judge {
        facts.extend(secrets(judge));
    }
    facts
}

fn secrets(judge: &Judge) -> Vec<Fact> {
    let problems = judge.problems.iter().map(|(name, problem)| {
        let looks = if judge.looks.is_empty() { String::new() } else { format!(" {}: {}", judge.name, judge.looks) };
        Fact::new("secret_unusable", format!("{name}: {problem}."), format!("{}{looks}", sentence(problem.hint())))
    });
    let warnings = judge.warnings.iter().map(|(name, warning)| {
        let fix = "Copy it again from the provider's dashboard, whole.";
        Fact::new("secret_odd", format!("{name}: {warning}."), fix)
    });
    problems.chain(warnings).collect()
}

/// Where the request would really go.
fn path(case: &Case) -> Option<Fact> {
    let plan = case.plan()?;
    let path = case.path();
    let name = |index: usize| plan.routes.get(index).map(|route| route.name.to_string()).unwrap_or_default();
    match (case.verdict()?, case.chosen) {
        (TargetVerdict::Route(other), Chosen::AsAsked(asked)) => Some(Fact::new(
            "other_route",
            format!("{path} is the path of routes.{}, not of routes.{}.", name(other), name(asked)),
            "Leave out --route to judge it as the gate would.",
        )),
        (TargetVerdict::Unmatched, Chosen::AsAsked(_) | Chosen::OnlyOne(_) | Chosen::Unmatched) => {
            let meant = nearest(&path, plan.routes.iter().map(|route| &*route.path));
            let paths: Vec<String> = plan.routes.iter().map(|route| route.path.to_string()).collect();
            let becomes = match plan.unmatched {
                Unmatched::Forward => "goes to the app unverified",
                Unmatched::Deny => "is answered 404",
            };
            let paths = if meant.is_empty() { paths } else { meant };
            Some(Fact::new(
                "no_route_matches",
                format!("No route matches {path}: a request to it {becomes}."),
                format!("Compare it with {}: app.base_path, capitals and every slash count.", paths.join(", ")),
            ))
        }
        (TargetVerdict::Route(_) | TargetVerdict::Refused(_) | TargetVerdict::Unmatched, _) => None,
    }
}

/// A body that is shorter than it says.
fn length(notes: &[Note]) -> Option<Fact> {
    let fix = "Capture the request again, whole, before anything reads its body.";
    notes.iter().find_map(|note| {
        let finding = match note {
            Note::Truncated { declared, found } => short(*declared, *found),
            Note::LengthDiffers { declared, found } if found < declared => short(*declared, *found),
            Note::ChunkedUnfinished { found } => {
                format!("The last chunk is missing: the body ends after {found} bytes.")
            }
            _other => return None,
        };
        Some(Fact::new("body_cut_off", finding, fix))
    })
}

/// A hint as a sentence.
fn sentence(hint: &str) -> String {
    let mut letters = hint.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(std::iter::once('.')).collect()
}

fn short(declared: usize, found: usize) -> String {
    format!("Content-length says {declared} bytes, and the body has {found}.")
}

/// Whose request it seems to be when the judge's own signature header is not there.
pub(super) fn other_sender(case: &Case, judge: &Judge, headers: &HeaderMap) -> Option<Fact> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in case.catalog.iter().filter(|(name, _)| *name != judge.name) {
        let spec = case.catalog.scheme(name)?;
        if signs_with(spec, headers) && !has_same_headers(spec, &judge.spec) {
            names.push(name);
        }
    }
    let own = case.own_schemes.iter().filter(|(name, spec)| **name != judge.name && signs_with(spec, headers));
    names.extend(own.map(|(name, _)| name.as_str()));
    let (first, _) = names.split_first()?;
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let shown = match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} or {more} others"),
    };
    Some(Fact::new(
        "other_provider",
        format!("The signature headers that are there are those of {shown}, not of {}.", judge.name),
        format!("Judge it by the provider that sends it, such as --provider {first}."),
    ))
}

/// Whether a request has all headers that this scheme signs with, of one family.
fn signs_with(spec: &SchemeSpec, headers: &HeaderMap) -> bool {
    let Some(signature) = &spec.signature else { return false };
    let time = spec.timestamp.as_ref().and_then(|time| time.header.as_ref());
    let id = spec.id.as_ref().and_then(|id| id.header.as_ref()).filter(|_| spec.content.contains("{id}"));
    signature.header.all().iter().enumerate().any(|(family, name)| {
        let mut needed = [time, id].into_iter().flatten().filter_map(|names| names.of_family(family));
        !COMMON.contains(&name.to_ascii_lowercase().as_str())
            && headers.contains_key(name.as_str())
            && needed.all(|name| headers.contains_key(name))
    })
}

fn has_same_headers(spec: &SchemeSpec, other: &SchemeSpec) -> bool {
    let names = |spec: &SchemeSpec| spec.signature.as_ref().map(|signature| signature.header.all().to_vec());
    names(spec) == names(other)
}

/// What it means that nothing more was found.
pub(super) fn nothing_matched(judge: &Judge, tried: usize, in_time: bool) -> Option<Fact> {
    if tried == 0 || judge.secrets.is_empty() {
        return None;
    }
    let names: Vec<&str> = judge.secrets.iter().map(|secret| secret.name.as_str()).collect();
    let cut = if in_time { "" } else { ", and then the time was up" };
    Some(Fact::new(
        "nothing_matched",
        format!(
            "None of {tried} recomputations matched{cut}: the secret is not {}, or the body is not what was signed.",
            names.join(" or ")
        ),
        "Copy the endpoint's secret again, and capture the request before anything reads or rewrites its body.",
    ))
}
