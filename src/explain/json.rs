//! An explanation for programs: one JSON document, whose members never change their meaning.

use std::io::{self, Write};

use serde::Serialize;

use super::Explanation;

#[derive(Serialize)]
struct Document<'e> {
    accepted: bool,
    code: Option<&'static str>,
    steps: Vec<StepDocument<'e>>,
    hypotheses: Vec<Found<'e>>,
    facts: Vec<Found<'e>>,
    notes: &'e [String],
    provider: Option<&'e str>,
    route: Option<&'e str>,
    timestamp: Option<u64>,
    now: u64,
    id: Option<&'e str>,
    event_type: Option<&'e str>,
    secret: Option<&'e str>,
}

#[derive(Serialize)]
struct StepDocument<'e> {
    name: &'static str,
    verdict: &'static str,
    code: Option<&'static str>,
    detail: &'e str,
}

#[derive(Serialize)]
struct Found<'e> {
    code: &'static str,
    finding: &'e str,
    fix: &'e str,
}

/// Writes the document and a newline.
pub(crate) fn write(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        accepted: explanation.outcome.is_accepted(),
        code: explanation.outcome.code(),
        steps: explanation
            .steps
            .iter()
            .map(|step| StepDocument {
                name: step.name.code(),
                verdict: step.verdict.code(),
                code: step.code,
                detail: &step.detail,
            })
            .collect(),
        hypotheses: explanation
            .hypotheses
            .iter()
            .map(|found| Found { code: found.code, finding: &found.finding, fix: &found.fix })
            .collect(),
        facts: explanation
            .facts
            .iter()
            .map(|fact| Found { code: fact.code, finding: &fact.finding, fix: &fact.fix })
            .collect(),
        notes: &explanation.notes,
        provider: explanation.provider.as_deref(),
        route: explanation.route.as_deref(),
        timestamp: explanation.timestamp,
        now: explanation.now,
        id: explanation.id.as_deref(),
        event_type: explanation.event_type.as_deref(),
        secret: explanation.secret.as_deref(),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}
