//! What can be said of a case without recomputing anything.
//!
//! Must never guess: each fact is something that is there, or is not. Must never hold the value of a header or a secret.

use super::case::{Case, Chosen};
use super::judge::{Judge, Named};
use super::usage::nearest;
use crate::capture::Note;
use crate::check::signature::scheme::{Algorithm, Engine};
use crate::check::signature::{Coverage, KeyProblem};
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

/// The route has an allowlist, and nothing to judge by it.
pub(crate) const ADDRESS_NOT_JUDGED: &str = "address_not_judged";
/// No secret of the provider's, but another credential.
pub(super) const SECRET_OTHER_CREDENTIAL: &str = "secret_other_credential";
/// No secret of the provider's.
pub(super) const SECRET_UNUSABLE: &str = "secret_unusable";
/// A body that is shorter than it says.
pub(super) const BODY_CUT_OFF: &str = "body_cut_off";
/// The headers of another sender.
pub(super) const OTHER_PROVIDER: &str = "other_provider";
/// All that was tried did not help.
pub(super) const NOTHING_MATCHED: &str = "nothing_matched";
/// Headers with underscores.
pub(super) const HEADERS_RENAMED: &str = "headers_renamed";

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
        let is_placeholder = judge.text(name).is_some_and(is_placeholder);
        let more = if is_placeholder { ": it is a placeholder that nothing has replaced" } else { "" };
        let looks = if judge.looks.is_empty() { String::new() } else { format!(" {}: {}", judge.name, judge.looks) };
        let code = match problem {
            KeyProblem::OtherCredential(_) => SECRET_OTHER_CREDENTIAL,
            _other => SECRET_UNUSABLE,
        };
        Fact::new(code, format!("{name}: {problem}{more}."), format!("{}{looks}", sentence(problem.hint())))
    });
    let placeholders = judge.secrets.iter().filter(|secret| {
        is_placeholder(secret.secret.expose()) && !judge.problems.iter().any(|(name, _)| *name == secret.name)
    });
    let placeholders = placeholders.map(|Named { name, .. }| {
        let fix = "Set it to the secret itself: whatever should have replaced the placeholder did not run.";
        Fact::new("secret_odd", format!("{name}: the secret looks like a placeholder, such as `${{NAME}}`."), fix)
    });
    let warnings = judge.warnings.iter().map(|(name, warning)| {
        let fix = "Copy it again from the provider's dashboard, whole.";
        Fact::new("secret_odd", format!("{name}: {warning}."), fix)
    });
    problems.chain(placeholders).chain(warnings).collect()
}

/// Whether a text is one that a template would have replaced.
fn is_placeholder(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let is_name = |name: &[u8]| {
        !name.is_empty()
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' '))
    };
    let between = |start: &[u8], end: &[u8]| text.strip_prefix(start)?.strip_suffix(end);
    let braces = between(b"${", b"}").or_else(|| between(b"{{", b"}}")).or_else(|| between(b"<", b">"));
    let dollar =
        || text.strip_prefix(b"$").filter(|name| name.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_'));
    braces.or_else(dollar).or_else(|| between(b"%", b"%")).is_some_and(is_name)
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
        Some(Fact::new(BODY_CUT_OFF, finding, fix))
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

/// A body that can hardly be what the sender signed.
pub(super) fn odd_body(case: &Case, judge: &Judge) -> Option<Fact> {
    let request = &case.request;
    let body = request.body.as_slice();
    let is_json = || matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    if judge.scheme.coverage() == Coverage::Token {
        return None;
    }
    if body.is_empty() {
        return Some(Fact::new(
            "body_empty",
            "The body is empty.",
            "Capture it before anything reads it: a body that was read once is gone.",
        ));
    }
    if body.trim_ascii() == b"[object Object]" {
        return Some(Fact::new(
            "body_object_object",
            "The body is the text `[object Object]`: JavaScript wrote an object where the body's text was meant.",
            "Pass on the raw body, not the parsed one.",
        ));
    }
    let is_cut = is_json() && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err_and(|error| error.is_eof());
    is_cut.then(|| {
        Fact::new(
            "body_incomplete_json",
            format!("The body is JSON that ends too early, after {} bytes.", body.len()),
            "Capture the request again, whole: the end of its body is missing.",
        )
    })
}

/// A body that stands beside the URL without anything between, and does not show where it begins or ends.
pub(super) fn no_border(case: &Case, judge: &Judge) -> Option<Fact> {
    let body = case.request.body.trim_ascii();
    let content = judge.spec.content.replace("{url_decoded}", "{url}");
    let begins = matches!(body.first(), None | Some(b'{' | b'['));
    let ends = matches!(body.last(), None | Some(b'}' | b']'));
    let is_unkeyed = judge.spec.engine == Engine::Template && judge.spec.algorithm == Algorithm::Sha256;
    let (what, is_refused) = if content.contains("{url}{body}") {
        ("the URL and the body", !begins)
    } else if content.contains("{body}{url}") {
        ("the body and the URL", !ends)
    } else if is_unkeyed {
        ("the secret and the body", !begins)
    } else {
        return None;
    };
    is_refused.then(|| {
        Fact::new(
            "body_without_border",
            format!(
                "The body is neither a JSON object nor an array. {} signs {what} side by side with nothing in between, so hookward cannot tell where another body begins or ends, and refuses it, whoever signed it.",
                judge.name
            ),
            "Let the sender send JSON, as it does for webhooks; a test request by hand needs a JSON body, too.",
        )
    })
}

/// What it means that nothing more was found. `is_odd`: there is a fact about the body already.
pub(super) fn nothing_matched(judge: &Judge, is_odd: bool, tried: usize, in_time: bool) -> Option<Fact> {
    if tried == 0 || !judge.can_verify() || judge.secrets.is_empty() {
        return None;
    }
    let names: Vec<&str> = judge.secrets.iter().map(|secret| secret.name.as_str()).collect();
    let names = names.join(" or ");
    let cut = if in_time { "" } else { ", and then the time was up" };
    let copy = "Copy the endpoint's secret again";
    let (means, fix) = match (judge.spec.engine, judge.spec.algorithm, judge.scheme.coverage()) {
        (Engine::Jwt, _, _) => (format!("the token was not signed with {names}"), format!("{copy}.")),
        (_, Algorithm::Token, _) => (format!("the token that was sent is not {names}"), format!("{copy}.")),
        (_, _, Coverage::Token) => (
            format!(
                "the secret is not {names}, or what is signed besides the body was changed: {} signs no body",
                judge.name
            ),
            format!("{copy}."),
        ),
        _ if is_odd => (
            format!("this body is hardly what was signed, so that says nothing about {names}"),
            "Capture the request again with the body as it was sent, before looking at the secret.".to_owned(),
        ),
        _ => (
            format!("the secret is not {names}, or the body is not what was signed"),
            format!("{copy}, and capture the request before anything reads or rewrites its body."),
        ),
    };
    Some(Fact::new(NOTHING_MATCHED, format!("None of {tried} recomputations matched{cut}: {means}."), fix))
}
