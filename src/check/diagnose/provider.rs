//! Is the delivery another provider's? Its scheme, with the secrets of this route.
//!
//! Must never try a scheme whose headers the request does not have.

use super::bench::{Bench, compile};

/// Names that one finding holds.
const MOST_NAMED: usize = 3;

pub(super) fn try_all(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    let mut names: Vec<&str> = Vec::new();
    for (name, spec) in suspect.catalog {
        let Some(scheme) = compile(suspect, spec).filter(|scheme| *name != suspect.name && !scheme.needs_no_secret())
        else {
            continue;
        };
        // Where the headers are not there, `present` says so and no MAC is computed.
        for secret in suspect.secrets {
            if bench.is_over() {
                return;
            }
            if !names.contains(name) && bench.secret_fits(&scheme, secret.text) {
                names.push(name);
            }
        }
    }
    let Some(first) = names.first() else { return };
    let more = match names.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    let listed: Vec<_> = names.iter().take(MOST_NAMED).map(|name| format!("`{name}`")).collect();
    bench.found(
        "other_provider",
        format!(
            "The delivery fits the secret if it is checked as one of {}{more}, not of `{}`.",
            listed.join(", "),
            suspect.name
        ),
        format!("Set `provider = \"{first}\"` if that is who sends it, or give that sender a route of its own."),
    );
}
