//! Whose delivery is it, going by the names of its headers? For a request that lacks the judge's own signature.
//!
//! Must never take a name for a proof: what is said here is what is there, and what is not. Source: the catalogue.

use http::HeaderMap;

use super::case::Case;
use super::facts::{Fact, HEADERS_RENAMED, OTHER_PROVIDER};
use super::judge::Judge;
use crate::check::diagnose::{plain_name, rank};
use crate::check::signature::SchemeSpec;

/// Headers of so many senders that they tell nothing.
const COMMON: &[&str] = &["authorization", "date", "signature", "signature-input", "content-digest", "x-signature"];
/// Providers that are named at most.
const NAMED: usize = 4;

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
    // What has more of its headers here is the likelier sender.
    names.retain(|name| !case.catalog.scheme(name).is_some_and(|spec| is_part_of_another(case, spec, headers)));
    names.sort_by_key(|name| rank(name));
    let (first, _) = names.split_first()?;
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let shown = match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} or {more} others"),
    };
    Some(Fact::new(
        OTHER_PROVIDER,
        format!("The signature headers that are there are those of {shown}, not of {}.", judge.name),
        format!("Judge it by the provider that sends it, such as --provider {first}."),
    ))
}

/// Whether a request has all headers that this scheme signs with, of one family.
fn signs_with(spec: &SchemeSpec, headers: &HeaderMap) -> bool {
    families(spec).iter().any(|family| {
        let is_common = family.first().is_none_or(|name| COMMON.contains(&name.to_ascii_lowercase().as_str()));
        !is_common && family.iter().all(|name| headers.contains_key(*name))
    })
}

/// Whether the one header of a scheme is also one of several that another scheme has, of which more are there.
fn is_part_of_another(case: &Case, spec: &SchemeSpec, headers: &HeaderMap) -> bool {
    let own = families(spec);
    let [family] = own.as_slice() else { return false };
    let [only] = family.as_slice() else { return false };
    let others = case.catalog.iter().filter_map(|(name, _)| case.catalog.scheme(name)).flat_map(families);
    others.into_iter().any(|family| {
        let also = |name: &&str| !name.eq_ignore_ascii_case(only) && headers.contains_key(*name);
        family.iter().any(|name| name.eq_ignore_ascii_case(only)) && family.iter().any(also)
    })
}

/// The headers that a scheme signs with, by family.
fn families(spec: &SchemeSpec) -> Vec<Vec<&str>> {
    let Some(signature) = &spec.signature else { return Vec::new() };
    let time = spec.timestamp.as_ref().and_then(|time| time.header.as_ref());
    let id = spec.id.as_ref().and_then(|id| id.header.as_ref()).filter(|_| spec.content.contains("{id}"));
    let names = signature.header.all().iter().enumerate();
    names
        .map(|(family, name)| {
            let more = [time, id].into_iter().flatten().filter_map(|names| names.of_family(family));
            std::iter::once(name.as_str()).chain(more).collect()
        })
        .collect()
}

fn has_same_headers(spec: &SchemeSpec, other: &SchemeSpec) -> bool {
    let names = |spec: &SchemeSpec| spec.signature.as_ref().map(|signature| signature.header.all().to_vec());
    names(spec) == names(other)
}

/// The scheme's headers under names with underscores.
pub(super) fn wrong_names(judge: &Judge, headers: &HeaderMap) -> Option<Fact> {
    let missing: Vec<&str> =
        judge.scheme.headers().map(http::HeaderName::as_str).filter(|name| !headers.contains_key(*name)).collect();
    let is_renamed = |name: &&http::HeaderName| missing.contains(&plain_name(name.as_str()).as_str());
    let found: Vec<&str> = headers.keys().filter(is_renamed).map(http::HeaderName::as_str).collect();
    (!found.is_empty()).then(|| {
        Fact::new(
            HEADERS_RENAMED,
            format!("{} came in the place of names with hyphens: a proxy renamed headers.", found.join(", ")),
            "Let the proxy pass on the sender's headers under their own names, not as variables (`HTTP_…`).",
        )
    })
}

/// A request that says by a header of its sender's own whose it is, and lacks the signature.
pub(super) fn lost_signature(case: &Case, judge: &Judge, headers: &HeaderMap) -> Option<Fact> {
    let named = |spec: &SchemeSpec| spec.event_type.as_ref().and_then(|event_type| event_type.header.clone());
    let own = named(&judge.spec)?;
    let due = judge.spec.signature.as_ref()?.header.all();
    let event = own.all().iter().find(|name| headers.contains_key(name.as_str()))?;
    if due.iter().any(|name| headers.contains_key(name.as_str())) {
        return None;
    }
    // A header that several senders have tells nothing.
    let mut others = case.catalog.iter().filter(|(name, _)| *name != judge.name);
    let is_shared = others.any(|(name, _)| {
        let spec = case.catalog.scheme(name);
        spec.filter(|spec| !has_same_headers(spec, &judge.spec))
            .and_then(named)
            .is_some_and(|other| other.all().iter().any(|name| name.eq_ignore_ascii_case(event)))
    });
    let due = due.join(" or ");
    let old: Vec<&str> =
        judge.spec.companions.iter().map(String::as_str).filter(|name| headers.contains_key(*name)).collect();
    let only = if old.is_empty() { String::new() } else { format!(" ({} alone is not checked)", old.join(", ")) };
    (!is_shared).then(|| {
        Fact::new(
            "signature_header_lost",
            format!("{event} is there, so {} seems to have sent this, but {due} is not{only}.", judge.name),
            format!("Look for what removes {due} on the way; or the hook has no secret, and its sender signs nothing."),
        )
    })
}
