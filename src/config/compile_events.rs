//! `events`: which types a route wants, and whether its provider sends any such type.
//!
//! Must never refuse a pattern for being unknown: the provider may have got a new type yesterday.

use super::compile::Context;
use super::compile_routes::Chosen;
use super::hint::{alternatives, closest, nearest};
use super::raw::Table;
use crate::plan::EventFilter;
use crate::providers::EventTypes;

/// As many types are listed where none is near.
const FEW: usize = 8;
/// What stands between the parts of a type.
const SEPARATORS: [char; 3] = ['.', '/', ':'];

impl Context<'_, '_> {
    pub(super) fn events(&mut self, table: &Table, chosen: Option<&Chosen<'_>>) -> EventFilter {
        let sent = chosen.and_then(|chosen| Some((chosen.provider?, EventTypes::of(&chosen.name)?)));
        let mut patterns: Vec<Box<str>> = Vec::new();
        for (text, spot) in table.texts("events") {
            let name = text.strip_suffix('*').unwrap_or(text);
            let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
            if text == "*" {
                self.findings.error(spot, "`*` alone is every event", "remove `events`: without it all are forwarded");
                continue;
            }
            if name.is_empty() || name.contains('*') || !printable {
                let what = "is not an event type or a prefix of one";
                self.findings.error(spot, what, "write a type, \"sms.created\", or one `*` at the end, \"user.*\"");
                continue;
            }
            if patterns.iter().any(|pattern| &**pattern == text) {
                self.findings.warn(spot, "is in this list already", "remove it");
                continue;
            }
            let only = EventFilter { patterns: vec![text.into()] };
            if let Some((provider, types)) = sent.filter(|(_, types)| !types.iter().any(|kind| only.wants(Some(kind))))
            {
                let (count, title, day) = (types.count(), &provider.title, types.day());
                let what = format!("matches none of the {count} event types that {title} had on {day}");
                self.findings.warn(spot, what, meant(text, types));
            }
            patterns.push(text.into());
        }
        if let Some(chosen) =
            chosen.filter(|chosen| chosen.spec.event_type.is_none() && table.texts("events").next().is_some())
        {
            let what = format!("`{}` does not tell the event's type, so everything would be forwarded", chosen.name);
            let hint =
                if chosen.provider.is_some() { "remove it" } else { "remove it, or add event_type to the scheme" };
            self.findings.error(&table.spot_of("events"), what, hint);
        }
        EventFilter { patterns }
    }
}

/// What to write instead of a pattern that matches nothing.
fn meant(pattern: &str, types: &EventTypes) -> String {
    let (name, star) = pattern.strip_suffix('*').map_or((pattern, ""), |stem| (stem, "*"));
    // `issues.opened` and `pull_request.*` where the type says less than that.
    let above = |kind: &&str| {
        name.strip_prefix(*kind).is_some_and(|rest| rest.starts_with(SEPARATORS) || rest.starts_with('_'))
    };
    if let Some(kind) = types.iter().filter(above).max_by_key(|kind| kind.len()) {
        return format!("did you mean \"{kind}\"?");
    }
    let prefixes = types.iter().filter(|_| !star.is_empty()).flat_map(groups);
    if let Some(near) = nearest(name, types.iter().chain(prefixes)) {
        return format!("did you mean \"{near}{star}\"?");
    }
    if types.count() <= FEW {
        return format!("it has {}", alternatives(types.iter()));
    }
    let siblings = |group: &str| closest(name, types.iter().filter(|kind| kind.starts_with(group)));
    match groups(name).rev().find_map(siblings) {
        Some((_, kind)) => format!("the nearest is \"{kind}\"; keep it if it is newer than that day"),
        None => "`hookward providers --format json` has them all; keep it if it is newer than that day".to_owned(),
    }
}

/// `a.` and `a.b.` of `a.b.c`.
fn groups(kind: &str) -> impl DoubleEndedIterator<Item = &str> {
    kind.match_indices(SEPARATORS).filter_map(|(at, _)| kind.get(..=at))
}
