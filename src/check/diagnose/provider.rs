//! Is the delivery another provider's? Its scheme, with the secrets of this route; or another route's, with its own.
//!
//! Must never try a scheme whose headers the request does not have.

use super::bench::{Bench, compile, compile_with};
use crate::check::signature::SchemeSpec;
use crate::check::signature::scheme::OneOrMany;

/// Names that one finding holds.
const MOST_NAMED: usize = 3;
/// Providers that others only look like, likelier ones first.
const FAMILIES: &[&str] = &["svix", "standard-webhooks", "clerk"];

/// The place of a provider among those that sign alike.
pub(crate) fn rank(name: &str) -> usize {
    FAMILIES.iter().position(|family| *family == name).unwrap_or(FAMILIES.len())
}

/// Whether the delivery is a genuine one for another route.
pub(super) fn is_of_another_route(bench: &mut Bench<'_, '_>) -> bool {
    let suspect = bench.suspect;
    if bench.has_found() {
        return false;
    }
    for other in suspect.routes {
        let is_like_ours = other.spec == suspect.spec && other.options == suspect.options;
        let scheme = if is_like_ours { None } else { compile_with(other.provider, other.spec, other.options) };
        let Some(fit) = scheme.and_then(|scheme| bench.route_fits(&scheme, other.secrets)) else { continue };
        let sent = match suspect.route {
            Some(route) => format!("it was sent to the path of routes.{route}"),
            None => format!("it was judged as one of `{}`", suspect.name),
        };
        bench.found(
            "delivery_of_another_route",
            format!(
                "This is a `{}` delivery, signed with the secret `{}` of routes.{}; {sent}.",
                other.provider, fit.label, other.name
            ),
            format!("Register {} with that sender: the path of routes.{}.", other.path, other.name),
        );
        return true;
    }
    false
}

/// Whether another scheme's signature is one that our own sender sends along.
fn comes_along(own: &SchemeSpec, other: &SchemeSpec) -> bool {
    let names = other.signature.as_ref().map(|signature| signature.header.all()).unwrap_or_default();
    let is_companion = |name: &String| own.companions.iter().any(|companion| companion.eq_ignore_ascii_case(name));
    !names.is_empty() && names.iter().all(is_companion)
}

/// Whether the request has the header in which our own sender names the event.
fn names_our_event(bench: &Bench<'_, '_>) -> bool {
    let header = bench.suspect.spec.event_type.as_ref().and_then(|event_type| event_type.header.as_ref());
    let names = header.map(OneOrMany::all).unwrap_or_default();
    names.iter().any(|name| bench.suspect.head.headers.contains_key(name))
}

pub(super) fn try_all(bench: &mut Bench<'_, '_>) {
    let suspect = bench.suspect;
    let mut names: Vec<&str> = Vec::new();
    let is_ours = names_our_event(bench);
    for (name, spec) in suspect.catalog {
        let Some(scheme) = compile(suspect, spec).filter(|scheme| *name != suspect.name && !scheme.needs_no_secret())
        else {
            continue;
        };
        if is_ours && comes_along(suspect.spec, spec) {
            continue;
        }
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
    names.sort_by_key(|name| rank(name));
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
