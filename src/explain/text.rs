//! An explanation for people: a tick or the refusal per check, then why, and what to do.

use std::io::{self, Write};

use super::facts::ADDRESS_NOT_JUDGED;
use super::steps::{Step, Verdict};
use super::{Explanation, Outcome};
use crate::civil::Civil;

/// What makes a terminal write in a colour, and end it.
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// Writes it; in colour for a terminal.
pub(crate) fn write(explanation: &Explanation, colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let paint = |code: &str, text: &str| if colour { format!("{code}{text}{PLAIN}") } else { text.to_owned() };
    let judged_by = match (&explanation.route, &explanation.provider) {
        (Some(route), Some(provider)) => format!(" by routes.{route} ({provider})"),
        (None, Some(provider)) => format!(" by {provider}"),
        (_, None) => String::new(),
    };
    writeln!(out, "{}", explanation.title)?;
    writeln!(out, "judged{judged_by} as of {}", Civil::of(explanation.now.saturating_mul(1000)))?;
    writeln!(out)?;
    for step in &explanation.steps {
        let (mark, colour) = match step.verdict {
            Verdict::Passed => ("✓", GREEN),
            Verdict::Refused => ("✗", RED),
            Verdict::Skipped => ("–", ""),
            Verdict::NotReached => (" ", ""),
        };
        let mark = if colour.is_empty() { mark.to_owned() } else { paint(colour, mark) };
        writeln!(out, "  {}", format!("{mark} {:<18} {}", step.name.code(), told(step)).trim_end())?;
    }
    writeln!(out)?;
    writeln!(out, "{}", paint(BOLD, &conclusion(explanation)))?;
    for (finding, fix) in findings(explanation) {
        writeln!(out)?;
        writeln!(out, "  {finding}")?;
        writeln!(out, "  → {fix}")?;
    }
    if !explanation.notes.is_empty() {
        writeln!(out)?;
    }
    for note in &explanation.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

fn told(step: &Step) -> String {
    match (step.code, step.verdict) {
        (Some(code), _) if step.detail.is_empty() => code.to_owned(),
        (Some(code), _) => format!("{code}: {}", step.detail),
        (None, Verdict::NotReached) if step.detail.is_empty() => "not reached".to_owned(),
        (None, Verdict::NotReached) => format!("not reached; {}", step.detail),
        (None, Verdict::Passed | Verdict::Refused | Verdict::Skipped) => step.detail.clone(),
    }
}

fn conclusion(explanation: &Explanation) -> String {
    match explanation.outcome {
        Outcome::Accepted => {
            let what = [("id", &explanation.id), ("type", &explanation.event_type), ("secret", &explanation.secret)];
            let parts: Vec<String> =
                what.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?))).collect();
            let parts = parts.join(", ");
            if explanation.facts.iter().any(|fact| fact.code == ADDRESS_NOT_JUDGED) {
                format!("accepted, but the address was not judged: give --peer ({parts})")
            } else {
                format!("accepted: {parts}")
            }
        }
        Outcome::Handshake => "accepted: a handshake".to_owned(),
        Outcome::Refused(reject) => format!("refused: {} ({})", reject.code(), reject.status().as_u16()),
        Outcome::Filtered => "not forwarded: filtered (204)".to_owned(),
        Outcome::Undecided => "not judged".to_owned(),
    }
}

/// What was found, likeliest first. If that is nothing: what the reject itself advises.
fn findings(explanation: &Explanation) -> Vec<(&str, &str)> {
    let hypotheses = explanation.hypotheses.iter().map(|found| (found.finding.as_str(), found.fix.as_str()));
    let facts = explanation.facts.iter().map(|fact| (fact.finding.as_str(), fact.fix.as_str()));
    let mut found: Vec<(&str, &str)> = hypotheses.chain(facts).collect();
    if let (Outcome::Refused(reject), true) = (explanation.outcome, found.is_empty()) {
        found.push((reject.title(), reject.fix()));
    }
    found
}
