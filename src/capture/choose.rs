//! Which of several requests in one file is meant.
//!
//! Must never guess: one request, or the only POST among several, else the file is refused with a list.

use super::note::Note;
use super::problem::Fault;

/// How many requests a refusal names.
const NAMED: usize = 10;

/// One of several requests, as far as the choice needs it.
pub(super) struct Candidate {
    pub(super) method: String,
    /// Path or URL without the query.
    pub(super) target: String,
}

/// The index of the one that is meant, and a note if there were others.
pub(super) fn choose(candidates: &[Candidate]) -> Result<(usize, Option<Note>), Fault> {
    if candidates.len() == 1 {
        return Ok((0, None));
    }
    let mut posts =
        candidates.iter().enumerate().filter(|(_, candidate)| candidate.method.eq_ignore_ascii_case("POST"));
    match (posts.next(), posts.next()) {
        (Some((index, _)), None) => {
            Ok((index, Some(Note::Chosen { number: index.saturating_add(1), of: candidates.len() })))
        }
        _ if candidates.is_empty() => Err(Fault::NoRequest),
        _ => {
            let names = candidates.iter().enumerate().take(NAMED);
            let mut names: Vec<String> = names
                .map(|(index, candidate)| {
                    // A terminal would obey what a file may hold.
                    format!("{}: {} {}", index.saturating_add(1), candidate.method, candidate.target)
                        .replace(char::is_control, ".")
                })
                .collect();
            if candidates.len() > NAMED {
                names.push(format!("and {} more", candidates.len().saturating_sub(NAMED)));
            }
            Err(Fault::Several(names))
        }
    }
}
